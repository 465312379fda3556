//! The ends of the model and of the step: embedding, head with loss, optimiser.

use orrery_operation::{Gemm, MemoryPass, Precision};
use orrery_units::Bytes;

use super::{Block, Op, Shapes};

impl Shapes<'_> {
    /// The input embedding: a gather forward, a scatter-add backward.
    #[must_use]
    pub fn embedding(&self) -> Block {
        let elements = self.tokens * self.plan.model.hidden;
        Block {
            forward: vec![self.pass(elements, 1, 1)],
            backward: Vec::new(),
            weight: vec![self.pass(elements, 2, 1)],
        }
    }

    /// The output head with its norm and the loss: logits in the activations' format, softmax in 32 bits.
    ///
    /// The product itself stays in the activations' format: stacks that train in 8 bits keep the head wide
    /// (DeepSeek-V3, section 3.3.1).
    #[must_use]
    pub fn head(&self) -> Block {
        let (hidden, vocab) = (self.plan.model.hidden, self.plan.model.vocab / self.tp);
        let wide = self.activations();
        let product = |m, n, k, output| Gemm {
            m,
            n,
            k,
            precision: wide,
            output,
        };
        let norm = self.norm(self.held_tokens * hidden, 1, 1);
        let logits = self.tokens * vocab;
        let wide_logits = Precision::Fp32.bytes_of(logits);
        // Vocabulary-parallel cross entropy: maximum, exponentials and sum forward; one rewrite backward.
        let loss = Op::Pass(MemoryPass::new(
            wide.bytes_of(logits) + wide_logits,
            wide_logits,
            3,
        ));
        let loss_backward = Op::Pass(MemoryPass::new(wide_logits, wide.bytes_of(logits), 1));
        Block {
            forward: vec![norm, Op::Gemm(product(self.tokens, vocab, hidden, wide)), loss],
            backward: vec![
                loss_backward,
                Op::Gemm(product(self.tokens, hidden, vocab, wide)),
                self.norm(self.held_tokens * hidden, 3, 1),
            ],
            weight: vec![Op::GemmWeight(product(
                vocab,
                hidden,
                self.tokens,
                self.plan.training.formats.gradients,
            ))],
        }
    }

    /// The projection of a multi-token-prediction module: `[2 h, h]`, with the norms of both halves.
    #[must_use]
    pub fn mtp_projection(&self) -> Block {
        let hidden = self.plan.model.hidden;
        let mut block = Block::default();
        block.forward.push(self.pass(2 * self.held_tokens * hidden, 1, 1));
        self.forward(&mut block.forward, self.tokens, hidden, 2 * hidden);
        self.backward(&mut block.backward, self.tokens, hidden, 2 * hidden);
        block
            .backward
            .push(self.pass(2 * self.held_tokens * hidden, 2, 1));
        self.weight(&mut block.weight, self.tokens, hidden, 2 * hidden);
        block
    }

    /// One Adam update of `owned` parameters on this device: gradient, master and two moments in; master,
    /// two moments and the stored parameter out.
    #[must_use]
    pub fn optimizer(&self, owned: u64) -> MemoryPass {
        let formats = &self.plan.training.formats;
        let states = formats.master.bytes_of(owned) + formats.moments.bytes_of(2 * owned);
        let read: Bytes = states + formats.gradients.bytes_of(owned);
        MemoryPass::new(read, states + formats.weights.bytes_of(owned), 8)
    }

    /// The global gradient norm: one reading of the gradients that this device owns.
    #[must_use]
    pub fn gradient_norm(&self, owned: u64) -> MemoryPass {
        let gradients = self.plan.training.formats.gradients.bytes_of(owned);
        MemoryPass::new(gradients, Bytes::ZERO, 2)
    }
}
