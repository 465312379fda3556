//! The cost model: a plan's device, profile and stack, asked for times.

use orrery_operation::{Attention, Collective, Gemm, GroupedGemm, MemoryPass};
use orrery_scenario::Plan;
use orrery_scenario::plan::GroupShape;
use orrery_units::Bytes;

use super::kernels::Kernels;
use super::transfers::Transfers;
use super::{ExchangePorts, Kernel, Transfer};

/// Times of everything that a plan's device does, alone on an idle machine.
///
/// `alone` of a [`Kernel`] holds what passes on the device (ramp included), not the host's launch, which its
/// `launches` count. Demands are shares of what the device can do while it is at it: a kernel that runs at the
/// speed of its arithmetic needs all of the units, one at the speed of memory all of the achievable bandwidth.
#[derive(Clone, Debug)]
pub struct CostModel {
    kernels: Kernels,
    transfers: Transfers,
}

impl CostModel {
    /// The cost model of `plan`.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        Self {
            kernels: Kernels::new(&plan.profile, &plan.cluster.device),
            transfers: Transfers::new(plan),
        }
    }

    /// A matrix product.
    #[must_use]
    pub fn gemm(&self, shape: &Gemm) -> Kernel {
        self.kernels.gemm(shape)
    }

    /// Matrix products grouped by expert; padded rows take time, useful rows count as work.
    #[must_use]
    pub fn grouped_gemm(&self, shape: &GroupedGemm) -> Kernel {
        self.kernels.grouped(shape)
    }

    /// An attention core, forward.
    #[must_use]
    pub fn attention_forward(&self, shape: &Attention) -> Kernel {
        self.kernels.attention_forward(shape)
    }

    /// An attention core, backward.
    #[must_use]
    pub fn attention_backward(&self, shape: &Attention) -> Kernel {
        self.kernels.attention_backward(shape)
    }

    /// Passes over memory.
    #[must_use]
    pub fn pass(&self, shape: &MemoryPass) -> Kernel {
        self.kernels.pass(shape)
    }

    /// A collective among a group that lies on nodes as `shape` says.
    #[must_use]
    pub fn collective(&self, collective: Collective, shape: GroupShape) -> Transfer {
        self.transfers.collective(collective, shape)
    }

    /// One message from one rank to another.
    #[must_use]
    pub fn send_recv(&self, bytes: Bytes, crosses_nodes: bool) -> Transfer {
        self.transfers.send_recv(bytes, crosses_nodes)
    }

    /// One device's part of an expert exchange among a group that lies on nodes as `shape` says.
    #[must_use]
    pub fn exchange(&self, ports: &ExchangePorts, shape: GroupShape) -> Transfer {
        self.transfers.exchange(ports, shape)
    }
}
