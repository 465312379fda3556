//! The gate's own bench: a worker process for each device, all at work at once, none of them waited for beyond the budget.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use orrery_kernels::device::Sampling;
use orrery_kernels::measure::{Mode, Subject};
use orrery_kernels::statistics::StopRule;
use orrery_telemetry::DeviceSample;
use orrery_units::SimDuration;

use super::bench::{Bench, NotMeasured, Probe, Rate};
use super::loopback::Loopback;
use crate::calibrate::{Answer, OTHER, Order, Supervisor};
use crate::conditions::{driver_identity, in_use};

/// Share of a probe's time in which power and clocks settle, beside what a worker takes to start and to check.
const WARM_UP: f64 = 1.0 / 8.0;
/// Longest that they need.
const LONGEST_WARM_UP: f64 = 3.0;
/// Share of a probe's time in which samples are taken.
const SAMPLED: f64 = 1.0 / 4.0;
/// Longest that it takes until their median is known well enough for a gate.
const LONGEST_SAMPLED: f64 = 4.0;

/// Devices of the driver by their identity.
type Numbers = BTreeMap<String, usize>;

/// Measures through workers.
#[derive(Debug)]
pub struct WorkerBench {
    command: Vec<String>,
    /// Asked once: a driver that does not tell of its devices has none to measure.
    numbers: Option<Result<Numbers, NotMeasured>>,
    workers: BTreeMap<String, Supervisor>,
    ports: Option<Loopback>,
}

/// How long to sample where there is `budget` for all of it.
fn sampling(budget: Duration) -> Sampling {
    let seconds = budget.as_secs_f64();
    Sampling {
        rule: StopRule {
            cap: SimDuration::from_secs((SAMPLED * seconds).min(LONGEST_SAMPLED)),
            ..StopRule::default()
        },
        warm_up: SimDuration::from_secs((WARM_UP * seconds).min(LONGEST_WARM_UP)),
    }
}

impl WorkerBench {
    /// A bench of workers that `command` starts.
    #[must_use]
    pub const fn new(command: Vec<String>) -> Self {
        Self {
            command,
            numbers: None,
            workers: BTreeMap::new(),
            ports: None,
        }
    }

    /// The same, which measures ports too.
    #[must_use]
    pub fn with_ports(self, ports: Loopback) -> Self {
        Self {
            ports: Some(ports),
            ..self
        }
    }

    /// A worker that is waited for no longer than the asker says.
    fn worker(&self) -> Supervisor {
        Supervisor::new(self.command.clone(), Duration::ZERO)
    }

    fn numbers(&mut self, longest: Duration) -> Result<Numbers, NotMeasured> {
        let mut worker = self.worker();
        let known = self
            .numbers
            .get_or_insert_with(|| match worker.ask(&Order::Devices, longest) {
                Ok(Answer::Devices(found)) => Ok(found.into_iter().zip(0..).collect()),
                Ok(Answer::Fault(reason)) => Err(NotMeasured::new(&reason)),
                Ok(_) => Err(NotMeasured::new(OTHER)),
                Err(fault) => Err(NotMeasured::new(&fault.to_string())),
            });
        known.clone()
    }
}

/// What runs on each device, and its number; or why nothing does. Only devices that nobody uses are measured or copied to.
fn subjects(
    devices: &[&DeviceSample],
    probe: Probe,
    numbers: &Numbers,
) -> Vec<Result<(usize, Subject), NotMeasured>> {
    let free: Vec<Result<usize, NotMeasured>> = devices
        .iter()
        .map(|device| match in_use(device) {
            Some(user) => Err(NotMeasured::new(&user)),
            None => (numbers.get(&driver_identity(&device.identity.uuid)).copied()).ok_or_else(|| {
                NotMeasured::new("CUDA does not see this device; is CUDA_VISIBLE_DEVICES set?")
            }),
        })
        .collect();
    let order: Vec<usize> = free.iter().flatten().copied().collect();
    free.into_iter()
        .map(|number| {
            let number = number?;
            let place = order.iter().position(|&each| each == number).unwrap_or(0);
            let peer = order[(place + 1) % order.len()];
            let subject = probe.subject((peer != number).then_some(peer));
            subject
                .map(|subject| (number, subject))
                .ok_or_else(|| NotMeasured::new("no other device of this node is free"))
        })
        .collect()
}

fn ask(
    worker: &mut Supervisor,
    device: usize,
    subject: Subject,
    probe: Probe,
    budget: Duration,
) -> Result<Rate, NotMeasured> {
    let order = Order::Measure {
        device,
        subject: subject.clone(),
        mode: Mode::Sustained,
        sampling: sampling(budget),
    };
    match worker.ask(&order, budget) {
        Ok(Answer::Measured(measured)) => Ok(probe.rate(&subject, measured.median()).into()),
        Ok(Answer::Wrong(reason)) => Err(NotMeasured::wrong(&reason)),
        Ok(Answer::Fault(reason)) => Err(NotMeasured::new(&reason)),
        Ok(_) => Err(NotMeasured::new(OTHER)),
        Err(fault) => Err(NotMeasured::new(&fault.to_string())),
    }
}

impl Bench for WorkerBench {
    fn measure(
        &mut self,
        devices: &[&DeviceSample],
        probe: Probe,
        budget: Duration,
    ) -> Vec<Result<Rate, NotMeasured>> {
        if probe == Probe::NicLoopback {
            let unasked = NotMeasured::new("ports are judged by their states and counters alone");
            return match &self.ports {
                Some(ports) => ports.measure(devices, budget),
                None => vec![Err(unasked); devices.len()],
            };
        }
        let end = Instant::now() + budget;
        // No worker is started where nobody may measure.
        let is_any_free = devices.iter().any(|device| in_use(device).is_none());
        let numbers = if is_any_free {
            self.numbers(budget)
        } else {
            Ok(Numbers::new())
        };
        let numbers = match numbers {
            Ok(numbers) => numbers,
            Err(reason) => return vec![Err(reason); devices.len()],
        };
        let left = end.saturating_duration_since(Instant::now());
        thread::scope(|scope| {
            let subjects = subjects(devices, probe, &numbers).into_iter();
            let runs: Vec<_> = subjects
                .zip(devices)
                .map(|(subject, device)| {
                    let (number, subject) = subject?;
                    let worker = self.workers.remove(&device.identity.uuid);
                    let mut worker = worker.unwrap_or_else(|| self.worker());
                    let run = move || {
                        let rate = ask(&mut worker, number, subject, probe, left);
                        (worker, rate)
                    };
                    Ok((device.identity.uuid.clone(), scope.spawn(run)))
                })
                .collect();
            runs.into_iter()
                .map(|run| {
                    let (uuid, run) = run?;
                    let (worker, rate) = run.join().expect("asking does not panic");
                    self.workers.insert(uuid, worker);
                    rate
                })
                .collect()
        })
    }
}

#[cfg(test)]
mod tests;
