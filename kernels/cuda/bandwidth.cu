// Memory alone: copies, reads, writes, and reductions of bfloats. What every other rate is held against.
//
// Launch: 256 to 1,024 threads, a few blocks per execution unit; each thread takes every so many pieces of 16 bytes.
#include "vectors.cuh"

#define FIRST ((long long)blockIdx.x * blockDim.x + threadIdx.x)
#define STEP ((long long)gridDim.x * blockDim.x)

extern "C" __global__ void bandwidth_copy(const uint4 *from, uint4 *to, long long pieces) {
    for (long long piece = FIRST; piece < pieces; piece += STEP) to[piece] = from[piece];
}

// Reads everything; a block leaves the exclusive-or of what it read, so that nothing is optimised away.
extern "C" __global__ void bandwidth_read(const uint4 *from, unsigned int *of_block, long long pieces) {
    unsigned int mixed = 0;
    for (long long piece = FIRST; piece < pieces; piece += STEP) {
        uint4 value = from[piece];
        mixed ^= value.x ^ value.y ^ value.z ^ value.w;
    }
    for (int distance = 16; distance > 0; distance /= 2) mixed ^= __shfl_xor_sync(0xffffffffu, mixed, distance);
    if (threadIdx.x % 32 == 0) atomicXor(of_block + blockIdx.x, mixed);
}

extern "C" __global__ void bandwidth_write(uint4 *to, long long pieces, unsigned int value) {
    for (long long piece = FIRST; piece < pieces; piece += STEP) to[piece] = make_uint4(value, value, value, value);
}

// The sum of `sources` rows of bfloats, in order of rows, in full precision: the arithmetic of an all-reduce, without
// its network.
extern "C" __global__ void bandwidth_reduce(const bf16 *rows, bf16 *sums, int sources, long long pieces) {
    for (long long piece = FIRST; piece < pieces; piece += STEP) {
        float total[PIECE] = {};
        for (int source = 0; source < sources; ++source) {
            float values[PIECE];
            unpack(((const uint4 *)rows)[source * pieces + piece], values);
#pragma unroll
            for (int i = 0; i < PIECE; ++i) total[i] += values[i];
        }
        ((uint4 *)sums)[piece] = pack(total);
    }
}
