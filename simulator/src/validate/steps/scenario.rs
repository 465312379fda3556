//! A row as a scenario: what it says and nothing else; everything else is the preset of its stack.

use std::fmt::Write as _;

use super::row::StepRow;
use super::site;

/// Names of models as tables write them, and as the catalogue does.
const MODELS: [(&str, &str); 11] = [
    ("dsv3", "deepseek-v3"),
    ("llama3-8b", "llama3-8b"),
    ("llama3-70b", "llama3-70b"),
    ("llama3-405b", "llama3-405b"),
    ("gpt3-175b", "gpt3-175b"),
    ("gpt-oss-120b", "gpt-oss-120b"),
    ("qwen3-30b", "qwen3-30b-a3b"),
    ("qwen3-235b", "qwen3-235b-a22b"),
    ("kimi-k2", "kimi-k2"),
    ("mixtral-8x7b", "mixtral-8x7b"),
    ("mixtral-8x22b", "mixtral-8x22b"),
];

/// Families whose MLPs are gated and whose embeddings are not tied.
const GATED: [&str; 7] = ["llama", "mixtral", "qwen", "deepseek", "ds", "grok", "olmo"];

/// Stacks as tables write them, and the preset of the same or the closest.
const STACKS: [(&str, &str); 9] = [
    ("megatron-bridge", "megatron-bridge"),
    ("megatron-core", "megatron-core"),
    ("nemo", "nemo"),
    ("nemo-automodel", "nemo-automodel"),
    ("megatron-lm", "megatron-lm"),
    ("megatron-deepspeed", "megatron-deepspeed"),
    ("llm-foundry", "llm-foundry"),
    ("torchtitan", "torchtitan"),
    ("fsdp", "torchtitan"),
];

/// Modules that are computed again, as tables write them.
const MODULES: [(&str, &str); 6] = [
    ("core_attn", "core_attention"),
    ("layernorm", "norm"),
    ("norm", "norm"),
    ("moe_act", "activation"),
    ("mla_up_proj", "mla_up_proj"),
    ("mlp", "mlp"),
];

/// Devices of a node of most devices.
const USUAL_NODE: u64 = 8;

/// The scenario of `row`, or the field for want of which there is none.
pub(super) fn scenario(row: StepRow<'_>) -> Result<String, String> {
    let mut text = format!(
        "schema = \"scenario/1\"\n[scenario]\nname = \"row\"\ntitle = \"{}\"\nkind = \"training\"\n",
        row.known("model")?
    );
    text += &model(row)?;
    text += &cluster(row)?;
    text += &parallel(row)?;
    text += &training(row)?;
    text += &stack(row);
    if row.is_moe() && row.routing() == "forced" {
        text += "[routing]\nkind = \"balanced\"\n";
        // Benchmarks that drop tokens pad experts to their capacity: Megatron's `--moe-pad-expert-input-to-capacity`.
        if row.text("routing") == "drop" {
            text += "capacity_factor = 1.0\npad_to_capacity = true\n";
        }
    }
    text += "[run]\nseed = 1\nreplications = 1\noutputs = [\"summary\"]\n";
    Ok(text)
}

fn named<'n>(table: &[(&str, &'n str)], name: &str) -> Option<&'n str> {
    table
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, ours)| *ours)
}

/// From the catalogue where it is there, with the layers of the row; else by its dimensions.
fn model(row: StepRow<'_>) -> Result<String, String> {
    let name = row.known("model")?.to_ascii_lowercase();
    let layers = row.count("layers")?;
    if let Some(known) = named(&MODELS, &name) {
        // Rows say in their notes whether the prediction module was trained.
        let without = if known == "deepseek-v3" && row.text("notes").contains("MTP off") {
            ", mtp_layers = 0"
        } else {
            ""
        };
        return Ok(format!(
            "[model]\nfrom = \"catalog\"\nname = \"{known}\"\noverride = {{ layers = {layers}{without} }}\n"
        ));
    }
    let gated = GATED.iter().any(|family| name.starts_with(family));
    let mut text = format!(
        "[model]\nfrom = \"inline\"\nname = \"{name}\"\n[model.fields]\nlayers = {layers}\nhidden = {}\nheads = {}\n\
         kv_heads = {}\nvocab = {}\ngated = {gated}\ntied_embeddings = {}\n",
        row.count("hidden")?,
        row.count("heads")?,
        row.count("kv_heads")?,
        row.count("vocab")?,
        !gated,
    );
    if !row.is_moe() || row.count("ffn").is_ok() {
        writeln!(text, "ffn = {}", row.count("ffn")?).map_err(|fault| fault.to_string())?;
    }
    if row.is_moe() {
        let (expert, shared) = (row.count("moe_ffn")?, row.count("shared_experts").unwrap_or(0));
        text += &format!(
            "experts = {}\ntop_k = {}\nexpert_ffn = {expert}\n",
            row.count("experts")?,
            row.count("topk")?
        );
        if shared > 0 {
            text += &format!("shared_ffn = {}\n", shared * expert);
        }
    }
    Ok(text)
}

/// Whole nodes, or one that is smaller: four devices of a rack of GB200 or GB300, eight of all others.
fn cluster(row: StepRow<'_>) -> Result<String, String> {
    let (gpu, gpus) = (row.known("gpu")?, row.count("gpus")?);
    let size = if gpu.starts_with("GB") { 4 } else { USUAL_NODE };
    let (nodes, size) = (gpus.div_ceil(size), gpus.min(size));
    Ok(format!(
        "[cluster]\nnodes = {nodes}\n[cluster.node]\ngpu = \"{gpu}\"\ngpus = {size}\n{}",
        site::nics(row.text("source"))
    ))
}

