//! Times of kernels and transfers, each made of a shape, a device and a profile.

mod kernel;

pub use kernel::{ExchangePorts, Kernel, Transfer};
