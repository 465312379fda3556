// What every kernel of the forward path shares: bfloat16 by hand, so that NVRTC needs no header beside this one.
#pragma once

typedef unsigned short bf16;

// A slot whose expert was full has no row.
#define NO_ROW (-1)

// Exact: a bfloat16 is the upper half of a float.
__device__ __forceinline__ float bf16_to_float(bf16 value) {
    return __uint_as_float((unsigned int)value << 16);
}

// Rounds to nearest, ties to even; a NaN stays a quiet NaN.
__device__ __forceinline__ bf16 float_to_bf16(float value) {
    unsigned int bits = __float_as_uint(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (bf16)((bits >> 16) | 0x40u);
    return (bf16)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}
