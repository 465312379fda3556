//! What layouts share, each computed once for the first that needs it.

use orrery_operation::{Collective, CollectiveOp};
use orrery_scenario::plan::{Axis, Coordinates, GroupShape, Layer, Layout, MlpShape, Plan, Schedule};
use orrery_scenario::plan::{ScheduleKind, VirtualStage, ZeroStage};
use orrery_units::{Bytes, Seed, SimDuration};

use super::super::memory::{layer_bytes, signed};
use super::super::parts::{Exchanging, Layers, Pass, RankParts, add_traffic, ends_bytes, exchange};
use super::{ExchangeKey, LayerKey, MeshKey, Surveyor};
use crate::block::Shapes;
use crate::cost::CostModel;
use crate::lower::costs::{data_group_shape, expert_tensor_shape};
use crate::lower::layer::Unit;
use crate::memory::{ActivationMemory, context_buffers};
use crate::routing::Router;

/// Dispatch and combine of each shape of layer.
#[derive(Debug)]
pub(super) struct Exchanged {
    /// By shape: one time for all pipeline ranks, or one for each.
    pub(super) times: Vec<Vec<SimDuration>>,
    /// By shape: the rows of the busiest rank, and what the ranks that an expert is cut among exchange.
    pub(super) experts: Vec<Exchanging>,
}

/// Kernels, tensor-parallel traffic and memory of layers and ends.
#[derive(Debug)]
pub(super) struct LayerCell {
    /// By shape.
    pub(super) units: Vec<RankParts>,
    /// A multi-token-prediction module.
    pub(super) mtp: RankParts,
    pub(super) head: RankParts,
    pub(super) embedding: RankParts,
    /// How often backward exchanges tokens.
    pub(super) backward_exchanges: u64,
    /// By shape: parameter bytes as reduced and as gathered, dense and experts.
    pub(super) parameters: Vec<[[Bytes; 2]; 2]>,
    /// The same of a multi-token-prediction module.
    pub(super) mtp_parameters: [[Bytes; 2]; 2],
    /// By shape: bytes that a microbatch holds, and those that come back in backward.
    pub(super) held: Vec<[i64; 2]>,
    /// Of the head with its prediction modules.
    pub(super) head_held: i64,
    /// Buffers of context-parallel ranks.
    pub(super) context_held: u64,
    /// A message between pipeline ranks, inside a node and beyond it.
    pub(super) hops: [SimDuration; 2],
}

/// Groups of ranks and what travels among them.
#[derive(Debug)]
pub(super) struct MeshCell {
    pub(super) data_shapes: [GroupShape; 2],
    /// By shape of layer: parameters and gradients on their way.
    pub(super) traffic: Vec<RankParts>,
    /// The same of a multi-token-prediction module.
    pub(super) mtp: RankParts,
    /// The same of embedding (1), head (2) and both (3).
    pub(super) ends: [RankParts; 4],
    /// Whether neighbours in the pipeline are on different nodes.
    pub(super) crosses: bool,
    /// The reduction of tied embeddings.
    pub(super) tied: SimDuration,
    pub(super) tensor_beyond_domain: bool,
}

/// The agreement of all ranks at the end of a step: the same for every layout.
pub(super) fn barrier(plan: &Plan, model: &CostModel) -> SimDuration {
    let everybody: Vec<u32> = (0..plan.layout.world()).collect();
    all_reduce(model, Bytes::new(8), plan.layout.shape_of(&everybody))
}

fn all_reduce(model: &CostModel, bytes: Bytes, shape: GroupShape) -> SimDuration {
    let collective = Collective {
        op: CollectiveOp::AllReduce,
        ranks: u64::from(shape.ranks),
        bytes,
    };
    model.collective(collective, shape).time()
}

/// Which ends of the model a chunk holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub(super) embedding: bool,
    pub(super) head: bool,
}

impl Ends {
    /// Parameters of these ends on one device.
    pub(super) fn count(self, plan: &Plan) -> u64 {
        let count = |held, parameters| if held { parameters } else { 0 };
        let model = &plan.model;
        let embedding = count(self.embedding, model.embedding_parameters());
        (embedding + count(self.head, model.head_parameters())).div_ceil(u64::from(plan.layout.tp))
    }
}

