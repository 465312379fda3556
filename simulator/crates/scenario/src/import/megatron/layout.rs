//! Cluster, layout, training, stack and routing, with Megatron-LM's own defaults.

use std::fmt::Write as _;

use super::MegatronCluster;
use super::arguments::Arguments;
use super::pattern::stage_layers;

fn line(text: &mut String, name: &str, value: impl std::fmt::Display) {
    writeln!(text, "{name} = {value}").expect("writing to a string cannot fail");
}

/// `[cluster]` and `[parallel]`.
pub(super) fn layout(arguments: &mut Arguments, cluster: &MegatronCluster, num_layers: u64) -> String {
    let tp = arguments.number("tensor-model-parallel-size").unwrap_or(1);
    let pp = arguments.number("pipeline-model-parallel-size").unwrap_or(1);
    let cp = arguments.number("context-parallel-size").unwrap_or(1);
    let ep = arguments.number("expert-model-parallel-size").unwrap_or(1);
    // Megatron-Core: experts take the tensor degree of attention unless told otherwise.
    let etp = arguments.number("expert-tensor-parallel-size").unwrap_or(tp);
    let moe = arguments.has("num-experts");
    let etp = if moe { etp } else { 1 };
    let least = tp * cp * (ep * etp).div_ceil(tp * cp) * pp;
    let mut text = cluster_text(arguments, cluster, least);
    text.push_str("\n[parallel]\n");
    for (name, degree) in [("tp", tp), ("pp", pp), ("cp", cp), ("ep", ep), ("expert_tp", etp)] {
        line(&mut text, name, degree);
    }
    if let Some(exchange) = context_exchange(arguments).filter(|_| cp > 1) {
        line(&mut text, "cp_comm", format!("\"{exchange}\""));
    }
    line(&mut text, "dp", "\"auto\"");
    line(&mut text, "zero_stage", zero_stage(arguments));
    let sequence = arguments.flag("sequence-parallel");
    line(&mut text, "sequence_parallel", sequence && tp > 1);
    stages(arguments, &mut text, num_layers, pp);
    text
}

/// How context-parallel ranks exchange keys and values, of the first layer where layers differ.
fn context_exchange(arguments: &mut Arguments) -> Option<&'static str> {
    let given = arguments.text("cp-comm-type")?;
    match given.split_whitespace().next()? {
        "p2p" => Some("p2p"),
        "all_gather" => Some("allgather"),
        "a2a" => Some("a2a"),
        // Heads among near ranks, a ring among far ones: the ring is what shows.
        _ => Some("p2p"),
    }
}

fn cluster_text(arguments: &mut Arguments, cluster: &MegatronCluster, least: u64) -> String {
    let gpu = cluster.gpu.clone().unwrap_or_else(|| {
        arguments.assume(
            "cluster.node.gpu",
            "H100",
            "arguments do not say what they ran on",
        );
        "H100".to_owned()
    });
    let (nodes, gpus) = match (cluster.nodes, cluster.gpus_per_node) {
        (Some(nodes), Some(gpus)) => (u64::from(nodes), u64::from(gpus)),
        (nodes, gpus) => {
            let gpus = gpus.map_or_else(|| least.min(8), u64::from);
            let nodes = nodes.map_or_else(|| least.div_ceil(gpus), u64::from);
            let why = "arguments do not say how many devices they ran on: the fewest that hold the layout";
            arguments.assume("cluster.nodes", format!("{nodes} x {gpus}"), why);
            (nodes, gpus)
        }
    };
    format!("[cluster]\nnodes = {nodes}\n\n[cluster.node]\ngpu = \"{gpu}\"\ngpus = {gpus}\n")
}

fn zero_stage(arguments: &mut Arguments) -> u64 {
    let sharded = arguments.flag("use-distributed-optimizer");
    let fsdp = arguments.flag("use-megatron-fsdp") || arguments.flag("use-torch-fsdp2");
    match arguments.text("data-parallel-sharding-strategy").as_deref() {
        Some("optim_grads_params") => 3,
        Some("optim_grads") => 2,
        Some("optim") => 1,
        Some(_) => 0,
        None if fsdp && !sharded => 0,
        None => u64::from(sharded),
    }
}

