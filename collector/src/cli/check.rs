//! `check`: the gate for Slurm's Prolog, its HealthCheckProgram, and a node condition of Kubernetes.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::calibrate::WorkerArguments;
use super::record::parse_time;
use super::{Exit, SourceArguments, invalid};
use crate::gate::{Gate, Loopback, WorkerBench};
use crate::judging::{JudgingError, read_profile};
use crate::{Judging, SourceKind, StartError};

#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    /// What this model of device gave when it was calibrated.
    #[arg(long, value_name = "FILE", required_unless_present = "counters_only")]
    profile: Option<PathBuf>,
    /// Look at counters and states alone, and measure nothing.
    #[arg(long, conflicts_with = "profile")]
    counters_only: bool,
    /// How long it may take; Slurm ends a prolog that takes longer than its `PrologEpilogTimeout`.
    #[arg(long, value_name = "TIME", default_value = "45s", value_parser = parse_time)]
    budget: Duration,
    /// Thresholds and what is off, as TOML.
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// The program of perftest that writes to the node's own RDMA ports. It meets itself over a TCP port that is open for
    /// as long as it runs.
    #[arg(long, value_name = "PROGRAM", default_value = "ib_write_bw")]
    ib_write_bw: PathBuf,
    /// Judge RDMA ports by their states and counters alone.
    #[arg(long, conflicts_with = "ib_write_bw")]
    without_ports: bool,
    /// For people, or JSON with a node condition.
    #[arg(long, value_enum, default_value_t)]
    format: CheckFormat,
    #[command(flatten)]
    worker: WorkerArguments,
    #[command(flatten)]
    source: SourceArguments,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum CheckFormat {
    /// A line for each device, what to do, and a command to paste.
    #[default]
    Human,
    /// One JSON object (`check/1`).
    Json,
}

pub(super) fn check(arguments: CheckArguments) -> anyhow::Result<Exit> {
    let settings = arguments.source.settings(&[SourceKind::Nvml, SourceKind::Host]);
    if let Err(fault) = settings.check() {
        return invalid(&fault);
    }
    let judging = Judging {
        rules: arguments.rules,
        ..Judging::default()
    };
    let rules = match judging.prepare() {
        Ok(prepared) => prepared.rules,
        Err(fault) => return invalid(&fault),
    };
    let profile = match arguments.profile.as_deref().map(read_profile).transpose() {
        Ok(profile) => profile,
        Err(fault @ JudgingError::Unreadable { .. }) => {
            writeln!(
                io::stderr(),
                "orrery-collector: no profile: {fault}\nmake one with `orrery-collector calibrate`, or look at counters \
                 alone with `--counters-only`"
            )?;
            return Ok(Exit::DataMissing);
        }
        Err(fault) => return invalid(&fault),
    };
    let gate = Gate {
        settings: &settings,
        profile: profile.as_ref(),
        rules,
        budget: arguments.budget,
    };
    let mut bench = WorkerBench::new(arguments.worker.command()?);
    if !arguments.without_ports {
        bench = bench.with_ports(Loopback::new("/sys".into(), arguments.ib_write_bw));
    }
    let report = match gate.check(&mut bench) {
        Ok(report) => report,
        Err(fault @ StartError::Thread(_)) => return Err(fault.into()),
        Err(fault) => return invalid(&fault),
    };
    match arguments.format {
        CheckFormat::Human => write!(io::stdout(), "{}", report.text())?,
        CheckFormat::Json => writeln!(io::stdout(), "{}", report.json())?,
    }
    Ok(match report.is_healthy() {
        Some(true) => Exit::Success,
        Some(false) => Exit::BelowProfile,
        None => Exit::DataMissing,
    })
}
