//! `calibrate`: measures what a device does with MoE work, and writes a profile.
//!
//! A plan says beforehand what runs, how long and in how much memory. CUDA runs in a worker, a child of this process: one
//! that panics, crashes or hangs costs one measurement, is replaced, and is named. Every result is kept as it comes, so
//! that an interrupted run goes on where it was.

mod collectives;
mod contention;
mod day;
mod exchange;
mod launching;
mod links;
mod part;
mod plan;
mod profile;
mod protocol;
mod ranks;
mod spec;
mod supervisor;
mod watch;
pub mod worker;

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub use day::today;
pub(crate) use exchange::{Crew, measure as measure_exchange};
pub use plan::{Entry, Plan};
pub use profile::profile_of;
pub use protocol::{Answer, Order};
pub use spec::{DeviceSpec, spec_of};
pub use supervisor::{Supervisor, WorkerFault};

use links::port_link;
use orrery_kernels::device::{DeviceFacts, Measurement};
use orrery_kernels::measure::Subject;
use part::{Part, PartFault};
use profile::provenance;
use ranks::Ranks;
use watch::Watch;

use crate::Settings;
use crate::gate::Loopback;

/// How to calibrate.
#[derive(Clone, Debug)]
pub struct Calibration {
    /// Which device, as the driver counts.
    pub device: usize,
    /// What runs.
    pub plan: Plan,
    /// Where the profile goes; what is measured so far lies beside it.
    pub out: PathBuf,
    /// Forgets what an earlier run has measured.
    pub fresh: bool,
    /// How the worker is started.
    pub worker: Vec<String>,
    /// Longest that a worker may take to start, and beyond what the plan says for one measurement.
    pub patience: Duration,
    /// How the device's counters are read beside; nothing is watched without.
    pub watch: Option<Settings>,
    /// How the port beside the device is written to; none is without.
    pub ports: Option<Loopback>,
    /// Measures although somebody uses the device.
    pub even_in_use: bool,
    /// Who measures, for the profile: a name of this machine.
    pub measured_by: String,
    /// The day, ISO 8601, for the profile.
    pub date: String,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Measured now.
    pub measured: usize,
    /// Measured by an earlier run.
    pub resumed: usize,
    /// Names of what could not be measured, with the reason.
    pub failed: Vec<(String, String)>,
    /// Names of what was measured while something else went on, with what: the profile does not rest on those.
    pub tainted: Vec<(String, String)>,
    /// Whether a profile was written.
    pub written: bool,
}

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
pub enum CalibrateError {
    /// The worker does not start, or sees no device.
    #[error("{0}\n  = help: `orrery-collector doctor` says what is missing and how to get it")]
    Worker(String),
    /// Somebody uses the device.
    #[error(
        "{0}\n  = help: measure it when it is free; `--even-in-use` measures all the same, and marks what it measures"
    )]
    InUse(String),
    /// What an earlier run left does not fit.
    #[error("{0}")]
    Part(#[from] PartFault),
    /// The profile cannot be written.
    #[error("{path}: {source}")]
    Write {
        /// Where.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Who measures: a worker of the device alone, or one for each device of a collective. Never both.
struct Workers {
    alone: Supervisor,
    together: Ranks,
}

impl Workers {
    /// None runs yet.
    fn of(calibration: &Calibration) -> Self {
        let (command, patience) = (&calibration.worker, calibration.patience);
        Self {
            alone: Supervisor::new(command.clone(), patience),
            together: Ranks::new(command.clone(), patience, calibration.device),
        }
    }

    /// Ends all of them: none holds the device any more.
    fn let_go(&mut self) {
        self.alone.let_go();
        self.together.let_go();
    }
}

/// Measures what is left of the plan, one entry after the other, and writes the profile; `progress` hears a line for each.
///
/// # Errors
/// When no worker sees the device, the part of an earlier run is of another plan or device, or a file cannot be written.
/// What could not be measured is no error: the outcome names it.
pub fn calibrate(
    calibration: &Calibration,
    progress: &mut dyn FnMut(&str),
) -> Result<Outcome, CalibrateError> {
    let mut workers = Workers::of(calibration);
    let facts = look(calibration, &mut workers.alone)?;
    progress(&format!(
        "device {}: {}, {} units",
        calibration.device, facts.name, facts.num_units
    ));
    // A worker that has looked holds the device: it would be taken for its user.
    workers.alone.let_go();
    let watch = Watch::start(calibration.watch.as_ref(), &facts.uuid);
    match watch.user() {
        Some(user) if !calibration.even_in_use => return Err(CalibrateError::InUse(user)),
        Some(user) => progress(&user),
        None => {}
    }
    let mut part = Part::open(calibration, &facts)?;
    let mut outcome = Outcome::default();
    let total = calibration.plan.entries.len();
    for (number, entry) in (1..).zip(&calibration.plan.entries) {
        let id = entry.id();
        if part.has(&id) {
            outcome.resumed += 1;
            continue;
        }
        let begin = Instant::now();
        let before = watch.fresh();
        match measure(calibration, &mut workers, entry, &facts) {
            Ok(mut measured) => {
                measured.taints = watch.since(before.as_ref());
                let micros = measured.median().as_secs() * 1e6;
                let taints = names_of(&measured);
                progress(&format!("[{number}/{total}] {id}: {micros:.1} us{taints}"));
                part.keep(&id, &measured)?;
                outcome.measured += 1;
            }
            Err(reason) => {
                progress(&format!(
                    "[{number}/{total}] {id} could not be measured: {reason}"
                ));
                outcome.failed.push((id, reason));
            }
        }
        if number < total {
            std::thread::sleep(calibration.plan.pause_after(begin.elapsed()));
        }
    }
    if part.is_empty() {
        return Ok(outcome);
    }
    workers.let_go();
    write(calibration, &facts, &part, &watch, &mut outcome)?;
    if outcome.failed.is_empty() {
        part.finish(&calibration.out)?;
    }
    Ok(outcome)
}

/// Writes the profile of what was measured, with the port beside the device if that is asked for.
fn write(
    calibration: &Calibration,
    facts: &DeviceFacts,
    part: &Part,
    watch: &Watch,
    outcome: &mut Outcome,
) -> Result<(), CalibrateError> {
    let tainted = part.records().iter().filter(|(_, measured)| !measured.is_clean());
    outcome.tainted = tainted
        .map(|(id, measured)| (id.clone(), names_of(measured)))
        .collect();
    let mut profile = profile_of(calibration, facts, part.records());
    if let Some(ports) = &calibration.ports {
        let place = |hash: Option<&str>, note: &str| provenance(calibration, facts, hash, note);
        match port_link(ports, watch.fresh().as_ref(), &place) {
            Ok(link) => profile.links.push(link),
            Err(reason) => outcome.failed.push(("port".to_owned(), reason)),
        }
    }
    if let Some(reason) = watch.absence() {
        profile
            .notes
            .push(format!("The device was not watched meanwhile: {reason}."));
    }
    std::fs::write(&calibration.out, profile.to_json()).map_err(|source| CalibrateError::Write {
        path: calibration.out.display().to_string(),
        source,
    })?;
    outcome.written = true;
    Ok(())
}

/// What went on during a measurement, in brackets after a space, or nothing.
fn names_of(measured: &Measurement) -> String {
    if measured.taints.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = measured.taints.iter().map(|taint| taint.name()).collect();
    format!(" ({})", names.join(", "))
}

/// The facts of the device, by a worker that sees it.
fn look(calibration: &Calibration, supervisor: &mut Supervisor) -> Result<DeviceFacts, CalibrateError> {
    let order = Order::Look {
        device: calibration.device,
    };
    match supervisor.ask(&order, Duration::ZERO) {
        Ok(Answer::Facts(facts)) => Ok(facts),
        Ok(Answer::Fault(fault) | Answer::Wrong(fault)) => Err(CalibrateError::Worker(fault)),
        Ok(_) => Err(CalibrateError::Worker(OTHER.to_owned())),
        Err(fault) => Err(CalibrateError::Worker(fault.to_string())),
    }
}

/// A worker that speaks of something else is not of this version.
pub(crate) const OTHER: &str = "the worker answered something else";

/// One measurement, or why there is none.
fn measure(
    calibration: &Calibration,
    Workers { alone, together }: &mut Workers,
    entry: &Entry,
    facts: &DeviceFacts,
) -> Result<Measurement, String> {
    let (need, there) = (entry.memory(facts.cache_bytes), facts.memory_bytes);
    if need > there {
        return Err(format!(
            "it needs {need} bytes of device memory, and there are {there}"
        ));
    }
    if let Subject::Collective { op, bytes, ranks } = entry.subject {
        // It has its own worker for this device.
        alone.let_go();
        let ranks = usize::try_from(ranks).map_err(|fault| fault.to_string())?;
        return together.measure((op, bytes), ranks, &entry.sampling(), entry.longest());
    }
    together.let_go();
    let order = Order::Measure {
        device: calibration.device,
        subject: entry.subject.clone(),
        mode: entry.mode,
        sampling: entry.sampling(),
    };
    match alone.ask(&order, entry.longest()) {
        Ok(Answer::Measured(measured)) => Ok(*measured),
        Ok(Answer::Fault(reason) | Answer::Wrong(reason)) => Err(reason),
        Ok(_) => Err(OTHER.to_owned()),
        Err(fault) => Err(fault.to_string()),
    }
}

#[cfg(test)]
mod tests;
