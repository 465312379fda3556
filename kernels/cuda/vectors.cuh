// Rows as pieces of 16 bytes, eight bfloats each: what memory moves best.
#pragma once
#include "moe.cuh"

// Bfloats of a piece.
#define PIECE 8

__device__ __forceinline__ uint4 load_piece(const bf16 *row, int piece) { return ((const uint4 *)row)[piece]; }
__device__ __forceinline__ void store_piece(bf16 *row, int piece, uint4 value) { ((uint4 *)row)[piece] = value; }

__device__ __forceinline__ void unpack(uint4 piece, float (&values)[PIECE]) {
    unsigned int words[4] = {piece.x, piece.y, piece.z, piece.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        values[2 * i] = bf16_to_float((bf16)words[i]);
        values[2 * i + 1] = bf16_to_float((bf16)(words[i] >> 16));
    }
}

__device__ __forceinline__ uint4 pack(const float (&values)[PIECE]) {
    unsigned int words[4];
#pragma unroll
    for (int i = 0; i < 4; ++i)
        words[i] = float_to_bf16(values[2 * i]) | (unsigned int)float_to_bf16(values[2 * i + 1]) << 16;
    return make_uint4(words[0], words[1], words[2], words[3]);
}

__device__ __forceinline__ float silu_times(float gate, float up) { return gate / (1.0f + expf(-gate)) * up; }
