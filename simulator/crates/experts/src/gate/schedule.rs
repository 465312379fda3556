//! What a router's training changes with time.

/// How the temperature of a Gumbel softmax falls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Temperature {
    /// At the first step.
    pub start: f64,
    /// From `steps` on.
    pub end: f64,
    /// Steps over which it falls.
    pub steps: u64,
}

impl Temperature {
    /// `start (end / start)^(step / steps)`, an exponential descent (Jang et al. 2017).
    ///
    /// Worked: from 2 to 0.5 over 1,000 steps it is 1 at step 500.
    #[must_use]
    pub fn at(&self, step: u64) -> f64 {
        let part = (step as f64 / self.steps.max(1) as f64).min(1.0);
        self.start * (self.end / self.start).powf(part)
    }
}

/// How many experts take part: a start with a few, then more.
///
/// No reference implementation is known; it is the ramp of dense-to-sparse and evolutionary training (EvoMoE, Nie
/// et al. 2021) turned round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Activation {
    /// Experts at the first step.
    pub start: usize,
    /// Steps over which the others join.
    pub steps: u64,
}

impl Activation {
    /// `ceil(E min(1, r + (1 − r) step / steps))`, `r` the share at the start: experts 0 to that take part.
    ///
    /// Worked: from 2 of 8 over 600 steps: 2 at first, 3 from step 1 on, 5 at 300, all 8 at 600.
    #[must_use]
    pub fn at(&self, step: u64, experts: usize) -> usize {
        let start = self.start.min(experts) as f64;
        let part = (step as f64 / self.steps.max(1) as f64).min(1.0);
        let active = start + (experts as f64 - start) * part;
        (active.ceil() as usize).min(experts)
    }
}
