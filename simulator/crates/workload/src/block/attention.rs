//! The attention block: norm, projections, rotary embedding, core, output projection, residual.

use orrery_operation::{Attention, Mask, MemoryPass, Precision};
use orrery_scenario::plan::{AttentionShape, ContextExchange, RecomputeModule};
use orrery_units::Bytes;

use super::{Block, Op, Shapes, Stretch};

/// A projection `[k, n]` applied to `m` tokens.
#[derive(Clone, Copy)]
struct Projection {
    m: u64,
    n: u64,
    k: u64,
    /// Whether its output is computed again in backward when latent up-projections are.
    up: bool,
}

/// The attention block of a layer in the order of time, forward and backward, cut where its core begins and ends.
#[derive(Clone, Debug, PartialEq)]
pub struct CutAttention {
    /// Before the core.
    pub ahead: [Vec<Op>; 2],
    /// The core.
    pub core: [Vec<Stretch>; 2],
    /// Behind the core.
    pub behind: [Vec<Op>; 2],
    /// Gradients of the weights.
    pub weight: Vec<Op>,
}

/// From activations to what is kept of them, or from that back.
#[derive(Clone, Copy)]
enum Way {
    Out,
    Back,
}

impl Shapes<'_> {
    /// The attention block of a layer.
    #[must_use]
    pub fn attention(&self, shape: &AttentionShape) -> Block {
        let CutAttention {
            ahead: [mut forward, mut backward],
            core: [core_forward, core_backward],
            behind: [behind_forward, behind_backward],
            weight,
        } = self.cut_attention(shape);
        forward.extend(core_forward.into_iter().flat_map(|stretch| stretch.ops));
        forward.extend(behind_forward);
        backward.extend(core_backward.into_iter().flat_map(|stretch| stretch.ops));
        backward.extend(behind_backward);
        Block {
            forward,
            backward,
            weight,
        }
    }

    /// The same block in the order of time, cut where its core begins and ends.
    #[must_use]
    pub fn cut_attention(&self, shape: &AttentionShape) -> CutAttention {
        let hidden = self.plan.model.hidden;
        let recompute = &self.plan.training.recompute;
        let projections = self.projections(shape);
        let (output, inputs) = projections
            .split_last()
            .expect("attention has an output projection");
        let between = self.between_projections(shape);
        let norm = self.norm(self.held_tokens * hidden, 1, 1);

        let mut ahead = vec![norm];
        for p in inputs {
            self.forward(&mut ahead, p.m, p.n, p.k);
        }
        ahead.extend(&between);
        let mut behind: Vec<Op> = self.core_result(shape, Way::Out).into_iter().collect();
        self.forward(&mut behind, output.m, output.n, output.k);
        behind.push(self.pass(self.held_tokens * hidden, 2, 1));

        let mut gradient = Vec::new();
        if recompute.covers(RecomputeModule::Norm) {
            gradient.push(norm);
        }
        for p in projections
            .iter()
            .filter(|p| p.up && recompute.covers(RecomputeModule::MlaUpProjection))
        {
            self.forward(&mut gradient, p.m, p.n, p.k);
        }
        self.backward(&mut gradient, output.m, output.n, output.k);
        gradient.extend(self.core_result(shape, Way::Back));
        // Rotation back, and the gradients of queries, keys and values put together: two passes where
        // forward has one (rotary and copy kernels of the public trace, phase attn(B)).
        let mut gradient_behind = [between.clone(), between].concat();
        for p in inputs {
            self.backward(&mut gradient_behind, p.m, p.n, p.k);
        }
        // Norm backward reads the input and the gradient; the residual gradient is added on the way.
        gradient_behind.push(self.norm(self.held_tokens * hidden, 3, 1));

        let mut weight = Vec::new();
        for p in &projections {
            self.weight(&mut weight, p.m, p.n, p.k);
        }
        CutAttention {
            ahead: [ahead, gradient],
            core: [self.core_forward(shape), self.core_backward(shape)],
            behind: [behind, gradient_behind],
            weight,
        }
    }

    /// The result of the core as it is kept for backward, where activations are kept narrow: it is precious, and kept in
    /// 12 bits (E5M6, DeepSeek-V3 report, section 3.3.3; `per_token_cast_to_fp8_with_fp8_special_fmt` of the trace and
    /// its way back).
    fn core_result(&self, shape: &AttentionShape, way: Way) -> Option<Op> {
        let core = self.core(shape);
        let elements = self.tokens * core.heads * core.v_dim;
        let (wide, narrow) = (
            self.activations().bytes_of(elements),
            Bytes::new(elements * 12 / 8),
        );
        let (read, written) = match way {
            Way::Out => (wide, narrow),
            Way::Back => (narrow, wide),
        };
        self.keeps_narrow()
            .then(|| Op::Pass(MemoryPass::new(read, written, 1)))
    }

    /// The attention core of a layer, per device: that of all of a context-parallel rank's chunks together, or of its heads
    /// where sequences are exchanged for heads.
    #[must_use]
    pub fn core(&self, shape: &AttentionShape) -> Attention {
        let (training, layout) = (&self.plan.training, &self.plan.layout);
        let whole = attention_core(shape, training.formats.attention, training.sequence_length);
        let ranks = u64::from(layout.cp);
        let (queries_of, heads_of) = match layout.cp_comm {
            // A context-parallel rank holds a part of the queries and sees all keys in turn.
            ContextExchange::Ring | ContextExchange::AllGather => (ranks, 1),
            ContextExchange::AllToAll => (1, ranks),
        };
        Attention {
            sequences: training.micro_batch,
            query_tokens: training.sequence_length / queries_of,
            heads: whole.heads / (self.tp * heads_of),
            kv_heads: (whole.kv_heads / (self.tp * heads_of)).max(1),
            ..whole
        }
    }

    fn projections(&self, shape: &AttentionShape) -> Vec<Projection> {
        let (m, hidden, tp) = (self.tokens, self.plan.model.hidden, self.tp);
        let projection = |n, k, up| Projection { m, n, k, up };
        match *shape {
            AttentionShape::Grouped {
                heads,
                kv_heads,
                head_dim,
                ..
            } => vec![
                projection(
                    (heads / tp + 2 * (kv_heads / tp).max(1)) * head_dim,
                    hidden,
                    false,
                ),
                projection(hidden, heads / tp * head_dim, false),
            ],
            AttentionShape::Latent {
                heads,
                q_rank,
                kv_rank,
                nope_dim,
                rope_dim,
                v_dim,
            } => {
                let queries = heads / tp * (nope_dim + rope_dim);
                let keys = projection(heads / tp * (nope_dim + v_dim), kv_rank, true);
                let output = projection(hidden, heads / tp * v_dim, false);
                let down = kv_rank + rope_dim;
                match q_rank {
                    // Both down-projections read the same input and run as one product.
                    Some(rank) => {
                        vec![
                            projection(rank + down, hidden, false),
                            projection(queries, rank, true),
                            keys,
                            output,
                        ]
                    }
                    None => vec![projection(queries + down, hidden, false), keys, output],
                }
            }
        }
    }

    /// Passes between projections and core: rotary embedding of queries and keys, assembly of latent keys.
    fn between_projections(&self, shape: &AttentionShape) -> Vec<Op> {
        match *shape {
            AttentionShape::Grouped {
                heads,
                kv_heads,
                head_dim,
                ..
            } => {
                let rotated = (heads / self.tp + (kv_heads / self.tp).max(1)) * head_dim;
                if self.plan.model.learned_positions > 0 {
                    return Vec::new();
                }
                vec![self.pass(self.tokens * rotated, 1, 1)]
            }
            AttentionShape::Latent {
                heads,
                q_rank,
                kv_rank,
                nope_dim,
                rope_dim,
                ..
            } => {
                let full = heads / self.tp * (nope_dim + rope_dim);
                let latents = kv_rank + q_rank.unwrap_or(0);
                vec![
                    self.pass(self.tokens * full, 1, 1),
                    self.pass(self.tokens * full, 1, 1),
                    self.norm(self.tokens * latents, 1, 1),
                ]
            }
        }
    }
}

/// The attention core of a layer over one whole sequence of `tokens`, all heads on one device.
#[must_use]
pub const fn attention_core(shape: &AttentionShape, precision: Precision, tokens: u64) -> Attention {
    let (heads, kv_heads, qk_dim, v_dim, mask) = match *shape {
        AttentionShape::Grouped {
            heads,
            kv_heads,
            head_dim,
            window,
            ..
        } => {
            let mask = match window {
                Some(window) => Mask::Sliding(window),
                None => Mask::Causal,
            };
            (heads, kv_heads, head_dim, head_dim, mask)
        }
        AttentionShape::Latent {
            heads,
            nope_dim,
            rope_dim,
            v_dim,
            ..
        } => (heads, heads, nope_dim + rope_dim, v_dim, Mask::Causal),
    };
    let (query_tokens, key_tokens) = (tokens, tokens);
    Attention {
        sequences: 1,
        query_tokens,
        key_tokens,
        heads,
        kv_heads,
        qk_dim,
        v_dim,
        mask,
        precision,
    }
}
