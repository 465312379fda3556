//! The CPU reference against a brute force that shares no step with it: dense loops over every token and every
//! expert, in double precision, without permutation and without rounding in between.

use orrery_kernels::Bf16;
use orrery_kernels::reference::{self, Experts, GateRule, Scoring};
use orrery_units::Seed;
use rand::RngExt as _;

/// Half the distance between bfloats next to 1: the most that one rounding can be off by, relative.
const ROUNDING: f64 = 1.0 / 256.0;

struct Case {
    tokens: usize,
    hidden: usize,
    inner: usize,
    experts: usize,
    rule: GateRule,
    capacity: usize,
    /// Experts from here on are never worth choosing.
    live: usize,
}

struct Inputs {
    activations: Vec<Bf16>,
    logits: Vec<f32>,
    experts: Experts,
}

fn inputs(case: &Case, seed: u64) -> Inputs {
    let draw = |name: &str, count: usize, range: f32| -> Vec<f32> {
        let mut rng = Seed::new(seed).at(name, &[]).rng();
        (0..count).map(|_| rng.random_range(-range..range)).collect()
    };
    let tensor = |name: &str, count: usize| draw(name, count, 1.0).into_iter().map(Bf16::from_f32).collect();
    let (hidden, inner, count) = (case.hidden, case.inner, case.experts);
    let mut logits = draw("logits", case.tokens * count, 3.0);
    for row in logits.chunks_exact_mut(count) {
        row[case.live..].fill(-30.0);
    }
    Inputs {
        activations: tensor("activations", case.tokens * hidden),
        logits,
        experts: Experts {
            hidden,
            inner,
            gate_and_up: tensor("gate and up", count * 2 * inner * hidden),
            down: tensor("down", count * hidden * inner),
        },
    }
}

/// How much `expert` is wanted and what it would weigh, before normalisation.
fn wanted(case: &Case, logits: &[f32], expert: usize) -> (f64, f64) {
    let logit = f64::from(logits[expert]);
    match &case.rule.scoring {
        Scoring::Softmax => {
            let sum: f64 = logits.iter().map(|&other| f64::from(other).exp()).sum();
            (logit, logit.exp() / sum)
        }
        Scoring::Sigmoid { bias } => {
            let score = 1.0 / (1.0 + (-logit).exp());
            (score + f64::from(bias[expert]), score)
        }
    }
}

/// Whether fewer than k experts come before this one.
fn is_chosen(case: &Case, logits: &[f32], expert: usize) -> bool {
    let own = wanted(case, logits, expert).0;
    let before = (0..case.experts).filter(|&other| {
        let key = wanted(case, logits, other).0;
        key > own || (key >= own && other < expert)
    });
    before.count() < case.rule.top_k
}

/// One column of one expert's answer to one token, and how far rounding may take a bfloat path from it.
fn expert_column(case: &Case, inputs: &Inputs, token: usize, expert: usize, column: usize) -> (f64, f64) {
    let at = |tensor: &[Bf16], index: usize| f64::from(tensor[index].to_f32());
    let (hidden, inner) = (case.hidden, case.inner);
    let project = |line: usize| -> f64 {
        let first = (expert * 2 * inner + line) * hidden;
        let weights = &inputs.experts.gate_and_up;
        (0..hidden)
            .map(|i| at(&inputs.activations, token * hidden + i) * at(weights, first + i))
            .sum()
    };
    let (mut sum, mut slack) = (0.0, 0.0);
    for i in 0..inner {
        let (gate, up) = (project(i), project(inner + i));
        let weight = at(&inputs.experts.down, (expert * hidden + column) * inner + i);
        let term = gate / (1.0 + (-gate).exp()) * up * weight;
        sum += term;
        // silu amplifies a relative error of its input by at most 1 + |x|; up and the product round once each.
        slack += term.abs() * (3.0 + gate.abs()) * ROUNDING;
    }
    (sum, slack + sum.abs() * ROUNDING)
}

/// The layer's answer to one token, and the slack of each column.
fn token_answer(case: &Case, inputs: &Inputs, token: usize) -> Vec<(f64, f64)> {
    let logits_of = |token: usize| &inputs.logits[token * case.experts..(token + 1) * case.experts];
    let chosen = |expert: &usize| is_chosen(case, logits_of(token), *expert);
    let chosen: Vec<usize> = (0..case.experts).filter(chosen).collect();
    let total: f64 = chosen
        .iter()
        .map(|&expert| wanted(case, logits_of(token), expert).1)
        .sum();
    let mut answer = vec![(0.0, 0.0); case.hidden];
    for &expert in &chosen {
        let earlier = (0..token)
            .filter(|&other| is_chosen(case, logits_of(other), expert))
            .count();
        if earlier >= case.capacity {
            continue;
        }
        let divisor = if case.rule.normalize { total } else { 1.0 };
        let weight = wanted(case, logits_of(token), expert).1 * f64::from(case.rule.scale) / divisor;
        for (column, (sum, slack)) in answer.iter_mut().enumerate() {
            let (value, off) = expert_column(case, inputs, token, expert, column);
            *sum += weight * value;
            *slack += weight * off;
        }
    }
    answer
}

