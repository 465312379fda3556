//! The `orrery` command: arguments in, an exit code out.
//!
//! It is a part of the library so that the desktop app can do what the command does where there is no display.

mod balance;
mod balancing;
mod baseline;
mod check;
mod collective;
mod columns;
mod compare;
mod explain;
mod export;
mod fit;
mod import;
mod list;
mod output;
mod progress;
mod report;
mod routing;
mod run;
mod sweep;
#[cfg(test)]
mod tests;
mod traces;
mod validate;

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write};
use std::path::PathBuf;
use std::{fmt, io, panic};

use crate::exit::Exit;
use crate::traces::{TraceKind, WhatIf};
use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use output::{Format, Look};

const AFTER: &str = "Exit codes: 0 all expectations hold; 1 an expectation failed; 2 bad command line or \
scenario, nothing was run; 3 data missing; 4 nothing matched; 5 a limit was hit, partial results written; \
70 a bug in Orrery; 130/143 interrupted.\n\nWithout a command: runs the DeepSeek-V3 scenario that ships \
with the program and writes its report to orrery-runs/.";

/// Simulates training of mixture-of-experts models on clusters.
#[derive(Debug, Parser)]
#[command(name = "orrery", version, about, after_help = AFTER, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run scenarios, evaluate their expectations, write reports.
    Run(RunArgs),
    /// Parse and validate scenarios only.
    Check(CheckArgs),
    /// An expert placement: weights in; phy2log, log2phy and logcnt out.
    Balance(BalanceArgs),
    /// Write a scenario from what other programs know about a job.
    #[command(subcommand)]
    Import(ImportCommand),
    /// Stored metrics that expectations compare with.
    #[command(subcommand)]
    Baseline(BaselineCommand),
    /// Show a stored run.
    Report(ReportArgs),
    /// Explain the difference between two scenarios or stored runs.
    Compare(CompareArgs),
    /// Replay what a trainer recorded: reproduce its step, and say what made it slow.
    Replay(ReplayArgs),
    /// Write a stored run in a format of another program.
    Export(ExportArgs),
    /// List every metric with unit, labels and definition.
    Metrics(MetricsArgs),
    /// Many plans of one scenario: layouts searched; keys on a grid, a Latin hypercube or by bisection.
    Sweep(Box<sweep::SweepArgs>),
    /// Compare what is predicted with published or measured tables.
    Validate(ValidateArgs),
    /// Fit parameters of stacks and devices to measured steps; or move those of one platform to a few of its own.
    Fit(fit::FitArgs),
    /// One collective on one machine: every algorithm, the fastest marked.
    Collective(CollectiveArgs),
    /// Print the JSON Schema of scenario files.
    Schema,
    /// Explain the code of an error (`S014`), list the defaults that a stored run filled in, or show what the step
    /// is sensitive to.
    Explain(ExplainArgs),
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// How results are printed.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct FormatArg {
    /// How results are printed on standard output.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
}

/// What every command that loads scenarios takes.
#[derive(Args, Clone, Debug)]
pub(crate) struct ScenarioArgs {
    /// Scenario files.
    #[arg(value_name = "SCENARIO", required = true)]
    pub(crate) scenarios: Vec<String>,
    /// Set a key of the scenario, such as `parallel.pp=8`; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_set)]
    pub(crate) set: Vec<(String, String)>,
    /// Hold every device to this power, such as `500W`: sets `cluster.node.power_limit`, and reports `power.*`.
    #[arg(long, value_name = "POWER")]
    pub(crate) power_limit: Option<String>,
    /// Seed of every random number.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) scenario: ScenarioArgs,
    /// Folder for the results [default: orrery-runs/<scenario>-<seed>].
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// What to write beside run.json and meta.json.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LOOKS")]
    pub(crate) write: Vec<Look>,
    #[command(flatten)]
    pub(crate) format: FormatArg,
    /// Find the critical path and the phases of the last step, of every rank; takes some more time and memory.
    #[arg(long)]
    pub(crate) why: bool,
    /// The stored metrics that `baseline` in a check means [default: baselines/<scenario>.json].
    #[arg(long, value_name = "FILE")]
    pub(crate) baseline: Option<PathBuf>,
    /// Exit 0 even when an expectation fails; it is still reported.
    #[arg(long)]
    pub(crate) no_fail: bool,
}

#[derive(Args, Debug)]
struct CheckArgs {
    #[command(flatten)]
    scenario: ScenarioArgs,
    #[command(flatten)]
    format: FormatArg,
}

