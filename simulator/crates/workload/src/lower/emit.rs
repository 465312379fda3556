//! Actions of a schedule into tasks of a rank.

use orrery_profile::Term;
use orrery_taskgraph::{After, Sequence, Sink, Tag, Task, Work};
use orrery_units::{Evidence, KindId, LaneId, SimDuration};

use super::driver::{Cursor, Shared};
use super::groups::{Party, RECEIVE_ACTIVATION, RECEIVE_GRADIENT, SEND_ACTIVATION, SEND_GRADIENT, Way};
use super::holding::Changes;
use super::layer::{Backward, Forward, WeightGradients};
use super::pace::stall;
use crate::cost::{COLLECTIVE_LAUNCHES, Kernel, Transfer};
use crate::schedule::{Action, Slot, next_of, previous_of};

/// Puts the tasks of one rank into the sink.
pub(super) struct Emit<'a, 'p, 's> {
    pub(super) shared: &'a mut Shared<'p>,
    pub(super) cursor: &'a mut Cursor,
    pub(super) sink: &'a mut Sink<'s>,
}

/// What a task waits for; absent entries are nothing to wait for.
pub(super) type Waits<'w> = &'w [Option<Sequence>];

impl Shared<'_> {
    /// Emits the tasks of `action` for the rank of `cursor`.
    pub(super) fn emit_action(&mut self, cursor: &mut Cursor, action: Action, sink: &mut Sink<'_>) {
        let mut emit = Emit {
            shared: self,
            cursor,
            sink,
        };
        match action {
            Action::Forward(slot) => emit.forward(slot),
            Action::Backward(slot) => emit.backward(slot, true),
            Action::BackwardInput(slot) => emit.backward(slot, false),
            Action::BackwardWeight(slot) => emit.weight(slot),
            Action::Overlapped { forward, backward } => emit.overlapped(forward, backward),
        }
    }

    /// Emits what a step begins with: what it gathers, and the stall of its host.
    pub(super) fn emit_step_begin(&mut self, cursor: &mut Cursor, sink: &mut Sink<'_>) {
        let stall = stall(self.plan, self.seed, cursor.member.rank, cursor.step);
        let mut emit = Emit {
            shared: self,
            cursor,
            sink,
        };
        emit.gather_parameters();
        if stall > SimDuration::ZERO {
            let (lane, kind) = (emit.cursor.member.lanes.compute, emit.shared.kinds.host_stall);
            let task = emit.task(lane, kind, Work::Delay(stall), &[], Tag::default());
            emit.push(task);
        }
    }

    /// Emits what follows the last action of a step.
    pub(super) fn emit_step_end(&mut self, cursor: &mut Cursor, sink: &mut Sink<'_>) {
        Emit {
            shared: self,
            cursor,
            sink,
        }
        .step_end();
    }
}

