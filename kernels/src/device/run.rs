//! Timing: sustained batches and cold single launches, with the clock of the units within the time.

use std::time::Instant;

use cudarc::driver::{CudaSlice, LaunchConfig, PushKernelArg as _};
use orrery_units::SimDuration;
use serde::{Deserialize, Serialize};

use super::batch::{Batch, Launching, recorded};
use super::operands::Operands;
use super::{Device, DeviceError, driver};
use crate::catalog::Kernel;
use crate::measure::{Mode, Subject};
use crate::statistics::{StopReason, StopRule, Stopper, Summary, Taint};

/// Longest that a gate holds its stream when nobody lets it go.
const GATE_LIMIT_NANOS: u64 = 2_000_000_000;
/// A batch of launches between two events takes about this long.
const BATCH_SECONDS: f64 = 0.01;
/// Most launches in a batch.
const MOST_LAUNCHES: usize = 4096;

/// Why a cold launch is no part of a graph.
const ALONE: &str = "one launch at a time";

/// How long and how often to sample.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// When to stop.
    pub rule: StopRule,
    /// Time before samples count, in which power and clocks settle.
    pub warm_up: SimDuration,
}

/// What was measured of one subject.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Times of one launch, in picoseconds: median, 5th, 95th and 99th percentile, least, most.
    pub p50_picos: u64,
    /// 5th percentile.
    pub p5_picos: u64,
    /// 95th percentile.
    pub p95_picos: u64,
    /// 99th percentile.
    pub p99_picos: u64,
    /// The least.
    pub min_picos: u64,
    /// The most.
    pub max_picos: u64,
    /// Median distance to the median.
    pub mad_picos: u64,
    /// Where the true median lies, at 95 %.
    pub median_interval_picos: (u64, u64),
    /// Samples.
    pub samples: u64,
    /// Launches in each sample.
    pub launches: u64,
    /// How they got to the device.
    #[serde(default)]
    pub launching: Launching,
    /// Why sampling stopped.
    pub stopped: String,
    /// Clock of the units over the samples, in hertz, if their counters told.
    pub clock_hertz: Option<f64>,
    /// Relative error of the result, where there is one to check.
    pub error: Option<f64>,
    /// Hash of the kernel's source, for kernels of this package.
    pub source_hash: Option<String>,
    /// What went on meanwhile that makes it unlike other measurements; whoever watches the device adds it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taints: Vec<Taint>,
}

impl Measurement {
    /// Of samples of so many launches each, one at a time; nothing else is known of it yet.
    #[must_use]
    pub fn new(summary: &Summary, launches: usize, reason: StopReason) -> Self {
        let picos = |time: SimDuration| time.as_picos();
        Self {
            p50_picos: picos(summary.p50),
            p5_picos: picos(summary.p5),
            p95_picos: picos(summary.p95),
            p99_picos: picos(summary.p99),
            min_picos: picos(summary.min),
            max_picos: picos(summary.max),
            mad_picos: picos(summary.mad),
            median_interval_picos: (picos(summary.median_low), picos(summary.median_high)),
            samples: summary.count as u64,
            launches: launches as u64,
            launching: Launching::Stream(ALONE.to_owned()),
            stopped: reason.name().to_owned(),
            clock_hertz: None,
            error: None,
            source_hash: None,
            taints: Vec::new(),
        }
    }

    /// Whether a profile may rest on it.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        !self.taints.iter().any(|taint| taint.refuses())
    }

    /// The median.
    #[must_use]
    pub const fn median(&self) -> SimDuration {
        SimDuration::from_picos(self.p50_picos)
    }
}

