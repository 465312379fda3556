//! The cost model: a plan's device, profile and stack, asked for times.

use std::sync::Arc;

use orrery_operation::{Attention, Collective, Gemm, GroupedGemm, MemoryPass, Precision};
use orrery_profile::Profile;
use orrery_scenario::Plan;
use orrery_scenario::plan::{Cluster, GroupShape, Stack};
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
        Self::of(&plan.cluster, &plan.profile, &plan.training.stack)
    }

    /// The cost model of `stack` on `cluster`, as `profile` measured it.
    #[must_use]
    pub fn of(cluster: &Cluster, profile: &Arc<Profile>, stack: &Stack) -> Self {
        Self {
            kernels: Kernels::new(profile, &cluster.device),
            transfers: Transfers::new(cluster, profile, stack),
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

    /// A gradient of a weight: the product is added to what is there.
    #[must_use]
    pub fn gemm_weight(&self, shape: &Gemm) -> Kernel {
        self.kernels.gemm_weight(shape)
    }

    /// Gradients of experts' weights, added to what is there.
    #[must_use]
    pub fn grouped_weight(&self, shape: &GroupedGemm) -> Kernel {
        self.kernels.grouped_weight(shape)
    }

    /// Rows of a tile of the grouped kernels in `precision`: what each group is padded to.
    #[must_use]
    pub fn grouped_tile(&self, precision: Precision) -> u64 {
        self.kernels.grouped_tile(precision)
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
