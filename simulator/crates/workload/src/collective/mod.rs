//! Collectives: which algorithm runs, and how long it takes on an idle network.
//!
//! Choice by the facts of NCCL's own tuner ([`nccl`]); time by a measured curve where the profile has one, else
//! by the tuner's peak times an efficiency. [`closed_form`] holds the bounds that tests compare with;
//! [`port_bound`] the all-to-all; [`law`] the laws that are fitted to sweeps of nccl-tests, platform by platform;
//! [`steps`] collectives in more detail, to hold the fast ones against.

pub mod closed_form;
pub mod law;
pub mod nccl;
pub mod port_bound;
mod selector;
pub mod steps;

pub use selector::{Network, Timing};
