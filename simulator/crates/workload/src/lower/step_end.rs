//! The two ends of a step: updated parameters gathered; gradients brought together, their norm, the optimiser.

use orrery_operation::{Collective, CollectiveOp};
use orrery_profile::Term;
use orrery_scenario::Plan;
use orrery_scenario::plan::{Axis, Coordinates, GroupShape, ScheduleKind, ZeroStage};
use orrery_taskgraph::{Sequence, Tag, Task};
use orrery_units::Bytes;

use super::costs::{Costs, data_group_shape, expert_tensor_shape, gradient_op};
use super::emit::Emit;
use super::layer::{Backward, Forward, Stage, Unit};
use crate::block::Shapes;
use crate::cost::{CostModel, Kernel, Transfer};

/// What the end of a step and the pipeline channels cost; computed once.
#[derive(Debug)]
pub(crate) struct StepEnd {
    pub(crate) pipeline_transfer: Transfer,
    pub(crate) expert_shape: GroupShape,
    pub(crate) expert_tensor_shape: GroupShape,
    pub(crate) data_shapes: [GroupShape; 2],
    pub(crate) barrier: Transfer,
    pub(crate) tied: Option<Transfer>,
    /// Per pipeline rank: gradient norm and optimiser.
    pub(crate) updates: Vec<[Kernel; 2]>,
}

impl StepEnd {
    pub(crate) fn new(plan: &Plan, model: &CostModel, stages: &[Stage], costs: &Costs) -> Self {
        let shapes = Shapes::new(plan);
        let layout = &plan.layout;
        let everybody: Vec<u32> = (0..layout.world()).collect();
        let all = |bytes, ranks: &[u32]| {
            let collective = Collective {
                op: CollectiveOp::AllReduce,
                ranks: ranks.len() as u64,
                bytes,
            };
            model.collective(collective, layout.shape_of(ranks))
        };
        let world = all(Bytes::new(8), &everybody);
        let first = layout.coordinates(0);
        let next = layout.rank(Coordinates {
            pipeline: 1 % layout.pp,
            ..first
        });
        let crosses = next / layout.devices_per_domain != 0;
        let ends = [0, layout.group(0, Axis::Pipeline)[layout.pp as usize - 1]];
        let embedding = plan.model.embedding_parameters().div_ceil(u64::from(layout.tp));
        // Along a V, embedding and head are on one rank.
        let tied = plan.model.tied_embeddings && layout.pp > 1 && !layout.schedule.is_v_shaped();
        let tied = tied.then(|| all(plan.training.formats.gradient_traffic.bytes_of(embedding), &ends));
        let expert_ranks: Vec<u32> = layout
            .stage_ranks(0)
            .into_iter()
            .filter(|&rank| {
                let (tensor, _, replica) = layout.expert_place(rank);
                (tensor, replica) == (0, 0)
            })
            .collect();
        let data_shapes = [data_group_shape(plan, false), data_group_shape(plan, true)];
        let updates = (0..layout.pp)
            .map(|pipeline| {
                let owned = owned_parameters(plan, stages, costs, pipeline, data_shapes);
                update(model, &shapes, owned)
            })
            .collect();
        Self {
            pipeline_transfer: model.send_recv(shapes.residual(), crosses),
            expert_shape: layout.shape_of(&expert_ranks),
            expert_tensor_shape: expert_tensor_shape(layout),
            data_shapes,
            barrier: world,
            tied,
            updates,
        }
    }
}

/// The norm of the gradients of `owned` parameters, and their update.
pub(crate) fn update(model: &CostModel, shapes: &Shapes<'_>, owned: u64) -> [Kernel; 2] {
    [shapes.gradient_norm(owned), shapes.optimizer(owned)].map(|pass| Kernel::from(model.update(&pass)))
}

/// Parameters whose optimiser states one device of pipeline rank `pipeline` holds.
fn owned_parameters(
    plan: &Plan,
    stages: &[Stage],
    costs: &Costs,
    pipeline: u32,
    shapes: [GroupShape; 2],
) -> u64 {
    let layout = &plan.layout;
    let sharded = layout.zero != ZeroStage::None;
    let per_device = |bytes: Bytes| bytes.get() * 8 / plan.training.formats.gradient_traffic.bits();
    let mut owned = 0;
    for chunk in 0..layout.schedule.chunks {
        let stage = &stages[layout.stage_index(pipeline, chunk) as usize];
        let mut counts = [ends_parameters(plan, stage), 0];
        for &unit in stage.units.iter() {
            for (count, bytes) in counts.iter_mut().zip(costs.reduced(plan, unit)) {
                *count += per_device(bytes);
            }
        }
        for (count, shape) in counts.into_iter().zip(shapes) {
            owned += if sharded {
                count.div_ceil(u64::from(shape.ranks))
            } else {
                count
            };
        }
    }
    owned
}

/// Parameters of embedding and head of a stage on one device.
pub(crate) fn ends_parameters(plan: &Plan, stage: &Stage) -> u64 {
    let embedding = if stage.embedding {
        plan.model.embedding_parameters()
    } else {
        0
    };
    let head = if stage.heads > 0 {
        plan.model.head_parameters()
    } else {
        0
    };
    (embedding + head).div_ceil(u64::from(plan.layout.tp))
}

