//! Gates against Megatron-Core's own answers, against each other, and over training steps.

use flate2::read::GzDecoder;
use orrery_units::Seed;
use serde::Deserialize;

use super::*;
use crate::load::{LoadProcess as _, StepLayer};

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
    aux_loss_free_dynamics: Dynamics,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    #[serde(rename = "E")]
    experts: usize,
    topk: usize,
    num_groups: Option<usize>,
    group_topk: Option<usize>,
    capacity_factor: Option<f64>,
    pad_to_capacity: bool,
    logits: Vec<Vec<f32>>,
    selected_sorted: Vec<Vec<u32>>,
    tokens_per_expert: Vec<u32>,
    aux_loss_coeff_1: f64,
    z_loss_coeff_1: f64,
    #[serde(rename = "expert_bias_update_1e-3")]
    expert_bias_update: Vec<f64>,
    capacity: Option<usize>,
    kept_map_tokens: Option<Vec<Vec<u32>>>,
    dropped_assignments: Option<usize>,
    sinkhorn_top1: Option<Vec<u32>>,
    sinkhorn_counts: Option<Vec<u32>>,
}

#[derive(Deserialize)]
struct Dynamics {
    trajectory: Vec<Moment>,
    final_bias: Vec<f64>,
}

#[derive(Deserialize)]
struct Moment {
    step: u64,
    max_over_mean: f64,
}

fn golden() -> Golden {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../tests/truth/megatron_router.json.gz"
    );
    let file = std::fs::File::open(path).unwrap();
    serde_json::from_reader(GzDecoder::new(file)).unwrap()
}

fn close(name: &str, ours: f64, theirs: f64) {
    assert!(
        (ours - theirs).abs() <= 1e-5 * theirs.abs(),
        "{name}: {ours} {theirs}"
    );
}

/// All cases: integers equal, floats to 1e-5.
#[test]
fn megatron_routes_the_same_tokens_to_the_same_experts() {
    let cases = golden().cases;
    assert_eq!(cases.len(), 10);
    for case in cases {
        let name = &case.name;
        let logits = Scores::new(case.experts, case.logits.concat());
        let groups = case
            .num_groups
            .zip(case.group_topk)
            .map(|(num, top_k)| Groups { num, top_k });
        let gate = TopK {
            groups,
            ..TopK::softmax(case.topk)
        };
        let routes = gate.route(&logits, None);
        let counts = routes.counts();
        assert_eq!(routes.by_token(), case.selected_sorted, "{name}");
        assert_eq!(counts, case.tokens_per_expert, "{name}");
        close(
            name,
            loss::auxiliary(&counts, &logits.softmax()),
            case.aux_loss_coeff_1,
        );
        close(name, loss::z(&logits), case.z_loss_coeff_1);
        let mut bias = vec![0.0; case.experts];
        sign_update(&mut bias, &counts, 1e-3);
        for (&ours, theirs) in bias.iter().zip(case.expert_bias_update) {
            close(name, f64::from(ours), theirs);
        }
        if let Some(factor) = case.capacity_factor {
            let capacity = Capacity {
                factor,
                policy: DropPolicy::Probability,
                pad: case.pad_to_capacity,
            };
            let kept = capacity.apply(&routes, case.topk);
            assert_eq!(Some(kept.capacity), case.capacity, "{name}");
            assert_eq!(Some(kept.dropped), case.dropped_assignments, "{name}");
            assert_eq!(Some(kept.tokens), case.kept_map_tokens, "{name}");
        }
        if let Some(top1) = case.sinkhorn_top1 {
            let until = Sinkhorn {
                stop: SinkhornStop::FactorChange,
                tolerance: SINKHORN_TOLERANCE,
            };
            let balanced = sinkhorn(&logits, until).routes;
            assert_eq!(balanced.by_token().concat(), top1, "{name}");
            assert_eq!(Some(balanced.counts()), case.sinkhorn_counts, "{name}");
        }
    }
}

fn recipe(gate: Gate, experts: usize) -> Recipe {
    Recipe {
        gate,
        temperature: None,
        activation: None,
        capacity: None,
        balance: Balance::default(),
        trend: Trend::default(),
        experts,
        tokens: 512,
    }
}

fn run(recipe: Recipe, steps: u64) -> Vec<RouterStep> {
    let mut router = Router::new(recipe, 0, Seed::new(1));
    (0..steps).map(|_| router.step()).collect()
}

fn mean(steps: &[RouterStep], of: impl Fn(&RouterStep) -> f64) -> f64 {
    steps.iter().map(of).sum::<f64>() / steps.len() as f64
}

