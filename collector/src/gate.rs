//! The gate: are the devices of this node fit for a job, within a budget of seconds?
//!
//! For Slurm's Prolog and HealthCheckProgram and for a node condition of Kubernetes. It reads counters and states,
//! has a [`Bench`] measure what there is time for, and holds both against the rules, the other devices of the node and
//! the profile. It never drains anything: it says what an operator, or a script of theirs, would paste.

mod bench;
mod loopback;
mod report;
mod worker;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use orrery_profile::Profile;
use orrery_telemetry::judge::{Alert, Figure, Frame, Hysteresis, Judge, Rule, Rules, Severity, Subject, Xid};
use orrery_telemetry::{DeviceSample, RecoveryAction, Sample, SourceStatus};
use orrery_units::SimDuration;

pub(crate) use self::bench::line_rate;
pub use self::bench::{Bench, NotMeasured, Probe, Rate, port_reference, reference};
pub use self::loopback::Loopback;
pub(crate) use self::loopback::MESSAGE;
pub use self::report::{DeviceReport, Measured, Report};
pub use self::worker::WorkerBench;
use crate::board::wall_clock;
use crate::source::node_name;
use crate::{Daemon, Settings, StartError};

/// The share of the budget in which counters are watched; the rest is for measuring.
const WATCHED: u32 = 5;
/// Counters are watched for no longer than this: what is wrong for good shows at once.
const LONGEST_WATCH: Duration = Duration::from_secs(8);
/// Frames that must say so of what lasts; a clock that changes is read low once.
const FRAMES: u32 = 3;
/// Between two looks at the board.
const LOOK: Duration = Duration::from_millis(20);

/// What is asked of the gate.
#[derive(Debug)]
pub struct Gate<'a> {
    /// How the devices are read.
    pub settings: &'a Settings,
    /// What their model gave when it was calibrated; without it nothing is measured.
    pub profile: Option<&'a Profile>,
    /// The rules.
    pub rules: Rules,
    /// How long it may take.
    pub budget: Duration,
}

/// What was seen while counters were watched.
#[derive(Debug, Default)]
struct Watched {
    samples: Vec<Arc<Sample>>,
    statuses: Vec<SourceStatus>,
    alerts: BTreeMap<(Rule, Subject), Alert>,
}

impl Gate<'_> {
    /// Looks, measures and judges.
    ///
    /// # Errors
    /// When the settings cannot be used or there is no thread to read on.
    pub fn check(self, bench: &mut dyn Bench) -> Result<Report, StartError> {
        let end = Instant::now() + self.budget;
        let daemon = Daemon::start_without_server(self.settings)?;
        let mut judge = Judge::new(at_once(self.rules.clone()));
        let mut watched = Watched::default();
        let watch = (self.budget / WATCHED)
            .min(LONGEST_WATCH)
            .max(4 * self.settings.interval);
        let until = (Instant::now() + watch).min(end);
        while !daemon.board().is_ready() && Instant::now() < end {
            thread::sleep(LOOK);
        }
        self.watch(&daemon, &mut judge, &mut watched, until);
        let figures = self.measure(bench, &watched, end);
        watched.hear(&mut judge, &figures);
        drop(daemon);
        Ok(report::of(watched, figures, self.profile))
    }

    /// Hears every new sample until the time is over.
    fn watch(&self, daemon: &Daemon, judge: &mut Judge, watched: &mut Watched, until: Instant) {
        let mut last = Vec::new();
        let mut num_frames = 0;
        // What lasts needs its frames, however the time runs.
        while Instant::now() < until || num_frames == 0 {
            let snapshot = daemon.board().snapshot();
            let now: Vec<(String, u64)> = snapshot
                .samples
                .iter()
                .map(|sample| (sample.source.clone(), sample.sequence))
                .collect();
            if now != last || (now.is_empty() && num_frames == 0) {
                last = now;
                num_frames += 1;
                watched.samples = snapshot.samples;
                watched.statuses = snapshot.statuses;
                watched.hear(judge, &BTreeMap::new());
            }
            thread::sleep(LOOK);
        }
    }

    /// Measures what there is time for, each probe on all devices at once: they share power and links in jobs too.
    fn measure(
        &self,
        bench: &mut dyn Bench,
        watched: &Watched,
        end: Instant,
    ) -> BTreeMap<String, Vec<Measured>> {
        let mut figures: BTreeMap<String, Vec<Measured>> = BTreeMap::new();
        let Some(profile) = self.profile else {
            return figures;
        };
        let devices: Vec<&DeviceSample> = watched.devices().collect();
        for (probe, left) in Probe::ALL.into_iter().zip((1..=Probe::ALL.len()).rev()) {
            let left = u32::try_from(left).expect("there are a few probes");
            let time = end.saturating_duration_since(Instant::now()) / left;
            let rates = if time.is_zero() {
                let over = NotMeasured::new("the budget is used up; a larger `--budget` helps");
                vec![Err(over); devices.len()]
            } else {
                bench.measure(&devices, probe, time)
            };
            for (device, rate) in devices.iter().zip(rates) {
                let figure = rate.map(|rate| Figure {
                    name: probe.name().to_owned(),
                    rate: rate.value,
                    profile: match &rate.through {
                        Some(port) => port_reference(profile, port),
                        None => reference(profile, probe),
                    },
                    through: rate.through,
                    unit: probe.unit().to_owned(),
                });
                figures
                    .entry(device.identity.uuid.clone())
                    .or_default()
                    .push(Measured { probe, figure });
            }
        }
        figures
    }
}

