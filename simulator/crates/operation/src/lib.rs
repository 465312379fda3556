//! Shapes of operations with their FLOPs and bytes, each formula once.
//!
//! A shape knows how much arithmetic and how much memory traffic it is, not how long it takes: times are
//! made of shapes, devices and profiles elsewhere.

mod attention;
mod collective;
mod gemm;
mod pass;
mod precision;

pub use attention::{Attention, Mask};
pub use collective::{Collective, CollectiveOp};
pub use gemm::{Gemm, GroupedGemm};
pub use pass::MemoryPass;
pub use precision::Precision;