/// The published trajectory (16 experts, top 2, 512 tokens a step, logits that favour the first experts, rate 1e-2):
/// statistics, not tokens. Biases wander by up to five of their steps.
#[test]
fn the_bias_of_auxiliary_loss_free_balancing_settles_where_published() {
    let published = golden().aux_loss_free_dynamics;
    let gate = Gate::TopK(TopK {
        score: ScoreFunction::Sigmoid,
        ..TopK::softmax(2)
    });
    let mut recipe = recipe(gate, 16);
    recipe.balance.bias_rate = 1e-2;
    recipe.trend.learning_rate = 0.0;
    let means = (0..16).map(|expert| 1.0 - f64::from(expert) / 7.5).collect();
    let mut router = Router::new(recipe, 0, Seed::new(1)).with_means(means);
    let steps: Vec<RouterStep> = (0..300).map(|_| router.step()).collect();
    assert!(
        (steps[0].imbalance - published.trajectory[0].max_over_mean).abs() < 0.4,
        "{}",
        steps[0].imbalance
    );
    let settled = published.trajectory.iter().filter(|moment| moment.step >= 20);
    let settled: Vec<f64> = settled.map(|moment| moment.max_over_mean).collect();
    let theirs = settled.iter().sum::<f64>() / settled.len() as f64;
    let ours = mean(&steps[20..], |step| step.imbalance);
    assert!((ours - theirs).abs() < 0.1, "{ours} {theirs}");
    // What all biases have in common moves no choice.
    let ours: Vec<f64> = router.bias().iter().copied().map(f64::from).collect();
    let common = |bias: &[f64]| bias.iter().sum::<f64>() / 16.0;
    let shift = common(&ours) - common(&published.final_bias);
    for (ours, theirs) in ours.iter().zip(published.final_bias) {
        assert!((ours - shift - theirs).abs() < 0.05, "{:?}", router.bias());
    }
}

fn skewed(tokens: usize, experts: usize) -> Scores {
    let mut values = vec![0.0; tokens * experts];
    crate::load::normals(Seed::new(5).at("logits", &[]), &mut values);
    for row in values.chunks_mut(experts) {
        for (expert, value) in row.iter_mut().enumerate() {
            *value += 1.0 - 2.0 * expert as f32 / experts as f32;
        }
    }
    Scores::new(experts, values)
}

#[test]
fn every_gate_sends_a_token_to_different_experts() {
    let (logits, key) = (skewed(300, 16), Seed::new(2).at("gate", &[]));
    let tokens: Vec<u64> = (0..300).collect();
    let exact = Sinkhorn {
        stop: SinkhornStop::MarginalError,
        tolerance: 1e-3,
    };
    let gumbel = Gate::Gumbel {
        top_k: 3,
        temperature: 0.5,
    };
    for gate in [
        Gate::TopK(TopK::softmax(3)),
        Gate::Noisy { top_k: 3, noise: 1.0 },
        gumbel,
        Gate::Hash { top_k: 3 },
        Gate::Sinkhorn(exact),
    ] {
        let routes = gate.route(&logits, None, &tokens, key);
        for mut experts in routes.by_token() {
            assert_eq!(experts.len(), gate.top_k(), "{gate:?}");
            experts.dedup();
            assert_eq!(experts.len(), gate.top_k(), "{gate:?}");
        }
        assert_eq!(
            routes,
            gate.route(&logits, None, &tokens, key),
            "{gate:?} is keyed"
        );
    }
}

#[test]
fn what_balances_by_construction_does() {
    let logits = skewed(512, 16);
    let choice = expert_choice(&logits, 2);
    assert_eq!(choice.counts(), [64; 16]);
    assert!(choice.unserved() > 0, "some token is nobody's choice");
    let until = |stop, tolerance| Sinkhorn { stop, tolerance };
    let loose = sinkhorn(&logits, until(SinkhornStop::FactorChange, SINKHORN_TOLERANCE));
    let tight = sinkhorn(&logits, until(SinkhornStop::MarginalError, 1e-4));
    let plain = TopK::softmax(1).route(&logits, None);
    let (loose, tight, plain) = (loose.routes.counts(), tight.routes.counts(), plain.counts());
    assert!(loss::imbalance(&tight) < 1.5 && loss::imbalance(&plain) > 3.0);
    assert!(loss::imbalance(&tight) <= loss::imbalance(&loose) + 0.1);
}