/// The schedule and the split of layers.
fn stages(arguments: &mut Arguments, text: &mut String, num_layers: u64, pp: u64) {
    let layers_per_chunk = arguments.number("num-layers-per-virtual-pipeline-stage");
    let chunks_per_rank = arguments.number("num-virtual-stages-per-pipeline-rank");
    let layout = arguments.text("pipeline-model-parallel-layout");
    let first = arguments.number("decoder-first-pipeline-num-layers");
    let last = arguments.number("decoder-last-pipeline-num-layers");
    let embedding = u64::from(arguments.flag("account-for-embedding-in-pipeline-split"));
    let loss = u64::from(arguments.flag("account-for-loss-in-pipeline-split"));
    let layout = layout.and_then(|layout| stage_layers(&layout));
    let units = num_layers + embedding + loss;
    let by_layers = layers_per_chunk
        .filter(|&each| each > 0)
        .map(|each| (units / pp / each).max(1));
    let by_layout = layout.as_ref().map(|layout| (layout.len() as u64 / pp).max(1));
    let chunks = by_layout.or(chunks_per_rank).or(by_layers).unwrap_or(1);
    if pp > 1 {
        let kind = if chunks > 1 { "interleaved" } else { "1f1b" };
        let schedule = format!("{{ kind = \"{kind}\", chunks = {chunks} }}");
        line(text, "schedule", schedule);
    }
    if let Some(layout) = layout {
        let shares: Vec<String> = layout.iter().map(ToString::to_string).collect();
        line(text, "layers_per_stage", format!("[{}]", shares.join(", ")));
    } else if embedding + loss > 0 {
        line(text, "first_stage_less", embedding);
        line(text, "last_stage_less", loss);
    } else if let Some(shares) = uneven(num_layers, pp, chunks, first, last) {
        line(text, "layers_per_stage", format!("[{}]", shares.join(", ")));
    } else if arguments.number("mtp-num-layers").is_some() && num_layers.is_multiple_of(pp * chunks) {
        // Prediction modules come on top of the last stage: layers are shared out as if there were none.
        let shares = vec![(num_layers / (pp * chunks)).to_string(); (pp * chunks) as usize];
        line(text, "layers_per_stage", format!("[{}]", shares.join(", ")));
    }
}

/// Layers of each virtual stage when the first or last rank is told its own number.
///
/// Each rank's layers are shared evenly among its chunks, and the ranks between share the rest.
fn uneven(
    num_layers: u64,
    pp: u64,
    chunks: u64,
    first: Option<u64>,
    last: Option<u64>,
) -> Option<Vec<String>> {
    if (first.is_none() && last.is_none()) || pp < 2 {
        return None;
    }
    let between = pp - u64::from(first.is_some()) - u64::from(last.is_some());
    let rest = num_layers.checked_sub(first.unwrap_or(0) + last.unwrap_or(0))?;
    let each = rest.checked_div(between).unwrap_or(0);
    let of_rank = |rank: u64| match rank {
        0 => first.unwrap_or(each),
        rank if rank + 1 == pp => last.unwrap_or(each),
        _ => each,
    };
    let shares = (0..chunks).flat_map(|_| (0..pp).map(|rank| of_rank(rank) / chunks));
    Some(shares.map(|share| share.to_string()).collect())
}

/// `[training]`, `[stack]` and `[routing]`, or what is missing.
pub(super) fn training(arguments: &mut Arguments) -> Result<String, String> {
    let mut text = "[training]\n".to_owned();
    let seq_len = arguments
        .number("seq-length")
        .or_else(|| arguments.number("encoder-seq-length"));
    arguments.number("decoder-seq-length");
    let micro_batch = arguments.number("micro-batch-size").unwrap_or(1);
    let schedule = arguments.text("step-batch-size-schedule");
    let first = schedule.as_deref().and_then(first_batch);
    let global_batch = arguments
        .number("global-batch-size")
        .or(first)
        .unwrap_or_else(|| {
            arguments.assume(
                "training.global_batch",
                micro_batch,
                "Megatron-LM's default: one microbatch per rank",
            );
            micro_batch
        });
    let precision = precision(arguments);
    line(&mut text, "global_batch", global_batch);
    line(&mut text, "micro_batch", micro_batch);
    line(&mut text, "precision", format!("\"{precision}\""));
    line(&mut text, "recompute", recompute(arguments));
    let formats = gradient_formats(arguments, precision);
    let Some(seq_len) = seq_len else {
        return Err("`--seq-length` is missing".to_owned());
    };
    line(&mut text, "seq_len", seq_len);
    text.push_str(formats);
    stack(arguments, &mut text);
    routing(arguments, &mut text);
    Ok(text)
}

/// The first batch of `0:384 200B:768`.
fn first_batch(schedule: &str) -> Option<u64> {
    schedule
        .split_whitespace()
        .next()?
        .split_once(':')?
        .1
        .parse()
        .ok()
}

