//! Expert exchanges: how close a library comes to the bound of its ports.

use orrery_units::SimDuration;
use serde::{Deserialize, Serialize};

use crate::{Fitted, Provenance};

/// What an exchange library makes of its ports: `t = latency + (1 + handshake · (nodes − 1)) · moving`, where
/// `moving` is the maximum over ports of `bytes / (capacity · efficiency)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExchangeCurve {
    /// Library: `deepep`, `hybrid-ep`, `nccl`.
    pub library: String,
    /// Share of a NIC's line rate that bytes between nodes get.
    pub network_efficiency: f64,
    /// Share of a device's rate into its node's own network.
    pub node_efficiency: f64,
    /// Time before the first byte moves, within one node.
    pub node_latency_picos: SimDuration,
    /// Time before the first byte moves, over several nodes.
    pub network_latency_picos: SimDuration,
    /// Time that ranks take to tell each other counts and to wait until buffers are free, per node beyond the
    /// first, as a share of the time in which data moves: ranks finish the exchange before apart.
    pub handshake_per_node: f64,
    /// Time of a dispatch that learns and carries where its rows go, over that of one that repeats a known way, as
    /// backward's does and benchmarks' do; one where it was not measured.
    #[serde(default = "same", skip_serializing_if = "is_same")]
    pub first_dispatch: f64,
    /// Execution units that it held when it was measured.
    pub num_units: u32,
    /// How well this agrees with what was measured.
    pub fitted: Fitted,
    /// Where it comes from.
    pub provenance: Provenance,
}

const fn same() -> f64 {
    1.0
}

fn is_same(value: &f64) -> bool {
    (value - 1.0).abs() < f64::EPSILON
}
