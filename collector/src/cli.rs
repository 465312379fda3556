//! The command line: `serve`, `once`, `record`, `fleet`, `query`, `check`, `doctor`, `service`.

mod calibrate;
mod check;
mod collective;
mod fleet;
mod history;
mod judging;
mod record;
mod service;
mod serving;

use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use self::calibrate::{CalibrateArguments, WorkerArguments};
use self::check::{CheckArguments, check};
use self::collective::CollectiveArguments;
use self::fleet::{FleetArguments, QueryArguments, fleet, query};
use self::history::HistoryArguments;
use self::judging::JudgingArguments;
use self::record::{RecordArguments, record, recorded_interval};
use self::service::{ServiceArguments, service};
use self::serving::ServingArguments;
use crate::doctor::{Findings, try_listen};
use crate::settings::parse_interval;
use crate::{DEFAULT_LISTEN, Daemon, Serving, Settings, SourceKind, StartError, take_one};

/// How the command ended; the codes are those of `orrery`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It did what was asked.
    Success,
    /// Some of many collectors do not answer.
    SomeDead,
    /// What was looked at is not as it should be.
    Failed,
    /// A device is ill, or gives less than it did when it was calibrated.
    BelowProfile,
    /// The configuration cannot be used; nothing was run.
    Invalid,
    /// No source gave a sample, or the system refused what it takes to read one.
    DataMissing,
    /// Interrupted from the keyboard.
    Interrupted,
    /// Asked to terminate.
    Terminated,
}

impl Exit {
    /// The number that the shell sees.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::SomeDead | Self::Failed | Self::BelowProfile => 1,
            Self::Invalid => 2,
            Self::DataMissing => 3,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

/// Reads the devices of this machine and serves what it read.
#[derive(Debug, Parser)]
#[command(name = "orrery-collector", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Reads at a steady pace and serves `/metrics`, `/stream` and `/healthz` until it is stopped.
    ///
    /// `/metrics` is for Prometheus, `/metrics/dcgm` has the names of dcgm-exporter; `/stream` is one JSON object a
    /// line, live, for at most 64 readers at one time, or server-sent events; `/healthz` says how each source does,
    /// `/-/ready` whether the first cycle is over. It listens on loopback unless it is told otherwise; elsewhere
    /// clients need a token or a certificate, and without either nothing but `/healthz` answers. SIGTERM and SIGINT
    /// end it within seconds, with 143 and 130.
    Serve(Box<ServeArguments>),
    /// Reads every source once and prints one JSON object; ends with 3 if no source gave a sample.
    Once(SourceArguments),
    /// Reads at a steady pace into a file, which `--source replay --recording FILE` plays again.
    ///
    /// The file is Zstandard over lines of JSON. It can be read up to where it ends, whatever ended the recording.
    Record(RecordArguments),
    /// Asks many collectors at one time and prints a line for each; ends with 1 if some are dead, with 3 if all are.
    Fleet(FleetArguments),
    /// Asks a server that speaks the API of Prometheus for the history of a cluster, by PromQL.
    Query(QueryArguments),
    /// Says whether the devices of this node are fit for a job; ends with 1 if one is not.
    ///
    /// For Slurm's Prolog and HealthCheckProgram and for a node condition of Kubernetes: a line for each device, what
    /// is wrong, what to do, and a command to paste. It never drains anything itself. Ends with 3 where there is no
    /// profile, or no device to read.
    Check(CheckArguments),
    /// Says what is there, what is missing, why, and what to do; ends with 3 if no device can be read.
    Doctor(SourceArguments),
    /// Prints a hardened unit of systemd that runs `serve`, or puts it in place with `--install`.
    Service(ServiceArguments),
    /// Measures the network between hosts: latency, all-reduce, all-to-all. Started on each host; rank 0 prints.
    ///
    /// Bytes go over TCP on host memory, every result is checked, and a rank that ends or falls silent is named within
    /// the timeout, with 3.
    Collective(CollectiveArguments),
    /// Measures what a device does with MoE work and writes a profile for the simulator.
    ///
    /// Prints its plan first. CUDA runs in a worker process: a driver that hangs or crashes costs one measurement. What is
    /// measured is kept as it comes; an interrupted run goes on where it was. Ends with 3 where something could not be
    /// measured.
    Calibrate(CalibrateArguments),
    /// Answers orders of `calibrate` on standard input.
    #[command(hide = true)]
    BenchWorker(WorkerArguments),
}

