//! Measurements of one's own: steps as a short table or a stored run, and collectives as nccl-tests prints them.

use std::collections::BTreeMap;
use std::path::Path;

use orrery_operation::{Collective, CollectiveOp};
use orrery_profile::Term;
use orrery_scenario::plan::GroupShape;
use orrery_scenario::{Plan, catalog};
use orrery_workload::collective::Network;
use serde_json::Value;

use super::super::summary::mean;
use super::super::sweep::{Point, Sweep};
use super::super::table::{Table, field};
use super::{MeasuredStep, measured_step, with_facts};
use crate::files;
use crate::pipeline;
use crate::tuning::Step;

/// The columns of a table of one's own steps: a line a run, seconds of a step last. Any column of the public tables may
/// stand beside them (`stack`, `vpp`, `zero_stage`, `recompute`; the sizes of a model that is not in the catalogue).
pub const OWN_COLUMNS: [&str; 12] = [
    "model",
    "gpu",
    "gpus",
    "tp",
    "pp",
    "cp",
    "ep",
    "mbs",
    "gbs",
    "seq",
    "precision",
    "step_time_s",
];

/// A measured step of one's own.
#[derive(Debug)]
pub struct OwnStep {
    /// Where it was read.
    pub name: String,
    /// What ran, and what was measured.
    pub measured: MeasuredStep,
    /// The same, ready to be fitted to.
    pub step: Step,
}

/// The steps of `table`; the first that cannot be simulated is an error that names what it lacks.
pub(in super::super) fn steps_of(table: &Table, file: &Path) -> Result<Vec<OwnStep>, String> {
    let missing: Vec<&str> = OWN_COLUMNS
        .into_iter()
        .filter(|column| !table.has(&[column]))
        .collect();
    if !missing.is_empty() {
        return Err(format!(
            "no column `{}`\n  = help: a table of measured steps has {}: {}",
            missing.join("`, `"),
            OWN_COLUMNS.join(","),
            file.display()
        ));
    }
    let of = |(at, row): (usize, &BTreeMap<String, String>)| {
        let line = at + 2;
        let row = completed(row);
        let measured = measured_step(&row).map_err(|field| {
            format!(
                "line {line} does not say `{field}`, or not so that it can be simulated\n  = help: fill that column; a model \
                 that is not in the catalogue needs its sizes as in tests/truth/training.csv.gz: {}",
                file.display()
            )
        })?;
        Ok(OwnStep {
            name: format!("{}:{line}", file.display()),
            step: with_facts(&row, &measured),
            measured,
        })
    };
    table.rows.iter().enumerate().map(of).collect()
}

/// A row with what a short table leaves to the catalogue or to the default: layers and kind of the model, nothing
/// computed again.
fn completed(row: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut row = row.clone();
    fill(&mut row, "tier", "A");
    fill(&mut row, "recompute", "none");
    let name = field(&row, "model").trim().to_ascii_lowercase();
    let known = catalog::models()
        .iter()
        .find(|known| known.name == name || known.row == name);
    let Some(known) = known else {
        return row;
    };
    let config: Value = serde_json::from_str(known.config).unwrap_or_default();
    let config = config.get("text_config").unwrap_or(&config);
    let of = |names: &[&str]| names.iter().find_map(|name| config.get(name)?.as_u64());
    let has_experts = of(&["n_routed_experts", "num_local_experts", "num_experts"]).is_some();
    if let Some(layers) = of(&["num_hidden_layers", "n_layer"]) {
        fill(&mut row, "layers", &layers.to_string());
    }
    fill(&mut row, "arch", if has_experts { "moe" } else { "dense" });
    row.insert("model".to_owned(), known.row.to_owned());
    row
}

/// Writes `value` where the row says nothing.
fn fill(row: &mut BTreeMap<String, String>, column: &str, value: &str) {
    let cell = row.entry(column.to_owned()).or_default();
    if cell.trim().is_empty() {
        value.clone_into(cell);
    }
}

