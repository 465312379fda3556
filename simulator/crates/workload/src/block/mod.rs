//! What a layer consists of: the operations of each block, forward, backward and for weight gradients.
//!
//! A block is a list of shapes; its time is the cost model's business, its FLOPs are the shapes'. The
//! lists follow what training stacks launch; the passes between GEMMs are those seen in the public
//! DeepSeek-V3 training trace (tests/truth/deepseek_v3_train_profile_kernels.csv) and in Korthikanti 2022.

mod attention;
mod context;
mod ends;
mod mlp;
mod shapes;

use orrery_operation::{Attention, Gemm, GroupedGemm, MemoryPass};
use orrery_units::Flops;

pub use attention::{CutAttention, attention_core};
pub use context::{ContextTraffic, Stretch};
pub use shapes::{MoeRows, Shapes};

/// One operation of a block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Op {
    /// A matrix product.
    Gemm(Gemm),
    /// One matrix product per expert.
    Grouped(GroupedGemm),
    /// A product added to the gradient of a weight.
    GemmWeight(Gemm),
    /// One such product per expert.
    GroupedWeight(GroupedGemm),
    /// An attention core, forward.
    AttentionForward(Attention),
    /// An attention core, backward.
    AttentionBackward(Attention),
    /// A pass over memory.
    Pass(MemoryPass),
}

/// The operations of one block in its three directions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Block {
    /// Forward.
    pub forward: Vec<Op>,
    /// Backward with respect to inputs, what is recomputed first included.
    pub backward: Vec<Op>,
    /// Gradients of the weights.
    pub weight: Vec<Op>,
}

impl Op {
    /// Operations that count as model FLOPs: products and attention, no passes.
    #[must_use]
    pub fn flops(&self) -> Flops {
        match self {
            Self::Gemm(gemm) | Self::GemmWeight(gemm) => gemm.flops(),
            Self::Grouped(grouped) | Self::GroupedWeight(grouped) => grouped.flops(),
            Self::AttentionForward(core) => core.forward_flops(),
            Self::AttentionBackward(core) => core.backward_flops(),
            Self::Pass(pass) => pass.flops(),
        }
    }
}
