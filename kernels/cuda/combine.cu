// Combine: each token is the weighted sum of the rows its experts returned, in order of choice.
//
// Launch: 256 threads, a block per token. A slot without a row (its expert was full) adds nothing.
#include "moe.cuh"

extern "C" __global__ void moe_combine(const bf16 *rows, const int *row_of_slot, const float *weights, bf16 *combined,
                                       int k, int hidden) {
    long long token = blockIdx.x;
    for (int column = threadIdx.x; column < hidden; column += blockDim.x) {
        float sum = 0.0f;
        for (int choice = 0; choice < k; ++choice) {
            int row = row_of_slot[token * k + choice];
            if (row != NO_ROW) sum += weights[token * k + choice] * bf16_to_float(rows[(long long)row * hidden + column]);
        }
        combined[token * hidden + column] = float_to_bf16(sum);
    }
}
