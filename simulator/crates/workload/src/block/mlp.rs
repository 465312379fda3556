//! The feed-forward block: dense, or experts with router, permutation and shared experts.

use orrery_operation::{Gemm, GroupedGemm, MemoryPass, Precision};
use orrery_scenario::plan::{Gate, MlpShape, RecomputeModule};

use super::{Block, MoeRows, Op, Shapes};

/// Sizes of a routed expert on one device.
#[derive(Clone, Copy)]
struct Expert {
    rows: MoeRows,
    width: u64,
    /// Columns of the first product: twice the width when gated.
    inner: u64,
}

impl Shapes<'_> {
    /// A dense feed-forward block, its norm and residual included.
    #[must_use]
    pub fn dense_mlp(&self, width: u64, gated: bool) -> Block {
        let mut block = self.network(self.tokens, width / self.tp, gated);
        self.around(&mut block);
        block
    }

    /// What a layer with experts does before dispatch: norm, router, and the cast of what is sent.
    ///
    /// The router's product runs in 32-bit floats on TF32 cores, as routers are kept in high precision. Its many
    /// small kernels are counted, for each costs its ramp: see `small_kernels`.
    #[must_use]
    pub fn router(&self, experts: u64, gate: Gate) -> Block {
        let (small_forward, small_backward) = small_kernels(gate);
        let (tokens, hidden) = (self.held_tokens, self.plan.model.hidden);
        let product = |m, n, k| Gemm {
            m,
            n,
            k,
            precision: Precision::Tf32,
            output: Precision::Fp32,
        };
        let norm = self.norm(tokens * hidden, 1, 1);
        let scores = Op::Pass(MemoryPass::new(
            Precision::Fp32.bytes_of(tokens * experts * 2),
            Precision::Fp32.bytes_of(tokens * experts),
            2 + small_forward,
        ));
        let gradients = Op::Pass(MemoryPass::new(
            Precision::Fp32.bytes_of(tokens * experts * 2),
            Precision::Fp32.bytes_of(tokens * experts),
            2 + small_backward,
        ));
        let mut backward = vec![
            gradients,
            Op::Gemm(product(tokens, hidden, experts)),
            self.norm(tokens * hidden, 3, 1),
        ];
        if self.plan.training.recompute.covers(RecomputeModule::Norm) {
            backward.insert(0, norm);
        }
        Block {
            forward: [norm, Op::Gemm(product(tokens, experts, hidden)), scores]
                .into_iter()
                .chain(self.dispatch_cast())
                .collect(),
            backward,
            weight: vec![Op::GemmWeight(product(experts, hidden, tokens))],
        }
    }

    /// The cast of what is sent to experts, where it is narrower than the residual stream.
    fn dispatch_cast(&self) -> Option<Op> {
        let (from, to) = (self.activations(), self.plan.training.formats.dispatch);
        let elements = self.held_tokens * self.plan.model.hidden;
        let pass = MemoryPass::new(from.bytes_of(elements), to.bytes_of(elements), 1);
        (to.bits() < from.bits()).then_some(Op::Pass(pass))
    }

    /// The shared experts of a layer: a dense network over the tokens that the device holds.
    #[must_use]
    pub fn shared_experts(&self, mlp: &MlpShape) -> Block {
        match *mlp {
            MlpShape::Moe {
                shared_width, gated, ..
            } if shared_width > 0 => self.network(self.held_tokens, shared_width, gated),
            MlpShape::Moe { .. } | MlpShape::Dense { .. } => Block::default(),
        }
    }

    /// Appends what routed experts do forward at the given rows: expansion to one row per copy, two grouped
    /// products with the activation between them, weighted reduction.
    pub fn routed_forward(&self, mlp: &MlpShape, rows: MoeRows, ops: &mut Vec<Op>) {
        let hidden = self.plan.model.hidden;
        let Some(expert) = self.expert(mlp, rows) else {
            return;
        };
        let Expert { width, inner, .. } = expert;
        ops.extend([self.expand(rows), self.grouped(expert, inner, hidden)]);
        self.activated(ops, rows.rows, width, inner);
        ops.extend([
            self.grouped(expert, hidden, width),
            self.pass(rows.rows * hidden, 1, 1),
        ]);
        // Turned once for both products of backward.
        ops.extend(self.turned(rows.active * (inner + width) * hidden));
    }

    /// Appends what routed experts do backward with respect to their inputs.
    pub fn routed_backward(&self, mlp: &MlpShape, rows: MoeRows, ops: &mut Vec<Op>) {
        let hidden = self.plan.model.hidden;
        let Some(expert) = self.expert(mlp, rows) else {
            return;
        };
        let Expert { width, inner, .. } = expert;
        let recompute = &self.plan.training.recompute;
        if recompute.covers(RecomputeModule::Mlp) {
            self.routed_forward(mlp, rows, ops);
        } else {
            ops.extend(self.activation_again(rows.rows, width, inner));
        }
        ops.extend([
            self.pass(rows.rows * hidden, 1, 1),
            self.grouped(expert, width, hidden),
        ]);
        ops.extend(self.cast_back(rows.rows * inner));
        ops.push(self.activation_backward(rows.rows, width, inner));
        // The gradient of the routing weights: one product of gradient and result per row.
        ops.push(self.pass(rows.rows * width, 1, 0));
        ops.extend(self.cast(rows.rows * inner));
        ops.extend([self.grouped(expert, hidden, inner), self.expand(rows)]);
        if self.casts_ahead() {
            ops.extend(self.cast(rows.rows * width));
            ops.extend(self.cast(rows.rows * inner));
        }
    }

    /// Appends the weight gradients of routed experts.
    pub fn routed_weight(&self, mlp: &MlpShape, rows: MoeRows, ops: &mut Vec<Op>) {
        let hidden = self.plan.model.hidden;
        let Some(expert) = self.expert(mlp, rows) else {
            return;
        };
        let (width, inner) = (expert.width, expert.inner);
        for (own, n, k) in [(width, hidden, width), (inner, inner, hidden)] {
            // What came from other ranks is `hidden` wide, and cast here by every stack.
            ops.extend(self.cast(rows.rows * hidden));
            if !self.casts_ahead() {
                ops.extend(self.cast(rows.rows * own));
            }
            ops.push(self.grouped_weight(expert, n, k));
        }
    }

    fn expert(&self, mlp: &MlpShape, rows: MoeRows) -> Option<Expert> {
        let MlpShape::Moe { width, gated, .. } = *mlp else {
            return None;
        };
        let width = width / u64::from(self.plan.layout.expert_tp);
        Some(Expert {
            rows,
            width,
            inner: if gated { 2 * width } else { width },
        })
    }

    /// Rows as they arrived into one row per copy, in expert order: a map, a count and a copy.
    fn expand(&self, rows: MoeRows) -> Op {
        let bytes = self
            .plan
            .training
            .formats
            .dispatch
            .bytes_of(rows.rows * self.plan.model.hidden);
        Op::Pass(MemoryPass::new(bytes, bytes, 3))
    }

    /// Two products with an activation between them, over `m` tokens.
    fn network(&self, m: u64, width: u64, gated: bool) -> Block {
        let hidden = self.plan.model.hidden;
        let inner = if gated { 2 * width } else { width };
        let recompute = &self.plan.training.recompute;
        let mut block = Block::default();
        self.forward(&mut block.forward, m, inner, hidden);
        self.activated(&mut block.forward, m, width, inner);
        block.forward.push(self.product(m, hidden, width));
        if recompute.covers(RecomputeModule::Mlp) {
            block.backward.extend(block.forward.clone());
        } else {
            block.backward.extend(self.activation_again(m, width, inner));
        }
        self.backward(&mut block.backward, m, hidden, width);
        block.backward.extend(self.cast_back(m * inner));
        block.backward.push(self.activation_backward(m, width, inner));
        self.backward(&mut block.backward, m, inner, hidden);
        self.weight(&mut block.weight, m, hidden, width);
        self.weight(&mut block.weight, m, inner, hidden);
        block
    }

    /// Input norm and residual of a feed-forward block.
    fn around(&self, block: &mut Block) {
        let elements = self.held_tokens * self.plan.model.hidden;
        let norm = self.norm(elements, 1, 1);
        block.forward.insert(0, norm);
        block.forward.push(self.pass(elements, 2, 1));
        if self.plan.training.recompute.covers(RecomputeModule::Norm) {
            block.backward.insert(0, norm);
        }
        block.backward.push(self.norm(elements, 3, 1));
    }

    /// The activation function and the cast of its result, one kernel where its input is kept in a narrower format,
    /// whose copy is written besides (`swiglu_forward_with_weight_and_per_token_cast` of the trace).
    fn activated(&self, ops: &mut Vec<Op>, m: u64, width: u64, inner: u64) {
        match self.keep(m * inner) {
            None => {
                ops.push(self.activation(m, width, inner));
                ops.extend(self.cast(m * width));
            }
            Some(kept) => ops.extend([
                kept,
                Op::Pass(MemoryPass::new(
                    self.activations().bytes_of(m * inner),
                    self.plan.training.formats.gemm.bytes_of(m * width),
                    1,
                )),
            ]),
        }
    }

    /// The activation computed again for backward; with its input kept narrow its backward does that on the way
    /// (`swiglu_forward_backward_with_weight` of the trace).
    fn activation_again(&self, m: u64, width: u64, inner: u64) -> Option<Op> {
        let again = self.plan.training.recompute.covers(RecomputeModule::Activation);
        (again && !self.keeps_narrow()).then(|| self.activation(m, width, inner))
    }

    /// The activation function: reads the first product's output, writes the second product's input.
    fn activation(&self, m: u64, width: u64, inner: u64) -> Op {
        let format = self.activations();
        Op::Pass(MemoryPass::new(
            format.bytes_of(m * inner),
            format.bytes_of(m * width),
            1,
        ))
    }

    /// Its backward: reads the input and the gradient, writes the input's gradient.
    fn activation_backward(&self, m: u64, width: u64, inner: u64) -> Op {
        let format = self.activations();
        Op::Pass(MemoryPass::new(
            format.bytes_of(m * (inner + width)),
            format.bytes_of(m * inner),
            1,
        ))
    }

    fn grouped(&self, expert: Expert, n: u64, k: u64) -> Op {
        let formats = &self.plan.training.formats;
        Op::Grouped(GroupedGemm {
            rows: expert.rows.rows,
            padded_rows: expert.rows.padded,
            active_groups: expert.rows.active,
            n,
            k,
            precision: formats.gemm,
            output: formats.activations,
        })
    }

    /// Weight gradients of all experts: as many operations as one grouped product, contracted over rows.
    ///
    /// Expressed as one product per expert of the mean number of rows: tokens are the contracted dimension,
    /// so that padding does not apply and imbalance between experts cancels in the sum.
    fn grouped_weight(&self, expert: Expert, n: u64, k: u64) -> Op {
        let groups = expert.rows.active.max(1);
        let formats = &self.plan.training.formats;
        Op::GroupedWeight(GroupedGemm {
            rows: groups * n,
            padded_rows: groups * n,
            active_groups: groups,
            n: k,
            k: expert.rows.rows.div_ceil(groups),
            precision: formats.gemm,
            output: formats.gradients,
        })
    }
}

/// Small kernels of the router and around it, forward and backward, beside those that stand for bytes.
///
/// Sigmoid gates with group-limited choice: the public DeepSeek-V3 trace launches 65 kernels in attention and
/// router forward and 100 backward (tests/truth/deepseek_v3_train_profile_phases.csv), of which the lists here
/// name 20 and 27; the rest take two to five microseconds each. Softmax gates: nothing published was found; none
/// are counted.
const fn small_kernels(gate: Gate) -> (u32, u32) {
    match gate {
        Gate::SigmoidBias => (45, 73),
        Gate::Softmax => (0, 0),
    }
}
