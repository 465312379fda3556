//! What the allocator hands out, against hand counts.

use orrery_scenario::plan::{Law, Plan, Recompute, ZeroStage};
use orrery_units::Bytes;

use super::fixture::{Gpt, deep_seek_v3};
use super::*;

const MEBIBYTE: u64 = 1 << 20;

/// The GPT of most test cases of Megatron-LM: 12 layers of 512, 4 sequences of 1,024 tokens.
fn small(tp: u32, pp: u32, chunks: u32) -> Plan {
    let gpt = Gpt {
        layers: 12,
        hidden: 512,
        heads: 8,
        vocab: 50_304,
        sequence: 1024,
        tp,
        pp,
        dp: 8,
        chunks,
        micro_batch: 4,
        num_microbatches: 8,
        sequence_parallel: false,
        recompute: Recompute::None,
    };
    let mut plan = gpt.plan();
    plan.cluster.device.architecture = "Ampere".to_owned();
    plan
}

fn dropping(scores: bool) -> MegatronChoices {
    MegatronChoices {
        kept: KeptTensors {
            scores,
            score_dropout: true,
            hidden_dropout: true,
            core_copy: true,
            ..KeptTensors::default()
        },
        transformer_engine: true,
        deterministic: true,
        large_on_blackwell: true,
        cross_entropy: CrossEntropy::Plain,
        deferred_heads: 0,
        mask: true,
        grouped_experts: false,
        core_buffer: false,
        tensor_overlap: false,
        optimizer_instances: 1,
        parallel_load: false,
        muon: None,
        microbatch_group: None,
    }
}

fn part(plan: &Plan, choices: &MegatronChoices, name: &str) -> Bytes {
    let parts = megatron_allocated(plan, choices);
    let found = parts.iter().find(|part| part.name == name);
    found.expect("the part is there").bytes
}

#[test]
fn worked_parts() {
    let plan = small(1, 1, 1);
    let choices = dropping(false);
    let workspaces = part(&plan, &choices, "workspaces");
    assert_eq!(
        workspaces,
        Bytes::new(68 * MEBIBYTE),
        "two of cuBLAS, one of the engine"
    );
    // 4,096 tokens by 50,304 in 2 + 4 bytes, and two inputs of 4 MiB.
    let head = part(&plan, &choices, "logits and loss, or a layer recomputed");
    assert_eq!(head.get(), 4096 * 50_304 * 6 + 8 * MEBIBYTE);
    // A mask of 4 · 1024² bytes, and a byte for each element of the embedding.
    let masks = part(&plan, &choices, "masks and buffers");
    assert_eq!(masks.get(), 6 * MEBIBYTE);
    let mut hopper = plan;
    hopper.cluster.device.architecture = "Hopper".to_owned();
    let overlapped = MegatronChoices {
        tensor_overlap: true,
        ..choices
    };
    assert_eq!(part(&hopper, &choices, "workspaces").get(), 96 * MEBIBYTE);
    assert_eq!(part(&hopper, &overlapped, "workspaces").get(), 160 * MEBIBYTE);
}

/// Scores of 4 sequences, 8 heads and 1,024 by 1,024 tokens: 64 MiB in BF16, a half of it on each of two ranks.
#[test]
fn the_cores_own_buffer_is_there_once() {
    let more = |tp| {
        let with = MegatronChoices {
            core_buffer: true,
            ..dropping(true)
        };
        let of = |choices| part(&small(tp, 1, 1), choices, "masks and buffers").get();
        of(&with) - of(&dropping(true))
    };
    assert_eq!((more(1), more(2)), (64 * MEBIBYTE, 32 * MEBIBYTE));
}

/// A softmax that is kept in FP32 takes two bytes a score more: 64 MiB a layer.
#[test]
fn a_softmax_in_fp32_is_kept_as_it_is() {
    let of = |softmax_fp32| {
        let mut choices = dropping(true);
        choices.kept.softmax_fp32 = softmax_fp32;
        part(&small(1, 1, 1), &choices, "activations in flight").get()
    };
    assert_eq!(of(true) - of(false), 12 * 64 * MEBIBYTE);
}

