//! Bytes per rank, by cause: what a rank holds all the time, and what each microbatch of each layer adds.
//!
//! Every saved tensor stands in a table with its size and what would drop it. Amounts are those of the tensors;
//! rounding by the allocator and fragmentation are not in them.

mod activations;
mod allocated;
#[cfg(test)]
mod allocated_tests;
mod buffers;
mod cause;
mod device_used;
#[cfg(test)]
pub(crate) mod fixture;
mod kept;
mod muon;
mod parameters;
mod statics;
#[cfg(test)]
mod tests;

pub use activations::{ActivationMemory, SavedTensor};
pub use allocated::{
    AllocatedPart, CrossEntropy, MegatronChoices, megatron_allocated, megatron_loaded_moments,
};
pub use buffers::{context_buffers, deep_ep_buffers, framework_context, nccl_buffers};
pub use cause::{CAUSES, Cause};
pub use device_used::deep_speed_device_used;
pub use kept::{KeptTensors, Scores};
pub use muon::Muon;
pub use parameters::{RankParameters, layer_parameters, mtp_parameters, rank_parameters};
pub use statics::StaticMemory;
