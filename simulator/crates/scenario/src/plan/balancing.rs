//! A validated balancing scenario: whose experts, where they may lie, how they are loaded, and who balances them.

use std::sync::Arc;

use orrery_balance::lab::Contender;
use orrery_balance::placement::{Algorithm, BalanceCase, Shape};
use orrery_experts::gate::Recipe;
use orrery_operation::Precision;
use orrery_profile::Profile;

use super::{Assumption, Cluster, Dispatcher, Identity, Law, RunSettings};
use crate::catalog::ExpertLaw;
use crate::expect::Expectation;

/// A validated balancing scenario.
#[derive(Clone, Debug)]
pub struct BalancingPlan {
    /// Who it is.
    pub identity: Identity,
    /// Policies over time, if the scenario has a load.
    pub group: Option<ExpertGroup>,
    /// Sweeps over settings of its policies.
    pub sweeps: Vec<BalancingSweep>,
    /// Published placements that must be given exactly.
    pub goldens: Vec<Golden>,
    /// Plans made from one part of a recording and held against another.
    pub recorded: Vec<RecordedPlan>,
    /// How to run.
    pub run: RunSettings,
    /// What must hold.
    pub expectations: Vec<Expectation>,
    /// What was filled in.
    pub assumptions: Vec<Assumption>,
}

/// One policy beside the first, one key of it moved from value to value.
#[derive(Clone, Debug)]
pub struct BalancingSweep {
    /// The policy.
    pub policy: String,
    /// What is moved.
    pub key: SweepKey,
    /// Its values, in the order of the file.
    pub points: Vec<SweepPoint>,
}

/// What a sweep moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SweepKey {
    /// Steps between plans.
    Interval,
    /// Slots beyond one per expert.
    Redundant,
    /// Devices that the experts are spread over; the tokens of a step stay.
    Ep,
}

/// A value, and whom it makes: the first policy of the scenario and the one that is moved.
#[derive(Clone, Debug)]
pub struct SweepPoint {
    /// The value.
    pub value: u64,
    /// What is compared there.
    pub group: ExpertGroup,
}

impl SweepKey {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Interval, Self::Redundant, Self::Ep];

    /// Its name in scenarios and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Interval => "interval",
            Self::Redundant => "redundant",
            Self::Ep => "ep",
        }
    }
}

impl BalancingSweep {
    /// Names of its points in metrics, such as `eplb-interval-500`.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let name = |point: &SweepPoint| format!("{}-{}-{}", self.policy, self.key.name(), point.value);
        self.points.iter().map(name).collect()
    }
}

/// The devices that share the experts of every layer, and what happens on them.
#[derive(Clone, Debug)]
pub struct ExpertGroup {
    /// Name of the model.
    pub model: String,
    /// What they lie on.
    pub cluster: Cluster,
    /// Counts of slots, devices and nodes.
    pub shape: Shape,
    /// What is routed.
    pub experts: ExpertShape,
    /// Format of weights and of tokens on their way to experts.
    pub precision: Precision,
    /// What training adds; none in inference.
    pub training: Option<ExpertTraining>,
    /// The law whose times experts take; none for the law at its priors.
    pub law: Option<ExpertLaw>,
    /// How tokens find the devices of their experts.
    pub exchange: ExpertExchange,
    /// What was measured of the wires.
    pub profile: Arc<Profile>,
    /// How experts are loaded.
    pub load: Load,
    /// Policies that are compared.
    pub contenders: Vec<Contender>,
}

/// The name of a format in tables of measured layers of experts.
#[must_use]
pub const fn expert_format(precision: Precision) -> &'static str {
    match precision {
        Precision::Fp4 => "nvfp4",
        Precision::Fp8 => "fp8_block",
        _ => "bfloat16",
    }
}

/// What training adds to a step, which then runs every layer forward and backward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpertTraining {
    /// Steps, a microbatch each, to an update of the parameters.
    pub steps_per_update: u64,
}

/// How tokens find the devices of their experts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpertExchange {
    /// What sends them: by all-to-all, or once to each node.
    pub dispatcher: Dispatcher,
    /// Most nodes that one token is sent to.
    pub max_nodes: Option<u32>,
    /// Devices that one scale-up network joins: a node, or a rack.
    pub devices_per_domain: u32,
}

