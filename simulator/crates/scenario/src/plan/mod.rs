//! The plan: a scenario after validation, frozen.
//!
//! No string in it means a choice, no number lacks a unit, nothing is looked up later. Only
//! [`load`](crate::load) makes one; after it, lowering cannot fail.

mod balancing;
mod cluster;
mod layout;
mod model;
mod training;

use std::sync::Arc;

use orrery_profile::{Profile, Tuning, TuningSet};
use orrery_units::Seed;

use crate::expect::Expectation;

pub use balancing::{
    BalancingPlan, BalancingSweep, ExpertExchange, ExpertGroup, ExpertShape, ExpertTraining, GateLoad,
    Golden, Load, LoadBurst, LoadKind, LoadPhase,
};
pub use balancing::{Popularity, RecordedPlan, Skew, SweepKey, SweepPoint, expert_format};
pub use cluster::{Cluster, Contention, Device, Fabric, Node};
pub use layout::{Axis, ContextExchange, Coordinates, GroupShape, Layout};
pub use layout::{Schedule, ScheduleKind, VirtualStage, ZeroStage};
pub use model::{AttentionShape, Gate, Layer, MlpShape, Model, Parameters};
pub use training::{
    Dispatcher, Documents, Formats, GraphScope, Law, Noise, Recompute, RecomputeModule, Routing,
};
pub use training::{Stack, StackFamily, Training};

/// Who the scenario is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Short name; names folders and baselines.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// Free text for people.
    pub notes: String,
    /// The file it came from, as given.
    pub file: String,
    /// SHA-256 of the resolved scenario, hexadecimal.
    pub hash: String,
    /// The resolved scenario: what it extends and what was overridden laid together.
    pub resolved: serde_json::Value,
}

/// Something that the scenario did not say and that was filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assumption {
    /// The key it would be written under, such as `training.micro_batch`.
    pub key: String,
    /// The value taken.
    pub value: String,
    /// Why this value.
    pub reason: String,
}

/// What a device-hour costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Price {
    /// Currency code.
    pub currency: String,
    /// All-in price of one device for one hour.
    pub device_hour: f64,
    /// The day of that price, ISO 8601.
    pub priced_on: String,
}

/// How to run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RunSettings {
    /// Seed of every random number.
    pub seed: Seed,
    /// Runs with derived seeds whose spread is reported.
    pub replications: u32,
    /// Most events one replication may take.
    pub event_limit: Option<u64>,
    /// Whether a timeline of chosen ranks is kept.
    pub timeline: bool,
}

/// A validated training scenario.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who it is.
    pub identity: Identity,
    /// What is trained.
    pub model: Model,
    /// What it runs on.
    pub cluster: Cluster,
    /// How it is laid out.
    pub layout: Layout,
    /// How it is trained.
    pub training: Training,
    /// How tokens find experts.
    pub routing: Routing,
    /// What varies from step to step and device to device.
    pub noise: Noise,
    /// Where measured numbers come from.
    pub profile: Arc<Profile>,
    /// What the stack makes of the device over whole steps.
    pub tuning: Tuning,
    /// The parameters that this comes from.
    pub tunings: Arc<TuningSet>,
    /// Clock of the devices over that at which their kernels were measured: 1, but where power is held down.
    pub clock: f64,
    /// What it costs, if the scenario says.
    pub price: Option<Price>,
    /// How to run.
    pub run: RunSettings,
    /// What must hold.
    pub expectations: Vec<Expectation>,
    /// What was filled in.
    pub assumptions: Vec<Assumption>,
}

impl Plan {
    /// Whether a host that receives from another pipeline rank issues nothing until the message is there: only where
    /// ranks have one chunk each and run forward and backward passes whole, for other schedules pass messages beside work.
    #[must_use]
    pub fn synchronises_pipeline(&self) -> bool {
        let schedule = &self.layout.schedule;
        self.training.stack.synchronise_pipeline
            && self.layout.pp > 1
            && schedule.chunks == 1
            && matches!(schedule.kind, ScheduleKind::GPipe | ScheduleKind::OneFOneB)
    }
}
