// Top-k gate: a warp per token picks its experts and their weights from the router's logits.
//
// Launch: blocks of 128 threads (4 tokens), grid of ceil(tokens / 4). Logits must be finite, k at most 8 and
// at most `experts`. Ties go to the lower expert, so the choice is the same on every run.
#include "moe.cuh"

#define MAX_TOP_K 8
#define WARP 32
#define TOKENS_PER_BLOCK 4
#define WHOLE_WARP 0xffffffffu

// The best (key, expert) of the warp, known to every lane afterwards.
__device__ __forceinline__ void warp_best(float &key, int &expert) {
    for (int distance = WARP / 2; distance > 0; distance /= 2) {
        float other_key = __shfl_xor_sync(WHOLE_WARP, key, distance);
        int other = __shfl_xor_sync(WHOLE_WARP, expert, distance);
        bool better = other_key > key || (other_key == key && other < expert);
        key = better ? other_key : key;
        expert = better ? other : expert;
    }
}

__device__ __forceinline__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

// The sum of exp(logit - highest) over all experts, and the highest logit.
__device__ __forceinline__ float softmax_denominator(const float *logits, int experts, int lane, float &highest) {
    highest = -__int_as_float(0x7f800000);
    for (int expert = lane; expert < experts; expert += WARP) highest = fmaxf(highest, logits[expert]);
    for (int distance = WARP / 2; distance > 0; distance /= 2)
        highest = fmaxf(highest, __shfl_xor_sync(WHOLE_WARP, highest, distance));
    float sum = 0.0f;
    for (int expert = lane; expert < experts; expert += WARP) sum += expf(logits[expert] - highest);
    for (int distance = WARP / 2; distance > 0; distance /= 2) sum += __shfl_xor_sync(WHOLE_WARP, sum, distance);
    return sum;
}

template <bool SIGMOID>
__device__ __forceinline__ void gate(const float *logits, const float *bias, int *chosen, float *weights, int tokens,
                                     int experts, int k, int normalize, float scale) {
    int lane = threadIdx.x % WARP;
    int token = blockIdx.x * TOKENS_PER_BLOCK + threadIdx.x / WARP;
    if (token >= tokens) return;  // the whole warp leaves together
    logits += (long long)token * experts;

    float highest = 0.0f, denominator = 1.0f;
    if (!SIGMOID) denominator = softmax_denominator(logits, experts, lane, highest);

    int picks[MAX_TOP_K];
    float scores[MAX_TOP_K];
    float total = 0.0f;
    for (int round = 0; round < k; ++round) {
        float key = -__int_as_float(0x7f800000);
        int best = 0x7fffffff;
        for (int expert = lane; expert < experts; expert += WARP) {
            bool taken = false;
            for (int earlier = 0; earlier < round; ++earlier) taken = taken || picks[earlier] == expert;
            // The bias steers the choice of a sigmoid gate and never its weight (DeepSeek-V3, section 2.1.2).
            float candidate = SIGMOID ? sigmoid(logits[expert]) + (bias ? bias[expert] : 0.0f) : logits[expert];
            if (!taken && candidate > key) {
                key = candidate;
                best = expert;
            }
        }
        warp_best(key, best);
        picks[round] = best;
        scores[round] = SIGMOID ? sigmoid(logits[best]) : expf(logits[best] - highest) / denominator;
        total += scores[round];
    }
    if (lane != 0) return;
    float factor = normalize ? scale / total : scale;
    for (int round = 0; round < k; ++round) {
        chosen[(long long)token * k + round] = picks[round];
        weights[(long long)token * k + round] = scores[round] * factor;
    }
}

extern "C" __global__ void moe_gate_softmax(const float *logits, int *chosen, float *weights, int tokens, int experts,
                                            int k, int normalize, float scale) {
    gate<false>(logits, 0, chosen, weights, tokens, experts, k, normalize, scale);
}

// `bias` may be null.
extern "C" __global__ void moe_gate_sigmoid(const float *logits, const float *bias, int *chosen, float *weights,
                                            int tokens, int experts, int k, int normalize, float scale) {
    gate<true>(logits, bias, chosen, weights, tokens, experts, k, normalize, scale);
}
