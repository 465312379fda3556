//! Devices of the aiconfigurator tables under Megatron-Core, and A100 under FSDP: products, attention, NCCL.

use std::path::Path;

use orrery_operation::{Mask, Precision};
use orrery_profile::fit::{AttentionRow, GemmRow, rounded};
use orrery_profile::{KernelCurve, Law, MaskClass, OpClass, PassLaw, Profile, Provenance, TiledLaw};
use orrery_units::{BytesPerSec, FlopsPerSec};

use super::{Fault, attention, gemm, h100, h800, sweeps, table};

/// A device as scenarios/hardware/hardware.csv and the tables have it.
struct Device {
    name: &'static str,
    profile: &'static str,
    /// In kernels_aic.csv.gz.
    gpu: &'static str,
    /// Of its one-node sweep.
    nccl: &'static str,
    stacks: &'static [&'static str],
    /// Dense peaks in TFLOP/s: 16, 8 and 4 bits; 0 for none.
    peaks: [f64; 3],
    /// Memory bandwidth, GB/s.
    memory: f64,
    units: u32,
}

const MEGATRON: &[&str] = &["megatron-core", "megatron-bridge", "nemo"];
const FSDP: &[&str] = &["llm-foundry", "torchtitan", "nemo-automodel"];

const DEVICES: [Device; 7] = [
    Device {
        name: "A100-SXM4-40GB",
        profile: "a100-40gb-fsdp-2025-09",
        gpu: "A100-80GB",
        nccl: "aic_a100_sxm_nccl2.27.3",
        stacks: FSDP,
        peaks: [312.0, 0.0, 0.0],
        memory: 1555.0,
        units: 108,
    },
    Device {
        name: "A100-SXM4-80GB",
        profile: "a100-fsdp-2025-09",
        gpu: "A100-80GB",
        nccl: "aic_a100_sxm_nccl2.27.3",
        stacks: FSDP,
        peaks: [312.0, 0.0, 0.0],
        memory: 2039.0,
        units: 108,
    },
    Device {
        name: "H200-SXM-141GB",
        profile: "h200-megatron-core-2025-09",
        gpu: "H200",
        nccl: "aic_h100_sxm_nccl2.29.2",
        stacks: MEGATRON,
        peaks: [989.0, 1979.0, 0.0],
        memory: 4800.0,
        units: 132,
    },
    Device {
        name: "B200-SXM-180GB",
        profile: "b200-megatron-core-2025-09",
        gpu: "B200",
        nccl: "aic_b200_sxm_nccl2.29.2",
        stacks: MEGATRON,
        peaks: [2250.0, 4500.0, 9000.0],
        memory: 7700.0,
        units: 148,
    },
    Device {
        name: "B300-SXM-288GB",
        profile: "b300-megatron-core-2025-09",
        gpu: "B300",
        nccl: "aic_b300_sxm_nccl2.29.2",
        stacks: MEGATRON,
        peaks: [2250.0, 4500.0, 12600.0],
        memory: 8000.0,
        units: 148,
    },
    Device {
        name: "GB200-186GB",
        profile: "gb200-megatron-core-2025-09",
        gpu: "GB200",
        nccl: "aic_gb200_nccl2.29.2",
        stacks: MEGATRON,
        peaks: [2500.0, 5000.0, 10000.0],
        memory: 8000.0,
        units: 152,
    },
    Device {
        name: "GB300-288GB",
        profile: "gb300-megatron-core-2025-09",
        gpu: "GB300",
        nccl: "aic_gb300_nccl2.29.2",
        stacks: MEGATRON,
        peaks: [2500.0, 5000.0, 15000.0],
        memory: 8000.0,
        units: 152,
    },
];

/// Their profiles.
pub(crate) fn profiles(truth: &Path, hopper: &Profile) -> Result<Vec<Profile>, Fault> {
    DEVICES
        .iter()
        .map(|device| profile(truth, hopper, device))
        .collect()
}

fn profile(truth: &Path, hopper: &Profile, device: &Device) -> Result<Profile, Fault> {
    let mut kernels = products(truth, device)?;
    let pass = passes(hopper, device)?;
    let layers = experts(&kernels);
    kernels.extend(layers);
    let forward = core(truth, device)?;
    let ratio = h800::backward_ratio(truth)?;
    let note = format!(
        "No backward is published for this kernel. Assumption: backward reaches {ratio:.3} of forward's efficiency, \
         as the Hopper kernels of the H800 training trace do."
    );
    kernels.push(attention::backward_of(&forward, ratio, &note));
    kernels.insert(kernels.len() - 1, forward);
    kernels.push(pass);
    let collectives = sweeps::one_node(truth, device.nccl, |_| None)?;
    Ok(Profile {
        schema: Profile::SCHEMA.to_owned(),
        name: device.profile.to_owned(),
        device: device.name.to_owned(),
        stacks: device.stacks.iter().map(|&stack| stack.to_owned()).collect(),
        date: "2025-09".to_owned(),
        notes: vec![
            "Built from published tables; nobody measured one machine for all of it.".to_owned(),
            "Products were timed with the kernels of an inference framework; they stand for those of training \
             (assumption)."
                .to_owned(),
            "Attention backward and memory passes stand on the H800 training trace (assumption).".to_owned(),
        ],
        exchanges: h100::exchanges(truth, &collectives, &hopper.ratios)?,
        ratios: hopper.ratios.clone(),
        kernels,
        collectives,
        contention: None,
        links: Vec::new(),
    })
}

