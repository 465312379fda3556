//! `calibrate`, and the worker that it starts.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use orrery_kernels::compile::Search;
use orrery_units::{Dimension, parse_quantity};

use super::{Exit, SourceArguments, invalid};
use crate::SourceKind;
use crate::calibrate::worker::{self, Places};
use crate::calibrate::{CalibrateError, Calibration, Plan, calibrate as measure, today};
use crate::collective::tell;
use crate::gate::Loopback;
use crate::source::node_name;

#[derive(Debug, Args)]
pub(super) struct CalibrateArguments {
    /// Prints what would run, how long and in how much memory, and ends; needs no device.
    #[arg(long)]
    dry_run: bool,
    /// Which device, as the driver counts.
    #[arg(long, default_value_t = 0)]
    device: usize,
    /// Devices of this node that collectives run among, from `--device` on; none run without it.
    #[arg(long, default_value_t = 1)]
    ranks: usize,
    /// Measurements whose names hold this; may be given several times.
    #[arg(long, value_name = "PART")]
    only: Vec<String>,
    /// Share of the time in which the device is busy, above 0 and at most 1.
    #[arg(long, default_value_t = 0.5, value_parser = parse_duty)]
    duty: f64,
    /// Where the profile goes.
    #[arg(long, default_value = "calibrated.profile.json")]
    out: PathBuf,
    /// Forgets what an interrupted run has measured.
    #[arg(long)]
    fresh: bool,
    /// Longest that the worker may take to start, and beyond the plan for one measurement.
    #[arg(long, default_value = "60s", value_parser = parse_span)]
    patience: Duration,
    /// Has perftest write to the RDMA port beside the device as well, as `check` does, so that `check` knows what such a port
    /// carries. It meets itself over a TCP port that is open for as long as it runs.
    #[arg(long)]
    port: bool,
    /// The program of perftest that does it.
    #[arg(
        long,
        value_name = "PROGRAM",
        default_value = "ib_write_bw",
        requires = "port"
    )]
    ib_write_bw: PathBuf,
    /// Measures although somebody uses the device; what is measured then is marked.
    #[arg(long)]
    even_in_use: bool,
    #[command(flatten)]
    worker: WorkerArguments,
    #[command(flatten)]
    source: SourceArguments,
}

#[derive(Debug, Args)]
pub(super) struct WorkerArguments {
    /// NVRTC: the library, or its folder; else wheels and the system are searched.
    #[arg(long, env = "ORRERY_NVRTC")]
    nvrtc: Option<PathBuf>,
    /// Where compiled kernels are kept.
    #[arg(long, env = "ORRERY_KERNEL_CACHE", value_name = "DIR")]
    kernel_cache: Option<PathBuf>,
}

fn parse_duty(text: &str) -> Result<f64, String> {
    let duty: f64 = text.parse().map_err(|fault| format!("{fault}"))?;
    if duty > 0.0 && duty <= 1.0 {
        Ok(duty)
    } else {
        Err("it is not above 0 and at most 1".to_owned())
    }
}

fn parse_span(text: &str) -> Result<Duration, String> {
    let quantity = parse_quantity(text, Dimension::Time).map_err(|fault| fault.to_string())?;
    Duration::try_from_secs_f64(quantity.value).map_err(|fault| format!("`{text}`: {fault}"))
}

impl WorkerArguments {
    /// What the environment says, where the command line says nothing.
    pub(super) fn from_environment() -> Self {
        let path = |name: &str| std::env::var_os(name).map(PathBuf::from);
        Self {
            nvrtc: path("ORRERY_NVRTC"),
            kernel_cache: path("ORRERY_KERNEL_CACHE"),
        }
    }

    pub(super) fn places(self) -> Places {
        Places {
            search: Search {
                given: self.nvrtc,
                wheel_roots: wheel_roots(),
                system: true,
            },
            cache: self.kernel_cache.unwrap_or_else(|| {
                let home = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
                let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
                home.unwrap_or_else(std::env::temp_dir).join("orrery/kernels")
            }),
        }
    }

    /// How a worker with these arguments is started: this very program.
    pub(super) fn command(&self) -> io::Result<Vec<String>> {
        let program = std::env::current_exe()?;
        let mut command = vec![program.to_string_lossy().into_owned(), "bench-worker".to_owned()];
        for (name, value) in [("--nvrtc", &self.nvrtc), ("--kernel-cache", &self.kernel_cache)] {
            if let Some(value) = value {
                command.extend([name.to_owned(), value.to_string_lossy().into_owned()]);
            }
        }
        Ok(command)
    }
}

/// `site-packages` of the virtual environment that is active, where wheels of NVRTC are.
fn wheel_roots() -> Vec<PathBuf> {
    let Some(environment) = std::env::var_os("VIRTUAL_ENV").map(PathBuf::from) else {
        return Vec::new();
    };
    let versions = std::fs::read_dir(environment.join("lib")).into_iter().flatten();
    versions
        .filter_map(|entry| Some(entry.ok()?.path().join("site-packages")))
        .collect()
}

/// Prints the plan, then measures it.
pub(super) fn calibrate(arguments: CalibrateArguments) -> anyhow::Result<Exit> {
    let plan = Plan::standard(arguments.duty)
        .among(arguments.device, arguments.ranks)
        .only(&arguments.only);
    let mut out = io::stdout().lock();
    if plan.entries.is_empty() {
        tell(
            "no measurement has a name that holds what `--only` says\n  = help: `--dry-run` without it lists all names",
        );
        return Ok(Exit::Invalid);
    }
    write!(out, "{}", plan.text())?;
    out.flush()?;
    if arguments.dry_run {
        return Ok(Exit::Success);
    }
    let watch = arguments.source.settings(&[SourceKind::Nvml]);
    if let Err(fault) = watch.check() {
        return invalid(&fault);
    }
    let calibration = Calibration {
        device: arguments.device,
        plan,
        out: arguments.out,
        fresh: arguments.fresh,
        worker: arguments.worker.command()?,
        patience: arguments.patience,
        watch: Some(watch),
        ports: arguments
            .port
            .then(|| Loopback::new("/sys".into(), arguments.ib_write_bw)),
        even_in_use: arguments.even_in_use,
        measured_by: node_name(),
        date: today(),
    };
    let outcome = match measure(&calibration, &mut tell) {
        Ok(outcome) => outcome,
        Err(fault) => {
            tell(&fault.to_string());
            return Ok(match fault {
                CalibrateError::Part(_) | CalibrateError::InUse(_) => Exit::Invalid,
                CalibrateError::Worker(_) | CalibrateError::Write { .. } => Exit::DataMissing,
            });
        }
    };
    writeln!(
        out,
        "{} measured, {} from an earlier run, {} failed",
        outcome.measured,
        outcome.resumed,
        outcome.failed.len()
    )?;
    for (id, reason) in &outcome.failed {
        writeln!(out, "failed: {id}: {reason}")?;
    }
    for (id, taints) in &outcome.tainted {
        writeln!(out, "left out of the profile: {id}{taints}")?;
    }
    if outcome.written {
        writeln!(out, "profile: {}", calibration.out.display())?;
    }
    Ok(if outcome.failed.is_empty() {
        Exit::Success
    } else {
        Exit::DataMissing
    })
}

/// Answers orders on standard input; started by `calibrate` and `doctor`.
pub(super) fn bench_worker(arguments: WorkerArguments) -> anyhow::Result<Exit> {
    worker::serve(&arguments.places())?;
    Ok(Exit::Success)
}
