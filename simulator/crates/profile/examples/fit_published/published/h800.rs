//! H800 with DeepSeek's own stack: DeepGEMM, DeepEP, and what the public training trace shows in place.
//!
//! The trace's kernels ran beside a communication kernel on 20 of 132 multiprocessors. By the simulator's law such a
//! kernel is slowed by `1 + 20 / 132` while they overlap, so times are divided by `1 + 20 / 132 · overlap` here, or
//! the simulator would charge the contention twice.

use std::path::Path;

use orrery_operation::{Attention, Gemm, GroupedGemm, Mask, MemoryPass, Precision};
use orrery_profile::fit::{AttentionRow, GemmRow, GroupedRow, rounded, summary};
use orrery_profile::{KernelCurve, Law, MaskClass, OpClass, PassLaw, Points, Profile, Provenance};
use orrery_units::{Bytes, BytesPerSec, SimDuration};

use super::table::{self, Row};
use super::{Fault, attention, device, exchange, gemm, layer_passes, weight};

pub(crate) const TRACE: &str = "deepseek_v3_train_profile_kernels.csv";
/// Share of the multiprocessors that the communication kernel of the trace held.
const HELD: f64 = 20.0 / 132.0;
/// Share of the memory bandwidth that it took: about 1.1 GB read and written in 4.3 ms (dispatch), of 3,350 GB/s.
const TAKEN: f64 = 0.08;
/// Time between kernels on the busy compute stream of the trace: span without kernels over their number, phases attn and
/// mlp but mlp(W), whose kernels run on two streams.
fn gap(truth: &Path) -> Result<SimDuration, Fault> {
    let (mut idle, mut kernels) = (0.0, 0.0);
    for row in table::rows(truth, "deepseek_v3_train_profile_phases.csv")? {
        let phase = row.text("phase");
        let computes = phase.starts_with("attn") || phase.starts_with("mlp");
        if !computes || phase == "mlp(W)" {
            continue;
        }
        let number = |column: &str| row.number(column).ok_or_else(|| format!("{phase}: no {column}"));
        idle += number("gpu_end_us")? - number("gpu_start_us")? - number("gpu_busy_us")?;
        kernels += number("n_kernels")?;
    }
    Ok(SimDuration::from_secs(rounded(idle / kernels * 1e-6)))
}

/// The profile.
pub(crate) fn profile(truth: &Path, hopper: &Profile) -> Result<Profile, Fault> {
    let mut kernels = vec![dense(truth)?];
    kernels.push(grouped(truth, &kernels[0])?);
    let share = in_place(truth, &kernels[0], &kernels[1])?;
    for curve in &mut kernels {
        if let Law::Tiled(law) = &mut curve.law {
            law.sustained = share;
        }
        let note = " `sustained` is the mean of attn(F) gemm.fp8_ptp128c, mlp(F) and mlp(B) \
                    gemm.m_grouped_fp8_ptp128c of the training trace over this law, contention divided out.";
        curve.provenance.note.push_str(note);
    }
    kernels.push(weight::curve(truth, &kernels[0])?);
    kernels.extend(cores(truth)?);
    kernels.push(layer_passes::curve(truth)?);
    for curve in hopper
        .kernels
        .iter()
        .filter(|curve| curve.precision == Some(Precision::Bf16))
    {
        let mut curve = curve.clone();
        if matches!(curve.op, OpClass::Gemm | OpClass::GroupedGemm) {
            curve
                .provenance
                .note
                .push_str(" Measured on H100, whose arithmetic H800 shares.");
            kernels.push(curve);
        }
    }
    let gap = gap(truth)?;
    for curve in &mut kernels {
        curve.gap_picos = gap;
    }
    Ok(Profile {
        schema: Profile::SCHEMA.to_owned(),
        name: "h800-deepseek-2025-02".to_owned(),
        device: "H800-SXM5-80GB".to_owned(),
        stacks: vec!["deepseek".to_owned()],
        date: "2025-06".to_owned(),
        notes: vec![
            "DeepGEMM as first released, closest in time to the training of DeepSeek-V3.".to_owned(),
            "Kernels of the training trace are divided by the slow-down of their overlap with communication."
                .to_owned(),
            "8-bit products and attention were timed in a training trace. BF16 products (the head) were timed in short \
             runs and are too fast for that.".to_owned(),
        ],
        kernels,
        collectives: Vec::new(),
        ratios: hopper.ratios.clone(),
        exchanges: vec![exchange::deepep(truth, exchange::FIRST)?],
        contention: None,
        links: Vec::new(),
    })
}

