//! The dimensions of the model, with Megatron-LM's own defaults.

use std::fmt::Write as _;

use super::arguments::Arguments;
use super::pattern::layer_marks;

/// `[model]` as text.
pub(super) struct ModelText {
    pub(super) text: String,
    pub(super) num_layers: u64,
}

/// `[model]`, or which dimension is missing.
pub(super) fn model(arguments: &mut Arguments) -> Result<ModelText, String> {
    let mut text = "[model]\nfrom = \"inline\"\nname = \"imported\"\n\n[model.fields]\n".to_owned();
    let layers = arguments.number("num-layers");
    let hidden = arguments.number("hidden-size");
    let heads = arguments.number("num-attention-heads");
    let swiglu = arguments.flag("swiglu");
    arguments.flag("squared-relu");
    let experts = arguments.number("num-experts").filter(|&experts| experts > 1);
    let tp = arguments.number("tensor-model-parallel-size").unwrap_or(1);
    let (Some(layers), Some(hidden), Some(heads)) = (layers, hidden, heads) else {
        return Err("`--num-layers`, `--hidden-size` or `--num-attention-heads` is missing".to_owned());
    };
    let ffn = arguments.number("ffn-hidden-size").unwrap_or_else(|| {
        // Megatron-LM: 4 h, and with SwiGLU two thirds of it in steps of 64.
        let width = if swiglu {
            4 * hidden * 2 / 3 / 64 * 64
        } else {
            4 * hidden
        };
        arguments.assume(
            "ffn",
            width,
            "Megatron-LM's default: four times hidden, two thirds of it with SwiGLU",
        );
        width
    });
    field(&mut text, "layers", layers);
    field(&mut text, "hidden", hidden);
    field(&mut text, "heads", heads);
    field(&mut text, "ffn", ffn);
    field(&mut text, "gated", swiglu);
    field(&mut text, "vocab", vocab(arguments, tp));
    attention(arguments, &mut text, heads);
    let untied = arguments.flag("untie-embeddings-and-output-weights");
    field(&mut text, "tied_embeddings", !untied);
    field(&mut text, "learned_positions", positions(arguments));
    if let Some(modules) = arguments.number("mtp-num-layers") {
        field(&mut text, "mtp_layers", modules);
    }
    arguments.flag("mtp-use-repeated-layer");
    if let Some(experts) = experts {
        expert_fields(arguments, &mut text, experts, ffn, layers)?;
    }
    Ok(ModelText {
        text,
        num_layers: layers,
    })
}

fn field(text: &mut String, name: &str, value: impl std::fmt::Display) {
    writeln!(text, "{name} = {value}").expect("writing to a string cannot fail");
}

/// The vocabulary, padded so that it divides among tensor-parallel ranks as Megatron-LM does.
fn vocab(arguments: &mut Arguments, tp: u64) -> u64 {
    let plain = arguments.number("vocab-size").unwrap_or_else(|| {
        arguments.assume(
            "vocab",
            50_257,
            "the tokenizer is not in the arguments: GPT-2's vocabulary",
        );
        50_257
    });
    let multiple = arguments.number("make-vocab-size-divisible-by").unwrap_or(128) * tp.max(1);
    plain.next_multiple_of(multiple.max(1))
}

fn positions(arguments: &mut Arguments) -> u64 {
    let rotary = arguments.has("use-rotary-position-embeddings");
    let kind = arguments.text("position-embedding-type");
    let most = arguments.number("max-position-embeddings").unwrap_or(0);
    match kind.as_deref() {
        None | Some("learned_absolute") if !rotary => most,
        _ => 0,
    }
}

fn attention(arguments: &mut Arguments, text: &mut String, heads: u64) {
    let grouped = arguments.flag("group-query-attention");
    let groups = arguments.number("num-query-groups");
    let channels = arguments.number("kv-channels");
    let latent = arguments.flag("multi-latent-attention");
    let bias = !arguments.flag("disable-bias-linear");
    arguments.flag("add-qkv-bias");
    if latent {
        // Megatron-LM's own defaults of latent attention, where an argument is absent.
        for (name, key, default) in [
            ("kv-lora-rank", "kv_rank", 32),
            ("qk-head-dim", "nope_dim", 128),
            ("qk-pos-emb-head-dim", "rope_dim", 64),
            ("v-head-dim", "v_dim", 128),
        ] {
            let value = arguments.number(name).unwrap_or_else(|| {
                arguments.assume(key, default, "Megatron-LM's default");
                default
            });
            field(text, key, value);
        }
        if let Some(rank) = arguments.number("q-lora-rank") {
            field(text, "q_rank", rank);
        }
        return;
    }
    let kv_heads = if grouped { groups.unwrap_or(1) } else { heads };
    field(text, "kv_heads", kv_heads);
    if let Some(channels) = channels {
        field(text, "head_dim", channels);
    }
    field(text, "attention_bias", bias);
}

fn expert_fields(
    arguments: &mut Arguments,
    text: &mut String,
    experts: u64,
    ffn: u64,
    layers: u64,
) -> Result<(), String> {
    field(text, "experts", experts);
    let top_k = arguments.number("moe-router-topk").unwrap_or(2);
    field(text, "top_k", top_k);
    field(
        text,
        "expert_ffn",
        arguments.number("moe-ffn-hidden-size").unwrap_or(ffn),
    );
    let shared = arguments
        .number("moe-shared-expert-intermediate-size")
        .unwrap_or(0);
    field(text, "shared_ffn", shared);
    let scores = arguments.text("moe-router-score-function");
    let biased = arguments.flag("moe-router-enable-expert-bias");
    let gate = if biased && scores.as_deref() == Some("sigmoid") {
        "sigmoid-bias"
    } else {
        "softmax"
    };
    field(text, "gate", format!("\"{gate}\""));
    let Some(frequency) = arguments.text("moe-layer-freq") else {
        return Ok(());
    };
    let marks = layer_marks(&frequency, layers)
        .ok_or_else(|| format!("`--moe-layer-freq {frequency}` cannot be read"))?;
    if marks.len() as u64 != layers {
        return Err(format!(
            "`--moe-layer-freq` marks {} layers of {layers}",
            marks.len()
        ));
    }
    let dense: Vec<String> = (0_u64..)
        .zip(&marks)
        .filter(|(_, mark)| **mark == 0)
        .map(|(at, _)| at.to_string())
        .collect();
    field(text, "dense_layers", format!("[{}]", dense.join(", ")));
    Ok(())
}