/// `layout` with as few ranks as hold one expert group, one stage for each pipeline rank.
///
/// Where pipeline ranks matter (`far`), it keeps all ranks.
fn small(layout: &Layout, far: (u32, u32)) -> Layout {
    let mut small = layout.clone();
    if far == (0, 0) {
        let (attention, experts) = (layout.tp * layout.cp, layout.ep * layout.expert_tp);
        small.dp = experts / gcd(attention, experts);
        small.pp = 1;
    }
    small.schedule = Schedule {
        kind: ScheduleKind::OneFOneB,
        chunks: 1,
    };
    small.stages = (0..small.pp as usize)
        .map(|at| VirtualStage {
            layers: at..at + 1,
            embedding: false,
            head: false,
            mtp_layers: 0,
        })
        .collect();
    small
}

const fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

impl Surveyor {
    /// Lays the skeleton out as `whole` is.
    fn bend(&mut self, far: (u32, u32)) {
        self.skeleton.layout = small(&self.whole.layout, far);
        self.skeleton.training.micro_batch = self.whole.training.micro_batch;
        let recompute = &self.whole.training.recompute;
        self.skeleton.training.recompute.clone_from(recompute);
    }

    pub(super) fn fill_exchange(&mut self, key: ExchangeKey) {
        if self.exchanges.contains_key(&key) {
            return;
        }
        self.bend(key.5);
        let shapes = self.skeleton.model.layers.clone();
        let exchanged = shapes.iter().map(|layer| self.exchanged(layer));
        let (times, experts) = exchanged.unzip();
        self.skeleton.model.layers = shapes;
        self.exchanges.insert(key, Exchanged { times, experts });
    }

    /// Dispatch and combine of `layer` on every pipeline rank of the skeleton, which consists of nothing else.
    fn exchanged(&mut self, layer: &Layer) -> (Vec<SimDuration>, Exchanging) {
        let plan = &mut self.skeleton;
        if matches!(layer.mlp, MlpShape::Dense { .. }) {
            return (vec![SimDuration::ZERO], Exchanging::default());
        }
        plan.model.layers = vec![layer.clone(); plan.layout.pp as usize];
        let layout = &plan.layout;
        let group: Vec<u32> = layout
            .stage_ranks(0)
            .into_iter()
            .filter(|&rank| {
                let (tensor, _, replica) = layout.expert_place(rank);
                (tensor, replica) == (0, 0)
            })
            .collect();
        let shapes = [layout.shape_of(&group), expert_tensor_shape(layout)];
        let mut router = Router::new(plan, Seed::new(1));
        let mut busiest = Exchanging::default();
        let times = (0..plan.layout.pp).map(|pipeline| {
            busiest = exchange(plan, &self.model, &mut router, pipeline, shapes);
            busiest.time
        });
        (times.collect(), busiest)
    }

    pub(super) fn fill_layers(&mut self, key: LayerKey, exchange: ExchangeKey) {
        if self.layers.contains_key(&key) {
            return;
        }
        self.bend(key.6);
        let plan = &self.skeleton;
        let experts = &self.exchanges[&exchange].experts;
        let mut layers = Layers::new(plan, &self.model);
        let mut unit = |shape: usize, mtp: bool| {
            let unit = Unit { layer: 0, shape, mtp };
            let mut parts = RankParts::default();
            let exchanging = Exchanging {
                time: SimDuration::ZERO,
                ..experts[shape]
            };
            layers.add_layer(unit, exchanging, &mut parts);
            parts
        };
        let last = self.shape_of_layer.last().copied().unwrap_or(0);
        let units = (0..plan.model.layers.len())
            .map(|shape| unit(shape, false))
            .collect();
        let mtp = unit(last, true);
        let [mut head, mut embedding] = [RankParts::default(); 2];
        layers.add_head(&mut head);
        layers.add_embedding(&mut embedding);
        let memory = ActivationMemory::new(plan);
        let held = plan.model.layers.iter().zip(experts);
        let held = held
            .map(|(layer, experts)| layer_bytes(&memory, layer, experts.rows.rows))
            .collect();
        let residual = Shapes::new(plan).residual();
        let hop = |crosses| self.model.send_recv(residual, crosses).time();
        let costs = &layers.costs;
        let parameters = |shape: usize, mtp: bool| {
            let unit = Unit { layer: 0, shape, mtp };
            [costs.reduced(plan, unit), costs.gathered(plan, unit)]
        };
        let cell = LayerCell {
            units,
            mtp,
            head,
            embedding,
            backward_exchanges: 1 + u64::from(layers.costs.full_recompute),
            parameters: (0..costs.layers.len())
                .map(|shape| parameters(shape, false))
                .collect(),
            mtp_parameters: parameters(last, true),
            held,
            head_held: signed(memory.head(self.whole.model.mtp_layers)),
            context_held: context_buffers(plan).get(),
            hops: [hop(false), hop(true)],
        };
        self.layers.insert(key, cell);
    }