#[test]
fn gshard_sends_to_the_second_expert_by_chance() {
    // Equal logits: always. A second expert of share 1/10: with chance 1/5.
    let equal = Scores::new(2, vec![0.0; 200]);
    assert_eq!(
        gshard(&equal, Seed::new(1).at("gshard", &[])).counts(),
        [100, 100]
    );
    let unequal = Scores::new(2, [9.0_f32.ln(), 0.0].repeat(10_000));
    let counts = gshard(&unequal, Seed::new(1).at("gshard", &[])).counts();
    assert_eq!(counts[0], 10_000);
    // Five standard deviations of sqrt(10,000 · 0.16) = 40.
    assert!((f64::from(counts[1]) - 2000.0).abs() < 200.0, "{counts:?}");
}

/// Gumbel's noise draws from the softmax itself, whatever the temperature; the temperature tells the weights.
#[test]
fn gumbel_draws_from_the_softmax() {
    let logits = Scores::new(2, [3.0_f32.ln(), 0.0].repeat(20_000));
    for temperature in [0.1, 1.0, 10.0] {
        let routes = gumbel(&logits, 1, temperature, Seed::new(3).at("gumbel", &[]));
        // Five standard deviations of sqrt(20,000 · 3/16) = 61.
        assert!(
            (f64::from(routes.counts()[0]) - 15_000.0).abs() < 305.0,
            "{:?}",
            routes.counts()
        );
        let weight = routes
            .all()
            .iter()
            .map(|route| f64::from(route.weight))
            .sum::<f64>()
            / 20_000.0;
        assert!(
            if temperature < 1.0 {
                weight > 0.9
            } else {
                weight < 0.9
            },
            "{temperature} {weight}"
        );
    }
}

#[test]
fn dropping_by_position_keeps_the_first() {
    let routes = TopK::softmax(1).route(
        &Scores::new(2, vec![1.0, 0.0, 2.0, 0.0, 3.0, 0.0, 0.0, 1.0]),
        None,
    );
    let capacity = |policy| Capacity {
        factor: 1.0,
        policy,
        pad: false,
    };
    assert_eq!(
        capacity(DropPolicy::Position).apply(&routes, 1).tokens,
        [vec![0, 1], vec![3]]
    );
    assert_eq!(
        capacity(DropPolicy::Probability).apply(&routes, 1).tokens,
        [vec![1, 2], vec![3]]
    );
}

