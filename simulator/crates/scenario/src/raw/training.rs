//! `[training]`: batch, recompute and formats.

use orrery_units::Dimension;

use super::key::{Key, Kind};
use super::view::{Given, View};

/// Names of formats in files.
pub(crate) const PRECISIONS: &[&str] = &["fp32", "tf32", "bf16", "fp16", "fp8", "int8", "fp4"];

/// What can be recomputed.
pub(crate) const MODULES: &[&str] = &["core_attention", "norm", "mla_up_proj", "activation", "mlp"];

const FORMAT: Kind = Kind::Choice(PRECISIONS);

/// Formats by tensor role; the fields of [`Formats`](crate::plan::Formats).
pub(crate) const FORMATS: &[Key] = &[
    Key::new("gemm", FORMAT, "Multiplication format of the GEMMs."),
    Key::new("attention", FORMAT, "Format of the attention core."),
    Key::new(
        "activations",
        FORMAT,
        "Residual stream and activations between kernels.",
    ),
    Key::new("weights", FORMAT, "Parameters as held for compute."),
    Key::new("gradients", FORMAT, "Gradients as accumulated.").also(&["grads"]),
    Key::new(
        "gradient_traffic",
        FORMAT,
        "Gradients as reduced among data-parallel ranks.",
    ),
    Key::new(
        "parameter_traffic",
        FORMAT,
        "Parameters as gathered among data-parallel ranks.",
    ),
    Key::new("master", FORMAT, "Master parameters."),
    Key::new("moments", FORMAT, "Each of the two moments of Adam."),
    Key::new("dispatch", FORMAT, "Tokens on their way to experts."),
    Key::new("combine", FORMAT, "Results on their way back."),
    Key::new(
        "kept",
        FORMAT,
        "Inputs of activation functions as kept for backward.",
    ),
];

pub(crate) const KEYS: &[Key] = &[
    Key::new("seq_len", Kind::Integer(1), "Tokens per sequence.")
        .required()
        .also(&["seq_length", "sequence_length", "seq"]),
    Key::new("global_batch", Kind::Integer(1), "Sequences per optimiser step.")
        .required()
        .also(&["gbs", "global_batch_size", "batch"]),
    Key::new("micro_batch", Kind::Integer(1), "Sequences per microbatch.").also(&["mbs", "micro_batch_size"]),
    Key::new("steps", Kind::Integer(1), "Steps to simulate."),
    Key::new(
        "warmup_steps",
        Kind::Integer(0),
        "First steps left out of every statistic.",
    ),
    Key::new(
        "precision",
        Kind::Choice(&["fp32", "bf16", "fp16", "fp8", "fp4"]),
        "Preset of all formats; `formats` overrides single ones.",
    ),
    Key::new("formats", Kind::Table(FORMATS), "Formats by tensor role."),
    Key::new(
        "recompute",
        Kind::Either(&[
            Kind::Choice(&["none", "full", "adaptive"]),
            Kind::List(&Kind::Choice(MODULES)),
        ]),
        "What is computed again in backward instead of kept; `adaptive`: the cheapest that fits.",
    ),
    Key::new(
        "memory_budget",
        Kind::Quantity(Dimension::Data),
        "Memory that a device may take where recompute is adaptive; left out: all of the device's.",
    ),
    Key::new(
        "documents",
        Kind::Table(DOCUMENTS),
        "Lengths of the documents that are packed into sequences; attention stays inside each.",
    ),
];

const DOCUMENTS: &[Key] = &[
    Key::new(
        "law",
        Kind::Choice(&["fixed", "lognormal"]),
        "The law of document lengths.",
    )
    .required(),
    Key::new(
        "tokens",
        Kind::Integer(1),
        "Tokens of a document; their median where lengths vary.",
    )
    .required(),
    Key::new(
        "sigma",
        Kind::Number(0.0),
        "Standard deviation of the logarithm of lengths (lognormal).",
    ),
];

#[derive(Debug)]
pub(crate) struct RawTraining<'a> {
    pub(crate) seq_len: Option<Given<u64>>,
    pub(crate) global_batch: Option<Given<u64>>,
    pub(crate) micro_batch: Option<Given<u64>>,
    pub(crate) steps: Option<Given<u64>>,
    pub(crate) warmup_steps: Option<Given<u64>>,
    pub(crate) precision: Option<Given<String>>,
    pub(crate) formats: View<'a>,
    pub(crate) recompute: Option<Given<String>>,
    pub(crate) recompute_modules: Option<Given<Vec<Given<String>>>>,
    pub(crate) memory_budget: Option<Given<f64>>,
    pub(crate) document_law: Option<Given<String>>,
    pub(crate) document_tokens: Option<Given<u64>>,
    pub(crate) document_sigma: Option<Given<f64>>,
}

impl<'a> RawTraining<'a> {
    pub(crate) fn read(view: View<'a>) -> Self {
        let documents = view.table("documents");
        Self {
            seq_len: view.integer("seq_len"),
            global_batch: view.integer("global_batch"),
            micro_batch: view.integer("micro_batch"),
            steps: view.integer("steps"),
            warmup_steps: view.integer("warmup_steps"),
            precision: view.text("precision"),
            formats: view.table("formats"),
            recompute: view.text("recompute"),
            recompute_modules: view.texts("recompute"),
            memory_budget: view.quantity("memory_budget", Dimension::Data),
            document_law: documents.text("law"),
            document_tokens: documents.integer("tokens"),
            document_sigma: documents.number("sigma"),
        }
    }
}
