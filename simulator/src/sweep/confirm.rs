//! The best of many, simulated.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use orrery_report::Metrics;
use orrery_scenario::Plan;
use orrery_workload::estimate::Surveyor;

use super::Candidate;
use crate::pipeline::{self, Stopped, Watch, in_parallel};

/// What the event simulation says of a plan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Confirmed {
    /// Seconds of a step.
    pub step: f64,
    /// Their 80 % interval.
    pub interval: Option<(f64, f64)>,
    /// The most bytes that a device holds.
    pub peak: f64,
    /// Share of the dense BF16 peak.
    pub mfu: f64,
    /// Tokens of a device in a second.
    pub tokens: f64,
}

/// A simulation under way.
#[derive(Debug, Default)]
pub struct Confirming {
    /// Plans that were simulated.
    pub done: AtomicUsize,
    cancelled: AtomicBool,
    watches: Mutex<Vec<Watch>>,
}

impl Confirming {
    /// Asks what is under way to stop soon, and nothing more to begin.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
        let watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.iter().for_each(Watch::cancel);
    }

    /// Whether somebody asked to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// The metrics of `plan`; none when it was stopped.
    ///
    /// # Errors
    /// When its tasks deadlock: a bug in the lowering.
    pub fn metrics(&self, plan: &Plan) -> Result<Option<Metrics>, String> {
        if self.is_cancelled() {
            return Ok(None);
        }
        let watch = Watch::new(plan.run.replications);
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.push(watch.clone());
        drop(watches);
        if self.is_cancelled() {
            watch.cancel();
        }
        let done = pipeline::simulate(plan, &watch).map_err(|fault| fault.to_string())?;
        self.done.fetch_add(1, Ordering::Relaxed);
        Ok((done.stopped != Some(Stopped::Cancelled)).then_some(done.report.metrics))
    }
}

impl Confirmed {
    /// What of `metrics` a sweep compares.
    #[must_use]
    pub fn of(metrics: &Metrics) -> Option<Self> {
        Some(Self {
            step: metrics.get("train.step_time.mean")?,
            interval: metrics.interval("train.step_time.mean"),
            peak: metrics.get("mem.hbm_peak.max").unwrap_or(0.0),
            mfu: metrics.get("train.mfu.mean").unwrap_or(0.0),
            tokens: metrics.get("train.tokens_per_gpu_s.mean").unwrap_or(0.0),
        })
    }
}

/// Simulates `candidates` of the job that `base` is, with balanced experts and no noise, as they were estimated.
///
/// # Errors
/// When tasks deadlock: a bug in the lowering.
pub fn confirm(
    base: &Plan,
    candidates: &[Candidate],
    confirming: &Confirming,
) -> Result<Vec<Option<Confirmed>>, String> {
    let count = u32::try_from(candidates.len()).unwrap_or(u32::MAX);
    let results = in_parallel(count, |number| {
        let choice = &candidates[number as usize].choice;
        let plan = Surveyor::new(base.clone()).plan(choice);
        let plan = plan.map_err(|refusal| refusal.message)?;
        let metrics = confirming.metrics(&plan)?;
        Ok(metrics.as_ref().and_then(Confirmed::of))
    });
    results.into_iter().collect()
}

/// How much longer the step of the estimate's first choice takes than the best of those that were simulated.
///
/// `simulated` are in the order of their estimates. Worked: 10 s, 9.9 s, 10.4 s: 10 / 9.9 − 1 = 1.01 %.
#[must_use]
pub fn regret(simulated: &[f64]) -> Option<f64> {
    let best = simulated.iter().copied().reduce(f64::min)?;
    Some(simulated.first()? / best - 1.0)
}

/// Candidates of which none is both faster and smaller: by number, in order of `time`.
///
/// `points` are time and memory.
#[must_use]
pub fn front(points: &[(f64, f64)]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by(|&a, &b| {
        let (a, b) = (points[a], points[b]);
        a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    let mut least = f64::INFINITY;
    order.retain(|&at| {
        let better = points[at].1 < least;
        least = least.min(points[at].1);
        better
    });
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regret_by_hand() {
        let found = regret(&[10.0, 9.9, 10.4]).unwrap();
        assert!((found - 0.1 / 9.9).abs() < 1e-12, "{found}");
        assert_eq!(regret(&[]), None);
    }

    /// (1, 9) and (2, 5) and (4, 3) are on the front; (2, 6), (3, 5) and (5, 3) are beaten.
    #[test]
    fn a_front_by_hand() {
        let points = [
            (2.0, 6.0),
            (4.0, 3.0),
            (1.0, 9.0),
            (3.0, 5.0),
            (2.0, 5.0),
            (5.0, 3.0),
        ];
        assert_eq!(front(&points), [2, 4, 1]);
        assert_eq!(front(&[]), Vec::<usize>::new());
    }
}
