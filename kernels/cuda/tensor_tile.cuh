// A 128 x 128 tile of a product on the tensor cores of single warps (sm_80 and after): bfloats, or numbers of 8 bits
// with scales.
//
// 256 threads: warps 2 x 4, each 64 rows x 32 columns. Stages of 128 bytes of depth go through shared memory by
// asynchronous copies, swizzled so that no two rows of a fragment share a bank. Depth is a multiple of 16 bytes.
#pragma once
#include "grouping.cuh"
#include "instructions.cuh"

#define TILE_ROWS 128
#define TILE_COLUMNS 128
#define TILE_THREADS 256
#define TILE_STAGES 3
#define STAGE_BYTES ((TILE_ROWS + TILE_COLUMNS) * 128)
// Numbers that share a scale: of activations along the depth, of weights along depth and columns.
#define SCALE_BLOCK 128

// What a tile is made of: both operands row by row, `depth_bytes` each row, left_rows and right_rows of them from here.
struct Operands {
    const unsigned char *left;
    const unsigned char *right;
    long long depth_bytes;
    int left_rows;
    int right_rows;
};

// Starts the copies of stage `chunk`; what lies beyond rows or depth is zeros.
__device__ __forceinline__ void load_stage(unsigned char *stage, const Operands &operands, int chunk) {
    for (int piece = threadIdx.x; piece < (TILE_ROWS + TILE_COLUMNS) * 8; piece += TILE_THREADS) {
        int row = piece / 8, byte = piece % 8 * 16;
        long long at = (long long)chunk * 128 + byte;
        bool is_left = row < TILE_ROWS;
        int line = is_left ? row : row - TILE_ROWS;
        const unsigned char *from = is_left ? operands.left : operands.right;
        bool valid = at < operands.depth_bytes && line < (is_left ? operands.left_rows : operands.right_rows);
        unsigned char *to = stage + (is_left ? 0 : TILE_ROWS * 128) + swizzled(line, byte);
        copy_async_16(to, valid ? from + line * operands.depth_bytes + at : from, valid);
    }
    copy_async_commit();
}

// sums += the products of one stage. A warp holds 4 x 4 fragments of 16 x 8.
template <bool FP8>
__device__ __forceinline__ void multiply_stage(float (&sums)[4][4][4], const unsigned char *stage) {
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int first_row = warp / 4 * 64, first_column = warp % 4 * 32;
    const unsigned char *right = stage + TILE_ROWS * 128;
    for (int step = 0; step < 4; ++step) {
        unsigned int columns[2][4];
        for (int pair = 0; pair < 2; ++pair) {
            int row = first_column + pair * 16 + lane / 16 * 8 + lane % 8;
            load_matrices(columns[pair], right + swizzled(row, step * 32 + lane / 8 % 2 * 16));
        }
        for (int block = 0; block < 4; ++block) {
            unsigned int rows[4];
            int row = first_row + block * 16 + lane % 16;
            load_matrices(rows, stage + swizzled(row, step * 32 + lane / 16 * 16));
            for (int column = 0; column < 4; ++column) {
                unsigned int low = columns[column / 2][column % 2 * 2], high = columns[column / 2][column % 2 * 2 + 1];
#if defined(ORRERY_EMULATED) || __CUDA_ARCH__ >= 890
                if (FP8) {
                    multiply_fp8(sums[block][column], rows, low, high);
                    continue;
                }
#endif
                multiply_bf16(sums[block][column], rows, low, high);
            }
        }
    }
}

// Where a thread's number `part` of fragment (block, column) lies in the tile.
__device__ __forceinline__ int fragment_row(int block, int part) {
    return threadIdx.x / 32 / 4 * 64 + block * 16 + threadIdx.x % 32 / 4 + part / 2 * 8;
}
__device__ __forceinline__ int fragment_column(int column, int part) {
    return threadIdx.x / 32 % 4 * 32 + column * 8 + threadIdx.x % 4 * 2 + part % 2;
}

// Scales of a product of 8-bit numbers: left one per row and SCALE_BLOCK of depth, right one per SCALE_BLOCK of depth,
// for this tile's columns (a tile begins on a multiple of SCALE_BLOCK columns). Null for bfloats.
struct Scales {
    const float *left;
    const float *right;
};

// The whole tile. 8-bit products are summed apart over SCALE_BLOCK of depth, then scaled and added: tensor cores keep
// 14 bits of such sums (DeepSeek-V3, section 3.3.2).
template <bool FP8>
__device__ __forceinline__ void multiply_tile(float (&sums)[4][4][4], unsigned char *memory, const Operands &operands,
                                              const Scales &scales) {
    int chunks = (int)((operands.depth_bytes + 127) / 128);
    for (int chunk = 0; chunk < TILE_STAGES - 1; ++chunk) {
        if (chunk < chunks) load_stage(memory + chunk * STAGE_BYTES, operands, chunk);
        else copy_async_commit();
    }
    for (int chunk = 0; chunk < chunks; ++chunk) {
        copy_async_wait<TILE_STAGES - 2>();
        __syncthreads();  // everybody's copies have landed, and nobody reads the stage that is loaded next
        int ahead = chunk + TILE_STAGES - 1;
        if (ahead < chunks) load_stage(memory + ahead % TILE_STAGES * STAGE_BYTES, operands, ahead);
        else copy_async_commit();
        const unsigned char *stage = memory + chunk % TILE_STAGES * STAGE_BYTES;
        if (!FP8) {
            multiply_stage<FP8>(sums, stage);
            continue;
        }
        float partial[4][4][4] = {};
        multiply_stage<FP8>(partial, stage);
        float right = scales.right[chunk];
        for (int block = 0; block < 4; ++block)
            for (int half = 0; half < 2; ++half) {
                int row = fragment_row(block, half * 2);
                float scale = row < operands.left_rows ? scales.left[(long long)row * chunks + chunk] * right : 0.0f;
                for (int column = 0; column < 4; ++column)
                    for (int part = 0; part < 2; ++part)
                        sums[block][column][half * 2 + part] += partial[block][column][half * 2 + part] * scale;
            }
    }
    __syncthreads();  // the next tile may write where this one was read
}
