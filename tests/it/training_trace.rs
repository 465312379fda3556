//! The overlapped pair of the public DeepSeek-V3 training trace: one forward and one backward of four layers with
//! experts, each hiding the other's exchanges (tests/truth/deepseek_v3_train_profile_phases.csv).

use orrery::scenario::Plan;
use orrery::timeline::StepTotals;
use orrery_engine::{Options, RecordPolicy, RunControl};
use orrery_workload::lower::{Folding, TrainingDriver};

use crate::support::{near, plan};

/// Four stages of four layers like those of the trace: 64 expert-parallel ranks on eight nodes of H800, experts
/// equally loaded and spread over all nodes, as the trace's were. A small vocabulary keeps the ends of the model
/// out of the way.
const TRACE: &str = r#"schema = "scenario/1"

[scenario]
name = "training-trace"
kind = "training"

[model]
from     = "catalog"
name     = "deepseek-v3"
override = { layers = 16, dense_layers = [], mtp_layers = 0, vocab = 1024 }

[cluster]
nodes = 32

[cluster.node]
gpu      = "H800-SXM5-80GB"
gpus     = 8
scale_up = { kind = "nvswitch", per_gpu = "200 GB/s", direction = "each-way" }
nics     = { count = 8, rate = "400 Gbit/s" }

[parallel]
pp         = 4
ep         = 64
zero_stage = 1
schedule   = { kind = "dualpipe" }
order      = ["tp", "cp", "ep", "dp", "pp"]

[training]
seq_len      = 4096
global_batch = 768
micro_batch  = 1
steps        = 1
warmup_steps = 0
precision    = "fp8"
recompute    = ["norm", "mla_up_proj", "activation"]

[stack]
name         = "deepseek"
dispatcher   = "deepep"
sms_for_comm = 20

[routing]
kind      = "balanced"
max_nodes = 8

[noise]
kernel = 0.05

[calibration]
profile = "h800-deepseek-2025-02"

[run]
seed = 20260901
"#;

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

#[test]
fn the_pair_of_the_trace_takes_its_time() {
    let (measured, simulated) = (measured(), pair("0.05"));
    assert!(
        near(measured, 0.129, 0.001),
        "the trace is the one we know: {measured}"
    );
    // The bound that steps are held to. Passes over activations in attention are simulated some 1.3 ms per layer
    // shorter than they were, which is most of what is missing.
    assert!(
        near(simulated, measured, 0.12),
        "{simulated} s against {measured} s"
    );
}

#[test]
fn ranks_that_wait_for_each_other_take_longer() {
    let (even, uneven) = (pair("0"), pair("0.05"));
    assert!(uneven > 1.02 * even, "{uneven} s against {even} s");
}
