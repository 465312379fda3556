// Top-k gate: a warp per token picks its experts and their weights from the router's logits.
//
// Launch: blocks of 128 threads (4 tokens), grid of ceil(tokens / 4). Logits must be finite, k at most 8 and
// at most `experts`. Ties go to the lower expert, so the choice is the same on every run.
#include "moe.cuh"

#define MAX_TOP_K 8
#define MAX_GROUPS 32
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

// The two largest keys of a group of experts, added: what DeepSeek-V3 chooses groups by. A warp; known to every lane.
__device__ __forceinline__ float best_two(const float *logits, const float *bias, int first, int count, int lane) {
    float best = -__int_as_float(0x7f800000), second = best;
    for (int expert = first + lane; expert < first + count; expert += WARP) {
        float key = sigmoid(logits[expert]) + (bias ? bias[expert] : 0.0f);
        if (key > best) {
            second = best;
            best = key;
        } else if (key > second) {
            second = key;
        }
    }
    for (int distance = WARP / 2; distance > 0; distance /= 2) {
        float other_best = __shfl_xor_sync(WHOLE_WARP, best, distance);
        float other_second = __shfl_xor_sync(WHOLE_WARP, second, distance);
        float lower = fminf(best, other_best);
        best = fmaxf(best, other_best);
        second = fmaxf(lower, fmaxf(second, other_second));
    }
    return best + second;
}

// Sigmoid with bias, where only experts of the best `kept` of `groups` groups may be chosen (DeepSeek-V3, section
// 2.1.2). `groups` divides `experts`, at most 32 groups of at least 2 experts; kept * experts / groups >= k.
extern "C" __global__ void moe_gate_groups(const float *logits, const float *bias, int *chosen, float *weights,
                                           int tokens, int experts, int groups, int kept, int k, int normalize,
                                           float scale) {
    int lane = threadIdx.x % WARP;
    int token = blockIdx.x * TOKENS_PER_BLOCK + threadIdx.x / WARP;
    if (token >= tokens) return;  // the whole warp leaves together
    logits += (long long)token * experts;
    int size = experts / groups;
    float key_of_lane = -__int_as_float(0x7f800000);  // lane g holds the key of group g
    for (int group = 0; group < groups; ++group) {
        float key = best_two(logits, bias, group * size, size, lane);
        if (lane == group) key_of_lane = key;
    }
    unsigned int allowed = 0;
    for (int round = 0; round < kept; ++round) {
        float key = lane < groups && !(allowed >> lane & 1u) ? key_of_lane : -__int_as_float(0x7f800000);
        int best = lane < groups && !(allowed >> lane & 1u) ? lane : 0x7fffffff;
        warp_best(key, best);
        allowed |= 1u << best;
    }
    int picks[MAX_TOP_K];
    float scores[MAX_TOP_K];
    float total = 0.0f;
    for (int round = 0; round < k; ++round) {
        float key = -__int_as_float(0x7f800000);
        int best = 0x7fffffff;
        for (int expert = lane; expert < experts; expert += WARP) {
            bool taken = !(allowed >> expert / size & 1u);
            for (int earlier = 0; earlier < round; ++earlier) taken = taken || picks[earlier] == expert;
            float candidate = sigmoid(logits[expert]) + (bias ? bias[expert] : 0.0f);
            if (!taken && candidate > key) {
                key = candidate;
                best = expert;
            }
        }
        warp_best(key, best);
        picks[round] = best;
        scores[round] = sigmoid(logits[best]);
        total += scores[round];
    }
    if (lane != 0) return;
    float factor = normalize ? scale / total : scale;
    for (int round = 0; round < k; ++round) {
        chosen[(long long)token * k + round] = picks[round];
        weights[(long long)token * k + round] = scores[round] * factor;
    }
}

// 32 well-mixed bits of (seed, token, expert): the finaliser of MurmurHash3 over a 64-bit word, its upper half.
__device__ __forceinline__ unsigned int mixed(unsigned long long seed, unsigned int token, unsigned int expert) {
    unsigned long long word = seed + ((unsigned long long)token << 32 | expert) * 0x9e3779b97f4a7c15ull;
    word = (word ^ word >> 33) * 0xff51afd7ed558ccdull;
    word = (word ^ word >> 33) * 0xc4ceb9fe1a85ec53ull;
    return (unsigned int)((word ^ word >> 33) >> 32);
}

// logits / temperature + Gumbel noise, keyed by seed, token and expert: choosing the largest of them draws from the
// softmax. Launch: any; each thread takes every so many logits.
extern "C" __global__ void moe_gumbel(const float *logits, float *noisy, int tokens, int experts, float temperature,
                                      unsigned long long seed) {
    for (long long index = (long long)blockIdx.x * blockDim.x + threadIdx.x; index < (long long)tokens * experts;
         index += (long long)gridDim.x * blockDim.x) {
        unsigned int bits = mixed(seed, (unsigned int)(index / experts), (unsigned int)(index % experts));
        // 24 bits, in the middle of their interval: never 0 and never 1.
        float uniform = ((float)(bits >> 8) + 0.5f) * 5.9604644775390625e-8f;
        noisy[index] = logits[index] / temperature - logf(-logf(uniform));
    }
}
