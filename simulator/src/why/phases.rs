//! Phases of the schedule on every rank, told from the tasks that each action brought.
//!
//! An action begins when the first of its tasks on the compute or the exchange lane stands ready and the compute lane
//! is done with the action before; it ends with its last task on the compute lane. What lies between two actions is
//! bubble, as in the figures of schedules, whose middle has no holes: what lies between two overlapped pairs is a part of
//! the pairs, for there every rank goes at the pace of the slowest stage.
//!
//! A bubble waits for another stage. Gradients and parameters travel among ranks of the same stages: like an exchange of
//! tokens they are under way from when they stand ready, and a part of the end of the step, also the parameters that the
//! first action of the next step waits for. Of the agreement of all ranks only what runs is, for it waits for every stage.

use orrery_report::{Phase, RankPhases};
use orrery_scenario::Plan;
use orrery_scenario::plan::ZeroStage;
use orrery_taskgraph::Resources;
use orrery_workload::lower::Kinds;
use orrery_workload::schedule::{Action, order};

use super::witness::Completed;

/// What a lane is to the phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Compute,
    Exchange,
    Data,
    Other,
}

#[derive(Clone, Debug)]
struct OfRank {
    phases: RankPhases,
    /// The action under way, and when its first task stood ready.
    action: Option<u32>,
    begun: u64,
    /// When the compute lane was done.
    until: u64,
    /// When the step was known to have begun at the last entry.
    as_of: u64,
    /// When parameters were on their way before the first action, one after the other.
    gathers: Vec<(u64, u64)>,
}

impl OfRank {
    /// A rank may be ahead: what it did before the last one ended the step before belongs to no step.
    fn settle(&mut self, begin: u64) {
        if self.as_of < begin {
            self.phases.picos = [0; 6];
            self.as_of = begin;
        }
    }

    /// How much of the time between `from` and `to` parameters were on their way; said once.
    fn gathered(&mut self, from: u64, to: u64) -> u64 {
        let spans = std::mem::take(&mut self.gathers).into_iter();
        spans
            .map(|(start, end)| end.min(to).saturating_sub(start.max(from)))
            .sum()
    }
}

/// Grows the phases of the last step.
#[derive(Debug)]
pub(super) struct PhasesBuilder {
    step: u16,
    roles: Vec<Role>,
    kinds: Kinds,
    /// Whether parameters are gathered at the beginning of a step, not with every microbatch.
    gathers_once: bool,
    /// Phase of each action by pipeline rank.
    orders: Vec<Vec<Phase>>,
    ranks: Vec<OfRank>,
    begin: u64,
    end: u64,
}

impl PhasesBuilder {
    /// For the ranks of `plan` whose pipeline ranks are `stages`.
    pub(super) fn new(plan: &Plan, resources: &Resources, stages: &[u32], step: u16) -> Self {
        let microbatches = u32::try_from(plan.training.num_microbatches).expect("validated");
        let layout = &plan.layout;
        let phases = |stage| {
            order(layout.schedule, layout.pp, stage, microbatches)
                .into_iter()
                .map(phase_of)
                .collect()
        };
        let role = |name| match name {
            "compute" => Role::Compute,
            "expert exchange" => Role::Exchange,
            "data parallel" => Role::Data,
            _ => Role::Other,
        };
        Self {
            step,
            roles: resources.lanes.iter().map(|lane| role(lane.name)).collect(),
            kinds: Kinds::new(),
            gathers_once: layout.zero != ZeroStage::Parameters,
            orders: (0..layout.pp).map(phases).collect(),
            ranks: stages
                .iter()
                .zip(0..)
                .map(|(&stage, rank)| OfRank {
                    phases: RankPhases {
                        rank,
                        stage,
                        ..RankPhases::default()
                    },
                    action: None,
                    begun: u64::MAX,
                    until: 0,
                    as_of: 0,
                    gathers: Vec::new(),
                })
                .collect(),
            begin: 0,
            end: 0,
        }
    }

    pub(super) fn completed(&mut self, done: &Completed<'_>) {
        let role = self.roles[done.task.lane as usize];
        self.end = self.end.max(done.end);
        let of = &mut self.ranks[done.program as usize];
        if done.task.step < self.step {
            self.begin = self.begin.max(done.end);
            if role == Role::Compute {
                of.until = done.end;
            }
            return;
        }
        let next = of
            .action
            .map_or(0, |action| action + u32::from(role != Role::Compute));
        // An exchange of an action that compute has not reached yet tells when that action could begin.
        if role == Role::Exchange && done.task.pull >= next && of.action != Some(done.task.pull) {
            of.begun = of.begun.min(done.ready);
        }
        let phases = &self.orders[of.phases.stage as usize];
        let begins =
            of.action.is_none() && self.gathers_once && done.task.kind == self.kinds.parameter_gather;
        if begins {
            of.gathers.push((done.ready, done.end));
        }
        let at_end = done.task.pull as usize >= phases.len();
        if role != Role::Compute && !(role == Role::Data && at_end) {
            return;
        }
        let phase = phases
            .get(done.task.pull as usize)
            .copied()
            .unwrap_or(Phase::Optimizer);
        let first = of.action != Some(done.task.pull);
        of.settle(self.begin);
        let idle_from = of.until.max(self.begin);
        let begun = if phase == Phase::Optimizer {
            let reduces = done.task.kind == self.kinds.gradient_reduce;
            let under_way = if reduces { done.ready } else { done.start };
            under_way.max(idle_from).min(done.end)
        } else if first {
            of.begun.clamp(idle_from.min(done.start), done.start)
        } else {
            idle_from.min(done.start)
        };
        if first {
            of.action = Some(done.task.pull);
            of.begun = u64::MAX;
            of.phases.passes[phase as usize] += 1;
        }
        let begun = begun.max(self.begin).min(done.end.max(self.begin));
        let before = done.task.pull.checked_sub(1);
        let before = before.and_then(|action| phases.get(action as usize));
        let idle = if phase == Phase::Overlapped && before == Some(&Phase::Overlapped) {
            Phase::Overlapped
        } else {
            Phase::Bubble
        };
        let waited = begun.saturating_sub(idle_from);
        let gathering = of.gathered(idle_from, begun);
        of.phases.picos[Phase::Optimizer as usize] += gathering;
        of.phases.picos[idle as usize] += waited - gathering;
        of.phases.picos[phase as usize] += done.end.max(self.begin) - begun;
        of.until = done.end.max(of.until);
    }

    /// The phases of every rank; they sum to the step.
    pub(super) fn finish(&self) -> Vec<RankPhases> {
        let close = |of: &OfRank| {
            let mut of = of.clone();
            of.settle(self.begin);
            let mut phases = of.phases;
            phases.picos[Phase::Bubble as usize] += self.end - of.until.max(self.begin);
            phases
        };
        self.ranks.iter().map(close).collect()
    }
}

const fn phase_of(action: Action) -> Phase {
    match action {
        Action::Forward(_) => Phase::Forward,
        Action::Backward(_) | Action::BackwardInput(_) => Phase::Backward,
        Action::BackwardWeight(_) => Phase::Weight,
        Action::Overlapped { .. } => Phase::Overlapped,
    }
}
