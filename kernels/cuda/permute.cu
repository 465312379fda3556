// Permutation of token slots by expert: a stable counting sort in three kernels, then a copy of the rows.
//
// A slot is one choice of one token: slot = token * k + choice. Rows of one expert are contiguous and keep the
// order of their slots, so the result does not depend on how blocks are scheduled. An expert takes its first
// `capacity` slots; later ones get NO_ROW.
#include "instructions.cuh"
#include "vectors.cuh"

#define SLOTS_PER_BLOCK 256
#define SCAN_THREADS 1024

// How many earlier slots of this block chose the same expert, and whether no later one did.
__device__ __forceinline__ int rank_in_block(const int *experts_here, int expert, bool &last) {
    int rank = 0;
    last = true;
    for (int other = 0; other < SLOTS_PER_BLOCK; ++other) {
        if (experts_here[other] != expert) continue;
        rank += other < (int)threadIdx.x;
        last = last && other <= (int)threadIdx.x;
    }
    return rank;
}

// Slots per (block, expert). Launch: 256 threads, ceil(slots / 256) blocks.
extern "C" __global__ void moe_count(const int *chosen, int *block_counts, int slots, int experts) {
    __shared__ int experts_here[SLOTS_PER_BLOCK];
    int slot = blockIdx.x * SLOTS_PER_BLOCK + threadIdx.x;
    int expert = slot < slots ? chosen[slot] : -1;
    int *counts = block_counts + (long long)blockIdx.x * experts;
    experts_here[threadIdx.x] = expert;
    for (int each = threadIdx.x; each < experts; each += SLOTS_PER_BLOCK) counts[each] = 0;
    __syncthreads();
    if (expert < 0) return;
    bool last;
    int rank = rank_in_block(experts_here, expert, last);
    if (last) counts[expert] = rank + 1;
}

// Turns counts into how many slots of each expert lie in earlier blocks, in place, and finds where the rows of
// each expert start; `expert_start` has experts + 1 entries. Launch: one block of 256 threads.
extern "C" __global__ void moe_offsets(int *block_counts, int *expert_start, int blocks, int experts, int capacity) {
    for (int expert = threadIdx.x; expert < experts; expert += blockDim.x) {
        int before = 0;
        for (int block = 0; block < blocks; ++block) {
            int *count = block_counts + (long long)block * experts + expert;
            int here = *count;
            *count = before;
            before += here;
        }
        expert_start[expert + 1] = before < capacity ? before : capacity;
    }
    __syncthreads();
    // A few hundred experts: one thread adds them up in less time than a second launch takes.
    if (threadIdx.x == 0) {
        expert_start[0] = 0;
        for (int expert = 0; expert < experts; ++expert) expert_start[expert + 1] += expert_start[expert];
    }
}

// The row of every slot and the slot of every row. Launch: as moe_count.
extern "C" __global__ void moe_scatter(const int *chosen, const int *slots_before, const int *expert_start,
                                       int *row_of_slot, int *slot_of_row, int slots, int experts, int capacity) {
    __shared__ int experts_here[SLOTS_PER_BLOCK];
    int slot = blockIdx.x * SLOTS_PER_BLOCK + threadIdx.x;
    int expert = slot < slots ? chosen[slot] : -1;
    experts_here[threadIdx.x] = expert;
    __syncthreads();
    if (expert < 0) return;
    bool last;
    int position = slots_before[(long long)blockIdx.x * experts + expert] + rank_in_block(experts_here, expert, last);
    int row = position < capacity ? expert_start[expert] + position : NO_ROW;
    row_of_slot[slot] = row;
    if (row != NO_ROW) slot_of_row[row] = slot;
}

// Copies the activations of each row's token. Launch: 256 threads, a block per slot; blocks beyond the last row
// (`expert_start[experts]`) have nothing to do.
extern "C" __global__ void moe_gather(const bf16 *activations, const int *slot_of_row, const int *expert_start,
                                      bf16 *permuted, int experts, int k, int hidden) {
    int row = blockIdx.x;
    if (row >= expert_start[experts]) return;
    const bf16 *from = activations + (long long)(slot_of_row[row] / k) * hidden;
    bf16 *to = permuted + (long long)row * hidden;
    if (hidden % PIECE == 0) {
        for (int piece = threadIdx.x; piece < hidden / PIECE; piece += blockDim.x)
            store_piece(to, piece, load_piece(from, piece));
        return;
    }
    for (int column = threadIdx.x; column < hidden; column += blockDim.x) to[column] = from[column];
}

// Rows of each expert alone, without their order: whole numbers added in shared memory, so the result does not depend
// on who adds first. `counts` begins as zeros. Launch: 256 threads, any number of blocks, 4 bytes of dynamic shared
// memory per expert.
extern "C" __global__ void moe_histogram(const int *chosen, int *counts, int slots, int experts) {
    DYNAMIC_SHARED(shared);
    int *here = (int *)shared;
    for (int expert = threadIdx.x; expert < experts; expert += blockDim.x) here[expert] = 0;
    __syncthreads();
    for (int slot = blockIdx.x * blockDim.x + threadIdx.x; slot < slots; slot += gridDim.x * blockDim.x)
        atomicAdd(here + chosen[slot], 1);
    __syncthreads();
    for (int expert = threadIdx.x; expert < experts; expert += blockDim.x)
        if (here[expert] > 0) atomicAdd(counts + expert, here[expert]);
}

// Where each expert's rows begin when every count is rounded up to `alignment`: an exclusive sum of at most 1,024
// counts, with the total at the end. Launch: one block of 1,024 threads.
extern "C" __global__ void moe_scan(const int *counts, int *starts, int experts, int alignment) {
    __shared__ int sums[SCAN_THREADS];
    int expert = threadIdx.x;
    int own = expert < experts ? (counts[expert] + alignment - 1) / alignment * alignment : 0;
    sums[expert] = own;
    __syncthreads();
    for (int distance = 1; distance < SCAN_THREADS; distance *= 2) {
        int before = expert >= distance ? sums[expert - distance] : 0;
        __syncthreads();
        sums[expert] += before;
        __syncthreads();
    }
    if (expert < experts) starts[expert] = sums[expert] - own;
    if (expert == experts - 1) starts[experts] = sums[expert];
}
