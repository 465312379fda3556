//! Reads a device's counters beside its measurements: whether somebody uses it, and what spoiled a measurement.

use std::thread;
use std::time::{Duration, Instant};

use orrery_kernels::statistics::Taint;
use orrery_telemetry::{DeviceSample, SourceStatus};

use crate::conditions::{driver_identity, in_use, taints};
use crate::{Daemon, Settings};

/// Between two looks at the board.
const LOOK: Duration = Duration::from_millis(20);
/// A sample that takes longer than so many intervals does not come.
const PATIENCE: u32 = 5;

/// Watches one device through the driver's management library.
pub(super) struct Watch {
    daemon: Option<Daemon>,
    interval: Duration,
    /// The device, as CUDA's driver calls it.
    identity: String,
    absent: Option<String>,
}

impl Watch {
    /// Begins to watch the device of this identity, with the sources of `settings`; without settings nothing is watched.
    pub(super) fn start(settings: Option<&Settings>, identity: &str) -> Self {
        let started = settings
            .ok_or_else(|| "nobody asked for it".to_owned())
            .and_then(|settings| Daemon::start_without_server(settings).map_err(|fault| fault.to_string()));
        let (daemon, absent) = match started {
            Ok(daemon) => (Some(daemon), None),
            Err(reason) => (None, Some(reason)),
        };
        let interval = settings.map_or(Duration::ZERO, |settings| settings.interval);
        Self {
            daemon,
            interval,
            identity: identity.to_owned(),
            absent,
        }
    }

    /// A reading of the device that began after this was called, if one comes.
    pub(super) fn fresh(&self) -> Option<DeviceSample> {
        let daemon = self.daemon.as_ref()?;
        let end = Instant::now() + PATIENCE * self.interval;
        let latest = || {
            let samples = daemon.board().snapshot().samples.into_iter();
            let mut found = samples.filter_map(|sample| {
                let mut devices = sample.devices.iter();
                let device =
                    devices.find(|device| driver_identity(&device.identity.uuid) == self.identity)?;
                Some((sample.sequence, device.clone()))
            });
            found.next()
        };
        let first = latest().map(|(sequence, _)| sequence);
        loop {
            // The one after next: the next may have begun before.
            if let Some((sequence, device)) = latest()
                && first.is_none_or(|first| sequence > first + 1)
            {
                return Some(device);
            }
            let board = daemon.board();
            let is_any_up = board.snapshot().statuses.iter().any(SourceStatus::is_up);
            if Instant::now() >= end || (board.is_ready() && !is_any_up) {
                return None;
            }
            thread::sleep(LOOK);
        }
    }

    /// Why conditions were not watched, if they were not.
    pub(super) fn absence(&self) -> Option<String> {
        if let Some(reason) = &self.absent {
            return Some(reason.clone());
        }
        let snapshot = self.daemon.as_ref()?.board().snapshot();
        let mut devices = snapshot.samples.iter().flat_map(|sample| &sample.devices);
        if devices.any(|device| driver_identity(&device.identity.uuid) == self.identity) {
            return None;
        }
        let mut down = snapshot
            .statuses
            .iter()
            .filter(|status| !status.is_up() && status.reason != "not asked for");
        Some(down.next().map_or_else(
            || "the driver's management library does not tell of this device".to_owned(),
            |status| format!("{}: {}", status.name, status.reason),
        ))
    }

    /// Who uses the device, if anybody does and it can be seen.
    pub(super) fn user(&self) -> Option<String> {
        in_use(&self.fresh()?)
    }

    /// What spoiled what was measured since `before`.
    pub(super) fn since(&self, before: Option<&DeviceSample>) -> Vec<Taint> {
        let Some(before) = before else {
            return Vec::new();
        };
        self.fresh().map_or_else(Vec::new, |after| taints(before, &after))
    }
}
