// Grouped matrix product: rows of each expert times that expert's weights, bfloat16 in and out, float sums.
//
// result[row, column] = sum over i of input[row, i] * weights[expert of row, column, i]: weights are stored one
// row per output column. Launch: 256 threads; grid.x = ceil(columns / 64), grid.y = ceil(slots / 64) + experts,
// which bounds the row tiles whatever the routing; blocks without a tile leave at once.
#include "instructions.cuh"

#define TILE 64
#define DEPTH 16
#define THREADS 256

// The rows [first, end) of one expert that this block computes. False where there is nothing left.
struct RowTile {
    int expert;
    int first;
    int end;
};

__device__ __forceinline__ bool find_tile(const int *expert_start, int experts, int index, RowTile &tile) {
    for (int expert = 0; expert < experts; ++expert) {
        int start = expert_start[expert], end = expert_start[expert + 1];
        int tiles = (end - start + TILE - 1) / TILE;
        if (index < tiles) {
            tile.expert = expert;
            tile.first = start + index * TILE;
            tile.end = end;
            return true;
        }
        index -= tiles;
    }
    return false;
}

// Each thread computes 4 x 4 results from tiles in shared memory, by scalar multiply-adds in order of depth.
extern "C" __global__ void moe_grouped_gemm(const bf16 *input, const bf16 *weights, const int *expert_start,
                                            bf16 *result, int experts, int columns, int depth) {
    // One column of padding keeps the transposed stores off one bank.
    __shared__ float left[DEPTH][TILE + 1];
    __shared__ float right[DEPTH][TILE + 1];
    RowTile tile;
    if (!find_tile(expert_start, experts, blockIdx.y, tile)) return;  // the whole block leaves together
    int first_column = blockIdx.x * TILE;
    const bf16 *matrix = weights + (long long)tile.expert * columns * depth;
    int x = threadIdx.x % 16, y = threadIdx.x / 16;
    float sums[4][4] = {};
    for (int start = 0; start < depth; start += DEPTH) {
        for (int index = threadIdx.x; index < TILE * DEPTH; index += THREADS) {
            int line = index / DEPTH, within = index % DEPTH, i = start + within;
            int row = tile.first + line, column = first_column + line;
            bool inside = i < depth;
            left[within][line] = inside && row < tile.end ? bf16_to_float(input[(long long)row * depth + i]) : 0.0f;
            right[within][line] =
                inside && column < columns ? bf16_to_float(matrix[(long long)column * depth + i]) : 0.0f;
        }
        __syncthreads();
        for (int i = 0; i < DEPTH; ++i)
            for (int a = 0; a < 4; ++a)
                for (int b = 0; b < 4; ++b) sums[a][b] += left[i][y + 16 * a] * right[i][x + 16 * b];
        __syncthreads();
    }
    for (int a = 0; a < 4; ++a)
        for (int b = 0; b < 4; ++b) {
            int row = tile.first + y + 16 * a, column = first_column + x + 16 * b;
            if (row < tile.end && column < columns)
                result[(long long)row * columns + column] = float_to_bf16(sums[a][b]);
        }
}

// The same product on tensor cores: 8 warps, each 16 rows by 32 columns of the tile. Sums are taken in another
// order than by moe_grouped_gemm, so the last bit of a result may differ.
extern "C" __global__ void moe_grouped_gemm_tensor(const bf16 *input, const bf16 *weights, const int *expert_start,
                                                   bf16 *result, int experts, int columns, int depth) {
    // Eight elements of padding spread the rows that one fragment load touches over all banks.
    __shared__ __align__(16) bf16 left[TILE][DEPTH + 8];
    __shared__ __align__(16) bf16 right[TILE][DEPTH + 8];
    RowTile tile;
    if (!find_tile(expert_start, experts, blockIdx.y, tile)) return;  // the whole block leaves together
    int first_column = blockIdx.x * TILE;
    const bf16 *matrix = weights + (long long)tile.expert * columns * depth;
    int warp = threadIdx.x / 32, group = threadIdx.x % 32 / 4, pair = threadIdx.x % 4 * 2;
    int warp_row = warp % 4 * 16, warp_column = warp / 4 * 32;
    float sums[4][4] = {};
    for (int start = 0; start < depth; start += DEPTH) {
        for (int index = threadIdx.x; index < TILE * DEPTH; index += THREADS) {
            int line = index / DEPTH, within = index % DEPTH, i = start + within;
            int row = tile.first + line, column = first_column + line;
            left[line][within] = i < depth && row < tile.end ? input[(long long)row * depth + i] : (bf16)0;
            right[line][within] = i < depth && column < columns ? matrix[(long long)column * depth + i] : (bf16)0;
        }
        __syncthreads();
        // Fragments as the PTX manual lays them out: a lane holds pairs at rows `group` and `group + 8`.
        unsigned int rows[4];
        for (int part = 0; part < 4; ++part)
            rows[part] = *(const unsigned int *)&left[warp_row + group + part % 2 * 8][pair + part / 2 * 8];
        for (int block = 0; block < 4; ++block) {
            unsigned int lines[2];
            for (int part = 0; part < 2; ++part)
                lines[part] = *(const unsigned int *)&right[warp_column + block * 8 + group][pair + part * 8];
            multiply_bf16(sums[block], rows, lines[0], lines[1]);
        }
        __syncthreads();
    }
    for (int block = 0; block < 4; ++block)
        for (int part = 0; part < 4; ++part) {
            int row = tile.first + warp_row + group + part / 2 * 8;
            int column = first_column + warp_column + block * 8 + pair + part % 2;
            if (row < tile.end && column < columns)
                result[(long long)row * columns + column] = float_to_bf16(sums[block][part]);
        }
}
