// Products on the tensor cores of single warps: the router's, and those of experts in bfloat16 and e4m3.
//
// Launch: 256 threads, 98,304 bytes of dynamic shared memory, and for experts any number of blocks up to what the device
// holds at once: each walks over tiles until none is left. Widths are multiples of 16 bytes; every row begins on one.
// Arguments as in grouping.cuh: contiguous rows with max_rows 0, masked ones otherwise.
#include "tensor_tile.cuh"

#define BAND 8

template <bool FP8>
__device__ __forceinline__ void grouped(const unsigned char *input, const float *input_scales,
                                        const unsigned char *weights, const float *weight_scales,
                                        const int *expert_rows, bf16 *result, int experts, int max_rows, int columns,
                                        int depth) {
    DYNAMIC_SHARED(memory);
    long long depth_bytes = FP8 ? depth : 2ll * depth;
    long long blocks = (depth + SCALE_BLOCK - 1) / SCALE_BLOCK;
    long long column_blocks = (columns + SCALE_BLOCK - 1) / SCALE_BLOCK;
    TileWalk<TILE_ROWS, TILE_COLUMNS, BAND> walk;
    walk.start(expert_rows, max_rows, experts, columns, blockIdx.x, gridDim.x);
    Tile tile;
    while (walk.next(tile)) {
        Operands operands;
        operands.left = input + tile.first_row * depth_bytes;
        operands.right = weights + ((long long)tile.expert * columns + tile.first_column) * depth_bytes;
        operands.depth_bytes = depth_bytes;
        operands.left_rows = tile.end_row - tile.first_row;
        operands.right_rows = columns - tile.first_column;
        Scales scales = {0, 0};
        if (FP8) {
            scales.left = input_scales + tile.first_row * blocks;
            scales.right =
                weight_scales + (tile.expert * column_blocks + tile.first_column / SCALE_BLOCK) * blocks;
        }
        float sums[4][4][4] = {};
        multiply_tile<FP8>(sums, memory, operands, scales);
        for (int block = 0; block < 4; ++block)
            for (int half = 0; half < 2; ++half)
                for (int column = 0; column < 4; ++column) {
                    int row = tile.first_row + fragment_row(block, half * 2);
                    int at = tile.first_column + fragment_column(column, 0);
                    if (row >= tile.end_row || at >= columns) continue;
                    unsigned int pair = float_to_bf16(sums[block][column][half * 2]) |
                                        (unsigned int)float_to_bf16(sums[block][column][half * 2 + 1]) << 16;
                    *(unsigned int *)(result + (long long)row * columns + at) = pair;
                }
    }
}

extern "C" __global__ void __launch_bounds__(TILE_THREADS, 1)
    moe_gemm_bf16(const bf16 *input, const bf16 *weights, const int *expert_rows, bf16 *result, int experts,
                  int max_rows, int columns, int depth) {
    grouped<false>((const unsigned char *)input, 0, (const unsigned char *)weights, 0, expert_rows, result, experts,
                   max_rows, columns, depth);
}

#if defined(ORRERY_EMULATED) || __CUDA_ARCH__ >= 890
extern "C" __global__ void __launch_bounds__(TILE_THREADS, 1)
    moe_gemm_fp8(const fp8 *input, const float *input_scales, const fp8 *weights, const float *weight_scales,
                 const int *expert_rows, bf16 *result, int experts, int max_rows, int columns, int depth) {
    grouped<true>(input, input_scales, weights, weight_scales, expert_rows, result, experts, max_rows, columns, depth);
}
#endif

// Logits of the router in full precision: activations [tokens, hidden] times weights [experts, hidden].
// Grid: x = ceil(experts / 128), y = ceil(tokens / 128).
extern "C" __global__ void __launch_bounds__(TILE_THREADS, 1)
    moe_router(const bf16 *activations, const bf16 *weights, float *logits, int tokens, int experts, int hidden) {
    DYNAMIC_SHARED(stages);
    int first_token = blockIdx.y * TILE_ROWS, first_expert = blockIdx.x * TILE_COLUMNS;
    Operands operands;
    operands.left = (const unsigned char *)(activations + (long long)first_token * hidden);
    operands.right = (const unsigned char *)(weights + (long long)first_expert * hidden);
    operands.depth_bytes = 2ll * hidden;
    operands.left_rows = tokens - first_token;
    operands.right_rows = experts - first_expert;
    Scales none = {0, 0};
    float sums[4][4][4] = {};
    multiply_tile<false>(sums, stages, operands, none);
    for (int block = 0; block < 4; ++block)
        for (int column = 0; column < 4; ++column)
            for (int part = 0; part < 4; ++part) {
                int token = first_token + fragment_row(block, part);
                int expert = first_expert + fragment_column(column, part);
                if (token < tokens && expert < experts)
                    logits[(long long)token * experts + expert] = sums[block][column][part];
            }
}
