//! What a balancer knows of the loads: a window of the past, or a mean that forgets.

use std::ops::Range;

use super::run::add;
use super::{Control, Estimator};

/// Single steps of the window that are kept for balancers that look at variance.
const SAMPLES: usize = 32;

/// Estimates of one policy, for every layer.
#[derive(Clone, Debug)]
pub(super) struct Estimate {
    control: Control,
    experts: usize,
    /// By layer and expert: the sum over the window, or the forgetting mean.
    sums: Vec<f64>,
    /// Steps in the sums.
    steps: u64,
    /// By layer: single steps of the window.
    samples: Vec<Vec<Vec<f64>>>,
    keeps_samples: bool,
}

impl Estimate {
    pub(super) fn new(control: Control, layers: usize, experts: usize, keeps_samples: bool) -> Self {
        Self {
            control,
            experts,
            sums: vec![0.0; layers * experts],
            steps: 0,
            samples: vec![Vec::new(); layers],
            keeps_samples,
        }
    }

    /// Whether the counts of `step` belong to what the next plan sees.
    fn sees(&self, step: u64) -> bool {
        let Control { interval, window, .. } = self.control;
        interval > 0 && (step % interval) + window >= interval
    }

    /// Takes in the counts of a layer in steps side by side.
    pub(super) fn add<const N: usize>(&mut self, steps: &Range<u64>, layer: usize, counts: &[[f32; N]]) {
        if matches!(self.control.estimator, Estimator::Oracle) || self.control.interval == 0 {
            return;
        }
        let is_seen = self.sees(steps.start);
        let sums = &mut self.sums[layer * self.experts..][..self.experts];
        if let Estimator::Ewma { half_life } = self.control.estimator {
            for (at, step) in steps.clone().enumerate() {
                // The first step is all that is known.
                let new = if step == 0 {
                    1.0
                } else {
                    1.0 - (-half_life.recip()).exp2()
                };
                for (sum, counts) in sums.iter_mut().zip(counts) {
                    *sum += new * (f64::from(counts[at]) - *sum);
                }
            }
            return;
        }
        // The window's start is an event: all steps side by side are seen, or none.
        if !is_seen {
            return;
        }
        add(sums, counts, steps);
        if layer == 0 {
            self.steps += steps.end - steps.start;
        }
        if self.keeps_samples {
            let every = (self.control.window / SAMPLES as u64).max(1);
            for (at, _) in steps
                .clone()
                .enumerate()
                .filter(|(_, step)| step.is_multiple_of(every))
            {
                self.samples[layer].push(counts.iter().map(|counts| f64::from(counts[at])).collect());
            }
        }
    }

    /// The estimate of a layer: tokens of each expert in a step.
    #[expect(clippy::cast_precision_loss, reason = "fewer than 2^53 steps")]
    pub(super) fn mean(&self, layer: usize) -> Vec<f64> {
        let steps = match self.control.estimator {
            Estimator::Mean => self.steps.max(1) as f64,
            Estimator::Ewma { .. } | Estimator::Oracle => 1.0,
        };
        let sums = &self.sums[layer * self.experts..][..self.experts];
        sums.iter().map(|sum| sum / steps).collect()
    }

    /// Single steps of a layer's window.
    pub(super) fn samples(&self, layer: usize) -> &[Vec<f64>] {
        &self.samples[layer]
    }

    /// Forgets the window after a plan.
    pub(super) fn forget(&mut self) {
        if matches!(self.control.estimator, Estimator::Mean) {
            self.sums.fill(0.0);
            self.steps = 0;
        }
        self.samples.iter_mut().for_each(Vec::clear);
    }
}
