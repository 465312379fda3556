// Quantisation to e4m3 with a scale per block: a row's 128 numbers for activations, 128 x 128 for weights.
//
// scale = largest magnitude / 448, or 1 where all are zero; number = round(value / scale). Widths that are no multiple
// of 128 end in a shorter block. Launch of the row kernels: 256 threads, a block per row, a warp per scale; of the tile
// kernel: 256 threads, grid x = ceil(columns / 128), y = ceil(rows / 128), z = matrices.
#include "vectors.cuh"
#include "instructions.cuh"

#define SCALE_BLOCK 128
#define WARP 32
#define LARGEST 448.0f

__device__ __forceinline__ float warp_largest(float value) {
    for (int distance = WARP / 2; distance > 0; distance /= 2)
        value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, distance));
    return value;
}

__device__ __forceinline__ float scale_of(float largest) { return largest > 0.0f ? largest / LARGEST : 1.0f; }

// A warp's block of up to 128 numbers, four each lane, of which `count` exist.
__device__ __forceinline__ void quantize_block(const float (&values)[4], fp8 *quantized, float *scale, int count) {
    int lane = threadIdx.x % WARP;
    float largest = 0.0f;
#pragma unroll
    for (int i = 0; i < 4; ++i) largest = fmaxf(largest, fabsf(values[i]));
    float factor = scale_of(warp_largest(largest));
    if (lane == 0) *scale = factor;
    unsigned int word = e4m3_pair(values[0] / factor, values[1] / factor) |
                        (unsigned int)e4m3_pair(values[2] / factor, values[3] / factor) << 16;
    if (lane * 4 + 3 < count && ((unsigned long long)quantized & 3ull) == 0) {
        ((unsigned int *)quantized)[lane] = word;
        return;
    }
    for (int i = 0; i < 4; ++i)
        if (lane * 4 + i < count) quantized[lane * 4 + i] = (fp8)(word >> 8 * i);
}

extern "C" __global__ void fp8_quantize_rows(const bf16 *values, fp8 *quantized, float *scales, int rows,
                                             int columns) {
    int row = blockIdx.x, blocks = (columns + SCALE_BLOCK - 1) / SCALE_BLOCK;
    if (row >= rows) return;
    for (int block = threadIdx.x / WARP; block < blocks; block += blockDim.x / WARP) {
        int first = block * SCALE_BLOCK, count = columns - first < SCALE_BLOCK ? columns - first : SCALE_BLOCK;
        const bf16 *from = values + (long long)row * columns + first;
        float mine[4];
        for (int i = 0; i < 4; ++i) {
            int at = threadIdx.x % WARP * 4 + i;
            mine[i] = at < count ? bf16_to_float(from[at]) : 0.0f;
        }
        quantize_block(mine, quantized + (long long)row * columns + first, scales + (long long)row * blocks + block,
                       count);
    }
}

// SwiGLU and quantisation of its result, which never reaches memory in 16 bits; it is rounded to them all the same, so
// that both ways agree.
extern "C" __global__ void moe_swiglu_fp8(const bf16 *gate_and_up, const int *expert_start, fp8 *activated,
                                          float *scales, int experts, int inner) {
    int row = blockIdx.x, blocks = (inner + SCALE_BLOCK - 1) / SCALE_BLOCK;
    if (row >= expert_start[experts]) return;
    const bf16 *gates = gate_and_up + (long long)row * 2 * inner;
    for (int block = threadIdx.x / WARP; block < blocks; block += blockDim.x / WARP) {
        int first = block * SCALE_BLOCK, count = inner - first < SCALE_BLOCK ? inner - first : SCALE_BLOCK;
        float mine[4];
        for (int i = 0; i < 4; ++i) {
            int at = threadIdx.x % WARP * 4 + i;
            float value = at < count ? silu_times(bf16_to_float(gates[first + at]),
                                                  bf16_to_float(gates[inner + first + at]))
                                     : 0.0f;
            mine[i] = bf16_to_float(float_to_bf16(value));
        }
        quantize_block(mine, activated + (long long)row * inner + first, scales + (long long)row * blocks + block,
                       count);
    }
}

// Weights: matrices of rows x columns, one after the other; a scale per 128 x 128.
extern "C" __global__ void fp8_quantize_tiles(const bf16 *values, fp8 *quantized, float *scales, int rows,
                                              int columns) {
    __shared__ float largest_of_warp[8];
    int first_row = blockIdx.y * SCALE_BLOCK, first_column = blockIdx.x * SCALE_BLOCK;
    long long matrix = (long long)blockIdx.z * rows * columns;
    float largest = 0.0f;
    for (int index = threadIdx.x; index < SCALE_BLOCK * SCALE_BLOCK; index += blockDim.x) {
        int row = first_row + index / SCALE_BLOCK, column = first_column + index % SCALE_BLOCK;
        if (row < rows && column < columns)
            largest = fmaxf(largest, fabsf(bf16_to_float(values[matrix + (long long)row * columns + column])));
    }
    largest = warp_largest(largest);
    if (threadIdx.x % WARP == 0) largest_of_warp[threadIdx.x / WARP] = largest;
    __syncthreads();
    for (int warp = 0; warp < (int)blockDim.x / WARP; ++warp) largest = fmaxf(largest, largest_of_warp[warp]);
    float scale = scale_of(largest);
    if (threadIdx.x == 0)
        scales[((long long)blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x] = scale;
    for (int index = threadIdx.x; index < SCALE_BLOCK * SCALE_BLOCK / 2; index += blockDim.x) {
        int row = first_row + index / (SCALE_BLOCK / 2), column = first_column + index % (SCALE_BLOCK / 2) * 2;
        if (row >= rows || column >= columns) continue;
        long long at = matrix + (long long)row * columns + column;
        bool both = column + 1 < columns;
        unsigned short pair = e4m3_pair(bf16_to_float(values[at]) / scale,
                                        both ? bf16_to_float(values[at + 1]) / scale : 0.0f);
        quantized[at] = (fp8)pair;
        if (both) quantized[at + 1] = (fp8)(pair >> 8);
    }
}
