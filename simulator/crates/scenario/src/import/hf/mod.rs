//! A Hugging Face `config.json` into the dimensions of a model.
//!
//! The names of one meaning across model families stand in one table each (seen in the configs of 113
//! released models). What is not in the file is assumed by name; what cannot be modelled is refused.

mod layers;
mod scenario;

use serde_json::{Map, Value};

use super::report::{Line, Report};
use crate::model_fields::ModelFields;
use crate::plan::Gate;

pub use scenario::{HfImport, hf};

/// A config being read: its keys, nested ones included, and the report so far.
#[derive(Debug)]
pub(super) struct Config {
    keys: Map<String, Value>,
    used: Vec<String>,
    pub(super) report: Report,
}

/// What a config says.
#[derive(Debug)]
pub(crate) struct HfModel {
    /// Dimensions.
    pub(crate) fields: ModelFields,
    /// What was read, derived and assumed.
    pub(crate) report: Report,
    /// `model_type`, or `unknown`.
    pub(crate) family: String,
    /// The trained format that `quantization_config` or `torch_dtype` names.
    pub(crate) dtype: Option<String>,
}

const EXPERTS: &[&str] = &["n_routed_experts", "num_experts", "num_local_experts"];
const TOP_K: &[&str] = &[
    "num_experts_per_tok",
    "experts_per_token",
    "num_experts_per_token",
    "top_k_experts",
];
const SHARED_COUNT: &[&str] = &["n_shared_experts", "num_shared_experts"];
const SHARED_WIDTH: &[&str] = &[
    "shared_expert_intermediate_size",
    "moe_shared_expert_intermediate_size",
    "shared_intermediate_size",
    "share_expert_dim",
];
const MTP: &[&str] = &[
    "num_nextn_predict_layers",
    "mtp_num_hidden_layers",
    "num_mtp_modules",
];
const GROUPS: &[&str] = &["n_group", "num_expert_group"];

/// Families whose networks are not gated.
const PLAIN: &[&str] = &[
    "gpt2",
    "gpt_neox",
    "mpt",
    "opt",
    "bloom",
    "falcon",
    "nemotron",
    "phi",
    "starcoder2",
];
/// Families that tie embeddings unless told otherwise.
const TIED: &[&str] = &[
    "gpt2",
    "gemma",
    "gemma2",
    "gemma3_text",
    "opt",
    "bloom",
    "mpt",
    "falcon",
];
/// Keys of layers that are neither attention nor a feed-forward network.
const OTHER_LAYERS: &[&str] = &[
    "hybrid_override_pattern",
    "mamba_num_heads",
    "mamba_d_state",
    "linear_num_key_heads",
    "linear_attn_config",
    "compress_ratios",
];

/// Reads `text`.
pub(crate) fn read_config(text: &str) -> Result<HfModel, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    let Value::Object(outer) = value else {
        return Err("a config is a JSON object".to_owned());
    };
    let mut config = Config::new(outer);
    let family = config
        .text(&["model_type"])
        .unwrap_or_else(|| "unknown".to_owned());
    if let Some(key) = OTHER_LAYERS.iter().find(|key| config.keys.contains_key(**key)) {
        return Err(format!(
            "`{key}` says that some layers are neither attention nor feed-forward (state space, linear or \
             compressed attention); such models cannot be simulated yet"
        ));
    }
    let mut fields = ModelFields::default();
    config.read_shape(&mut fields, &family);
    config.read_attention(&mut fields, &family);
    config.read_network(&mut fields, &family)?;
    config.read_window(&mut fields)?;
    let dtype = config.read_dtype();
    config.close();
    Ok(HfModel {
        fields,
        report: config.report,
        family,
        dtype,
    })
}

