// Products of experts for Hopper (sm_90a): bulk copies feed the tensor cores of warpgroups, bfloat16 and e4m3.
//
// Launch: 384 threads, 197,120 bytes of dynamic shared memory, a block per execution unit: each walks over tiles of 128
// rows x 256 columns until none is left. The first warpgroup copies, the other two multiply, 64 rows each. Maps: input
// [rows, depth] with boxes of 128 rows x 128 bytes, weights [experts * columns, depth] with boxes of 256 rows x 128
// bytes, both with 128-byte swizzling. `columns` is a multiple of 8. A box that reaches beyond the rows of its expert
// reads somebody else's, and what comes of them is not stored.
#include "grouping.cuh"
#include "instructions.cuh"

#define ROWS 128
#define COLUMNS 256
#define BAND 8
#define STAGES 4
#define LEFT_BYTES (ROWS * 128)
#define RIGHT_BYTES (COLUMNS * 128)
#define STAGE_BYTES (LEFT_BYTES + RIGHT_BYTES)
#define SCALE_BLOCK 128
#define WARPGROUP 128
// Warps that multiply. Each says by itself when it is done with a stage: nothing orders one warp of a warpgroup after
// the others.
#define CONSUMERS 8

#if defined(ORRERY_EMULATED) || defined(__CUDA_ARCH_FEAT_SM90_ALL)

// Which stage comes next, and in which pass over the stages.
struct Position {
    int stage;
    unsigned int parity;

    __device__ __forceinline__ void advance() {
        if (++stage == STAGES) {
            stage = 0;
            parity ^= 1u;
        }
    }
};

typedef TileWalk<ROWS, COLUMNS, BAND> Walk;

// One thread: fills stages as they become free.
template <bool FP8>
__device__ __forceinline__ void produce(const TensorMap *input, const TensorMap *weights, unsigned char *memory,
                                        unsigned long long *full, unsigned long long *empty, Walk walk, int columns,
                                        int chunks) {
    Position position = {0, 1};  // a stage that nobody has used yet counts as free
    Tile tile;
    while (walk.next(tile)) {
        for (int chunk = 0; chunk < chunks; ++chunk) {
            unsigned char *stage = memory + position.stage * STAGE_BYTES;
            unsigned long long *barrier = full + position.stage;
            barrier_wait(empty + position.stage, position.parity);
            barrier_arrive_expect(barrier, STAGE_BYTES);
            int x = chunk * (FP8 ? 128 : 64);
            tensor_load(stage, input, x, tile.first_row, barrier);
            tensor_load(stage + LEFT_BYTES, weights, x, tile.expert * columns + tile.first_column, barrier);
            position.advance();
        }
    }
}

// Starts the products of one stage: 64 rows times one half of the columns, four steps of 32 bytes.
template <bool FP8>
__device__ __forceinline__ void multiply_half(float (&sums)[64], unsigned int left, unsigned int right,
                                              int accumulate) {
#pragma unroll
    for (int step = 0; step < 4; ++step) {
        unsigned long long a = hopper_descriptor(left + step * 32), b = hopper_descriptor(right + step * 32);
        if (FP8) warpgroup_multiply_fp8(sums, a, b, accumulate || step > 0);
        else warpgroup_multiply_bf16(sums, a, b, accumulate || step > 0);
    }
}

// Four numbers of a quad's lanes change places: lane i ends with number i of every lane, in order of lanes.
__device__ __forceinline__ void exchange_in_quad(unsigned int (&words)[4], int lane) {
#pragma unroll
    for (int distance = 1; distance < 4; distance *= 2) {
        bool upper = (lane & distance) != 0;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            if (i & distance) continue;
            unsigned int given = upper ? words[i] : words[i + distance];
            unsigned int taken = __shfl_xor_sync(0xffffffffu, given, distance);
            if (upper) words[i] = taken;
            else words[i + distance] = taken;
        }
    }
}

