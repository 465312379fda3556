//! `[parallel]`: how the job is laid out.

use super::key::{Key, Kind};
use super::view::{Given, View};

/// The pipeline schedules, by the names that a file may use.
pub(crate) const SCHEDULES: &[&str] = &[
    "1f1b",
    "interleaved",
    "dualpipe",
    "dualpipe-v",
    "zb-h1",
    "zb-v",
    "gpipe",
];

/// How context-parallel ranks exchange keys and values, by Megatron's names.
pub(crate) const CONTEXT_EXCHANGES: &[&str] = &["p2p", "allgather", "a2a"];

const SCHEDULE: &[Key] = &[
    Key::new(
        "kind",
        Kind::Choice(SCHEDULES),
        "The order of work in the pipeline.",
    )
    .required(),
    Key::new(
        "chunks",
        Kind::Integer(1),
        "Model chunks on each rank (virtual stages).",
    )
    .also(&["vpp", "vp"]),
];

pub(crate) const KEYS: &[Key] = &[
    Key::new("tp", Kind::Integer(1), "Tensor-parallel degree.").also(&["tensor_parallel", "tensor"]),
    Key::new("pp", Kind::Integer(1), "Pipeline degree.").also(&["pipeline_parallel", "pipeline"]),
    Key::new("ep", Kind::Integer(1), "Expert-parallel degree.").also(&["expert_parallel", "expert"]),
    Key::new("cp", Kind::Integer(1), "Context-parallel degree.").also(&["context_parallel"]),
    Key::new(
        "cp_comm",
        Kind::Choice(CONTEXT_EXCHANGES),
        "How context-parallel ranks exchange keys and values: round a ring, gathered, or heads for sequences.",
    )
    .also(&["cp_comm_type"]),
    Key::new(
        "dp",
        Kind::Either(&[Kind::Choice(&["auto"]), Kind::Integer(1)]),
        "Data-parallel degree: `nodes x gpus / (tp x pp x cp)`.",
    )
    .also(&["data_parallel"]),
    Key::new(
        "expert_tp",
        Kind::Integer(1),
        "Tensor-parallel degree inside an expert.",
    )
    .also(&["etp", "expert_tensor_parallel"]),
    Key::new(
        "zero_stage",
        Kind::Integer(0),
        "What data-parallel ranks share out: 0 to 3.",
    )
    .also(&["zero"]),
    Key::new(
        "sequence_parallel",
        Kind::Flag,
        "Whether norms and residuals are split along the sequence.",
    )
    .also(&["sp"]),
    Key::new("schedule", Kind::Table(SCHEDULE), "The pipeline schedule."),
    Key::new(
        "order",
        Kind::List(&Kind::Choice(&["tp", "cp", "ep", "dp", "pp"])),
        "Axes, fastest-varying first; decides what stays inside a node.",
    ),
    Key::new(
        "layers_per_stage",
        Kind::List(&Kind::Integer(0)),
        "Layers of each virtual stage, first to last.",
    ),
    Key::new(
        "first_stage_less",
        Kind::Integer(0),
        "Layers that the first virtual stage holds less.",
    ),
    Key::new(
        "last_stage_less",
        Kind::Integer(0),
        "Layers that the last virtual stage holds less.",
    ),
];

#[derive(Debug)]
pub(crate) struct RawParallel {
    pub(crate) tp: Option<Given<u64>>,
    pub(crate) pp: Option<Given<u64>>,
    pub(crate) ep: Option<Given<u64>>,
    pub(crate) cp: Option<Given<u64>>,
    pub(crate) cp_comm: Option<Given<String>>,
    pub(crate) dp: Option<Given<u64>>,
    pub(crate) expert_tp: Option<Given<u64>>,
    pub(crate) zero_stage: Option<Given<u64>>,
    pub(crate) sequence_parallel: Option<Given<bool>>,
    pub(crate) schedule: Option<Given<String>>,
    pub(crate) chunks: Option<Given<u64>>,
    pub(crate) order: Option<Given<Vec<Given<String>>>>,
    pub(crate) layers_per_stage: Option<Given<Vec<u64>>>,
    pub(crate) first_stage_less: Option<Given<u64>>,
    pub(crate) last_stage_less: Option<Given<u64>>,
}

impl RawParallel {
    /// Takes out what says how the job is split, and how layers lie on the stages of that.
    pub(crate) fn forget_degrees(&mut self) {
        (self.tp, self.pp, self.ep, self.expert_tp, self.dp) = (None, None, None, None, None);
        (self.schedule, self.chunks) = (None, None);
        (self.layers_per_stage, self.first_stage_less, self.last_stage_less) = (None, None, None);
    }

    pub(crate) fn read(view: View<'_>) -> Self {
        let schedule = view.table("schedule");
        Self {
            tp: view.integer("tp"),
            pp: view.integer("pp"),
            ep: view.integer("ep"),
            cp: view.integer("cp"),
            cp_comm: view.text("cp_comm"),
            dp: view.integer("dp"),
            expert_tp: view.integer("expert_tp"),
            zero_stage: view.integer("zero_stage"),
            sequence_parallel: view.flag("sequence_parallel"),
            schedule: schedule.text("kind"),
            chunks: schedule.integer("chunks"),
            order: view.texts("order"),
            layers_per_stage: view.integers("layers_per_stage"),
            first_stage_less: view.integer("first_stage_less"),
            last_stage_less: view.integer("last_stage_less"),
        }
    }
}
