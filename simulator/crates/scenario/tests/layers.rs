//! Scenarios over scenarios: `extends`, overrides, hashes, and what is filled in.

mod support;

use orrery_profile::Term;
use orrery_scenario::expect::{Level, MetricRef, Verdict};
use orrery_scenario::plan::Law;
use orrery_scenario::{Diagnostic, Plan, catalog, render};
use support::load_with;

const BASE: &str = r#"schema = "scenario/1"
[scenario]
name = "base"
kind = "training"
[model]
from = "catalog"
name = "mixtral-8x7b"
[cluster]
nodes = 2
[cluster.node]
gpu = "H100"
[parallel]
ep = 8
[training]
seq_len = 4096
global_batch = 64
"#;

fn loaded(result: Result<Plan, Vec<Diagnostic>>) -> Plan {
    result.unwrap_or_else(|faults| panic!("{}", render(&faults)))
}

#[test]
fn a_scenario_is_laid_over_another() {
    let over = "extends = \"base.toml\"\n[scenario]\nname = \"over\"\n[parallel]\ntp = 2\n";
    let plan = loaded(load_with(over, &[("base.toml", BASE)], &[]));
    assert_eq!(plan.identity.name, "over");
    assert_eq!((plan.layout.tp, plan.layout.ep, plan.layout.dp), (2, 8, 8));
    let ring = load_with(
        "extends = \"me.toml\"\n",
        &[("me.toml", "extends = \"me.toml\"\n")],
        &[],
    );
    assert!(
        ring.unwrap_err().iter().any(|fault| fault.code == "S010"),
        "a ring is found"
    );
    let missing = load_with("extends = \"gone.toml\"\n", &[], &[]);
    assert_eq!(missing.unwrap_err()[0].code, "S010");
}

#[test]
fn overrides_are_checked_as_the_file_is() {
    let plan = loaded(load_with(
        BASE,
        &[],
        &[("training.micro_batch", "2"), ("scenario.name", "renamed")],
    ));
    assert_eq!(
        (plan.training.micro_batch, plan.training.num_microbatches),
        (2, 2)
    );
    assert_eq!(plan.identity.name, "renamed");
    let faults = load_with(BASE, &[], &[("parallel.epp", "4")]).unwrap_err();
    assert_eq!(
        (faults[0].code, faults[0].file.as_str()),
        ("S014", "--set parallel.epp")
    );
    let faults = load_with(BASE, &[], &[("scenario.name.deeper", "4")]).unwrap_err();
    assert_eq!(faults[0].code, "S011");
}

#[test]
fn the_hash_is_of_what_is_meant() {
    let hash = |text: &str| loaded(load_with(text, &[], &[])).identity.hash;
    assert_eq!(hash(BASE), hash(BASE));
    assert_eq!(
        hash(BASE),
        hash(&BASE.replace("[parallel]", "# a comment\n[parallel]"))
    );
    assert_ne!(hash(BASE), hash(&BASE.replace("64", "128")));
    assert_eq!(hash(BASE).len(), 64);
}

#[test]
fn what_is_filled_in_is_named() {
    let plan = loaded(load_with(BASE, &[], &[]));
    assert!(matches!(plan.routing.law, Law::LogNormal { sigma } if (sigma - 0.13).abs() < 1e-12));
    for key in [
        "routing.sigma",
        "parallel.tp",
        "training.micro_batch",
        "cluster.node.hbm",
        "stack.launch",
    ] {
        let line = plan.assumptions.iter().find(|line| line.key == key);
        assert!(
            line.is_some_and(|line| !line.reason.is_empty()),
            "{key} is filled in without a word"
        );
    }
    assert!(
        plan.assumptions.is_sorted_by(|a, b| a.key <= b.key),
        "assumptions are in order of key"
    );
    let keys = |key: &str| plan.assumptions.iter().any(|line| line.key == key);
    assert!(!keys("parallel.ep"), "what is written is no assumption");
}

#[test]
fn expectations_are_evaluated() {
    let text = format!(
        "{BASE}[expect.range]\ncheck = \"train.step_time.mean in 18 s .. 22s\"\nlevel = \"warn\"\n\
         [expect.regression]\ncheck = \"train.step_time.p50 <= baseline * 1.005\"\n\
         [expect.sum]\ncheck = \"train.bubble_ratio.mean + 2 * train.exposed_comm_ratio{{op='all_to_all'}}.max < 20 %\"\n\
         [expect.gated]\ncheck = \"train.mfu.mean > 0.9\"\nonly_if = \"train.step_time.mean > 1 h\"\n\
         [expect.silent]\ncheck = \"moe.imbalance.max <= 1.5\"\n"
    );
    let plan = loaded(load_with(&text, &[], &[]));
    let metrics = |metric: &MetricRef| match metric.to_string().as_str() {
        "train.step_time.mean" => Some(20.0),
        "train.step_time.p50" => Some(20.2),
        "train.bubble_ratio.mean" => Some(0.1),
        "train.exposed_comm_ratio{op='all_to_all'}.max" => Some(0.02),
        _ => None,
    };
    let slower = |_: &MetricRef| Some(20.0);
    let verdicts = |baseline: &dyn Fn(&MetricRef) -> Option<f64>| {
        let all = plan.expectations.iter();
        all.map(|expectation| expectation.evaluate(&metrics, baseline).verdict)
            .collect::<Vec<_>>()
    };
    use Verdict::{Fail, NoBaseline, NoData, Pass, Skipped};
    assert_eq!(verdicts(&slower), [Pass, Fail, Pass, Skipped, NoData]);
    assert_eq!(verdicts(&|_| None), [Pass, NoBaseline, Pass, Skipped, NoData]);
    let first = &plan.expectations[0];
    assert_eq!(
        (first.level, first.line, first.id.as_str()),
        (Level::Warn, 18, "range")
    );
    let outcome = first.evaluate(&metrics, &slower);
    assert_eq!(outcome.bounds, (Some(18.0), Some(22.0)));
}

#[test]
fn uneven_stages_are_as_written() {
    let text = BASE.replace("ep = 8", "pp = 2\nlayers_per_stage = [15, 17]");
    let plan = loaded(load_with(&text, &[], &[]));
    let layers: Vec<usize> = plan
        .layout
        .stages
        .iter()
        .map(|stage| stage.layers.len())
        .collect();
    assert_eq!(layers, [15, 17]);
    let faults = load_with(&text.replace("17", "16"), &[], &[]).unwrap_err();
    assert_eq!(faults[0].code, "S038");
}

/// Parameters of one's own stand in for those that ship.
#[test]
fn fitted_parameters_may_be_ones_own() {
    let over = "extends = \"base.toml\"\n[scenario]\nname = \"own\"\n[stack]\nname = \"nemo\"\n\
                [calibration]\ntuning = \"own.json\"\n";
    let with = |set: &str| load_with(over, &[("base.toml", BASE), ("own.json", set)], &[]);
    let mut set = catalog::tuning().clone();
    for known in &mut set.parameters {
        if known.term == Term::Step {
            // Its factor for models with experts is taken out.
            known.value = if known.scope == "nemo" { 1.5 } else { 1.0 };
        }
    }
    let plan = loaded(with(&set.to_json()));
    assert!(
        (plan.tuning.get(Term::Step) - 1.5).abs() < 1e-12,
        "seconds of a step of its own"
    );
    let wrong = with("{}").expect_err("that is no set");
    assert_eq!(wrong[0].code, "S053");
}
