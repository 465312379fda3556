//! Times of one device of every pipeline rank, by cause.

use orrery_operation::{Collective, CollectiveOp};
use orrery_scenario::Plan;
use orrery_scenario::plan::{GraphScope, GroupShape, Recompute, RecomputeModule, ScheduleKind, ZeroStage};
use orrery_units::{Bytes, Seed, SimDuration};

use crate::block::MoeRows;
use crate::cost::{CostModel, Kernel, Labour, Transfer};
use crate::documents::mean_share;
use crate::lower::context::{ContextCost, StretchCost};
use crate::lower::costs::{Costs, Direction, expert_tensor_collective, gradient_op};
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
    /// How many the host issues, hidden ones included.
    pub collectives: u32,
    /// Keys and values of context-parallel ranks, where nothing runs beside them.
    pub context: SimDuration,
    /// Those that go round a ring, and the attention beside them: of the pass, and of what backward runs forward again.
    pub rings: [Ring; 2],
    /// Dispatch and combine.
    pub exchange: SimDuration,
    /// Parameters gathered and gradients scattered for this microbatch (ZeRO-3).
    pub shards: SimDuration,
    /// Seconds of these times the share of the device's units that they hold meanwhile.
    pub shards_held: f64,
}

/// Keys and values on their way round a ring, and what is computed meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ring {
    /// Time of the messages.
    pub messages: SimDuration,
    /// Seconds of these times the share of the device's units that they hold meanwhile.
    pub held: f64,
    /// Attention beside them.
    pub attention: SimDuration,
    /// Passes over memory beside them.
    pub passes: SimDuration,
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
    /// Layers, prediction modules included.
    pub layers: u32,
    /// Of these, layers with experts.
    pub routed: u32,
    /// Heads with their losses.
    pub heads: u32,
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
    /// Share of the device's units that an expert exchange holds.
    pub exchange_units: f64,
    /// Whether hosts wait for each message that they receive from another pipeline rank.
    pub synchronises: bool,
}

/// A step of a plan, by rank and cause.
#[derive(Clone, Debug, PartialEq)]
pub struct Parts {
    /// Pipeline ranks; those that do the same stand once.
    pub sorts: Vec<RankParts>,
    /// Which of these each pipeline rank is.
    pub ranks: Vec<usize>,
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
    /// Tensor-parallel collectives around a block, forward and backward.
    collectives: [u32; 2],
    /// By shape: what documents leave of its core, in the mean.
    packed: Vec<f64>,
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
        let mut sorts = Vec::new();
        let ranks = (0..plan.layout.pp)
            .map(|rank| position_or_push(&mut sorts, builder.rank(rank)))
            .collect();
        Self {
            sorts,
            ranks,
            hop,
            barrier,
            tied,
            order: Order::of(plan),
        }
    }
}

