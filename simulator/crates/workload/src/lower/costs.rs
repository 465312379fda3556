//! Kernels and transfers of a plan, computed once; only routed experts depend on the microbatch.

use std::sync::Arc;

use orrery_operation::{Attention, Collective, CollectiveOp, Precision};
use orrery_profile::Term;
use orrery_scenario::Plan;
use orrery_scenario::plan::{Axis, GroupShape, Layer, Layout, MlpShape, Recompute, ScheduleKind, ZeroStage};
use orrery_units::Bytes;

use super::context::ContextCost;
use super::layer::Unit;
use crate::block::{Block, MoeRows, Op, Shapes};
use crate::cost::{CostModel, Kernel, Labour, Single, Transfer};
use crate::memory::mtp_parameters;

/// A block's kernels in its three directions.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BlockCost {
    pub(crate) forward: Kernel,
    pub(crate) backward: Kernel,
    pub(crate) weight: Kernel,
}

/// Which pass through a block.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Direction {
    Forward,
    /// With respect to inputs.
    Backward,
    /// Gradients of the weights.
    Weight,
}

/// Kernels of one distinct layer shape.
#[derive(Clone, Debug)]
pub(crate) struct LayerCost {
    /// Attention, with the router behind it in a layer with experts.
    pub(crate) attention: BlockCost,
    /// The dense network, or the shared experts.
    pub(crate) dense: BlockCost,
    /// The experts, if the layer has any.
    pub(crate) experts: Option<MlpShape>,
    /// Its core alone.
    pub(crate) core: Attention,
    /// The same attention in pieces, where context-parallel ranks exchange keys and values.
    pub(crate) context: Option<Arc<ContextCost>>,
    /// Parameter bytes per device as reduced and as gathered: (dense, experts).
    pub(crate) reduced: [Bytes; 2],
    pub(crate) gathered: [Bytes; 2],
}

impl LayerCost {
    /// Attention with `share` of its core left by documents.
    pub(crate) fn packed(&self, share: f64) -> BlockCost {
        if share.to_bits() == 1.0_f64.to_bits() {
            return self.attention;
        }
        let BlockCost {
            forward,
            backward,
            weight,
        } = self.attention;
        BlockCost {
            forward: forward.with_attention(share, self.core.forward_flops()),
            backward: backward.with_attention(share, self.core.backward_flops()),
            weight,
        }
    }
}

/// Every cost of a plan that does not depend on routing.
#[derive(Debug)]
pub(crate) struct Costs {
    pub(crate) layers: Vec<LayerCost>,
    /// Distinct shape of each layer of the model.
    pub(crate) shape_of_layer: Vec<usize>,
    pub(crate) embedding: BlockCost,
    pub(crate) head: BlockCost,
    pub(crate) mtp_projection: BlockCost,
    /// Parameters of that projection on one device.
    mtp_parameters: u64,
    pub(crate) tensor_gather: Option<Transfer>,
    pub(crate) tensor_scatter: Option<Transfer>,
    pub(crate) tensor_reduce: Option<Transfer>,
    pub(crate) full_recompute: bool,
    scratch: Vec<Op>,
    /// For each shape and direction, the rows that were asked for last and their kernel: balanced rows never change.
    latest: Vec<[Option<(MoeRows, Kernel)>; 3]>,
}

impl Costs {
    pub(crate) fn new(plan: &Plan, model: &CostModel) -> Self {
        let shapes = Shapes::new(plan);
        let block = |block: &Block| BlockCost {
            forward: kernel(model, &block.forward),
            backward: kernel(model, &block.backward),
            weight: kernel(model, &block.weight),
        };
        let mut distinct = Vec::new();
        let mut shape_of_layer = Vec::new();
        for layer in &plan.model.layers {
            let at = distinct
                .iter()
                .position(|known| *known == layer)
                .unwrap_or_else(|| {
                    distinct.push(layer);
                    distinct.len() - 1
                });
            shape_of_layer.push(at);
        }
        let layers: Vec<LayerCost> = distinct
            .into_iter()
            .map(|layer| layer_cost(plan, model, &shapes, &block, layer))
            .collect();
        let tensor = |op| tensor_collective(plan, model, &shapes, op);
        Self {
            latest: vec![[None; 3]; layers.len()],
            layers,
            shape_of_layer,
            embedding: block(&shapes.embedding()),
            head: block(&shapes.head()),
            mtp_projection: block(&shapes.mtp_projection()),
            mtp_parameters: mtp_parameters(plan),
            tensor_gather: tensor(CollectiveOp::AllGather),
            tensor_scatter: tensor(CollectiveOp::ReduceScatter),
            tensor_reduce: tensor(CollectiveOp::AllReduce),
            full_recompute: plan.training.recompute == Recompute::Full,
            scratch: Vec::with_capacity(64),
        }
    }