/// The step of a stored run (`result/1`): its settings are the scenario, its mean step the measurement.
pub(in super::super) fn step_of_run(path: &Path) -> Result<OwnStep, String> {
    let (file, run) = files::read_run(path)?;
    let lacks = |what: &str| {
        format!(
            "no `{what}` in this run\n  = help: name a run.json that `orrery run` wrote, with `train.step_time.mean` as it \
             was measured: {}",
            file.display()
        )
    };
    let seconds = run["metrics"]["train.step_time.mean"].as_f64();
    let seconds = seconds
        .filter(|seconds| *seconds > 0.0)
        .ok_or_else(|| lacks("metrics.train.step_time.mean"))?;
    let settings = run["settings"].as_object().ok_or_else(|| lacks("settings"))?;
    let settings: Vec<(String, String)> = settings
        .iter()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect();
    let from = run["file"].as_str().unwrap_or("run.scenario.toml");
    let base = "schema = \"scenario/1\"\n[scenario]\nname = \"own\"\ntitle = \"own\"\nkind = \"training\"\n";
    let plan = pipeline::load(from, base, &settings).map_err(|faults| {
        let first = faults
            .first()
            .map_or_else(String::new, |fault| fault.message.clone());
        format!(
            "the settings of this run are no scenario: {first}: {}",
            file.display()
        )
    })?;
    let facts = [
        ("model", plan.model.name.clone()),
        ("id", file.display().to_string()),
    ];
    Ok(OwnStep {
        name: file.display().to_string(),
        step: Step::new(&plan, seconds, facts.into_iter().collect()),
        measured: MeasuredStep {
            plan,
            measured: seconds,
        },
    })
}

/// Terms of traffic that `sweeps` tell of, with measured time over that which the profile of `plan` gives alone: sends of
/// all to all tell of exchanges, other collectives of tensor-parallel traffic on one node and of that of data-parallel
/// ranks over several. The geometric mean over their sizes.
///
/// Worked: two sizes that take 1.21 and 1.00 of what the profile gives: 1.1.
pub(in super::super) fn traffic(plan: &Plan, sweeps: &[Sweep]) -> Vec<(Term, f64)> {
    let network = Network::new(&plan.cluster, &plan.profile);
    let mut logs: BTreeMap<Term, Vec<f64>> = BTreeMap::new();
    for point in sweeps.iter().flat_map(|sweep| &sweep.points) {
        let Some(log) = slower(&network, point) else {
            continue;
        };
        let terms: &[Term] = match point.call.op {
            CollectiveOp::AllToAll => &[Term::Exchange],
            CollectiveOp::SendRecv => &[],
            _ if point.call.nodes > 1.0 => &[Term::Data, Term::Shards],
            _ => &[Term::Tensor],
        };
        for term in terms {
            logs.entry(*term).or_default().push(log);
        }
    }
    logs.into_iter()
        .map(|(term, logs)| (term, mean(&logs).exp()))
        .collect()
}

/// The logarithm of measured time over that of the same collective alone.
fn slower(network: &Network, point: &Point) -> Option<f64> {
    let call = &point.call;
    let shape = GroupShape {
        ranks: whole(call.ranks)?,
        ranks_per_node: whole(call.ranks_per_node())?,
        nodes: whole(call.nodes)?,
    };
    let collective = Collective {
        op: call.op,
        ranks: u64::from(shape.ranks),
        bytes: call.bytes,
    };
    let alone = network.collective(collective, shape).time().as_secs();
    (alone > 0.0).then(|| (point.seconds / alone).ln())
}

