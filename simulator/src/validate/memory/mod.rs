//! Tables of the memory that runs of Megatron-Core allocated: the maximum of the last rank, predicted row by row.
//!
//! A row's arguments become a scenario by the importer of Megatron arguments; what of them bears on memory alone is
//! read here, and so is what a table beside it tells of the software of the day. Nothing is fitted to a row or a model.
//! Rows without a number of devices, of models that cannot be described, or whose arguments do not say what was held, are
//! named.

mod arguments;
mod device;
mod recorded;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use orrery_scenario::Plan;
use orrery_scenario::import::megatron::{MegatronCluster, megatron};
use orrery_units::Bytes;
use orrery_workload::memory::{AllocatedPart, MegatronChoices, megatron_allocated, megatron_loaded_moments};

use super::table::{self, Table, field, number};
use super::{Compared, Metric, Row, steps};
use crate::pipeline;
use arguments::Arguments;
use recorded::Software;

/// What a table of allocated memory has.
const COLUMNS: [&str; 4] = ["id", "test_case", "mem_max_allocated_bytes", "args_json"];

/// Families of test cases that train something else than a decoder of attention and MLPs.
const OTHER_MODELS: [(&str, &str); 6] = [
    ("bert/", "BERT"),
    ("t5/", "T5"),
    ("multimodal", "multimodal"),
    ("mimo/", "multimodal"),
    ("hybrid/", "hybrid"),
    ("bert_", "BERT"),
];

/// The rows of a file of allocated memory, or of training steps when their memory is asked for; none when it is another.
pub(super) fn of(file: &Path, metric: Metric) -> Option<Result<Vec<Row>, String>> {
    let read = table::text(file).and_then(|text| table::parse(&text));
    let mut table = read.ok()?;
    let name = super::stem(file);
    if table.has(&COLUMNS) {
        let completed = recorded::told(file).and_then(|told| recorded::complete(&mut table, &told));
        return Some(completed.map(|()| rows(&table, &name)));
    }
    (metric == Metric::Memory && steps::is_one(&table)).then(|| Ok(device::rows(&table, &name)))
}

/// Every row of `table`.
fn rows(table: &Table, name: &str) -> Vec<Row> {
    let copied = copied(table);
    let row = |row: &BTreeMap<String, String>| {
        let result = if copied.contains(field(row, "id")) {
            Err("a measurement of its own: another case with other arguments has the same bytes".to_owned())
        } else {
            compare(row)
        };
        Row {
            id: format!("{name}/{}", field(row, "id")),
            facts: [("metric", "memory_bytes".to_owned())]
                .into_iter()
                .chain(
                    ["test_case", "gpu", "software_env"]
                        .map(|column| (column, field(row, column).to_owned())),
                )
                .collect(),
            groups: groups(row),
            result,
        }
    };
    table.rows.iter().map(row).collect()
}

fn groups(row: &BTreeMap<String, String>) -> Vec<String> {
    let family = field(row, "test_case").split('/').next().unwrap_or_default();
    let gpu_name = gpu(row);
    let mut groups = vec![
        format!("memory, family {family}"),
        format!("memory, gpu {gpu_name}"),
    ];
    if other_model(row).is_none() && number(row, "nodes").is_some() {
        groups.push("memory, decoders that name their devices".to_owned());
    }
    let size = if number(row, "hidden").is_some_and(|hidden| hidden >= 4096.0) {
        "from 4096"
    } else {
        "below 4096"
    };
    groups.push(format!("memory, hidden {size}"));
    groups
}

/// The device: `H100_2ND` is a run on H100 that went on from a checkpoint.
fn gpu(row: &BTreeMap<String, String>) -> &str {
    field(row, "gpu").split('_').next().unwrap_or_default()
}

/// Whether the run went on from a checkpoint.
fn is_resumed(row: &BTreeMap<String, String>) -> bool {
    field(row, "gpu").ends_with("_2ND")
}

fn other_model(row: &BTreeMap<String, String>) -> Option<&'static str> {
    let case = field(row, "test_case");
    OTHER_MODELS
        .into_iter()
        .find(|(start, _)| case.starts_with(start))
        .map(|(_, name)| name)
}

/// Rows whose bytes are, to the last, those of another case with other arguments on the same device and software: one
/// of the two was carried over, and the table does not say which.
fn copied(table: &Table) -> BTreeSet<String> {
    let mut by_bytes: BTreeMap<[&str; 4], Vec<(&str, String)>> = BTreeMap::new();
    for row in &table.rows {
        let key = [
            "gpu",
            "software_env",
            "mem_allocated_bytes",
            "mem_max_allocated_bytes",
        ]
        .map(|column| field(row, column));
        if let Some(arguments) = Arguments::parse(field(row, "args_json"))
            && !key[3].is_empty()
        {
            let of = (field(row, "id"), arguments.bearing(gpu(row) == "H100"));
            by_bytes.entry(key).or_default().push(of);
        }
    }
    let differ = |rows: &&Vec<(&str, String)>| rows.iter().any(|(_, bearing)| *bearing != rows[0].1);
    let rows = by_bytes.values().filter(differ).flatten();
    rows.map(|(id, _)| (*id).to_owned()).collect()
}

