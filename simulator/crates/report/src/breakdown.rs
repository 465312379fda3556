//! The mean step of the compute lanes, split into states that sum to it to the picosecond.
//!
//! The totals charge each idle gap of a lane to the kind of task that ended it, split at the instant at
//! which that task had all its parties. The class of that kind then says what the gap was:
//!
//! | class that ended the gap | before all parties were there | after |
//! | --- | --- | --- |
//! | pipeline | bubble | exposed pipeline transfer |
//! | dispatch, combine | imbalance wait | exposed all-to-all |
//! | tensor, context, data | imbalance wait | exposed transfer of that class |
//! | optimizer | bubble with a pipeline, else imbalance wait | optimizer |
//! | host | host | host |
//! | compute, other | idle | compute |
//!
//! The end of a step is a meeting of all stages, so waiting for it is where half of a pipeline's bubble
//! shows. Busy time counts by the class of the task itself.

use orrery_timeline::{Cell, LaneTotals, OpClass, StepTotals, Totals};

use crate::RunFacts;

/// What a compute lane is doing, or what it stands idle for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Forward, backward and recompute.
    Compute,
    /// Expert dispatch and combine in the way.
    AllToAll,
    /// Tensor-parallel traffic in the way.
    Tensor,
    /// Context-parallel traffic in the way.
    Context,
    /// Pipeline transfers in the way.
    Pipeline,
    /// Gradient and parameter traffic in the way.
    Data,
    /// Waiting for another stage.
    Bubble,
    /// Waiting for peers that have more to do or are slower.
    ImbalanceWait,
    /// Waiting for the host.
    Host,
    /// Optimiser and the end of the step.
    Optimizer,
    /// Done with the step, others are not.
    Idle,
}

impl State {
    /// Every state, in the order of legends.
    pub const ALL: [Self; 11] = [
        Self::Compute,
        Self::AllToAll,
        Self::Tensor,
        Self::Context,
        Self::Pipeline,
        Self::Data,
        Self::Bubble,
        Self::ImbalanceWait,
        Self::Host,
        Self::Optimizer,
        Self::Idle,
    ];

    /// The name in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Compute => "compute",
            Self::AllToAll => "all_to_all",
            Self::Tensor => "tensor",
            Self::Context => "context",
            Self::Pipeline => "pipeline",
            Self::Data => "data",
            Self::Bubble => "bubble",
            Self::ImbalanceWait => "imbalance_wait",
            Self::Host => "host",
            Self::Optimizer => "optimizer",
            Self::Idle => "idle",
        }
    }

    /// The name for people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Compute => "compute",
            Self::AllToAll => "exposed all-to-all",
            Self::Tensor => "exposed tensor-parallel traffic",
            Self::Context => "exposed context-parallel traffic",
            Self::Pipeline => "exposed pipeline transfers",
            Self::Data => "exposed gradient and parameter traffic",
            Self::Bubble => "pipeline bubble",
            Self::ImbalanceWait => "imbalance wait",
            Self::Host => "host",
            Self::Optimizer => "optimizer and step end",
            Self::Idle => "idle at the step's end",
        }
    }

    /// Whether it is communication that compute stands still for.
    #[must_use]
    pub const fn is_exposed_communication(self) -> bool {
        matches!(
            self,
            Self::AllToAll | Self::Tensor | Self::Context | Self::Pipeline | Self::Data
        )
    }
}

/// Picoseconds by state; sums of many ranks and steps fit, and add without rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Breakdown {
    picos: [i128; State::ALL.len()],
    /// Part of [`State::Compute`] that is the slow-down by what ran beside it.
    contention: i128,
    /// Lane-steps added up.
    samples: i128,
}

impl Breakdown {
    /// One lane in one step; the states sum to the duration of `step` exactly.
    ///
    /// A lane may begin a step before the slowest rank has ended the one before. Its account then holds
    /// more than the step; the excess lies in that earlier tail and is taken out of its waiting first.
    #[must_use]
    pub fn of_lane(lane: &LaneTotals, step: &StepTotals, facts: &RunFacts) -> Self {
        let mut sum = Self {
            samples: 1,
            ..Self::default()
        };
        let staged = facts.stages.len() > 1;
        for (kind, cell) in lane.iter() {
            sum.add_cell(facts.kinds.kind(kind).class, cell, staged);
        }
        sum.add(State::Host, lane.idle_host.as_picos());
        let rest = i128::from(step.duration().as_picos()) - sum.total_picos();
        if rest >= 0 {
            sum.picos[State::Idle as usize] += rest;
        } else {
            sum.shed(-rest);
        }
        sum
    }

