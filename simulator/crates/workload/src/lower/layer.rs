//! The pieces of a layer, forward and backward, as tasks.

use std::sync::Arc;

use orrery_profile::Term;
use orrery_scenario::plan::{GraphScope, VirtualStage};
use orrery_taskgraph::{Sequence, Tag};
use orrery_timeline::NO_LAYER;

use super::context::Through;
use super::costs::Direction;
use super::emit::Emit;
use super::holding::Changes;
use crate::block::MoeRows;
use crate::cost::Kernel;
use crate::schedule::Slot;

/// One layer of a stage, or a multi-token-prediction module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    /// Number for labels and routing; multi-token-prediction modules follow the model's layers.
    pub(crate) layer: u32,
    /// Index of its costs.
    pub(crate) shape: usize,
    /// Whether it is a multi-token-prediction module.
    pub(crate) mtp: bool,
}

/// What a stage consists of.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) units: Arc<[Unit]>,
    pub(crate) embedding: bool,
    /// How often the head runs: once, and once more per multi-token-prediction module.
    pub(crate) heads: u32,
}

/// A forward pass of one microbatch through one chunk, as far as it has been emitted.
pub(crate) struct Forward {
    pub(crate) slot: Slot,
    pub(crate) units: Arc<[Unit]>,
    stage: usize,
    /// What the next piece waits for.
    pub(crate) last: Option<Sequence>,
    /// Parameter gathers that the layers of the chunk wait for: in the first pass of a step, or in all where
    /// parameters are sharded.
    pub(super) gathers: Vec<Sequence>,
    /// What the layer before the last one ended with: parameters are gathered one layer ahead, no further.
    pub(super) behind: Option<Sequence>,
}

/// When a backward pass computes the gradients of its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WeightGradients {
    /// In the same tasks as those of its inputs.
    Fused,
    /// In tasks of their own, within the pass.
    Apart,
    /// In a pass of their own, later.
    Later,
}

/// A backward pass of one microbatch through one chunk, as far as it has been emitted.
pub(crate) struct Backward {
    pub(crate) slot: Slot,
    pub(crate) units: Arc<[Unit]>,
    stage: usize,
    weights: WeightGradients,
    pub(crate) last: Option<Sequence>,
    /// The gather of this layer's sharded parameters.
    pub(super) gathered: Option<Sequence>,
    /// That of the next layer's, asked for while this one is computed.
    pub(super) ahead: Option<Sequence>,
}

impl Stage {
    pub(crate) fn new(stage: &VirtualStage, shape_of_layer: &[usize]) -> Self {
        let number = |layer: usize| u32::try_from(layer).expect("a model has fewer than 2^32 layers");
        let own = stage.layers.clone().map(|layer| Unit {
            layer: number(layer),
            shape: shape_of_layer[layer],
            mtp: false,
        });
        let last = shape_of_layer.last().copied().unwrap_or(0);
        let mtp = (0..stage.mtp_layers).map(|module| Unit {
            layer: number(shape_of_layer.len()) + u32::try_from(module).expect("few modules"),
            shape: last,
            mtp: true,
        });
        let modules = u32::try_from(stage.mtp_layers).expect("few modules");
        Self {
            units: own.chain(mtp).collect(),
            embedding: stage.embedding,
            heads: if stage.head { 1 + modules } else { 0 },
        }
    }
}