fn compare(row: &BTreeMap<String, String>) -> Result<Compared, String> {
    let measured = number(row, "mem_max_allocated_bytes").ok_or("mem_max_allocated_bytes")?;
    let case = Case::of(row)?;
    let parts = case.parts();
    let predicted = parts.iter().map(|part| part.bytes).sum();
    let mut compared = beside(measured, predicted, INTERVAL);
    // All that passes through while loading is the most that can be there still.
    let passing = parts.iter().filter(|part| part.name == PASSING);
    compared.low -= passing.map(|part| part.bytes.as_f64()).sum::<f64>();
    if may_keep_loaded(row) {
        compared.high += megatron_loaded_moments(&case.plan, &case.choices).as_f64();
    }
    Ok(compared)
}

/// The part of what passes through a rank while it loads a checkpoint.
const PASSING: &str = "shards exchanged while loading";

/// Whether the row went on from a checkpoint whose loaded moments wait for Python's collector beside those to which the
/// optimiser copied them.
///
/// Whether the collector came is not told: of 78 such recordings in the history of the repository eleven hold them to
/// their end, more than the tenth above an 80 % interval, so that its upper end has them. None of 55 others does: tensors
/// that a rank has from another (`--ckpt-fully-parallel-load`) are none that it loaded, and a newer planner keeps none.
fn may_keep_loaded(row: &BTreeMap<String, String>) -> bool {
    let Some(arguments) = Arguments::parse(field(row, "args_json")) else {
        return false;
    };
    is_resumed(row)
        && Software::of(row).loaded_waits()
        && arguments.text("ckpt-format") == Some("torch_dist")
        && !arguments.has("ckpt-fully-parallel-load")
}

/// What was counted beside what was measured, in an interval of so many times the count.
fn beside(measured: f64, predicted: Bytes, interval: (f64, f64)) -> Compared {
    let predicted = predicted.as_f64();
    Compared {
        measured,
        predicted,
        low: predicted * interval.0,
        high: predicted * interval.1,
        evidence: "analytic",
    }
}

/// Measured over predicted at one tenth and nine tenths of the rows that were compared: the allocator's rounding, what
/// loading a checkpoint leaves, and uneven experts are not in the prediction.
const INTERVAL: (f64, f64) = (0.999, 1.023);

/// A batch of whole rounds of the pipeline for groups of microbatches that are not: schedules here need one, and memory
/// depends on the size of a group only.
fn batch(arguments: &Arguments, cluster: &MegatronCluster) -> Vec<(String, String)> {
    let degree = |name: &str| arguments.count(name).unwrap_or(1);
    let (pp, ranks) = (
        degree("pipeline-model-parallel-size"),
        degree("tensor-model-parallel-size") * degree("context-parallel-size"),
    );
    let Some(group) = arguments.count("microbatch-group-size-per-virtual-pipeline-stage") else {
        return Vec::new();
    };
    let devices = u64::from(cluster.nodes.unwrap_or(1)) * u64::from(cluster.gpus_per_node.unwrap_or(1));
    let dp = (devices / (pp * ranks)).max(1);
    let sequences = group.next_multiple_of(pp) * degree("micro-batch-size") * dp;
    vec![("training.global_batch".to_owned(), sequences.to_string())]
}

/// A row's run.
struct Case {
    plan: Plan,
    choices: MegatronChoices,
}

impl Case {
    /// The run that `row` describes, or the field for want of which it cannot be said.
    fn of(row: &BTreeMap<String, String>) -> Result<Self, String> {
        if let Some(model) = other_model(row) {
            return Err(format!("{model}: not a decoder"));
        }
        let count = |column: &'static str| {
            let text = field(row, column).trim();
            text.parse::<u32>().map_err(|_not_a_count| column.to_owned())
        };
        let cluster = MegatronCluster {
            gpu: Some(gpu(row).to_owned()),
            nodes: Some(count("nodes")?),
            gpus_per_node: Some(count("gpus_per_node")?),
        };
        let text = field(row, "args_json");
        let arguments = Arguments::parse(text).ok_or("args_json")?;
        is_told(row, &arguments)?;
        let import = megatron(text, &cluster).map_err(|refused| refused.reason)?;
        let batch = batch(&arguments, &cluster);
        let plan = pipeline::load("row.scenario.toml", &import.scenario, &batch).map_err(|faults| {
            let first = faults.first();
            first.map_or_else(
                || "a scenario".to_owned(),
                |fault| format!("{}: {}", fault.code, fault.message),
            )
        })?;
        let is_hopper = plan.cluster.device.architecture == "Hopper";
        let choices = MegatronChoices {
            parallel_load: is_resumed(row) && arguments.exchanges_shards(),
            ..arguments.choices(is_hopper, &Software::of(row))
        };
        Ok(Self { plan, choices })
    }

    /// What the last rank allocates, part by part.
    fn parts(&self) -> Vec<AllocatedPart> {
        megatron_allocated(&self.plan, &self.choices)
    }
}

/// Whether the arguments say what was held.
fn is_told(row: &BTreeMap<String, String>, arguments: &Arguments) -> Result<(), String> {
    // Its name was another before August 2025.
    if arguments.has("use-megatron-fsdp") || arguments.has("use-custom-fsdp") {
        return Err(if arguments.has("data-parallel-sharding-strategy") {
            "what Megatron-FSDP keeps gathered".to_owned()
        } else {
            "data-parallel-sharding-strategy: what Megatron-FSDP shards is not said".to_owned()
        });
    }
    if field(row, "test_case").contains("offloading") && !arguments.has("offload-modules") {
        return Err(
            "offload-modules: the case offloads activations, its arguments do not say which".to_owned(),
        );
    }
    Ok(())
}
