//! Times of one device of every pipeline rank, by cause.

use orrery_operation::{Collective, CollectiveOp};
use orrery_scenario::Plan;
use orrery_scenario::plan::{GraphScope, GroupShape, Recompute, ScheduleKind, ZeroStage};
use orrery_units::{Bytes, Seed, SimDuration};

use crate::block::MoeRows;
use crate::cost::{CostModel, Kernel, Transfer};
use crate::lower::costs::{Costs, Direction, gradient_op};
use crate::lower::layer::{Stage, Unit};
use crate::lower::step_end::{StepEnd, ends_parameters};
use crate::routing::Router;

/// One microbatch through all chunks of a pipeline rank, in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pass {
    /// Kernels.
    pub kernel: Kernel,
    /// Launches among them of products that are issued expert by expert.
    pub expert_launches: u32,
    /// Tensor-parallel collectives that nothing hides.
    pub tensor: SimDuration,
    /// Dispatch and combine.
    pub exchange: SimDuration,
    /// Parameters gathered and gradients scattered for this microbatch (ZeRO-3).
    pub shards: SimDuration,
    /// Seconds of these times the share of the device's units that they hold meanwhile.
    pub shards_held: f64,
}

/// A step of one device of a pipeline rank.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RankParts {
    /// Forward of one microbatch.
    pub forward: Pass,
    /// Backward of one microbatch: recomputation, input and weight gradients.
    pub backward: Pass,
    /// Of these, gradients of weights, which some schedules defer.
    pub weight: Pass,
    /// Gradients brought together, once a step.
    pub reduce: SimDuration,
    /// Parameters gathered, once a step.
    pub gather: SimDuration,
    /// Seconds of both times the share of the device's units that they hold meanwhile.
    pub held: [f64; 2],
    /// Gradient norm and optimiser.
    pub update: Kernel,
    /// Layers with experts.
    pub routed: u32,
}

/// What of a plan decides how its parts are put together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Order {
    /// Microbatches of a step.
    pub microbatches: u64,
    /// The schedule.
    pub schedule: ScheduleKind,
    /// Chunks of a pipeline rank.
    pub chunks: u32,
    /// Whether gradients are reduced beside backward.
    pub overlaps_gradients: bool,
    /// Whether parameters are gathered beside forward.
    pub overlaps_parameters: bool,
    /// Whether whole layers are computed again in backward.
    pub recomputes: bool,
    /// What is replayed from graphs.
    pub graphs: GraphScope,
    /// Host time to issue a kernel where no measured step tells.
    pub launch: SimDuration,
}

/// A step of a plan, by rank and cause.
#[derive(Clone, Debug, PartialEq)]
pub struct Parts {
    /// One for each pipeline rank.
    pub ranks: Vec<RankParts>,
    /// One message between pipeline ranks.
    pub hop: SimDuration,
    /// The agreement of all ranks at the end of the step.
    pub barrier: SimDuration,
    /// The reduction of tied embeddings.
    pub tied: SimDuration,
    /// How they are put together.
    pub order: Order,
}

/// What the passes of a plan are made of.
struct Builder<'p> {
    plan: &'p Plan,
    model: CostModel,
    costs: Costs,
    stages: Vec<Stage>,
    end: StepEnd,
    router: Router,
    tensor: [SimDuration; 2],
}

