//! Predicted against measured: public tables in, an error per row out.
//!
//! A table is recognised by its columns. Sweeps of nccl-tests are predicted by the law of their platform
//! (scenarios/platforms), all-to-all tables by the law of their kernels with the row's own cell left out. Every row of
//! a table of training steps that names enough of itself is simulated, for its step time or for its memory, and every row of a table of allocated memory is counted.
//! Tables of kernels' times are predicted with each shape, or device, left out; those of layers of experts under imbalance
//! with each EP degree of each system left out. The public training trace is set beside the same overlapped pair
//! simulated.

mod compare;
mod exchange;
mod fitting;
mod imbalanced;
mod import;
mod kernels;
mod left_out;
mod machine;
mod memory;
mod prior;
mod render;
mod steps;
mod summary;
mod sweep;
mod table;
mod trace;

use std::path::{Path, PathBuf};

use orrery_profile::{PlatformSet, Term};

use sweep::Found;

use crate::tuning::{self, LargestRun, Step, Worth};
pub use imbalanced::fit_imbalanced;
pub use kernels::KernelsBy;
pub(crate) use machine::Device;
pub use render::{human, json, summaries_csv};
pub use steps::{By, MeasuredStep, Mode, OWN_COLUMNS, OwnStep, StepCase, measured_step};
pub use summary::{Summary, peaks, summary};
pub(crate) use sweep::operation;
pub use trace::trace_plan;

/// Why an anchor is not compared.
const ANCHOR: &str = "anchor";

/// What of training steps is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Metric {
    /// Seconds of a step.
    #[default]
    StepTime,
    /// Memory of a device.
    Memory,
}

/// How rows are predicted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Leave each sweep out of the fit of its platform, and let so many of its own points from 1 MiB on anchor it.
    pub leave_out: Option<usize>,
    /// Fit the platforms anew to the sweeps that were given.
    pub refit: bool,
    /// What training steps are grouped by, beside their cells.
    pub by: Option<By>,
    /// How training steps are predicted.
    pub mode: Mode,
    /// What of training steps is compared.
    pub metric: Metric,
    /// What is left out of the fit that predicts a kernel.
    pub kernels: KernelsBy,
    /// Whether steps are also shown with one factor per release of a stack: a variant.
    pub releases: bool,
    /// Whether every stack and device is also left out, with a few of its own measurements given.
    pub anchor_rows: bool,
}

/// One row of a table, compared or skipped.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Table and row.
    pub id: String,
    /// What was asked: `op`, `ranks` and `bytes` for collectives; other facts for tables of another kind.
    pub facts: Vec<(&'static str, String)>,
    /// Names of the groups that it counts in.
    pub groups: Vec<String>,
    /// The comparison, or the field for want of which there is none.
    pub result: Result<Compared, String>,
}

/// A prediction beside a measurement: seconds, or bytes of memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Compared {
    /// Measured.
    pub measured: f64,
    /// Predicted.
    pub predicted: f64,
    /// Lower end of the 80 % interval.
    pub low: f64,
    /// Upper end of it.
    pub high: f64,
    /// What the prediction rests on.
    pub evidence: &'static str,
}

/// What came of the tables.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Every row, in the order of the files.
    pub rows: Vec<Row>,
    /// Each platform with its number of sweeps.
    pub platforms: Vec<(String, usize)>,
    /// Files that could not be used, and why.
    pub refused: Vec<String>,
    /// Training steps that were compared.
    pub cases: Vec<StepCase>,
    /// The largest runs of families, by what small ones tell.
    pub largest_runs: Vec<LargestRun>,
    /// What a few measurements are worth on platforms that were left out, where it was asked for.
    pub worth: Vec<Worth>,
    /// Whether factors of releases are shown beside.
    pub with_releases: bool,
}

impl Compared {
    /// `predicted / measured − 1`.
    #[must_use]
    pub fn error(&self) -> f64 {
        self.predicted / self.measured - 1.0
    }
}

/// The platforms that ship with the program.
///
/// # Panics
/// Never: a test reads the embedded file.
#[must_use]
pub fn shipped_platforms() -> PlatformSet {
    let text = include_str!("../../../scenarios/platforms/nccl.platforms.json");
    serde_json::from_str(text).expect("the embedded platforms are valid; a test reads them")
}

/// The platforms that the sweeps below `path` are fitted by, anew.
///
/// # Errors
/// When a file cannot be read.
pub fn fit_platforms(path: &Path) -> Result<PlatformSet, String> {
    let mut sweeps = Vec::new();
    for file in files(path)? {
        sweeps.extend(sweeps_of(&file)?.map(|found| found.sweeps).unwrap_or_default());
    }
    Ok(fitting::platforms(&sweeps, &mut |_| true))
}

/// Why there is no outcome of a comparison that was stopped.
pub const STOPPED: &str = "the comparison was stopped";

