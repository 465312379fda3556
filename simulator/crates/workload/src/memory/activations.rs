//! What a microbatch leaves behind in a layer for its backward pass: a table of saved tensors per block.
//!
//! Generalises Korthikanti et al. 2022 (arXiv 2205.05198), equations 1 to 4, to grouped and latent attention,
//! gated networks and experts. Inputs of matrix products are held in the format of the product, everything else
//! in the format of activations.

use orrery_operation::Precision;
use orrery_scenario::plan::Plan;
use orrery_scenario::plan::{AttentionShape, Layer, MlpShape, Recompute, RecomputeModule};
use orrery_units::Bytes;

use super::{Cause, KeptTensors, Scores};
use crate::routing::token_bytes;

/// One saved tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavedTensor {
    /// Name for people.
    pub name: &'static str,
    /// Why it is held.
    pub cause: Cause,
    /// How much it is.
    pub bytes: Bytes,
    /// What drops it when recomputed; none for what even full recompute keeps.
    pub dropped_by: &'static [RecomputeModule],
}

/// Activation memory of a plan.
#[derive(Clone, Copy, Debug)]
pub struct ActivationMemory<'p> {
    plan: &'p Plan,
    kept: KeptTensors,
    /// Tokens that a rank's matrix products see.
    tokens: u64,
    /// Tokens that a rank holds between blocks.
    held: u64,
    tp: u64,
}

/// What drops a tensor: nothing but full recompute.
const FULL: &[RecomputeModule] = &[];
const NORM: &[RecomputeModule] = &[RecomputeModule::Norm];
const CORE: &[RecomputeModule] = &[RecomputeModule::CoreAttention];
const UP: &[RecomputeModule] = &[RecomputeModule::MlaUpProjection];
const MLP: &[RecomputeModule] = &[RecomputeModule::Mlp];
const MLP_NORM: &[RecomputeModule] = &[RecomputeModule::Mlp, RecomputeModule::Norm];
const MLP_ACTIVATION: &[RecomputeModule] = &[RecomputeModule::Mlp, RecomputeModule::Activation];

impl<'p> ActivationMemory<'p> {
    /// The activation memory of `plan` with a fused attention core and no dropout.
    #[must_use]
    pub fn new(plan: &'p Plan) -> Self {
        Self::with_kept(plan, KeptTensors::default())
    }

    /// The same with the choice of what the attention core saves.
    #[must_use]
    pub fn with_scores(plan: &'p Plan, scores: Scores) -> Self {
        Self::with_kept(plan, scores.into())
    }

    /// The same with all that a framework may choose.
    #[must_use]
    pub fn with_kept(plan: &'p Plan, kept: KeptTensors) -> Self {
        let (layout, training) = (&plan.layout, &plan.training);
        let tp = u64::from(layout.tp);
        let tokens = training.micro_batch * training.sequence_length / u64::from(layout.cp);
        let held = if layout.sequence_parallel {
            tokens.div_ceil(tp)
        } else {
            tokens
        };
        Self {
            plan,
            kept,
            tokens,
            held,
            tp,
        }
    }

    /// Bytes that one microbatch leaves behind in the attention block of `layer`, by cause.
    #[must_use]
    pub fn attention(&self, layer: &Layer) -> Vec<(Cause, Bytes)> {
        self.kept(self.attention_tensors(layer))
    }

    /// Bytes that one microbatch leaves behind in the feed-forward block of `layer`, by cause, when
    /// `routed_tokens` assignments reach the rank's experts (not used by dense layers).
    #[must_use]
    pub fn mlp(&self, layer: &Layer, routed_tokens: u64) -> Vec<(Cause, Bytes)> {
        self.kept(self.mlp_tensors(layer, routed_tokens))
    }

    /// Bytes that one microbatch leaves behind in the whole `layer`.
    #[must_use]
    pub fn layer(&self, layer: &Layer, routed_tokens: u64) -> Bytes {
        let parts = self
            .attention(layer)
            .into_iter()
            .chain(self.mlp(layer, routed_tokens));
        parts.map(|(_, bytes)| bytes).sum()
    }

    /// Bytes that come back for a moment while a layer is recomputed in backward: all its tensors, less what is
    /// kept anyway.
    #[must_use]
    pub fn recomputed(&self, layer: &Layer, routed_tokens: u64) -> Bytes {
        let tensors = self
            .attention_tensors(layer)
            .into_iter()
            .chain(self.mlp_tensors(layer, routed_tokens));
        tensors
            .filter(|tensor| !self.is_kept(tensor))
            .map(|tensor| tensor.bytes)
            .sum()
    }

