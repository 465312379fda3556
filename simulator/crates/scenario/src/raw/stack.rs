//! `stack`: what the framework does, as a preset's name or a table that starts from one.

use orrery_units::Dimension;

use super::key::{Key, Kind};
use super::view::{Given, View};
use crate::document::{Node, Table};

/// Presets; `resolve::stack` has their values and where they come from.
pub(crate) const NAMES: &[&str] = &[
    "megatron-core",
    "megatron-bridge",
    "nemo",
    "megatron-lm",
    "megatron-deepspeed",
    "vtrain-megatron",
    "llm-foundry",
    "torchtitan",
    "nemo-automodel",
    "deepseek",
    "llama3",
];

/// What of a step can be replayed from graphs.
pub(crate) const GRAPH_SCOPES: &[&str] = &["none", "router", "attention", "full"];

/// Dispatchers, by the names that a file may use.
pub(crate) const DISPATCHERS: &[&str] = &["all-gather", "all-to-all", "deepep", "hybrid-ep"];

pub(crate) const KEYS: &[Key] = &[
    Key::new(
        "name",
        Kind::Choice(NAMES),
        "The preset that fills what is not written.",
    ),
    Key::new(
        "dispatcher",
        Kind::Choice(DISPATCHERS),
        "How tokens travel to experts.",
    ),
    Key::new(
        "overlap_all_to_all",
        Kind::Flag,
        "Whether dispatch and combine of one microbatch overlap with compute of another.",
    ),
    Key::new(
        "sms_for_comm",
        Kind::Integer(0),
        "Execution units that expert all-to-all kernels occupy.",
    ),
    Key::new(
        "overlap_gradients",
        Kind::Flag,
        "Whether gradient reduction overlaps with backward.",
    ),
    Key::new(
        "overlap_parameters",
        Kind::Flag,
        "Whether parameter gathering overlaps with forward.",
    ),
    Key::new(
        "tensor_overlap",
        Kind::Share,
        "Share of tensor-parallel traffic hidden behind GEMMs.",
    ),
    Key::new(
        "launch",
        Kind::Quantity(Dimension::Time),
        "Host time to issue one kernel.",
    ),
    Key::new(
        "cuda_graphs",
        Kind::Flag,
        "Whether kernels are replayed from graphs.",
    ),
    Key::new(
        "graph_scope",
        Kind::Choice(GRAPH_SCOPES),
        "What of a step is replayed from graphs; all of it where `cuda_graphs` is on and this is not written.",
    ),
    Key::new(
        "expert_by_expert",
        Kind::Flag,
        "Whether products of experts are issued one expert at a time.",
    ),
    Key::new(
        "synchronise_pipeline",
        Kind::Flag,
        "Whether the host waits for each message that it receives from another pipeline rank, in schedules of one chunk.",
    ),
    Key::new(
        "split_weight_gradients",
        Kind::Flag,
        "Whether weight gradients run apart from input gradients.",
    ),
];

#[derive(Debug)]
pub(crate) struct RawStack<'a> {
    pub(crate) name: Option<Given<String>>,
    pub(crate) dispatcher: Option<Given<String>>,
    pub(crate) sms_for_comm: Option<Given<u64>>,
    pub(crate) tensor_overlap: Option<Given<f64>>,
    pub(crate) launch: Option<Given<f64>>,
    pub(crate) graph_scope: Option<Given<String>>,
    pub(crate) view: View<'a>,
}

impl<'a> RawStack<'a> {
    pub(crate) fn read(root: &'a Table) -> Self {
        let view = View(Some(root)).table("stack");
        let name = match root.get("stack").map(|item| &item.node) {
            Some(Node::Text(_)) => View(Some(root)).text("stack"),
            _ => view.text("name"),
        };
        Self {
            name,
            dispatcher: view.text("dispatcher"),
            sms_for_comm: view.integer("sms_for_comm"),
            tensor_overlap: view.number("tensor_overlap"),
            launch: view.quantity("launch", Dimension::Time),
            graph_scope: view.text("graph_scope"),
            view,
        }
    }
}
