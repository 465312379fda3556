//! A100 with Megatron-LM of 2022: cuBLAS, attention of separate kernels, NCCL.

use std::path::Path;

use orrery_operation::{CollectiveOp, Precision};
use orrery_profile::fit::{GemmRow, rounded, summary};
use orrery_profile::{
    KernelCurve, Law, MaskClass, OpClass, PassLaw, Points, Profile, Provenance, Range, UnfusedLaw,
};
use orrery_units::{BytesPerSec, FlopsPerSec, SimDuration};

use super::{Fault, device, exchange, gemm, h800, sweeps, table};

/// Traffic of the kernels of a core attention per (query, key) pair in 16 bits, forward: scores written 2, softmax with
/// scale and mask 2 + 2, dropout 2 + 2 and its mask 1, scores read 2.
const FORWARD_TRAFFIC: f64 = 13.0;
/// The same backward: gradient of scores written 2, dropout 2 + 1 + 2, softmax 2 + 2 + 2, scores read three times 6.
const BACKWARD_TRAFFIC: f64 = 19.0;

/// The profile.
pub(crate) fn profile(truth: &Path, hopper: &Profile) -> Result<Profile, Fault> {
    let pass = hopper
        .kernels
        .iter()
        .find(|curve| curve.op == OpClass::MemoryPass)
        .ok_or("no curve of a memory pass")?;
    let pass = passes(pass)?;
    let mut kernels = vec![dense(truth)?];
    kernels.extend(cores(truth, &pass)?);
    kernels.push(pass);
    let ratios = sweeps::ratios(truth)?;
    let collectives = sweeps::one_node(truth, "aic_a100_sxm_nccl2.27.3", |op| match op {
        CollectiveOp::AllReduce => Some("a100_1n8g_all_reduce"),
        CollectiveOp::AllGather => Some("a100_1n8g_all_gather"),
        CollectiveOp::ReduceScatter => Some("a100_1n8g_reduce_scatter"),
        CollectiveOp::AllToAll | CollectiveOp::Broadcast | CollectiveOp::Reduce | CollectiveOp::SendRecv => {
            None
        }
    })?;
    let mut nccl = exchange::nccl(&collectives, &ratios)?;
    nccl.node_efficiency = rounded(nccl.node_efficiency * 360.0 / 240.0);
    nccl.provenance.note = "Inside a node: bus bandwidth of all-to-all over 240 GB/s.".to_owned();
    Ok(Profile {
        schema: Profile::SCHEMA.to_owned(),
        name: "a100-megatron-2025-09".to_owned(),
        device: "A100-SXM4-80GB".to_owned(),
        stacks: ["megatron-lm", "megatron-deepspeed", "vtrain-megatron", "megatron"]
            .map(str::to_owned)
            .to_vec(),
        date: "2025-09".to_owned(),
        notes: vec![
            "Attention is that of Megatron-LM in 2022: separate kernels with the scores in memory."
                .to_owned(),
            "GEMMs and collectives were measured with later software than Megatron-LM's of 2022.".to_owned(),
        ],
        kernels,
        collectives,
        ratios,
        exchanges: vec![nccl],
        contention: None,
        links: Vec::new(),
    })
}

fn dense(truth: &Path) -> Result<KernelCurve, Fault> {
    let table = table::rows(truth, "kernels_aic.csv.gz")?;
    let rows: Vec<GemmRow> = table
        .iter()
        .filter(|row| {
            row.text("gpu") == "A100-80GB"
                && row.text("op") == "gemm"
                && row.count("m").is_some_and(|m| m >= 64)
        })
        .filter_map(|row| gemm::gemm_row(row, row.micros("time_us"), Precision::Bf16))
        .collect();
    let provenance = Provenance {
        measured_by: "NVIDIA (aiconfigurator)".to_owned(),
        source: "tests/truth/kernels_aic.csv.gz".to_owned(),
        rows: "A100-80GB, gemm, bfloat16, 64 rows of tokens and more".to_owned(),
        date: "2025".to_owned(),
        version: "ai-dynamo/aiconfigurator@095f58a; SGLang 0.5.10".to_owned(),
        note: "FP16 runs at the same rate.".to_owned(),
    };
    let start = gemm::ampere();
    Ok(gemm::curve(&start, &rows, Precision::Bf16, "cublas", provenance))
}

/// Hopper's share of the memory bandwidth, taken for A100's (assumption).
fn passes(hopper: &KernelCurve) -> Result<KernelCurve, Fault> {
    let law = h800::pass_law(hopper)?;
    let mut curve = hopper.clone();
    curve.gap_picos = SimDuration::ZERO;
    curve.law = Law::Pass(PassLaw {
        bandwidth: BytesPerSec::new(device::AMPERE_MEMORY),
        ..law
    });
    let note = " No pass is published for A100: H800's share of the memory bandwidth is taken (assumption).";
    curve.provenance.note.push_str(note);
    Ok(curve)
}

