// SwiGLU: silu(gate) * up, where each input row holds its gate half and then its up half.
//
// Launch: 256 threads, a block per slot; blocks beyond the last row have nothing to do.
#include "moe.cuh"

extern "C" __global__ void moe_swiglu(const bf16 *gate_and_up, const int *expert_start, bf16 *activated, int experts,
                                      int inner) {
    int row = blockIdx.x;
    if (row >= expert_start[experts]) return;
    const bf16 *gates = gate_and_up + (long long)row * 2 * inner;
    const bf16 *ups = gates + inner;
    bf16 *to = activated + (long long)row * inner;
    for (int column = threadIdx.x; column < inner; column += blockDim.x) {
        float gate = bf16_to_float(gates[column]);
        to[column] = float_to_bf16(gate / (1.0f + expf(-gate)) * bf16_to_float(ups[column]));
    }
}