impl Device {
    /// Checks `subject` against the CPU, then times it.
    ///
    /// # Errors
    /// Where the driver or a library refuses, or the result is wrong.
    pub fn measure(
        &self,
        subject: &Subject,
        mode: Mode,
        sampling: &Sampling,
    ) -> Result<Measurement, DeviceError> {
        let operands = Operands::of(self, subject)?;
        operands.launch(self, 0)?;
        self.settle()?;
        let error = operands.check(self)?;
        let before = self.clocks()?;
        let mut measured = match mode {
            Mode::Sustained => self.sustained(&operands, sampling)?,
            Mode::Cold => self.cold(&operands, sampling)?,
        };
        let after = self.clocks()?;
        measured.clock_hertz = clock_between(&before, &after);
        measured.error = error.into_iter().chain(measured.error).reduce(f64::max);
        measured.source_hash = operands.source_hash();
        operands.finish(self)?;
        Ok(measured)
    }

    /// Batches back to back. What a graph computes is checked as well, on a result that the launches before did not leave.
    fn sustained(&self, operands: &Operands, sampling: &Sampling) -> Result<Measurement, DeviceError> {
        let begin = Instant::now();
        let how_long = "how long a launch takes was not known";
        let streams = operands.streams(self);
        let launch = |index| operands.launch(self, index);
        let once = Batch::on_stream(3, how_long).time(&streams, &launch)?;
        let once = Batch::on_stream(launches_for(once), how_long).time(&streams, &launch)?;
        let launches = launches_for(once);
        let batch = Batch::captured(launches, operands.replayed(self), &launch);
        let mut error = None;
        if batch.launching() == Launching::Graph {
            operands.forget(self)?;
            batch.time(&streams, &launch)?;
            self.settle()?;
            error = operands.check(self)?;
        }
        while begin.elapsed().as_secs_f64() < sampling.warm_up.as_secs() {
            batch.time(&streams, &launch)?;
        }
        let mut measured = self.sample(sampling, launches, || batch.time(&streams, &launch))?;
        measured.launching = batch.launching();
        measured.error = error;
        Ok(measured)
    }

    /// One launch at a time: the cache is flushed, and the stream held until the launch and both events are enqueued, so
    /// that the host's time is not in it.
    fn cold(&self, operands: &Operands, sampling: &Sampling) -> Result<Measurement, DeviceError> {
        let flush = self.function(Kernel::Flush, 0)?;
        let gate = self.function(Kernel::HoldStream, 0)?;
        let words = usize::try_from(self.facts.cache_bytes / 2).unwrap_or(0);
        let mut cache: CudaSlice<u32> = self
            .stream
            .alloc_zeros(words.max(1))
            .map_err(driver("reserving memory"))?;
        // SAFETY: a word that the host writes and the device reads, both through this pointer.
        let released = unsafe { self.context.alloc_pinned::<i32>(1) };
        let mut released = released.map_err(driver("reserving host memory"))?;
        self.sample(sampling, 1, || {
            let count = words as i64;
            let mut launch = self.stream.launch_builder(&flush);
            launch.arg(&mut cache).arg(&count).arg(&7_u32);
            // SAFETY: the kernel writes `count` words of a buffer that has as many.
            unsafe { launch.launch(wide(self.facts.num_units)) }.map_err(driver("flushing the cache"))?;
            let flag = released.as_mut_ptr().map_err(driver("reading host memory"))?;
            // SAFETY: the device reads this word only while a gate is enqueued, and none is.
            unsafe { flag.write_volatile(0) };
            let address = flag as u64;
            let mut launch = self.stream.launch_builder(&gate);
            launch.arg(&address).arg(&GATE_LIMIT_NANOS);
            // SAFETY: pinned memory of a 64-bit process has one address for host and device.
            unsafe { launch.launch(single()) }.map_err(driver("holding the stream"))?;
            let begin = recorded(&self.stream)?;
            operands.launch(self, 0)?;
            let end = recorded(&self.stream)?;
            // SAFETY: the gate reads it as volatile and does nothing else with it.
            unsafe { flag.write_volatile(1) };
            let millis = begin.elapsed_ms(&end).map_err(driver("reading an event"))?;
            Ok(SimDuration::from_secs(f64::from(millis) / 1e3))
        })
    }

