//! The command line: `serve`, `once`, `doctor`.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::settings::parse_interval;
use crate::{DEFAULT_LISTEN, Daemon, Settings, SourceKind, StartError, take_one};

/// How the command ended; the codes are those of `orrery`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It did what was asked.
    Success,
    /// The configuration cannot be used; nothing was run.
    Invalid,
    /// No source gave a sample.
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
    Serve(ServeArguments),
    /// Reads every source once and prints one JSON object.
    Once(SourceArguments),
    /// Says what is there, what is missing and why.
    Doctor(SourceArguments),
}

#[derive(Debug, Args)]
struct ServeArguments {
    /// Where to listen; port 0 takes any free one.
    #[arg(long, default_value_t = DEFAULT_LISTEN)]
    listen: SocketAddr,
    /// Listen where other machines can reach it; the collector asks nobody who they are.
    #[arg(long)]
    allow_remote: bool,
    #[command(flatten)]
    source: SourceArguments,
}

#[derive(Debug, Args)]
struct SourceArguments {
    /// Sources to read; may be given several times.
    #[arg(long, value_enum, default_value = "nvml", value_delimiter = ',')]
    source: Vec<SourceKind>,
    /// Time between two samples, 100 ms to 1 h.
    #[arg(long, default_value = "1s", value_parser = parse_interval)]
    interval: Duration,
    /// The driver's library, where it is not the system's.
    #[arg(long, env = "ORRERY_NVML_LIBRARY")]
    nvml_library: Option<PathBuf>,
}

impl SourceArguments {
    fn settings(self) -> Settings {
        Settings {
            sources: self.source,
            interval: self.interval,
            nvml_library: self.nvml_library,
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
                allow_remote: arguments.allow_remote,
                ..arguments.source.settings()
            };
            serve(&settings)
        }
        Command::Once(arguments) => once(&arguments.settings()),
        Command::Doctor(arguments) => doctor(arguments.settings()),
    }
}

fn invalid(fault: &dyn std::error::Error) -> anyhow::Result<Exit> {
    writeln!(io::stderr(), "orrery-collector: {fault}")?;
    Ok(Exit::Invalid)
}

fn serve(settings: &Settings) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        // Before the start, so that no signal is missed.
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let daemon = match Daemon::start(settings) {
            Ok(daemon) => daemon,
            Err(fault @ (StartError::Settings(_) | StartError::Listen { .. })) => return invalid(&fault),
            Err(fault @ StartError::Thread(_)) => return Err(fault.into()),
        };
        writeln!(
            io::stderr(),
            "orrery-collector: http://{}/metrics",
            daemon.address()
        )?;
        let exit = tokio::select! {
            _received = interrupt.recv() => Exit::Interrupted,
            _received = terminate.recv() => Exit::Terminated,
        };
        drop(daemon);
        Ok(exit)
    })
}

fn once(settings: &Settings) -> anyhow::Result<Exit> {
    if let Err(fault) = settings.check() {
        return invalid(&fault);
    }
    let (statuses, samples) = take_one(settings);
    let exit = if samples.is_empty() {
        Exit::DataMissing
    } else {
        Exit::Success
    };
    let out = json!({ "schema": "once/1", "sources": statuses, "samples": samples });
    writeln!(io::stdout(), "{out}")?;
    Ok(exit)
}

fn doctor(mut settings: Settings) -> anyhow::Result<Exit> {
    if let Err(fault) = settings.check() {
        return invalid(&fault);
    }
    if !settings.sources.contains(&SourceKind::Demo) {
        settings.sources.push(SourceKind::Demo);
    }
    let (statuses, samples) = take_one(&settings);
    let mut out = io::stdout().lock();
    for status in statuses {
        let devices = samples.iter().filter(|sample| sample.source == status.name);
        let num_devices: usize = devices.map(|sample| sample.devices.len()).sum();
        if status.is_up() {
            let mark = format!("{:?}", status.state).to_uppercase();
            writeln!(out, "{:<6} {mark}: {num_devices} devices", status.name)?;
        } else {
            writeln!(out, "{:<6} absent: {}", status.name, status.reason)?;
        }
    }
    for device in samples.iter().flat_map(|sample| &sample.devices) {
        if device.is_lost() {
            let identity = &device.identity;
            writeln!(out, "{} device {}: lost", identity.node, identity.index)?;
        }
    }
    Ok(Exit::Success)
}
