//! Shapes of operations with their FLOPs and bytes, each formula once.
//!
//! A shape knows how much arithmetic and how much memory traffic it is, not how long it takes: times are
//! made of shapes, devices and profiles elsewhere.

mod attention;
mod collective;
mod efficiency;
mod gemm;
mod moe;
mod pass;
mod precision;

pub use attention::{Attention, Mask};
pub use collective::{Collective, CollectiveOp};
pub use efficiency::{Efficiency, Measured, Peaks, flops_per_joule, joules_per_token, weighted_mfu};
pub use gemm::{Gemm, GroupedGemm};
pub use moe::{MoeShape, MoeStage, SCALE_BLOCK};
pub use pass::MemoryPass;
pub use precision::Precision;