fn provenance(rows: String, note: &str) -> Provenance {
    Provenance {
        measured_by: "NVIDIA (aiconfigurator)".to_owned(),
        source: "tests/truth/kernels_aic.csv.gz".to_owned(),
        rows,
        date: "2025".to_owned(),
        version: "ai-dynamo/aiconfigurator@095f58a; SGLang 0.5.10 to 0.5.14".to_owned(),
        note: note.to_owned(),
    }
}

fn start(device: &Device, which: usize) -> TiledLaw {
    TiledLaw {
        peak: FlopsPerSec::new(device.peaks[which] * 1e12),
        bandwidth: BytesPerSec::new(device.memory * 1e9),
        num_units: device.units,
        ..gemm::ampere()
    }
}

const FORMATS: [(Precision, &str); 3] = [
    (Precision::Bf16, "bfloat16"),
    (Precision::Fp8, "fp8"),
    (Precision::Fp4, "nvfp4"),
];

fn products(truth: &Path, device: &Device) -> Result<Vec<KernelCurve>, Fault> {
    let table = table::rows(truth, "kernels_aic.csv.gz")?;
    let mut curves = Vec::new();
    for (which, (precision, dtype)) in FORMATS.into_iter().enumerate() {
        let rows: Vec<GemmRow> = table
            .iter()
            .filter(|row| {
                row.text("gpu") == device.gpu
                    && row.text("op") == "gemm"
                    && row.text("dtype") == dtype
                    && row.count("m").is_some_and(|m| m >= 64)
            })
            .filter_map(|row| gemm::gemm_row(row, row.micros("time_us"), precision))
            .collect();
        if device.peaks[which] > 0.0 && rows.len() >= 20 {
            let provenance = provenance(
                format!("{}, gemm, {dtype}, 64 rows of tokens and more", device.gpu),
                "Products of 1e12 operations and more set `sustained`.",
            );
            curves.push(gemm::curve(
                &start(device, which),
                &rows,
                precision,
                "cublaslt",
                provenance,
            ));
        }
    }
    Ok(curves)
}

/// Products of experts, which Transformer Engine issues one by one through cuBLAS: the law of plain products.
fn experts(dense: &[KernelCurve]) -> Vec<KernelCurve> {
    let of = |curve: &KernelCurve| {
        let mut curve = curve.clone();
        curve.op = OpClass::GroupedGemm;
        curve.points.shapes.clear();
        "Plain products stand for those of experts, which are issued one by one (assumption)."
            .clone_into(&mut curve.provenance.note);
        curve
    };
    dense.iter().map(of).collect()
}

/// Causal attention forward, heads of 128: the fastest of what frameworks call for prompts, 1,024 tokens and more.
fn core(truth: &Path, device: &Device) -> Result<KernelCurve, Fault> {
    let table = table::rows(truth, "kernels_aic.csv.gz")?;
    let rows: Vec<AttentionRow> = table
        .iter()
        .filter(|row| {
            row.text("gpu") == device.gpu
                && row.text("op") == "attention_prefill"
                && !row.text("impl").contains("flashinfer")
                && row.text("head_dim") == "128"
                && row.count("heads").is_some_and(|heads| heads >= 16)
        })
        .filter_map(|row| {
            Some(AttentionRow {
                shape: attention::shape(row, Mask::Causal)?,
                backward: false,
                time: row.micros("time_us")?,
            })
        })
        .collect();
    let mut law = attention::hopper(128);
    law.peak = FlopsPerSec::new(device.peaks[0] * 1e12);
    law.bandwidth = BytesPerSec::new(device.memory * 1e9);
    let provenance = provenance(
        format!("{}, attention_prefill, 16 heads of 128 and more", device.gpu),
        "Kernels of an inference framework.",
    );
    let mut curve = attention::curve(&law, &rows, MaskClass::Causal, "flash", provenance);
    curve.op = OpClass::AttentionForward;
    Ok(curve)
}

/// Hopper's share of the memory bandwidth, taken for this device's (assumption).
fn passes(hopper: &Profile, device: &Device) -> Result<KernelCurve, Fault> {
    let known = hopper
        .kernels
        .iter()
        .find(|curve| curve.op == OpClass::MemoryPass);
    let mut curve = known.ok_or("no curve of a memory pass")?.clone();
    let law = h800::pass_law(&curve)?;
    curve.law = Law::Pass(PassLaw {
        bandwidth: BytesPerSec::new(device.memory * 1e9),
        memory_efficiency: rounded(law.memory_efficiency),
        ..law
    });
    curve
        .provenance
        .note
        .push_str(" H800's share of the memory bandwidth is taken for this device (assumption).");
    Ok(curve)
}