/// Compares every row of the tables at `paths`, files or folders.
///
/// `progress` is told how many of how many steps are done: files to read, platforms to fit, sweeps to compare; where it
/// says no, the rest is left.
///
/// # Errors
/// [`STOPPED`] where `progress` said no; when a path cannot be read at all, or has no table, or a table has nothing of what
/// is to be left out; a file that is no known table is listed in the outcome.
pub fn validate(
    paths: &[PathBuf],
    options: Options,
    progress: &mut (dyn FnMut(usize, usize) -> bool + Send),
) -> Result<Outcome, String> {
    let mut is_stopped = false;
    let progress: &mut (dyn FnMut(usize, usize) -> bool + Send) = &mut |done, all| {
        is_stopped |= !progress(done, all);
        !is_stopped
    };
    let mut outcome = Outcome {
        with_releases: options.releases,
        ..Outcome::default()
    };
    let mut sweeps = Vec::new();
    let mut kernels = Vec::new();
    let mut all = Vec::new();
    for path in paths {
        all.extend(files(path)?);
    }
    left_out::is_in_all(&all, options)?;
    for (done, file) in all.iter().enumerate() {
        if !progress(done, all.len() * 2) {
            return Err(STOPPED.to_owned());
        }
        match sweeps_of(file) {
            Ok(Some(found)) => {
                sweeps.extend(found.sweeps);
                outcome.rows.extend(found.lost.into_iter().map(lost));
            }
            Ok(None) => match imbalanced_of(file, progress)
                .or_else(|| kernels_of(file, &mut kernels))
                .or_else(|| memory::of(file, options.metric))
                .or_else(|| steps_of(file, options, &mut outcome, progress))
                .or_else(|| trace_of(file))
                .or_else(|| Some(exchange::rows(file)))
            {
                Some(Ok(rows)) => outcome.rows.extend(rows),
                Some(Err(reason)) => outcome.refused.push(reason),
                None => {}
            },
            Err(reason) => outcome.refused.push(reason),
        }
    }
    outcome
        .rows
        .extend(kernels::rows(kernels, options.kernels, progress));
    let groups = fitting::by_platform(&sweeps);
    outcome.platforms = groups
        .iter()
        .map(|(name, group)| ((*name).to_owned(), group.len()))
        .collect();
    let fits = if options.refit { groups.len() } else { 0 };
    let steps = all.len() + fits + sweeps.len();
    let platforms = if options.refit {
        fitting::platforms(&sweeps, &mut |done| progress(all.len() + done, steps))
    } else {
        shipped_platforms()
    };
    let rows = compare::rows(&sweeps, &platforms, options, &mut |done| {
        progress(all.len() + fits + done, steps)
    });
    outcome.rows.extend(rows);
    // Also where the last one is the one that was told so.
    match is_stopped {
        true => Err(STOPPED.to_owned()),
        false => Ok(outcome),
    }
}

/// A row of a sweep that cannot be placed, and why.
fn lost((id, reason): (String, String)) -> Row {
    Row {
        id,
        facts: Vec::new(),
        groups: Vec::new(),
        result: Err(reason),
    }
}

/// The sweeps of a file; none when it holds none.
fn sweeps_of(file: &Path) -> Result<Option<Found>, String> {
    let text = table::text(file)?;
    let name = stem(file);
    if let Some(table) = import::nccl_tests(&text, &name) {
        return Ok(sweep::sweeps(&table, &name));
    }
    let table = table::parse(&text).map_err(|fault| format!("{fault}: {}", file.display()))?;
    Ok(sweep::sweeps(&table, &name))
}

/// The rows of a file of imbalanced layers; none when it is another.
fn imbalanced_of(
    file: &Path,
    progress: &mut (dyn FnMut(usize, usize) -> bool + Send),
) -> Option<Result<Vec<Row>, String>> {
    let table = table::text(file).and_then(|text| table::parse(&text)).ok()?;
    Some(Ok(imbalanced::rows(&table, &stem(file), progress)?))
}

/// Adds the rows of a file of kernels' times to `all`, which are predicted together; none when it is another.
fn kernels_of(file: &Path, all: &mut Vec<kernels::Entry>) -> Option<Result<Vec<Row>, String>> {
    let read = table::text(file).and_then(|text| table::parse(&text));
    all.extend(kernels::entries(&read.ok()?, &stem(file))?);
    Some(Ok(Vec::new()))
}

/// The rows of a file of training steps, with what they are judged by added to `outcome`; none when it is another.
fn steps_of(
    file: &Path,
    options: Options,
    outcome: &mut Outcome,
    progress: &mut (dyn FnMut(usize, usize) -> bool + Send),
) -> Option<Result<Vec<Row>, String>> {
    let read = table::text(file).and_then(|text| table::parse(&text));
    let table = read.ok().filter(steps::is_one)?;
    let all = table.rows.len();
    let told = std::sync::Mutex::new(progress);
    let tell = |done: usize| {
        let mut told = told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        told(done, all)
    };
    let (rows, cases) = steps::rows(&table, &stem(file), (options.by, options.mode), &tell);
    outcome.cases.extend(cases);
    let complete = steps::complete(&table);
    // What is held out has a fit of its own.
    if !matches!(options.mode, Mode::HeldOut(_)) {
        outcome.largest_runs.extend(tuning::scale_up(&complete));
    }
    if options.anchor_rows {
        outcome.worth.extend(tuning::worth(&complete));
    }
    Some(Ok(rows))
}