#[derive(Debug, Args)]
struct ServeArguments {
    /// Where to listen; port 0 takes any free one.
    #[arg(long, default_value_t = DEFAULT_LISTEN, value_parser = parse_address)]
    listen: SocketAddr,
    #[command(flatten)]
    source: SourceArguments,
    #[command(flatten)]
    serving: ServingArguments,
    #[command(flatten)]
    history: HistoryArguments,
    /// Push metrics to this receiver of OTLP over HTTP, such as `http://127.0.0.1:4318`.
    #[cfg(feature = "otlp")]
    #[arg(long, value_name = "URL", help_heading = "Push")]
    otlp: Option<String>,
    /// Time between two pushes.
    #[cfg(feature = "otlp")]
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_interval, help_heading = "Push")]
    otlp_interval: Duration,
    #[command(flatten)]
    judging: JudgingArguments,
}

#[derive(Debug, Args)]
struct SourceArguments {
    /// Sources to read; may be given several times. Without it `nvml`, and where a daemon runs the machine itself.
    #[arg(long, value_enum, value_delimiter = ',')]
    source: Vec<SourceKind>,
    /// Time between two samples, 100 ms to 1 h: 1 s, or for a recording that is played the time it was recorded at.
    #[arg(long, value_parser = parse_interval)]
    interval: Option<Duration>,
    /// The driver's library, where it is not the system's.
    #[arg(long, env = "ORRERY_NVML_LIBRARY")]
    nvml_library: Option<PathBuf>,
    /// The recording that `--source replay` plays, as `record` makes it.
    #[arg(long, value_name = "FILE")]
    recording: Option<PathBuf>,
    /// Where a dcgm-exporter answers, for the source `dcgm`; <http://127.0.0.1:9400/metrics> without it.
    #[arg(long, value_name = "URL")]
    dcgm_url: Option<String>,
    /// The folder into which NCCL's inspector plugin writes (`NCCL_INSPECTOR_DUMP_DIR`), for the source `nccl`.
    #[arg(long, value_name = "DIR")]
    nccl_inspector: Option<PathBuf>,
}

impl SourceArguments {
    /// The settings, with `otherwise` for sources where none is named.
    fn settings(self, otherwise: &[SourceKind]) -> Settings {
        Settings {
            sources: if self.source.is_empty() {
                otherwise.to_vec()
            } else {
                self.source
            },
            interval: self
                .interval
                .or_else(|| recorded_interval(self.recording.as_deref()?))
                .unwrap_or_else(|| Settings::default().interval),
            nvml_library: self.nvml_library,
            recording: self.recording,
            dcgm_url: self.dcgm_url,
            nccl_inspector: self.nccl_inspector,
            ..Settings::default()
        }
    }
}

/// Runs the command.
///
/// # Errors
/// When its output cannot be written or the system refuses a thread; a configuration that cannot be used is
/// an [`Exit`].
pub fn execute(cli: Cli) -> anyhow::Result<Exit> {
    match cli.command {
        Command::Serve(arguments) => {
            let settings = Settings {
                listen: arguments.listen,
                allow_remote: arguments.serving.allow_remote,
                serving: arguments.serving.serving(),
                data_dir: arguments.history.folder(),
                store: arguments.history.settings(),
                #[cfg(feature = "otlp")]
                otlp: arguments.otlp.map(|endpoint| crate::Otlp {
                    endpoint,
                    interval: arguments.otlp_interval,
                }),
                judging: arguments.judging.judging(),
                ..arguments.source.settings(&[SourceKind::Nvml, SourceKind::Host])
            };
            serve(&settings)
        }
        Command::Once(arguments) => once(&arguments.settings(&[SourceKind::Nvml])),
        Command::Record(arguments) => record(arguments),
        Command::Fleet(arguments) => fleet(&arguments),
        Command::Query(arguments) => query(&arguments),
        Command::Check(arguments) => check(arguments),
        Command::Doctor(arguments) => doctor(arguments.settings(&[SourceKind::Nvml])),
        Command::Service(arguments) => service(&arguments),
        Command::Collective(arguments) => collective::collective(arguments),
        Command::Calibrate(arguments) => calibrate::calibrate(arguments),
        Command::BenchWorker(arguments) => calibrate::bench_worker(arguments),
    }
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let words = |fault| format!("{fault}\nuse an IP address with a port, such as `{DEFAULT_LISTEN}`");
    text.parse()
        .map_err(|fault: std::net::AddrParseError| words(fault))
}