/// The same kernels with DeepEP as it was when the network of DeepSeek's cluster was published with the step of a
/// training run (arXiv 2505.09343, figure 7: 50.6 and 48.5 GB/s for dispatch and combine among 64 ranks).
pub(crate) fn later(truth: &Path, first: &Profile) -> Result<Profile, Fault> {
    let exchange = exchange::deepep(truth, exchange::LATER)?;
    let mut later = first.clone();
    later.name = "h800-deepseek-2025-05".to_owned();
    later
        .notes
        .push("DeepEP as it was in May 2025, when a step of training was published.".to_owned());
    later.exchanges = vec![exchange];
    Ok(later)
}

fn deepgemm(rows: &str, note: &str) -> Provenance {
    Provenance {
        measured_by: "DeepSeek (DeepGEMM)".to_owned(),
        source: "tests/truth/kernels_published.csv".to_owned(),
        rows: rows.to_owned(),
        date: "2025-02".to_owned(),
        version: "deepseek-ai/DeepGEMM@a6d97a1 README".to_owned(),
        note: note.to_owned(),
    }
}

fn rows_of(truth: &Path, op: &str, implementation: &str) -> Result<Vec<Row>, Fault> {
    let table = table::rows(truth, "kernels_published.csv")?;
    Ok(table
        .into_iter()
        .filter(|row| row.text("op") == op && row.text("impl") == implementation)
        .collect())
}

fn dense(truth: &Path) -> Result<KernelCurve, Fault> {
    let table = rows_of(truth, "gemm", "DeepGEMM initial")?;
    let rows: Vec<GemmRow> = table
        .iter()
        .filter_map(|row| gemm::gemm_row(row, row.micros("time_us"), Precision::Fp8))
        .collect();
    let start = gemm::hopper(device::HOPPER_FP8);
    let provenance = deepgemm("gemm, DeepGEMM initial", "Scales per 128 values; kernel times.");
    Ok(gemm::curve(&start, &rows, Precision::Fp8, "deepgemm", provenance))
}

fn grouped(truth: &Path, dense: &KernelCurve) -> Result<KernelCurve, Fault> {
    let mut rows = Vec::new();
    for op in ["grouped_gemm_contiguous", "grouped_gemm_masked"] {
        let table = rows_of(truth, op, "DeepGEMM initial")?;
        rows.extend(table.iter().filter_map(|row| {
            let (m, groups) = (row.count("m")?, row.count("groups")?);
            let product = GroupedGemm {
                rows: m * groups,
                padded_rows: m.div_ceil(128) * 128 * groups,
                active_groups: groups,
                n: row.count("n")?,
                k: row.count("k")?,
                precision: Precision::Fp8,
                output: Precision::Bf16,
            };
            Some(GroupedRow {
                products: vec![product],
                passes: MemoryPass::default(),
                time: row.micros("time_us")?,
            })
        }));
    }
    let Law::Tiled(start) = dense.law else {
        return Err("the dense curve is of another law".into());
    };
    let pass = PassLaw {
        reducing_efficiency: None,
        bandwidth: BytesPerSec::new(device::HOPPER_MEMORY),
        memory_efficiency: 0.8,
        overhead_picos: SimDuration::ZERO,
    };
    let provenance = deepgemm(
        "grouped_gemm_contiguous, grouped_gemm_masked, DeepGEMM initial",
        "Begins at the dense curve; m of the table is per group.",
    );
    Ok(gemm::grouped_curve(
        &start,
        &pass,
        &rows,
        Precision::Fp8,
        "deepgemm",
        provenance,
    ))
}

/// The first row of a kernel in a phase of the trace.
pub(crate) fn row_of(truth: &Path, phase: &str, kernel: &str) -> Result<Row, Fault> {
    let row = table::rows(truth, TRACE)?
        .into_iter()
        .find(|row| row.text("phase") == phase && row.text("kernel") == kernel);
    row.ok_or_else(|| format!("{TRACE}: no `{kernel}` in {phase}").into())
}

/// How much slower a kernel of the trace ran for communication beside it.
pub(crate) fn slowed(truth: &Path, phase: &str, kernel: &str) -> Result<f64, Fault> {
    let overlap = row_of(truth, phase, kernel)?.number("overlap_frac");
    Ok(HELD.mul_add(overlap.ok_or("a kernel without overlap_frac")?, 1.0))
}

/// Median time of a call of a kernel of the trace, and the share of it beside communication.
fn traced(truth: &Path, phase: &str, kernel: &str) -> Result<(f64, f64), Fault> {
    let row = row_of(truth, phase, kernel)?;
    let number = |column: &str| row.number(column).ok_or_else(|| format!("{TRACE}: no {column}"));
    Ok((number("median_us")?, number("overlap_frac")?))
}

