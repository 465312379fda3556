//! `sweep`: many plans of one scenario. Layouts are searched; keys are varied on a grid, a hypercube or by bisection.

mod keys;
mod layouts;
mod picture;

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use orrery_scenario::Plan;

use serde_json::Value;

use super::output::print_values;
use super::progress::Signals;
use super::{Console, Failure, Format, FormatArg, columns};
use crate::exit::Exit;
use crate::sweep::points::Range;
use crate::{files, pipeline};

/// How often a sweep is looked at.
const LOOK: Duration = Duration::from_millis(50);

#[derive(Args, Clone, Debug)]
pub(crate) struct SweepArgs {
    /// The scenario.
    pub(crate) scenario: String,
    /// Set a key of the scenario, such as `training.global_batch=4096`; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = super::parse_set)]
    pub(crate) set: Vec<(String, String)>,
    /// Seed of every random number.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Search all legal layouts; what happens when no key is varied.
    #[arg(long, value_enum, value_name = "WHAT", conflicts_with_all = ["grid", "range", "bisect"])]
    pub(crate) search: Option<Search>,
    /// Values of a degree in a search, such as `tp=1,2,4` or `recompute=none,full`; may be repeated. Degrees: tp, pp, cp,
    /// ep, expert_tp, micro_batch, zero_stage, schedule, chunks, recompute.
    #[arg(long, value_name = "DEGREE=VALUES", value_parser = super::parse_set)]
    pub(crate) axes: Vec<(String, String)>,
    /// Values of a key, such as `parallel.pp=4,8,16`; every combination of all of them.
    #[arg(long, value_name = "KEY=A,B,C", value_parser = super::parse_set)]
    pub(crate) grid: Vec<(String, String)>,
    /// A range of a key for `--latin`, such as `training.global_batch=1024..8192`.
    #[arg(long, value_name = "KEY=LOW..HIGH", value_parser = Range::parse, requires = "latin")]
    pub(crate) range: Vec<Range>,
    /// So many points of a Latin hypercube over the ranges.
    #[arg(long, value_name = "N", requires = "range", conflicts_with = "grid")]
    pub(crate) latin: Option<u32>,
    /// Find the end of the part of a range in which a check holds, from whichever end it holds at; values
    /// without a run are passed over.
    #[arg(long, value_name = "KEY=LOW..HIGH", value_parser = Range::parse, requires = "until",
          conflicts_with_all = ["grid", "range"])]
    pub(crate) bisect: Option<Range>,
    /// The check, as in `[expect]`: `train.step_time.mean <= 10 s`.
    #[arg(long, value_name = "CHECK", requires = "bisect")]
    pub(crate) until: Option<String>,
    /// How many of the best estimates the event simulation confirms.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) top: usize,
    /// What of a confirmed point counts as best, in a sweep over keys; layouts are ranked by their steps.
    #[arg(long, value_name = "METRIC", default_value = "train.step_time.mean")]
    pub(crate) objective: String,
    /// Confirm nothing.
    #[arg(long)]
    pub(crate) estimate_only: bool,
    /// Look only at share I of N, such as `0/8`: for array jobs.
    #[arg(long, value_name = "I/N", value_parser = parse_shard)]
    pub(crate) shard: Option<(usize, usize)>,
    /// Folder for what `--write` names.
    #[arg(long, value_name = "DIR", default_value = "orrery-runs/sweep")]
    pub(crate) out: PathBuf,
    /// What to write.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LOOKS")]
    pub(crate) write: Vec<SweepLook>,
    /// Draw memory over step time to an SVG or PNG.
    #[arg(long, value_name = "FILE")]
    pub(crate) picture: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) format: FormatArg,
}

/// What is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Search {
    /// Degrees, schedule, microbatch and recomputation.
    Layouts,
}

/// A file of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SweepLook {
    /// points.csv, a line for each point that was estimated.
    Csv,
    /// The same as points.parquet.
    Parquet,
    /// sweep.json.
    Json,
}