    /// Bytes that one microbatch leaves behind in the head and the loss: the final norm's input, the head's
    /// input, and the logits in FP32 (Korthikanti et al. 2022, section 4.3: `4 s b h / t (1 + v / h)`), once
    /// more for each multi-token-prediction module.
    #[must_use]
    pub fn head(&self, mtp_layers: u64) -> Bytes {
        let (model, formats) = (&self.plan.model, self.plan.training.formats);
        let inputs = formats.activations.bytes_of(2 * self.held * model.hidden);
        let logits = Precision::Fp32.bytes_of((self.tokens * model.vocab).div_ceil(self.tp));
        (inputs + logits) * (1 + mtp_layers)
    }

    /// The tensors of the attention block; which of them are kept is another question.
    #[must_use]
    pub fn attention_tensors(&self, layer: &Layer) -> Vec<SavedTensor> {
        let hidden = self.plan.model.hidden;
        let formats = self.plan.training.formats;
        let save = |name, bytes, dropped_by| SavedTensor {
            name,
            cause: Cause::Attention,
            bytes,
            dropped_by,
        };
        let mut saved = vec![
            self.input("attention norm input"),
            save(
                "projection input",
                token_bytes(hidden, formats.gemm) * self.held,
                NORM,
            ),
        ];
        let (heads, values) = self.push_projections(layer, &mut saved);
        self.push_core(heads.div_ceil(self.tp), &mut saved);
        let output = self.tokens * values.div_ceil(self.tp);
        saved.push(save("core output", formats.attention.bytes_of(output), FULL));
        if self.kept.core_copy && !self.kept.scores {
            saved.push(save(
                "core output, transposed",
                formats.attention.bytes_of(output),
                FULL,
            ));
        } else if formats.gemm.bits() < formats.attention.bits() {
            // The core's backward wants its output in its own format, the projection in another.
            saved.push(save(
                "output projection input",
                formats.gemm.bytes_of(output),
                FULL,
            ));
        }
        if self.kept.hidden_dropout {
            saved.push(save(
                "attention dropout mask",
                Bytes::new(self.held * hidden),
                FULL,
            ));
        }
        saved
    }

    /// What the projections save; returns the heads and the width of their values together.
    fn push_projections(&self, layer: &Layer, saved: &mut Vec<SavedTensor>) -> (u64, u64) {
        let formats = self.plan.training.formats;
        let mut save = |name, bytes, dropped_by| {
            saved.push(SavedTensor {
                name,
                cause: Cause::Attention,
                bytes,
                dropped_by,
            });
        };
        let in_core = |width: u64| formats.attention.bytes_of(self.tokens * width);
        match layer.attention {
            AttentionShape::Grouped {
                heads,
                kv_heads,
                head_dim,
                ..
            } => {
                let width =
                    (heads * head_dim).div_ceil(self.tp) + 2 * (kv_heads * head_dim).div_ceil(self.tp);
                save("queries, keys, values", in_core(width), FULL);
                if self.kept.head_norms {
                    let normed = ((heads + kv_heads) * head_dim).div_ceil(self.tp);
                    save("query and key norm inputs", in_core(normed), NORM);
                }
                (heads, heads * head_dim)
            }
            AttentionShape::Latent {
                heads,
                q_rank,
                kv_rank,
                nope_dim,
                rope_dim,
                v_dim,
            } => {
                let query = q_rank.unwrap_or(0);
                let compressed = formats
                    .activations
                    .bytes_of(self.held * (query + kv_rank + rope_dim));
                save("compressed queries, keys, values", compressed, FULL);
                let normed = token_bytes(query + kv_rank, formats.gemm) * self.held;
                save("up-projection inputs", normed, NORM);
                let width = (heads * (2 * (nope_dim + rope_dim) + v_dim)).div_ceil(self.tp);
                save("queries, keys, values", in_core(width), UP);
                (heads, heads * v_dim)
            }
        }
    }

    /// What the attention core saves: a logarithm per row and head, or scores, dropout mask and dropped scores.
    fn push_core(&self, heads: u64, saved: &mut Vec<SavedTensor>) {
        let rows = self.tokens * heads;
        let scores = rows * self.plan.training.sequence_length;
        let format = self.plan.training.formats.attention;
        let save = |name, bytes, dropped_by| SavedTensor {
            name,
            cause: Cause::Attention,
            bytes,
            dropped_by,
        };
        if !self.kept.scores {
            saved.push(save("row sums", Precision::Fp32.bytes_of(rows), FULL));
            return;
        }
        let softmax = if self.kept.softmax_fp32 {
            Precision::Fp32
        } else {
            format
        };
        saved.push(save("softmax output", softmax.bytes_of(scores), CORE));
        if self.kept.score_dropout {
            saved.push(save("score dropout mask", Bytes::new(scores), CORE));
            saved.push(save("dropped scores", format.bytes_of(scores), CORE));
        }
    }