/// Sum of a kernel's time in one layer of the trace, contention divided out, in seconds.
pub(crate) fn per_layer(truth: &Path, phase: &str, kernel: &str) -> Result<f64, Fault> {
    let sum = row_of(truth, phase, kernel)?.number("sum_us_per_layer");
    Ok(sum.ok_or("a kernel without sum_us_per_layer")? * 1e-6 / slowed(truth, phase, kernel)?)
}

/// Speed of DeepGEMM's kernels in the training trace over their speed in short runs: the five projections of attention
/// forward, and the two grouped products of experts forward and backward, whose rows follow from grids.
fn in_place(truth: &Path, dense: &KernelCurve, grouped: &KernelCurve) -> Result<f64, Fault> {
    let (Law::Tiled(alone), Law::Tiled(group)) = (dense.law, grouped.law) else {
        return Err("the curves are of another law".into());
    };
    let projection = |n, k| -> f64 {
        let shape = Gemm {
            m: 4096,
            n,
            k,
            precision: Precision::Fp8,
            output: Precision::Bf16,
        };
        alone.gemm(&shape).alone().as_secs()
    };
    let experts = |rows: u64, n, k| -> f64 {
        let shape = GroupedGemm {
            rows,
            padded_rows: rows,
            active_groups: 4,
            n,
            k,
            precision: Precision::Fp8,
            output: Precision::Bf16,
        };
        group.grouped(&shape).alone().as_secs()
    };
    let projections = [
        (1536, 7168),
        (24_576, 1536),
        (576, 7168),
        (32_768, 512),
        (7168, 16_384),
    ];
    let attention: f64 = projections.iter().map(|&(n, k)| projection(n, k)).sum();
    let forward = experts(31_104, 4096, 7168) + experts(31_104, 7168, 2048);
    let backward = experts(34_688, 2048, 7168) + experts(34_688, 7168, 4096);
    let pairs = [
        (attention, per_layer(truth, "attn(F)", "gemm.fp8_ptp128c")?),
        (forward, per_layer(truth, "mlp(F)", "gemm.m_grouped_fp8_ptp128c")?),
        (
            backward,
            per_layer(truth, "mlp(B)", "gemm.m_grouped_fp8_ptp128c")?,
        ),
    ];
    let logs: f64 = pairs
        .iter()
        .map(|(predicted, measured)| (predicted / measured).ln())
        .sum();
    Ok(rounded((logs / 3.0).exp().min(1.0)))
}

/// Attention of DeepSeek-V3: 128 heads of 192 and 128, one sequence of 4096.
const fn core() -> Attention {
    Attention {
        sequences: 1,
        query_tokens: 4096,
        key_tokens: 4096,
        heads: 128,
        kv_heads: 128,
        qk_dim: 192,
        v_dim: 128,
        mask: Mask::Causal,
        precision: Precision::Bf16,
    }
}

fn core_rows(truth: &Path) -> Result<(AttentionRow, AttentionRow), Fault> {
    let alone = |phase: &str, kernels: &[&str]| -> Result<SimDuration, Fault> {
        let mut micros = 0.0;
        for kernel in kernels {
            let (median, overlap) = traced(truth, phase, kernel)?;
            micros += median / HELD.mul_add(overlap, 1.0);
        }
        Ok(SimDuration::from_secs(micros * 1e-6))
    };
    let row = |backward, time| AttentionRow {
        shape: core(),
        backward,
        time,
    };
    let forward = alone("attn(F)", &["flash_attn_fwd"])?;
    let parts = [
        "flash_attn_bwd",
        "flash_attn_bwd.preprocess",
        "flash_attn_bwd.postprocess_dq",
    ];
    let backward = alone("attn(B)", &parts)?;
    Ok((row(false, forward), row(true, backward)))
}

/// Efficiency of attention backward over forward in the trace.
pub(crate) fn backward_ratio(truth: &Path) -> Result<f64, Fault> {
    let (forward, backward) = core_rows(truth)?;
    let rate = |flops: f64, row: &AttentionRow| flops / row.time.as_secs();
    let shape = core();
    let ratio = rate(shape.backward_flops().get(), &backward) / rate(shape.forward_flops().get(), &forward);
    Ok(rounded(ratio))
}

fn cores(truth: &Path) -> Result<Vec<KernelCurve>, Fault> {
    let (forward, backward) = core_rows(truth)?;
    let rows = super::attention::forward(truth, "FA3", 128, Mask::Causal)?;
    let (shape_of_curve, _) = orrery_profile::fit::attention(&attention::hopper(128), &rows);
    let mut start = attention::hopper(192);
    start.half_length = shape_of_curve.half_length;
    let provenance = |rows: &str| {
        Provenance {
        measured_by: "DeepSeek (profile-data)".to_owned(),
        source: format!("tests/truth/{TRACE}"),
        rows: rows.to_owned(),
        date: "2025-02".to_owned(),
        version: "deepseek-ai/profile-data@4496024".to_owned(),
        note: "One shape was measured, in place; times divided by 1 + 20/132 of their overlap with communication. \
               The length at which half the efficiency is reached is FlashAttention-3's, head dimension 128, causal \
               (assumption)."
            .to_owned(),
    }
    };
    let curve = |row: AttentionRow, rows: &str| {
        attention::curve(
            &start,
            &[row],
            MaskClass::Causal,
            "deepseek-flash",
            provenance(rows),
        )
    };
    Ok(vec![
        curve(forward, "attn(F) flash_attn_fwd"),
        curve(
            backward,
            "attn(B) flash_attn_bwd with preprocess and postprocess_dq",
        ),
    ])
}