    pub(super) fn fill_mesh(&mut self, key: (MeshKey, ZeroStage), layers: LayerKey) {
        if self.meshes.contains_key(&key) {
            return;
        }
        let (plan, model) = (&self.whole, &self.model);
        let layout = &plan.layout;
        let data_shapes = [data_group_shape(plan, false), data_group_shape(plan, true)];
        let traffic = |bytes| {
            let mut parts = RankParts::default();
            add_traffic(plan, model, data_shapes, bytes, &mut parts);
            parts
        };
        let ends = [(false, false), (true, false), (false, true), (true, true)]
            .map(|(embedding, head)| traffic(ends_bytes(plan, Ends { embedding, head }.count(plan))));
        let first = layout.coordinates(0);
        let along = |pipeline| layout.rank(Coordinates { pipeline, ..first });
        let tied = if plan.model.tied_embeddings && layout.pp > 1 {
            let bytes = plan.training.formats.gradient_traffic;
            let embedding = Ends {
                embedding: true,
                head: false,
            };
            let bytes = bytes.bytes_of(embedding.count(plan));
            all_reduce(model, bytes, layout.shape_of(&[0, along(layout.pp - 1)]))
        } else {
            SimDuration::ZERO
        };
        let cell = MeshCell {
            data_shapes,
            traffic: self.layers[&layers]
                .parameters
                .iter()
                .map(|&bytes| traffic(bytes))
                .collect(),
            mtp: traffic(self.layers[&layers].mtp_parameters),
            ends,
            crosses: along(1 % layout.pp) / layout.devices_per_domain != 0,
            tied,
            tensor_beyond_domain: layout.shape_of(&layout.group(0, Axis::Tensor)).nodes > 1,
        };
        self.meshes.insert(key, cell);
    }
}

/// Adds `part` so many times.
pub(super) fn add_times(sum: &mut RankParts, part: &RankParts, times: u32) {
    let pass = |sum: &mut Pass, part: &Pass| {
        let many = u64::from(times);
        sum.kernel.alone += part.kernel.alone * many;
        for (sum, spent) in sum.kernel.spent.iter_mut().zip(part.kernel.spent) {
            *sum += spent * many;
        }
        sum.kernel.unaligned += part.kernel.unaligned * many;
        sum.kernel.launches += part.kernel.launches * times;
        sum.expert_launches += part.expert_launches * times;
        sum.tensor += part.tensor * many;
        sum.collectives += part.collectives * times;
        sum.context += part.context * many;
        for (sum, ring) in sum.rings.iter_mut().zip(part.rings) {
            sum.messages += ring.messages * many;
            sum.held += ring.held * f64::from(times);
            sum.attention += ring.attention * many;
            sum.passes += ring.passes * many;
        }
        sum.exchange += part.exchange * many;
        sum.shards += part.shards * many;
        sum.shards_held += part.shards_held * f64::from(times);
    };
    if times == 0 {
        return;
    }
    pass(&mut sum.forward, &part.forward);
    pass(&mut sum.backward, &part.backward);
    pass(&mut sum.weight, &part.weight);
    sum.reduce += part.reduce * u64::from(times);
    sum.gather += part.gather * u64::from(times);
    for (sum, held) in sum.held.iter_mut().zip(part.held) {
        *sum += held * f64::from(times);
    }
    sum.layers += part.layers * times;
    sum.routed += part.routed * times;
    sum.heads += part.heads * times;
}