impl Config {
    fn new(mut outer: Map<String, Value>) -> Self {
        let mut report = Report::default();
        let mut keys = Map::new();
        if let Some(Value::Object(inner)) = outer.remove("text_config") {
            report.derived.push(Line::new(
                "model",
                "text_config",
                "the language model of a larger one",
            ));
            keys = inner;
        }
        for (key, value) in outer {
            keys.entry(key).or_insert(value);
        }
        Self {
            keys,
            used: Vec::new(),
            report,
        }
    }

    /// The first of `names` that is there and not null, marked as used.
    fn find(&mut self, names: &[&str]) -> Option<(String, Value)> {
        let name = names.iter().find(|name| self.keys.contains_key(**name))?;
        self.used.push((*name).to_owned());
        let value = self.keys.get(*name).filter(|value| !value.is_null())?;
        Some(((*name).to_owned(), value.clone()))
    }

    fn text(&mut self, names: &[&str]) -> Option<String> {
        let (name, value) = self.find(names)?;
        let text = value.as_str()?.to_owned();
        self.report.read.push(Line::new(&name, &text, name.clone()));
        Some(text)
    }

    fn number(&mut self, field: &str, names: &[&str]) -> Option<u64> {
        let (name, value) = self.find(names)?;
        let number = value.as_u64()?;
        self.report.read.push(Line::new(field, number, name));
        Some(number)
    }

    fn flag(&mut self, field: &str, names: &[&str]) -> Option<bool> {
        let (name, value) = self.find(names)?;
        let flag = value.as_bool()?;
        self.report.read.push(Line::new(field, flag, name));
        Some(flag)
    }

    fn assume(&mut self, field: &str, value: impl std::fmt::Display, why: &str) {
        self.report.assumed.push(Line::new(field, value, why));
    }

    fn derive(&mut self, field: &str, value: impl std::fmt::Display, how: &str) {
        self.report.derived.push(Line::new(field, value, how));
    }

    fn read_shape(&mut self, fields: &mut ModelFields, family: &str) {
        fields.layers = self.number(
            "layers",
            &["num_hidden_layers", "n_layer", "num_layers", "n_layers"],
        );
        fields.hidden = self.number("hidden", &["hidden_size", "n_embd", "d_model"]);
        fields.vocab = self.number("vocab", &["vocab_size"]);
        fields.mtp_layers = self.number("mtp_layers", MTP);
        if family == "gpt2" {
            fields.learned_positions = self.number("learned_positions", &["n_positions", "n_ctx"]);
        }
        fields.tied_embeddings = self
            .flag("tied_embeddings", &["tie_word_embeddings"])
            .or_else(|| {
                let tied = TIED.contains(&family);
                self.assume(
                    "tied_embeddings",
                    tied,
                    "`tie_word_embeddings` is absent; usual in this family",
                );
                Some(tied)
            });
    }

    fn read_attention(&mut self, fields: &mut ModelFields, family: &str) {
        fields.heads = self.number("heads", &["num_attention_heads", "n_head", "n_heads"]);
        fields.kv_rank = self.number("kv_rank", &["kv_lora_rank"]);
        fields.kv_heads = self.number("kv_heads", &["num_key_value_heads", "multi_query_group_num"]);
        fields.head_dim = self.number("head_dim", &["head_dim", "d_kv"]);
        if fields.kv_rank.is_some() {
            fields.q_rank = self.number("q_rank", &["q_lora_rank"]);
            fields.nope_dim = self.number("nope_dim", &["qk_nope_head_dim"]);
            fields.rope_dim = self.number("rope_dim", &["qk_rope_head_dim"]);
            fields.v_dim = self.number("v_dim", &["v_head_dim"]);
            return;
        }
        if fields.kv_heads.is_none()
            && let Some(heads) = fields.heads
        {
            self.assume(
                "kv_heads",
                heads,
                "no key-value heads in the file: as many as query heads",
            );
        }
        if let (None, Some(hidden), Some(heads)) = (fields.head_dim, fields.hidden, fields.heads)
            && heads > 0
        {
            self.derive("head_dim", hidden / heads, "hidden / heads");
        }
        fields.attention_bias = self.flag("attention_bias", &["attention_bias", "add_bias_linear"]);
        if fields.attention_bias.is_none() {
            let bias = matches!(family, "gpt2" | "opt" | "bloom");
            self.assume(
                "attention_bias",
                bias,
                "`attention_bias` is absent; usual in this family",
            );
            fields.attention_bias = Some(bias);
        }
    }