/// Passes of the trace whose bytes follow from their grids: (phase, kernel, bytes read, bytes written).
///
/// Forward 28,984 tokens came in and 31,104 padded rows were computed, backward 32,120 and 34,688 (grids); 7,168
/// wide, experts 2,048 wide.
const fn known_passes() -> [(&'static str, &'static str, u64, u64); 6] {
    const HIDDEN: u64 = 7168;
    const WIDTH: u64 = 2048;
    [
        (
            "mlp(F)",
            "cuda::reduce_fused_impl",
            31_104 * HIDDEN * 2,
            28_984 * HIDDEN * 2,
        ),
        (
            "mlp(B)",
            "cuda::reduce_fused_impl",
            34_688 * HIDDEN * 2,
            32_120 * HIDDEN * 2,
        ),
        (
            "mlp(F)",
            "cuda::expand_to_fused_with_scales_impl",
            28_984 * HIDDEN,
            31_104 * HIDDEN,
        ),
        (
            "mlp(B)",
            "cuda::expand_to_fused_with_scales_impl",
            32_120 * HIDDEN,
            34_688 * HIDDEN,
        ),
        (
            "mlp(B)",
            "cuda::swiglu_forward_backward_with_weight_impl",
            34_688 * 3 * WIDTH * 2,
            34_688 * 2 * WIDTH * 2,
        ),
        (
            "mlp(W)",
            "cuda::per_channel_cast_and_transpose",
            34_688 * HIDDEN * 2,
            34_688 * HIDDEN,
        ),
    ]
}

/// The curve of passes over memory that stream, for stacks whose own passes nobody published: the mean rate of known
/// ones of the trace.
pub(crate) fn passes(truth: &Path) -> Result<KernelCurve, Fault> {
    let mut rates = Vec::new();
    let mut shapes = Vec::new();
    for (phase, kernel, read, written) in known_passes() {
        let (median, overlap) = traced(truth, phase, kernel)?;
        let alone = median * 1e-6 / TAKEN.mul_add(overlap, 1.0);
        let bytes = Bytes::new(read + written);
        shapes.push([bytes.get(), 0, 0]);
        rates.push(bytes.as_f64() / alone / device::HOPPER_MEMORY);
    }
    #[expect(clippy::cast_precision_loss, reason = "six rows")]
    let mean = rates.iter().map(|rate| rate.ln()).sum::<f64>() / rates.len() as f64;
    let efficiency = rounded(mean.exp());
    let errors: Vec<f64> = rates.iter().map(|rate| (rate / efficiency).ln()).collect();
    Ok(KernelCurve {
        op: OpClass::MemoryPass,
        precision: None,
        mask: None,
        kernel_source: "deepseek".to_owned(),
        law: Law::Pass(PassLaw {
            reducing_efficiency: None,
            bandwidth: BytesPerSec::new(device::HOPPER_MEMORY),
            memory_efficiency: efficiency,
            overhead_picos: SimDuration::from_micros(2),
        }),
        gap_picos: SimDuration::ZERO,
        points: Points::new(shapes, 1),
        fitted: summary(&errors),
        provenance: Provenance {
            measured_by: "DeepSeek (profile-data)".to_owned(),
            source: format!("tests/truth/{TRACE}"),
            rows: "reduce_fused, expand_to_fused, swiglu_forward_backward, per_channel_cast_and_transpose of mlp"
                .to_owned(),
            date: "2025-02".to_owned(),
            version: "deepseek-ai/profile-data@4496024".to_owned(),
            note: "Bytes derived from grids; times divided by 1 + 0.08 of their overlap with communication, its share of \
                   the memory bandwidth. Ramp of 2 us: small passes of the trace take 2-5 us."
                .to_owned(),
        },
    })
}

/// The law of a memory pass.
pub(crate) fn pass_law(curve: &KernelCurve) -> Result<PassLaw, Fault> {
    match curve.law {
        Law::Pass(law) => Ok(law),
        Law::Tiled(_) | Law::Attention(_) | Law::Unfused(_) => Err("no curve of a memory pass".into()),
    }
}
