//! Which parameters fitted on steps a plan shares with others.

use std::sync::Arc;

use orrery_operation::Precision;
use orrery_profile::{Term, Tuning, TuningSet};

use crate::catalog;
use crate::diagnostics::{Fault, Faults};
use crate::plan::{Cluster, Dispatcher, GraphScope, Recompute, Routing, StackFamily, Training};
use crate::raw::Given;
use crate::source::Source;

/// The scope of models with experts.
const EXPERTS: &str = "experts";
/// The scope of steps whose shapes hang on how many tokens experts get, and of those whose shapes are known beforehand.
const SHAPES: [&str; 2] = ["dropless", "static"];

/// What `set` says of a job; `routing` is that of a model with experts.
pub(crate) fn resolved(
    set: &TuningSet,
    cluster: &Cluster,
    training: &Training,
    routing: Option<&Routing>,
) -> Tuning {
    let scopes = |term| tuning_scopes(term, cluster, training, routing);
    set.resolve(&training.stack.name, routing.is_some(), scopes)
}

/// The scopes of `term` for a job, the one that holds its base first.
///
/// Kernels belong to an architecture and a format, with a factor per device and stack; launches and overlap to a family
/// of stacks; exchanges to a dispatcher on an architecture. What host and device wait for each other is another thing where
/// experts get as many tokens as come: the host must see the counts before it issues their products. `routing` is that of a
/// model with experts.
#[must_use]
pub fn tuning_scopes(
    term: Term,
    cluster: &Cluster,
    training: &Training,
    routing: Option<&Routing>,
) -> Vec<String> {
    let device = cluster.device.name.clone();
    // A refresh keeps its kernels.
    let architecture = cluster.device.architecture.trim_end_matches(" Ultra");
    let stack = &training.stack;
    let format = format(training.formats.gemm);
    let family = family(stack.family).to_owned();
    // Nobody published steps of Llama 3's stack apart: NeMo's kernels of the same year and device stand for its own, its
    // traffic does not (assumption).
    let kernels = match stack.name.as_str() {
        "llama3" => "nemo",
        name => name,
    };
    let on_architecture = |name: &str| format!("{architecture} {name}");
    let mut scopes = match term {
        Term::Products => vec![on_architecture(format), device, family],
        Term::Experts => vec![on_architecture(format)],
        Term::Attention => vec![on_architecture(&family), device],
        Term::Passes => vec![kernels.to_owned(), on_architecture(format)],
        // Stacks that fuse little differ in what lies between their many kernels.
        Term::Gap if stack.family == StackFamily::MegatronLm => {
            vec![architecture.to_owned(), stack.name.clone()]
        }
        Term::Gap => vec![architecture.to_owned()],
        // So do the hosts of those stacks, each of which ran on machines of its own.
        Term::Launch if stack.family == StackFamily::MegatronLm => vec![family, stack.name.clone()],
        Term::Launch | Term::LayerKernels | Term::Microbatch => vec![family],
        // What sorts tokens and counts them; buffers of known shapes need none of it.
        Term::SmallKernels if routing.is_some_and(Routing::has_static_shapes) => Vec::new(),
        Term::Unaligned | Term::SmallKernels | Term::Update => vec![String::new()],
        Term::Waits => {
            let is_static = routing.is_none_or(Routing::has_static_shapes);
            vec![SHAPES[usize::from(is_static)].to_owned()]
        }
        Term::ExpertLaunches if training.formats.gemm.bits() < 16 => vec!["narrow".to_owned()],
        Term::Ungraphed => match stack.graphs {
            GraphScope::Router => vec!["router".to_owned()],
            GraphScope::Attention => vec!["attention".to_owned()],
            GraphScope::None | GraphScope::Full => Vec::new(),
        },
        // Every expert is a parameter of its own to the host at the end of a step.
        Term::Step if routing.is_some() => vec![stack.name.clone(), EXPERTS.to_owned()],
        Term::Tensor | Term::Data | Term::Step => vec![stack.name.clone()],
        Term::Exchange => vec![on_architecture(dispatcher(stack.dispatcher))],
        Term::ExposedExchange if stack.overlap_all_to_all => vec![String::new()],
        Term::Shards | Term::ShardUnits => vec![family],
        Term::Recompute if stack.family == StackFamily::Fsdp && training.recompute == Recompute::Full => {
            vec![family]
        }
        Term::ExpertLaunches | Term::ExposedExchange | Term::Recompute => Vec::new(),
    };
    // A stack that its family is named after has no factor of its own.
    scopes.dedup();
    scopes
}

/// The parameters in the file that `given` names; those that ship when it names none.
pub(crate) fn set(
    given: Option<&Given<String>>,
    file: &str,
    source: &dyn Source,
    faults: &mut Faults,
) -> Option<Arc<TuningSet>> {
    let Some(given) = given else {
        return Some(catalog::shared_tuning());
    };
    let text = match source.read(file, &given.value) {
        Ok(text) => text,
        Err(why) => {
            let message = format!("no set of parameters `{}`: {why}", given.value);
            let fault = Fault::new("S052", &given.place, message);
            faults.push(fault.help("name a file that `orrery fit -o` wrote, relative to this one"));
            return None;
        }
    };
    match TuningSet::from_json(&text) {
        Ok(set) => Some(Arc::new(set)),
        Err(why) => {
            let message = format!("parameters `{}`: {why}", given.value);
            faults.push(Fault::new("S053", &given.place, message));
            None
        }
    }
}

const fn format(precision: Precision) -> &'static str {
    match precision {
        Precision::Fp16 | Precision::Bf16 => "bf16",
        other => other.name(),
    }
}

const fn family(family: StackFamily) -> &'static str {
    match family {
        StackFamily::MegatronCore => "megatron-core",
        StackFamily::MegatronLm => "megatron-lm",
        StackFamily::Fsdp => "fsdp",
        StackFamily::Other => "other",
    }
}

const fn dispatcher(dispatcher: Dispatcher) -> &'static str {
    match dispatcher {
        Dispatcher::AllGather => "all-gather",
        Dispatcher::AllToAll => "all-to-all",
        Dispatcher::DeepEp => "deepep",
        Dispatcher::HybridEp => "hybrid-ep",
    }
}
