//! Presets of what frameworks do, and `stack` laid over them. The one table of these defaults.

use orrery_units::SimDuration;

use super::{Assumptions, narrow};
use crate::plan::{Dispatcher, GraphScope, Stack, StackFamily};
use crate::raw::RawStack;

/// A preset and where each of its values comes from.
struct Preset {
    stack: Stack,
    /// `(key, reason)` of every value.
    sources: &'static [(&'static str, &'static str)],
}

/// Host time to issue one kernel. Assumed: eager frameworks issue a kernel every few microseconds.
const LAUNCH: SimDuration = SimDuration::from_micros(5);
const LAUNCH_REASON: &str = "assumed: an eager framework issues a kernel every few microseconds";

fn megatron_core(name: &str) -> Preset {
    Preset {
        stack: Stack {
            name: name.to_owned(),
            family: StackFamily::MegatronCore,
            dispatcher: Dispatcher::AllToAll,
            overlap_all_to_all: false,
            units_for_all_to_all: 16,
            overlap_gradients: true,
            overlap_parameters: true,
            tensor_overlap: 0.0,
            launch: LAUNCH,
            graphs: GraphScope::None,
            expert_by_expert: true,
            synchronise_pipeline: true,
            split_weight_gradients: false,
        },
        sources: &[
            (
                "dispatcher",
                "Megatron-Core's usual dispatcher (`--moe-token-dispatcher-type alltoall`)",
            ),
            (
                "overlap_all_to_all",
                "off unless `--overlap-moe-expert-parallel-comm`",
            ),
            (
                "sms_for_comm",
                "assumed: NCCL uses 16 channels or more, one execution unit each",
            ),
            (
                "overlap_gradients",
                "performance recipes set `--overlap-grad-reduce`",
            ),
            (
                "overlap_parameters",
                "performance recipes set `--overlap-param-gather`",
            ),
            ("tensor_overlap", "off unless `--tp-comm-overlap`"),
            ("launch", LAUNCH_REASON),
            ("graph_scope", "off unless `--cuda-graph-impl`"),
            ("split_weight_gradients", "off unless `--delay-wgrad-compute`"),
            (
                "expert_by_expert",
                "Transformer Engine's grouped linear layer issues one product per expert on several streams",
            ),
            (
                "synchronise_pipeline",
                "Megatron-Core synchronises after each batched send and receive (`batch_p2p_sync`)",
            ),
        ],
    }
}

/// Megatron-LM before Megatron-Core: gradients are reduced and parameters gathered after backward.
fn megatron_lm(name: &str) -> Preset {
    let core = megatron_core(name);
    Preset {
        stack: Stack {
            name: name.to_owned(),
            family: StackFamily::MegatronLm,
            expert_by_expert: false,
            overlap_gradients: false,
            overlap_parameters: false,
            ..core.stack
        },
        sources: &[
            ("dispatcher", "not used: no experts in the releases of 2022"),
            (
                "overlap_all_to_all",
                "not used: no experts in the releases of 2022",
            ),
            ("sms_for_comm", "not used: no experts in the releases of 2022"),
            (
                "overlap_gradients",
                "reduced after the last backward in the releases of 2022",
            ),
            (
                "overlap_parameters",
                "gathered after the optimiser in the releases of 2022",
            ),
            ("tensor_overlap", "none in the releases of 2022"),
            ("launch", LAUNCH_REASON),
            ("graph_scope", "none in the releases of 2022"),
            ("split_weight_gradients", "none in the releases of 2022"),
            (
                "synchronise_pipeline",
                "the releases of 2022 synchronise after each batched send and receive",
            ),
        ],
    }
}

