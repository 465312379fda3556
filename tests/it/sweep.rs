//! Searches over layouts: the fast path against its slow twin, and the search against trying everything.

use orrery::pipeline;
use orrery::scenario::{LayoutChoice, Plan, Relayout, render};
use orrery::sweep::Axes;
use orrery_scenario::plan::{Law, Noise, Recompute, RecomputeModule, ZeroStage};
use orrery_units::Seed;
use orrery_workload::estimate::{Parts, Surveyor, memory_peaks};

use crate::support::{DENSE, EXPERTS, balanced_experts, plan};

/// A scenario that ships, by the name of its file.
fn shipped(name: &str) -> Plan {
    let root = crate::tidy::root();
    let path = root.join(format!("scenarios/training/{name}.scenario.toml"));
    let path = path.to_string_lossy();
    let text = orrery::files::read_scenario(&path).expect("it ships");
    pipeline::load(&path, &text, &[]).unwrap_or_else(|faults| panic!("{}", render(&faults)))
}

/// Jobs that differ in all that a layout touches: experts or none, tied embeddings, prediction modules, stages that begin
/// inside a node, an order of axes of their own.
fn jobs() -> Vec<(&'static str, Plan)> {
    let even = |mut plan: Plan| {
        plan.routing.law = Law::Balanced;
        plan.noise = Noise::default();
        plan
    };
    let apart = [
        ("cluster.nodes", "3"),
        ("parallel.pp", "2"),
        ("parallel.ep", "4"),
        ("training.global_batch", "24"),
    ];
    let order = [("parallel.order", "[\"dp\", \"tp\", \"cp\", \"pp\"]")];
    vec![
        ("dense", plan(DENSE, &[])),
        ("tied", plan(DENSE, &[("model.fields.tied_embeddings", "true")])),
        ("experts", even(plan(EXPERTS, &[]))),
        ("another order", even(plan(EXPERTS, &order))),
        ("three nodes", even(plan(EXPERTS, &apart))),
        ("deepseek", even(shipped("deepseek-v3-2048-h800"))),
        ("gpt3", shipped("gpt3-175b-a100")),
        ("mixtral", even(shipped("mixtral-8x22b-h100"))),
    ]
}

/// Every axis that there is, for tests.
fn wide(base: &Plan) -> Axes {
    let mut axes = Axes::of(base);
    axes.cp = vec![1, 2];
    axes.zero = vec![
        ZeroStage::None,
        ZeroStage::Optimizer,
        ZeroStage::Gradients,
        ZeroStage::Parameters,
    ];
    axes.schedules.push(("gpipe", None));
    axes.recompute = vec![
        Recompute::None,
        Recompute::Full,
        Recompute::Selective(vec![RecomputeModule::Norm, RecomputeModule::Activation]),
        Recompute::Selective(vec![RecomputeModule::MlaUpProjection]),
    ];
    axes
}

/// Layouts of `axes` by lot.
fn drawn(axes: &Axes, count: u64) -> impl Iterator<Item = LayoutChoice> {
    (0..count).map(move |at| {
        let place = Seed::new(7).at("layout", &[at]).uniform();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a place among less than 2^52"
        )]
        let number = (place * axes.len() as f64) as usize;
        axes.choice(number)
    })
}

#[test]
fn the_fast_path_equals_its_slow_twin() {
    for (name, base) in jobs() {
        let axes = wide(&base);
        let mut surveyor = Surveyor::new(base);
        let (mut legal, mut refused) = (0, 0);
        for choice in drawn(&axes, 4000) {
            let survey = surveyor.survey(&choice);
            let (survey, plan) = match (survey, surveyor.plan(&choice)) {
                (Ok(survey), Ok(plan)) => (survey, plan),
                (survey, plan) => {
                    refused += 1;
                    let (fast, slow) = (survey.err(), plan.err());
                    assert_eq!(fast, slow, "{name}: {choice:?}");
                    continue;
                }
            };
            legal += 1;
            if legal > 150 {
                continue;
            }
            let slow = Parts::of(&plan).step(&plan.tuning);
            let (fast, slow) = (survey.estimate.step, slow.step);
            assert!(
                (fast / slow - 1.0).abs() < 1e-9,
                "{name}: {fast}, not {slow}: {choice:?}"
            );
            let peak = memory_peaks(&plan).into_iter().max().expect("there are ranks");
            assert_eq!(survey.peak, peak, "{name}: {choice:?}");
        }
        assert!(
            legal > 20 && refused > 20,
            "{name}: {legal} legal, {refused} refused"
        );
    }
}

/// What the rules say of a layout is what the loader says of the scenario with its keys set.
#[test]
fn a_layout_is_judged_as_the_loader_judges_it() {
    let texts = [
        DENSE.to_owned(),
        DENSE.replace("sequence_parallel = true\n", ""),
        balanced_experts(),
    ];
    for text in &texts {
        let base = plan(text, &[]);
        let axes = wide(&base);
        let mut relayout = Relayout::new(base);
        let mut legal = 0;
        for choice in drawn(&axes, 240) {
            let loaded = pipeline::load("test.scenario.toml", text, &choice.settings());
            match (relayout.plan(&choice), loaded) {
                (Ok(laid), Ok(loaded)) => {
                    legal += 1;
                    assert_eq!(laid.layout, loaded.layout, "{choice:?}");
                    assert_eq!(laid.training, loaded.training, "{choice:?}");
                    assert_eq!(laid.tuning, loaded.tuning, "{choice:?}");
                    assert_eq!(laid.routing, loaded.routing, "{choice:?}");
                }
                (Err(refusal), Err(faults)) => {
                    let known = faults
                        .iter()
                        .any(|fault| (fault.code, &fault.message) == (refusal.code, &refusal.message));
                    assert!(known, "{refusal:?} is not among {faults:?}: {choice:?}");
                }
                (laid, loaded) => panic!("{choice:?}: {:?} but {:?}", laid.err(), loaded.err()),
            }
        }
        assert!(legal > 3, "{legal} legal ones");
    }
}