    fn read_network(&mut self, fields: &mut ModelFields, family: &str) -> Result<(), String> {
        fields.gated = Some(!PLAIN.contains(&family));
        self.derive("gated", !PLAIN.contains(&family), "by family");
        fields.experts = self.number("experts", EXPERTS).filter(|&experts| experts > 1);
        let expert_width = self.number(
            "expert_ffn",
            &["moe_intermediate_size", "expert_intermediate_size"],
        );
        let dense_width = self.number("ffn", &["intermediate_size_mlp"]);
        let width = self.number(
            "intermediate_size",
            &["intermediate_size", "n_inner", "ffn_hidden_size", "ffn_dim"],
        );
        fields.ffn = dense_width.or(width);
        if fields.ffn.is_none()
            && let Some(hidden) = fields.hidden
        {
            self.assume("ffn", 4 * hidden, "no inner width in the file: four times hidden");
            fields.ffn = Some(4 * hidden);
        }
        if fields.experts.is_some() {
            self.read_experts(fields, family, expert_width.or(width))?;
        }
        Ok(())
    }

    fn read_experts(
        &mut self,
        fields: &mut ModelFields,
        family: &str,
        expert_width: Option<u64>,
    ) -> Result<(), String> {
        fields.expert_ffn = expert_width;
        fields.top_k = self.number("top_k", TOP_K);
        let count = self.number("shared_experts", SHARED_COUNT);
        let width = self.number("shared_ffn", SHARED_WIDTH);
        fields.shared_ffn = match (width, count, expert_width) {
            (Some(width), _, _) => Some(width),
            (None, Some(count), Some(each)) => {
                self.derive("shared_ffn", count * each, "shared experts x expert width");
                Some(count * each)
            }
            (None, None, Some(each)) if family.starts_with("llama4") => {
                self.assume(
                    "shared_ffn",
                    each,
                    "every expert layer of this family has one shared expert",
                );
                Some(each)
            }
            _ => Some(0),
        };
        let scoring = self.text(&["scoring_func"]);
        let method = self.text(&["topk_method"]);
        let biased = scoring.as_deref() == Some("sigmoid") || method.as_deref() == Some("noaux_tc");
        fields.gate = Some(if biased { Gate::SigmoidBias } else { Gate::Softmax });
        let groups = self.number("groups", GROUPS);
        let used_groups = self.number("groups_per_token", &["topk_group"]);
        fields.routing_groups = used_groups.zip(groups).filter(|&(used, groups)| used < groups);
        fields.dense_layers = self.read_dense_layers(fields.layers.unwrap_or(0))?;
        Ok(())
    }

    fn read_dtype(&mut self) -> Option<String> {
        let quantised = self.find(&["quantization_config"]);
        let method = quantised.and_then(|(_, value)| value.get("quant_method")?.as_str().map(str::to_owned));
        if let Some(method) = &method {
            let line = Line::new("quantization", method, "quantization_config.quant_method");
            self.report.read.push(line);
        }
        let plain = self.text(&["torch_dtype", "dtype"]);
        method.filter(|method| method == "fp8").or(plain)
    }

    /// Reports every key that nothing read.
    fn close(&mut self) {
        for (key, value) in &self.keys {
            if self.used.contains(key) {
                continue;
            }
            let shown: String = value.to_string().chars().take(60).collect();
            match layers::without_effect(key) {
                Some(why) => self.report.ignored.push(Line::new(key, shown, why)),
                None => self
                    .report
                    .unknown
                    .push(Line::new(key, shown, "not in the alias table")),
            }
        }
    }
}