impl Emit<'_, '_, '_> {
    /// Brings the gradients of a layer together, once its last weight gradient of the step is computed.
    ///
    /// Only when the stack overlaps reduction with backward. DualPipe's two ranks of a stage finish it at
    /// different places of their programs, so there the reduction stands at the end of the step.
    pub(super) fn reduce_gradients(&mut self, backward: &Backward, at: usize) {
        let chunk = backward.slot.chunk as usize;
        let last = self.cursor.last_weight[chunk] == self.cursor.action || self.shards_parameters();
        if last && self.reduces_early() {
            let done = self.sink.next() - 1;
            let unit = backward.units[at];
            let ends = if at == 0 {
                self.ends_bytes(backward.slot.chunk)
            } else {
                Bytes::ZERO
            };
            self.cursor.last_data = self
                .reduce(chunk, unit, ends, Some(done))
                .or(self.cursor.last_data);
        }
    }

    fn reduces_early(&self) -> bool {
        let plan = self.shared.plan;
        plan.training.stack.overlap_gradients && plan.layout.schedule.kind != ScheduleKind::DualPipe
    }

    fn shards_parameters(&self) -> bool {
        self.shared.plan.layout.zero == ZeroStage::Parameters
    }

    /// Gathers the sharded parameters of a layer that forward is about to compute, one layer ahead of compute.
    pub(super) fn gather_shards_forward(&mut self, forward: &mut Forward, at: usize) {
        if self.shards_parameters() {
            let wait = std::mem::replace(&mut forward.behind, forward.last);
            let (chunk, unit) = (forward.slot.chunk, forward.units[at]);
            let gathered = self.gather_shards(chunk, unit, at, wait);
            forward.gathers.extend(gathered);
        }
    }

    /// The same backward, where a layer's parameters are asked for before the gradients of the layer before it are sent.
    pub(super) fn gather_shards_backward(&mut self, backward: &mut Backward, at: usize) {
        if !self.shards_parameters() {
            return;
        }
        let (chunk, last) = (backward.slot.chunk, backward.last);
        backward.gathered = match backward.ahead.take() {
            None => self.gather_shards(chunk, backward.units[at], at, last),
            known => known,
        };
        if let Some(next) = at.checked_sub(1) {
            backward.ahead = self.gather_shards(chunk, backward.units[next], next, last);
        }
    }

    fn gather_shards(
        &mut self,
        chunk: u32,
        unit: Unit,
        at: usize,
        wait: Option<Sequence>,
    ) -> Option<Sequence> {
        let [dense, experts] = self.shared.costs.gathered(self.shared.plan, unit);
        let ends = if at == 0 {
            self.gathered_ends(chunk)
        } else {
            Bytes::ZERO
        };
        let bytes = [dense + ends, experts];
        let gathered = self.data_collective(chunk as usize, CollectiveOp::AllGather, bytes, unit.layer, wait);
        gathered.filter(|&gathered| Some(gathered) != wait)
    }

    /// Bytes of embedding and head as they are gathered.
    fn gathered_ends(&self, chunk: u32) -> Bytes {
        let formats = self.shared.plan.training.formats;
        formats
            .of_ends(formats.parameter_traffic)
            .bytes_of(self.ends_of(chunk))
    }

    fn ends_bytes(&self, chunk: u32) -> Bytes {
        let formats = &self.shared.plan.training.formats;
        formats.gradient_traffic.bytes_of(self.ends_of(chunk))
    }

    fn ends_of(&self, chunk: u32) -> u64 {
        let plan = self.shared.plan;
        let stage = plan.layout.stage_index(self.cursor.member.pipeline_rank, chunk) as usize;
        ends_parameters(plan, &self.shared.stages[stage])
    }

    fn reduce(&mut self, chunk: usize, unit: Unit, ends: Bytes, done: Option<Sequence>) -> Option<Sequence> {
        let [dense, experts] = self.shared.costs.reduced(self.shared.plan, unit);
        let op = gradient_op(self.shared.plan.layout.zero);
        self.data_collective(chunk, op, [dense + ends, experts], unit.layer, done)
    }

    /// A collective over dense and over expert data-parallel ranks; the sequence of the last one emitted.
    fn data_collective(
        &mut self,
        chunk: usize,
        op: CollectiveOp,
        bytes: [Bytes; 2],
        layer: u32,
        wait: Option<Sequence>,
    ) -> Option<Sequence> {
        let kinds = &self.shared.kinds;
        let gathers = op == CollectiveOp::AllGather;
        let kind = if gathers {
            kinds.parameter_gather
        } else {
            kinds.gradient_reduce
        };
        let lane = self.cursor.member.lanes.data;
        let tuning = &self.shared.plan.tuning;
        let (pace, taken) = if self.shards_parameters() {
            (tuning.get(Term::Shards), tuning.get(Term::ShardUnits))
        } else {
            (tuning.get(Term::Data), 0.0)
        };
        let mut last = wait;
        for (which, bytes) in bytes.into_iter().enumerate() {
            let shape = self.shared.step_end.data_shapes[which];
            if bytes == Bytes::ZERO || shape.ranks == 1 {
                continue;
            }
            let collective = Collective {
                op,
                ranks: u64::from(shape.ranks),
                bytes,
            };
            let transfer = self
                .shared
                .collective(collective, shape)
                .times(pace)
                .taking(taken);
            let meeting = self.cursor.member.gradients[chunk][which].next();
            let tag = Tag {
                major: layer,
                minor: 0,
            };
            last = Some(self.transfer(lane, kind, &transfer, meeting, &[wait], tag));
        }
        last
    }

    /// Everything after the last action of a step.
    pub(super) fn step_end(&mut self) {
        let done = self.sink.next().checked_sub(1);
        let mut last = done;
        if !self.reduces_early() {
            for chunk in self.chunks_by_stage() {
                for (unit, ends) in self.units_with_ends(chunk) {
                    last = self.reduce(chunk, unit, ends, done).or(last);
                }
            }
        } else if let Some(reduced) = self.cursor.last_data {
            last = Some(reduced);
        }
        let tag = Tag::default();
        let pipeline = self.cursor.member.pipeline_rank;
        let at_an_end = pipeline == 0 || pipeline + 1 == self.shared.plan.layout.pp;
        if let Some(tied) = self.shared.step_end.tied.filter(|_| at_an_end) {
            let (meeting, lane) = (self.cursor.member.tied.next(), self.cursor.member.lanes.data);
            let kind = self.shared.kinds.embedding_reduce;
            last = Some(self.transfer(lane, kind, &tied, meeting, &[last, done], tag));
        }
        let [norm, update] = self.shared.step_end.updates[pipeline as usize];
        let normed = self.compute(self.shared.kinds.gradient_norm, norm, &[last], tag);
        let barrier = self.shared.step_end.barrier;
        let (meeting, lane) = (self.cursor.member.world.next(), self.cursor.member.lanes.data);
        let kind = self.shared.kinds.step_barrier;
        let agreement = self.transfer_task(lane, kind, &barrier, meeting, &[Some(normed)], tag);
        // The host reads the norm that all ranks agreed on before it issues what depends on it, so that it never issues
        // the next step beside this one's end.
        let agreed = self.push(Task {
            drains_host: true,
            ..agreement
        });
        let updated = self.compute(self.shared.kinds.optimizer, update, &[Some(agreed)], tag);
        self.cursor.updated = Some(self.pause(Term::Step, updated, tag));
    }

    /// Gathers what the step before has updated, layer by layer; forwards wait for theirs, or the first task for all of them
    /// when the stack does not overlap. The first step does so too, so that steps are alike from the first on.
    pub(super) fn gather_parameters(&mut self) {
        let zero = self.shared.plan.layout.zero;
        if !matches!(zero, ZeroStage::Optimizer | ZeroStage::Gradients) {
            return;
        }
        let mut last = None;
        for chunk in self.chunks_by_stage() {
            for (unit, ends) in self.units_with_ends(chunk) {
                let [dense, experts] = self.shared.costs.gathered(self.shared.plan, unit);
                let ends = if ends == Bytes::ZERO {
                    Bytes::ZERO
                } else {
                    self.gathered_ends(u32::try_from(chunk).expect("few chunks"))
                };
                let op = CollectiveOp::AllGather;
                let gathered = self.data_collective(
                    chunk,
                    op,
                    [dense + ends, experts],
                    unit.layer,
                    self.cursor.updated,
                );
                self.cursor.gathers[chunk].extend(gathered);
                last = gathered.or(last);
            }
        }
        if !self.shared.plan.training.stack.overlap_parameters
            && let Some(last) = last
        {
            for gathers in &mut self.cursor.gathers {
                gathers.iter_mut().for_each(|gather| *gather = last);
            }
        }
    }

    /// Chunks in the order of their stages, so that both ranks of a DualPipe stage agree on an order.
    fn chunks_by_stage(&self) -> Vec<usize> {
        let layout = &self.shared.plan.layout;
        let mut chunks: Vec<u32> = (0..layout.schedule.chunks).collect();
        chunks.sort_by_key(|&chunk| layout.stage_index(self.cursor.member.pipeline_rank, chunk));
        chunks.into_iter().map(|chunk| chunk as usize).collect()
    }

    /// The layers of a chunk, the first with the gradient bytes of embedding and head.
    fn units_with_ends(&self, chunk: usize) -> Vec<(Unit, Bytes)> {
        let number = u32::try_from(chunk).expect("few chunks");
        let stage = self
            .shared
            .plan
            .layout
            .stage_index(self.cursor.member.pipeline_rank, number) as usize;
        let units = &self.shared.stages[stage].units;
        let ends = self.ends_bytes(number);
        units
            .iter()
            .enumerate()
            .map(|(at, &unit)| (unit, if at == 0 { ends } else { Bytes::ZERO }))
            .collect()
    }
}
