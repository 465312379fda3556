//! A paragraph on every code.

const CODES: &[(&str, &str)] = &[
    (
        "S001",
        "The file is not TOML. The message is the parser's own; nothing else of the file is judged until it is.",
    ),
    (
        "S002",
        "A scenario begins with `schema = \"scenario/1\"`, so that a later version of the format is never read as this one.",
    ),
    (
        "S003",
        "A value is of another type than its key holds: a text where a number belongs, a number where a table belongs.",
    ),
    ("S004", "A key or table that must be there is not."),
    (
        "S005",
        "A text that must be one of a few is another. The values that work are listed.",
    ),
    ("S006", "A number is outside the range that its key allows."),
    (
        "S007",
        "A bare number stands where a quantity belongs. Quantities are texts with their unit, \"3.35 TB/s\", because a silent factor of 8 or 1024 ruins a prediction.",
    ),
    (
        "S008",
        "A quantity has an unknown unit, or the unit of something else, or is negative.",
    ),
    ("S009", "The kind of scenario cannot be run by this version."),
    (
        "S010",
        "`extends` names a file that cannot be read, or scenarios that extend each other in a ring.",
    ),
    (
        "S011",
        "`--set` names no path to a key. Paths are keys joined by dots, as in training.micro_batch.",
    ),
    (
        "S012",
        "A file that the scenario refers to cannot be read. Paths are relative to the scenario file.",
    ),
    (
        "S013",
        "A name is not in the catalogue of devices or models. `hardware.csv` and the models folder under scenarios/ list what is.",
    ),
    (
        "S014",
        "A key is not known. Misspelt keys would otherwise be ignored without a word; for notes of your own, use keys that begin with `x-`.",
    ),
    (
        "S020",
        "The model's config.json cannot be read, or describes layers that cannot be simulated.",
    ),
    (
        "S021",
        "The parameters counted from the dimensions differ from `params_b` by more than half a percent: one of the two is wrong.",
    ),
    (
        "S022",
        "The dimensions of the model do not make a model: one is missing, or two contradict each other.",
    ),
    (
        "S030",
        "Tensor, pipeline and context degrees do not multiply to a divisor of the devices, or `dp` is not what is left. dp = nodes x gpus / (tp x pp x cp).",
    ),
    (
        "S031",
        "Expert groups are cut out of the ranks of one pipeline stage, so ep x expert_tp divides tp x cp x dp.",
    ),
    (
        "S032",
        "Each expert-parallel rank holds the same number of experts, so ep divides the experts. A dense model has ep = 1.",
    ),
    (
        "S033",
        "Tensor-parallel ranks share attention heads evenly, so tp divides the heads, and divides or is divided by the key-value heads.",
    ),
    (
        "S034",
        "Every data-parallel rank runs the same number of equal microbatches, so dp x micro_batch divides global_batch.",
    ),
    (
        "S035",
        "There are more virtual stages (pp x chunks) than layers to put on them, or layers do not divide as told. `layers_per_stage` sets any split.",
    ),
    (
        "S036",
        "DualPipe feeds microbatches from both ends of the pipeline: it needs an even pp, and an even number of at least 2 pp microbatches. DualPipeV needs at least 2 pp of them, and ZB-V at least 2 pp - 1, to fill both arms of their V.",
    ),
    (
        "S037",
        "An interleaved schedule runs microbatches in groups of pp, so pp divides their number.",
    ),
    (
        "S038",
        "`layers_per_stage` has one entry per virtual stage, first to last, and its sum is the number of layers.",
    ),
    (
        "S039",
        "`order` names tp, cp, dp and pp once each, fastest-varying first. `ep` may stand before `dp`.",
    ),
    ("S040", "The device has no units for the format of the GEMMs."),
    ("S041", "Something is recomputed that the model does not have."),
    (
        "S042",
        "A parameter of routing belongs to another law than the one named, or is not positive.",
    ),
    (
        "S043",
        "With context parallelism a sequence is cut into 2 cp pieces, so that every rank has as much causal work.",
    ),
    (
        "S044",
        "Warm-up steps are left out of every statistic; at least one step is counted.",
    ),
    (
        "S045",
        "A link rate is written one way or both ways together; data sheets differ, so the scenario says which.",
    ),
    (
        "S046",
        "The cluster cannot be wired as the file says: a shape lacks a key, does not hold the nodes, or a topology file cannot be read.",
    ),
    (
        "S047",
        "Something is written that is felt on shared links only, and `contention = \"none\"` gives every transfer its path to itself.",
    ),
    (
        "S048",
        "A fault names nothing of this cluster, or its times do not follow each other. Reports name links and switches as a fault does.",
    ),
    (
        "S049",
        "Lost links leave some devices without a route to others. Routes are laid once, over what is not lost for good.",
    ),
    (
        "S050",
        "The profile is neither shipped nor a file that can be read.",
    ),
    ("S051", "The profile's text is no profile."),
    (
        "S052",
        "The set of fitted parameters is no file that can be read.",
    ),
    (
        "S053",
        "The file holds no set of fitted parameters as `orrery fit` writes it.",
    ),
    (
        "S060",
        "A balancing scenario with a load lacks something: a model with experts, a cluster, `[placement]`, or a policy.",
    ),
    (
        "S061",
        "The counts of a placement do not fit: devices divide the slots, nodes the devices, groups the experts, and every expert needs a slot.",
    ),
    (
        "S062",
        "A load has phases, a workload or a gate: one of the three, a phase at least, of which the first has nothing to fade from, and no key that belongs to another.",
    ),
    (
        "S063",
        "A law of popularity lacks its parameter, has one that makes no law, or one that belongs to another law.",
    ),
    (
        "S064",
        "A recording cannot be read, has no part of that name, or is of a model of other dimensions.",
    ),
    (
        "S065",
        "A policy's control does not fit: its window lies within its interval, replicas take a share of the links that leaves some to exchanges, and no key belongs to another policy, estimator or migration.",
    ),
    (
        "S066",
        "A gate in training does not fit: a key of another kind of gate, a number of experts per token that it does not give, too few experts at the start, or groups that do not divide them.",
    ),
    (
        "S067",
        "Policies, phases, placements and recordings are told apart by their names in metrics and files: each once among its like, of small letters, digits and hyphens.",
    ),
    (
        "S068",
        "No law of experts was fitted to this stack on this device, or a twin of it in units, in this format. Those that were are listed; `law = \"none\"` takes the law at its priors.",
    ),
    (
        "S069",
        "A sweep of a balancing scenario names a policy that is not there or has nothing to move, devices that are not there, or stands without a load.",
    ),
    (
        "S070",
        "`[cost]` names one currency and writes its price in another. Prices are not converted: write both in one.",
    ),
    (
        "E001",
        "A check cannot be read. It is a comparison, `train.mfu.mean >= 0.35`, or a range, `train.step_time.mean in 18 s .. 22 s`.",
    ),
    (
        "E002",
        "A check joins quantities of different dimensions, such as seconds and bytes.",
    ),
    (
        "E003",
        "A check names a metric or a statistic that does not exist. `orrery metrics` lists all.",
    ),
    (
        "E004",
        "A check names a label that the metric does not carry, or a value that the label never takes.",
    ),
    ("E005", "`only_if` names an expectation that does not exist."),
    (
        "E006",
        "`baseline` means the stored value of the metric on its left, and there is none on its left.",
    ),
];

/// What `code` means and what to do, for `orrery explain`.
#[must_use]
pub fn explain(code: &str) -> Option<&'static str> {
    CODES
        .iter()
        .find(|(known, _)| *known == code)
        .map(|(_, text)| *text)
}

/// Every code, in order.
#[must_use]
pub fn codes() -> Vec<&'static str> {
    CODES.iter().map(|(code, _)| *code).collect()
}
