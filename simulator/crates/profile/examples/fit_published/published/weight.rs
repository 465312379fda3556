//! Gradients of weights, as the public training trace shows them in place.
//!
//! They contract over tokens and add to 32-bit gradients, and run well below the products of forward; the short
//! runs of the libraries say nothing of them.

use std::path::Path;

use orrery_operation::{Gemm, GroupedGemm, Precision};
use orrery_profile::fit::{minimise, rounded, summary};
use orrery_profile::{KernelCurve, Law, OpClass, Points, Provenance, TiledLaw};
use orrery_units::SimDuration;

use super::{Fault, h800, table};

/// Tokens of a microbatch on a device of the trace.
const TOKENS: u64 = 4096;
/// Rows of the routed experts of backward, padded: 271 blocks of 128 (grid of `per_channel_cast_and_transpose`).
const ROUTED: u64 = 34_688;
/// Experts of a device of the trace.
const EXPERTS: u64 = 4;

/// A phase of the trace: what it computes, and its time with contention divided out.
struct Phase {
    dense: Vec<Gemm>,
    experts: Vec<GroupedGemm>,
    seconds: f64,
}

/// The gradient of a weight `[k, n]` over `m` tokens.
const fn product(m: u64, n: u64, k: u64) -> Gemm {
    Gemm {
        m: n,
        n: k,
        k: m,
        precision: Precision::Fp8,
        output: Precision::Fp32,
    }
}

/// The same for every expert.
const fn experts(n: u64, k: u64) -> GroupedGemm {
    GroupedGemm {
        rows: EXPERTS * n,
        padded_rows: EXPERTS * n,
        active_groups: EXPERTS,
        n: k,
        k: ROUTED / EXPERTS,
        precision: Precision::Fp8,
        output: Precision::Fp32,
    }
}

/// Attention: five projections, one kernel each on one stream.
fn attention(truth: &Path) -> Result<Phase, Fault> {
    let projections = [
        (1536, 7168),
        (24_576, 1536),
        (576, 7168),
        (32_768, 512),
        (7168, 16_384),
    ];
    Ok(Phase {
        dense: projections.map(|(n, k)| product(TOKENS, n, k)).to_vec(),
        experts: Vec::new(),
        seconds: h800::per_layer(truth, "attn(W)", "gemm.fp8_dptp128c_acc (wgrad)")?,
    })
}

/// Experts, shared one included: ten kernels on two streams, which share the device, so that only the time from the
/// first kernel's start to the last one's end says how fast they are. Casts on the same streams are taken off it.
fn network(truth: &Path) -> Result<Phase, Fault> {
    let table = table::rows(truth, "deepseek_v3_train_profile_phases.csv")?;
    let rows: Vec<_> = table.iter().filter(|row| row.text("phase") == "mlp(W)").collect();
    let mut layers: Vec<(&str, f64, f64)> = Vec::new();
    for row in rows {
        let number = |column: &str| row.number(column).ok_or_else(|| format!("mlp(W): no {column}"));
        let (start, end) = (number("gpu_start_us")?, number("gpu_end_us")?);
        match layers.iter_mut().find(|(idx, ..)| *idx == row.text("idx")) {
            Some(layer) => *layer = (layer.0, layer.1.min(start), layer.2.max(end)),
            None => layers.push((row.text("idx"), start, end)),
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "four layers")]
    let elapsed = layers.iter().map(|layer| layer.2 - layer.1).sum::<f64>() / layers.len().max(1) as f64;
    let casts = h800::row_of(truth, "mlp(W)", "cuda::per_channel_cast_and_transpose")?;
    let casts = casts
        .number("sum_us_per_layer")
        .ok_or("mlp(W): no time of casts")?;
    let slowed = h800::slowed(truth, "mlp(W)", "gemm.fp8_dptp128c_acc (wgrad)")?;
    Ok(Phase {
        dense: vec![product(TOKENS, 7168, 2048), product(TOKENS, 4096, 7168)],
        experts: vec![experts(7168, 2048), experts(4096, 7168)],
        seconds: (elapsed - casts) * 1e-6 / slowed,
    })
}

fn predicted(law: &TiledLaw, phase: &Phase) -> f64 {
    let dense = phase.dense.iter().map(|shape| law.gemm_weight(shape));
    let experts = phase.experts.iter().map(|shape| law.grouped_weight(shape));
    dense.chain(experts).map(|roof| roof.alone().as_secs()).sum()
}

/// The curve: that of `dense` with its efficiency fitted to both phases.
pub(crate) fn curve(truth: &Path, dense: &KernelCurve) -> Result<KernelCurve, Fault> {
    let Law::Tiled(start) = dense.law else {
        return Err("the dense curve is of another law".into());
    };
    let phases = [attention(truth)?, network(truth)?];
    let with = |efficiency: f64| TiledLaw {
        efficiency: rounded(efficiency.clamp(0.05, 1.0)),
        sustained: 1.0,
        ..start
    };
    let errors = |law: &TiledLaw| -> Vec<f64> {
        let error = |phase| predicted(law, phase) / phase.seconds;
        phases.iter().map(|phase| error(phase).ln()).collect()
    };
    let loss = |logs: &[f64]| errors(&with(logs[0].exp())).iter().map(|e| e * e).sum();
    let law = with(minimise(&[start.efficiency.ln()], 200, loss)[0].exp());
    let errors = errors(&law);
    let mut shapes = Vec::new();
    for phase in &phases {
        shapes.extend(phase.dense.iter().map(|shape| [shape.m, shape.n, shape.k]));
        shapes.extend(phase.experts.iter().map(|shape| [shape.rows, shape.n, shape.k]));
    }
    Ok(KernelCurve {
        op: OpClass::GemmWeight,
        precision: Some(Precision::Fp8),
        mask: None,
        kernel_source: "deepseek-wgrad".to_owned(),
        law: Law::Tiled(law),
        gap_picos: SimDuration::ZERO,
        points: Points::new(shapes, 3),
        fitted: summary(&errors),
        provenance: Provenance {
            measured_by: "DeepSeek (profile-data)".to_owned(),
            source: "tests/truth/deepseek_v3_train_profile_kernels.csv, deepseek_v3_train_profile_phases.csv"
                .to_owned(),
            rows: "attn(W) gemm.fp8_dptp128c_acc; mlp(W), both streams".to_owned(),
            date: "2025-02".to_owned(),
            version: "deepseek-ai/profile-data@4496024".to_owned(),
            note: format!(
                "Efficiency fitted in place to two phases (ln predicted / measured {:+.3} and {:+.3}), other parameters \
                 DeepGEMM's; times divided by 1 + 20/132 of their overlap with communication. mlp(W): from first start \
                 to last end over both streams, mean of four layers, less its casts. `sustained` is 1: nothing here is \
                 a short run.",
                errors[0], errors[1]
            ),
        },
    })
}
