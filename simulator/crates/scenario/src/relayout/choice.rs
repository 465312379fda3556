//! What a search may choose of a layout, and its words in a file.

use std::fmt;

use crate::plan::{Plan, Recompute, ScheduleKind, ZeroStage};
use crate::resolve::interleaves;

/// What of a job a search may choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayoutChoice {
    /// Tensor-parallel degree of attention and dense layers.
    pub tp: u32,
    /// Pipeline degree.
    pub pp: u32,
    /// Context-parallel degree.
    pub cp: u32,
    /// Expert-parallel degree.
    pub ep: u32,
    /// Tensor-parallel degree inside an expert.
    pub expert_tp: u32,
    /// The pipeline schedule, by its name in a file.
    pub schedule: &'static str,
    /// Model chunks on each rank, where the schedule leaves a choice.
    pub chunks: Option<u32>,
    /// Sequences per microbatch.
    pub micro_batch: u64,
    /// What data-parallel ranks share out.
    pub zero: ZeroStage,
    /// What is recomputed.
    pub recompute: Recompute,
}

impl LayoutChoice {
    /// The layout that `plan` has.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let layout = &plan.layout;
        Self {
            tp: layout.tp,
            pp: layout.pp,
            cp: layout.cp,
            ep: layout.ep,
            expert_tp: layout.expert_tp,
            schedule: Self::schedule_name(layout.schedule.kind),
            chunks: (layout.schedule.kind == ScheduleKind::Interleaved).then_some(layout.schedule.chunks),
            micro_batch: plan.training.micro_batch,
            zero: layout.zero,
            recompute: plan.training.recompute.clone(),
        }
    }

    /// The same layout as the loader resolves it: what does not interleave is 1F1B, so that one layout has one choice.
    #[must_use]
    pub fn resolved(mut self) -> Self {
        if self.schedule == Self::schedule_name(ScheduleKind::Interleaved)
            && !interleaves(self.chunks, self.pp)
        {
            self.schedule = Self::schedule_name(ScheduleKind::OneFOneB);
            self.chunks = None;
        }
        self
    }

    /// The name of a schedule in a file.
    #[must_use]
    pub const fn schedule_name(kind: ScheduleKind) -> &'static str {
        match kind {
            ScheduleKind::GPipe => "gpipe",
            ScheduleKind::OneFOneB => "1f1b",
            ScheduleKind::Interleaved => "interleaved",
            ScheduleKind::ZeroBubbleH1 => "zb-h1",
            ScheduleKind::ZeroBubbleV => "zb-v",
            ScheduleKind::DualPipe => "dualpipe",
            ScheduleKind::DualPipeV => "dualpipe-v",
        }
    }

    /// The same as keys and values of a scenario, for `--set`.
    #[must_use]
    pub fn settings(&self) -> Vec<(String, String)> {
        let mut settings = vec![
            ("parallel.tp", self.tp.to_string()),
            ("parallel.pp", self.pp.to_string()),
            ("parallel.cp", self.cp.to_string()),
            ("parallel.ep", self.ep.to_string()),
            ("parallel.expert_tp", self.expert_tp.to_string()),
            ("parallel.zero_stage", zero_number(self.zero).to_string()),
            ("training.micro_batch", self.micro_batch.to_string()),
            ("training.recompute", recompute_text(&self.recompute)),
        ];
        let chunks = self
            .chunks
            .map_or_else(String::new, |chunks| format!(", chunks = {chunks}"));
        settings.push((
            "parallel.schedule",
            format!("{{ kind = \"{}\"{chunks} }}", self.schedule),
        ));
        settings
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect()
    }
}

impl LayoutChoice {
    /// Its short form spelled out, a line for each of its parts.
    #[must_use]
    pub fn explained(&self) -> String {
        let chunks = self
            .chunks
            .map_or_else(String::new, |chunks| format!(", {chunks} model chunks on a rank"));
        let recompute = match &self.recompute {
            Recompute::None => {
                "keeps all: every activation is kept until backward, nothing is computed again"
            }
            Recompute::Full => {
                "recomputes all: only inputs of layers are kept, the rest is computed again in backward"
            }
            Recompute::Selective(_) => {
                "recomputes some: named modules are computed again in backward, the rest is kept"
            }
        };
        format!(
            "TP{}: devices that share each matrix\nPP{}: pipeline stages\nCP{}: devices that share each sequence\n\
             EP{}: devices that share the experts\nETP{}: devices that share each expert\n\
             MB{}: sequences of a microbatch\n{}: schedule of the pipeline{chunks}\nZeRO stage {}\n{recompute}",
            self.tp,
            self.pp,
            self.cp,
            self.ep,
            self.expert_tp,
            self.micro_batch,
            self.schedule,
            zero_number(self.zero)
        )
    }
}

impl fmt::Display for LayoutChoice {
    /// A layout in a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let recompute = match &self.recompute {
            Recompute::None => "keeps all",
            Recompute::Full => "recomputes all",
            Recompute::Selective(_) => "recomputes some",
        };
        write!(
            f,
            "TP{} PP{} CP{} EP{} ETP{} MB{} {}",
            self.tp, self.pp, self.cp, self.ep, self.expert_tp, self.micro_batch, self.schedule
        )?;
        if let Some(chunks) = self.chunks {
            write!(f, " x{chunks}")?;
        }
        write!(f, ", {recompute}")
    }
}

/// What data-parallel ranks share out, as a file says it.
pub(super) const fn zero_number(zero: ZeroStage) -> u64 {
    match zero {
        ZeroStage::None => 0,
        ZeroStage::Optimizer => 1,
        ZeroStage::Gradients => 2,
        ZeroStage::Parameters => 3,
    }
}

/// What is recomputed, as a file says it.
#[must_use]
pub fn recompute_text(recompute: &Recompute) -> String {
    match recompute {
        Recompute::None => "\"none\"".to_owned(),
        Recompute::Full => "\"full\"".to_owned(),
        Recompute::Selective(modules) => {
            let names: Vec<String> = modules
                .iter()
                .map(|&module| format!("\"{}\"", module.name()))
                .collect();
            format!("[{}]", names.join(", "))
        }
    }
}