// Rounds and stores half the columns of a warpgroup: a lane holds pairs of rows r and r + 8 in every block of 8 columns.
__device__ __forceinline__ void store_half(const float (&sums)[64], bf16 *result, int row, int end_row, int column,
                                           int columns) {
    int lane = threadIdx.x % 4;
#pragma unroll
    for (int half = 0; half < 2; ++half)
#pragma unroll
        for (int four = 0; four < 4; ++four) {
            unsigned int words[4];
#pragma unroll
            for (int block = 0; block < 4; ++block) {
                int at = (four * 4 + block) * 4 + half * 2;
                words[block] = float_to_bf16(sums[at]) | (unsigned int)float_to_bf16(sums[at + 1]) << 16;
            }
            exchange_in_quad(words, lane);
            int to_row = row + half * 8, to_column = column + (four * 4 + lane) * 8;
            if (to_row < end_row && to_column < columns)
                *(uint4 *)(result + (long long)to_row * columns + to_column) =
                    make_uint4(words[0], words[1], words[2], words[3]);
        }
}

// sums += partial, scaled: pairs of numbers belong to rows r and r + 8 in turn.
__device__ __forceinline__ void add_scaled(float (&sums)[64], const float (&partial)[64], float upper, float lower) {
#pragma unroll
    for (int i = 0; i < 64; ++i) sums[i] += partial[i] * (i / 2 % 2 ? lower : upper);
}

// Where the scales of a thread's two rows and of a tile's two halves are.
struct ScaleRows {
    const float *upper;
    const float *lower;
    const float *left_half;
    const float *right_half;
};

// Eight-bit products: summed apart over each stage, which is SCALE_BLOCK deep, then scaled and added. Tensor cores keep
// 14 bits of such sums (DeepSeek-V3, section 3.3.2). While one warpgroup adds, the other multiplies.
__device__ __forceinline__ void consume_scaled(float (&sums)[2][64], unsigned int memory, int group,
                                               unsigned long long *full, unsigned long long *empty,
                                               Position &position, int chunks, const ScaleRows &scales) {
    for (int chunk = 0; chunk < chunks; ++chunk) {
        float upper = scales.upper ? scales.upper[chunk] : 0.0f, lower = scales.lower ? scales.lower[chunk] : 0.0f;
        float of_half[2] = {scales.left_half[chunk], scales.right_half ? scales.right_half[chunk] : 0.0f};
        unsigned int left = memory + position.stage * STAGE_BYTES + group * 64 * 128;
        unsigned int right = memory + position.stage * STAGE_BYTES + LEFT_BYTES;
        barrier_wait(full + position.stage, position.parity);
        // A loop and not two copies: its partial sums take the same registers twice.
        float partial[64];
#pragma unroll 1
        for (int half = 0; half < 2; ++half) {
            hold(partial);
            warpgroup_fence();
            multiply_half<true>(partial, left, right + half * (RIGHT_BYTES / 2), 0);
            warpgroup_commit();
            warpgroup_wait<0>();
            hold(partial);
            if (half == 0) {
                add_scaled(sums[0], partial, upper * of_half[0], lower * of_half[0]);
            } else {
                if (threadIdx.x % 32 == 0) barrier_arrive(empty + position.stage);
                add_scaled(sums[1], partial, upper * of_half[1], lower * of_half[1]);
            }
        }
        position.advance();
    }
}

// Bfloats: the products of one stage run while those of the next are started; a stage is free once its own are done.
__device__ __forceinline__ void consume_plain(float (&sums)[2][64], unsigned int memory, int group,
                                              unsigned long long *full, unsigned long long *empty,
                                              Position &position, int chunks) {
    int before = -1;
    hold(sums[0]);
    hold(sums[1]);
#pragma unroll 1
    for (int chunk = 0; chunk < chunks; ++chunk) {
        unsigned int left = memory + position.stage * STAGE_BYTES + group * 64 * 128;
        unsigned int right = memory + position.stage * STAGE_BYTES + LEFT_BYTES;
        barrier_wait(full + position.stage, position.parity);
        warpgroup_fence();
        multiply_half<false>(sums[0], left, right, 1);
        multiply_half<false>(sums[1], left, right + RIGHT_BYTES / 2, 1);
        warpgroup_commit();
        warpgroup_wait<1>();
        if (before >= 0 && threadIdx.x % 32 == 0) barrier_arrive(empty + before);
        before = position.stage;
        position.advance();
    }
    warpgroup_wait<0>();
    hold(sums[0]);
    hold(sums[1]);
    if (before >= 0 && threadIdx.x % 32 == 0) barrier_arrive(empty + before);
}

