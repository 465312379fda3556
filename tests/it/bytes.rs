//! Bytes of a step by hand, for every way in which ranks talk: what lowering emits and what the engine counts.
//!
//! Each equation is of one rank, layer and microbatch; `H` is the hidden size, `T` the tokens that a rank holds.

use std::collections::BTreeMap;

use orrery_taskgraph::{Task, Work};
use orrery_timeline::KindTable;
use orrery_units::{SimDuration, SimTime};
use orrery_workload::lower::{Folding, TrainingDriver};

use crate::support::{Changed, DENSE, balanced_experts, plan, run};

/// Bytes of all ranks in the first step, by kind of task.
fn bytes(text: &str, settings: &[(&str, &str)]) -> BTreeMap<String, u64> {
    let plan = plan(text, settings);
    let inner = TrainingDriver::new(&plan, plan.run.seed, Folding::None);
    let table = inner.kinds().table.clone();
    let mut emitted = BTreeMap::<String, u64>::new();
    let change = |task: &mut Task| {
        if let Work::Flow { bytes, .. } = task.work
            && task.step == 0
        {
            let name = table.kind(task.kind).name.clone();
            *emitted.entry(name).or_default() += bytes.get();
        }
    };
    let outcome = run(&mut Changed { inner, change }, &plan);
    let mut counted = BTreeMap::<String, u64>::new();
    for lane in outcome.totals.steps[0].lanes.iter() {
        for (kind, cell) in lane.iter().filter(|(_, cell)| cell.bytes.get() > 0) {
            *counted.entry(table.kind(kind).name.clone()).or_default() += cell.bytes.get();
        }
    }
    assert_eq!(counted, emitted, "the engine counts what lowering emits");
    counted
}

fn check(found: &BTreeMap<String, u64>, expected: &[(&str, u64)]) {
    for &(kind, bytes) in expected {
        assert_eq!(found.get(kind).copied().unwrap_or(0), bytes, "{kind}");
    }
}

/// Two layers of 16 experts, two a token, on 16 devices of two nodes; one microbatch a rank.
/// `H` = 2,048, `T` = 4,096.
fn experts(more: &[(&str, &str)]) -> BTreeMap<String, u64> {
    let mut settings = vec![
        ("model.fields.layers", "2"),
        ("cluster.nodes", "2"),
        ("parallel.tp", "1"),
        ("parallel.pp", "1"),
        ("parallel.ep", "16"),
        ("parallel.sequence_parallel", "false"),
        ("training.global_batch", "16"),
    ];
    settings.extend(more);
    bytes(&balanced_experts(), &settings)
}

const RANKS: u64 = 16;
const LAYERS: u64 = 2;
const TOKENS: u64 = 4096;
/// A token in BF16, and in FP8 with a scale of four bytes for each 128 elements.
const BF16: u64 = 2048 * 2;
const FP8: u64 = 2048 + 2048 / 128 * 4;