/// The rules, with what they say told at once: the gate has seconds, not minutes.
fn at_once(mut rules: Rules) -> Rules {
    for rule in Rule::ALL {
        let usual = rules.hysteresis_of(rule);
        rules.hysteresis.insert(
            rule,
            Hysteresis {
                raise_after: usual.raise_after.min(FRAMES),
                raise_over: SimDuration::ZERO,
                ..usual
            },
        );
    }
    // What was measured is heard in one frame.
    for rule in [Rule::BelowProfile, Rule::SlowDevice] {
        let usual = rules.hysteresis_of(rule);
        rules.hysteresis.insert(
            rule,
            Hysteresis {
                raise_after: 1,
                ..usual
            },
        );
    }
    rules
}

impl Watched {
    fn devices(&self) -> impl Iterator<Item = &DeviceSample> {
        self.samples.iter().flat_map(|sample| &sample.devices)
    }

    /// Has the judge hear what is known now, with what was measured, and keeps what it says.
    fn hear(&mut self, judge: &mut Judge, figures: &BTreeMap<String, Vec<Measured>>) {
        let mut frame = Frame::of(wall_clock(), &self.samples, &self.statuses);
        for device in &mut frame.devices {
            let of_device = figures.get(&device.identity.uuid).into_iter().flatten();
            device.figures = of_device
                .filter_map(|measured| measured.figure.clone().ok())
                .collect();
        }
        for alert in judge.hear(&frame) {
            // What was seen counts, whether or not it is over.
            self.alerts.insert((alert.rule, alert.subject.clone()), alert);
        }
    }
}

/// What a device's counters say of the time before the gate looked: they count since the driver was loaded.
fn since_the_driver_was_loaded(device: &DeviceSample) -> Vec<(Severity, String, String)> {
    let mut found = Vec::new();
    let reset = "drain the node and reset the device (`nvidia-smi --gpu-reset`)".to_owned();
    if let Some(&errors) = device.ecc.uncorrected_volatile.value()
        && errors > 0
    {
        let what = format!("{errors} uncorrected memory errors since the driver was loaded");
        found.push((Severity::Critical, what, reset.clone()));
    }
    if let Some(&action) = device.recovery.value()
        && action != RecoveryAction::None
    {
        let what = format!("the driver asks for {}", action.name());
        found.push((Severity::Critical, what, reset));
    }
    for xid in device.xids.value().into_iter().flat_map(|xids| &xids.counts) {
        let known = Xid::of(u32::try_from(xid.code).unwrap_or(u32::MAX));
        let severity = if known.class.is_application() {
            Severity::Info
        } else {
            Severity::Critical
        };
        found.push((
            severity,
            format!("Xid {}: {}", xid.code, known.what),
            known.class.action().to_owned(),
        ));
    }
    found
}

/// The node that was checked: that of its devices, else this machine.
fn node_of(samples: &[Arc<Sample>]) -> String {
    let mut devices = samples.iter().flat_map(|sample| &sample.devices);
    devices
        .next()
        .map_or_else(node_name, |device| device.identity.node.clone())
}
