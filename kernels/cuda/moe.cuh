// What every kernel of the forward path shares: bfloat16 by hand, so that NVRTC needs no header beside this one.
#pragma once

typedef unsigned short bf16;
// An 8-bit float with 4 bits of exponent and 3 of fraction, no infinity, 448 at most (e4m3fn).
typedef unsigned char fp8;

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

// Rounds to nearest, ties to even, and saturates at 448; a NaN stays one. By hand, for devices without the
// instruction and for the CPU.
__device__ __forceinline__ fp8 float_to_e4m3(float value) {
    unsigned int bits = __float_as_uint(value);
    unsigned int sign = bits >> 24 & 0x80u;
    unsigned int magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return (fp8)(sign | 0x7fu);
    if (magnitude >= 0x43e00000u) return (fp8)(sign | 0x7eu);  // 448 and above
    // Below 2^-6 numbers are spaced 2^-9 apart: adding 2^14 leaves the rounded multiple in the last bits of the sum.
    if (magnitude < 0x3c800000u) return (fp8)(sign | (__float_as_uint(__uint_as_float(magnitude) + 16384.0f) & 0xffu));
    unsigned int rounded = magnitude + 0x7ffffu + (magnitude >> 20 & 1u);
    unsigned int code = (rounded >> 20) - (120u << 3);
    return (fp8)(sign | (code > 0x7eu ? 0x7eu : code));
}

// Exact.
__device__ __forceinline__ float e4m3_to_float(fp8 value) {
    unsigned int sign = (unsigned int)(value & 0x80u) << 24;
    unsigned int magnitude = value & 0x7fu;
    if (magnitude == 0x7fu) return __uint_as_float(sign | 0x7fc00000u);
    if (magnitude < 8u) return __uint_as_float(sign | __float_as_uint((float)magnitude * 0.001953125f));
    return __uint_as_float(sign | (magnitude + (120u << 3)) << 20);
}