impl Parts {
    /// The parts of `plan`, by kernels and collectives as they were measured alone.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let model = CostModel::alone(plan);
        let costs = Costs::new(plan, &model);
        let stages: Vec<Stage> = plan
            .layout
            .stages
            .iter()
            .map(|stage| Stage::new(stage, &costs.shape_of_layer))
            .collect();
        let end = StepEnd::new(plan, &model, &stages, &costs);
        let time = |transfer: Option<Transfer>| transfer.map_or(SimDuration::ZERO, |known| known.time());
        let tensor = if plan.layout.sequence_parallel {
            [time(costs.tensor_gather), time(costs.tensor_scatter)]
        } else {
            [SimDuration::ZERO, time(costs.tensor_reduce)]
        };
        let hop = (plan.layout.pp > 1).then_some(end.pipeline_transfer);
        let (hop, barrier, tied) = (time(hop), end.barrier.time(), time(end.tied));
        let mut builder = Builder {
            router: Router::new(plan, Seed::new(1)),
            plan,
            model,
            costs,
            stages,
            end,
            tensor,
        };
        let ranks = (0..plan.layout.pp).map(|rank| builder.rank(rank)).collect();
        Self {
            ranks,
            hop,
            barrier,
            tied,
            order: Order::of(plan),
        }
    }
}

impl Order {
    fn of(plan: &Plan) -> Self {
        let (training, stack) = (&plan.training, &plan.training.stack);
        Self {
            microbatches: training.num_microbatches,
            schedule: plan.layout.schedule.kind,
            chunks: plan.layout.schedule.chunks,
            overlaps_gradients: stack.overlap_gradients,
            overlaps_parameters: stack.overlap_parameters,
            recomputes: training.recompute == Recompute::Full,
            graphs: stack.graphs,
            launch: stack.launch,
        }
    }
}