impl Emit<'_, '_, '_> {
    fn stage_of(&self, slot: Slot) -> usize {
        self.shared
            .plan
            .layout
            .stage_index(self.cursor.member.pipeline_rank, slot.chunk) as usize
    }

    pub(super) fn tag(slot: Slot, unit: Unit) -> Tag {
        Tag {
            major: unit.layer,
            minor: slot.microbatch,
        }
    }

    pub(super) fn begin_forward(&mut self, slot: Slot) -> Forward {
        let stage = self.stage_of(slot);
        let gathers = std::mem::take(&mut self.cursor.gathers[slot.chunk as usize]);
        let last = self.receive_activation(slot);
        Forward {
            slot,
            units: Arc::clone(&self.shared.stages[stage].units),
            stage,
            last,
            gathers,
            behind: None,
        }
    }

    pub(super) fn end_forward(&mut self, mut forward: Forward) {
        let heads = self.shared.stages[forward.stage].heads;
        if heads > 0 {
            let kernel = repeated(self.shared.costs.head.forward, heads);
            let tag = Self::head_tag(forward.slot);
            let waits = [forward.last];
            let held = self.shared.holdings.head(heads, false);
            let kind = self.shared.kinds.head_forward;
            let computed = self.compute_holding(kind, kernel, &waits, tag, held);
            forward.last = Some(self.around_losses(computed, heads, tag));
        }
        self.send_activation(&forward);
    }

    /// What passes around so many losses, after `done`; nothing where whole steps are replayed from graphs.
    fn around_losses(&mut self, done: Sequence, heads: u32, tag: Tag) -> Sequence {
        if self.shared.plan.training.stack.graphs == GraphScope::Full {
            return done;
        }
        (0..heads).fold(done, |done, _| self.pause(Term::Microbatch, done, tag))
    }

    pub(super) fn attention_forward(&mut self, forward: &mut Forward, at: usize) {
        let unit = forward.units[at];
        let tag = Self::tag(forward.slot, unit);
        let costs = &self.shared.costs;
        let before = if unit.mtp {
            costs.mtp_projection.forward
        } else if at == 0 && self.shared.stages[forward.stage].embedding {
            costs.embedding.forward
        } else {
            Kernel::default()
        };
        let held = self.shared.holdings.attention_taken(unit.shape);
        let gathered = self.tensor_before(forward.last, tag);
        let waits = [gathered, forward.gathers.get(at).copied()];
        let through = Through {
            pass: 0,
            kind: self.shared.kinds.attention_forward,
            around: [before, Kernel::default()],
            slowness: 1.0,
            memory: [held, Changes::new()],
        };
        let done = self.through_attention(unit.shape, through, &waits, tag);
        forward.last = self.tensor_after(done, tag);
    }

    pub(super) fn mlp_forward(&mut self, forward: &mut Forward, at: usize) {
        let unit = forward.units[at];
        let tag = Self::tag(forward.slot, unit);
        if self.shared.costs.layers[unit.shape].experts.is_some() {
            let rows = self.rows(forward.slot, unit);
            let shared = &mut *self.shared;
            let kernel = shared.experts(Direction::Forward, unit.shape, rows);
            let held = shared.holdings.mlp_taken(unit.shape, rows);
            let kind = shared.kinds.experts_forward;
            let waits = [forward.last];
            forward.last = Some(self.compute_holding(kind, kernel, &waits, tag, held));
        } else {
            let gathered = self.tensor_before(forward.last, tag);
            let kernel = self.shared.costs.layers[unit.shape].dense.forward;
            let held = self.shared.holdings.mlp_taken(unit.shape, MoeRows::default());
            let kind = self.shared.kinds.mlp_forward;
            let done = self.compute_holding(kind, kernel, &[gathered], tag, held);
            forward.last = self.tensor_after(done, tag);
        }
    }

    pub(super) fn dispatch_forward(&mut self, forward: &mut Forward, at: usize) {
        let kind = self.shared.kinds.dispatch_forward;
        forward.last = self.exchange(forward.slot, forward.units[at], kind, true, forward.last);
    }

    pub(super) fn combine_forward(&mut self, forward: &mut Forward, at: usize) {
        let kind = self.shared.kinds.combine_forward;
        forward.last = self.exchange(forward.slot, forward.units[at], kind, false, forward.last);
    }

    pub(super) fn begin_backward(&mut self, slot: Slot, weights: WeightGradients) -> Backward {
        let stage = self.stage_of(slot);
        let last = self.receive_gradient(slot);
        let units = Arc::clone(&self.shared.stages[stage].units);
        let mut backward = Backward {
            slot,
            units,
            stage,
            weights,
            last,
            gathered: None,
            ahead: None,
        };
        let heads = self.shared.stages[stage].heads;
        if heads > 0 {
            let head = &self.shared.costs.head;
            let later = weights == WeightGradients::Later;
            let (kernel, given) = if later {
                (head.backward, Changes::new())
            } else {
                let given = self.shared.holdings.head(heads, true);
                (head.backward.then(head.weight), given)
            };
            let kind = self.shared.kinds.head_backward;
            let kernel = repeated(kernel, heads);
            backward.last = Some(self.compute_holding(kind, kernel, &[last], Self::head_tag(slot), given));
        }
        backward
    }

    fn head_tag(slot: Slot) -> Tag {
        Tag {
            major: NO_LAYER,
            minor: slot.microbatch,
        }
    }

    /// Weight gradients that an earlier backward left for later; those of the head, like those of any other product,
    /// come first.
    pub(super) fn deferred_weight(&mut self, slot: Slot) -> Backward {
        let stage = self.stage_of(slot);
        let units = Arc::clone(&self.shared.stages[stage].units);
        let heads = self.shared.stages[stage].heads;
        if heads > 0 {
            let kernel = repeated(self.shared.costs.head.weight, heads);
            let given = self.shared.holdings.head(heads, true);
            let kind = self.shared.kinds.head_weight;
            self.compute_holding(kind, kernel, &[], Self::head_tag(slot), given);
        }
        Backward {
            slot,
            units,
            stage,
            weights: WeightGradients::Later,
            last: None,
            gathered: None,
            ahead: None,
        }
    }

    pub(super) fn end_backward(&mut self, backward: &Backward) {
        self.send_gradient(backward);
    }

    /// Runs the layer forward again when whole layers are recomputed, exchanges included.
    pub(super) fn recompute(&mut self, backward: &mut Backward, at: usize) {
        if !self.shared.costs.full_recompute {
            return;
        }
        let unit = backward.units[at];
        let tag = Self::tag(backward.slot, unit);
        let gathered = self.tensor_before(backward.last, tag);
        let sharded = backward.gathered.take();
        let layer = &self.shared.costs.layers[unit.shape];
        let share = self.shared.plan.tuning.get(Term::Recompute);
        let (moe, dense) = (layer.experts.is_some(), layer.dense.forward.slowed(share));
        let through = Through {
            pass: 0,
            kind: self.shared.kinds.attention_forward,
            around: [Kernel::default(); 2],
            slowness: share,
            memory: [Changes::new(), Changes::new()],
        };
        let done = self.through_attention(unit.shape, through, &[gathered, sharded], tag);
        backward.last = self.tensor_after(done, tag);
        if moe {
            let kind = self.shared.kinds.dispatch_forward;
            backward.last = self.exchange(backward.slot, unit, kind, true, backward.last);
            let rows = self.rows(backward.slot, unit);
            let shared = &mut *self.shared;
            let kernel = shared.experts(Direction::Forward, unit.shape, rows).slowed(share);
            let kind = shared.kinds.experts_forward;
            backward.last = Some(self.compute(kind, kernel, &[backward.last], tag));
            let kind = self.shared.kinds.combine_forward;
            backward.last = self.exchange(backward.slot, unit, kind, false, backward.last);
        } else {
            let gathered = self.tensor_before(backward.last, tag);
            let done = self.compute(self.shared.kinds.mlp_forward, dense, &[gathered], tag);
            backward.last = self.tensor_after(done, tag);
        }
    }

    /// Gradients to the experts: the reverse of combine, as heavy as a dispatch.
    pub(super) fn combine_backward(&mut self, backward: &mut Backward, at: usize) {
        let kind = self.shared.kinds.combine_backward;
        backward.last = self.exchange(backward.slot, backward.units[at], kind, true, backward.last);
    }

    /// Gradients back to their tokens: the reverse of dispatch, as heavy as a combine.
    pub(super) fn dispatch_backward(&mut self, backward: &mut Backward, at: usize) {
        let kind = self.shared.kinds.dispatch_backward;
        backward.last = self.exchange(backward.slot, backward.units[at], kind, false, backward.last);
    }

    pub(super) fn mlp_backward(&mut self, backward: &mut Backward, at: usize) {
        let unit = backward.units[at];
        let tag = Self::tag(backward.slot, unit);
        if self.shared.costs.layers[unit.shape].experts.is_some() {
            let rows = self.rows(backward.slot, unit);
            let shared = &mut *self.shared;
            let mut kernel = shared.experts(Direction::Backward, unit.shape, rows);
            if backward.weights == WeightGradients::Fused {
                kernel = kernel.then(shared.experts(Direction::Weight, unit.shape, rows));
            }
            let held = shared.holdings.recomputed(unit.shape, rows);
            let kind = shared.kinds.experts_backward;
            let waits = [backward.last, backward.gathered.take()];
            backward.last = Some(self.compute_holding(kind, kernel, &waits, tag, held));
        } else {
            let dense = self.shared.costs.layers[unit.shape].dense;
            let kernel = if backward.weights == WeightGradients::Fused {
                dense.backward.then(dense.weight)
            } else {
                dense.backward
            };
            let gathered = self.tensor_before_backward(backward.last, tag);
            let held = self.shared.holdings.recomputed(unit.shape, MoeRows::default());
            let kind = self.shared.kinds.mlp_backward;
            let waits = [gathered, backward.gathered.take()];
            let done = self.compute_holding(kind, kernel, &waits, tag, held);
            backward.last = self.tensor_after(done, tag);
        }
    }

    pub(super) fn mlp_weight(&mut self, backward: &mut Backward, at: usize) {
        let unit = backward.units[at];
        let tag = Self::tag(backward.slot, unit);
        if self.shared.costs.layers[unit.shape].experts.is_some() {
            let rows = self.rows(backward.slot, unit);
            let shared = &mut *self.shared;
            let kernel = shared.experts(Direction::Weight, unit.shape, rows);
            let kind = shared.kinds.experts_weight;
            self.compute(kind, kernel, &[], tag);
        } else {
            let kernel = self.shared.costs.layers[unit.shape].dense.weight;
            self.compute(self.shared.kinds.mlp_weight, kernel, &[], tag);
        }
    }

    pub(super) fn attention_backward(&mut self, backward: &mut Backward, at: usize) {
        let unit = backward.units[at];
        let tag = Self::tag(backward.slot, unit);
        let mut after = if unit.mtp {
            self.shared.costs.mtp_projection.backward
        } else {
            Kernel::default()
        };
        let mut memory = Changes::new();
        if backward.weights == WeightGradients::Fused {
            after = after.then(self.attention_weight_kernel(backward, at));
            memory = self.given_back(backward.slot, unit);
        }
        let gathered = self.tensor_before_backward(backward.last, tag);
        let through = Through {
            pass: 1,
            kind: self.shared.kinds.attention_backward,
            around: [Kernel::default(), after],
            slowness: 1.0,
            memory: [Changes::new(), memory],
        };
        let done = self.through_attention(unit.shape, through, &[gathered], tag);
        backward.last = self.tensor_after(done, tag);
    }

    pub(super) fn attention_weight(&mut self, backward: &mut Backward, at: usize) {
        let unit = backward.units[at];
        let kernel = self.attention_weight_kernel(backward, at);
        let memory = self.given_back(backward.slot, unit);
        let kind = self.shared.kinds.attention_weight;
        self.compute_holding(kind, kernel, &[], Self::tag(backward.slot, unit), memory);
    }

    fn attention_weight_kernel(&self, backward: &Backward, at: usize) -> Kernel {
        let unit = backward.units[at];
        let costs = &self.shared.costs;
        let mut kernel = costs.layers[unit.shape].attention.weight;
        if unit.mtp {
            kernel = kernel.then(costs.mtp_projection.weight);
        } else if at == 0 && self.shared.stages[backward.stage].embedding {
            kernel = kernel.then(costs.embedding.weight);
        }
        kernel
    }

    /// What the layer took forward, given back once its weight gradients are done.
    fn given_back(&mut self, slot: Slot, unit: Unit) -> Changes {
        let rows = self.rows(slot, unit);
        self.shared.holdings.given_back(unit.shape, rows)
    }

    /// Rows that this rank's experts compute for `unit` in this microbatch.
    fn rows(&mut self, slot: Slot, unit: Unit) -> MoeRows {
        if self.shared.costs.layers[unit.shape].experts.is_none() {
            return MoeRows::default();
        }
        let load = self.load(slot, unit);
        MoeRows {
            rows: load.tokens,
            padded: load.padded,
            active: load.active,
        }
    }

    /// Before the backward of a tensor-parallel block: the output's gradient is gathered, and beside the
    /// block's compute its input once more, which sequence parallelism kept in parts only (Korthikanti 2022,
    /// section 4.2.2: that gather hides under the input gradients).
    fn tensor_before_backward(&mut self, last: Option<Sequence>, tag: Tag) -> Option<Sequence> {
        let gathered = self.tensor_before(last, tag);
        self.tensor_before(last, tag);
        gathered
    }

    /// Before a tensor-parallel block: with sequence parallelism, everybody gathers the whole sequence.
    fn tensor_before(&mut self, last: Option<Sequence>, tag: Tag) -> Option<Sequence> {
        if !self.shared.plan.layout.sequence_parallel {
            return last;
        }
        let Some(transfer) = self.shared.costs.tensor_gather else {
            return last;
        };
        let meeting = self.cursor.member.tensor.next();
        let (lane, kind) = (self.cursor.member.lanes.tensor, self.shared.kinds.tensor_gather);
        Some(self.transfer(lane, kind, &transfer, meeting, &[last], tag))
    }

    /// After a tensor-parallel block: partial results are summed, and scattered under sequence parallelism.
    fn tensor_after(&mut self, done: Sequence, tag: Tag) -> Option<Sequence> {
        let scattered = self.shared.plan.layout.sequence_parallel;
        let (costs, kinds) = (&self.shared.costs, &self.shared.kinds);
        let (transfer, kind) = if scattered {
            (costs.tensor_scatter, kinds.tensor_scatter)
        } else {
            (costs.tensor_reduce, kinds.tensor_reduce)
        };
        let Some(transfer) = transfer else {
            return Some(done);
        };
        let meeting = self.cursor.member.tensor.next();
        let lane = self.cursor.member.lanes.tensor;
        Some(self.transfer(lane, kind, &transfer, meeting, &[Some(done)], tag))
    }
}

fn repeated(kernel: Kernel, times: u32) -> Kernel {
    (1..times).fold(kernel, |sum, _| sum.then(kernel))
}