/// Where `known` has `value`, added if it is new.
pub(super) fn position_or_push<T: PartialEq>(known: &mut Vec<T>, value: T) -> usize {
    known.iter().position(|other| *other == value).unwrap_or_else(|| {
        known.push(value);
        known.len() - 1
    })
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
            exchange_units: plan.profile.units_taken(
                stack.units_for_all_to_all.into(),
                plan.cluster.device.num_units.into(),
            ),
            synchronises: plan.synchronises_pipeline(),
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
        let costs = &self.layers.costs;
        let layer = &costs.layers[unit.shape];
        let bytes = [costs.reduced(plan, unit), costs.gathered(plan, unit)];
        let exchanged = if layer.experts.is_some() {
            let shapes = [self.end.expert_shape, self.end.expert_tensor_shape];
            exchange(plan, model, &mut self.router, unit.layer, shapes)
        } else {
            Exchanging::default()
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
        // Backward gathers the block's input once more, beside its compute.
        let collectives = match (plan.layout.tp, plan.layout.sequence_parallel) {
            (1, _) => [0, 0],
            (_, true) => [2, 3],
            (_, false) => [1, 1],
        };
        let packed = costs.layers.iter().map(|layer| mean_share(plan, layer.core.mask));
        Self {
            packed: packed.collect(),
            plan,
            model,
            costs,
            tensor,
            collectives,
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
        parts.heads += 1;
    }

    /// Keys and values of context-parallel ranks, and the `share` of the core that is left beside them.
    fn add_context(&self, context: &ContextCost, share: f64, parts: &mut RankParts) {
        let [forward, backward] = &context.core;
        let again = if self
            .plan
            .training
            .recompute
            .covers(RecomputeModule::CoreAttention)
        {
            forward.len()
        } else {
            0
        };
        parts.forward.add_core(forward, 0, share);
        parts.backward.add_core(backward, again, share);
        if self.costs.full_recompute {
            parts.backward.add_core(forward, forward.len(), share);
        }
    }

    /// A layer whose experts get and give what `exchanging` says.
    pub(super) fn add_layer(&mut self, unit: Unit, exchanging: Exchanging, parts: &mut RankParts) {
        let Exchanging {
            time: exchange,
            tensor,
            rows,
        } = exchanging;
        let layer = &self.costs.layers[unit.shape];
        let share = self.packed[unit.shape];
        let (attention, dense, routed) = (layer.packed(share), layer.dense, layer.experts.is_some());
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
        if let Some(context) = &layer.context {
            self.add_context(context, share, parts);
        }
        let [gather, scatter] = self.tensor;
        let blocks = if routed { 1 } else { 2 };
        parts.layers += 1;
        let around = (gather + scatter) * u64::from(blocks) + tensor;
        parts.forward.tensor += around;
        parts.backward.tensor += around;
        let [forwards, backwards] = self.collectives.map(|each| each * blocks);
        parts.forward.collectives += forwards;
        parts.backward.collectives += backwards;
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
            parts.backward.collectives += forwards;
        }
        add(&mut parts.forward.kernel, forward);
        add(&mut parts.backward.kernel, backward);
        add(&mut parts.weight.kernel, weight);
    }
}

impl Pass {
    /// A core of context-parallel ranks, whose first `again` stretches run forward again; `share` of it is left.
    fn add_core(&mut self, core: &[StretchCost], again: usize, share: f64) {
        for (at, stretch) in core.iter().enumerate() {
            let Some(transfer) = stretch.transfer else {
                continue;
            };
            let time = transfer.time();
            if stretch.kernel.launches == 0 {
                self.context += time;
                continue;
            }
            let ring = &mut self.rings[usize::from(at < again)];
            ring.messages += time;
            ring.held += time.as_secs() * f64::from(transfer.occupancy.units);
            ring.attention += stretch.kernel.spent[Labour::Attention as usize].scaled(share);
            ring.passes += stretch.kernel.spent[Labour::Passes as usize];
        }
    }
}

/// Tokens on their way to the experts of a layer and back.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Exchanging {
    /// Dispatch and combine.
    pub(super) time: SimDuration,
    /// Gather and scatter among the ranks that an expert is cut among.
    pub(super) tensor: SimDuration,
    /// Rows of the busiest rank.
    pub(super) rows: MoeRows,
}

/// Dispatch and combine of `layer`, as the busiest rank has them.
pub(super) fn exchange(
    plan: &Plan,
    model: &CostModel,
    router: &mut Router,
    layer: u32,
    [shape, cut]: [GroupShape; 2],
) -> Exchanging {
    let load = router.load(0, layer, 0, 0);
    let busiest = load.ranks().iter().max_by_key(|rank| rank.padded).copied();
    let Some(busiest) = busiest else {
        return Exchanging::default();
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
    let around = [CollectiveOp::AllGather, CollectiveOp::ReduceScatter]
        .into_iter()
        .zip(busiest.gathered);
    let tensor = around
        .filter(|&(_, bytes)| bytes > Bytes::ZERO)
        .map(|(op, bytes)| expert_tensor_collective(model, op, bytes, cut).time())
        .sum();
    Exchanging { time, tensor, rows }
}

/// Bytes of so many parameters of embedding and head, as reduced and as gathered: (dense, experts).
pub(super) fn ends_bytes(plan: &Plan, count: u64) -> [[Bytes; 2]; 2] {
    let formats = plan.training.formats;
    [
        formats.gradient_traffic,
        formats.of_ends(formats.parameter_traffic),
    ]
    .map(|format| [format.bytes_of(count), Bytes::ZERO])
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
