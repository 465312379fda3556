//! How the model is trained: batch, recompute, formats, what the framework does, routing and noise.

use orrery_operation::Precision;
use orrery_units::{Bytes, SimDuration};

/// What of a layer is computed again in backward instead of kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecomputeModule {
    /// Scores, softmax and weighted values.
    CoreAttention,
    /// Norms.
    Norm,
    /// The up-projections of latent attention.
    MlaUpProjection,
    /// The activation function of the MLP or of the experts.
    Activation,
    /// The whole MLP or MoE block.
    Mlp,
}

/// What is recomputed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recompute {
    /// Nothing.
    None,
    /// Whole layers; only layer inputs are kept.
    Full,
    /// These modules, sorted.
    Selective(Vec<RecomputeModule>),
}

/// Formats by tensor role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Formats {
    /// Multiplication format of the GEMMs.
    pub gemm: Precision,
    /// Format of the attention core.
    pub attention: Precision,
    /// Residual stream and activations between kernels.
    pub activations: Precision,
    /// Parameters as held for compute.
    pub weights: Precision,
    /// Gradients as accumulated.
    pub gradients: Precision,
    /// Gradients as reduced among data-parallel ranks.
    pub gradient_traffic: Precision,
    /// Parameters as gathered among data-parallel ranks.
    pub parameter_traffic: Precision,
    /// Master parameters.
    pub master: Precision,
    /// Each of the two moments of Adam.
    pub moments: Precision,
    /// Tokens on their way to experts.
    pub dispatch: Precision,
    /// Results on their way back.
    pub combine: Precision,
    /// Inputs of activation functions as kept for backward.
    pub kept: Precision,
}

impl Formats {
    /// The format in which embedding and head are held or sent where other parameters are in `format`: no narrower than
    /// activations, for stacks that multiply in 8 bits keep both wide (DeepSeek-V3 report, section 3.3.1; Transformer
    /// Engine holds weights of its linear layers alone in FP8).
    #[must_use]
    pub const fn of_ends(self, format: Precision) -> Precision {
        if format.bits() < self.activations.bits() {
            self.activations
        } else {
            format
        }
    }
}

/// How tokens travel to experts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dispatcher {
    /// Everybody gathers everybody's tokens.
    AllGather,
    /// NCCL all-to-all of token copies.
    AllToAll,
    /// Once per destination node over the network, then fanned out (DeepEP normal kernels).
    DeepEp,
    /// The same with fewer units (DeepEP hybrid-ep).
    HybridEp,
}

/// Frameworks that issue their work alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StackFamily {
    /// Megatron-Core and what is built on it: fused kernels of Transformer Engine, traffic beside compute.
    MegatronCore,
    /// Megatron-LM of 2021 and 2022 and its forks: attention of separate kernels, traffic after backward.
    MegatronLm,
    /// Modules of PyTorch under FSDP.
    Fsdp,
    /// None of these.
    Other,
}

/// How much of a step is replayed from CUDA graphs instead of issued kernel by kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GraphScope {
    /// Nothing.
    None,
    /// The router of experts and what prepares their exchange.
    Router,
    /// Attention, and the router.
    Attention,
    /// All of it.
    Full,
}

/// What the framework does; a default per stack, each overridable.
#[derive(Clone, Debug, PartialEq)]
pub struct Stack {
    /// Its name, such as `megatron-core`; selects profile entries.
    pub name: String,
    /// What it is built on.
    pub family: StackFamily,
    /// How tokens travel to experts.
    pub dispatcher: Dispatcher,
    /// Whether dispatch and combine of one microbatch overlap with compute of another.
    pub overlap_all_to_all: bool,
    /// Execution units that expert all-to-all kernels occupy.
    pub units_for_all_to_all: u32,
    /// Whether gradient reduction overlaps with backward.
    pub overlap_gradients: bool,
    /// Whether parameter gathering overlaps with the next forward.
    pub overlap_parameters: bool,
    /// Share of tensor-parallel traffic hidden by chunked overlap with GEMMs; 0 to 1.
    pub tensor_overlap: f64,
    /// Host time to issue one kernel.
    pub launch: SimDuration,
    /// What is replayed from CUDA graphs, which hides its launches.
    pub graphs: GraphScope,
    /// Whether products of experts are issued one expert at a time rather than as one grouped kernel.
    pub expert_by_expert: bool,
    /// Whether the host waits for each message between pipeline ranks, where no other chunk's work is beside it.
    pub synchronise_pipeline: bool,
    /// Whether a step's weight gradients of one microbatch run apart from its input gradients.
    pub split_weight_gradients: bool,
}

