//! The dimensions of a model before it is built: from a config file, from the scenario, or from both.

use crate::plan::{AttentionShape, Gate, Layer, MlpShape, Model};
use crate::raw::View;

/// Dimensions; absent ones take a default when the model is built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ModelFields {
    pub(crate) layers: Option<u64>,
    pub(crate) hidden: Option<u64>,
    pub(crate) vocab: Option<u64>,
    pub(crate) heads: Option<u64>,
    pub(crate) kv_heads: Option<u64>,
    pub(crate) head_dim: Option<u64>,
    pub(crate) attention_bias: Option<bool>,
    pub(crate) window: Option<u64>,
    pub(crate) window_layers: Option<Vec<u64>>,
    pub(crate) q_rank: Option<u64>,
    pub(crate) kv_rank: Option<u64>,
    pub(crate) nope_dim: Option<u64>,
    pub(crate) rope_dim: Option<u64>,
    pub(crate) v_dim: Option<u64>,
    pub(crate) ffn: Option<u64>,
    pub(crate) gated: Option<bool>,
    pub(crate) experts: Option<u64>,
    pub(crate) top_k: Option<u64>,
    pub(crate) expert_ffn: Option<u64>,
    pub(crate) shared_ffn: Option<u64>,
    pub(crate) dense_layers: Option<Vec<u64>>,
    pub(crate) gate: Option<Gate>,
    pub(crate) tied_embeddings: Option<bool>,
    pub(crate) learned_positions: Option<u64>,
    pub(crate) mtp_layers: Option<u64>,
    /// Most groups of experts that a token may use, of how many (group-limited routing).
    pub(crate) routing_groups: Option<(u64, u64)>,
}

/// Why a model cannot be built: the field, what is wrong, and a value that works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ModelFault {
    pub(crate) field: &'static str,
    pub(crate) message: String,
    pub(crate) help: String,
}

impl ModelFields {
    /// What a scenario writes in `model.fields` or `model.override`.
    pub(crate) fn read(view: View<'_>) -> Self {
        let number = |key| view.integer(key).map(|given| given.value);
        let flag = |key| view.flag(key).map(|given| given.value);
        let list = |key| view.integers(key).map(|given| given.value);
        Self {
            layers: number("layers"),
            hidden: number("hidden"),
            vocab: number("vocab"),
            heads: number("heads"),
            kv_heads: number("kv_heads"),
            head_dim: number("head_dim"),
            attention_bias: flag("attention_bias"),
            window: number("window"),
            window_layers: list("window_layers"),
            q_rank: number("q_rank"),
            kv_rank: number("kv_rank"),
            nope_dim: number("nope_dim"),
            rope_dim: number("rope_dim"),
            v_dim: number("v_dim"),
            ffn: number("ffn"),
            gated: flag("gated"),
            experts: number("experts"),
            top_k: number("top_k"),
            expert_ffn: number("expert_ffn"),
            shared_ffn: number("shared_ffn"),
            dense_layers: list("dense_layers"),
            gate: view.text("gate").map(|given| match given.value.as_str() {
                "sigmoid-bias" => Gate::SigmoidBias,
                _ => Gate::Softmax,
            }),
            tied_embeddings: flag("tied_embeddings"),
            learned_positions: number("learned_positions"),
            mtp_layers: number("mtp_layers"),
            routing_groups: None,
        }
    }

