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

/// Kernels and tensor-parallel traffic of a plan's layers, whatever lies around them.
pub(super) struct Layers<'p> {
    plan: &'p Plan,
    model: &'p CostModel,
    pub(super) costs: Costs,
    tensor: [SimDuration; 2],
}

/// What the passes of a plan are made of.
struct Builder<'p> {
    layers: Layers<'p>,
    stages: Vec<Stage>,
    end: StepEnd,
    router: Router,
}

impl Parts {
    /// The parts of `plan`, by kernels and collectives as they were measured alone.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let model = CostModel::alone(plan);
        let layers = Layers::new(plan, &model);
        let stages: Vec<Stage> = plan
            .layout
            .stages
            .iter()
            .map(|stage| Stage::new(stage, &layers.costs.shape_of_layer))
            .collect();
        let end = StepEnd::new(plan, &model, &stages, &layers.costs);
        let hop = (plan.layout.pp > 1).then_some(end.pipeline_transfer);
        let (hop, barrier, tied) = (time(hop), end.barrier.time(), time(end.tied));
        let mut builder = Builder {
            router: Router::new(plan, Seed::new(1)),
            layers,
            stages,
            end,
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
    pub(super) fn of(plan: &Plan) -> Self {
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
        let plan = self.layers.plan;
        let mut parts = RankParts::default();
        let [norm, update] = self.end.updates[pipeline as usize];
        parts.update = norm.then(update);
        for chunk in 0..plan.layout.schedule.chunks {
            let index = plan.layout.stage_index(pipeline, chunk) as usize;
            let stage = self.stages[index].clone();
            self.ends(&stage, &mut parts);
            for (at, &unit) in stage.units.iter().enumerate() {
                self.layer(unit, &mut parts);
                if at == 0 && stage.embedding && !unit.mtp {
                    self.layers.add_embedding(&mut parts);
                }
            }
        }
        parts
    }

    /// Head and loss, and the gradients of both ends.
    fn ends(&self, stage: &Stage, parts: &mut RankParts) {
        let plan = self.layers.plan;
        for _ in 0..stage.heads {
            self.layers.add_head(parts);
        }
        let bytes = ends_bytes(plan, ends_parameters(plan, stage));
        add_traffic(plan, self.layers.model, self.end.data_shapes, bytes, parts);
    }

    fn layer(&mut self, unit: Unit, parts: &mut RankParts) {
        let (plan, model) = (self.layers.plan, self.layers.model);
        let layer = &self.layers.costs.layers[unit.shape];
        let bytes = [layer.reduced, layer.gathered];
        let exchanged = if layer.experts.is_some() {
            exchange(plan, model, &mut self.router, unit.layer, self.end.expert_shape)
        } else {
            (SimDuration::ZERO, MoeRows::default())
        };
        self.layers.add_layer(unit, exchanged, parts);
        add_traffic(plan, model, self.end.data_shapes, bytes, parts);
    }
}

impl<'p> Layers<'p> {
    pub(super) fn new(plan: &'p Plan, model: &'p CostModel) -> Self {
        let costs = Costs::new(plan, model);
        let tensor = if plan.layout.sequence_parallel {
            [time(costs.tensor_gather), time(costs.tensor_scatter)]
        } else {
            [SimDuration::ZERO, time(costs.tensor_reduce)]
        };
        Self {
            plan,
            model,
            costs,
            tensor,
        }
    }

    pub(super) fn add_embedding(&self, parts: &mut RankParts) {
        let embedding = self.costs.embedding;
        add(&mut parts.forward.kernel, embedding.forward);
        add(&mut parts.backward.kernel, embedding.weight);
    }

    /// The head and the loss once.
    pub(super) fn add_head(&self, parts: &mut RankParts) {
        let head = self.costs.head;
        add(&mut parts.forward.kernel, head.forward);
        add(&mut parts.backward.kernel, head.backward.then(head.weight));
    }

    /// A layer whose experts compute `rows` that take `exchange` to come and go.
    pub(super) fn add_layer(
        &mut self,
        unit: Unit,
        (exchange, rows): (SimDuration, MoeRows),
        parts: &mut RankParts,
    ) {
        let layer = &self.costs.layers[unit.shape];
        let (attention, dense, routed) = (layer.attention, layer.dense, layer.experts.is_some());
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
            let (plan, model, costs) = (self.plan, self.model, &mut self.costs);
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
    }
}

/// Dispatch and combine of `layer`, and the rows of the busiest rank.
pub(super) fn exchange(
    plan: &Plan,
    model: &CostModel,
    router: &mut Router,
    layer: u32,
    shape: GroupShape,
) -> (SimDuration, MoeRows) {
    let load = router.load(0, layer, 0, 0);
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
    let time = if plan.layout.ep == 1 {
        SimDuration::ZERO
    } else {
        model.exchange(&dispatch, shape).time() + model.exchange(&combine, shape).time()
    };
    (time, rows)
}

/// Bytes of so many parameters of embedding and head, as reduced and as gathered: (dense, experts).
pub(super) fn ends_bytes(plan: &Plan, count: u64) -> [[Bytes; 2]; 2] {
    let formats = &plan.training.formats;
    [
        [formats.gradient_traffic.bytes_of(count), Bytes::ZERO],
        [formats.parameter_traffic.bytes_of(count), Bytes::ZERO],
    ]
}

/// Data-parallel traffic of parameters: once a step, or with every microbatch where they are sharded.
pub(super) fn add_traffic(
    plan: &Plan,
    model: &CostModel,
    shapes: [GroupShape; 2],
    [reduced, gathered]: [[Bytes; 2]; 2],
    parts: &mut RankParts,
) {
    let zero = plan.layout.zero;
    let collective = |op, bytes, shape: GroupShape| {
        let ranks = u64::from(shape.ranks);
        (bytes > Bytes::ZERO).then(|| model.collective(Collective { op, ranks, bytes }, shape))
    };
    for (which, shape) in shapes.into_iter().enumerate() {
        if shape.ranks == 1 {
            continue;
        }
        let reduce = collective(gradient_op(zero), reduced[which], shape);
        let gather = collective(CollectiveOp::AllGather, gathered[which], shape);
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

fn time(transfer: Option<Transfer>) -> SimDuration {
    transfer.map_or(SimDuration::ZERO, |known| known.time())
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
