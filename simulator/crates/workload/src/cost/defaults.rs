//! What is assumed of a device that no profile describes; every answer made of it is called analytic.
//!
//! Shares of peaks are middle values of measured ones in tests/truth/kernels_published.csv.

use orrery_operation::Precision;
use orrery_profile::{AttentionLaw, PassLaw, TiledLaw};
use orrery_scenario::plan::Device;
use orrery_units::{FlopsPerSec, SimDuration};

/// Share of the dense peak that a large GEMM reaches. Best shapes of a search: MI355X 0.68, H100 FP8 0.71,
/// GB200 0.73, B200 0.78, B300 0.79 (rows mamf-*); a training job's shapes are not the best of a search.
const GEMM_EFFICIENCY: f64 = 0.70;
/// Share of the data sheet's memory bandwidth that streaming kernels reach; assumption, near the 0.80 of DeepGEMM's
/// memory-bound rows (deepgemm-0004: 2,668 of 3,350 GB/s).
const MEMORY_EFFICIENCY: f64 = 0.80;
/// Share of the dense peak that fused attention reaches forward (FlashAttention-3, H100, causal, 16 K: 616 of 989).
const ATTENTION_EFFICIENCY: f64 = 0.60;
/// The same backward; assumption from the same kernels' ratio in the DeepSeek-V3 training trace (0.76).
const ATTENTION_BACKWARD_EFFICIENCY: f64 = 0.45;
/// Keys at which causal attention reaches half of it (FlashAttention-3: 292 at 512, 616 at 16 K).
const HALF_LENGTH: f64 = 500.0;
/// Ramp of a kernel; assumption, the middle of fitted ones.
const OVERHEAD: SimDuration = SimDuration::from_micros(3);

/// The format to compute in on `device` when asked for `precision`: its own, or the next wider that it has.
fn peak(device: &Device, precision: Precision) -> FlopsPerSec {
    let fallbacks = [
        precision,
        Precision::Bf16,
        Precision::Fp16,
        Precision::Tf32,
        Precision::Fp32,
    ];
    fallbacks
        .into_iter()
        .find_map(|format| device.peak(format))
        .or_else(|| device.peaks.first().map(|&(_, rate)| rate))
        .expect("a validated device has a peak in some format")
}

/// A tiled matrix product by arithmetic.
pub(super) fn tiled(device: &Device, precision: Precision) -> TiledLaw {
    TiledLaw {
        peak: peak(device, precision),
        bandwidth: device.memory_bandwidth,
        num_units: device.num_units,
        tile_rows: 128,
        tile_columns: 128,
        efficiency: GEMM_EFFICIENCY,
        sustained: 1.0,
        depth_offset: 150.0,
        tail_waves: 0.25,
        memory_efficiency: MEMORY_EFFICIENCY,
        overhead_picos: OVERHEAD,
    }
}

/// Fused attention by arithmetic.
pub(super) fn attention(device: &Device, precision: Precision, backward: bool) -> AttentionLaw {
    AttentionLaw {
        peak: peak(device, precision),
        bandwidth: device.memory_bandwidth,
        qk_dim: 128,
        efficiency: if backward {
            ATTENTION_BACKWARD_EFFICIENCY
        } else {
            ATTENTION_EFFICIENCY
        },
        half_length: HALF_LENGTH,
        memory_efficiency: MEMORY_EFFICIENCY,
        overhead_picos: OVERHEAD,
    }
}

/// A pass over memory by arithmetic.
pub(super) fn pass(device: &Device) -> PassLaw {
    PassLaw {
        reducing_efficiency: None,
        bandwidth: device.memory_bandwidth,
        memory_efficiency: MEMORY_EFFICIENCY,
        overhead_picos: OVERHEAD,
    }
}
