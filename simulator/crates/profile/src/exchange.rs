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
    /// Execution units that it held when it was measured.
    pub num_units: u32,
    /// How well this agrees with what was measured.
    pub fitted: Fitted,
    /// Where it comes from.
    pub provenance: Provenance,
}