impl Builder<'_> {
    fn rank(&mut self, pipeline: u32) -> RankParts {
        let mut parts = RankParts::default();
        let [norm, update] = self.end.updates[pipeline as usize];
        parts.update = norm.then(update);
        for chunk in 0..self.plan.layout.schedule.chunks {
            let index = self.plan.layout.stage_index(pipeline, chunk) as usize;
            let stage = self.stages[index].clone();
            self.ends(&stage, &mut parts);
            for (at, &unit) in stage.units.iter().enumerate() {
                self.layer(unit, &mut parts);
                if at == 0 && stage.embedding && !unit.mtp {
                    let embedding = self.costs.embedding;
                    add(&mut parts.forward.kernel, embedding.forward);
                    add(&mut parts.backward.kernel, embedding.weight);
                }
            }
        }
        parts
    }

    /// Head and loss, and the gradients of both ends.
    fn ends(&self, stage: &Stage, parts: &mut RankParts) {
        for _ in 0..stage.heads {
            let head = self.costs.head;
            add(&mut parts.forward.kernel, head.forward);
            add(&mut parts.backward.kernel, head.backward.then(head.weight));
        }
        let count = ends_parameters(self.plan, stage);
        let formats = &self.plan.training.formats;
        self.data(
            [formats.gradient_traffic.bytes_of(count), Bytes::ZERO],
            [formats.parameter_traffic.bytes_of(count), Bytes::ZERO],
            parts,
        );
    }

    fn layer(&mut self, unit: Unit, parts: &mut RankParts) {
        let layer = &self.costs.layers[unit.shape];
        let (attention, dense, routed) = (layer.attention, layer.dense, layer.experts.is_some());
        let (reduced, gathered) = (layer.reduced, layer.gathered);
        let full = self.costs.full_recompute;
        let mtp = if unit.mtp {
            self.costs.mtp_projection
        } else {
            crate::lower::costs::BlockCost::default()
        };
        let mut forward = attention.forward.then(mtp.forward);
        let mut backward = mtp
            .backward
            .then(mtp.weight)
            .then(attention.backward)
            .then(attention.weight);
        let mut weight = mtp.weight.then(attention.weight);
        let [gather, scatter] = self.tensor;
        let blocks = if routed { 1 } else { 2 };
        let around = (gather + scatter) * blocks;
        parts.forward.tensor += around;
        parts.backward.tensor += around;
        if routed {
            let (exchange, rows) = self.exchange(unit);
            let (plan, model, costs) = (self.plan, &self.model, &mut self.costs);
            let experts = [Direction::Forward, Direction::Backward, Direction::Weight]
                .map(|way| costs.experts(plan, model, way, unit.shape, rows));
            if plan.training.stack.expert_by_expert {
                let each = u32::try_from(2 * rows.active).expect("few experts on a device");
                parts.forward.expert_launches += each;
                parts.backward.expert_launches += (2 + u32::from(full)) * each;
            }
            parts.routed += 1;
            add(&mut forward, experts[0]);
            add(&mut backward, experts[1].then(experts[2]));
            add(&mut weight, experts[2]);
            parts.forward.exchange += exchange;
            parts.backward.exchange += exchange;
            if full {
                parts.backward.exchange += exchange;
            }
        } else {
            add(&mut forward, dense.forward);
            add(&mut backward, dense.backward.then(dense.weight));
            add(&mut weight, dense.weight);
        }
        if full {
            add(&mut backward, forward);
            parts.backward.tensor += around;
        }
        add(&mut parts.forward.kernel, forward);
        add(&mut parts.backward.kernel, backward);
        add(&mut parts.weight.kernel, weight);
        self.data(reduced, gathered, parts);
    }

    /// Dispatch and combine of a layer, and the rows of the busiest rank.
    fn exchange(&mut self, unit: Unit) -> (SimDuration, MoeRows) {
        let shape = self.end.expert_shape;
        let load = self.router.load(0, unit.layer, 0, 0);
        let busiest = load.ranks().iter().max_by_key(|rank| rank.padded).copied();
        let Some(busiest) = busiest else {
            return (SimDuration::ZERO, MoeRows::default());
        };
        let rows = MoeRows {
            rows: busiest.tokens,
            padded: busiest.padded,
            active: busiest.active,
        };
        let (dispatch, combine) = (busiest.dispatch, busiest.combine);
        let time = if self.plan.layout.ep == 1 {
            SimDuration::ZERO
        } else {
            self.model.exchange(&dispatch, shape).time() + self.model.exchange(&combine, shape).time()
        };
        (time, rows)
    }

    /// Data-parallel traffic of parameters: once a step, or with every microbatch where they are sharded.
    fn data(&self, reduced: [Bytes; 2], gathered: [Bytes; 2], parts: &mut RankParts) {
        let zero = self.plan.layout.zero;
        for (which, shape) in self.end.data_shapes.into_iter().enumerate() {
            if shape.ranks == 1 {
                continue;
            }
            let reduce = self.collective(gradient_op(zero), reduced[which], shape);
            let gather = self.collective(CollectiveOp::AllGather, gathered[which], shape);
            match zero {
                ZeroStage::None => add_data(&mut parts.reduce, &mut parts.held[0], reduce),
                ZeroStage::Optimizer | ZeroStage::Gradients => {
                    add_data(&mut parts.reduce, &mut parts.held[0], reduce);
                    add_data(&mut parts.gather, &mut parts.held[1], gather);
                }
                ZeroStage::Parameters => {
                    let (forward, backward) = (&mut parts.forward, &mut parts.backward);
                    add_data(&mut forward.shards, &mut forward.shards_held, gather);
                    add_data(&mut backward.shards, &mut backward.shards_held, gather);
                    add_data(&mut backward.shards, &mut backward.shards_held, reduce);
                }
            }
        }
    }

    fn collective(&self, op: CollectiveOp, bytes: Bytes, shape: GroupShape) -> Option<Transfer> {
        let ranks = u64::from(shape.ranks);
        (bytes > Bytes::ZERO).then(|| self.model.collective(Collective { op, ranks, bytes }, shape))
    }
}

fn add_data(sum: &mut SimDuration, held: &mut f64, transfer: Option<Transfer>) {
    if let Some(transfer) = transfer {
        *sum += transfer.time();
        *held += transfer.time().as_secs() * f64::from(transfer.occupancy.units);
    }
}

fn add(sum: &mut Kernel, next: Kernel) {
    *sum = sum.then(next);
}
