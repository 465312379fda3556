//! Memory against the equations and the published amounts of Korthikanti et al. 2022 (arXiv 2205.05198), and
//! hand counts of DeepSeek-V3.

use orrery_scenario::plan::{Law, Plan, Recompute, RecomputeModule};
use orrery_units::Bytes;

use super::fixture::{Gpt, deep_seek_v3};
use super::*;

/// A model of Korthikanti et al. 2022, table 3, with the amounts of their figure 1 in GiB.
struct Published {
    name: &'static str,
    gpt: fn(bool, Recompute) -> Gpt,
    parameters_and_optimizer: f64,
    /// TP alone, nothing recomputed.
    activations: f64,
    /// Sequence parallelism and selective recompute.
    selective: f64,
}

fn gpt(sizes: [u64; 7], sequence_parallel: bool, recompute: Recompute) -> Gpt {
    let [layers, hidden, heads, pp, chunks, micro_batch, num_microbatches] = sizes;
    Gpt {
        layers: layers as usize,
        hidden,
        heads,
        vocab: 51_200,
        sequence: 2048,
        tp: 8,
        pp: pp as u32,
        dp: 1,
        chunks: chunks as u32,
        micro_batch,
        num_microbatches,
        sequence_parallel,
        recompute,
    }
}

const MODELS: [Published; 4] = [
    Published {
        name: "22B",
        gpt: |sp, r| gpt([48, 6144, 64, 1, 1, 4, 1], sp, r),
        parameters_and_optimizer: 45.56,
        activations: 59.25,
        selective: 9.56,
    },
    Published {
        name: "175B",
        gpt: |sp, r| gpt([96, 12_288, 96, 8, 3, 1, 64], sp, r),
        parameters_and_optimizer: 45.56,
        activations: 66.84,
        selective: 12.35,
    },
    Published {
        name: "530B",
        gpt: |sp, r| gpt([105, 20_480, 128, 35, 3, 1, 280], sp, r),
        parameters_and_optimizer: 31.64,
        activations: 114.02,
        selective: 23.08,
    },
    Published {
        name: "1T",
        gpt: |sp, r| gpt([128, 25_600, 160, 64, 1, 1, 512], sp, r),
        parameters_and_optimizer: 32.96,
        activations: 131.25,
        selective: 26.56,
    },
];

fn selective() -> Recompute {
    Recompute::Selective(vec![RecomputeModule::CoreAttention])
}

/// Activations of the first stage at its fullest: the forwards of the schedule before its first backward.
fn first_stage(plan: &Plan) -> Bytes {
    use crate::schedule::order;
    let memory = ActivationMemory::with_scores(plan, Scores::HeldWithDropout);
    let stage = &plan.layout.stages[0];
    let chunk: Bytes = plan.model.layers[stage.layers.clone()]
        .iter()
        .map(|layer| memory.layer(layer, 0))
        .sum();
    let microbatches = plan.training.num_microbatches as u32;
    let actions = order(plan.layout.schedule, plan.layout.pp, 0, microbatches);
    let (mut held, mut most): (u64, u64) = (0, 0);
    for action in actions {
        held += u64::from(action.forward().is_some());
        most = most.max(held);
        held -= u64::from(action.input_gradient().is_some());
    }
    chunk * most
}

/// Equation 2 (tensor parallel), equation 4 (with sequence parallel) and the 34 s b h / t of section 5, exactly.
#[test]
fn layers_equal_the_equations() {
    for model in &MODELS {
        let bytes = |sequence_parallel, recompute| {
            let plan = (model.gpt)(sequence_parallel, recompute).plan();
            ActivationMemory::with_scores(&plan, Scores::HeldWithDropout).layer(&plan.model.layers[0], 0)
        };
        let case = (model.gpt)(false, Recompute::None);
        let (sbh, tp) = (case.sequence * case.micro_batch * case.hidden, 8);
        // 5 a s / h, times h to stay whole.
        let scores = 5 * case.heads * case.sequence * case.sequence * case.micro_batch / tp;
        assert_eq!(
            bytes(false, Recompute::None).get(),
            sbh * 10 + sbh * 24 / tp + scores,
            "{}",
            model.name
        );
        assert_eq!(
            bytes(true, Recompute::None).get(),
            sbh * 34 / tp + scores,
            "{}",
            model.name
        );
        assert_eq!(bytes(true, selective()).get(), sbh * 34 / tp, "{}", model.name);
        assert_eq!(bytes(true, Recompute::Full).get(), sbh * 2 / tp, "{}", model.name);
    }
}

