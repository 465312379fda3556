//! Fits what of a device's short-run arithmetic rate lasts through training steps, from measured steps.
//!
//! `cargo run --release -p orrery --example fit_training_clock [ROOT]`: simulates the rows of
//! `ROOT/tests/truth/training.csv.gz` that are named below, finds for each device and stack the one factor that
//! brings the median log error of their step times to zero, prints every residual before and after, and writes
//! `ROOT/tests/truth/derived/training_clock.csv`, which the example `fit_published` puts into the profiles.
//! Figures that shipped scenarios are checked against are not among the rows.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::GzDecoder;
use orrery::pipeline::{self, Watch};
use orrery_profile::fit::{rounded, summary};
use orrery_profile::{Fitted, Profile, Provenance, TrainingClock};
use orrery_scenario::Plan;

type Row = BTreeMap<String, String>;

/// A device and stack, and the measured steps that tell of its clock.
struct Bench {
    device: &'static str,
    stack: &'static str,
    profile: &'static str,
    /// Rate into the node's own network and of each of eight NICs.
    links: [&'static str; 2],
    rows: &'static [&'static str],
    measured_by: &'static str,
    date: &'static str,
    version: &'static str,
}

const BENCHES: [Bench; 2] = [
    Bench {
        device: "H100-SXM5-80GB",
        stack: "megatron-core",
        profile: "h100-megatron-core-2025-09",
        links: ["450 GB/s", "400 Gbit/s"],
        rows: &[
            "dgxc-019", "dgxc-020", "dgxc-022", "dgxc-053", "dgxc-054", "dgxc-246", "dgxc-247", "dgxc-248",
        ],
        measured_by: "NVIDIA (dgxc-benchmarking)",
        date: "2025-04",
        version: "NVIDIA/dgxc-benchmarking v24.11.1 and v25.04.02; NeMo",
    },
    Bench {
        device: "A100-SXM4-80GB",
        stack: "megatron-lm",
        profile: "a100-megatron-2025-09",
        links: ["300 GB/s", "200 Gbit/s"],
        rows: &["korth-001", "korth-002", "korth-005", "korth-006", "korth-008"],
        measured_by: "NVIDIA (Korthikanti 2022, tables 3 and 5)",
        date: "2022-05",
        version: "arXiv 2205.05198",
    },
];

/// A row ready to be simulated.
struct Step {
    id: &'static str,
    plan: Plan,
    measured: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let root = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| default.to_owned()));
    let table = table(&root.join("tests/truth/training.csv.gz"))?;
    let mut csv =
        "# derived by the example fit_training_clock from ../training.csv.gz; see its head for the method\n\
                   device,stack,clock,mape,spread,rows,measured_by,date,version\n"
            .to_owned();
    for bench in &BENCHES {
        let mut steps = steps(bench, &table)?;
        csv.push_str(&fit(bench, &mut steps)?);
    }
    let folder = root.join("tests/truth/derived");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("training_clock.csv"), csv)?;
    Ok(())
}

/// The rows of the table by their `id`.
fn table(path: &Path) -> Result<BTreeMap<String, Row>, Box<dyn Error>> {
    let mut text = String::new();
    GzDecoder::new(fs::File::open(path)?).read_to_string(&mut text)?;
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .from_reader(text.as_bytes());
    let headers = reader.headers()?.clone();
    let mut rows = BTreeMap::new();
    for record in reader.records() {
        let record = record?;
        let cells = headers.iter().zip(&record);
        let row: Row = cells.map(|(h, c)| (h.to_owned(), c.to_owned())).collect();
        rows.insert(row["id"].clone(), row);
    }
    Ok(rows)
}

fn steps(bench: &Bench, table: &BTreeMap<String, Row>) -> Result<Vec<Step>, Box<dyn Error>> {
    let step = |id: &'static str| -> Result<Step, Box<dyn Error>> {
        let row = table.get(id).ok_or_else(|| format!("no row `{id}`"))?;
        let text = scenario(bench, id, row)?;
        let plan = pipeline::load(&format!("{id}.scenario.toml"), &text, &[])
            .map_err(|faults| orrery_scenario::render(&faults))?;
        Ok(Step {
            id,
            plan,
            measured: row["step_time_s"].parse()?,
        })
    };
    bench.rows.iter().map(|id| step(id)).collect()
}

/// Nodes of eight, or one that is smaller.
fn cluster(bench: &Bench, row: &Row) -> Result<String, Box<dyn Error>> {
    let devices: u32 = row["gpus"].parse()?;
    let (nodes, size) = (devices.div_ceil(8), devices.min(8));
    let [links, nic] = bench.links;
    Ok(format!(
        "[cluster]\nnodes = {nodes}\n[cluster.node]\ngpu = \"{}\"\ngpus = {size}\n\
         scale_up = {{ kind = \"nvswitch\", per_gpu = \"{links}\", direction = \"each-way\" }}\n\
         nics = {{ count = 8, rate = \"{nic}\" }}\n",
        bench.device
    ))
}

/// The model, from the catalogue where it is there, with the layers of the row; else inline, as GPT-3 is built.
fn model(row: &Row) -> String {
    let of = |column: &str| row[column].as_str();
    match of("model") {
        name @ ("llama3-8b" | "gpt3-175b" | "llama3-405b") => format!(
            "[model]\nfrom = \"catalog\"\nname = \"{name}\"\noverride = {{ layers = {} }}\n",
            of("layers")
        ),
        name => format!(
            "[model]\nfrom = \"inline\"\nname = \"{name}\"\n[model.fields]\nlayers = {}\nhidden = {}\nffn = {}\nheads = {}\n\
             kv_heads = {}\nvocab = {}\ngated = false\ntied_embeddings = true\nlearned_positions = {}\n",
            of("layers"),
            of("hidden"),
            of("ffn"),
            of("heads"),
            of("kv_heads"),
            of("vocab"),
            of("seq"),
        ),
    }
}