/// PyTorch's default workspace on Blackwell is 8.125 MiB, and 32 MiB since February 2026; a run that asks has 32 MiB.
#[test]
fn workspaces_on_blackwell_follow_pytorch() {
    let mut plan = small(1, 1, 1);
    plan.cluster.device.architecture = "Blackwell".to_owned();
    let of = |deterministic, large_on_blackwell| {
        let choices = MegatronChoices {
            deterministic,
            large_on_blackwell,
            ..dropping(false)
        };
        part(&plan, &choices, "workspaces").get()
    };
    assert_eq!(of(false, false), 48 * MEBIBYTE + MEBIBYTE / 4);
    assert_eq!(of(false, true), 96 * MEBIBYTE);
    assert_eq!(of(true, false), 96 * MEBIBYTE, "the run says what it wants");
}

/// A copy of 4,096 tokens by 50,304 in FP32 is 786 MiB.
#[test]
fn a_compiled_loss_holds_as_many_copies_as_its_compiler_makes() {
    let plan = small(1, 1, 1);
    let of = |copies| {
        let choices = MegatronChoices {
            cross_entropy: CrossEntropy::Fused { copies },
            ..dropping(false)
        };
        part(&plan, &choices, "logits and loss, or a layer recomputed").get()
    };
    assert_eq!(of(3) - of(2), 786 * MEBIBYTE);
    assert_eq!(of(4) - of(2), 2 * 786 * MEBIBYTE);
}

/// 12 layers of 12 · 512² + 13 · 512, embeddings of 50,304 and 1,024 positions by 512, and a last norm of 2 · 512: 64.3 M
/// parameters, twice in FP32.
#[test]
fn loaded_moments_are_two_numbers_a_parameter() {
    let parameters = 12 * (12 * 512 * 512 + 13 * 512) + (50_304 + 1024) * 512 + 2 * 512;
    let plan = small(1, 1, 1);
    let moments = megatron_loaded_moments(&plan, &dropping(false)).as_f64();
    let by_hand = f64::from(8 * parameters);
    assert!((moments / by_hand - 1.0).abs() < 0.01, "{moments} {by_hand}");
    let mut divided = plan;
    divided.layout.zero = ZeroStage::Optimizer;
    let share = megatron_loaded_moments(&divided, &dropping(false)).as_f64();
    assert!(
        (share * 8.0 / moments - 1.0).abs() < 1e-3,
        "one of eight ranks: {share}"
    );
}

/// 50,304 by 512 numbers, of 2 + 4 bytes and 12 of states; none where the rank has the matrix anyway.
#[test]
fn prediction_modules_have_an_embedding_of_their_own() {
    let of = |stages, tied, modules| {
        let mut plan = small(1, stages, 1);
        plan.model.tied_embeddings = tied;
        plan.model.mtp_layers = modules;
        if let Some(last) = plan.layout.stages.last_mut() {
            last.mtp_layers = modules;
        }
        part(&plan, &dropping(false), "embedding of prediction modules").get()
    };
    assert_eq!(of(4, false, 1), 50_304 * 512 * 18);
    for without in [of(1, false, 1), of(4, true, 1), of(4, false, 0)] {
        assert_eq!(without, 0, "a copy that is there already, or that nobody needs");
    }
}

/// The slow twin: every tensor of a layer written out, in units of tokens by hidden.
#[test]
fn layers_equal_a_count_by_hand() {
    let unit = 4096 * 512;
    // Input, norm, queries to values, core, its copy, mask; input, norm, up and activation of 4 · hidden, mask.
    let fused = 2 * (1 + 1 + 3 + 1 + 1) * unit + unit + 2 * (1 + 1 + 4 + 4) * unit + unit;
    let row_sums = 4 * 4096 * 8;
    let flash = part(&small(1, 1, 1), &dropping(false), "activations in flight");
    assert_eq!(flash.get(), 12 * (fused + row_sums));
    // Without the copy; softmax, its mask and the dropped scores of 8 heads of 1,024 by 1,024 for 4 sequences.
    let scores = (2 + 1 + 2) * 4 * 8 * 1024 * 1024;
    let unfused = part(&small(1, 1, 1), &dropping(true), "activations in flight");
    assert_eq!(unfused.get(), 12 * (fused - 2 * unit + scores));
}