/// Figure 1 as data: activations of the first stage within 0.1 %.
#[test]
fn activations_equal_the_published() {
    for model in &MODELS {
        let none = first_stage(&(model.gpt)(false, Recompute::None).plan()).as_gib();
        let selective = first_stage(&(model.gpt)(true, selective()).plan()).as_gib();
        assert!(
            (none / model.activations - 1.0).abs() < 1e-3,
            "{}: {none}",
            model.name
        );
        assert!(
            (selective / model.selective - 1.0).abs() < 1e-3,
            "{}: {selective}",
            model.name
        );
    }
}

/// Parameters, gradients and optimiser at 18 bytes per parameter. The paper counts `12 L h²` parameters; a middle
/// stage adds biases and norms (0.1 %), a single stage also the embedding (1.6 % of 22B).
#[test]
fn parameters_and_optimizer_equal_the_published() {
    for model in &MODELS {
        let plan = (model.gpt)(true, selective()).plan();
        let middle = plan.layout.pp / 2;
        let bytes: Bytes = StaticMemory::of(&plan, middle)
            .into_iter()
            .filter(|&(cause, _)| matches!(cause, Cause::Weights | Cause::Gradients | Cause::Optimizer))
            .map(|(_, bytes)| bytes)
            .sum();
        let tolerance = if plan.layout.pp == 1 { 0.016 } else { 1e-3 };
        assert!(
            (bytes.as_gib() / model.parameters_and_optimizer - 1.0).abs() < tolerance,
            "{}",
            model.name
        );
    }
}

#[test]
fn worked_numbers() {
    let plan = (MODELS[1].gpt)(true, selective()).plan();
    assert_eq!(layer_parameters(&plan, &plan.model.layers[0]).dense, 226_523_136);
    let plan = deep_seek_v3(Law::Balanced);
    // 4 experts of 3 · 7168 · 2048 on each rank.
    assert_eq!(
        layer_parameters(&plan, &plan.model.layers[10]).experts,
        4 * 44_040_192
    );
    let megabytes = deep_ep_buffers(&plan).as_f64() / 1e6;
    assert!((megabytes - 330.3 - 293.6).abs() < 0.1, "{megabytes}");
}

/// Both stages of a DualPipe rank are counted: all ranks together hold the model twice, experts once per group.
#[test]
fn dual_pipe_holds_two_stages() {
    let plan = deep_seek_v3(Law::Balanced);
    let experts: u64 = (0..16).map(|p| rank_parameters(&plan, p).experts).sum();
    // 58 layers and one multi-token-prediction module, 256 experts of 44,040,192, EP 64, twice.
    assert_eq!(experts * 64, 2 * 59 * 256 * 44_040_192);
    let dense: u64 = (0..16).map(|p| rank_parameters(&plan, p).dense).sum();
    let whole = plan.model.parameters().and(plan.model.mtp_parameters()).dense;
    assert_eq!(dense, 2 * whole);
}

#[test]
fn experts_hold_what_they_receive() {
    let plan = deep_seek_v3(Law::Balanced);
    let memory = ActivationMemory::new(&plan);
    let layer = &plan.model.layers[10];
    let of = |tokens, cause| {
        let parts = memory.mlp(layer, tokens);
        parts
            .into_iter()
            .find(|&(at, _)| at == cause)
            .map(|(_, bytes)| bytes.get())
    };
    // Per row: input 7,392, SwiGLU input 2 · 2048 in BF16, its output 2,048 in FP8 with 16 scales.
    assert_eq!(of(1000, Cause::Experts), Some(1000 * (7392 + 8192 + 2048 + 64)));
    assert_eq!(
        of(1000, Cause::Mlp),
        of(2000, Cause::Mlp),
        "shared experts see the rank's own tokens"
    );
}

#[test]
fn recompute_only_takes_away() {
    let mut plan = deep_seek_v3(Law::Balanced);
    let layer = plan.model.layers[10].clone();
    let all = ActivationMemory::new(&plan).layer(&layer, 32_768);
    let modules = [
        RecomputeModule::CoreAttention,
        RecomputeModule::Norm,
        RecomputeModule::MlaUpProjection,
        RecomputeModule::Activation,
        RecomputeModule::Mlp,
    ];
    for module in modules {
        plan.training.recompute = Recompute::Selective(vec![module]);
        let memory = ActivationMemory::new(&plan);
        assert_eq!(
            memory.layer(&layer, 32_768) + memory.recomputed(&layer, 32_768),
            all,
            "{module:?}"
        );
    }
    plan.training.recompute = Recompute::Full;
    assert_eq!(
        ActivationMemory::new(&plan).layer(&layer, 32_768),
        Bytes::new(4096 * 7168 * 2)
    );
}

#[test]
fn causes_are_numbered_as_named() {
    for (number, cause) in Cause::ALL.into_iter().enumerate() {
        assert_eq!(
            (usize::from(cause.index()), cause.name()),
            (number, CAUSES[number])
        );
    }
}
