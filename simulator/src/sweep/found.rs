//! All that a search over layouts found.

use orrery_report::{DeviceFacts, StepWork};
use orrery_scenario::Plan;

use super::{Candidate, Confirmed, Estimated, front, regret};
use crate::facts;

/// All that a search over layouts found.
#[derive(Debug)]
pub struct Found {
    /// The job whose layouts these are.
    pub base: Plan,
    /// Every layout.
    pub estimated: Estimated,
    /// What the event simulation says of the first ones that fit; none of what was stopped.
    pub confirmed: Vec<Option<Confirmed>>,
    /// Of the fitting ones, those of which none is both faster and smaller.
    pub front: Vec<usize>,
    device: DeviceFacts,
    work: StepWork,
}

impl Candidate {
    /// Step in seconds and peak in bytes, as estimated.
    #[must_use]
    pub fn place(&self) -> (f64, f64) {
        (self.survey.estimate.step, self.survey.peak.as_f64())
    }
}

impl Found {
    /// What was `estimated` of the job `base`, the first of which were `confirmed`.
    #[must_use]
    pub fn new(base: Plan, estimated: Estimated, confirmed: Vec<Option<Confirmed>>) -> Self {
        let points: Vec<(f64, f64)> = estimated.fitting.iter().map(Candidate::place).collect();
        Self {
            front: front(&points),
            device: facts::device(&base),
            work: facts::work(&base),
            base,
            estimated,
            confirmed,
        }
    }

    /// What the event simulation says of the fitting layout `at`.
    #[must_use]
    pub fn confirmed(&self, at: usize) -> Option<Confirmed> {
        self.confirmed.get(at).copied().flatten()
    }

    /// The simulated step of each of the first ones, in their order, as far as they were simulated.
    #[must_use]
    pub fn simulated(&self) -> Vec<f64> {
        let known = self.confirmed.iter().flatten();
        known.map(|confirmed| confirmed.step).collect()
    }

    /// Tokens of a device in a second, of a step that takes so many seconds.
    #[must_use]
    pub fn tokens_per_device(&self, step: f64) -> f64 {
        self.work.tokens_per_device(&self.device, step)
    }

    /// Share of the dense BF16 peak, of a step that takes so many seconds.
    #[must_use]
    pub fn mfu(&self, step: f64) -> f64 {
        self.work.mfu(&self.device, step)
    }

    /// The numbers of the first ones, best simulated first.
    #[must_use]
    pub fn ranked(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.confirmed.len()).collect();
        let step = |&at: &usize| self.confirmed[at].map_or(f64::INFINITY, |confirmed| confirmed.step);
        order.sort_by(|a, b| step(a).total_cmp(&step(b)).then(a.cmp(b)));
        order
    }

    /// The layout that is best: the fastest that was simulated, or else the first estimate.
    #[must_use]
    pub fn best(&self) -> Option<usize> {
        let first = (!self.estimated.fitting.is_empty()).then_some(0);
        self.ranked().first().copied().or(first)
    }

    /// How far the first estimate is behind the best simulated, and how far estimates are off on average.
    #[must_use]
    pub fn judged(&self) -> Option<(f64, f64)> {
        let regret = regret(&self.simulated())?;
        let pairs = self.estimated.fitting.iter().zip(&self.confirmed);
        let off: Vec<f64> = pairs
            .filter_map(|(candidate, confirmed)| {
                Some((candidate.survey.estimate.step / (*confirmed)?.step - 1.0).abs())
            })
            .collect();
        #[expect(clippy::cast_precision_loss, reason = "few layouts are simulated")]
        let count = off.len() as f64;
        Some((regret, off.iter().sum::<f64>() / count))
    }
}