/// How the model is trained.
#[derive(Clone, Debug, PartialEq)]
pub struct Training {
    /// Tokens per sequence.
    pub sequence_length: u64,
    /// Sequences per optimiser step.
    pub global_batch: u64,
    /// Sequences per microbatch.
    pub micro_batch: u64,
    /// Microbatches per step and data-parallel rank (for DualPipe: both directions together).
    pub num_microbatches: u64,
    /// Steps to simulate.
    pub steps: u32,
    /// First steps left out of statistics.
    pub warmup_steps: u32,
    /// What is recomputed.
    pub recompute: Recompute,
    /// Memory that a device may take where what is recomputed is still to be chosen.
    pub memory_budget: Option<Bytes>,
    /// Lengths of the documents that are packed into sequences; none where each sequence is one.
    pub documents: Option<Documents>,
    /// Formats.
    pub formats: Formats,
    /// What the framework does.
    pub stack: Stack,
}

pub use orrery_experts::load::Law;

/// The law of document lengths. Documents follow each other in a sequence, and attention stays inside each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Documents {
    /// Equally many tokens each.
    Fixed {
        /// Tokens of a document.
        tokens: u64,
    },
    /// Lengths whose logarithm is normal.
    LogNormal {
        /// The median length, tokens.
        median: u64,
        /// Standard deviation of the logarithm.
        sigma: f64,
    },
}

/// How tokens find experts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Routing {
    /// The law of popularity.
    pub law: Law,
    /// Most nodes that one token is sent to; none for no limit.
    pub max_nodes: Option<u32>,
    /// Capacity factor beyond which tokens are dropped; none keeps every token.
    pub capacity_factor: Option<f64>,
    /// Whether dropped capacity is padded, so that every expert computes its full capacity.
    pub pad_to_capacity: bool,
}

/// What varies; every draw is keyed by the seed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Noise {
    /// Coefficient of variation of device speed, fixed per device.
    pub device: f64,
    /// Coefficient of variation of compute per device and step.
    pub step: f64,
    /// Coefficient of variation of each kernel about its mean, drawn anew every time it runs.
    pub kernel: f64,
    /// Coefficient of variation of link rates, fixed per node.
    pub link: f64,
    /// Mean length of a stall of the host.
    pub stall: SimDuration,
    /// How likely the host of a rank stalls in a step.
    pub stall_chance: f64,
}

impl Routing {
    /// Whether experts compute their full capacity, so that their shapes do not hang on what the gate says and the host
    /// need not see it.
    #[must_use]
    pub const fn has_static_shapes(&self) -> bool {
        self.pad_to_capacity && self.capacity_factor.is_some()
    }
}

impl Noise {
    /// Whether nothing varies.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.device + self.step + self.kernel + self.link <= 0.0 && !self.stalls()
    }
}

impl Noise {
    /// Whether hosts stall.
    #[must_use]
    pub fn stalls(&self) -> bool {
        self.stall > SimDuration::ZERO && self.stall_chance > 0.0
    }
}

impl RecomputeModule {
    /// Every module, in order.
    pub const ALL: [Self; 5] = [
        Self::CoreAttention,
        Self::Norm,
        Self::MlaUpProjection,
        Self::Activation,
        Self::Mlp,
    ];

    /// The name in a file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CoreAttention => "core_attention",
            Self::Norm => "norm",
            Self::MlaUpProjection => "mla_up_proj",
            Self::Activation => "activation",
            Self::Mlp => "mlp",
        }
    }
}

impl Recompute {
    /// Whether `module` alone is computed again in backward. Whole layers run forward again as layers, once: none of
    /// their modules does so besides.
    #[must_use]
    pub fn covers(&self, module: RecomputeModule) -> bool {
        match self {
            Self::None | Self::Full => false,
            Self::Selective(modules) => modules.contains(&module),
        }
    }
}