/// Dispatch, combine and their gradients where a rank sends so many tokens over the network and inside its node.
fn exchanged(network: f64, node: f64, dispatch: u64, combine: u64) -> [(&'static str, u64); 4] {
    let whole = |token: u64| {
        let port = |tokens: f64| (tokens * token as f64).round() as u64;
        RANKS * LAYERS * (port(network) + port(node))
    };
    [
        ("dispatch forward", whole(dispatch)),
        ("combine forward", whole(combine)),
        ("combine backward", whole(dispatch)),
        ("dispatch backward", whole(combine)),
    ]
}

/// All-to-all: `T k (n − 1) / n` copies leave, of which `T k (n − r) / n` the node: 2 · 4,096 · 15 / 16.
#[test]
fn all_to_all_sends_every_copy() {
    let tokens = TOKENS as f64;
    for (format, dispatch) in [("bf16", BF16), ("fp8", FP8)] {
        let found = experts(&[
            ("stack.dispatcher", "all-to-all"),
            ("training.formats.dispatch", format),
        ]);
        check(
            &found,
            &exchanged(
                tokens * 2.0 * 8.0 / 16.0,
                tokens * 2.0 * 7.0 / 16.0,
                dispatch,
                BF16,
            ),
        );
    }
}

/// All-gather: `T (n − 1)` tokens come, of which `T (n − r) / r` through the rank's own port of the network.
#[test]
fn all_gather_brings_every_token() {
    let tokens = TOKENS as f64;
    let found = experts(&[("stack.dispatcher", "all-gather")]);
    check(&found, &exchanged(tokens * 8.0 / 8.0, tokens * 14.0, BF16, BF16));
}

/// DeepEP and HybridEP: a token goes once to each node that it visits, `1 − C(8, 2) / C(16, 2)` = 23 / 30 of them to the
/// other node, and from there once to each rank, `k / E` = 1 / 8 of the tokens of both nodes' ranks, but not to the one it
/// came through: `T (n / r) (r − 1) k / E` = 7 / 4 T.
#[test]
fn a_token_goes_once_to_each_node() {
    let tokens = TOKENS as f64;
    for dispatcher in ["deepep", "hybrid-ep"] {
        for (format, dispatch) in [("bf16", BF16), ("fp8", FP8)] {
            let found = experts(&[
                ("stack.dispatcher", dispatcher),
                ("training.formats.dispatch", format),
            ]);
            check(
                &found,
                &exchanged(tokens * 23.0 / 30.0, tokens * 7.0 / 4.0, dispatch, BF16),
            );
        }
    }
}

/// An expert cut in `e` = 2: `T k (n − 1) / n` copies a rank among `n` = 8, then `(e − 1) T k` gathered from the other
/// rank of each expert, and as many reduced and scattered back; twice, for gradients take the same way.
#[test]
fn cut_experts_gather_and_scatter() {
    let tokens = TOKENS as f64;
    let found = experts(&[
        ("stack.dispatcher", "all-to-all"),
        ("parallel.ep", "8"),
        ("parallel.expert_tp", "2"),
        ("training.formats.dispatch", "fp8"),
    ]);
    // Of the seven other ranks of a group three are on its node.
    check(
        &found,
        &exchanged(tokens * 2.0 * 4.0 / 8.0, tokens * 2.0 * 3.0 / 8.0, FP8, BF16),
    );
    let copies = RANKS * LAYERS * TOKENS * 2;
    check(
        &found,
        &[
            ("expert all-gather", 2 * copies * FP8),
            ("expert reduce-scatter", 2 * copies * BF16),
        ],
    );
}

/// Gradients scattered and parameters gathered: `(n − 1) / n` of what a rank holds, among 16 ranks for what all hold and
/// among 4 for experts, in the format in which each travels; embedding and head no narrower than activations. A module that
/// predicts one token more is a layer and a projection `[2 H, H]` with three norms.
#[test]
fn gradients_and_parameters_travel_in_their_formats() {
    let (hidden, vocab) = (2048_u64, 32_000);
    let attention = hidden * (16 + 2 * 4) * 128 + 16 * 128 * hidden;
    let dense = attention + 2 * hidden + 16 * hidden;
    let experts_held = 16 / 4 * 3 * hidden * 2048;
    // Embedding and head, with the norm before it.
    let ends = 2 * vocab * hidden + hidden;
    let layer = |each: u64| dense * each * 15 / 16 + experts_held * each * 3 / 4;
    let projection = 2 * hidden * hidden + 3 * hidden;
    for (gradients, gradient, gathered, [parameter, of_ends], modules) in [
        ("fp32", 4, "bf16", [2, 2], 0),
        ("bf16", 2, "fp8", [1, 2], 0),
        ("bf16", 2, "fp8", [1, 2], 1),
        ("fp32", 4, "fp32", [4, 4], 0),
    ] {
        let parameters = |each: u64, of_ends: u64| {
            (LAYERS + modules) * layer(each) + (modules * projection * each + ends * of_ends) * 15 / 16
        };
        let modules = modules.to_string();
        let found = experts(&[
            ("parallel.ep", "4"),
            ("model.fields.mtp_layers", &modules),
            ("training.formats.gradient_traffic", gradients),
            ("training.formats.parameter_traffic", gathered),
        ]);
        check(
            &found,
            &[
                ("gradient reduction", RANKS * parameters(gradient, gradient)),
                ("parameter all-gather", RANKS * parameters(parameter, of_ends)),
            ],
        );
    }
}

/// A dense model of two layers on one node; one microbatch for each data-parallel rank.
fn dense(more: &[(&str, &str)]) -> BTreeMap<String, u64> {
    let mut settings = vec![
        ("model.fields.layers", "2"),
        ("cluster.nodes", "1"),
        ("parallel.pp", "1"),
        ("parallel.tp", "1"),
        ("parallel.sequence_parallel", "false"),
        ("training.global_batch", "8"),
    ];
    settings.extend(more);
    bytes(DENSE, &settings)
}

/// Bytes of the residual stream of one sequence: `S H` = 4,096 · 4,096 in BF16.
const RESIDUAL: u64 = 4096 * 4096 * 2;

/// Tensor parallelism, `t` = 4: without sequence parallelism an all-reduce of `2 (t − 1) / t S H` behind each of two blocks,
/// forward and backward; with it a gather before and a scatter behind each, `(t − 1) / t S H`, and backward one gather
/// more of each block's input. Two microbatches of four sequences on two data-parallel ranks: four a rank.
#[test]
fn tensor_parallel_blocks() {
    let tensor = [("parallel.tp", "4")];
    let blocks = 8 * 4 * LAYERS * 2;
    let part = RESIDUAL * 3 / 4;
    check(&dense(&tensor), &[("tensor all-reduce", blocks * 2 * 2 * part)]);
    let found = dense(&[tensor[0], ("parallel.sequence_parallel", "true")]);
    check(
        &found,
        &[
            ("tensor all-gather", blocks * 3 * part),
            ("tensor reduce-scatter", blocks * 2 * part),
            ("tensor all-reduce", 0),
        ],
    );
}

/// Pipeline stages: `S H` forward and as much backward over each of three boundaries, for each of four microbatches of two
/// data-parallel ranks; with sequence parallelism each of `t` ranks sends its part.
#[test]
fn pipeline_messages() {
    let stages = [("model.fields.layers", "4"), ("parallel.pp", "4")];
    let sent = 3 * 8 * RESIDUAL;
    let expected = [
        ("send activation", sent),
        ("send gradient", sent),
        ("receive gradient", sent),
    ];
    check(&dense(&stages), &expected);
    let mut cut = stages.to_vec();
    cut.extend([("parallel.tp", "2"), ("parallel.sequence_parallel", "true")]);
    check(&dense(&cut), &expected);
}

/// Context parallelism, `c` = 4, of keys and values of 8 heads of 128: a rank's own are `KV = S / c · 8 · 256`. Round a ring
/// `(c − 1) KV` forward, and backward as much again and as much of gradients; gathered the same; exchanged for heads
/// `(c − 1) / c` of queries, keys, values and results, 32 heads of queries, each way.
#[test]
fn context_parallel_keys_and_values() {
    let own = 4096 / 4 * 8 * 256 * 2;
    let passes = 8 * 4 * LAYERS;
    for exchange in ["p2p", "allgather"] {
        let found = dense(&[("parallel.cp", "4"), ("parallel.cp_comm", exchange)]);
        check(
            &found,
            &[
                ("context exchange forward", passes * 3 * own),
                ("context exchange backward", passes * 2 * 3 * own),
            ],
        );
    }
    let found = dense(&[("parallel.cp", "4"), ("parallel.cp_comm", "a2a")]);
    let turned = 4096 / 4 * (32 * 128 + 8 * 256 + 32 * 128) * 2 * 3 / 4;
    check(
        &found,
        &[
            ("context exchange forward", passes * turned),
            ("context exchange backward", passes * turned),
        ],
    );
}

/// What is longer than the chunk beside it shows: every piece of attention lasts `c` and every stretch of messages `t`.
/// Forward: before, `max(c, t)`, behind; backward `max(c, t)` twice, for gradients follow a chunk later.
#[test]
fn a_ring_shows_where_it_is_slower_than_attention() {
    let settings = [
        ("model.fields.layers", "2"),
        ("cluster.nodes", "1"),
        ("parallel.pp", "1"),
        ("parallel.tp", "1"),
        ("parallel.cp", "4"),
        ("parallel.sequence_parallel", "false"),
        ("training.global_batch", "2"),
        ("stack.cuda_graphs", "true"),
    ];
    let plan = plan(DENSE, &settings);
    for (chunk, message) in [(5_000_000, 3_000_000), (5_000_000, 9_000_000_u64)] {
        let inner = TrainingDriver::new(&plan, plan.run.seed, Folding::None);
        let table = inner.kinds().table.clone();
        let change = |task: &mut Task| task.work = Work::Delay(length(&table, task, chunk, message));
        let outcome = run(&mut Changed { inner, change }, &plan);
        let shown = chunk.max(message);
        let expected = LAYERS * (4 * chunk + 3 * shown);
        assert_eq!(
            outcome.totals.steps[0].end,
            SimTime::from_picos(expected),
            "chunk {chunk}, message {message}"
        );
    }
}

fn length(table: &KindTable, task: &Task, chunk: u64, message: u64) -> SimDuration {
    let name = table.kind(task.kind).name.as_str();
    let picos = if name.starts_with("attention") {
        chunk
    } else if name.starts_with("context") {
        message
    } else {
        0
    };
    SimDuration::from_picos(picos)
}