/// The rows of a file of the training trace; none when it is another.
fn trace_of(file: &Path) -> Option<Result<Vec<Row>, String>> {
    let read = table::text(file).and_then(|text| table::parse(&text));
    trace::of(&read.ok()?, &stem(file)).map(Ok)
}

/// Why a table cannot be fitted to.
const NO_STEPS: &str = "no table of training steps";

/// The measured steps of the table at `path` that can be predicted, with their facts.
///
/// # Errors
/// When it cannot be read, or is no table of training steps.
pub fn training_steps(path: &Path) -> Result<Vec<Step>, String> {
    training_steps_of(&table::text(path)?).map_err(|fault| format!("{fault}: {}", path.display()))
}

/// The `id` of every row of the table of training steps at `path`, also of those that cannot be predicted.
///
/// # Errors
/// When it cannot be read, or is no table of training steps.
pub fn training_ids(path: &Path) -> Result<Vec<String>, String> {
    let told = |fault: String| format!("{fault}: {}", path.display());
    let table = table::parse(&table::text(path)?).map_err(told)?;
    if !steps::is_one(&table) {
        return Err(told(NO_STEPS.to_owned()));
    }
    Ok(table
        .rows
        .iter()
        .map(|row| table::field(row, "id").to_owned())
        .collect())
}

/// The measured steps of the table in `text`, as [`training_steps`].
///
/// # Errors
/// When it is no table of training steps.
pub fn training_steps_of(text: &str) -> Result<Vec<Step>, String> {
    let table = table::parse(text)?;
    if !steps::is_one(&table) {
        return Err(NO_STEPS.to_owned());
    }
    Ok(table.rows.iter().filter_map(steps::step).collect())
}

/// Measurements of one's own: steps, and what collectives alone say of terms of traffic.
#[derive(Debug, Default)]
pub struct Own {
    /// Measured steps.
    pub steps: Vec<OwnStep>,
    /// Measured time of collectives over that which the profile gives, by the terms that they tell of.
    pub traffic: Vec<(Term, f64)>,
}

/// The measurements at `paths`: stored runs (`run.json` or its folder), tables of steps with [`OWN_COLUMNS`], and sweeps of
/// nccl-tests.
///
/// # Errors
/// When one cannot be read, or does not say enough; collectives need a step, which says on what they ran.
pub fn own(paths: &[PathBuf]) -> Result<Own, String> {
    let mut own = Own::default();
    let mut sweeps = Vec::new();
    for path in paths {
        if path.is_dir() || path.extension().is_some_and(|end| end == "json") {
            own.steps.push(steps::step_of_run(path)?);
        } else if let Some(found) = sweeps_of(path)? {
            if let Some((id, reason)) = found.lost.first() {
                return Err(format!("{id}: {reason}"));
            }
            sweeps.extend(found.sweeps);
        } else {
            let table = table::parse(&table::text(path)?)?;
            own.steps.extend(steps::own_steps(&table, path)?);
        }
    }
    let Some(first) = own.steps.first() else {
        return Err(format!(
            "no measured step\n  = help: name a run.json, or a table with the columns {}",
            OWN_COLUMNS.join(",")
        ));
    };
    own.traffic = steps::traffic(&first.measured.plan, &sweeps);
    Ok(own)
}

/// The name of a file without its endings.
fn stem(file: &Path) -> String {
    let name = file
        .file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    name.strip_suffix(".csv").unwrap_or(name).to_owned()
}

/// The tables at `path`: itself, or those in the folder, by name. Tables that are no sweeps are left out.
fn files(path: &Path) -> Result<Vec<PathBuf>, String> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let fail = |fault: std::io::Error| format!("cannot read: {fault}: {}", path.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).map_err(fail)? {
        let file = entry.map_err(fail)?.path();
        let name = stem(&file);
        let table = [".csv", ".csv.gz", ".txt", ".log", ".json"]
            .iter()
            .any(|end| file.to_string_lossy().ends_with(end));
        let no_sweep = ["simai_", "points", "nvls_"]
            .iter()
            .any(|start| name.starts_with(start));
        if table && !no_sweep {
            found.push(file);
        }
    }
    if found.is_empty() {
        return Err(format!(
            "no table of measurements in this folder\n  = help: name a folder of `.csv`, `.csv.gz`, `.txt`, `.log` or \
             `.json` files: {}",
            path.display()
        ));
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests;
