// SwiGLU: silu(gate) * up, where each input row holds its gate half and then its up half.
//
// Launch: 256 threads, a block per slot; blocks beyond the last row have nothing to do. Inner widths that are multiples
// of 8 go in pieces of 16 bytes.
#include "vectors.cuh"

extern "C" __global__ void moe_swiglu(const bf16 *gate_and_up, const int *expert_start, bf16 *activated, int experts,
                                      int inner) {
    int row = blockIdx.x;
    if (row >= expert_start[experts]) return;
    const bf16 *gates = gate_and_up + (long long)row * 2 * inner;
    const bf16 *ups = gates + inner;
    bf16 *to = activated + (long long)row * inner;
    if (inner % PIECE == 0) {
        for (int piece = threadIdx.x; piece < inner / PIECE; piece += blockDim.x) {
            float gate[PIECE], up[PIECE];
            unpack(load_piece(gates, piece), gate);
            unpack(load_piece(ups, piece), up);
#pragma unroll
            for (int i = 0; i < PIECE; ++i) gate[i] = silu_times(gate[i], up[i]);
            store_piece(to, piece, pack(gate));
        }
        return;
    }
    for (int column = threadIdx.x; column < inner; column += blockDim.x)
        to[column] = float_to_bf16(silu_times(bf16_to_float(gates[column]), bf16_to_float(ups[column])));
}