/// Interleaved on 4 stages with 3 chunks: the last rank holds 2 chunks of 4 microbatches, and the last chunk of one.
#[test]
fn chunks_are_held_for_a_group_of_microbatches() {
    let layers = |pp, chunks, group| {
        let choices = MegatronChoices {
            microbatch_group: group,
            ..dropping(true)
        };
        part(&small(1, pp, chunks), &choices, "activations in flight")
    };
    let one = layers(4, 3, Some(1)) / 3;
    assert_eq!(layers(4, 3, None), one * 9, "a group of one per stage");
    assert_eq!(layers(4, 3, Some(5)), one * 11, "a group of five");
    assert_eq!(layers(4, 1, None), one * 3, "one microbatch of three layers");
}

#[test]
fn choices_only_add() {
    let mut plan = small(2, 1, 1);
    plan.layout.zero = ZeroStage::Optimizer;
    let total = |choices: &MegatronChoices| -> Bytes {
        megatron_allocated(&plan, choices)
            .iter()
            .map(|part| part.bytes)
            .sum()
    };
    let plain = dropping(false);
    let more = [
        MegatronChoices {
            cross_entropy: CrossEntropy::Fused { copies: 2 },
            ..plain
        },
        MegatronChoices {
            deferred_heads: 2,
            ..plain
        },
        MegatronChoices {
            optimizer_instances: 2,
            ..plain
        },
        MegatronChoices {
            kept: KeptTensors {
                head_norms: true,
                ..plain.kept
            },
            ..plain
        },
    ];
    for choices in more {
        assert!(total(&choices) > total(&plain), "{choices:?}");
    }
}

#[test]
fn a_natural_load_adds_to_experts_alone() {
    let even = deep_seek_v3(Law::Balanced);
    let natural = deep_seek_v3(Law::LogNormal { sigma: 0.5 });
    let choices = dropping(false);
    for (a, b) in megatron_allocated(&even, &choices)
        .into_iter()
        .zip(megatron_allocated(&natural, &choices))
    {
        assert_eq!(
            a.bytes < b.bytes,
            a.name == "activations in flight" || a.name.starts_with("logits"),
            "{}",
            a.name
        );
    }
}

/// A stage of 8 layers of 14,400 with TP 8 and its share of a vocabulary of 250,000: 12 · 8 · 14,400² / 8 + 250,000 ·
/// 14,400 / 8 = 2.94e9 parameters in FP16 on one replica: 4 + 16 bytes each.
#[test]
fn states_of_deep_speed() {
    let gpt = Gpt {
        layers: 80,
        hidden: 14_400,
        heads: 96,
        vocab: 250_000,
        sequence: 2048,
        tp: 8,
        pp: 10,
        dp: 1,
        chunks: 1,
        micro_batch: 1,
        num_microbatches: 2048,
        sequence_parallel: false,
        recompute: Recompute::Full,
    };
    let parts = deep_speed_device_used(&gpt.plan());
    let states = (parts[0].bytes + parts[1].bytes).as_f64();
    assert!((states / (20.0 * 2.94e9) - 1.0).abs() < 0.01, "{states}");
    // Ten microbatches of 8 inputs, and one layer again: 10 · 8 · 59.0 MB + 576 MB (8 + 24 / 8 bytes an element, and 5 a score), and 22 % cached around them.
    let activations = parts[2].bytes.as_f64();
    assert!(
        (activations / (1.22 * 5.295e9) - 1.0).abs() < 1e-3,
        "{activations}"
    );
}