fn precision(arguments: &mut Arguments) -> &'static str {
    let (bf16, fp16) = (arguments.flag("bf16"), arguments.flag("fp16"));
    let fp8 = arguments.text("fp8-format").is_some();
    match (fp8, bf16, fp16) {
        (true, ..) => "fp8",
        (_, true, _) => "bf16",
        (_, _, true) => "fp16",
        _ => "fp32",
    }
}

/// Megatron-LM accumulates gradients in FP32 beside BF16 parameters, and in FP16 beside FP16 ones unless told otherwise.
fn gradient_formats(arguments: &mut Arguments, precision: &str) -> &'static str {
    let traffic = arguments.flag("grad-reduce-in-bf16");
    let full = arguments.flag("accumulate-allreduce-grads-in-fp32");
    match precision {
        "fp16" if !full => "formats = { gradients = \"fp16\", gradient_traffic = \"fp16\" }\n",
        _ if traffic => "formats = { gradient_traffic = \"bf16\" }\n",
        _ => "",
    }
}

fn recompute(arguments: &mut Arguments) -> String {
    let granularity = arguments.text("recompute-granularity");
    let modules = arguments.text("recompute-modules");
    arguments.text("recompute-method");
    arguments.number("recompute-num-layers");
    let selective = arguments.flag("recompute-activations");
    match granularity.as_deref() {
        Some("full") => "\"full\"".to_owned(),
        Some("selective") => modules_text(modules.as_deref()),
        _ if selective => modules_text(None),
        _ => "\"none\"".to_owned(),
    }
}

fn modules_text(modules: Option<&str>) -> String {
    let words = modules.unwrap_or("core_attn");
    let named = words
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter_map(|word| match word {
            "core_attn" => Some("core_attention"),
            "layernorm" => Some("norm"),
            "mla_up_proj" => Some("mla_up_proj"),
            "moe_act" => Some("activation"),
            "mlp" | "moe" => Some("mlp"),
            _ => None,
        });
    let quoted: Vec<String> = named.map(|name| format!("\"{name}\"")).collect();
    format!("[{}]", quoted.join(", "))
}

fn stack(arguments: &mut Arguments, text: &mut String) {
    text.push_str("\n[stack]\nname = \"megatron-core\"\n");
    line(text, "overlap_gradients", arguments.flag("overlap-grad-reduce"));
    line(text, "overlap_parameters", arguments.flag("overlap-param-gather"));
    line(
        text,
        "overlap_all_to_all",
        arguments.flag("overlap-moe-expert-parallel-comm"),
    );
    line(
        text,
        "split_weight_gradients",
        arguments.flag("delay-wgrad-compute"),
    );
    let graphs = arguments
        .text("cuda-graph-impl")
        .is_some_and(|kind| kind != "none");
    line(text, "cuda_graphs", graphs || arguments.flag("enable-cuda-graph"));
    let kind = arguments.text("moe-token-dispatcher-type");
    let backend = arguments.text("moe-flex-dispatcher-backend");
    let deepep = arguments.flag("moe-enable-deepep");
    let dispatcher = match (kind.as_deref(), backend.as_deref()) {
        (Some("flex"), Some("hybridep")) => "hybrid-ep",
        (Some("flex"), _) => "deepep",
        _ if deepep => "deepep",
        (Some("alltoall"), _) => "all-to-all",
        // Megatron-Core's own default.
        _ => "all-gather",
    };
    line(text, "dispatcher", format!("\"{dispatcher}\""));
    let units = [
        "moe-hybridep-num-sms",
        "moe-flex-dispatcher-num-sms",
        "moe-deepep-num-sms",
    ]
    .into_iter()
    .filter_map(|name| arguments.number(name))
    .last();
    if let Some(units) = units {
        line(text, "sms_for_comm", units);
    }
}

fn routing(arguments: &mut Arguments, text: &mut String) {
    let capacity = arguments
        .text("moe-expert-capacity-factor")
        .and_then(|text| text.parse::<f64>().ok());
    let pad = arguments.flag("moe-pad-expert-input-to-capacity");
    let groups = arguments.number("moe-router-num-groups");
    let used = arguments.number("moe-router-group-topk");
    if !arguments.has("num-experts") {
        return;
    }
    let balanced = arguments.has("moe-router-force-load-balancing");
    let kind = if balanced { "balanced" } else { "lognormal" };
    text.push_str("\n[routing]\n");
    line(text, "kind", format!("\"{kind}\""));
    if let Some(capacity) = capacity {
        line(text, "capacity_factor", format!("{capacity:?}"));
        line(text, "pad_to_capacity", pad);
    }
    if let (Some(groups), Some(used)) = (groups, used)
        && used < groups
    {
        line(text, "max_nodes", used);
    }
}