    /// The tensors of the feed-forward block, with `routed_tokens` assignments to the rank's experts.
    #[must_use]
    pub fn mlp_tensors(&self, layer: &Layer, routed_tokens: u64) -> Vec<SavedTensor> {
        let hidden = self.plan.model.hidden;
        let formats = self.plan.training.formats;
        let save = |name, cause, bytes, dropped_by| SavedTensor {
            name,
            cause,
            bytes,
            dropped_by,
        };
        let mut saved = vec![self.input("MLP norm input")];
        match layer.mlp {
            MlpShape::Dense { width, gated } => {
                let input = token_bytes(hidden, formats.gemm) * self.held;
                saved.push(save("up-projection input", Cause::Mlp, input, MLP_NORM));
                self.push_inner(
                    Cause::Mlp,
                    self.tokens,
                    width.div_ceil(self.tp),
                    gated,
                    &mut saved,
                );
            }
            MlpShape::Moe {
                experts,
                width,
                shared_width,
                gated,
                ..
            } => {
                let input = formats.activations.bytes_of(self.held * hidden);
                saved.push(save("router and dispatch input", Cause::Mlp, input, MLP_NORM));
                let scores = Precision::Fp32.bytes_of(self.held * experts);
                saved.push(save("router scores", Cause::Mlp, scores, MLP));
                let dispatched = token_bytes(hidden, formats.gemm) * routed_tokens;
                saved.push(save("expert inputs", Cause::Experts, dispatched, MLP));
                let inner = width.div_ceil(u64::from(self.plan.layout.expert_tp));
                self.push_inner(Cause::Experts, routed_tokens, inner, gated, &mut saved);
                if self.kept.weighted_activation {
                    let outputs = formats.activations.bytes_of(routed_tokens * inner);
                    saved.push(save(
                        "activation function output, unweighted",
                        Cause::Experts,
                        outputs,
                        MLP_ACTIVATION,
                    ));
                }
                if shared_width > 0 {
                    self.push_inner(
                        Cause::Mlp,
                        self.tokens,
                        shared_width.div_ceil(self.tp),
                        gated,
                        &mut saved,
                    );
                }
            }
        }
        if self.kept.hidden_dropout {
            saved.push(save(
                "MLP dropout mask",
                Cause::Mlp,
                Bytes::new(self.held * hidden),
                MLP,
            ));
        }
        saved
    }

    /// Input and output of the activation function, for `rows` rows.
    fn push_inner(&self, cause: Cause, rows: u64, width: u64, gated: bool, saved: &mut Vec<SavedTensor>) {
        let formats = self.plan.training.formats;
        let parts = if gated { 2_u64 } else { 1 };
        saved.push(SavedTensor {
            name: "activation function input",
            cause,
            bytes: token_bytes(width * parts, formats.kept) * rows,
            dropped_by: MLP,
        });
        saved.push(SavedTensor {
            name: "down-projection input",
            cause,
            bytes: token_bytes(width, formats.gemm) * rows,
            dropped_by: MLP_ACTIVATION,
        });
    }

    fn input(&self, name: &'static str) -> SavedTensor {
        let formats = self.plan.training.formats;
        SavedTensor {
            name,
            cause: Cause::LayerInputs,
            bytes: formats.activations.bytes_of(self.held * self.plan.model.hidden),
            dropped_by: FULL,
        }
    }

    fn is_kept(&self, tensor: &SavedTensor) -> bool {
        match &self.plan.training.recompute {
            Recompute::None => true,
            // Only the input of the layer: that of its first norm.
            Recompute::Full => tensor.name == "attention norm input",
            Recompute::Selective(modules) => !tensor.dropped_by.iter().any(|module| modules.contains(module)),
        }
    }

    fn kept(&self, tensors: Vec<SavedTensor>) -> Vec<(Cause, Bytes)> {
        let mut sums: Vec<(Cause, Bytes)> = Vec::new();
        for tensor in tensors.into_iter().filter(|tensor| self.is_kept(tensor)) {
            match sums.iter_mut().find(|(cause, _)| *cause == tensor.cause) {
                Some((_, sum)) => *sum += tensor.bytes,
                None => sums.push((tensor.cause, tensor.bytes)),
            }
        }
        sums
    }
}
