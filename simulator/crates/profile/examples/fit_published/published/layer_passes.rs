//! Passes over memory of DeepSeek's own stack: those of a whole layer of the public training trace, forward and backward.

use std::path::Path;

use orrery_profile::fit::{rounded, summary};
use orrery_profile::{KernelCurve, Law, OpClass, PassLaw, Points, Provenance};
use orrery_units::{Bytes, BytesPerSec, SimDuration};

use super::h800::{TRACE, per_layer, row_of};
use super::{Fault, device};

const TOKENS: u64 = 4096;
const HIDDEN: u64 = 7168;
const WIDTH: u64 = 2048;
const INNER: u64 = 2 * WIDTH;
const LATENT: u64 = 1536 + 512;
/// Outputs of the five projections of attention, and their inputs.
const OUTPUTS: u64 = 1536 + 576 + 24_576 + 32_768 + HIDDEN;
const INPUTS: u64 = HIDDEN + LATENT + RESULT;
const RESULT: u64 = 128 * 128;
const PROJECTIONS: u64 = (1536 + 576) * HIDDEN + 24_576 * 1536 + 32_768 * 512 + HIDDEN * RESULT;
const EXPERT: u64 = (INNER + WIDTH) * HIDDEN;
const CAME: [u64; 2] = [28_984, 32_120];
const ROWS: [u64; 2] = [31_104, 34_688];
const TOKEN_CAST: &str = "cuda::per_token_cast_to_fp8_with_channels";
const CHANNEL_CAST: &str = "cuda::per_channel_cast_and_transpose";
const TURN: &str = "cuda::batched_transpose";
const EXPAND: &str = "cuda::expand_to_fused_with_scales_impl";
const REDUCE: &str = "cuda::reduce_fused_impl";
const NORM: &str = "layer_norm::ln_fwd_kernel";

/// A pass: phase, kernel, bytes read and written.
type Known = (&'static str, &'static str, u64);

/// Passes of attention in one layer of the trace whose bytes follow from the shapes of the model: 4,096 tokens. Casts read
/// two bytes and write one; the result of attention is kept in 12 bits; weights are turned in 8.
const fn attention() -> [Known; 9] {
    [
        ("attn(F)", NORM, 4 * TOKENS * (2 * HIDDEN + LATENT)),
        ("attn(F)", TOKEN_CAST, 3 * TOKENS * (INPUTS + HIDDEN)),
        (
            "attn(F)",
            "cuda::per_token_cast_to_fp8_with_fp8_special_fmt",
            TOKENS * RESULT * 7 / 2,
        ),
        (
            "attn(B)",
            "cuda::per_token_cast_back_special_fmt_impl",
            TOKENS * RESULT * 7 / 2,
        ),
        ("attn(B)", CHANNEL_CAST, 3 * TOKENS * (OUTPUTS + INPUTS)),
        ("attn(B)", TOKEN_CAST, 3 * TOKENS * (OUTPUTS + LATENT)),
        ("attn(B)", TURN, 2 * PROJECTIONS),
        ("attn(B)", NORM, 4 * TOKENS * (HIDDEN + LATENT)),
        (
            "attn(B)",
            "layer_norm::ln_bwd_kernel",
            2 * TOKENS * (4 * 2 * HIDDEN + 3 * LATENT),
        ),
    ]
}