/// Layers of experts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpertShape {
    /// Layers with experts.
    pub layers: u32,
    /// Experts of a layer.
    pub experts: u32,
    /// Experts of a token.
    pub top_k: u32,
    /// Width of the model.
    pub hidden: u32,
    /// Width of an expert.
    pub inner: u32,
}

/// How experts are loaded.
#[derive(Clone, Debug)]
pub struct Load {
    /// Tokens of all devices in a step.
    pub tokens: u64,
    /// Whether every expert gets what it expects, instead of a draw.
    pub is_expected: bool,
    /// Steps in all.
    pub steps: u64,
    /// What happens when.
    pub kind: LoadKind,
}

/// What happens when.
#[derive(Clone, Debug)]
pub enum LoadKind {
    /// Stretches of steps.
    Phases(Vec<LoadPhase>),
    /// A workload of Megatron-LM#7488, by its number.
    Workload(usize),
    /// A router in training.
    Gate(GateLoad),
}

/// A router in training whose choices are the load.
#[derive(Clone, Copy, Debug)]
pub struct GateLoad {
    /// How it is trained.
    pub recipe: Recipe,
    /// Steps whose sampled tokens are counted together.
    pub stretch: u64,
}

/// A stretch of steps.
#[derive(Clone, Debug)]
pub struct LoadPhase {
    /// Its name.
    pub name: String,
    /// Its steps.
    pub steps: u64,
    /// Its law.
    pub skew: Skew,
    /// Which draw of the law.
    pub domain: String,
    /// Steps over which the phase before fades into it.
    pub ramp: u64,
    /// Tokens of another kind that come and go.
    pub burst: Option<LoadBurst>,
}

/// Tokens of another kind that come and go.
#[derive(Clone, Debug)]
pub struct LoadBurst {
    /// Steps from one to the next.
    pub every: u64,
    /// Steps that it lasts.
    pub steps: u64,
    /// Share of the tokens meanwhile.
    pub share: f64,
    /// Its law.
    pub skew: Skew,
}

/// How popular experts are.
#[derive(Clone, Debug, PartialEq)]
pub struct Skew {
    /// The law, or what was recorded.
    pub popularity: Popularity,
    /// Whether every layer has popular experts of its own.
    pub layers_apart: bool,
}

/// A law of popularity, or a recording.
#[derive(Clone, Debug, PartialEq)]
pub enum Popularity {
    /// Drawn from a law.
    Law(Law),
    /// Counts of each expert, by layer.
    Recorded(Vec<Vec<u64>>),
}

/// A published placement that a balancer must give exactly.
#[derive(Clone, Debug)]
pub struct Golden {
    /// Its name in metrics.
    pub id: String,
    /// The balancer.
    pub algorithm: Algorithm,
    /// The question.
    pub case: BalanceCase,
    /// The answer, by layer.
    pub phy2log: Vec<Vec<usize>>,
}

/// A plan made from one part of a recording and held against another.
#[derive(Clone, Debug)]
pub struct RecordedPlan {
    /// Its name in metrics.
    pub id: String,
    /// The balancer.
    pub algorithm: Algorithm,
    /// Counts of slots, devices and nodes.
    pub shape: Shape,
    /// Counts of each expert that the plan is made from, by layer.
    pub seen: Vec<Vec<u64>>,
    /// Counts of each expert that it is held against, by layer.
    pub scored: Vec<Vec<u64>>,
}

impl BalancingPlan {
    /// Names of its policies.
    #[must_use]
    pub fn policies(&self) -> Vec<&str> {
        let contenders = self.group.iter().flat_map(|group| &group.contenders);
        contenders.map(|contender| contender.id.as_str()).collect()
    }
}

impl LoadKind {
    /// Its phases with their steps; a workload is one.
    #[must_use]
    pub fn phases(&self, steps: u64) -> Vec<(String, u64)> {
        match self {
            Self::Phases(phases) => phases
                .iter()
                .map(|phase| (phase.name.clone(), phase.steps))
                .collect(),
            Self::Workload(number) => vec![(format!("W{number}"), steps)],
            Self::Gate(_) => vec![("training".to_owned(), steps)],
        }
    }
}