fn check(case: &Case, seed: u64) {
    let inputs = inputs(case, seed);
    let got = reference::forward(
        &inputs.activations,
        &inputs.logits,
        &inputs.experts,
        &case.rule,
        case.capacity,
    );
    assert_eq!(got.len(), case.tokens * case.hidden, "one row per token");
    for token in 0..case.tokens {
        for (column, (value, slack)) in token_answer(case, &inputs, token).into_iter().enumerate() {
            let got = f64::from(got[token * case.hidden + column].to_f32());
            // A tenth more for products of roundings and float sums; nothing at all where nothing was added.
            let slack = 1.1 * (slack + value.abs() * ROUNDING);
            assert!(
                (got - value).abs() <= slack,
                "seed {seed}, token {token}, column {column}: {got}, {value}"
            );
        }
    }
}

fn softmax(top_k: usize) -> GateRule {
    GateRule {
        scoring: Scoring::Softmax,
        top_k,
        normalize: false,
        scale: 1.0,
    }
}

fn sigmoid(bias: Vec<f32>, top_k: usize) -> GateRule {
    GateRule {
        scoring: Scoring::Sigmoid { bias },
        top_k,
        normalize: true,
        scale: 2.5,
    }
}

fn case(rule: GateRule, capacity: usize, live: usize) -> Case {
    Case {
        tokens: 19,
        hidden: 10,
        inner: 7,
        experts: 9,
        rule,
        capacity,
        live,
    }
}

#[test]
fn equals_brute_force_for_every_k() {
    for top_k in 1..=8 {
        check(&case(softmax(top_k), usize::MAX, 9), 1);
        check(&case(sigmoid(vec![0.0; 9], top_k), usize::MAX, 9), 2);
    }
}

#[test]
fn equals_brute_force_with_experts_without_tokens() {
    for seed in 0..4 {
        check(&case(softmax(2), usize::MAX, 3), seed);
        check(&case(sigmoid(vec![0.0; 9], 3), usize::MAX, 3), seed);
    }
}

#[test]
fn equals_brute_force_where_a_bias_steers() {
    let bias: Vec<f32> = (0..9_i16).map(|expert| f32::from(expert - 4) * 0.3).collect();
    for seed in 0..4 {
        check(&case(sigmoid(bias.clone(), 2), usize::MAX, 9), seed);
    }
}

#[test]
fn equals_brute_force_at_every_capacity() {
    for capacity in [0, 1, 2, 5, 18, 19, 20] {
        check(&case(softmax(2), capacity, 9), 5);
        check(&case(softmax(2), capacity, 2), 6);
    }
}

#[test]
fn equals_brute_force_on_no_tokens_and_one_expert() {
    let none = Case {
        tokens: 0,
        ..case(softmax(2), usize::MAX, 9)
    };
    check(&none, 7);
    let single = Case {
        experts: 1,
        ..case(softmax(1), usize::MAX, 1)
    };
    check(&single, 8);
}

#[test]
fn ties_go_to_the_lower_expert_and_rows_keep_the_order_of_slots() {
    let routing = reference::gate(&[1.0, 2.0, 2.0, 1.0, 1.0, 1.0], 3, &softmax(2));
    assert_eq!(routing.experts, [1, 2, 0, 1]);
    let permutation = reference::permute(&routing.experts, 3, 1);
    assert_eq!(permutation.expert_start, [0, 1, 2, 3]);
    assert_eq!(permutation.slot_of_row, [2, 0, 1]);
    assert_eq!(permutation.row_of_slot, [Some(1), Some(2), Some(0), None]);
    let empty = reference::permute(&[2, 2], 4, usize::MAX);
    assert_eq!(empty.expert_start, [0, 0, 0, 2, 2]);
}

#[test]
fn swiglu_worked_number() {
    let activated = reference::swiglu(&[1.0, 2.0].map(Bf16::from_f32), 1);
    assert_eq!(activated, [Bf16::from_f32(1.460_937_5)]);
}