impl Emit<'_, '_, '_> {
    fn forward(&mut self, slot: Slot) {
        let mut forward = self.begin_forward(slot);
        for at in 0..forward.units.len() {
            self.gather_shards_forward(&mut forward, at);
            self.attention_forward(&mut forward, at);
            self.dispatch_forward(&mut forward, at);
            self.mlp_forward(&mut forward, at);
            self.combine_forward(&mut forward, at);
        }
        self.end_forward(forward);
    }

    fn backward(&mut self, slot: Slot, with_weight: bool) {
        let weights = if with_weight {
            WeightGradients::Fused
        } else {
            WeightGradients::Later
        };
        let mut backward = self.begin_backward(slot, weights);
        for at in (0..backward.units.len()).rev() {
            self.gather_shards_backward(&mut backward, at);
            self.recompute(&mut backward, at);
            self.combine_backward(&mut backward, at);
            self.mlp_backward(&mut backward, at);
            self.dispatch_backward(&mut backward, at);
            self.attention_backward(&mut backward, at);
            if with_weight {
                self.reduce_gradients(&backward, at);
            }
        }
        self.end_backward(&backward);
    }

    fn weight(&mut self, slot: Slot) {
        let mut backward = self.deferred_weight(slot);
        for at in (0..backward.units.len()).rev() {
            self.mlp_weight(&mut backward, at);
            self.attention_weight(&mut backward, at);
            self.reduce_gradients(&backward, at);
        }
    }

    /// One forward and one backward, layer by layer, so that each hides the other's exchanges: the order of
    /// the public DeepSeek-V3 training trace (tests/truth/deepseek_v3_train_profile_phases.csv).
    fn overlapped(&mut self, forward: Slot, backward: Slot) {
        let mut forward = self.begin_forward(forward);
        let mut backward = self.begin_backward(backward, WeightGradients::Apart);
        let (forwards, backwards) = (forward.units.len(), backward.units.len());
        for turn in 0..forwards.max(backwards) {
            let f = (turn < forwards).then_some(turn);
            let b = (turn < backwards).then(|| backwards - 1 - turn);
            if let Some(at) = b {
                self.recompute(&mut backward, at);
                self.combine_backward(&mut backward, at);
            }
            if let Some(at) = f {
                self.attention_forward(&mut forward, at);
            }
            if let Some(at) = b {
                self.mlp_backward(&mut backward, at);
            }
            if let Some(at) = f {
                self.dispatch_forward(&mut forward, at);
            }
            if let Some(at) = b {
                self.dispatch_backward(&mut backward, at);
                self.mlp_weight(&mut backward, at);
            }
            if let Some(at) = f {
                self.mlp_forward(&mut forward, at);
            }
            if let Some(at) = b {
                self.attention_backward(&mut backward, at);
                self.attention_weight(&mut backward, at);
                self.reduce_gradients(&backward, at);
            }
            if let Some(at) = f {
                self.combine_forward(&mut forward, at);
            }
        }
        self.end_forward(forward);
        self.end_backward(&backward);
    }

    /// A kernel on the compute lane.
    pub(super) fn compute(&mut self, kind: KindId, kernel: Kernel, waits: Waits<'_>, tag: Tag) -> Sequence {
        self.compute_holding(kind, kernel, waits, tag, Changes::new())
    }

    /// A kernel on the compute lane that takes or gives back memory.
    pub(super) fn compute_holding(
        &mut self,
        kind: KindId,
        kernel: Kernel,
        waits: Waits<'_>,
        tag: Tag,
        mut memory: Changes,
    ) -> Sequence {
        // A device at its nominal speed keeps its times to the picosecond.
        let slowness = self.cursor.pace.of_compute(kind, tag);
        let nominal = slowness.to_bits() == 1.0f64.to_bits();
        let kernel = if nominal { kernel } else { kernel.slowed(slowness) };
        let clock = self.shared.plan.clock;
        let kernel = if clock < 1.0 {
            kernel.clocked(clock)
        } else {
            kernel
        };
        let (issue, tuning) = (self.shared.issue, &self.shared.plan.tuning);
        let (kernel, launch) = self.cursor.issued.add(kernel, issue, tuning);
        for (sum, part) in self.shared.spent[kind.index()].iter_mut().zip(kernel.spent) {
            *sum += part;
        }
        if !self.cursor.placed {
            self.cursor.placed = true;
            let pipeline = self.cursor.member.pipeline_rank;
            memory.extend(self.shared.holdings.statics(pipeline));
        }
        // The device begins with the first kernel as soon as that one is issued.
        let first = launch.min(issue);
        let task = self.push(Task {
            launch: first,
            memory,
            evidence: kernel.evidence(),
            ..self.task(self.cursor.member.lanes.compute, kind, kernel.work(), waits, tag)
        });
        self.cursor.behind = launch - first;
        task
    }

    /// What of a step or of a microbatch, as `term` says, belongs to none of its kernels, after `done`; the host is as long at
    /// it, and after that of a step it begins anew.
    pub(super) fn pause(&mut self, term: Term, done: Sequence, tag: Tag) -> Sequence {
        let length = SimDuration::from_secs(self.shared.plan.tuning.get(term));
        if length == SimDuration::ZERO {
            return done;
        }
        let (lane, kind) = (self.cursor.member.lanes.compute, self.shared.kinds.rest_of_step);
        let task = self.task(lane, kind, Work::Delay(length), &[Some(done)], tag);
        let launch = if term == Term::Microbatch {
            length
        } else {
            SimDuration::ZERO
        };
        let drains_host = term == Term::Step;
        self.push(Task {
            launch,
            drains_host,
            ..task
        })
    }

    /// A transfer on `lane`, over a path and met by others where it is shared with any.
    pub(super) fn transfer(
        &mut self,
        lane: LaneId,
        kind: KindId,
        transfer: &Transfer,
        shared: Option<Party>,
        waits: Waits<'_>,
        tag: Tag,
    ) -> Sequence {
        let task = self.transfer_task(lane, kind, transfer, shared, waits, tag);
        self.push(task)
    }

    /// The same, not yet pushed.
    pub(super) fn transfer_task(
        &self,
        lane: LaneId,
        kind: KindId,
        transfer: &Transfer,
        shared: Option<Party>,
        waits: Waits<'_>,
        tag: Tag,
    ) -> Task {
        let way = shared.map_or(Way::PRIVATE, |shared| shared.way);
        let transfer = transfer.slowed(self.cursor.pace.of_transfer(kind, tag));
        let work = transfer.over(way.detour).work(way.path);
        let task = self.task(lane, kind, work, waits, tag);
        let lanes = &self.cursor.member.lanes;
        let launches = if lane == lanes.tensor {
            COLLECTIVE_LAUNCHES
        } else {
            1
        };
        Task {
            meeting: shared.map(|shared| shared.meeting),
            // Receives are posted far ahead and copied by few units; exchange kernels spin with all of theirs.
            spins: lane == lanes.exchange,
            launch: self.shared.issue * u64::from(launches),
            evidence: transfer.evidence,
            ..task
        }
    }

    fn task(&self, lane: LaneId, kind: KindId, work: Work, waits: Waits<'_>, tag: Tag) -> Task {
        let after: After = waits.iter().copied().flatten().collect();
        Task {
            step: self.cursor.step,
            tag,
            after,
            multiplicity: self.shared.multiplicity,
            evidence: Evidence::Analytic,
            ..Task::new(lane, kind, work)
        }
    }

    /// Hands over `task`, which the host issues once it is done with the kernels of the task before.
    pub(super) fn push(&mut self, mut task: Task) -> Sequence {
        task.launch += std::mem::take(&mut self.cursor.behind);
        self.sink.push(task)
    }

    /// Receives the activation of `slot` from the stage before, if it is on another rank.
    pub(super) fn receive_activation(&mut self, slot: Slot) -> Option<Sequence> {
        let kind = self.shared.kinds.receive_activation;
        self.channel(slot, RECEIVE_ACTIVATION, kind, None)
            .or_else(|| self.cursor.handed.remove(&(RECEIVE_ACTIVATION, slot)))
    }

    /// Receives the gradient of `slot` from the stage after, if it is on another rank.
    pub(super) fn receive_gradient(&mut self, slot: Slot) -> Option<Sequence> {
        let kind = self.shared.kinds.receive_gradient;
        self.channel(slot, RECEIVE_GRADIENT, kind, None)
            .or_else(|| self.cursor.handed.remove(&(RECEIVE_GRADIENT, slot)))
    }

    /// Keeps the `last` of `slot` for the stage beside it, where that is a chunk of the same rank.
    fn hand_over(&mut self, which: usize, slot: Slot, to: Option<(u32, u32)>, last: Option<Sequence>) {
        if let (Some((pipeline, chunk)), Some(last)) = (to, last)
            && pipeline == self.cursor.member.pipeline_rank
        {
            self.cursor.handed.insert((which, Slot { chunk, ..slot }), last);
        }
    }

    pub(super) fn send_activation(&mut self, forward: &Forward) {
        let (layout, slot) = (&self.shared.plan.layout, forward.slot);
        let to = next_of(
            layout.schedule,
            layout.pp,
            self.cursor.member.pipeline_rank,
            slot.chunk,
        );
        self.hand_over(RECEIVE_ACTIVATION, slot, to, forward.last);
        self.channel(
            forward.slot,
            SEND_ACTIVATION,
            self.shared.kinds.send_activation,
            forward.last,
        );
    }

    pub(super) fn send_gradient(&mut self, backward: &Backward) {
        let (layout, slot) = (&self.shared.plan.layout, backward.slot);
        let to = previous_of(
            layout.schedule,
            layout.pp,
            self.cursor.member.pipeline_rank,
            slot.chunk,
        );
        self.hand_over(RECEIVE_GRADIENT, slot, to, backward.last);
        self.channel(
            backward.slot,
            SEND_GRADIENT,
            self.shared.kinds.send_gradient,
            backward.last,
        );
    }

    fn channel(
        &mut self,
        slot: Slot,
        which: usize,
        kind: KindId,
        wait: Option<Sequence>,
    ) -> Option<Sequence> {
        let chunk = slot.chunk as usize;
        let meeting = self.cursor.member.channels[chunk][which].as_mut()?.next();
        let lane = self.cursor.member.lanes.pipeline[chunk][which];
        let transfer = self.shared.step_end.pipeline_transfer;
        let tag = Tag {
            major: slot.chunk,
            minor: slot.microbatch,
        };
        let receives = matches!(which, RECEIVE_ACTIVATION | RECEIVE_GRADIENT);
        let message = self.transfer_task(lane, kind, &transfer, meeting, &[wait], tag);
        Some(self.push(Task {
            drains_host: receives && self.shared.plan.synchronises_pipeline(),
            ..message
        }))
    }
}
