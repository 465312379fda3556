//! The overlapped pair of the public DeepSeek-V3 training trace: one forward and one backward of four layers with
//! experts, each hiding the other's exchanges (tests/truth/deepseek_v3_train_profile_phases.csv).

use orrery::scenario::Plan;
use orrery::timeline::StepTotals;
use orrery::validate;
use orrery_engine::{Options, RecordPolicy, RunControl};
use orrery_workload::lower::{Folding, TrainingDriver};

use crate::support::{near, plan};

/// Four stages of four layers like those of the trace.
const TRACE: &str = include_str!("../../simulator/src/validate/trace/pair.scenario.toml");

/// Microbatches of each step: the second step has `PAIRS` more of the same in its middle.
const MICROBATCHES: u32 = 12;
const PAIRS: u32 = 24;
/// Replicas of the model: 256 ranks in four stages.
const REPLICAS: u32 = 64;

fn trace_plan(microbatches: u32, noise: &str) -> Plan {
    let batch = (microbatches * REPLICAS).to_string();
    let settings = [("training.global_batch", batch.as_str()), ("noise.kernel", noise)];
    plan(TRACE, &settings)
}

fn step(plan: &Plan) -> StepTotals {
    let mut driver = TrainingDriver::new(plan, plan.run.seed, Folding::of(plan));
    let options = Options {
        lookahead: 128,
        event_limit: None,
        link_samples: 0,
        record: RecordPolicy::nothing(),
    };
    let outcome = orrery_engine::run(&mut driver, &options, &RunControl::default())
        .unwrap_or_else(|fault| panic!("{fault}"));
    outcome.totals.steps.into_iter().next().expect("one step was run")
}

/// Seconds that one more pair adds to a step.
fn pair(noise: &str) -> f64 {
    let [short, long] =
        [MICROBATCHES, MICROBATCHES + PAIRS].map(|n| step(&trace_plan(n, noise)).duration().as_secs());
    (long - short) / f64::from(PAIRS)
}

/// From the first kernel to the last of the trace.
fn measured() -> f64 {
    let path = crate::tidy::root().join("tests/truth/deepseek_v3_train_profile_phases.csv");
    let text = std::fs::read_to_string(path).expect("the phases can be read");
    // The first line is a quoted sentence about the source.
    let table = text.split_once('\n').expect("a header follows").1;
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    let column = reader
        .headers()
        .expect("the table has a header")
        .iter()
        .position(|name| name == "gpu_end_us")
        .expect("phases have an end");
    let ends = reader.records().map(|row| {
        let row = row.expect("the row reads");
        row[column].parse::<f64>().expect("an end is a number")
    });
    ends.fold(0.0, f64::max) * 1e-6
}

/// Every phase of the pair, the pair and the share of dispatch and combine that is hidden, within a tenth.
#[test]
fn the_phases_of_the_trace_take_their_time() {
    let truth = |name: &str| crate::tidy::root().join("tests/truth").join(name);
    let tables = ["phases", "kernels"].map(|part| truth(&format!("deepseek_v3_train_profile_{part}.csv")));
    let outcome = validate::validate(&tables, validate::Options::default(), &mut |_, _| true)
        .unwrap_or_else(|fault| panic!("{fault}"));
    assert_eq!(outcome.rows.len(), 12, "ten phases, the pair and the share");
    for row in &outcome.rows {
        let compared = row
            .result
            .as_ref()
            .unwrap_or_else(|field| panic!("{}: {field}", row.id));
        assert!(compared.error().abs() <= 0.1, "{}: {compared:?}", row.id);
    }
}

#[test]
fn the_pair_of_the_trace_takes_its_time() {
    let (measured, simulated) = (measured(), pair("0.05"));
    assert!(
        near(measured, 0.129, 0.001),
        "the trace is the one we know: {measured}"
    );
    assert!(
        near(simulated, measured, 0.05),
        "{simulated} s against {measured} s"
    );
}

#[test]
fn ranks_that_wait_for_each_other_take_longer() {
    let (even, uneven) = (pair("0"), pair("0.05"));
    assert!(uneven > 1.02 * even, "{uneven} s against {even} s");
}
