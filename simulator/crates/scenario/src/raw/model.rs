//! `[model]`: what is trained.

use super::key::{Key, Kind};
use super::view::{Given, View};

/// Dimensions of a model, written inline or laid over what was read.
pub(crate) const FIELDS: &[Key] = &[
    Key::new("layers", Kind::Integer(1), "Transformer layers.").also(&["num_layers", "num_hidden_layers"]),
    Key::new("hidden", Kind::Integer(1), "Width of the residual stream.").also(&["hidden_size"]),
    Key::new("vocab", Kind::Integer(1), "Vocabulary.").also(&["vocab_size"]),
    Key::new("heads", Kind::Integer(1), "Query heads.").also(&["num_attention_heads"]),
    Key::new("kv_heads", Kind::Integer(1), "Key-value heads.").also(&["num_key_value_heads"]),
    Key::new(
        "head_dim",
        Kind::Integer(1),
        "Width of a head; `hidden / heads` when absent.",
    ),
    Key::new(
        "attention_bias",
        Kind::Flag,
        "Whether attention projections have biases.",
    ),
    Key::new("window", Kind::Integer(1), "Sliding window, in tokens.").also(&["sliding_window"]),
    Key::new(
        "window_layers",
        Kind::List(&Kind::Integer(0)),
        "Layers, from 0, that use the window; all when absent.",
    ),
    Key::new(
        "q_rank",
        Kind::Integer(1),
        "Latent attention: rank of the queries.",
    )
    .also(&["q_lora_rank"]),
    Key::new(
        "kv_rank",
        Kind::Integer(1),
        "Latent attention: rank of keys and values.",
    )
    .also(&["kv_lora_rank"]),
    Key::new(
        "nope_dim",
        Kind::Integer(1),
        "Latent attention: head width without position.",
    ),
    Key::new(
        "rope_dim",
        Kind::Integer(1),
        "Latent attention: shared rotary width.",
    ),
    Key::new("v_dim", Kind::Integer(1), "Latent attention: value head width."),
    Key::new("ffn", Kind::Integer(1), "Inner width of a dense layer's network.")
        .also(&["intermediate_size", "ffn_hidden_size"]),
    Key::new(
        "gated",
        Kind::Flag,
        "Whether networks are gated (three matrices instead of two).",
    ),
    Key::new(
        "experts",
        Kind::Integer(0),
        "Routed experts of an expert layer; 0 for a dense model.",
    )
    .also(&["num_experts", "n_routed_experts", "num_local_experts"]),
    Key::new("top_k", Kind::Integer(1), "Experts per token.").also(&["topk", "num_experts_per_tok"]),
    Key::new("expert_ffn", Kind::Integer(1), "Inner width of one expert.").also(&["moe_intermediate_size"]),
    Key::new(
        "shared_ffn",
        Kind::Integer(0),
        "Inner width of all shared experts together.",
    ),
    Key::new(
        "dense_layers",
        Kind::List(&Kind::Integer(0)),
        "Layers, from 0, that are dense in a model with experts.",
    ),
    Key::new(
        "gate",
        Kind::Choice(&["softmax", "sigmoid-bias"]),
        "How experts are chosen.",
    ),
    Key::new(
        "tied_embeddings",
        Kind::Flag,
        "Whether input and output embeddings are one matrix.",
    ),
    Key::new(
        "learned_positions",
        Kind::Integer(0),
        "Learned position embeddings; 0 for none.",
    ),
    Key::new(
        "mtp_layers",
        Kind::Integer(0),
        "Multi-token-prediction modules that are trained.",
    ),
];

pub(crate) const KEYS: &[Key] = &[
    Key::new(
        "from",
        Kind::Choice(&["catalog", "hf-config", "inline"]),
        "Where the dimensions come from.",
    )
    .required(),
    Key::new("name", Kind::Text, "Catalogue entry, or a name for people."),
    Key::new(
        "path",
        Kind::Text,
        "A Hugging Face config.json, relative to this file.",
    ),
    Key::new(
        "params_b",
        Kind::Number(0.0),
        "Published parameters in 10^9; checked against the count.",
    ),
    Key::new("family", Kind::Text, "Model family, for defaults of routing."),
    Key::new("fields", Kind::Table(FIELDS), "Dimensions of an inline model."),
    Key::new(
        "override",
        Kind::Table(FIELDS),
        "Dimensions that replace what was read.",
    ),
];

#[derive(Debug)]
pub(crate) struct RawModel<'a> {
    pub(crate) from: Option<Given<String>>,
    pub(crate) name: Option<Given<String>>,
    pub(crate) path: Option<Given<String>>,
    pub(crate) params_b: Option<Given<f64>>,
    pub(crate) family: Option<Given<String>>,
    pub(crate) fields: View<'a>,
    pub(crate) overrides: View<'a>,
}

impl<'a> RawModel<'a> {
    pub(crate) fn read(view: View<'a>) -> Self {
        Self {
            from: view.text("from"),
            name: view.text("name"),
            path: view.text("path"),
            params_b: view.number("params_b"),
            family: view.text("family"),
            fields: view.table("fields"),
            overrides: view.table("override"),
        }
    }
}