    /// These fields, with those of `over` where it has any.
    pub(crate) fn overridden(self, over: Self) -> Self {
        Self {
            layers: over.layers.or(self.layers),
            hidden: over.hidden.or(self.hidden),
            vocab: over.vocab.or(self.vocab),
            heads: over.heads.or(self.heads),
            kv_heads: over.kv_heads.or(self.kv_heads),
            head_dim: over.head_dim.or(self.head_dim),
            attention_bias: over.attention_bias.or(self.attention_bias),
            window: over.window.or(self.window),
            window_layers: over.window_layers.or(self.window_layers),
            q_rank: over.q_rank.or(self.q_rank),
            kv_rank: over.kv_rank.or(self.kv_rank),
            nope_dim: over.nope_dim.or(self.nope_dim),
            rope_dim: over.rope_dim.or(self.rope_dim),
            v_dim: over.v_dim.or(self.v_dim),
            ffn: over.ffn.or(self.ffn),
            gated: over.gated.or(self.gated),
            experts: over.experts.or(self.experts),
            top_k: over.top_k.or(self.top_k),
            expert_ffn: over.expert_ffn.or(self.expert_ffn),
            shared_ffn: over.shared_ffn.or(self.shared_ffn),
            dense_layers: over.dense_layers.or(self.dense_layers),
            gate: over.gate.or(self.gate),
            tied_embeddings: over.tied_embeddings.or(self.tied_embeddings),
            learned_positions: over.learned_positions.or(self.learned_positions),
            mtp_layers: over.mtp_layers.or(self.mtp_layers),
            routing_groups: over.routing_groups.or(self.routing_groups),
        }
    }

    /// The model called `name`.
    pub(crate) fn build(&self, name: &str) -> Result<Model, Vec<ModelFault>> {
        let mut faults = Vec::new();
        let hidden = needed("hidden", self.hidden, "4096", &mut faults);
        let vocab = needed("vocab", self.vocab, "128256", &mut faults);
        let num_layers = needed("layers", self.layers, "32", &mut faults);
        let heads = needed("heads", self.heads, "32", &mut faults);
        if !faults.is_empty() {
            return Err(faults);
        }
        let experts = self.experts.unwrap_or(0);
        self.check_heads(hidden, heads, &mut faults);
        self.check_experts(experts, num_layers, &mut faults);
        if !faults.is_empty() {
            return Err(faults);
        }
        self.check_size(hidden, vocab, num_layers, &mut faults);
        if !faults.is_empty() {
            return Err(faults);
        }
        let layers = (0..num_layers).map(|at| Layer {
            attention: self.attention(hidden, heads, at),
            mlp: self.mlp(experts, at),
        });
        Ok(Model {
            name: name.to_owned(),
            hidden,
            vocab,
            tied_embeddings: self.tied_embeddings.unwrap_or(false),
            learned_positions: self.learned_positions.unwrap_or(0),
            layers: layers.collect(),
            mtp_layers: self.mtp_layers.unwrap_or(0),
        })
    }