    /// Gradients of `unit` per device as they are reduced: (dense, experts).
    pub(crate) fn reduced(&self, plan: &Plan, unit: Unit) -> [Bytes; 2] {
        self.on_the_way(
            unit,
            self.layers[unit.shape].reduced,
            plan.training.formats.gradient_traffic,
        )
    }

    /// Parameters of `unit` per device as they are gathered: (dense, experts).
    pub(crate) fn gathered(&self, plan: &Plan, unit: Unit) -> [Bytes; 2] {
        self.on_the_way(
            unit,
            self.layers[unit.shape].gathered,
            plan.training.formats.parameter_traffic,
        )
    }

    fn on_the_way(&self, unit: Unit, [dense, experts]: [Bytes; 2], format: Precision) -> [Bytes; 2] {
        let projection = if unit.mtp { self.mtp_parameters } else { 0 };
        [dense + format.bytes_of(projection), experts]
    }

    /// One layer of each distinct shape, in the order of [`layers`](Self::layers).
    pub(crate) fn distinct<'p>(&self, plan: &'p Plan) -> Vec<&'p Layer> {
        let first = |shape| self.shape_of_layer.iter().position(|&known| known == shape);
        (0..self.layers.len())
            .filter_map(first)
            .map(|layer| &plan.model.layers[layer])
            .collect()
    }

    /// Routed experts at `rows` in one direction, with the shared experts beside them.
    pub(crate) fn experts(
        &mut self,
        plan: &Plan,
        model: &CostModel,
        direction: Direction,
        shape: usize,
        rows: MoeRows,
    ) -> Kernel {
        if let Some((_, known)) = self.latest[shape][direction as usize].filter(|(known, _)| *known == rows) {
            return known;
        }
        let LayerCost {
            experts: Some(mlp),
            dense,
            ..
        } = &self.layers[shape]
        else {
            return Kernel::default();
        };
        let shapes = Shapes::new(plan);
        self.scratch.clear();
        let shared = match direction {
            Direction::Forward => {
                shapes.routed_forward(mlp, rows, &mut self.scratch);
                dense.forward
            }
            Direction::Backward => {
                shapes.routed_backward(mlp, rows, &mut self.scratch);
                dense.backward
            }
            Direction::Weight => {
                shapes.routed_weight(mlp, rows, &mut self.scratch);
                dense.weight
            }
        };
        let mut routed = kernel(model, &self.scratch);
        if plan.training.stack.expert_by_expert {
            routed.launches += expert_launches(model, rows);
        }
        let kernel = routed.then(shared);
        self.latest[shape][direction as usize] = Some((rows, kernel));
        kernel
    }
}

/// `kernel` with so many small kernels around it, each of which takes its gap and its launch.
fn surrounded(model: &CostModel, kernel: Kernel, small: u32) -> Kernel {
    let pause = model.gap() * u64::from(small);
    let mut sum = kernel;
    sum.alone += pause;
    sum.spent[Labour::Passes as usize] += pause;
    sum.backed[orrery_units::Evidence::Analytic as usize] += pause;
    sum.launches += small;
    sum
}

/// Launches of one direction's two products that are issued expert by expert.
fn expert_launches(model: &CostModel, rows: MoeRows) -> u32 {
    let each = model.tuning().get(Term::ExpertLaunches);
    count(2.0 * each * Bytes::new(rows.active).as_f64())
}

/// A number of kernels.
pub(crate) fn count(kernels: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a layer has thousands of kernels"
    )]
    let whole = kernels.round() as u32;
    whole
}

/// The kernels of `ops`, one after the other.
pub(crate) fn kernel(model: &CostModel, ops: &[Op]) -> Kernel {
    let mut sum = Kernel::default();
    for op in ops {
        sum.add(&time(model, op));
    }
    sum
}

fn time(model: &CostModel, op: &Op) -> Single {
    match op {
        Op::Gemm(gemm) => model.gemm(gemm),
        Op::Grouped(grouped) => model.grouped_gemm(grouped),
        Op::GemmWeight(gemm) => model.gemm_weight(gemm),
        Op::GroupedWeight(grouped) => model.grouped_weight(grouped),
        Op::AttentionForward(core) => model.attention_forward(core),
        Op::AttentionBackward(core) => model.attention_backward(core),
        Op::Pass(pass) => model.pass(pass),
    }
}