/// A count that files write as a number.
fn whole(count: f64) -> Option<u32> {
    format!("{}", count.round()).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::super::{sweep, table};
    use super::*;

    const HEADER: &str = "model,gpu,gpus,tp,pp,cp,ep,mbs,gbs,seq,precision,step_time_s\n";

    fn read(text: &str) -> Result<Vec<OwnStep>, String> {
        steps_of(&table::parse(text).expect("it is a table"), Path::new("own.csv"))
    }

    #[test]
    fn twelve_columns_are_enough_for_a_model_of_the_catalogue() {
        let dense = "llama3-8b,H100,8,1,1,1,1,1,128,8192,BF16,10\n";
        let experts = "qwen3-30b-a3b,H100,8,1,1,1,8,1,512,4096,BF16,20\n";
        let steps = read(&(HEADER.to_owned() + dense + experts)).expect("both are known");
        assert_eq!(steps.len(), 2);
        assert!((steps[0].step.measured - 10.0).abs() < 1e-12);
        assert_eq!(steps[0].measured.plan.model.layers.len(), 32, "of the catalogue");
        assert!(!steps[0].step.has_experts() && steps[1].step.has_experts());
        assert_eq!(steps[1].measured.plan.layout.ep, 8);
    }

    #[test]
    fn what_is_missing_is_named_with_the_fix() {
        let no_batch =
            read("model,gpu,gpus,tp,pp,cp,ep,mbs,seq,precision,step_time_s\n").expect_err("no column");
        assert!(
            no_batch.contains("no column `gbs`") && no_batch.contains("help"),
            "{no_batch}"
        );
        let empty = HEADER.to_owned() + "llama3-8b,H100,8,1,1,1,1,,128,8192,BF16,10\n";
        let empty = read(&empty).expect_err("no microbatch");
        assert!(
            empty.contains("line 2 does not say `mbs`") && empty.contains("own.csv"),
            "{empty}"
        );
        let unknown = HEADER.to_owned() + "ours,H100,8,1,1,1,1,1,128,8192,BF16,10\n";
        let unknown = read(&unknown).expect_err("no such model");
        assert!(
            unknown.contains("`layers`") && unknown.contains("needs its sizes"),
            "{unknown}"
        );
    }

    /// Two sizes of an all-reduce over two nodes, made from what the profile gives: 1.21 and 1.00 of it are 1.1, for what
    /// data-parallel ranks send. On one node it tells of tensor-parallel traffic.
    #[test]
    fn collectives_tell_of_traffic() {
        let steps = read(&(HEADER.to_owned() + "llama3-8b,H100,8,1,1,1,1,1,128,8192,BF16,10\n"));
        let plan = &steps.expect("it is known")[0].measured.plan;
        let network = Network::new(&plan.cluster, &plan.profile);
        let sweeps = |nodes: u32, factors: [f64; 2]| {
            let shape = GroupShape {
                ranks: 16 / (3 - nodes),
                ranks_per_node: 8,
                nodes,
            };
            let row = |(bytes, factor): (u64, f64)| {
                let collective = Collective {
                    op: CollectiveOp::AllReduce,
                    ranks: u64::from(shape.ranks),
                    bytes: orrery_units::Bytes::new(bytes),
                };
                let alone = network.collective(collective, shape).time().as_secs();
                format!("{bytes},{:.9}\n", alone * factor * 1e6)
            };
            let rows = [(1 << 26, factors[0]), (1 << 28, factors[1])].map(row).concat();
            let text = format!(
                "# collective: all_reduce\n# gpu: H100\n# ranks: {}\n# nodes: {nodes}\nsize_bytes,time_us\n{rows}",
                shape.ranks
            );
            sweep::sweeps(&table::parse(&text).expect("it is a table"), "own")
                .expect("it is a sweep")
                .sweeps
        };
        let factors = traffic(plan, &sweeps(2, [1.21, 1.0]));
        let names: Vec<Term> = factors.iter().map(|(term, _)| *term).collect();
        assert_eq!(names, [Term::Shards, Term::Data]);
        assert!(
            factors.iter().all(|(_, factor)| (factor - 1.1).abs() < 1e-6),
            "{factors:?}"
        );
        let inside = traffic(plan, &sweeps(1, [2.0, 2.0]));
        assert_eq!(inside.len(), 1);
        assert!(
            inside[0].0 == Term::Tensor && (inside[0].1 - 2.0).abs() < 1e-6,
            "{inside:?}"
        );
    }
}
