//! The attention core of context-parallel ranks: what travels among them, and the attention that runs meanwhile.
//!
//! Each of `c` ranks holds `s = S / c` tokens of a sequence, an early and a late piece of it (zig-zag), so that causal work
//! is even: with its own keys `s² / 2` pairs, with each other rank's as many (all queries with the early keys, or the
//! late queries with all keys). Transformer Engine (`context_parallel.py`) does it in three ways:
//!
//! * a ring: `c − 1` messages of keys and values forward, each beside the attention to the block before; backward as
//!   many again and as many of their gradients, one chunk later. A message that takes longer than a chunk shows;
//! * gathered before the core, gathered again backward and the gradients scattered: nothing runs beside them;
//! * heads for sequences: queries, keys and values out before the core and its result back behind it (Ulysses).

use orrery_operation::{Attention, CollectiveOp, Mask};
use orrery_scenario::plan::{AttentionShape, ContextExchange, RecomputeModule};
use orrery_units::Bytes;

use super::{Op, Shapes};

/// What moves among context-parallel ranks in one stretch of the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContextTraffic {
    /// A message to the next rank of the ring, or a collective among all.
    pub op: CollectiveOp,
    /// Bytes of one, as [`Collective`](orrery_operation::Collective) counts them.
    pub bytes: Bytes,
    /// How many follow each other.
    pub times: u64,
}

/// A stretch of the core: what is computed, and what moves meanwhile. The next begins when both are done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stretch {
    /// What moves.
    pub traffic: Option<ContextTraffic>,
    /// What is computed.
    pub ops: Vec<Op>,
}

/// Widths of the tensors around a core on one device, in elements per token.
#[derive(Clone, Copy)]
struct Widths {
    queries: u64,
    keys_and_values: u64,
    result: u64,
}

impl Stretch {
    fn computed(ops: Vec<Op>) -> Self {
        Self { traffic: None, ops }
    }

    fn moved(op: CollectiveOp, bytes: Bytes) -> Self {
        let traffic = ContextTraffic { op, bytes, times: 1 };
        Self {
            traffic: Some(traffic),
            ops: Vec::new(),
        }
    }
}