fn layer_cost(
    plan: &Plan,
    model: &CostModel,
    shapes: &Shapes<'_>,
    block: &impl Fn(&Block) -> BlockCost,
    layer: &Layer,
) -> LayerCost {
    let mut attention = block(&shapes.attention(&layer.attention));
    let around = model.tuning().get(Term::LayerKernels);
    attention.forward = surrounded(model, attention.forward, count(around));
    attention.backward = surrounded(model, attention.backward, count(1.5 * around));
    let mut context = (plan.layout.cp > 1).then(|| ContextCost::new(plan, model, shapes, layer));
    let (attention, dense, experts) = match layer.mlp {
        MlpShape::Dense { width, gated } => (attention, block(&shapes.dense_mlp(width, gated)), None),
        MlpShape::Moe { experts, gate, .. } => {
            let mut router = block(&shapes.router(experts, gate));
            let small = model.tuning().get(Term::SmallKernels);
            router.forward = surrounded(model, router.forward, count(small));
            router.backward = surrounded(model, router.backward, count(1.5 * small));
            if let Some(context) = &mut context {
                context.behind[0] = context.behind[0].then(router.forward);
                context.ahead[1] = router.backward.then(context.ahead[1]);
            }
            let attention = BlockCost {
                forward: attention.forward.then(router.forward),
                backward: router.backward.then(attention.backward),
                weight: router.weight.then(attention.weight),
            };
            (
                attention,
                block(&shapes.shared_experts(&layer.mlp)),
                Some(layer.mlp.clone()),
            )
        }
    };
    let parameters = layer.parameters(plan.model.hidden);
    let shards = u64::from(plan.layout.ep * plan.layout.expert_tp);
    let counts = [
        parameters.dense.div_ceil(u64::from(plan.layout.tp)),
        parameters.experts.div_ceil(shards),
    ];
    let formats = &plan.training.formats;
    LayerCost {
        attention,
        dense,
        experts,
        core: shapes.core(&layer.attention),
        context: context.map(Arc::new),
        reduced: counts.map(|count| formats.gradient_traffic.bytes_of(count)),
        gathered: counts.map(|count| formats.parameter_traffic.bytes_of(count)),
    }
}

fn tensor_collective(
    plan: &Plan,
    model: &CostModel,
    shapes: &Shapes<'_>,
    op: CollectiveOp,
) -> Option<Transfer> {
    let layout = &plan.layout;
    if layout.tp == 1 {
        return None;
    }
    let shape = layout.shape_of(&layout.group(0, Axis::Tensor));
    // Chunked overlap with the neighbouring product hides a share of the data, never the latency.
    let exposed =
        Bytes::from_f64(shapes.gathered_residual().as_f64() * (1.0 - plan.training.stack.tensor_overlap));
    let collective = Collective {
        op,
        ranks: u64::from(layout.tp),
        bytes: exposed,
    };
    Some(
        model
            .collective(collective, shape)
            .times(model.tuning().get(Term::Tensor)),
    )
}

/// How the ranks that an expert is cut among lie.
pub(crate) fn expert_tensor_shape(layout: &Layout) -> GroupShape {
    let ranks: Vec<u32> = layout
        .stage_ranks(0)
        .into_iter()
        .filter(|&rank| {
            let (_, expert, replica) = layout.expert_place(rank);
            (expert, replica) == (0, 0)
        })
        .collect();
    layout.shape_of(&ranks)
}

/// Gather or scatter of `bytes` among the ranks that an expert is cut among.
///
/// Megatron-Core (`token_dispatcher.py`): what dispatch delivered to one of them the others need as well, and each has a
/// partial sum of the result. Worked: 8,192 token copies of 6,144 in BF16 delivered to each of 2: 192 MiB gathered, half
/// of it on each rank's wire.
pub(crate) fn expert_tensor_collective(
    model: &CostModel,
    op: CollectiveOp,
    bytes: Bytes,
    shape: GroupShape,
) -> Transfer {
    let collective = Collective {
        op,
        ranks: u64::from(shape.ranks),
        bytes,
    };
    model
        .collective(collective, shape)
        .times(model.tuning().get(Term::Tensor))
}

/// How many ranks share a parameter's gradient, and how they lie: dense (0) or expert (1) parameters.
pub(crate) fn data_group_shape(plan: &Plan, experts: bool) -> GroupShape {
    let layout = &plan.layout;
    let mirrored = layout.schedule.kind == ScheduleKind::DualPipe;
    let place = layout.coordinates(0);
    let stages: &[u32] = if mirrored { &[0, layout.pp - 1] } else { &[0] };
    let members: Vec<u32> = stages
        .iter()
        .flat_map(|&stage| layout.stage_ranks(stage))
        .filter(|&rank| {
            if experts {
                let (tensor, expert, _) = layout.expert_place(rank);
                (tensor, expert) == (0, 0)
            } else {
                layout.coordinates(rank).tensor == place.tensor
            }
        })
        .collect();
    layout.shape_of(&members)
}

/// The collective by which gradients are brought together.
pub(crate) const fn gradient_op(zero: ZeroStage) -> CollectiveOp {
    match zero {
        ZeroStage::None => CollectiveOp::AllReduce,
        ZeroStage::Optimizer | ZeroStage::Gradients | ZeroStage::Parameters => CollectiveOp::ReduceScatter,
    }
}
