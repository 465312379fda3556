//! The one trait of all balancers, and their names.

use orrery_units::Key;

use super::shadow::ExpertCost;
use super::{LayerPlacement, Shape, eplb, flash, flex, greedy, refine, shadow, simple};

/// What was observed of the loads of a layer's experts.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// The estimate that a balancer plans with: tokens of each expert in a step.
    pub mean: &'a [f64],
    /// Steps that were looked at one by one, each with the tokens of every expert; may be empty.
    pub samples: &'a [Vec<f64>],
}

impl<'a> Observed<'a> {
    /// A mean without single steps.
    #[must_use]
    pub const fn of_mean(mean: &'a [f64]) -> Self {
        Self { mean, samples: &[] }
    }
}

/// What a balancer is asked beside the loads.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// Counts of everything.
    pub shape: Shape,
    /// Where replicas lie now, if they lie anywhere.
    pub now: Option<&'a LayerPlacement>,
    /// The random numbers of this layer at this time.
    pub key: Key,
}

/// Says where the replicas of a layer shall lie.
pub trait Policy: std::fmt::Debug + Send + Sync {
    /// The placement of one layer.
    fn place(&self, observed: Observed<'_>, setting: Setting<'_>) -> LayerPlacement;
}

/// The balancers by name, each with what it is told once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Algorithm {
    /// Experts in order, redundant slots from the first expert on again (SGLang's `trivial`).
    Contiguous,
    /// Experts dealt to devices in turn.
    RoundRobin,
    /// Experts dealt to devices at random.
    Random,
    /// Longest processing time first, then replicas where the busiest device suffers.
    Greedy,
    /// EPLB over nodes and groups.
    EplbHierarchical,
    /// EPLB over all devices alike.
    EplbGlobal,
    /// vLLM's port: double precision, and experts that stay keep their slots.
    EplbVllm,
    /// EPLB, then duplicates on a device removed and slots exchanged while that lowers the busiest device.
    EplbSwap,
    /// Mean and variance of loads (flash-lb of vLLM-Ascend).
    FlashLb,
    /// The hottest experts on every device while that pays (FasterMoE).
    Shadow(ExpertCost),
    /// Experts expand and shrink where they lie, above this ratio of largest to mean (FlexMoE).
    Flex {
        /// The ratio above which anything is done.
        threshold: f64,
    },
}

impl Algorithm {
    /// Names in scenarios and on the command line.
    pub const NAMES: [&'static str; 11] = [
        "contiguous",
        "round-robin",
        "random",
        "greedy",
        "eplb-hierarchical",
        "eplb-global",
        "eplb-vllm",
        "eplb-swap",
        "flash-lb",
        "shadow",
        "flexmoe",
    ];

    /// Every balancer in the order of [`NAMES`](Self::NAMES), told what it needs of `cost` and `threshold`.
    #[must_use]
    pub const fn all(cost: ExpertCost, threshold: f64) -> [Self; 11] {
        [
            Self::Contiguous,
            Self::RoundRobin,
            Self::Random,
            Self::Greedy,
            Self::EplbHierarchical,
            Self::EplbGlobal,
            Self::EplbVllm,
            Self::EplbSwap,
            Self::FlashLb,
            Self::Shadow(cost),
            Self::Flex { threshold },
        ]
    }

    /// The name of this balancer.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        Self::NAMES[match self {
            Self::Contiguous => 0,
            Self::RoundRobin => 1,
            Self::Random => 2,
            Self::Greedy => 3,
            Self::EplbHierarchical => 4,
            Self::EplbGlobal => 5,
            Self::EplbVllm => 6,
            Self::EplbSwap => 7,
            Self::FlashLb => 8,
            Self::Shadow(_) => 9,
            Self::Flex { .. } => 10,
        }]
    }

    /// Whether loads decide anything: the others place once and for all.
    #[must_use]
    pub const fn follows_loads(&self) -> bool {
        !matches!(self, Self::Contiguous | Self::RoundRobin | Self::Random)
    }
}

impl Policy for Algorithm {
    fn place(&self, observed: Observed<'_>, setting: Setting<'_>) -> LayerPlacement {
        let shape = setting.shape;
        match self {
            Self::Contiguous => simple::contiguous(shape),
            Self::RoundRobin => simple::round_robin(shape),
            Self::Random => simple::random(shape, setting.key),
            Self::Greedy => greedy::place(observed.mean, shape),
            Self::EplbHierarchical => eplb::place::<f32>(observed.mean, shape),
            Self::EplbGlobal => eplb::place::<f32>(observed.mean, shape.flat()),
            Self::EplbVllm => {
                let new = eplb::place::<f64>(observed.mean, shape);
                setting.now.map_or(new.clone(), |now| eplb::keep_slots(&new, now))
            }
            Self::EplbSwap => refine::place(observed.mean, shape),
            Self::FlashLb => flash::place(observed, shape, setting.now),
            Self::Shadow(cost) => shadow::place(observed.mean, shape, cost),
            Self::Flex { threshold } => flex::place(observed.mean, setting, *threshold),
        }
    }
}