impl Shapes<'_> {
    /// Bytes of the keys and values that a context-parallel rank holds of a microbatch.
    ///
    /// `b S / c · kv_heads / t · (d_qk + d_v)` elements. Worked: Llama 3 405B (8 heads of 128) at t = 8, c = 2, 8,192 tokens
    /// in BF16: 4,096 · 1 · 256 · 2 = 2 MiB.
    #[must_use]
    pub fn keys_and_values(&self, shape: &AttentionShape) -> Bytes {
        self.in_core(self.widths(&self.core(shape)).keys_and_values)
    }

    /// What the exchange of a context-parallel core holds beside what it keeps, while it runs backward: of a ring two
    /// buffers of keys, values and their gradients; gathered, all of them; exchanged for heads, one copy more of each tensor.
    #[must_use]
    pub fn context_buffers(&self, shape: &AttentionShape) -> Bytes {
        let ranks = u64::from(self.plan.layout.cp);
        if ranks == 1 {
            return Bytes::ZERO;
        }
        let own = self.keys_and_values(shape);
        match self.context_exchange(shape) {
            ContextExchange::Ring => own * 4,
            ContextExchange::AllGather => own * (2 * ranks),
            ContextExchange::AllToAll => {
                let widths = self.widths(&self.core(shape));
                self.in_core(widths.queries + widths.keys_and_values + widths.result)
            }
        }
    }

    /// The core forward, in stretches.
    #[must_use]
    pub fn core_forward(&self, shape: &AttentionShape) -> Vec<Stretch> {
        let core = self.core(shape);
        let ranks = u64::from(self.plan.layout.cp);
        let whole = Stretch::computed(vec![Op::AttentionForward(core)]);
        if ranks == 1 {
            return vec![whole];
        }
        let widths = self.widths(&core);
        let own = self.in_core(widths.keys_and_values);
        match self.context_exchange(shape) {
            ContextExchange::Ring => {
                let chunks = |diagonals, others| {
                    self.chunks(&core, diagonals, others, |ops, chunk| {
                        ops.push(Op::AttentionForward(chunk));
                        // What came of this block is folded into the result.
                        ops.push(self.pass(self.tokens * widths.result, 2, 1));
                    })
                };
                vec![
                    ring(own, ranks - 1, chunks(1, ranks - 2)),
                    Stretch::computed(chunks(0, 1)),
                ]
            }
            ContextExchange::AllGather => vec![Stretch::moved(CollectiveOp::AllGather, own * ranks), whole],
            ContextExchange::AllToAll => vec![
                self.turned_for_heads(widths.queries + widths.keys_and_values),
                whole,
                self.turned_for_heads(widths.result),
            ],
        }
    }

    /// The core backward, in stretches; recomputed first where it is.
    #[must_use]
    pub fn core_backward(&self, shape: &AttentionShape) -> Vec<Stretch> {
        let mut stretches = if self
            .plan
            .training
            .recompute
            .covers(RecomputeModule::CoreAttention)
        {
            self.core_forward(shape)
        } else {
            Vec::new()
        };
        let core = self.core(shape);
        let ranks = u64::from(self.plan.layout.cp);
        let whole = Stretch::computed(vec![Op::AttentionBackward(core)]);
        if ranks == 1 {
            stretches.push(whole);
            return stretches;
        }
        let widths = self.widths(&core);
        let own = self.in_core(widths.keys_and_values);
        match self.context_exchange(shape) {
            ContextExchange::Ring => {
                let chunks = |diagonals, others| {
                    self.chunks(&core, diagonals, others, |ops, chunk| {
                        ops.push(Op::AttentionBackward(chunk));
                        // Gradients of queries, and of the keys and values that came round, are added up.
                        let added = widths.queries + widths.keys_and_values;
                        ops.push(self.pass(self.tokens * added, 2, 1));
                    })
                };
                // Beside the first chunk keys and values alone, beside the last one gradients alone, else both.
                stretches.push(ring(own, 2, chunks(1, 1)));
                if ranks > 2 {
                    stretches.push(ring(own, 2 * (ranks - 2), chunks(0, ranks - 2)));
                }
            }
            ContextExchange::AllGather => stretches.extend([
                Stretch::moved(CollectiveOp::AllGather, own * ranks),
                whole,
                Stretch::moved(CollectiveOp::ReduceScatter, own * ranks),
            ]),
            ContextExchange::AllToAll => stretches.extend([
                self.turned_for_heads(widths.result),
                whole,
                self.turned_for_heads(widths.queries + widths.keys_and_values),
            ]),
        }
        stretches
    }

    /// How this layer's ranks exchange: windows of attention do not go round rings in Transformer Engine.
    fn context_exchange(&self, shape: &AttentionShape) -> ContextExchange {
        let exchange = self.plan.layout.cp_comm;
        let windowed = matches!(self.core(shape).mask, Mask::Sliding(_));
        match exchange {
            ContextExchange::Ring if windowed => ContextExchange::AllGather,
            ContextExchange::Ring | ContextExchange::AllGather | ContextExchange::AllToAll => exchange,
        }
    }

    /// Chunks of a causal ring, each of `s² / 2` pairs: with a rank's own keys, and with those of others.
    fn chunks(
        &self,
        core: &Attention,
        diagonals: u64,
        others: u64,
        push: impl Fn(&mut Vec<Op>, Attention),
    ) -> Vec<Op> {
        let own = self.plan.training.sequence_length / u64::from(self.plan.layout.cp);
        let diagonal = Attention {
            key_tokens: own,
            ..*core
        };
        let other = Attention {
            key_tokens: own / 2,
            mask: Mask::Full,
            ..*core
        };
        let mut ops = Vec::new();
        for _ in 0..diagonals {
            push(&mut ops, diagonal);
        }
        for _ in 0..others {
            push(&mut ops, other);
        }
        ops
    }

    /// `width` elements a token exchanged, heads for sequences.
    fn turned_for_heads(&self, width: u64) -> Stretch {
        Stretch::moved(CollectiveOp::AllToAll, self.in_core(width))
    }

    fn in_core(&self, width: u64) -> Bytes {
        self.plan.training.formats.attention.bytes_of(self.tokens * width)
    }

    /// Widths before heads are exchanged: those of one tensor-parallel rank.
    fn widths(&self, core: &Attention) -> Widths {
        let turned = match (self.plan.layout.cp_comm, self.plan.layout.cp) {
            (ContextExchange::AllToAll, ranks) => u64::from(ranks),
            (ContextExchange::Ring | ContextExchange::AllGather, _) => 1,
        };
        Widths {
            queries: core.heads * turned * core.qk_dim,
            keys_and_values: core.kv_heads * turned * (core.qk_dim + core.v_dim),
            result: core.heads * turned * core.v_dim,
        }
    }
}

/// So many messages round the ring beside `ops`.
const fn ring(bytes: Bytes, times: u64, ops: Vec<Op>) -> Stretch {
    let traffic = ContextTraffic {
        op: CollectiveOp::SendRecv,
        bytes,
        times,
    };
    Stretch {
        traffic: Some(traffic),
        ops,
    }
}
