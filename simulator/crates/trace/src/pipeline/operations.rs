//! One row.

use orrery_timeline::OpClass;

/// What a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OperationType {
    /// Forward pass of a microbatch through a chunk.
    ForwardCompute,
    /// Its backward pass.
    BackwardCompute,
    /// Activations to the next stage.
    ForwardSend,
    /// Activations from the stage before.
    ForwardReceive,
    /// Gradients to the stage before.
    BackwardSend,
    /// Gradients from the next stage.
    BackwardReceive,
    /// Gradients brought together among replicas.
    ReduceScatter,
    /// Parameters gathered among replicas.
    AllGather,
    /// Gradients of norms among tensor-parallel ranks.
    NormGradients,
    /// Gradients of tied embeddings between the first stage and the last.
    EmbeddingGradients,
    /// Gradients that are reduced apart from the others.
    SeparateGradients,
    /// The norm of all gradients, agreed among all ranks.
    ClipGradients,
    /// The optimiser.
    Optimizer,
    /// Garbage collection of the host.
    GarbageCollection,
}

impl OperationType {
    /// Every type, with its name in the column `optype`.
    pub const ALL: [(Self, &'static str); 14] = [
        (Self::ForwardCompute, "forward-compute"),
        (Self::BackwardCompute, "backward-compute"),
        (Self::ForwardSend, "forward-send"),
        (Self::ForwardReceive, "forward-recv"),
        (Self::BackwardSend, "backward-send"),
        (Self::BackwardReceive, "backward-recv"),
        (Self::ReduceScatter, "grads-reduce-scatter"),
        (Self::AllGather, "params-all-gather"),
        (Self::NormGradients, "layernorm-grads-all-reduce"),
        (Self::EmbeddingGradients, "embedding-grads-all-reduce"),
        (Self::SeparateGradients, "separate-grads-all-reduce"),
        (Self::ClipGradients, "optimizer-clip-main-grad"),
        (Self::Optimizer, "optimizer"),
        (Self::GarbageCollection, "gc"),
    ];

    /// The type of a name; none for another.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(_, known)| *known == name)
            .map(|&(of, _)| of)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(known, _)| *known == self)
            .map_or("", |&(_, name)| name)
    }

    /// How it counts in breakdowns.
    #[must_use]
    pub const fn class(self) -> OpClass {
        match self {
            Self::ForwardCompute | Self::BackwardCompute => OpClass::Compute,
            Self::ForwardSend | Self::ForwardReceive | Self::BackwardSend | Self::BackwardReceive => {
                OpClass::Pipeline
            }
            Self::ReduceScatter | Self::AllGather | Self::SeparateGradients => OpClass::Data,
            Self::NormGradients => OpClass::Tensor,
            Self::EmbeddingGradients | Self::ClipGradients | Self::Optimizer => OpClass::Optimizer,
            Self::GarbageCollection => OpClass::Host,
        }
    }

    /// Whether it is a message between stages.
    #[must_use]
    pub const fn is_message(self) -> bool {
        matches!(self.class(), OpClass::Pipeline)
    }
}

/// A row of such a trace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PipelineOperation {
    /// Data-parallel rank.
    pub replica: u32,
    /// Pipeline stage.
    pub stage: u32,
    /// Global rank.
    pub rank: u32,
    /// Step, in the trainer's count.
    pub step: u64,
    /// What it is.
    pub of: OperationType,
    /// Seconds from the start of the step.
    pub start: f64,
    /// Seconds it took, waiting included.
    pub duration: f64,
    /// Its number among those of its type in its step on its rank.
    pub sequence: u32,
    /// Model chunk within the whole model; none where it does not apply.
    pub chunk: Option<u32>,
    /// Microbatch; none where it does not apply.
    pub microbatch: Option<u32>,
}

impl PipelineOperation {
    /// Seconds at which it ended.
    #[must_use]
    pub fn end(&self) -> f64 {
        self.start + self.duration
    }
}
