//! What several tests need: small scenarios, runs with everything recorded, tables of truth.

use std::collections::BTreeMap;
use std::io::Read as _;

use orrery::pipeline::{self, Simulation, Watch};
use orrery::scenario::{Plan, render};
use orrery_engine::{Options, Outcome, RecordPolicy, RunControl};
use orrery_taskgraph::{Driver, Pulled, Resources, Sink, Task};
use orrery_units::{LaneId, ProgramId};
use orrery_workload::lower::{Folding, TrainingDriver};

/// A dense model on 32 devices: TP 2, PP 4, DP 4.
pub(crate) const DENSE: &str = r#"schema = "scenario/1"

[scenario]
name  = "small-dense"
title = "A small dense model on 32 H100"
kind  = "training"

[model]
from = "inline"
name = "small-dense"

[model.fields]
layers   = 16
hidden   = 4096
vocab    = 32000
heads    = 32
kv_heads = 8
ffn      = 14336
gated    = true

[cluster]
nodes = 4

[cluster.node]
gpu  = "H100-SXM5-80GB"
gpus = 8

[parallel]
tp                = 2
pp                = 4
sequence_parallel = true
zero_stage        = 1
schedule          = { kind = "1f1b" }

[training]
seq_len      = 4096
global_batch = 32
micro_batch  = 1
steps        = 2
warmup_steps = 1

[run]
seed = 1
"#;

/// A model with experts on 32 devices: TP 2, PP 4, DP 4, EP 4.
pub(crate) const EXPERTS: &str = r#"schema = "scenario/1"

[scenario]
name  = "small-experts"
title = "A small model with experts on 32 H100"
kind  = "training"

[model]
from = "inline"
name = "small-experts"

[model.fields]
layers     = 16
hidden     = 2048
vocab      = 32000
heads      = 16
kv_heads   = 4
ffn        = 8192
gated      = true
experts    = 16
top_k      = 2
expert_ffn = 2048

[cluster]
nodes = 4

[cluster.node]
gpu  = "H100-SXM5-80GB"
gpus = 8

[parallel]
tp                = 2
pp                = 4
ep                = 4
sequence_parallel = true
zero_stage        = 1
schedule          = { kind = "1f1b" }

[training]
seq_len      = 4096
global_batch = 32
micro_batch  = 1
steps        = 2
warmup_steps = 1

[routing]
kind  = "lognormal"
sigma = 0.5

[noise]
device = 0.02
step   = 0.01

[run]
seed = 1
"#;

/// `EXPERTS` with perfectly balanced routing and no noise.
pub(crate) fn balanced_experts() -> String {
    EXPERTS
        .replace("kind  = \"lognormal\"\nsigma = 0.5", "kind = \"balanced\"")
        .replace("[noise]\ndevice = 0.02\nstep   = 0.01\n", "")
}

/// The plan of `text` with `settings` laid over it.
pub(crate) fn plan(text: &str, settings: &[(&str, &str)]) -> Plan {
    let settings: Vec<(String, String)> = settings
        .iter()
        .map(|&(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    pipeline::load("test.scenario.toml", text, &settings)
        .unwrap_or_else(|faults| panic!("{}", render(&faults)))
}

/// A run through the façade, as the command does it.
pub(crate) fn simulate(plan: &Plan) -> Simulation {
    pipeline::simulate(plan, &Watch::new(plan.run.replications)).expect("a valid plan runs to its end")
}

/// A run of one driver with every span of every rank recorded.
pub(crate) fn run(driver: &mut dyn Driver, plan: &Plan) -> Outcome {
    let kinds = TrainingDriver::new(plan, plan.run.seed, Folding::of(plan))
        .kinds()
        .table
        .clone();
    let programs: Vec<ProgramId> = driver.resources().programs.ids().collect();
    let options = Options {
        lookahead: 128,
        event_limit: None,
        link_samples: 0,
        record: RecordPolicy::of(programs, kinds, 2_000_000),
    };
    orrery_engine::run(driver, &options, &RunControl::default()).unwrap_or_else(|fault| panic!("{fault}"))
}

/// The compute lane of every program.
pub(crate) fn compute_lanes(resources: &Resources) -> Vec<LaneId> {
    let lanes = resources.lanes.iter_enumerated();
    lanes
        .filter(|(_, lane)| lane.name == "compute")
        .map(|(id, _)| id)
        .collect()
}

/// A driver whose tasks are changed on their way: what an experiment holds still.
pub(crate) struct Changed<'d, F> {
    /// Who makes the tasks.
    pub(crate) inner: TrainingDriver<'d>,
    /// What is done to each.
    pub(crate) change: F,
}

impl<F: FnMut(&mut Task)> Driver for Changed<'_, F> {
    fn resources(&self) -> &Resources {
        self.inner.resources()
    }

    fn pull(&mut self, program: ProgramId, sink: &mut Sink<'_>) -> Pulled {
        let mut tasks = Vec::new();
        let pulled = self.inner.pull(program, &mut Sink::new(sink.next(), &mut tasks));
        for mut task in tasks {
            (self.change)(&mut task);
            sink.push(task);
        }
        pulled
    }
}

/// A compressed file below `tests/truth`, as text.
pub(crate) fn unpacked(name: &str) -> String {
    let path = crate::tidy::root().join("tests/truth").join(name);
    let file = std::fs::File::open(&path).unwrap_or_else(|fault| panic!("{fault}: {}", path.display()));
    let mut text = String::new();
    flate2::read::GzDecoder::new(file)
        .read_to_string(&mut text)
        .expect("the file unpacks to text");
    text
}

/// The rows of a compressed table below `tests/truth`, by column.
pub(crate) fn table(name: &str) -> Vec<BTreeMap<String, String>> {
    let text = unpacked(name);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    reader
        .deserialize()
        .map(|row| row.expect("the row reads"))
        .collect()
}

/// Whether `a` and `b` differ by at most `share` of `b`.
pub(crate) fn near(a: f64, b: f64, share: f64) -> bool {
    (a - b).abs() <= share * b.abs()
}
