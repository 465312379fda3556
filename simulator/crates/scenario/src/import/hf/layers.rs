//! Which layers have experts, which use a sliding window, and which keys have no effect on a step.

use serde_json::Value;

use super::Config;
use crate::model_fields::ModelFields;

impl Config {
    /// The dense layers of a model with experts, by whichever of the known schemes the file uses.
    pub(super) fn read_dense_layers(&mut self, num_layers: u64) -> Result<Option<Vec<u64>>, String> {
        let leading = self
            .number("first_dense_layers", &["first_k_dense_replace"])
            .unwrap_or(0);
        let mut dense: Vec<u64> = (0..leading.min(num_layers)).collect();
        if let Some((_, value)) = self.find(&["moe_layer_freq"]) {
            let is_moe = layer_frequency(&value, num_layers)?;
            dense.extend((0..num_layers).filter(|&at| !is_moe.contains(&at)));
            self.derive("moe_layers", is_moe.len(), "moe_layer_freq");
        }
        if let Some(step) = self
            .number("sparse_step", &["decoder_sparse_step"])
            .filter(|&step| step > 0)
        {
            dense.extend((0..num_layers).filter(|at| !(at + 1).is_multiple_of(step)));
        }
        if let Some((_, Value::Array(only))) = self.find(&["mlp_only_layers"]) {
            dense.extend(only.iter().filter_map(Value::as_u64));
        }
        let interleave = self
            .number("moe_step", &["interleave_moe_layer_step"])
            .filter(|&step| step > 0);
        if let Some(step) = interleave {
            dense.extend((0..num_layers).filter(|at| !(at + 1).is_multiple_of(step)));
        }
        dense.sort_unstable();
        dense.dedup();
        if dense.is_empty() {
            self.assume(
                "dense_layers",
                "none",
                "nothing in the file says that a layer has no experts",
            );
        } else {
            self.derive("dense_layers", dense.len(), "layers without experts");
        }
        Ok(Some(dense))
    }

    /// The sliding window and the layers that use it.
    pub(super) fn read_window(&mut self, fields: &mut ModelFields) -> Result<(), String> {
        let switched_on = self
            .flag("use_sliding_window", &["use_sliding_window"])
            .unwrap_or(true);
        let from_layer = self.number("max_window_layers", &["max_window_layers"]);
        fields.window = self.number("window", &["sliding_window"]).filter(|_| switched_on);
        let num_layers = fields.layers.unwrap_or(0);
        if let Some((_, Value::Array(types))) = self.find(&["layer_types"]) {
            let types: Vec<&str> = types.iter().filter_map(Value::as_str).collect();
            let known = ["sliding_attention", "full_attention", "chunked_attention"];
            if let Some(other) = types.iter().find(|kind| !known.contains(kind)) {
                return Err(format!("layers of type `{other}` cannot be simulated yet"));
            }
            let windowed = (0_u64..)
                .zip(&types)
                .filter(|(_, kind)| **kind == "sliding_attention")
                .map(|(at, _)| at);
            fields.window_layers = Some(windowed.collect());
        } else if fields.window.is_some()
            && let Some(from) = from_layer
        {
            fields.window_layers = Some((from..num_layers).collect());
        }
        if let (Some(window), Some(layers)) = (fields.window, &fields.window_layers) {
            let count = layers.len();
            self.derive(
                "window_layers",
                count,
                &format!("layers with a window of {window}"),
            );
        }
        Ok(())
    }
}

/// The expert layers that `moe_layer_freq` names: every n-th, or those marked 1 in a list.
fn layer_frequency(value: &Value, num_layers: u64) -> Result<Vec<u64>, String> {
    match value {
        Value::Array(marks) => Ok((0_u64..)
            .zip(marks)
            .filter(|(_, mark)| mark.as_u64() == Some(1))
            .map(|(at, _)| at)
            .collect()),
        Value::Number(every) => match every.as_u64() {
            Some(every) if every > 0 => Ok((0..num_layers).filter(|at| at.is_multiple_of(every)).collect()),
            _ => Err(format!("`moe_layer_freq` cannot be {every}")),
        },
        other => Err(format!("`moe_layer_freq` cannot be {other}")),
    }
}

/// Why `key` has no effect on a training step, if that is known.
pub(super) fn without_effect(key: &str) -> Option<&'static str> {
    let rotary = [
        "rope_theta",
        "rope_scaling",
        "rope_parameters",
        "partial_rotary_factor",
        "rotary_dim",
    ];
    let bookkeeping = [
        "architectures",
        "auto_map",
        "transformers_version",
        "use_cache",
        "_name_or_path",
        "pretraining_tp",
        "ep_size",
        "output_router_logits",
        "initializer_range",
        "tokenizer_class",
        "return_dict",
    ];
    let numeric = [
        "rms_norm_eps",
        "layer_norm_epsilon",
        "layer_norm_eps",
        "attention_dropout",
        "hidden_act",
        "activation_function",
        "swiglu_limit",
        "norm_topk_prob",
        "routed_scaling_factor",
        "router_aux_loss_coef",
        "aux_loss_alpha",
        "seq_aux",
        "mlp_bias",
        "use_qk_norm",
        "resid_pdrop",
        "embd_pdrop",
        "attn_pdrop",
        "router_jitter_noise",
    ];
    let lengths = [
        "max_position_embeddings",
        "initial_context_length",
        "n_ctx",
        "attention_chunk_size",
    ];
    if rotary.contains(&key) {
        Some("rotary positions cost nothing that is modelled")
    } else if bookkeeping.contains(&key) || key.ends_with("_token_id") {
        Some("bookkeeping")
    } else if numeric.contains(&key) {
        Some("changes numbers, not work")
    } else if lengths.contains(&key) {
        Some("the scenario sets the sequence length")
    } else {
        None
    }
}