/// FSDP of PyTorch: parameters gathered and gradients scattered layer by layer, each hidden behind the next layer.
fn fsdp(name: &str) -> Preset {
    let core = megatron_core(name);
    Preset {
        stack: Stack {
            family: StackFamily::Fsdp,
            expert_by_expert: false,
            synchronise_pipeline: false,
            ..core.stack
        },
        sources: &[
            ("dispatcher", "assumed: all-to-all of NCCL"),
            ("overlap_all_to_all", "off: PyTorch runs one microbatch at a time"),
            (
                "sms_for_comm",
                "assumed: NCCL uses 16 channels or more, one execution unit each",
            ),
            ("overlap_gradients", "FSDP scatters gradients beside backward"),
            ("overlap_parameters", "FSDP prefetches the next layer"),
            (
                "tensor_overlap",
                "off unless asynchronous tensor parallelism is on",
            ),
            ("launch", LAUNCH_REASON),
            ("graph_scope", "off unless the model is compiled to graphs"),
            ("split_weight_gradients", "none: autograd runs both together"),
            (
                "synchronise_pipeline",
                "PyTorch's pipelines let the device alone wait for messages",
            ),
        ],
    }
}

fn deepseek() -> Preset {
    Preset {
        stack: Stack {
            name: "deepseek".to_owned(),
            family: StackFamily::Other,
            dispatcher: Dispatcher::DeepEp,
            overlap_all_to_all: true,
            units_for_all_to_all: 20,
            overlap_gradients: true,
            overlap_parameters: true,
            tensor_overlap: 0.0,
            launch: LAUNCH,
            graphs: GraphScope::None,
            expert_by_expert: false,
            synchronise_pipeline: false,
            split_weight_gradients: true,
        },
        sources: &[
            ("dispatcher", "DeepEP is DeepSeek's published dispatcher"),
            (
                "overlap_all_to_all",
                "DeepSeek-V3 report, section 3.2.1: DualPipe overlaps dispatch and combine",
            ),
            (
                "sms_for_comm",
                "DeepSeek-V3 report, section 3.2.2: 20 SMs for all-to-all",
            ),
            ("overlap_gradients", "assumed: not published"),
            ("overlap_parameters", "assumed: not published"),
            (
                "tensor_overlap",
                "no tensor parallelism in training (DeepSeek-V3 report, section 3.2)",
            ),
            ("launch", LAUNCH_REASON),
            ("graph_scope", "assumed: not published"),
            (
                "split_weight_gradients",
                "DeepSeek-V3 report, section 3.2.1: backward for input and for weights",
            ),
            ("synchronise_pipeline", "assumed: not published"),
        ],
    }
}

fn llama3() -> Preset {
    Preset {
        stack: Stack {
            name: "llama3".to_owned(),
            family: StackFamily::Other,
            dispatcher: Dispatcher::AllToAll,
            overlap_all_to_all: false,
            units_for_all_to_all: 16,
            overlap_gradients: true,
            overlap_parameters: true,
            tensor_overlap: 0.0,
            launch: LAUNCH,
            graphs: GraphScope::None,
            expert_by_expert: false,
            synchronise_pipeline: false,
            split_weight_gradients: false,
        },
        sources: &[
            ("dispatcher", "not used: the model is dense"),
            ("overlap_all_to_all", "not used: the model is dense"),
            ("sms_for_comm", "not used: the model is dense"),
            (
                "overlap_gradients",
                "FSDP prefetches and reduces asynchronously (Llama 3 report, section 3.3.2)",
            ),
            (
                "overlap_parameters",
                "FSDP prefetches and reduces asynchronously (Llama 3 report, section 3.3.2)",
            ),
            (
                "tensor_overlap",
                "assumed: the report names no overlap of tensor-parallel traffic",
            ),
            ("launch", LAUNCH_REASON),
            ("graph_scope", "assumed: not published"),
            ("split_weight_gradients", "assumed: not published"),
            ("synchronise_pipeline", "assumed: not published"),
        ],
    }
}