#[derive(Args, Debug)]
pub(crate) struct BalanceArgs {
    /// A JSON file with weights, num_replicas, num_groups, num_nodes, num_gpus; or with `cases` of these.
    case: PathBuf,
    /// Which of several cases, by its `name`; the first by default.
    #[arg(long)]
    name: Option<String>,
    /// How experts are placed.
    #[arg(long, value_enum, default_value_t = balance::Policy::Auto)]
    policy: balance::Policy,
}

#[derive(Debug, Subcommand)]
enum ImportCommand {
    /// A Hugging Face config.json.
    Hf {
        /// The file.
        file: PathBuf,
        /// Where to write the scenario; standard output by default.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// A Megatron argument list.
    Megatron(MegatronArgs),
    /// What a trainer recorded of a run, whichever of the following it is. Written as a run that `report` and `compare`
    /// read.
    Trace(TraceArgs),
    /// Traces of PyTorch's profiler (JSON, also packed), one a rank.
    Kineto(TraceArgs),
    /// Traces of the same shape by other writers (Chrome JSON, also packed), one a rank.
    Chrome(TraceArgs),
    /// A trace by operation of a pipeline-parallel job (Parquet).
    StragglerParquet(TraceArgs),
    /// Reports of Nsight Systems, exported with `nsys export --type sqlite`.
    NsysSqlite(TraceArgs),
    /// Logs of NCCL's inspector plugin (JSON), one a process.
    NcclInspector(TraceArgs),
    /// A recorded expert load: its law, and a scenario's `[load]` that follows it.
    Routing(RoutingArgs),
}

#[derive(Args, Clone, Debug)]
pub(crate) struct TraceArgs {
    /// Files of one run, or a folder of them.
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Folder for run.json and trace.json.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: PathBuf,
    /// What the run is called [default: the name of the folder].
    #[arg(long)]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) format: FormatArg,
}

#[derive(Args, Debug)]
pub(crate) struct ReplayArgs {
    /// Files of one run, or a folder of them.
    #[arg(value_name = "TRACE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// How long the step would take with `slow-rank` (slow ranks at the median), `balance` (computation balanced
    /// perfectly), `network=FACTOR`, or `gpu=FROM:TO` (names of profiles); may be repeated.
    #[arg(long, value_name = "CHANGE", value_delimiter = ',')]
    pub(crate) what_if: Vec<WhatIf>,
    #[command(flatten)]
    pub(crate) format: FormatArg,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct RoutingArgs {
    /// A table of counts or of routed tokens (CSV, also .gz; Parquet), or a dump of a serving stack (JSON).
    pub(crate) file: PathBuf,
    /// A task or domain of it, or half of its tokens, such as `law` or `law/first-half`; every one by default.
    #[arg(long, value_name = "PART")]
    pub(crate) select: Option<String>,
    /// A whole scenario that compares balancers on the recording itself, instead of a load by its law.
    #[arg(long, conflicts_with = "select")]
    pub(crate) scenario: bool,
    /// Where to write the load or the scenario; standard output by default.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct MegatronArgs {
    /// A file with arguments, or the arguments themselves as one text or JSON object.
    #[arg(allow_hyphen_values = true)]
    pub(crate) input: String,
    /// Device that the job runs on, by a name of the hardware catalogue.
    #[arg(long)]
    pub(crate) gpu: Option<String>,
    /// Nodes.
    #[arg(long)]
    pub(crate) nodes: Option<u32>,
    /// Devices in a node.
    #[arg(long)]
    pub(crate) gpus_per_node: Option<u32>,
    /// Where to write the scenario; standard output by default.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum BaselineCommand {
    /// Store the metrics of a run.
    Save(BaselineArgs),
    /// Rewrite the entries that moved beyond 0.5 %.
    Update(BaselineArgs),
    /// Print a stored baseline.
    Show {
        /// The file.
        file: PathBuf,
        #[command(flatten)]
        format: FormatArg,
    },
}

#[derive(Args, Debug)]
struct BaselineArgs {
    /// The folder or the run.json of a run.
    run: PathBuf,
    /// The file to write [default: baselines/<scenario>.json beside the scenario's folder].
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct ReportArgs {
    /// The folder or the run.json of a run.
    pub(crate) run: PathBuf,
    /// Draw to an SVG or PNG.
    #[arg(long, value_name = "FILE")]
    pub(crate) picture: Option<PathBuf>,
    /// What is drawn.
    #[arg(long, value_enum, default_value_t = report::View::Waterfall, requires = "picture")]
    pub(crate) view: report::View,
    /// Write the decision sheet: one page, as HTML, CSV, SVG or PNG by the ending of the name; may be repeated.
    #[arg(long, value_name = "FILE")]
    pub(crate) sheet: Vec<PathBuf>,
    /// A table of published parts of steps (scenario, part, seconds, source) to set the phases beside.
    #[arg(long, value_name = "CSV")]
    pub(crate) beside: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) format: FormatArg,
}

#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    /// A code, a scenario file, or the folder or run.json of a run.
    pub(crate) what: String,
    /// Simulate the scenario with 10 % more and 10 % less of each resource.
    #[arg(long)]
    pub(crate) sensitivity: bool,
    /// With `--sensitivity`: the closed form of the step instead of its simulation.
    #[arg(long, requires = "sensitivity")]
    pub(crate) estimate: bool,
    /// With `--sensitivity`: set a key of the scenario, such as `parallel.pp=8`; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_set, requires = "sensitivity")]
    pub(crate) set: Vec<(String, String)>,
    /// With `--sensitivity`: draw it to an SVG or PNG.
    #[arg(long, value_name = "FILE", requires = "sensitivity")]
    pub(crate) picture: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) format: FormatArg,
}

