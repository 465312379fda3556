//! The keys that a form offers, and what may stand there.

use orrery_scenario::catalog;

/// What may stand at a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Values {
    /// Whole numbers from 1, that are changed one by one.
    Count,
    /// Whole numbers from 1, that are mostly doubled and halved.
    Degree,
    /// One of these, as TOML has them.
    Choice(&'static [&'static str]),
    /// A model of the catalogue.
    Model,
    /// A device of the catalogue.
    Device,
    /// An amount of money, with its currency.
    Price,
}

/// A key of a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// The key.
    pub(super) key: &'static str,
    /// Its name for people.
    pub(super) name: &'static str,
    /// What it says, in a sentence.
    pub(super) about: &'static str,
    /// What may stand there.
    pub(super) values: Values,
}

const fn field(key: &'static str, name: &'static str, about: &'static str, values: Values) -> Field {
    Field {
        key,
        name,
        about,
        values,
    }
}

/// The price of a GPU-hour, and the day that it is of.
pub(super) const PRICE: &str = "cost.gpu_hour";
pub(super) const PRICED_ON: &str = "cost.priced_on";
/// The currency, where the text names it apart from the price.
pub(super) const CURRENCY: &str = "cost.currency";

/// Headings and their keys.
pub(super) const FORM: [(&str, &[Field]); 4] = [
    (
        "Model and cluster",
        &[
            field("model.name", "model", "A model of the catalogue.", Values::Model),
            field(
                "cluster.node.gpu",
                "GPU",
                "A device of the catalogue.",
                Values::Device,
            ),
            field("cluster.nodes", "nodes", "Nodes of the cluster.", Values::Degree),
            field(
                "cluster.node.gpus",
                "GPUs per node",
                "Devices of a node.",
                Values::Degree,
            ),
        ],
    ),
    (
        "Layout",
        &[
            field(
                "parallel.tp",
                "TP",
                "Tensor parallelism: devices that share each matrix.",
                Values::Degree,
            ),
            field(
                "parallel.pp",
                "PP",
                "Pipeline stages: devices that share the layers.",
                Values::Degree,
            ),
            field(
                "parallel.ep",
                "EP",
                "Expert parallelism: devices that share the experts.",
                Values::Degree,
            ),
            field(
                "parallel.cp",
                "CP",
                "Context parallelism: devices that share each sequence.",
                Values::Degree,
            ),
            field(
                "parallel.expert_tp",
                "expert TP",
                "Tensor parallelism inside an expert.",
                Values::Degree,
            ),
            field(
                "parallel.zero_stage",
                "ZeRO stage",
                "What data-parallel ranks share out: nothing, optimizer states, gradients, parameters.",
                Values::Choice(&["0", "1", "2", "3"]),
            ),
            field(
                "parallel.schedule.kind",
                "schedule",
                "The order of microbatches in the pipeline.",
                Values::Choice(&[
                    "\"gpipe\"",
                    "\"1f1b\"",
                    "\"interleaved\"",
                    "\"zb-h1\"",
                    "\"zb-v\"",
                    "\"dualpipe\"",
                    "\"dualpipe-v\"",
                ]),
            ),
            field(
                "parallel.schedule.chunks",
                "chunks",
                "Model chunks of a rank, interleaved.",
                Values::Count,
            ),
        ],
    ),
    (
        "Training",
        &[
            field(
                "training.global_batch",
                "global batch",
                "Sequences of a step.",
                Values::Degree,
            ),
            field(
                "training.micro_batch",
                "microbatch",
                "Sequences of a microbatch.",
                Values::Degree,
            ),
            field(
                "training.seq_len",
                "sequence length",
                "Tokens of a sequence.",
                Values::Degree,
            ),
            field(
                "training.recompute",
                "recompute",
                "What is computed again in backward to save memory.",
                Values::Choice(&["\"none\"", "\"full\""]),
            ),
        ],
    ),
    (
        "Cost",
        &[field(
            PRICE,
            "price of a GPU-hour",
            "All-in, with its currency: USD, EUR or CNY.",
            Values::Price,
        )],
    ),
];

impl Values {
    /// What there is to choose from, as TOML has it; nothing of numbers.
    pub(super) fn choices(self) -> Vec<String> {
        let quoted = |name: &str| format!("\"{name}\"");
        match self {
            Self::Count | Self::Degree | Self::Price => Vec::new(),
            Self::Choice(names) => names.iter().map(|name| (*name).to_owned()).collect(),
            Self::Model => catalog::models().iter().map(|model| quoted(model.name)).collect(),
            Self::Device => catalog::device_names().iter().map(|name| quoted(name)).collect(),
        }
    }
}
