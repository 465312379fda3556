//! The cost model: a plan's device, profile and stack, asked for times.

use std::sync::Arc;

use orrery_operation::{Attention, Collective, Gemm, GroupedGemm, MemoryPass, Precision};
use orrery_profile::{Profile, Term, Tuning};
use orrery_scenario::Plan;
use orrery_scenario::plan::{Cluster, GroupShape, Stack};
use orrery_units::{Bytes, SimDuration};

use super::kernels::Kernels;
use super::transfers::Transfers;
use super::{ExchangePorts, Single, Transfer};

/// Times of everything that a plan's device does, alone on an idle machine.
///
/// `alone` of a [`Single`] kernel holds what passes on the device (ramp included), not the host's launch, which its
/// `launches` count. Demands are shares of what the device can do while it is at it: a kernel that runs at the
/// speed of its arithmetic needs all of the units, one at the speed of memory all of the achievable bandwidth.
#[derive(Clone, Debug)]
pub struct CostModel {
    kernels: Kernels,
    transfers: Transfers,
    tuning: Tuning,
    gap: SimDuration,
}

impl CostModel {
    /// The cost model of `plan`.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        Self::alone(plan).tuned(plan.tuning)
    }

    /// The cost model of `plan` with kernels and collectives as they were measured alone.
    #[must_use]
    pub fn alone(plan: &Plan) -> Self {
        Self::of(&plan.cluster, &plan.profile, &plan.training.stack)
    }

    /// The same with what `tuning` says of whole steps.
    #[must_use]
    pub fn tuned(self, tuning: Tuning) -> Self {
        Self {
            gap: SimDuration::from_secs(tuning.get(Term::Gap)),
            tuning,
            ..self
        }
    }

    /// Time between kernels of a busy stream, beside what their curves hold.
    #[must_use]
    pub const fn gap(&self) -> SimDuration {
        self.gap
    }

    /// What whole steps say of the stack.
    #[must_use]
    pub const fn tuning(&self) -> &Tuning {
        &self.tuning
    }

    /// `kernel` at the share of its rate that lasts through steps.
    fn lasting(&self, kernel: Single, rate: f64) -> Single {
        kernel.tuned(1.0 / rate, self.gap)
    }

    fn products(&self) -> f64 {
        self.tuning.get(Term::Products)
    }

    fn experts(&self) -> f64 {
        self.products() * self.tuning.get(Term::Experts)
    }

    /// The cost model of `stack` on `cluster`, as `profile` measured it.
    #[must_use]
    pub fn of(cluster: &Cluster, profile: &Arc<Profile>, stack: &Stack) -> Self {
        Self {
            kernels: Kernels::new(profile, &cluster.device),
            transfers: Transfers::new(cluster, profile, stack),
            tuning: Tuning::default(),
            gap: SimDuration::ZERO,
        }
    }

    /// A matrix product.
    #[must_use]
    pub fn gemm(&self, shape: &Gemm) -> Single {
        self.product(self.kernels.gemm(shape))
    }

    /// `kernel` at the share of the rate of products that lasts, less where rows are no whole vectors.
    fn product(&self, kernel: Single) -> Single {
        let vectors = if kernel.is_aligned {
            1.0
        } else {
            self.tuning.get(Term::Unaligned)
        };
        self.lasting(kernel, self.products() * vectors)
    }

    /// Matrix products grouped by expert; padded rows take time, useful rows count as work.
    #[must_use]
    pub fn grouped_gemm(&self, shape: &GroupedGemm) -> Single {
        self.lasting(self.kernels.grouped(shape), self.experts())
    }

    /// A gradient of a weight: the product is added to what is there.
    #[must_use]
    pub fn gemm_weight(&self, shape: &Gemm) -> Single {
        self.product(self.kernels.gemm_weight(shape))
    }

    /// Gradients of experts' weights, added to what is there.
    #[must_use]
    pub fn grouped_weight(&self, shape: &GroupedGemm) -> Single {
        self.lasting(self.kernels.grouped_weight(shape), self.experts())
    }

    /// Rows of a tile of the grouped kernels in `precision`: what each group is padded to.
    #[must_use]
    pub fn grouped_tile(&self, precision: Precision) -> u64 {
        self.kernels.grouped_tile(precision)
    }

    /// An attention core, forward.
    #[must_use]
    pub fn attention_forward(&self, shape: &Attention) -> Single {
        self.lasting(
            self.kernels.attention_forward(shape),
            self.tuning.get(Term::Attention),
        )
    }

    /// An attention core, backward.
    #[must_use]
    pub fn attention_backward(&self, shape: &Attention) -> Single {
        self.lasting(
            self.kernels.attention_backward(shape),
            self.tuning.get(Term::Attention),
        )
    }

    /// Passes over memory.
    #[must_use]
    pub fn pass(&self, shape: &MemoryPass) -> Single {
        self.kernels
            .pass(shape)
            .tuned(self.tuning.get(Term::Passes), self.gap)
    }

    /// A pass of the optimiser, or of the norm of gradients: its kernels are the same whatever a stack makes of the passes
    /// between its products.
    #[must_use]
    pub fn update(&self, shape: &MemoryPass) -> Single {
        let rate = self.tuning.get(Term::Update);
        self.kernels.pass(shape).tuned(rate, SimDuration::ZERO)
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

    /// The dispatch of a forward pass, which carries where its rows go; the others of a layer know it.
    #[must_use]
    pub fn first_dispatch(&self, ports: &ExchangePorts, shape: GroupShape) -> Transfer {
        self.exchange(ports, shape)
            .slowed(self.transfers.first_dispatch())
    }

    /// One device's part of an expert exchange among a group that lies on nodes as `shape` says.
    #[must_use]
    pub fn exchange(&self, ports: &ExchangePorts, shape: GroupShape) -> Transfer {
        let share = self.tuning.get(Term::Exchange) * self.tuning.get(Term::ExposedExchange);
        self.transfers.exchange(ports, shape).times(share)
    }
}