fn invalid(fault: &dyn std::error::Error) -> anyhow::Result<Exit> {
    writeln!(io::stderr(), "orrery-collector: {fault}")?;
    Ok(Exit::Invalid)
}

fn serve(settings: &Settings) -> anyhow::Result<Exit> {
    log_to_stderr();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(StartError::Thread)?;
    runtime.block_on(async {
        // Before the start, so that no signal is missed.
        let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::Thread)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(StartError::Thread)?;
        let daemon = match Daemon::start(settings) {
            Ok(daemon) => daemon,
            Err(
                fault @ (StartError::Settings(_)
                | StartError::Serving(_)
                | StartError::Judging(_)
                | StartError::Listen { .. }),
            ) => {
                return invalid(&fault);
            }
            Err(fault @ StartError::Thread(_)) => return Err(fault.into()),
        };
        announce(settings, &daemon)?;
        let exit = tokio::select! {
            _received = interrupt.recv() => Exit::Interrupted,
            _received = terminate.recv() => Exit::Terminated,
        };
        tracing::info!("stopping");
        drop(daemon);
        Ok(exit)
    })
}

/// Says where the daemon is heard, and by whom.
fn announce(settings: &Settings, daemon: &Daemon) -> io::Result<()> {
    let address = daemon.address();
    let Serving {
        token_file,
        client_ca,
        tls,
        ..
    } = &settings.serving;
    if !address.ip().is_loopback() {
        if token_file.is_none() && client_ca.is_none() {
            tracing::warn!(
                "`{address}` can be reached from other machines, and clients have nothing to show: /healthz alone \
                 is answered"
            );
        } else if tls.is_none() {
            tracing::warn!(
                "`{address}` can be reached from other machines, and nothing is encrypted: whoever listens on the \
                 way reads the token; add `--tls`"
            );
        }
    }
    if let Some(fingerprint) = daemon.fingerprint() {
        writeln!(
            io::stderr(),
            "orrery-collector: certificate SHA-256 {fingerprint}"
        )?;
    }
    let scheme = if tls.is_some() { "https" } else { "http" };
    writeln!(io::stderr(), "orrery-collector: {scheme}://{address}/metrics")
}

/// The log goes to standard error, from `info` up unless `RUST_LOG` says otherwise.
fn log_to_stderr() {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .from_env_lossy();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        // Nobody may be there to read it; that is no reason to stop.
        .log_internal_errors(false);
    if let Err(fault) = log.try_init() {
        // Whoever set up a log before keeps it.
        tracing::debug!("{fault}");
    }
}

fn once(settings: &Settings) -> anyhow::Result<Exit> {
    if let Err(fault) = settings.check() {
        return invalid(&fault);
    }
    let (statuses, samples) = take_one(settings);
    let out = json!({ "schema": "once/1", "sources": statuses, "samples": samples });
    writeln!(io::stdout(), "{out}")?;
    if samples.is_empty() {
        writeln!(
            io::stderr(),
            "orrery-collector: no source gave a sample\n`orrery-collector doctor` says what to do"
        )?;
        return Ok(Exit::DataMissing);
    }
    Ok(Exit::Success)
}

fn doctor(mut settings: Settings) -> anyhow::Result<Exit> {
    if let Err(fault) = settings.check() {
        return invalid(&fault);
    }
    for kind in [SourceKind::Host, SourceKind::Demo] {
        if !settings.sources.contains(&kind) {
            settings.sources.push(kind);
        }
    }
    let (statuses, samples) = take_one(&settings);
    let findings = Findings {
        statuses,
        samples,
        listen: try_listen(DEFAULT_LISTEN),
    };
    write!(io::stdout(), "{}", findings.text())?;
    let worker = WorkerArguments::from_environment().command()?;
    write!(io::stdout(), "{}", crate::doctor_cuda::text(worker))?;
    Ok(if findings.has_devices() {
        Exit::Success
    } else {
        Exit::DataMissing
    })
}
