//! What one collector says of its node, in one line.

use std::time::Duration;

use orrery_telemetry::{DeviceSample, Origin, Sample, SourceStatus, UnixTime};
use serde::{Deserialize, Serialize};

/// How a collector does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum HostState {
    /// It gives readings of devices.
    Up,
    /// It answers, and no source of devices gives readings.
    Quiet,
    /// It does not answer.
    Dead,
}

/// What one collector says. A reading that no device has is none, not zero.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct HostReport {
    /// Where it was asked.
    pub(crate) host: String,
    pub(crate) state: HostState,
    /// Why it is not up.
    pub(crate) reason: Option<String>,
    /// Seconds since the newest reading, by the collector's own clock; of a dead one since it was last heard, if it
    /// ever was.
    pub(crate) age_s: Option<f64>,
    /// Seconds that the answer took.
    pub(crate) answered_in_s: f64,
    /// Where the numbers are from; `demo` and `fake` are of no device.
    pub(crate) origins: Vec<Origin>,
    pub(crate) num_devices: usize,
    /// Devices that are lost, or whose driver hangs.
    pub(crate) num_lost: usize,
    /// Devices that something unhealthy slows down.
    pub(crate) num_throttled: usize,
    /// Mean over devices.
    pub(crate) utilization: Option<f64>,
    /// Mean over devices.
    pub(crate) tensor_active: Option<f64>,
    /// Sum over devices, in watts.
    pub(crate) power_watts: Option<f64>,
    /// Hottest device, in degrees Celsius.
    pub(crate) hottest_celsius: Option<f64>,
    /// Memory in use over all memory.
    pub(crate) memory_used: Option<f64>,
}

/// The answer of `/v1/now`.
#[derive(Deserialize)]
struct Now {
    now: UnixTime,
    sources: Vec<SourceStatus>,
    samples: Vec<Sample>,
}

impl HostReport {
    /// What `host` says by `answer`, which took so long.
    pub(crate) fn new(host: String, answer: Result<String, String>, took: Duration) -> Self {
        let now = answer.and_then(|text| {
            serde_json::from_str::<Now>(&text)
                .map_err(|fault| format!("it is no collector of this release: {fault}"))
        });
        let mut report = Self::dead(host, took);
        match now {
            Ok(now) => report.fill(&now),
            Err(reason) => report.reason = Some(reason),
        }
        report
    }

    fn dead(host: String, took: Duration) -> Self {
        Self {
            host,
            state: HostState::Dead,
            reason: None,
            age_s: None,
            answered_in_s: took.as_secs_f64(),
            origins: Vec::new(),
            num_devices: 0,
            num_lost: 0,
            num_throttled: 0,
            utilization: None,
            tensor_active: None,
            power_watts: None,
            hottest_celsius: None,
            memory_used: None,
        }
    }

    /// The report of a collector that was heard `since` and is dead now: its last figures are not repeated.
    pub(crate) fn last_heard(mut self, since: Option<Duration>) -> Self {
        if self.state == HostState::Dead {
            self.age_s = since.map(|since| since.as_secs_f64());
        }
        self
    }

    fn fill(&mut self, now: &Now) {
        let with_devices = now.samples.iter().filter(|sample| !sample.devices.is_empty());
        let newest = with_devices.clone().map(|sample| sample.taken).max();
        for sample in with_devices.clone() {
            if !self.origins.contains(&sample.origin) {
                self.origins.push(sample.origin);
            }
        }
        let devices: Vec<&DeviceSample> = with_devices.flat_map(|sample| &sample.devices).collect();
        self.state = if devices.is_empty() {
            HostState::Quiet
        } else {
            HostState::Up
        };
        if devices.is_empty() {
            let absent = now.sources.iter().filter(|status| !status.is_up());
            let reasons = absent.map(|status| format!("{}: {}", status.name, status.reason));
            self.reason = reasons.into_iter().next();
        }
        self.age_s = newest.map(|at| now.now.as_secs() - at.as_secs());
        self.num_devices = devices.len();
        self.num_lost = devices
            .iter()
            .filter(|device| device.is_lost() || device.is_silent())
            .count();
        let is_slowed = |device: &&&DeviceSample| {
            let throttles = device.throttles.value().into_iter().flatten();
            throttles.copied().any(orrery_telemetry::Throttle::is_ailment)
        };
        self.num_throttled = devices.iter().filter(is_slowed).count();
        let each = |of: fn(&DeviceSample) -> Option<f64>| -> Vec<f64> {
            devices.iter().filter_map(|device| of(device)).collect()
        };
        self.utilization = mean(&each(|device| {
            device.utilization.value().map(|ratio| ratio.get())
        }));
        self.tensor_active = mean(&each(|device| {
            device.activity.tensor.value().map(|ratio| ratio.get())
        }));
        self.power_watts = sum(&each(|device| device.power.value().map(|power| power.0)));
        let temperatures = each(|device| device.temperature.value().map(|temperature| temperature.0));
        self.hottest_celsius = temperatures.into_iter().reduce(f64::max);
        let memory = |device: &DeviceSample| {
            Some((
                device.memory_used.value()?.as_f64(),
                device.memory_total.value()?.as_f64(),
            ))
        };
        let memory: Vec<(f64, f64)> = devices.iter().filter_map(|device| memory(device)).collect();
        let total: f64 = memory.iter().map(|(_, total)| total).sum();
        self.memory_used = (total > 0.0).then(|| memory.iter().map(|(used, _)| used).sum::<f64>() / total);
    }
}

fn sum(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum())
}

#[expect(clippy::cast_precision_loss, reason = "a number of devices")]
fn mean(values: &[f64]) -> Option<f64> {
    Some(sum(values)? / values.len() as f64)
}
