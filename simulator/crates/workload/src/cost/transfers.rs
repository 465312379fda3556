//! Transfers: collectives, messages and expert exchanges as the engine wants them.

use std::sync::Arc;

use orrery_operation::{Collective, CollectiveOp};
use orrery_profile::Profile;
use orrery_scenario::plan::{Cluster, Dispatcher, GroupShape, Stack};
use orrery_taskgraph::Demand;
use orrery_units::{Bytes, BytesPerSec, Evidence, SimDuration};

use super::{ExchangePorts, Transfer};
use crate::collective::{Network, Timing, port_bound};

/// Everything that moves data.
#[derive(Clone, Debug)]
pub(super) struct Transfers {
    network: Network,
    exchange: port_bound::Exchange,
    /// Share of the units that an expert exchange takes.
    exchange_units: f32,
    /// Time of a dispatch that carries its routing, over that of one that repeats a known one.
    first_dispatch: f64,
}

/// A transfer of `bytes` that takes `timing`.
///
/// Its bytes move at `bytes / (time after the latency)`; one that has none to move is all latency.
fn transfer(bytes: Bytes, timing: &Timing, occupancy: Demand) -> Transfer {
    let moved = Bytes::new(bytes.get().max(1));
    let seconds = timing.moving.as_secs().max(1e-12);
    Transfer {
        latency: timing.latency,
        bytes: moved,
        bound: BytesPerSec::new(moved.as_f64() / seconds),
        occupancy,
        evidence: timing.evidence,
        algorithm: timing.algorithm,
    }
}

impl Transfers {
    pub(super) fn new(cluster: &Cluster, profile: &Arc<Profile>, stack: &Stack) -> Self {
        let library = match stack.dispatcher {
            Dispatcher::DeepEp => "deepep",
            Dispatcher::HybridEp => "hybrid-ep",
            Dispatcher::AllToAll | Dispatcher::AllGather => "nccl",
        };
        let network = Network::new(cluster, profile);
        let exchange = port_bound::Exchange::new(cluster, profile, library);
        let units = f64::from(stack.units_for_all_to_all);
        Self {
            exchange_units: share(network.units_taken(units)),
            first_dispatch: profile
                .exchange(library)
                .map_or(1.0, |curve| curve.first_dispatch),
            network,
            exchange,
        }
    }

    pub(super) fn collective(&self, collective: Collective, shape: GroupShape) -> Transfer {
        let timing = self.network.collective(collective, shape);
        let wire = collective.bytes.as_f64() * collective.op.bus_factor(u64::from(shape.ranks));
        let occupancy = self.occupancy(collective.op, wire, &timing);
        transfer(Bytes::from_f64(wire), &timing, occupancy)
    }

    pub(super) fn send_recv(&self, bytes: Bytes, crosses_nodes: bool) -> Transfer {
        let timing = self.network.send_recv(bytes, crosses_nodes);
        let occupancy = self.occupancy(CollectiveOp::SendRecv, bytes.as_f64(), &timing);
        transfer(bytes, &timing, occupancy)
    }

    /// What a collective takes from its device: one unit per channel, and for each byte on the wire one read
    /// and one write of memory, for a reduction one read more.
    ///
    /// NCCL runs one thread block, hence one unit, per channel (src/enqueue.cc, 2.30.7).
    fn occupancy(&self, op: CollectiveOp, wire: f64, timing: &Timing) -> Demand {
        let touches = match op {
            CollectiveOp::AllReduce | CollectiveOp::ReduceScatter | CollectiveOp::Reduce => 3.0,
            CollectiveOp::AllGather
            | CollectiveOp::AllToAll
            | CollectiveOp::Broadcast
            | CollectiveOp::SendRecv => 2.0,
        };
        let rate = wire * touches / timing.moving.as_secs().max(1e-12);
        Demand {
            units: share(self.network.units_taken(timing.channels)),
            bandwidth: share(rate / self.network.memory_bandwidth()),
        }
    }

    pub(super) const fn first_dispatch(&self) -> f64 {
        self.first_dispatch
    }

    pub(super) fn exchange(&self, ports: &ExchangePorts, shape: GroupShape) -> Transfer {
        let out = ports.network_out + ports.node_out;
        let moved = ports.moved();
        if moved == Bytes::ZERO {
            let idle = Timing {
                latency: self.exchange.latency(shape),
                moving: SimDuration::ZERO,
                evidence: Evidence::Analytic,
                algorithm: "port bound",
                channels: 0.0,
            };
            return transfer(Bytes::ZERO, &idle, Demand::default());
        }
        let timing = self.exchange.time(ports, shape);
        // Every byte is read and written once on each side of each port it passes.
        let touched = 2.0 * (out + ports.network_in + ports.node_in).as_f64();
        let rate = touched / timing.moving.as_secs().max(1e-12);
        let occupancy = Demand {
            units: self.exchange_units,
            bandwidth: share(rate / self.network.memory_bandwidth()),
        };
        transfer(moved, &timing, occupancy)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a share needs no more than a float's digits"
)]
fn share(value: f64) -> f32 {
    value.clamp(0.0, 1.0) as f32
}