#[derive(Args, Debug)]
pub(crate) struct CompareArgs {
    /// What is compared with: a scenario file, or the folder or the run.json of a run.
    #[arg(value_name = "A")]
    pub(crate) before: String,
    /// What is compared: the same.
    #[arg(value_name = "B")]
    pub(crate) after: String,
    /// Set a key of both scenarios, such as `parallel.pp=8`; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_set)]
    pub(crate) set: Vec<(String, String)>,
    /// Set a key of B alone, such as `parallel.pp=8`; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_set)]
    pub(crate) set_b: Vec<(String, String)>,
    /// Seed of every random number of both.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Exit 1 when the step of B is longer than that of A by more than this, such as `0.5%`.
    #[arg(long, value_name = "SHARE", value_parser = compare::parse_share)]
    pub(crate) fail_over: Option<f64>,
    /// Draw the difference by cause to an SVG or PNG.
    #[arg(long, value_name = "FILE")]
    pub(crate) picture: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) format: FormatArg,
}

#[derive(Args, Debug)]
struct ExportArgs {
    /// The folder of a run.
    run: PathBuf,
    /// The format.
    #[arg(long, value_enum)]
    to: ExportKind,
    /// Where to write it; standard output by default. A folder with `--to kineto`.
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ExportKind {
    /// Trace events, for ui.perfetto.dev and chrome://tracing.
    Chrome,
    /// Perfetto's own format, with units of counters: smaller, for ui.perfetto.dev.
    Perfetto,
    /// Traces as PyTorch's profiler writes them, one a rank, for programs that read those.
    Kineto,
    /// Spans as a table (Parquet), for data frames.
    Parquet,
    /// One line per metric.
    Csv,
    /// The figures in the custom format of github-action-benchmark.
    Benchmark,
}

#[derive(Args, Debug)]
struct MetricsArgs {
    /// Only those of this kind of scenario.
    #[arg(long)]
    kind: Option<String>,
    #[command(flatten)]
    format: FormatArg,
}

#[derive(Args, Debug)]
pub(crate) struct ValidateArgs {
    /// Tables or folders of them: training steps, allocated memory, sweeps of nccl-tests (CSV, text or its `-J`
    /// report), all-to-all tables.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub(crate) truth: Vec<PathBuf>,
    /// A folder of sweeps; the same as `--truth`.
    #[arg(long, value_name = "DIR", num_args = 1..)]
    pub(crate) nccl: Vec<PathBuf>,
    /// What of training steps is compared: step_time or memory [default: step_time].
    #[arg(long)]
    pub(crate) metric: Option<String>,
    /// Group training steps also by gpu, arch, source, model, precision, scale, routing or stack.
    #[arg(long, value_parser = validate::parse_by)]
    pub(crate) by: Option<crate::validate::By>,
    /// Predict training steps by the closed form instead of the event simulation.
    #[arg(long)]
    pub(crate) estimate: bool,
    /// Predict training steps with parameters fitted without their fold: groups of model, device and stack are dealt
    /// into so many. Every table must hold steps.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    pub(crate) folds: Option<u32>,
    /// The same, each model, source or generation of devices left out in turn. Kernels are always predicted without
    /// their shape; `device` is of them alone, and predicts them without their device.
    #[arg(long, value_parser = ["model", "source", "generation", "device"], conflicts_with = "folds")]
    pub(crate) leave_out: Option<String>,
    /// Fit the platforms to the sweeps that are given, not to those that ship.
    #[arg(long)]
    pub(crate) refit: bool,
    /// Predict each sweep from the others of its platform.
    #[arg(long)]
    pub(crate) leave_one_out: bool,
    /// The same, but let so many sizes of the sweep itself, from 1 MiB on, fix its platform; they are not scored.
    #[arg(long, value_name = "N")]
    pub(crate) anchor_points: Option<usize>,
    /// Leave every stack and every device out of the fit in turn, and print what 0, 1, 3 and 10 measured steps of its
    /// own are worth; by the closed form.
    #[arg(long, conflicts_with_all = ["folds", "leave_out"])]
    pub(crate) anchor_rows: bool,
    /// Show beside the prediction a variant with one factor per release of a stack, where it rests on two models.
    #[arg(long)]
    pub(crate) release_factors: bool,
    /// Print the fitted parameters, with the rows and the models that each rests on, and stop.
    #[arg(long)]
    pub(crate) parameters: bool,
    /// With `--format csv`: a line per summary instead of a line per row.
    #[arg(long)]
    pub(crate) summaries: bool,
    /// Draw every prediction over its measurement to an SVG or PNG.
    #[arg(long, value_name = "FILE")]
    pub(crate) picture: Option<PathBuf>,
    /// Exit 1 when the summary is above this, such as `mape=0.07`.
    #[arg(long, value_name = "BOUND", value_parser = validate::parse_bound)]
    pub(crate) fail_over: Option<validate::Bound>,
    #[command(flatten)]
    pub(crate) format: FormatArg,
}

#[derive(Args, Debug)]
pub(crate) struct CollectiveArgs {
    /// The operation: all_reduce, all_gather, reduce_scatter, all_to_all, broadcast, reduce or send_recv.
    #[arg(long, default_value = "all_reduce")]
    pub(crate) op: String,
    /// Device, by a name of the hardware catalogue.
    #[arg(long)]
    pub(crate) gpu: String,
    /// Nodes; of machines with a larger NVLink domain, domains.
    #[arg(long, default_value_t = 1)]
    pub(crate) nodes: u32,
    /// Devices in a node [default: as the catalogue says].
    #[arg(long)]
    pub(crate) gpus_per_node: Option<u32>,
    /// Size as nccl-tests counts it.
    #[arg(long, default_value = "1GiB", value_parser = collective::parse_size)]
    pub(crate) bytes: orrery_units::Bytes,
    /// A range of sizes, doubling, in the columns of nccl-tests.
    #[arg(long, value_name = "FROM..TO", value_parser = collective::parse_sweep)]
    pub(crate) sweep: Option<collective::Sizes>,
    /// Class of the NICs.
    #[arg(long, default_value = "ib", value_parser = ["ib", "roce", "efa", "tcpx", "tcpxo", "none"])]
    pub(crate) nic: String,
    /// Who launches the ranks.
    #[arg(long, default_value = "mpi", value_parser = ["mpi", "one-process", "threads", "torch"])]
    pub(crate) launcher: String,
    /// The network's switches can reduce.
    #[arg(long)]
    pub(crate) sharp: bool,
    /// Draw bus bandwidth over size to an SVG or PNG.
    #[arg(long, value_name = "FILE")]
    pub(crate) picture: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) format: FormatArg,
}