/// Core attention of Megatron-LM, from what selective recomputation adds to a layer's backward: it runs the core
/// again, and nothing else.
///
/// Layer of the 22B model, 8-way tensor parallel, 4 sequences of 2,048: 8 heads on a device, hence 134 M pairs.
fn cores(truth: &Path, pass: &KernelCurve) -> Result<[KernelCurve; 2], Fault> {
    let pass = h800::pass_law(pass)?;
    let table = table::rows(truth, "kernels_published.csv")?;
    let backward = |implementation: &str| {
        table
            .iter()
            .find(|row| row.text("impl") == implementation && row.text("direction") == "bwd")
            .and_then(|row| row.number("time_us"))
            .ok_or_else(|| format!("kernels_published.csv: no backward of `{implementation}`"))
    };
    let pairs = 4.0 * 8.0 * 2048.0 * 2048.0;
    let added = [
        backward("selective recompute")? - backward("no recompute, TP8")?,
        backward("sequence parallel + selective")? - backward("sequence parallel, no recompute")?,
    ];
    let mean = f64::midpoint(added[0], added[1]);
    let rate = device::AMPERE_MEMORY * pass.memory_efficiency;
    let ramps = 5.0 * pass.overhead_picos.as_secs();
    let traffic = rounded((mean * 1e-6 - ramps) * rate / pairs);
    let unaligned = unaligned_rate(truth)?;
    let errors = added.map(|micros| (mean / micros).ln());
    let curve = |op, bytes_per_pair, num_kernels, note: &str| KernelCurve {
        op,
        precision: Some(Precision::Fp16),
        mask: Some(MaskClass::Causal),
        kernel_source: "unfused".to_owned(),
        law: Law::Unfused(UnfusedLaw {
            bandwidth: BytesPerSec::new(device::AMPERE_MEMORY),
            bytes_per_pair,
            memory_efficiency: pass.memory_efficiency,
            num_kernels,
            overhead_picos: pass.overhead_picos,
            unaligned_rate: Some(unaligned),
        }),
        gap_picos: SimDuration::ZERO,
        points: Points {
            ranges: vec![Range { min: 2048, max: 2048 }, Range { min: 2048, max: 2048 }],
            shapes: Vec::new(),
        },
        fitted: summary(&errors),
        provenance: Provenance {
            measured_by: "NVIDIA (Korthikanti 2022, table 4)".to_owned(),
            source: "tests/truth/kernels_published.csv".to_owned(),
            rows:
                "transformer_layer, bwd: selective less no recompute, with and without sequence parallelism"
                    .to_owned(),
            date: "2022-05".to_owned(),
            version: "arXiv 2205.05198".to_owned(),
            note: note.to_owned(),
        },
    };
    let forward_note = format!(
        "Fitted traffic per pair; counting kernels gives {FORWARD_TRAFFIC}, the rest is the products' arithmetic."
    );
    let backward_note = format!(
        "Forward's fit times {BACKWARD_TRAFFIC} / {FORWARD_TRAFFIC}, the ratio of the kernels' traffic (assumption)."
    );
    let back = rounded(traffic * BACKWARD_TRAFFIC / FORWARD_TRAFFIC);
    Ok([
        curve(OpClass::AttentionForward, traffic, 5, &forward_note),
        curve(OpClass::AttentionBackward, back, 8, &backward_note),
    ])
}

/// Rate of attention products whose heads are no multiple of 8 wide: pairs of BigScience's steps that differ in the number
/// of heads alone, 108 wide and 144.
///
/// Full recomputation: two products forward, two more again, four backward, over all pairs: `16 s² h` per layer and
/// sequence. The bubble stretches what they add by `1 + (p − 1) / m`. Worked: rows 062 and 063, 84 TFLOP/s·s of 384
/// devices in 37.9 s: 10 TFLOP/s, half of what the vector units of an A100 do in 32 bits.
fn unaligned_rate(truth: &Path) -> Result<FlopsPerSec, Fault> {
    let table = table::rows(truth, "training.csv.gz")?;
    let mut rates = Vec::new();
    for (aligned, not) in [(62, 63), (93, 94), (96, 97), (98, 99)] {
        let row = |number: u32| {
            let id = format!("bigsci-{number:03}");
            table
                .iter()
                .find(|row| row.text("id") == id)
                .ok_or_else(|| format!("no row {id}"))
        };
        let (aligned, not) = (row(aligned)?, row(not)?);
        let of = |row: &table::Row, column: &str| row.number(column).ok_or_else(|| format!("no {column}"));
        let products =
            16.0 * of(not, "seq")?.powi(2) * of(not, "hidden")? * of(not, "layers")? * of(not, "gbs")?;
        let microbatches = of(not, "gbs")? / of(not, "dp")? / of(not, "mbs")?;
        let stretched = 1.0 + (of(not, "pp")? - 1.0) / microbatches;
        let added = of(not, "step_time_s")? - of(aligned, "step_time_s")?;
        rates.push(products * stretched / of(not, "gpus")? / added);
    }
    rates.sort_by(f64::total_cmp);
    Ok(FlopsPerSec::new(rounded(f64::midpoint(rates[1], rates[2]))))
}