    fn sample(
        &self,
        sampling: &Sampling,
        launches: usize,
        mut once: impl FnMut() -> Result<SimDuration, DeviceError>,
    ) -> Result<Measurement, DeviceError> {
        let mut stopper = Stopper::new(sampling.rule);
        let begin = Instant::now();
        loop {
            let time = once()?;
            let spent = SimDuration::from_secs(begin.elapsed().as_secs_f64());
            if let Some(reason) = stopper.take(time, spent) {
                let summary = stopper.summary().expect("a sample was taken");
                return Ok(Measurement::new(&summary, launches, reason));
            }
        }
    }

    /// Cycles and nanoseconds of every unit, now.
    fn clocks(&self) -> Result<Vec<u64>, DeviceError> {
        let units = self.facts.num_units;
        let probe = self.function(Kernel::Clock, 0)?;
        // Twice as many places: units of partly disabled chips are not numbered without gaps.
        let mut readings: CudaSlice<u64> = self
            .stream
            .alloc_zeros(4 * units as usize)
            .map_err(driver("reserving memory"))?;
        let mut launch = self.stream.launch_builder(&probe);
        launch.arg(&mut readings);
        let shape = LaunchConfig {
            grid_dim: (2 * units, 1, 1),
            block_dim: (32, 1, 1),
            shared_mem_bytes: 0,
        };
        // SAFETY: a unit writes two words at its own index, and indices are below twice the number of units.
        unsafe { launch.launch(shape) }.map_err(driver("reading the clock"))?;
        self.stream
            .clone_dtoh(&readings)
            .map_err(driver("reading the clock"))
    }
}

/// Launches that take about as long as a batch should, where one takes `once`.
///
/// Worked: of 100 µs it takes 100, of 200 ms one.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a positive number, which the conversion saturates"
)]
pub fn launches_for(once: SimDuration) -> usize {
    let fitting = BATCH_SECONDS / once.as_secs().max(1e-9);
    (fitting as usize).clamp(1, MOST_LAUNCHES)
}

/// A few blocks for every unit.
pub(super) const fn wide(units: u32) -> LaunchConfig {
    LaunchConfig {
        grid_dim: (units * 4, 1, 1),
        block_dim: (512, 1, 1),
        shared_mem_bytes: 0,
    }
}

pub(super) const fn single() -> LaunchConfig {
    LaunchConfig {
        grid_dim: (1, 1, 1),
        block_dim: (1, 1, 1),
        shared_mem_bytes: 0,
    }
}

/// Median clock of the units that told both times: cycles over nanoseconds.
fn clock_between(before: &[u64], after: &[u64]) -> Option<f64> {
    let pairs = before.chunks_exact(2).zip(after.chunks_exact(2));
    #[expect(clippy::cast_precision_loss, reason = "differences are far below 2^53")]
    let clock = |(early, late): (&[u64], &[u64])| {
        let (cycles, nanos) = (late[0].checked_sub(early[0])?, late[1].checked_sub(early[1])?);
        (early[1] > 0 && nanos > 0).then(|| cycles as f64 / nanos as f64 * 1e9)
    };
    let mut clocks: Vec<f64> = pairs.filter_map(clock).collect();
    clocks.sort_by(f64::total_cmp);
    clocks.get(clocks.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_that_of_most_units() {
        let before = [1000, 500, 0, 0, 2000, 500];
        let after = [21_000, 10_500, 0, 0, 20_000, 10_500];
        let clock = clock_between(&before, &after).unwrap();
        assert!((clock - 2e9).abs() < 1.0, "{clock}");
        assert_eq!(clock_between(&[0, 0], &[0, 0]), None);
    }

    #[test]
    fn a_batch_is_about_ten_milliseconds() {
        assert_eq!(launches_for(SimDuration::from_micros(100)), 100);
        assert_eq!(launches_for(SimDuration::from_millis(200)), 1);
        assert_eq!(launches_for(SimDuration::ZERO), MOST_LAUNCHES);
    }
}