template <bool FP8>
__device__ __forceinline__ void grouped(const TensorMap *input, const float *input_scales, const TensorMap *weights,
                                        const float *weight_scales, const int *expert_rows, bf16 *result, int experts,
                                        int max_rows, int columns, int depth) {
    DYNAMIC_SHARED(memory);
    unsigned long long *full = (unsigned long long *)(memory + STAGES * STAGE_BYTES);
    unsigned long long *empty = full + STAGES;
    int chunks = (depth + (FP8 ? 128 : 64) - 1) / (FP8 ? 128 : 64);
    if (threadIdx.x == 0) {
        for (int stage = 0; stage < STAGES; ++stage) {
            barrier_init(full + stage, 1);
            barrier_init(empty + stage, CONSUMERS);
        }
        barrier_init_fence();
    }
    __syncthreads();
    Walk walk;
    walk.start(expert_rows, max_rows, experts, columns, blockIdx.x, gridDim.x);
    int group = (int)threadIdx.x / WARPGROUP - 1;
    if (group < 0) {
        registers_fewer<24>();
        if (threadIdx.x == 0) produce<FP8>(input, weights, memory, full, empty, walk, columns, chunks);
        return;
    }
    registers_more<240>();
    Position position = {0, 0};
    Tile tile;
    int line = threadIdx.x % WARPGROUP / 32 * 16 + threadIdx.x % 32 / 4;
    while (walk.next(tile)) {
        float sums[2][64];
#pragma unroll
        for (int i = 0; i < 64; ++i) sums[0][i] = sums[1][i] = 0.0f;
        int row = tile.first_row + group * 64 + line;
        if (FP8) {
            int column_block = tile.first_column / SCALE_BLOCK, blocks = (columns + SCALE_BLOCK - 1) / SCALE_BLOCK;
            const float *of_columns = weight_scales + ((long long)tile.expert * blocks + column_block) * chunks;
            ScaleRows scales;
            scales.upper = row < tile.end_row ? input_scales + (long long)row * chunks : 0;
            scales.lower = row + 8 < tile.end_row ? input_scales + (row + 8ll) * chunks : 0;
            scales.left_half = of_columns;
            scales.right_half = column_block + 1 < blocks ? of_columns + chunks : 0;
            consume_scaled(sums, shared_address(memory), group, full, empty, position, chunks, scales);
        } else {
            consume_plain(sums, shared_address(memory), group, full, empty, position, chunks);
        }
#pragma unroll
        for (int half = 0; half < 2; ++half)
            store_half(sums[half], result, row, tile.end_row, tile.first_column + half * (COLUMNS / 2), columns);
    }
}

extern "C" __global__ void __launch_bounds__(384, 1)
    hopper_gemm_bf16(const __grid_constant__ TensorMap input, const __grid_constant__ TensorMap weights,
                     const int *expert_rows, bf16 *result, int experts, int max_rows, int columns, int depth) {
    grouped<false>(&input, 0, &weights, 0, expert_rows, result, experts, max_rows, columns, depth);
}

extern "C" __global__ void __launch_bounds__(384, 1)
    hopper_gemm_fp8(const __grid_constant__ TensorMap input, const float *input_scales,
                    const __grid_constant__ TensorMap weights, const float *weight_scales, const int *expert_rows,
                    bf16 *result, int experts, int max_rows, int columns, int depth) {
    grouped<true>(&input, input_scales, &weights, weight_scales, expert_rows, result, experts, max_rows, columns,
                  depth);
}

#endif