fn parse_shard(text: &str) -> Result<(usize, usize), String> {
    let fault = || "write I/N with I below N, such as `0/8`".to_owned();
    let (at, of) = text.split_once('/').ok_or_else(fault)?;
    let shard = (
        at.parse().map_err(|_fault| fault())?,
        of.parse().map_err(|_fault| fault())?,
    );
    if shard.0 < shard.1 {
        Ok(shard)
    } else {
        Err(fault())
    }
}

/// Carries out a sweep.
pub(crate) fn sweep(args: &SweepArgs, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    let text = files::read_scenario(&args.scenario).map_err(Failure::invalid)?;
    let mut common = args.set.clone();
    if let Some(seed) = args.seed {
        common.push(("run.seed".to_owned(), seed.to_string()));
    }
    let signals = Signals::listen()?;
    let job = Job {
        args,
        text: &text,
        common: &common,
        signals: &signals,
    };
    if !args.grid.is_empty() || !args.range.is_empty() {
        return keys::points(&job, console);
    }
    if let (Some(range), Some(until)) = (&args.bisect, &args.until) {
        return keys::bisect(&job, range, until, console);
    }
    let base = job.base(console)?;
    layouts::search(&job, &base, console)
}

/// What is swept.
struct Job<'a> {
    args: &'a SweepArgs,
    text: &'a str,
    common: &'a [(String, String)],
    signals: &'a Signals,
}

impl Job<'_> {
    /// The plan of the scenario itself.
    fn base(&self, console: &mut Console<'_>) -> anyhow::Result<Plan> {
        pipeline::load(&self.args.scenario, self.text, self.common).map_err(|faults| {
            let said = writeln!(console.err, "{}", orrery_scenario::render(&faults).trim_end());
            said.map_or_else(Into::into, |()| Failure::invalid(""))
        })
    }

    /// Does `work` on another thread, shows how many of `total` are `done`, and asks it to `stop` when a signal comes.
    fn watched<T: Send>(
        &self,
        name: &'static str,
        total: usize,
        done: &std::sync::atomic::AtomicUsize,
        stop: impl Fn(),
        console: &Console<'_>,
        work: impl FnOnce() -> T + Send,
    ) -> T {
        let target = if console.terminal {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(total as u64), target);
        let style = ProgressStyle::with_template("{prefix} [{wide_bar}] {pos} of {len} {elapsed}");
        bar.set_style(
            style
                .expect("the template is a valid one")
                .progress_chars("█▉▊▋▌▍▎▏ "),
        );
        bar.set_prefix(name);
        let result = thread::scope(|scope| {
            let looker = thread::current();
            let worker = scope.spawn(move || {
                let result = work();
                looker.unpark();
                result
            });
            while !worker.is_finished() {
                if self.signals.received().is_some() {
                    stop();
                }
                bar.set_position(done.load(Ordering::Relaxed) as u64);
                thread::park_timeout(LOOK);
            }
            worker.join()
        });
        bar.finish_and_clear();
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Writes the files that were asked for: `rows` as tables, `whole` as sweep.json.
    fn write(&self, rows: &[Value], whole: &Value, console: &mut Console<'_>) -> anyhow::Result<()> {
        for look in &self.args.write {
            let (name, bytes) = match look {
                SweepLook::Csv => (
                    "points.csv",
                    print_values(rows, Format::Csv, String::new).into_bytes(),
                ),
                SweepLook::Parquet => ("points.parquet", columns::parquet(rows)?),
                SweepLook::Json => ("sweep.json", format!("{whole:#}\n").into_bytes()),
            };
            let path = self.args.out.join(name);
            files::write(&path, &bytes).map_err(Failure::missing)?;
            writeln!(console.err, "wrote {}", path.display())?;
        }
        Ok(())
    }

    /// How a sweep ends of which `found` says whether anything came out.
    fn exit(&self, found: bool) -> Exit {
        match self.signals.received() {
            Some(exit) => exit,
            None if found => Exit::Success,
            None => Exit::NothingMatched,
        }
    }
}