#[test]
fn formulas_have_their_worked_numbers() {
    let half = Scores::new(2, vec![0.0, 0.0]);
    assert!((loss::z(&half) - 0.480_453).abs() < 1e-6);
    assert!((loss::auxiliary(&[5, 5], &half.softmax()) - 1.0).abs() < 1e-12);
    let certain = Scores::new(8, vec![1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    assert!((loss::auxiliary(&[9, 0, 0, 0, 0, 0, 0, 0], &certain) - 8.0).abs() < 1e-12);
    assert!((loss::squared_variation(&[1.0, 3.0]) - 0.25).abs() < 1e-12);
    assert!((loss::imbalance(&[1, 1, 4]) - 2.0).abs() < 1e-12);
    assert!((loss::relative_entropy(&[1.0, 1.0, 0.0, 0.0]) - 0.5).abs() < 1e-12);
    let likes = Scores::new(2, vec![0.6, 0.4]);
    let second = Routes::new(
        1,
        2,
        vec![Route {
            token: 0,
            expert: 1,
            weight: 1.0,
        }],
    );
    assert!((loss::affinity_kept(&second, &likes, 1) - 0.667).abs() < 1e-3);
    let quarters = Scores::new(2, vec![0.0, 3.0_f32.ln()]);
    assert!(
        (quarters.softmax().of(0)[1] - 0.75).abs() < 1e-6
            && (quarters.sigmoid().of(0)[1] - 0.75).abs() < 1e-6
    );
    let temperature = Temperature {
        start: 2.0,
        end: 0.5,
        steps: 1000,
    };
    assert!((temperature.at(500) - 1.0).abs() < 1e-12);
    let activation = Activation { start: 2, steps: 600 };
    assert_eq!(
        [0, 1, 300, 600, 9999].map(|step| activation.at(step, 8)),
        [2, 3, 5, 8, 8]
    );
}

/// Quantile balancing finds in a few rounds what the sign of the error takes hundreds of steps for.
#[test]
fn quantile_balancing_balances_at_once() {
    let logits = skewed(512, 16);
    let scores = logits.sigmoid();
    let gate = TopK {
        score: ScoreFunction::Sigmoid,
        ..TopK::softmax(2)
    };
    let mut bias = vec![0.0; 16];
    let before = loss::imbalance(&gate.route(&logits, Some(&bias)).counts());
    for _ in 0..10 {
        bias = quantile_bias(&scores, 2, &bias);
    }
    let after = loss::imbalance(&gate.route(&logits, Some(&bias)).counts());
    assert!(before > 2.5 && after < 1.05, "{before} {after}");
}

#[test]
fn a_router_left_alone_collapses_and_a_loss_or_a_bias_holds_it() {
    let gate = |score| {
        Gate::TopK(TopK {
            score,
            ..TopK::softmax(2)
        })
    };
    let mut alone = recipe(gate(ScoreFunction::Softmax), 8);
    alone.trend.learning_rate = 30.0;
    let mut auxiliary = alone;
    auxiliary.balance.auxiliary = 0.1;
    let mut importance = alone;
    importance.balance.importance = 0.1;
    let mut bias = alone;
    bias.gate = gate(ScoreFunction::Sigmoid);
    bias.balance.bias_rate = 0.01;
    let end = |recipe| {
        let steps = run(recipe, 400);
        mean(&steps[350..], |step| step.imbalance)
    };
    let collapsed = end(alone);
    assert!(collapsed > 2.5, "{collapsed}");
    for (name, recipe) in [
        ("auxiliary", auxiliary),
        ("importance", importance),
        ("bias", bias),
    ] {
        let held = end(recipe);
        assert!(held < 1.6, "{name}: {held}, alone {collapsed}");
    }
}

#[test]
fn experts_join_one_by_one() {
    let mut recipe = recipe(Gate::TopK(TopK::softmax(2)), 8);
    recipe.activation = Some(Activation { start: 2, steps: 100 });
    recipe.balance.auxiliary = 0.1;
    let steps = run(recipe, 400);
    assert_eq!((steps[0].active, steps[100].active), (2, 8));
    assert_eq!(steps[0].asked[2..], [0; 6]);
    let end = mean(&steps[350..], |step| step.imbalance);
    assert!(end < 1.6, "the newcomers catch up: {end}");
}

#[test]
fn capacity_costs_tokens_and_padding_costs_work() {
    let mut recipe = recipe(Gate::TopK(TopK::softmax(2)), 8);
    recipe.trend.spread = 1.0;
    recipe.trend.learning_rate = 0.0;
    let capacity = |pad| Capacity {
        factor: 1.0,
        policy: DropPolicy::Probability,
        pad,
    };
    recipe.capacity = Some(capacity(false));
    let dropping = run(recipe, 10);
    recipe.capacity = Some(capacity(true));
    let padding = run(recipe, 10);
    assert!(
        mean(&dropping, |step| step.drop_rate) > 0.1 && mean(&dropping, |step| step.affinity_kept) < 0.95
    );
    assert!(
        padding
            .iter()
            .all(|step| step.computed == [128; 8] && step.padding > 0.1)
    );
}

#[test]
fn a_router_in_training_is_a_process() {
    let mut recipe = recipe(Gate::TopK(TopK::softmax(2)), 8);
    recipe.activation = Some(Activation { start: 2, steps: 50 });
    recipe.balance.auxiliary = 0.1;
    let trained = Trained::new(recipe, 2, (100, 10), 100_000, Seed::new(1));
    let mut counts = [0; 8];
    trained.counts(StepLayer::new(0, 1), &mut counts);
    assert_eq!(counts.iter().sum::<u32>(), 200_000);
    assert!(counts[0] > 50_000 && counts[7] == 0, "{counts:?}");
    trained.counts(StepLayer::new(5_000, 1), &mut counts);
    assert!(
        counts.iter().all(|&count| count > 0 && count <= 100_000),
        "{counts:?}"
    );
    assert_eq!(trained.steps(0).len(), 100);
}

/// Training asks before every step of every layer, and ends with the first no.
#[test]
fn training_can_be_stopped() {
    let recipe = recipe(Gate::TopK(TopK::softmax(2)), 8);
    let asked_until = |most: u32| {
        let mut asked = 0;
        let go_on = || {
            asked += 1;
            if asked > most { Err(most) } else { Ok(()) }
        };
        let trained = Trained::train(recipe, 2, (20, 10), (1_000, Seed::new(1)), go_on);
        (trained.err(), asked)
    };
    assert_eq!(asked_until(27), (Some(27), 28));
    assert_eq!(asked_until(40), (None, 40));
}
