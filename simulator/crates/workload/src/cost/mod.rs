//! Times of kernels and transfers, each made of a shape, a device and a profile.
//!
//! [`CostModel`] is the one door: it takes the plan's device, profile and stack once, finds the curve of each
//! operation, and answers for shapes. Where the profile has no curve it answers by arithmetic and says so.

mod defaults;
mod kernel;
mod kernels;
mod model;
#[cfg(test)]
mod tests;
mod transfers;

pub(crate) use kernel::{COLLECTIVE_LAUNCHES, Issued};
pub use kernel::{ExchangePorts, Kernel, Labour, Single, Transfer, waits};
pub use model::CostModel;
