// All-reduce over memory of peers, in bfloats: one shot for small messages, a ring for large ones.
//
// Every rank launches the same number of blocks, which all run at once, with the peers' pointers in the same order.
// Blocks of the same index speak to each other through flags: flags[rank] of a peer is where `rank` tells it how far it
// is, one word per block; flags only grow, and `epoch` counts launches from 1. `pieces` is the length in pieces of 8.
#include "instructions.cuh"
#include "vectors.cuh"

#define MAX_RANKS 8

struct Peers {
    bf16 *data[MAX_RANKS];
    unsigned int *flags[MAX_RANKS];
};

// Tells `peer` that this block of `rank` has come to `value`.
__device__ __forceinline__ void tell(const Peers &peers, int peer, int rank, unsigned int value) {
    store_release_system(peers.flags[peer] + rank * gridDim.x + blockIdx.x, value);
}

// Waits until the same block of `peer` has told this rank that it is at `value`; numbers wrap.
__device__ __forceinline__ void hear(const Peers &peers, int rank, int peer, unsigned int value) {
    const unsigned int *at = peers.flags[rank] + peer * gridDim.x + blockIdx.x;
    while ((int)(load_acquire_system(at) - value) < 0) relax();
}

// All blocks of this index, on every rank, are here.
__device__ __forceinline__ void meet(const Peers &peers, int rank, int ranks, unsigned int value) {
    __syncthreads();
    int peer = threadIdx.x;
    if (peer < ranks && peer != rank) {
        tell(peers, peer, rank, value);
        hear(peers, rank, peer, value);
    }
    __syncthreads();
}

// Reads everybody's data and adds it up in order of ranks: every rank ends with the same bits. Two meetings each launch.
extern "C" __global__ void all_reduce_one_shot(const __grid_constant__ Peers peers, bf16 *result, long long pieces, int rank, int ranks,
                                               unsigned int epoch) {
    meet(peers, rank, ranks, epoch * 2 - 1);
    for (long long piece = (long long)blockIdx.x * blockDim.x + threadIdx.x; piece < pieces;
         piece += (long long)gridDim.x * blockDim.x) {
        float total[PIECE] = {};
        for (int peer = 0; peer < ranks; ++peer) {
            float values[PIECE];
            unpack(((const uint4 *)peers.data[peer])[piece], values);
#pragma unroll
            for (int i = 0; i < PIECE; ++i) total[i] += values[i];
        }
        ((uint4 *)result)[piece] = pack(total);
    }
    meet(peers, rank, ranks, epoch * 2);
}

// In place: ranks - 1 steps add what the rank before has summed so far, ranks - 1 more bring the sums round. Partial
// sums are rounded to bfloat at every step, as rings do. Flags grow by 2 * ranks each launch.
extern "C" __global__ void all_reduce_ring(const __grid_constant__ Peers peers, long long pieces, int rank, int ranks, unsigned int epoch) {
    int before = (rank + ranks - 1) % ranks, after = (rank + 1) % ranks;
    unsigned int base = (epoch - 1) * 2 * ranks;
    uint4 *own = (uint4 *)peers.data[rank];
    const uint4 *from = (const uint4 *)peers.data[before];
    meet(peers, rank, ranks, base + 1);
    for (int step = 0; step < 2 * (ranks - 1); ++step) {
        // The chunk that the rank before finished in its last step.
        int chunk = (rank + 2 * ranks - 1 - step) % ranks;
        long long first = chunk * pieces / ranks, end = (chunk + 1) * pieces / ranks;
        for (long long piece = first + (long long)blockIdx.x * blockDim.x + threadIdx.x; piece < end;
             piece += (long long)gridDim.x * blockDim.x) {
            uint4 arrived = from[piece];
            if (step < ranks - 1) {
                float sum[PIECE], other[PIECE];
                unpack(own[piece], sum);
                unpack(arrived, other);
#pragma unroll
                for (int i = 0; i < PIECE; ++i) sum[i] += other[i];
                arrived = pack(sum);
            }
            own[piece] = arrived;
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            tell(peers, after, rank, base + 2 + step);
            if (step + 1 < 2 * (ranks - 1)) hear(peers, rank, before, base + 2 + step);
        }
        __syncthreads();
    }
    meet(peers, rank, ranks, base + 2 * ranks);
}
