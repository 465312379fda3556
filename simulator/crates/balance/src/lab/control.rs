//! When a balancer is asked, with what, and how replicas travel.

use orrery_units::SimDuration;

use crate::placement::{Algorithm, Dispatch, Shape};

/// How loads are estimated from the past.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Estimator {
    /// The mean over the window.
    Mean,
    /// A mean that forgets half in so many steps.
    Ewma {
        /// Steps.
        half_life: f64,
    },
    /// The steps that follow: what a balancer with foresight would know. A bound, not a policy.
    Oracle,
}

/// How replicas travel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Migration {
    /// Everything stands still until they are there.
    Blocking,
    /// Beside the exchanges, with a share of the links that these then lack.
    Overlapped {
        /// Share of the links, above 0 and below 1.
        share: f64,
    },
}

/// When a balancer is asked, with what, and how replicas travel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Control {
    /// Steps between the times that a balancer is asked; 0 for once, before the first step, by the popularity of that.
    pub interval: u64,
    /// Steps of the past that it sees, at most `interval`.
    pub window: u64,
    /// How they become an estimate.
    pub estimator: Estimator,
    /// Nothing moves while the largest over the mean of the estimated loads stays below this.
    pub trigger: f64,
    /// Layers whose replicas travel together.
    pub layers_per_chunk: usize,
    /// How they travel.
    pub migration: Migration,
    /// Time of planning; the steps go on meanwhile when replicas travel beside them.
    pub plan_time: SimDuration,
}

impl Control {
    /// Asked once, before the first step, and never again.
    #[must_use]
    pub const fn never() -> Self {
        Self {
            interval: 0,
            window: 0,
            estimator: Estimator::Mean,
            trigger: 1.0,
            layers_per_chunk: usize::MAX,
            migration: Migration::Blocking,
            plan_time: SimDuration::ZERO,
        }
    }
}

/// A policy that is compared: a balancer, when it is asked, and how tokens choose among replicas.
#[derive(Clone, Debug, PartialEq)]
pub struct Contender {
    /// Its name in the scenario.
    pub id: String,
    /// Slots, devices and nodes that it has.
    pub shape: Shape,
    /// The balancer.
    pub algorithm: Algorithm,
    /// How tokens choose among replicas.
    pub dispatch: Dispatch,
    /// When the balancer is asked, with what, and how replicas travel.
    pub control: Control,
}
