// Products of experts for Blackwell (sm_100a): bulk copies, one thread that drives the tensor core, sums in tensor
// memory. Compiled and never run yet.
//
// Launch: 256 threads, 132,096 bytes of dynamic shared memory, a block per execution unit: each walks over tiles of 128
// rows x 128 columns. Warp 0 copies, warp 1 multiplies, warps 4 to 7 scale, round and store. Maps as for Hopper, with
// boxes of 128 rows of weights.
#include "grouping.cuh"
#include "instructions.cuh"
#include "vectors.cuh"

#define ROWS 128
#define COLUMNS 128
#define BAND 8
#define STAGES 4
#define LEFT_BYTES (ROWS * 128)
#define STAGE_BYTES (LEFT_BYTES + COLUMNS * 128)
#define SCALE_BLOCK 128
#define SUM_BUFFERS 2

#ifdef __CUDA_ARCH_FEAT_SM100_ALL

// A place in a round of `COUNT` places, and the parity of the round.
template <int COUNT>
struct Position {
    int index;
    unsigned int parity;

    __device__ __forceinline__ void advance() {
        if (++index == COUNT) {
            index = 0;
            parity ^= 1u;
        }
    }
};

typedef TileWalk<ROWS, COLUMNS, BAND> Walk;

struct Barriers {
    unsigned long long full[STAGES];
    unsigned long long empty[STAGES];
    unsigned long long summed[SUM_BUFFERS];
    unsigned long long taken[SUM_BUFFERS];
    unsigned int tensor_memory;
};

template <bool FP8>
__device__ __forceinline__ void produce(const TensorMap *input, const TensorMap *weights, unsigned char *memory,
                                        Barriers *barriers, Walk walk, int columns, int chunks) {
    Position<STAGES> position = {0, 1};
    Tile tile;
    while (walk.next(tile)) {
        for (int chunk = 0; chunk < chunks; ++chunk) {
            unsigned char *stage = memory + position.index * STAGE_BYTES;
            unsigned long long *full = barriers->full + position.index;
            barrier_wait(barriers->empty + position.index, position.parity);
            barrier_arrive_expect(full, STAGE_BYTES);
            int x = chunk * (FP8 ? 128 : 64);
            tensor_load(stage, input, x, tile.first_row, full);
            tensor_load(stage + LEFT_BYTES, weights, x, tile.expert * columns + tile.first_column, full);
            position.advance();
        }
    }
}

// Sums of 8-bit products leave tensor memory after each stage, those of bfloats after the last one.
template <bool FP8>
__device__ __forceinline__ void multiply(unsigned char *memory, Barriers *barriers, Walk walk, int chunks) {
    // Instruction descriptor: float sums, both operands bfloat16 (1) or e4m3 (0), by rows, 128 columns, 128 rows.
    const unsigned int format = FP8 ? 0u : 1u;
    const unsigned int shape = 1u << 4 | format << 7 | format << 10 | (COLUMNS / 8) << 17 | (ROWS / 16) << 24;
    Position<STAGES> position = {0, 0};
    Position<SUM_BUFFERS> buffer = {0, 1};
    Tile tile;
    while (walk.next(tile)) {
        for (int chunk = 0; chunk < chunks; ++chunk) {
            if (FP8 || chunk == 0) {
                barrier_wait(barriers->taken + buffer.index, buffer.parity);
                tensor_fence_after();
            }
            barrier_wait(barriers->full + position.index, position.parity);
            tensor_fence_after();
            unsigned int left = shared_address(memory + position.index * STAGE_BYTES), right = left + LEFT_BYTES;
            unsigned int sums = barriers->tensor_memory + buffer.index * COLUMNS;
            for (int step = 0; step < 4; ++step) {
                unsigned long long a = blackwell_descriptor(left + step * 32);
                unsigned long long b = blackwell_descriptor(right + step * 32);
                int accumulate = step > 0 || (!FP8 && chunk > 0);
                if (FP8) tensor_multiply_fp8(sums, a, b, shape, accumulate);
                else tensor_multiply_bf16(sums, a, b, shape, accumulate);
            }
            tensor_commit(barriers->empty + position.index);
            position.advance();
            if (FP8 || chunk + 1 == chunks) {
                tensor_commit(barriers->summed + buffer.index);
                buffer.advance();
            }
        }
    }
}