/// What the framework does. The preset is `megatron-core` when none is named.
pub(crate) fn stack(raw: &RawStack<'_>, assumed: &mut Assumptions) -> Stack {
    let name = assumed.or(
        raw.name.as_ref(),
        "stack.name",
        "megatron-core".to_owned(),
        "the most common stack among published runs",
    );
    let preset = match name.as_str() {
        "deepseek" => deepseek(),
        "llama3" => llama3(),
        "megatron-lm" | "megatron-deepspeed" | "vtrain-megatron" => megatron_lm(&name),
        "llm-foundry" | "torchtitan" | "nemo-automodel" => fsdp(&name),
        _ => megatron_core(&name),
    };
    let mut stack = preset.stack;
    let flag = |key: &str, preset: bool| raw.view.flag(key).map_or(preset, |given| given.value);
    stack.overlap_all_to_all = flag("overlap_all_to_all", stack.overlap_all_to_all);
    stack.overlap_gradients = flag("overlap_gradients", stack.overlap_gradients);
    stack.overlap_parameters = flag("overlap_parameters", stack.overlap_parameters);
    stack.expert_by_expert = flag("expert_by_expert", stack.expert_by_expert);
    stack.synchronise_pipeline = flag("synchronise_pipeline", stack.synchronise_pipeline);
    if flag("cuda_graphs", false) {
        stack.graphs = GraphScope::Full;
    }
    if let Some(given) = &raw.graph_scope {
        stack.graphs = graph_scope(&given.value);
    }
    stack.split_weight_gradients = flag("split_weight_gradients", stack.split_weight_gradients);
    if let Some(given) = &raw.dispatcher {
        stack.dispatcher = dispatcher(&given.value);
    }
    if let Some(given) = &raw.sms_for_comm {
        stack.units_for_all_to_all = narrow(given.value);
    }
    if let Some(given) = &raw.tensor_overlap {
        stack.tensor_overlap = given.value;
    }
    if let Some(given) = &raw.launch {
        stack.launch = SimDuration::from_secs(given.value);
    }
    for (key, reason) in preset.sources.iter().filter(|(key, _)| !raw.view.has(key)) {
        assumed.note(&format!("stack.{key}"), value_of(&stack, key), reason);
    }
    stack
}

fn graph_scope(name: &str) -> GraphScope {
    match name {
        "router" => GraphScope::Router,
        "attention" => GraphScope::Attention,
        "full" => GraphScope::Full,
        _ => GraphScope::None,
    }
}

fn dispatcher(name: &str) -> Dispatcher {
    match name {
        "all-gather" => Dispatcher::AllGather,
        "deepep" => Dispatcher::DeepEp,
        "hybrid-ep" => Dispatcher::HybridEp,
        _ => Dispatcher::AllToAll,
    }
}

fn value_of(stack: &Stack, key: &str) -> String {
    match key {
        "dispatcher" => match stack.dispatcher {
            Dispatcher::AllGather => "all-gather",
            Dispatcher::AllToAll => "all-to-all",
            Dispatcher::DeepEp => "deepep",
            Dispatcher::HybridEp => "hybrid-ep",
        }
        .to_owned(),
        "overlap_all_to_all" => stack.overlap_all_to_all.to_string(),
        "sms_for_comm" => stack.units_for_all_to_all.to_string(),
        "overlap_gradients" => stack.overlap_gradients.to_string(),
        "overlap_parameters" => stack.overlap_parameters.to_string(),
        "tensor_overlap" => stack.tensor_overlap.to_string(),
        "launch" => format!("{} us", stack.launch.as_secs() * 1e6),
        "expert_by_expert" => stack.expert_by_expert.to_string(),
        "synchronise_pipeline" => stack.synchronise_pipeline.to_string(),
        "graph_scope" => match stack.graphs {
            GraphScope::None => "none",
            GraphScope::Router => "router",
            GraphScope::Attention => "attention",
            GraphScope::Full => "full",
        }
        .to_owned(),
        _ => stack.split_weight_gradients.to_string(),
    }
}
