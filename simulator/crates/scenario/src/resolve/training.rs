//! `[training]` into batch, recompute and formats.

use orrery_operation::Precision;
use orrery_units::Bytes;

use super::{Assumptions, narrow};
use crate::plan::{Cluster, Documents, Formats, Recompute, RecomputeModule, Stack, Training};
use crate::raw::{Given, RawTraining};

/// The training settings. `num_microbatches` is filled in when the layout is known.
pub(crate) fn training(
    raw: &RawTraining<'_>,
    stack: Stack,
    cluster: Option<&Cluster>,
    assumed: &mut Assumptions,
) -> Option<Training> {
    let (seq_len, global_batch) = (raw.seq_len.as_ref()?, raw.global_batch.as_ref()?);
    let micro_batch = assumed.or(
        raw.micro_batch.as_ref(),
        "training.micro_batch",
        1,
        "the smallest",
    );
    let formats = formats(raw, &stack, assumed);
    Some(Training {
        sequence_length: seq_len.value,
        global_batch: global_batch.value,
        micro_batch,
        num_microbatches: 0,
        steps: narrow(assumed.or(
            raw.steps.as_ref(),
            "training.steps",
            2,
            "one to warm up, one to count",
        )),
        warmup_steps: narrow(assumed.or(
            raw.warmup_steps.as_ref(),
            "training.warmup_steps",
            1,
            "the first step has nothing to overlap with",
        )),
        recompute: recompute(raw, assumed),
        memory_budget: budget(raw, cluster),
        documents: documents(raw, assumed),
        formats,
        stack,
    })
}

/// What a device may take where the set to recompute is chosen by it.
fn budget(raw: &RawTraining<'_>, cluster: Option<&Cluster>) -> Option<Bytes> {
    let adaptive = raw
        .recompute
        .as_ref()
        .is_some_and(|given| given.value == "adaptive");
    let given = raw
        .memory_budget
        .as_ref()
        .map(|given| Bytes::from_f64(given.value));
    let whole = cluster.map_or(Bytes::ZERO, |cluster| cluster.device.memory);
    adaptive.then(|| given.unwrap_or(whole))
}

fn documents(raw: &RawTraining<'_>, assumed: &mut Assumptions) -> Option<Documents> {
    let (law, tokens) = (raw.document_law.as_ref()?, raw.document_tokens.as_ref()?.value);
    if law.value == "fixed" {
        return Some(Documents::Fixed { tokens });
    }
    let sigma = assumed.or(
        raw.document_sigma.as_ref(),
        "training.documents.sigma",
        1.0,
        "assumed: lengths of web documents spread over about one natural logarithm",
    );
    Some(Documents::LogNormal {
        median: tokens,
        sigma,
    })
}

fn recompute(raw: &RawTraining<'_>, assumed: &mut Assumptions) -> Recompute {
    if let Some(modules) = &raw.recompute_modules {
        let mut modules: Vec<RecomputeModule> = modules.value.iter().filter_map(module).collect();
        modules.sort_unstable();
        modules.dedup();
        return if modules.is_empty() {
            Recompute::None
        } else {
            Recompute::Selective(modules)
        };
    }
    match raw.recompute.as_ref().map(|given| given.value.as_str()) {
        Some("full") => Recompute::Full,
        Some(_) => Recompute::None,
        None => {
            assumed.note("training.recompute", "none", "not written: everything is kept");
            Recompute::None
        }
    }
}

fn module(name: &Given<String>) -> Option<RecomputeModule> {
    RecomputeModule::ALL
        .into_iter()
        .find(|module| module.name() == name.value)
}

/// The formats of a precision preset, by stack.
///
/// Sixteen bits: Megatron-LM's mixed precision: FP32 gradients, master and moments. FP8: the GEMMs alone
/// are FP8 (Transformer Engine); DeepSeek's stack also holds BF16 moments and dispatches FP8
/// (DeepSeek-V3 report, section 3.3).
fn preset(precision: &str, stack: &Stack) -> (Formats, &'static str) {
    let half = if precision == "fp16" {
        Precision::Fp16
    } else {
        Precision::Bf16
    };
    let plain = Formats {
        gemm: half,
        attention: half,
        activations: half,
        weights: half,
        gradients: Precision::Fp32,
        gradient_traffic: Precision::Fp32,
        parameter_traffic: half,
        master: Precision::Fp32,
        moments: Precision::Fp32,
        dispatch: half,
        combine: half,
        kept: half,
    };
    match (precision, stack.name.as_str()) {
        ("fp32", _) => (all_fp32(), "every tensor in FP32"),
        ("fp8", "deepseek") => (
            Formats {
                gemm: Precision::Fp8,
                weights: Precision::Fp8,
                moments: Precision::Bf16,
                parameter_traffic: Precision::Fp8,
                dispatch: Precision::Fp8,
                kept: Precision::Fp8,
                ..plain
            },
            "DeepSeek-V3 report, section 3.3: FP8 GEMMs and dispatch, BF16 combine and moments, FP32 \
             gradients and master, inputs of SwiGLU kept in FP8; FP8 held and gathered weights are assumed",
        ),
        ("fp8", _) => (
            Formats {
                gemm: Precision::Fp8,
                ..plain
            },
            "Transformer Engine: GEMMs in FP8, parameters held in BF16",
        ),
        ("fp4", _) => (
            Formats {
                gemm: Precision::Fp4,
                ..plain
            },
            "Transformer Engine: GEMMs in NVFP4, parameters held in BF16",
        ),
        (_, "llama3") => (
            plain,
            "Llama 3 report, section 3.3.2: FP32 gradient accumulation and reduce-scatter",
        ),
        _ => (
            plain,
            "mixed precision as Megatron-LM does it: FP32 gradients, master and moments",
        ),
    }
}

const fn all_fp32() -> Formats {
    let full = Precision::Fp32;
    Formats {
        gemm: Precision::Tf32,
        attention: full,
        activations: full,
        weights: full,
        gradients: full,
        gradient_traffic: full,
        parameter_traffic: full,
        master: full,
        moments: full,
        dispatch: full,
        combine: full,
        kept: full,
    }
}

fn formats(raw: &RawTraining<'_>, stack: &Stack, assumed: &mut Assumptions) -> Formats {
    let precision = assumed.or(
        raw.precision.as_ref(),
        "training.precision",
        "bf16".to_owned(),
        "the usual format of training",
    );
    let (mut formats, reason) = preset(&precision, stack);
    for (key, slot) in [
        ("gemm", &mut formats.gemm),
        ("attention", &mut formats.attention),
        ("activations", &mut formats.activations),
        ("weights", &mut formats.weights),
        ("gradients", &mut formats.gradients),
        ("gradient_traffic", &mut formats.gradient_traffic),
        ("parameter_traffic", &mut formats.parameter_traffic),
        ("master", &mut formats.master),
        ("moments", &mut formats.moments),
        ("dispatch", &mut formats.dispatch),
        ("combine", &mut formats.combine),
        ("kept", &mut formats.kept),
    ] {
        match raw.formats.text(key).and_then(|given| named(&given.value)) {
            Some(format) => *slot = format,
            None => assumed.note(&format!("training.formats.{key}"), *slot, reason),
        }
    }
    formats
}

fn named(name: &str) -> Option<Precision> {
    Precision::ALL
        .into_iter()
        .find(|precision| precision.name() == name)
}