/// The scenario of a row: what the row says and nothing else, so that everything else is the stack's preset.
fn scenario(bench: &Bench, id: &str, row: &Row) -> Result<String, Box<dyn Error>> {
    let of = |column: &str| row[column].as_str();
    let mut text = format!(
        "schema = \"scenario/1\"\n[scenario]\nname = \"{id}\"\ntitle = \"{}\"\nkind = \"training\"\n",
        of("model")
    );
    text += &model(row);
    text += &cluster(bench, row)?;
    let schedule = match of("vpp") {
        "1" => "{ kind = \"1f1b\" }".to_owned(),
        chunks => format!("{{ kind = \"interleaved\", chunks = {chunks} }}"),
    };
    write!(
        text,
        "[parallel]\ntp = {}\npp = {}\ncp = {}\ndp = {}\nzero_stage = {}\nsequence_parallel = {}\nschedule = {schedule}\n",
        of("tp"),
        of("pp"),
        of("cp"),
        of("dp"),
        of("zero_stage"),
        of("seq_parallel") == "1",
    )?;
    // The 405B recipes give the first and the last chunk one layer less: 126 + 2 = 8 x 8 x 2, 62 + 2 = 4 x 8 x 2.
    if of("model") == "llama3-405b" {
        text += "first_stage_less = 1\nlast_stage_less = 1\n";
    }
    let recompute = match of("recompute") {
        "selective(core_attn)" => "[\"core_attention\"]".to_owned(),
        other => format!("\"{other}\""),
    };
    write!(
        text,
        "[training]\nseq_len = {}\nglobal_batch = {}\nmicro_batch = {}\nsteps = 2\nwarmup_steps = 1\n\
         precision = \"{}\"\nrecompute = {recompute}\n[stack]\nname = \"{}\"\n[calibration]\nprofile = \"{}\"\n\
         [run]\nseed = 1\nreplications = 1\n",
        of("seq"),
        of("gbs"),
        of("mbs"),
        of("precision").to_lowercase(),
        bench.stack,
        bench.profile,
    )?;
    Ok(text)
}

/// Residuals `ln(predicted / measured)` of `steps` at `clock`.
fn errors(steps: &mut [Step], clock: f64) -> Result<Vec<f64>, Box<dyn Error>> {
    let mut errors = Vec::new();
    for step in steps {
        step.plan.profile = Arc::new(Profile {
            training: Some(TrainingClock {
                clock,
                fitted: Fitted::default(),
                provenance: Provenance::default(),
            }),
            ..(*step.plan.profile).clone()
        });
        let simulation = pipeline::simulate(&step.plan, &Watch::new(1))?;
        let seconds = simulation.report.metrics.get("train.step_time.mean");
        let seconds = seconds.ok_or_else(|| format!("{}: no step was measured", step.id))?;
        errors.push((seconds / step.measured).ln());
    }
    Ok(errors)
}

fn median(errors: &[f64]) -> f64 {
    let mut sorted = errors.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[half]
    } else {
        f64::midpoint(sorted[half - 1], sorted[half])
    }
}

/// Finds the clock by secants in its logarithm and says so; the line of the table.
///
/// The line is empty where the factor does not bring the rows closer to their measurements (root mean square of the
/// log errors): then something else is wrong with them, and a factor on arithmetic would hide it.
fn fit(bench: &Bench, steps: &mut [Step]) -> Result<String, Box<dyn Error>> {
    let before = errors(steps, 1.0)?;
    let mut from = (0.0, median(&before));
    let mut to = from.1;
    let mut after = before.clone();
    for _ in 0..6 {
        after = errors(steps, f64::exp(to))?;
        let error = median(&after);
        if error.abs() < 2e-4 {
            break;
        }
        let slope = (error - from.1) / (to - from.0);
        from = (to, error);
        to -= error / slope;
    }
    let clock = rounded(f64::exp(to));
    let (was, is) = (summary(&before), summary(&after));
    let mut out = std::io::stdout().lock();
    writeln!(out, "{} {}: training clock {clock}", bench.device, bench.stack)?;
    for ((step, before), after) in steps.iter().zip(&before).zip(&after) {
        let percent = |log: &f64| log.exp_m1() * 100.0;
        let (id, measured) = (step.id, step.measured);
        let (before, after) = (percent(before), percent(after));
        writeln!(
            out,
            "  {id:<10} {measured:>7.2} s  {before:>+6.1} %  {after:>+6.1} %"
        )?;
    }
    writeln!(
        out,
        "  MAPE {:.3} to {:.3}, spread {:.3} to {:.3}",
        was.mape, is.mape, was.spread, is.spread
    )?;
    if clock >= 1.0 || is.spread >= was.spread {
        writeln!(
            out,
            "  not kept: it does not bring these steps closer to their measurements"
        )?;
        return Ok(String::new());
    }
    Ok(format!(
        "{},{},{clock},{},{},{},\"{}\",{},\"{}\"\n",
        bench.device,
        bench.stack,
        is.mape,
        is.spread,
        bench.rows.join(" "),
        bench.measured_by,
        bench.date,
        bench.version,
    ))
}