fn parallel(row: StepRow<'_>) -> Result<String, String> {
    let pp = row.count("pp")?;
    let chunks = row.count("vpp").unwrap_or(1);
    let schedule = if pp > 1 && chunks > 1 {
        format!("{{ kind = \"interleaved\", chunks = {chunks} }}")
    } else {
        "{ kind = \"1f1b\" }".to_owned()
    };
    let mut text = format!(
        "[parallel]\ntp = {}\npp = {pp}\ncp = {}\nschedule = {schedule}\n",
        row.count("tp")?,
        row.count("cp").unwrap_or(1),
    );
    for (column, key) in [("ep", "ep"), ("etp", "expert_tp"), ("zero_stage", "zero_stage")] {
        let is_of_experts = key != "zero_stage";
        if let Ok(value) = row.count(column)
            && (row.is_moe() || !is_of_experts)
        {
            text += &format!("{key} = {value}\n");
        }
    }
    if row.count("tp")? > 1 && !row.text("seq_parallel").is_empty() {
        text += &format!("sequence_parallel = {}\n", row.text("seq_parallel") == "1");
    }
    // The 405B recipes give the first and the last chunk one layer less: 126 + 2 = 8 x 8 x 2, 62 + 2 = 4 x 8 x 2.
    if row.text("model") == "llama3-405b" && (row.count("layers")? + 2).is_multiple_of(pp * chunks) && pp > 1
    {
        text += "first_stage_less = 1\nlast_stage_less = 1\n";
    }
    Ok(text)
}

fn training(row: StepRow<'_>) -> Result<String, String> {
    let precision = match row.known("precision")? {
        "BF16" => "bf16",
        "FP16" => "fp16",
        name if name.starts_with("FP8") || name.starts_with("MXFP8") => "fp8",
        name if name.starts_with("NVFP4") => "fp4",
        other => return Err(format!("precision {other}")),
    };
    Ok(format!(
        "[training]\nseq_len = {}\nglobal_batch = {}\nmicro_batch = {}\nsteps = 1\nwarmup_steps = 0\n\
         precision = \"{precision}\"\nrecompute = {}\n",
        row.count("seq")?,
        row.count("gbs")?,
        whole(row.or("mbs", "1")?).ok_or("mbs")?,
        recompute(recomputed(row)?)?,
    ))
}

/// What is computed again. A default of somebody's program is no measurement, and the two tables of the source that states
/// one differ: most of its runs of several nodes do not fit into memory unless all is computed again, while those of one
/// node do, and would else have run faster than any measured layer (h = 2048: 203 TFLOP/s).
fn recomputed(row: StepRow<'_>) -> Result<&str, String> {
    let is_assumed = row.text("recompute_src").contains("(assumed)");
    if is_assumed && row.count("gpus")? <= USUAL_NODE {
        Ok("none")
    } else {
        row.or("recompute", "none")
    }
}

/// A whole number as tables write it, which may be `2.0`.
fn whole(text: &str) -> Option<u64> {
    let value: f64 = text.parse().ok()?;
    let is_whole = value.fract() == 0.0 && (1.0..1e15).contains(&value);
    is_whole.then(|| format!("{value}").parse().ok())?
}

/// `none`, `full` or the modules in `selective(…)`.
fn recompute(given: &str) -> Result<String, String> {
    let inside = given
        .strip_prefix("selective(")
        .and_then(|rest| rest.strip_suffix(')'));
    let Some(inside) = inside else {
        return match given {
            "none" | "full" => Ok(format!("\"{given}\"")),
            other => Err(format!("recompute {other}")),
        };
    };
    let modules: Result<Vec<String>, String> = inside
        .split(',')
        .map(|module| {
            let known = named(&MODULES, module.trim());
            known
                .map(|known| format!("\"{known}\""))
                .ok_or_else(|| format!("recompute of {module}"))
        })
        .collect();
    Ok(format!("[{}]", modules?.join(", ")))
}

/// The preset that is closest, with what the row says of it.
fn stack(row: StepRow<'_>) -> String {
    let name = match row.text("stack") {
        // vTrain's runs are of Megatron-DeepSpeed on a site of their own.
        _ if row.text("source").starts_with("vTrain") => "vtrain-megatron",
        stack => named(&STACKS, stack).unwrap_or("megatron-core"),
    };
    let mut text = format!("[stack]\nname = \"{name}\"\n");
    let dispatcher = match row.text("dispatcher") {
        "allgather" => "all-gather",
        "alltoall" => "all-to-all",
        "deepep" => "deepep",
        "hybridep" => "hybrid-ep",
        // The report of Megatron-Core's experts uses DeepEP on Hopper and HybridEP on racks; it names neither per row.
        "" if row.text("stack") == "megatron-core" && row.text("gpu").starts_with("GB") => "hybrid-ep",
        "" if row.text("stack") == "megatron-core" => "deepep",
        _ => "",
    };
    if !dispatcher.is_empty() && row.is_moe() {
        text += &format!("dispatcher = \"{dispatcher}\"\n");
    }
    if row.text("a2a_overlap") == "1" && row.is_moe() {
        text += "overlap_all_to_all = true\n";
    }
    let scope = match row.text("cuda_graph") {
        "full" => "full",
        scope if scope.contains("attn") => "attention",
        scope if scope.contains("moe") => "router",
        _ => "none",
    };
    text += &format!("graph_scope = \"{scope}\"\n");
    text
}
