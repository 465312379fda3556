// Combine: each token is the weighted sum of the rows its experts returned, in order of choice.
//
// Launch: 256 threads, a block per token. A slot without a row (its expert was full) adds nothing. Hidden widths that
// are multiples of 8 go in pieces of 16 bytes.
#include "vectors.cuh"

extern "C" __global__ void moe_combine(const bf16 *rows, const int *row_of_slot, const float *weights, bf16 *combined,
                                       int k, int hidden) {
    long long token = blockIdx.x;
    if (hidden % PIECE == 0) {
        for (int piece = threadIdx.x; piece < hidden / PIECE; piece += blockDim.x) {
            float sums[PIECE] = {};
            for (int choice = 0; choice < k; ++choice) {
                int row = row_of_slot[token * k + choice];
                if (row == NO_ROW) continue;
                float weight = weights[token * k + choice], values[PIECE];
                unpack(load_piece(rows + (long long)row * hidden, piece), values);
#pragma unroll
                for (int i = 0; i < PIECE; ++i) sums[i] += weight * values[i];
            }
            store_piece(combined + token * hidden, piece, pack(sums));
        }
        return;
    }
    for (int column = threadIdx.x; column < hidden; column += blockDim.x) {
        float sum = 0.0f;
        for (int choice = 0; choice < k; ++choice) {
            int row = row_of_slot[token * k + choice];
            if (row != NO_ROW) sum += weights[token * k + choice] * bf16_to_float(rows[(long long)row * hidden + column]);
        }
        combined[token * hidden + column] = float_to_bf16(sum);
    }
}
