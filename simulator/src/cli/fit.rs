//! `fit`: parameters of stacks and devices from measured steps.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use orrery_profile::TuningSet;
use orrery_scenario::catalog;

use super::validate::parameters;
use super::{Console, Failure, FormatArg};
use crate::exit::Exit;
use crate::files;
use crate::tuning::{Step, anchored, fitted};
use crate::validate::{self, Own, OwnStep};

#[derive(Args, Debug)]
pub(crate) struct FitArgs {
    /// Tables of measured steps, in the columns of tests/truth/training.csv.gz, to fit every parameter to; `FILE@4`
    /// takes one row in four. Without: the parameters that ship.
    #[arg(long, value_name = "CSV", num_args = 1..)]
    data: Vec<String>,
    /// Measurements of a platform of one's own, which move its parameters: stored runs (run.json), tables of steps with
    /// the columns model, gpu, gpus, tp, pp, cp, ep, mbs, gbs, seq, precision, step_time_s (others may stand beside
    /// them), sweeps of nccl-tests. One step is enough; up to three sizes of collectives say more of traffic.
    #[arg(long, value_name = "RUN", num_args = 1..)]
    anchor: Vec<PathBuf>,
    /// Rows of `--data` that are left out, by their `id`.
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    without: Vec<String>,
    /// Where to write the set; standard output by default.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    format: FormatArg,
}

/// Fits, and writes the set; where it goes to a file, prints the parameters with what each rests on.
pub(crate) fn fit(args: &FitArgs, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    if args.data.is_empty() && args.anchor.is_empty() {
        return Err(Failure::invalid(
            "nothing to fit to\n  = help: `--data tests/truth/training.csv.gz`, `--anchor run.json`, or both",
        ));
    }
    let mut set = if args.data.is_empty() {
        catalog::tuning().clone()
    } else {
        from_tables(args)?
    };
    if !args.anchor.is_empty() {
        let own = validate::own(&args.anchor).map_err(Failure::missing)?;
        let moved = to_platform(&set, &own, &args.anchor);
        write!(console.err, "{}", anchors(&own, &set, &moved))?;
        set = moved;
    }
    match &args.output {
        Some(path) => {
            files::write(path, set.to_json().as_bytes()).map_err(Failure::missing)?;
            write!(console.out, "{}", parameters::print(&set, args.format.format))?;
            writeln!(console.err, "wrote {}", path.display())?;
        }
        None => write!(console.out, "{}", set.to_json())?,
    }
    Ok(Exit::Success)
}

/// Every parameter, from the rows of tables that say all that their prediction needs.
fn from_tables(args: &FitArgs) -> anyhow::Result<TuningSet> {
    are_rows(&args.without, &args.data)?;
    let mut steps: Vec<Step> = Vec::new();
    for given in &args.data {
        let (path, every) = thinned(given);
        let read = validate::training_steps(Path::new(path)).map_err(Failure::missing)?;
        let known = read.into_iter().filter(|step| step.facts["assumed"].is_empty());
        let known = known.filter(|step| !args.without.contains(&step.facts["id"]));
        steps.extend(known.step_by(every));
    }
    if steps.is_empty() {
        return Err(Failure::missing(
            "no row says enough to be fitted to\n  = help: `orrery validate --truth` names what each row lacks",
        ));
    }
    let names: Vec<&str> = args.data.iter().map(|given| file_name(given)).collect();
    let mut note = format!(
        "Fitted by orrery fit, through the closed form, to {}",
        names.join(", ")
    );
    if !args.without.is_empty() {
        note += &format!(", without {}", args.without.join(", "));
    }
    note += "; kernels and collectives are those of the profiles.";
    Ok(fitted(&steps, vec![note]))
}

/// Every one of `without` is a row of the tables `data`: a mistyped one would be fitted to.
fn are_rows(without: &[String], data: &[String]) -> anyhow::Result<()> {
    let mut ids = Vec::new();
    for given in data.iter().filter(|_| !without.is_empty()) {
        let (path, _) = thinned(given);
        ids.extend(validate::training_ids(Path::new(path)).map_err(Failure::missing)?);
    }
    let Some(unknown) = without.iter().find(|id| !ids.contains(id)) else {
        return Ok(());
    };
    let near = near(unknown, &ids);
    let help = if near.is_empty() {
        String::new()
    } else {
        format!("\n  = help: near it: {}", near.join(", "))
    };
    Err(Failure::invalid(format!(
        "`--without {unknown}` is the `id` of no row of {}{help}",
        data.iter()
            .map(|given| file_name(given))
            .collect::<Vec<_>>()
            .join(", ")
    )))
}

/// Up to three of `ids` that are most like `unknown`, the likest first.
fn near<'a>(unknown: &str, ids: &'a [String]) -> Vec<&'a str> {
    let mut alike: Vec<(f64, &str)> = ids
        .iter()
        .map(|id| (strsim::jaro_winkler(unknown, id), id.as_str()))
        .filter(|(likeness, _)| *likeness > 0.8)
        .collect();
    alike.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    alike.into_iter().take(3).map(|(_, id)| id).collect()
}

/// The last part of a path: where a file lies says nothing of what is in it.
fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

/// `FILE@4`: the file, and that one row in four is taken.
fn thinned(given: &str) -> (&str, usize) {
    let parts = given
        .rsplit_once('@')
        .and_then(|(path, every)| Some((path, every.parse().ok()?)));
    parts.filter(|(_, every)| *every > 0).unwrap_or((given, 1))
}

fn to_platform(set: &TuningSet, own: &Own, paths: &[PathBuf]) -> TuningSet {
    let steps: Vec<&Step> = own.steps.iter().map(|own| &own.step).collect();
    let mut moved = anchored(set, &[], &steps, &own.traffic);
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    let names: Vec<&str> = names.iter().map(|name| file_name(name)).collect();
    moved.notes.push(format!(
        "Parameters of {} moved to {} steps of one's own: {}.",
        own.steps.first().map_or_else(String::new, platform),
        steps.len(),
        names.join(", ")
    ));
    moved
}

/// Device and stack.
fn platform(own: &OwnStep) -> String {
    let plan = &own.measured.plan;
    format!("{} under {}", plan.cluster.device.name, plan.training.stack.name)
}

/// What was measured, and what is predicted of it before and after.
fn anchors(own: &Own, before: &TuningSet, after: &TuningSet) -> String {
    let mut text = String::new();
    for one in &own.steps {
        let seconds = |set: &TuningSet| one.step.parts.step(&one.step.tuning(set)).step;
        // Writing to memory cannot fail.
        let _written = writeln!(
            text,
            "{}: {}, measured {:.4} s, predicted {:.4} s before and {:.4} s with it",
            one.name,
            platform(one),
            one.step.measured,
            seconds(before),
            seconds(after)
        );
    }
    for (term, factor) in &own.traffic {
        let _written = writeln!(
            text,
            "collectives alone: {term:?} {factor:.3} of what the profile gives"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_ids_are_near_at_most() {
        let ids: Vec<String> = (1..12).map(|at| format!("korth-{at:03}")).collect();
        assert_eq!(near("korth-04", &ids)[0], "korth-004");
        assert_eq!(near("korth-04", &ids).len(), 3);
        assert!(near("zzz", &ids).is_empty(), "nothing is like it");
    }

    #[test]
    fn a_table_may_be_thinned() {
        assert_eq!(thinned("a.csv.gz@4"), ("a.csv.gz", 4));
        assert_eq!(thinned("a@b.csv"), ("a@b.csv", 1));
        assert_eq!(thinned("a.csv@0"), ("a.csv@0", 1));
    }
}
