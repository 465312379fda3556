//! The sizes from which every block is made, per device.

use orrery_operation::{Gemm, MemoryPass, Precision};
use orrery_scenario::Plan;
use orrery_units::Bytes;

use super::Op;

/// Rows that the experts of one device compute for one microbatch of one layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MoeRows {
    /// Token copies.
    pub rows: u64,
    /// Token copies with every expert's share padded to whole tiles.
    pub padded: u64,
    /// Experts that got any.
    pub active: u64,
}

/// Sizes per device that blocks are made of.
#[derive(Clone, Copy, Debug)]
pub struct Shapes<'p> {
    pub(super) plan: &'p Plan,
    /// Tokens of a microbatch that a device's GEMMs see (tensor-parallel ranks see the same ones).
    pub(super) tokens: u64,
    /// Tokens of a microbatch that a device holds between blocks (split further by sequence parallelism).
    pub(super) held_tokens: u64,
    pub(super) tp: u64,
}

impl<'p> Shapes<'p> {
    /// The sizes of `plan`.
    #[must_use]
    pub fn new(plan: &'p Plan) -> Self {
        let (layout, training) = (&plan.layout, &plan.training);
        let tokens = training.micro_batch * training.sequence_length / u64::from(layout.cp);
        let tp = u64::from(layout.tp);
        let held_tokens = if layout.sequence_parallel {
            tokens / tp
        } else {
            tokens
        };
        Self {
            plan,
            tokens,
            held_tokens,
            tp,
        }
    }

    /// Tokens of a microbatch that a device's GEMMs see.
    #[must_use]
    pub const fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Tokens of a microbatch that a device holds between blocks; also what it sends to experts.
    #[must_use]
    pub const fn held_tokens(&self) -> u64 {
        self.held_tokens
    }

    /// Bytes of the residual stream of a microbatch on one device.
    #[must_use]
    pub fn residual(&self) -> Bytes {
        self.plan
            .training
            .formats
            .activations
            .bytes_of(self.held_tokens * self.plan.model.hidden)
    }

    /// Bytes of the residual stream that a tensor-parallel group gathers or reduces.
    #[must_use]
    pub fn gathered_residual(&self) -> Bytes {
        self.plan
            .training
            .formats
            .activations
            .bytes_of(self.tokens * self.plan.model.hidden)
    }

    const fn gemm_format(&self) -> Precision {
        self.plan.training.formats.gemm
    }

    pub(super) const fn activations(&self) -> Precision {
        self.plan.training.formats.activations
    }

    /// Whether operands of GEMMs are narrower than activations and must be cast first.
    pub(super) const fn casts(&self) -> bool {
        self.gemm_format().bits() < self.activations().bits()
    }

    /// Whether operands of weight gradients are cast while backward has them at hand, so that the gradients
    /// themselves are products alone: where the two are split (public DeepSeek-V3 trace: `per_channel_cast_and_transpose`
    /// in attn(B) and mlp(B), none in attn(W)).
    pub(super) const fn casts_ahead(&self) -> bool {
        self.plan.training.stack.split_weight_gradients && self.casts()
    }

    /// Whether activations are kept for backward in a narrower format than they are computed in.
    pub(super) const fn keeps_narrow(&self) -> bool {
        self.plan.training.formats.kept.bits() < self.activations().bits()
    }

    /// The copy of `elements` activations that is kept for backward, where that is narrower.
    pub(super) fn keep(&self, elements: u64) -> Option<Op> {
        let (from, to) = (self.activations(), self.plan.training.formats.kept);
        let pass = MemoryPass::new(from.bytes_of(elements), to.bytes_of(elements), 1);
        self.keeps_narrow().then_some(Op::Pass(pass))
    }

    /// The cast back of what was kept in a narrower format than activations.
    pub(super) fn cast_back(&self, elements: u64) -> Option<Op> {
        let (from, to) = (self.plan.training.formats.kept, self.activations());
        let pass = MemoryPass::new(from.bytes_of(elements), to.bytes_of(elements), 1);
        self.keeps_narrow().then_some(Op::Pass(pass))
    }

    /// A weight of `elements` turned for the product of its input gradient, where it is held in the 8 bits of the
    /// products, one copy, whose cores take operands in one orientation only (`batched_transpose` of the trace).
    pub(super) fn turned(&self, elements: u64) -> Option<Op> {
        let held = self.plan.training.formats.weights;
        let bytes = held.bytes_of(elements);
        let narrow = self.casts() && held.bits() <= self.gemm_format().bits();
        narrow.then(|| Op::Pass(MemoryPass::new(bytes, bytes, 1)))
    }

    /// A pass that reads and writes `elements` activations so many times, as one kernel.
    pub(super) const fn pass(&self, elements: u64, reads: u64, writes: u64) -> Op {
        let format = self.activations();
        Op::Pass(MemoryPass::new(
            format.bytes_of(elements * reads),
            format.bytes_of(elements * writes),
            1,
        ))
    }

    /// A norm over `elements` activations, read and written so many times, as one kernel.
    pub(super) const fn norm(&self, elements: u64, reads: u64, writes: u64) -> Op {
        let format = self.activations();
        let (read, written) = (
            format.bytes_of(elements * reads),
            format.bytes_of(elements * writes),
        );
        Op::Pass(MemoryPass::new(read, written, 1).reducing())
    }

    /// The cast of `elements` activations into the format of the GEMMs.
    pub(super) fn cast(&self, elements: u64) -> Option<Op> {
        let (from, to) = (self.activations(), self.gemm_format());
        self.casts()
            .then(|| Op::Pass(MemoryPass::new(from.bytes_of(elements), to.bytes_of(elements), 1)))
    }

    /// Forward product of `m` tokens with a `[k, n]` weight, its input's cast before it.
    pub(super) fn forward(&self, ops: &mut Vec<Op>, m: u64, n: u64, k: u64) {
        ops.extend(self.cast(m * k));
        ops.push(self.product(m, n, k));
    }

    /// Input gradient of the same product: `[m, n] x [n, k]`, the output gradient's cast before it.
    pub(super) fn backward(&self, ops: &mut Vec<Op>, m: u64, n: u64, k: u64) {
        ops.extend(self.cast(m * n));
        ops.extend(self.turned(n * k));
        ops.push(self.product(m, k, n));
        if self.casts_ahead() {
            self.weight_operands(ops, m, n, k);
        }
    }

    /// Weight gradient of the same product: `[n, m] x [m, k]`, accumulated into the gradient.
    pub(super) fn weight(&self, ops: &mut Vec<Op>, m: u64, n: u64, k: u64) {
        if !self.casts_ahead() {
            self.weight_operands(ops, m, n, k);
        }
        ops.push(Op::GemmWeight(self.weight_product(m, n, k)));
    }

    /// Narrow formats transpose both operands of a weight gradient, one scale per 128 tokens of a channel.
    fn weight_operands(&self, ops: &mut Vec<Op>, m: u64, n: u64, k: u64) {
        ops.extend(self.cast(m * n));
        ops.extend(self.cast(m * k));
    }

    pub(super) const fn weight_product(&self, m: u64, n: u64, k: u64) -> Gemm {
        Gemm {
            m: n,
            n: k,
            k: m,
            precision: self.gemm_format(),
            output: self.plan.training.formats.gradients,
        }
    }

    pub(super) const fn product(&self, m: u64, n: u64, k: u64) -> Op {
        Op::Gemm(Gemm {
            m,
            n,
            k,
            precision: self.gemm_format(),
            output: self.activations(),
        })
    }
}