// A thread holds one row of the tile.
template <bool FP8>
__device__ __forceinline__ void finish(Barriers *barriers, Walk walk, const float *input_scales,
                                       const float *weight_scales, bf16 *result, int columns, int chunks) {
    int line = threadIdx.x % ROWS;
    Position<SUM_BUFFERS> buffer = {0, 0};
    int column_blocks = (columns + SCALE_BLOCK - 1) / SCALE_BLOCK;
    Tile tile;
    while (walk.next(tile)) {
        int row = tile.first_row + line;
        bool inside = row < tile.end_row;
        const float *of_columns =
            weight_scales + ((long long)tile.expert * column_blocks + tile.first_column / SCALE_BLOCK) * chunks;
        float sums[COLUMNS];
#pragma unroll
        for (int i = 0; i < COLUMNS; ++i) sums[i] = 0.0f;
        for (int segment = 0; segment < (FP8 ? chunks : 1); ++segment) {
            float scale = 1.0f;
            if (FP8) scale = inside ? input_scales[(long long)row * chunks + segment] * of_columns[segment] : 0.0f;
            barrier_wait(barriers->summed + buffer.index, buffer.parity);
            tensor_fence_after();
            unsigned int from = barriers->tensor_memory + buffer.index * COLUMNS + (threadIdx.x % ROWS / 32 << 21);
#pragma unroll
            for (int piece = 0; piece < COLUMNS / 8; ++piece) {
                float values[8];
                tensor_memory_load(values, from + piece * 8);
#pragma unroll
                for (int i = 0; i < 8; ++i) sums[piece * 8 + i] += values[i] * scale;
            }
            tensor_fence_before();
            barrier_arrive(barriers->taken + buffer.index);
            buffer.advance();
        }
        if (!inside) continue;
#pragma unroll
        for (int piece = 0; piece < COLUMNS / 8; ++piece) {
            float values[8];
#pragma unroll
            for (int i = 0; i < 8; ++i) values[i] = sums[piece * 8 + i];
            int column = tile.first_column + piece * 8;
            if (column < columns) *(uint4 *)(result + (long long)row * columns + column) = pack(values);
        }
    }
}

template <bool FP8>
__device__ __forceinline__ void grouped(const TensorMap *input, const float *input_scales, const TensorMap *weights,
                                        const float *weight_scales, const int *expert_rows, bf16 *result, int experts,
                                        int max_rows, int columns, int depth) {
    DYNAMIC_SHARED(memory);
    Barriers *barriers = (Barriers *)(memory + STAGES * STAGE_BYTES);
    int chunks = (depth + (FP8 ? 128 : 64) - 1) / (FP8 ? 128 : 64);
    int warp = threadIdx.x / 32;
    if (threadIdx.x == 0) {
        for (int stage = 0; stage < STAGES; ++stage) {
            barrier_init(barriers->full + stage, 1);
            barrier_init(barriers->empty + stage, 1);
        }
        for (int buffer = 0; buffer < SUM_BUFFERS; ++buffer) {
            barrier_init(barriers->summed + buffer, 1);
            barrier_init(barriers->taken + buffer, ROWS);
        }
        barrier_init_fence();
    }
    if (warp == 2) tensor_memory_reserve<SUM_BUFFERS * COLUMNS>(&barriers->tensor_memory);
    tensor_fence_before();
    __syncthreads();
    tensor_fence_after();
    Walk walk;
    walk.start(expert_rows, max_rows, experts, columns, blockIdx.x, gridDim.x);
    if (warp == 0 && threadIdx.x == 0) produce<FP8>(input, weights, memory, barriers, walk, columns, chunks);
    if (warp == 1 && threadIdx.x % 32 == 0) multiply<FP8>(memory, barriers, walk, chunks);
    if (warp >= 4) finish<FP8>(barriers, walk, input_scales, weight_scales, result, columns, chunks);
    tensor_fence_before();
    __syncthreads();
    tensor_fence_after();
    if (warp == 2) tensor_memory_release<SUM_BUFFERS * COLUMNS>(barriers->tensor_memory);
}

extern "C" __global__ void __launch_bounds__(256, 1)
    blackwell_gemm_bf16(const __grid_constant__ TensorMap input, const __grid_constant__ TensorMap weights,
                        const int *expert_rows, bf16 *result, int experts, int max_rows, int columns, int depth) {
    grouped<false>(&input, 0, &weights, 0, expert_rows, result, experts, max_rows, columns, depth);
}

extern "C" __global__ void __launch_bounds__(256, 1)
    blackwell_gemm_fp8(const __grid_constant__ TensorMap input, const float *input_scales,
                       const __grid_constant__ TensorMap weights, const float *weight_scales, const int *expert_rows,
                       bf16 *result, int experts, int max_rows, int columns, int depth) {
    grouped<true>(&input, input_scales, &weights, weight_scales, expert_rows, result, experts, max_rows, columns,
                  depth);
}

#endif