/// The same of experts, by grids: forward 28,984 tokens came in and 31,104 padded rows were computed, backward 32,120 and
/// 34,688.
const fn experts() -> [Known; 16] {
    [
        ("mlp(F)", EXPAND, (CAME[0] + ROWS[0]) * HIDDEN),
        ("mlp(F)", REDUCE, 2 * (CAME[0] + ROWS[0]) * HIDDEN),
        ("mlp(F)", TOKEN_CAST, 3 * (ROWS[0] * INNER + TOKENS * HIDDEN)),
        (
            "mlp(F)",
            "cuda::swiglu_forward_with_weight_and_per_token_cast_to_fp8_with_channels_impl",
            (ROWS[0] + TOKENS) * (2 * INNER + WIDTH),
        ),
        ("mlp(F)", TURN, 2 * 4 * EXPERT),
        ("mlp(B)", EXPAND, (CAME[1] + ROWS[1]) * HIDDEN),
        ("mlp(B)", REDUCE, 2 * (CAME[1] + ROWS[1]) * HIDDEN),
        (
            "mlp(B)",
            "cuda::swiglu_forward_backward_with_weight_impl",
            ROWS[1] * 2 * (2 * INNER + WIDTH),
        ),
        (
            "mlp(B)",
            "cuda::swiglu_weight_backward_with_weight_impl",
            ROWS[1] * 2 * 2 * WIDTH,
        ),
        (
            "mlp(B)",
            "cuda::swiglu_backward",
            TOKENS * 2 * (2 * INNER + WIDTH),
        ),
        (
            "mlp(B)",
            "cuda::cast_back_impl",
            3 * ((ROWS[1] + TOKENS) * INNER + TOKENS * HIDDEN),
        ),
        (
            "mlp(B)",
            CHANNEL_CAST,
            3 * (ROWS[1] * (WIDTH + INNER) + TOKENS * (2 * HIDDEN + INNER)),
        ),
        (
            "mlp(B)",
            TOKEN_CAST,
            3 * ((ROWS[1] + TOKENS) * INNER + TOKENS * HIDDEN),
        ),
        ("mlp(B)", TURN, 2 * EXPERT),
        ("mlp(B)", NORM, 4 * TOKENS * HIDDEN),
        ("mlp(W)", CHANNEL_CAST, 3 * 2 * ROWS[1] * HIDDEN),
    ]
}

/// Ramp of a pass: small ones of the trace take 2 to 5 us.
const RAMP: SimDuration = SimDuration::from_micros(2);

/// The curve of passes over memory: all bytes of known passes of the trace over all their time; norms, which run at half
/// the rate of the others, apart.
pub(crate) fn curve(truth: &Path) -> Result<KernelCurve, Fault> {
    let (mut rates, mut shapes) = (Vec::new(), Vec::new());
    // Of passes that stream, and of those that reduce rows.
    let [mut moved, mut taken] = [[0.0; 2]; 2];
    for (phase, kernel, bytes) in attention().into_iter().chain(experts()) {
        let calls = row_of(truth, phase, kernel)?.number("count_per_layer");
        let ramps = RAMP.as_secs() * calls.ok_or("a kernel without count_per_layer")?;
        let seconds = per_layer(truth, phase, kernel)? - ramps;
        let bytes = Bytes::new(bytes);
        shapes.push([bytes.get(), 0, 0]);
        let reduces = usize::from(kernel.starts_with("layer_norm"));
        moved[reduces] += bytes.as_f64();
        taken[reduces] += seconds;
        rates.push((reduces, bytes.as_f64() / seconds / device::HOPPER_MEMORY));
    }
    let share = |at: usize| rounded(moved[at] / taken[at] / device::HOPPER_MEMORY);
    let efficiency = [share(0), share(1)];
    let errors: Vec<f64> = rates
        .iter()
        .map(|(reduces, rate)| (rate / efficiency[*reduces]).ln())
        .collect();
    Ok(KernelCurve {
        op: OpClass::MemoryPass,
        precision: None,
        mask: None,
        kernel_source: "deepseek-layer".to_owned(),
        law: Law::Pass(PassLaw {
            bandwidth: BytesPerSec::new(device::HOPPER_MEMORY),
            memory_efficiency: efficiency[0],
            reducing_efficiency: Some(efficiency[1]),
            overhead_picos: RAMP,
        }),
        gap_picos: SimDuration::ZERO,
        points: Points::new(shapes, 1),
        fitted: summary(&errors),
        provenance: Provenance {
            measured_by: "DeepSeek (profile-data)".to_owned(),
            source: format!("tests/truth/{TRACE}"),
            rows: "norms, casts, turned weights, expansion, activation and reduction of a layer: 25 kernels by phase"
                .to_owned(),
            date: "2025-02".to_owned(),
            version: "deepseek-ai/profile-data@4496024".to_owned(),
            note: "All bytes over all time; bytes follow from shapes and grids, times are divided by 1 + 20/132 of their \
                   overlap with communication. Norms, forward and backward, are those that reduce rows. Ramp of 2 us: small \
                   passes of the trace take 2-5 us."
                .to_owned(),
        },
    })
}