    /// Far more parameters than any model has would overflow the count; the dimensions are a mistake.
    #[expect(
        clippy::cast_precision_loss,
        reason = "an estimate, compared with a generous bound"
    )]
    fn check_size(&self, hidden: u64, vocab: u64, num_layers: u64, faults: &mut Vec<ModelFault>) {
        let or_zero = |field: Option<u64>| field.unwrap_or(0) as f64;
        let widths = [
            self.head_dim,
            self.q_rank,
            self.kv_rank,
            self.nope_dim,
            self.rope_dim,
            self.v_dim,
        ];
        let attention: f64 = widths.into_iter().map(or_zero).sum::<f64>() + hidden as f64;
        let attention = attention * (or_zero(self.heads) + or_zero(self.kv_heads)) * (hidden as f64);
        let experts = or_zero(self.experts) * or_zero(self.expert_ffn);
        let network = (experts + or_zero(self.ffn) + or_zero(self.shared_ffn)) * hidden as f64;
        let layers = (num_layers as f64 + or_zero(self.mtp_layers)) * (attention + network);
        let ends = (vocab as f64 + or_zero(self.learned_positions)) * hidden as f64;
        if num_layers > 100_000 || 4.0 * (layers + ends) > 1e17 {
            faults.push(ModelFault {
                field: "layers",
                message: "the dimensions make a model far larger than any".to_owned(),
                help: "layers = 61, hidden = 7168: correct the largest dimension".to_owned(),
            });
        }
    }

    fn check_heads(&self, hidden: u64, heads: u64, faults: &mut Vec<ModelFault>) {
        let kv_heads = self.kv_heads.unwrap_or(heads);
        if self.kv_rank.is_none() && !heads.is_multiple_of(kv_heads) {
            faults.push(ModelFault {
                field: "kv_heads",
                message: format!("{heads} heads cannot share {kv_heads} key-value heads evenly"),
                help: format!("kv_heads = {}", divisors(heads)),
            });
        }
        if self.head_dim.is_none() && self.kv_rank.is_none() && !hidden.is_multiple_of(heads) {
            faults.push(ModelFault {
                field: "head_dim",
                message: format!(
                    "hidden = {hidden} is no multiple of {heads} heads, and `head_dim` is absent"
                ),
                help: format!("head_dim = {}", hidden / heads),
            });
        }
    }

    fn check_experts(&self, experts: u64, num_layers: u64, faults: &mut Vec<ModelFault>) {
        let dense = self.dense_layers.as_deref().unwrap_or(&[]);
        let any_dense = experts == 0 || (0..num_layers).any(|at| dense.contains(&at));
        if any_dense && self.ffn.is_none() {
            needed("ffn", None, "16384", faults);
        }
        if experts == 0 {
            return;
        }
        needed("expert_ffn", self.expert_ffn, "2048", faults);
        let top_k = needed("top_k", self.top_k, "8", faults);
        if top_k > experts {
            faults.push(ModelFault {
                field: "top_k",
                message: format!("top_k = {top_k} is more than the {experts} experts"),
                help: format!("top_k = {experts} or less"),
            });
        }
    }

    fn attention(&self, hidden: u64, heads: u64, at: u64) -> AttentionShape {
        if let Some(kv_rank) = self.kv_rank {
            let width = self.head_dim.unwrap_or(hidden / heads);
            return AttentionShape::Latent {
                heads,
                q_rank: self.q_rank,
                kv_rank,
                nope_dim: self.nope_dim.unwrap_or(width),
                rope_dim: self.rope_dim.unwrap_or(0),
                v_dim: self.v_dim.unwrap_or(width),
            };
        }
        let windowed = self
            .window_layers
            .as_ref()
            .is_none_or(|layers| layers.contains(&at));
        AttentionShape::Grouped {
            heads,
            kv_heads: self.kv_heads.unwrap_or(heads),
            head_dim: self.head_dim.unwrap_or(hidden / heads),
            window: self.window.filter(|_| windowed),
            bias: self.attention_bias.unwrap_or(false),
        }
    }

    fn mlp(&self, experts: u64, at: u64) -> MlpShape {
        let gated = self.gated.unwrap_or(true);
        let dense = self
            .dense_layers
            .as_ref()
            .is_some_and(|layers| layers.contains(&at));
        if experts == 0 || dense {
            return MlpShape::Dense {
                width: self.ffn.unwrap_or(0),
                gated,
            };
        }
        MlpShape::Moe {
            experts,
            top_k: self.top_k.unwrap_or(1),
            width: self.expert_ffn.unwrap_or(0),
            shared_width: self.shared_ffn.unwrap_or(0),
            gated,
            gate: self.gate.unwrap_or(Gate::Softmax),
        }
    }
}

/// The value, or a fault and 1.
fn needed(field: &'static str, value: Option<u64>, example: &str, faults: &mut Vec<ModelFault>) -> u64 {
    value.unwrap_or_else(|| {
        faults.push(ModelFault {
            field,
            message: format!("the model has no `{field}`"),
            help: format!("model.override.{field} = {example}"),
        });
        1
    })
}

/// The divisors of `number`, smallest first, as text.
pub(crate) fn divisors(number: u64) -> String {
    let found: Vec<String> = (1..=number)
        .filter(|&divisor| number.is_multiple_of(divisor))
        .map(|divisor| divisor.to_string())
        .collect();
    found.join(", ")
}
