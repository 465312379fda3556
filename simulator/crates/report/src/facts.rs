//! What a report needs to know about a run beside its totals; whoever joins the stages fills it.

use orrery_timeline::KindTable;
use orrery_units::{Bytes, Flops, FlopsPerSec, LaneId, SimDuration, Watts};

use crate::{Network, Power, WorkShares};

/// Where the times of a run come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// A simulation of a scenario.
    #[default]
    Simulated,
    /// A recording of a trainer.
    Recorded,
}

impl Origin {
    /// The name in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Simulated => "simulated",
            Self::Recorded => "recorded",
        }
    }
}

/// Who the run is. Everything here is printed, nothing is computed with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Where its times come from.
    pub origin: Origin,
    /// Short name of the scenario.
    pub scenario: String,
    /// One line for people.
    pub title: String,
    /// Free text for people.
    pub notes: String,
    /// The file it came from, as given.
    pub file: String,
    /// SHA-256 of the resolved scenario, hexadecimal.
    pub hash: String,
    /// Every key of the resolved scenario and its value, sorted.
    pub settings: Vec<(String, String)>,
    /// Seed of the run; replications derive theirs from it. A recording has none.
    pub seed: u64,
    /// Version of the program.
    pub version: String,
    /// Name of the profile.
    pub profile: String,
    /// Where the profile's numbers come from, one line each.
    pub profile_sources: Vec<String>,
    /// The model in words, such as `DeepSeek-V3, 671 B parameters`.
    pub model: String,
    /// The cluster in words, such as `256 nodes x 8 H800-SXM5-80GB`.
    pub cluster: String,
    /// The layout in words, such as `TP1 PP16 EP64 DP128`.
    pub layout: String,
}

impl Identity {
    /// Whether the run was recorded rather than simulated.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.origin == Origin::Recorded
    }
}

/// What one step does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepWork {
    /// Tokens.
    pub tokens: f64,
    /// Sequences.
    pub samples: f64,
    /// Model FLOPs of all devices, attention counted causally, no recompute.
    pub model_flops: Flops,
    /// The same with attention counted over the full square.
    pub model_flops_full_attention: Flops,
    /// Model FLOPs plus recompute.
    pub hardware_flops: Flops,
    /// Time of the model FLOPs on all devices with each GEMM at the dense peak of its own format.
    pub weighted_ideal: SimDuration,
}

/// The device that every rank runs on.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceFacts {
    /// Catalogue name.
    pub name: String,
    /// How many there are.
    pub count: u32,
    /// Dense BF16 peak, what `train.mfu` divides by.
    pub peak: FlopsPerSec,
    /// Memory.
    pub memory: Bytes,
    /// The most that it may draw; zero where nobody knows.
    pub power_limit: Watts,
}

impl StepWork {
    /// Tokens of a device in a second, of a step of `seconds`.
    #[must_use]
    pub fn tokens_per_device(&self, device: &DeviceFacts, seconds: f64) -> f64 {
        self.tokens / seconds / f64::from(device.count)
    }

    /// Share of the dense BF16 peak that the model FLOPs of a step of `seconds` are: `F / (t n P)` (Chowdhery et al. 2022,
    /// appendix B). Worked: 1e18 FLOPs in 10 s on 1,000 devices of 1e15 FLOP/s are 10 %.
    #[must_use]
    pub fn mfu(&self, device: &DeviceFacts, seconds: f64) -> f64 {
        self.model_flops.get() / seconds / f64::from(device.count) / device.peak.get()
    }
}

impl Price {
    /// What `devices` cost in a day.
    #[must_use]
    pub fn per_day(&self, devices: u32) -> f64 {
        self.device_hour * f64::from(devices) * 24.0
    }

    /// What a million tokens cost of a step of `tokens` that takes `seconds` on `devices`. Worked: 2 an hour, 2,048 devices
    /// and 63 M tokens in 20 s: 0.362.
    #[must_use]
    pub fn per_million_tokens(&self, devices: u32, tokens: f64, seconds: f64) -> f64 {
        let step = self.device_hour * f64::from(devices) * seconds / 3600.0;
        step / tokens * 1e6
    }
}

/// One program of the run: a rank, or a rank that stands for several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rank {
    /// What people call it, such as `rank 17`.
    pub name: String,
    /// Its stage, an index into [`RunFacts::stages`].
    pub stage: usize,
    /// The node of its device, where that is known.
    pub node: Option<u64>,
    /// The lane whose time is broken down.
    pub compute_lane: LaneId,
    /// Devices it stands for.
    pub stands_for: u32,
}

/// What a device-hour costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Price {
    /// Currency code.
    pub currency: String,
    /// All-in price of one device for one hour.
    pub device_hour: f64,
    /// The day of that price.
    pub priced_on: String,
}

/// Something that the scenario did not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assumption {
    /// The key it would be written under.
    pub key: String,
    /// The value taken.
    pub value: String,
    /// Why.
    pub reason: String,
}

/// How far the model itself may be off, as a relative half-width of an 80 % interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ModelError {
    /// Of times and rates.
    pub time: f64,
    /// Of memory; none while nobody knows, and then memory has no interval.
    pub memory: Option<f64>,
}

/// Everything a report needs beside the totals.
#[derive(Clone, Debug)]
pub struct RunFacts {
    /// Who the run is.
    pub identity: Identity,
    /// What a step does.
    pub work: StepWork,
    /// What it runs on.
    pub device: DeviceFacts,
    /// Kinds of tasks.
    pub kinds: KindTable,
    /// What compute of each kind consists of, by its number; empty where nobody knows.
    pub shares: Vec<WorkShares>,
    /// Names of memory causes, in the order of the totals.
    pub causes: Vec<String>,
    /// Names of pipeline stages.
    pub stages: Vec<String>,
    /// Ranks, one for each program of the totals and in their order.
    pub ranks: Vec<Rank>,
    /// First steps left out of every statistic.
    pub warmup_steps: usize,
    /// Samples of `moe.imbalance`: one a measured step, over all replications; empty without experts.
    pub expert_imbalance: Vec<f64>,
    /// The network of each replication, where transfers share links; else none.
    pub networks: Vec<Network>,
    /// How far the model may be off.
    pub model_error: ModelError,
    /// What it costs, if the scenario says.
    pub price: Option<Price>,
    /// What devices draw, if the scenario asks.
    pub power: Option<Power>,
    /// What was filled in.
    pub assumptions: Vec<Assumption>,
}