    /// Every rank of every measured step, each rank counted as often as it stands for.
    #[must_use]
    pub fn of_runs(runs: &[&Totals], facts: &RunFacts) -> Self {
        let mut sum = Self::default();
        for step in runs
            .iter()
            .flat_map(|totals| totals.steps.iter().skip(facts.warmup_steps))
        {
            sum.merge(&Self::of_step(step, facts));
        }
        sum
    }

    /// Every rank of one step.
    #[must_use]
    pub fn of_step(step: &StepTotals, facts: &RunFacts) -> Self {
        let mut sum = Self::default();
        for rank in &facts.ranks {
            let one = Self::of_lane(&step.lanes[rank.compute_lane], step, facts);
            sum.merge_times(&one, i128::from(rank.stands_for));
        }
        sum
    }

    fn add_cell(&mut self, class: OpClass, cell: &Cell, staged: bool) {
        let (busy, waiting, running) = match class {
            OpClass::Compute | OpClass::Other => (State::Compute, State::Idle, State::Compute),
            OpClass::Dispatch | OpClass::Combine => (State::AllToAll, State::ImbalanceWait, State::AllToAll),
            OpClass::Tensor => (State::Tensor, State::ImbalanceWait, State::Tensor),
            OpClass::Context => (State::Context, State::ImbalanceWait, State::Context),
            OpClass::Data => (State::Data, State::ImbalanceWait, State::Data),
            OpClass::Pipeline => (State::Pipeline, State::Bubble, State::Pipeline),
            OpClass::Optimizer if staged => (State::Optimizer, State::Bubble, State::Optimizer),
            OpClass::Optimizer => (State::Optimizer, State::ImbalanceWait, State::Optimizer),
            OpClass::Host => (State::Host, State::Host, State::Host),
        };
        self.add(busy, cell.busy.as_picos());
        self.add(waiting, cell.idle_waiting.as_picos());
        self.add(running, cell.idle_running.as_picos());
        if busy == State::Compute {
            self.contention += i128::from(cell.busy.saturating_sub(cell.alone).as_picos());
        }
    }

    fn add(&mut self, state: State, picos: u64) {
        self.picos[state as usize] += i128::from(picos);
    }

    /// Takes `excess` out: of waiting first, then of what is left, largest first.
    fn shed(&mut self, mut excess: i128) {
        const WAITING: [State; 4] = [State::Bubble, State::ImbalanceWait, State::Host, State::Idle];
        for state in WAITING.into_iter().chain(State::ALL) {
            let taken = excess.min(self.picos[state as usize]);
            self.picos[state as usize] -= taken;
            excess -= taken;
        }
        assert!(excess == 0, "a lane's account holds at least its excess");
        self.contention = self.contention.min(self.picos[State::Compute as usize]);
    }

    /// Adds the lane-steps of `other`.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.merge_times(other, 1);
    }

    fn merge_times(&mut self, other: &Self, times: i128) {
        for (mine, theirs) in self.picos.iter_mut().zip(other.picos) {
            *mine += theirs * times;
        }
        self.contention += other.contention * times;
        self.samples += other.samples * times;
    }

    /// Picoseconds in `state` over all lane-steps.
    #[must_use]
    pub const fn picos(&self, state: State) -> i128 {
        self.picos[state as usize]
    }

    /// Lane-steps added up.
    pub(crate) const fn samples(&self) -> i128 {
        self.samples
    }

    /// Picoseconds over all states and lane-steps.
    #[must_use]
    pub fn total_picos(&self) -> i128 {
        self.picos.iter().sum()
    }

    /// Seconds of a mean lane-step in `state`.
    #[must_use]
    pub fn seconds(&self, state: State) -> f64 {
        float(self.picos(state)) / float(self.samples.max(1)) / 1e12
    }

    /// Share of the step in `state`; zero when nothing was measured.
    #[must_use]
    pub fn share(&self, state: State) -> f64 {
        self.share_of(self.picos(state))
    }

    /// Share of the step that compute loses to what runs beside it.
    #[must_use]
    pub fn contention_share(&self) -> f64 {
        self.share_of(self.contention)
    }

    fn share_of(&self, picos: i128) -> f64 {
        let total = self.total_picos();
        if total == 0 {
            return 0.0;
        }
        float(picos) / float(total)
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a report needs nine digits, a float has fifteen"
)]
fn float(picos: i128) -> f64 {
    picos as f64
}