/// Where a command writes: results, and everything else.
pub(crate) struct Console<'a> {
    /// Results.
    pub(crate) out: &'a mut dyn Write,
    /// Messages and progress.
    pub(crate) err: &'a mut dyn Write,
    /// Whether messages go to a terminal.
    pub(crate) terminal: bool,
}

/// An end that the user should hear of, and its exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The code.
    pub(crate) exit: Exit,
    /// What to say.
    pub(crate) message: String,
}

impl Failure {
    /// Bad input: nothing was run.
    pub(crate) fn invalid(message: impl Into<String>) -> anyhow::Error {
        Self::with(Exit::Invalid, message)
    }

    /// Something that is needed is not there.
    pub(crate) fn missing(message: impl Into<String>) -> anyhow::Error {
        Self::with(Exit::DataMissing, message)
    }

    fn with(exit: Exit, message: impl Into<String>) -> anyhow::Error {
        let message = message.into();
        anyhow::Error::new(Self { exit, message })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Runs the command with `arguments`, the first of which is the name of the program; says on standard error
/// what went wrong, if anything did.
pub fn run(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Exit {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(message) => return say(&message),
    };
    panic::catch_unwind(|| on_the_console(cli)).unwrap_or(Exit::Bug)
}

/// Help goes to standard output and is a success, faults of the command line are none.
fn say(message: &clap::Error) -> Exit {
    // There is nobody left to tell when this fails.
    let _told = message.print();
    if message.use_stderr() {
        Exit::Invalid
    } else {
        Exit::Success
    }
}

fn on_the_console(cli: Cli) -> Exit {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut err = io::stderr();
    let mut console = Console {
        out: &mut out,
        err: &mut err,
        terminal: io::stderr().is_terminal(),
    };
    let result = execute(cli, &mut console);
    let result = result.and_then(|exit| out.flush().map(|()| exit).map_err(Into::into));
    match result {
        Ok(exit) => exit,
        Err(fault) => end(&fault),
    }
}

/// Says what went wrong and chooses the code.
fn end(fault: &anyhow::Error) -> Exit {
    let io_fault = fault.downcast_ref::<io::Error>();
    // Whoever closed the pipe has read enough.
    if io_fault.is_some_and(|fault| fault.kind() == io::ErrorKind::BrokenPipe) {
        return Exit::Success;
    }
    let exit = match fault.downcast_ref::<Failure>() {
        Some(failure) => failure.exit,
        None if io_fault.is_some() => Exit::DataMissing,
        None => Exit::Bug,
    };
    let text = format!("{fault:#}");
    // Faults of scenarios were said in full where they were found.
    if !text.is_empty() {
        // There is nobody left to tell when this fails.
        let _told = writeln!(io::stderr(), "orrery: {text}");
    }
    exit
}

/// Carries out the command.
pub(crate) fn execute(cli: Cli, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    let Some(command) = cli.command else {
        return run::run_default(console);
    };
    match command {
        Command::Run(args) => run::run(&args, console),
        Command::Check(args) => check::check(&args.scenario, args.format.format, console),
        Command::Balance(args) => balance::balance(&args, console),
        Command::Import(ImportCommand::Hf { file, output }) => {
            import::hugging_face(&file, output.as_deref(), console)
        }
        Command::Import(ImportCommand::Megatron(args)) => import::megatron(&args, console),
        Command::Import(ImportCommand::Trace(args)) => traces::import(&args, TraceKind::Any, console),
        Command::Import(ImportCommand::Kineto(args)) => traces::import(&args, TraceKind::Kineto, console),
        Command::Import(ImportCommand::Chrome(args)) => traces::import(&args, TraceKind::Chrome, console),
        Command::Import(ImportCommand::StragglerParquet(args)) => {
            traces::import(&args, TraceKind::StragglerParquet, console)
        }
        Command::Import(ImportCommand::NsysSqlite(args)) => {
            traces::import(&args, TraceKind::NsysSqlite, console)
        }
        Command::Import(ImportCommand::NcclInspector(args)) => {
            traces::import(&args, TraceKind::NcclInspector, console)
        }
        Command::Import(ImportCommand::Routing(args)) => routing::routing(&args, console),
        Command::Baseline(BaselineCommand::Save(args)) => {
            baseline::save(&args.run, args.baseline.as_deref(), console)
        }
        Command::Baseline(BaselineCommand::Update(args)) => {
            baseline::update(&args.run, args.baseline.as_deref(), console)
        }
        Command::Baseline(BaselineCommand::Show { file, format }) => {
            baseline::show(&file, format.format, console)
        }
        Command::Report(args) => report::report(&args, console),
        Command::Replay(args) => traces::replay(&args, console),
        Command::Compare(args) => compare::compare(&args, console),
        Command::Export(args) => export::export(&args.run, args.to, args.output.as_deref(), console),
        Command::Metrics(args) => list::metrics(args.kind.as_deref(), args.format.format, console),
        Command::Sweep(args) => sweep::sweep(&args, console),
        Command::Validate(args) => validate::validate(&args, console),
        Command::Fit(args) => fit::fit(&args, console),
        Command::Collective(args) => collective::collective(&args, console),
        Command::Schema => list::schema(console),
        Command::Explain(args) => explain::explain(&args, console),
        Command::Completions { shell } => list::completions(shell, console),
    }
}

fn parse_set(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
        _ => Err("write KEY=VALUE, such as `parallel.pp=8`".to_owned()),
    }
}
