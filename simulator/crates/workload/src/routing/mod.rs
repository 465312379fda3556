//! Tokens per expert, drawn by key, and what follows for each rank: rows to compute, bytes to exchange.
//!
//! Popularity is drawn once per layer; counts once per (layer, step, microbatch, expert group). Both are keyed,
//! so forward, backward, a repeated and a compared run see the same tokens in whatever order they ask. No token
//! is routed one by one, and no schedule is known here.
//!
//! An expert group is the ranks of one pipeline stage that share an expert-data-parallel index
//! ([`Layout::expert_place`](orrery_scenario::plan::Layout::expert_place)); all of them process the same
//! microbatch number at the same time.

mod exchange;
mod load;
mod memo;
#[cfg(test)]
mod tests;

use orrery_experts::load::{self as popularity, Chain, draw};
use orrery_scenario::plan::{Law, Layout, MlpShape, Plan, Routing};
use orrery_units::Seed;

pub use exchange::token_bytes;
pub use load::{LayerLoad, RankLoad, TILE_ROWS, bytes_out};

use crate::cost::ExchangePorts;
use exchange::{Exchange, Geometry};
use load::Scratch;
use memo::{Place, Ring};

/// Memory that remembered loads may take in all.
const MEMO_BYTES: usize = 48 << 20;

/// Loads remembered per layer and expert group, at least and at most: enough for the microbatches in flight in
/// a deep pipeline.
const MEMO_ENTRIES: (usize, usize) = (4, 32);

/// Draws loads, and remembers the latest.
#[derive(Clone, Debug)]
pub struct Router {
    seed: Seed,
    routing: Routing,
    /// Tokens that one rank brings into a layer of experts, per microbatch.
    tokens: u64,
    /// Ranks of an expert group.
    sources: u64,
    expert_tp: u32,
    /// By layer; none where the layer has no experts.
    layers: Vec<Option<RoutedLayer>>,
    /// By pipeline rank, then expert group.
    geometries: Vec<Vec<Geometry>>,
    /// By layer, then expert group.
    rings: Vec<Vec<Ring>>,
    memo_entries: usize,
    scratch: Scratch,
    draws: u64,
}

/// What a layer of experts keeps for all its draws.
#[derive(Clone, Debug)]
struct RoutedLayer {
    /// Shares of popularity, by expert.
    chain: Chain,
    top_k: u64,
    /// The pipeline rank that holds it (for DualPipe, in direction 0).
    pipeline: u32,
    exchange: Exchange,
}

impl Router {
    /// The router of `plan`, every random number of it from `seed`.
    ///
    /// Layers are numbered as in the plan, and multi-token-prediction modules after them.
    #[must_use]
    pub fn new(plan: &Plan, seed: Seed) -> Self {
        let layout = &plan.layout;
        let num_layers = plan.model.layers.len() + plan.model.mtp_layers as usize;
        let layers: Vec<Option<RoutedLayer>> = (0..num_layers)
            .map(|layer| RoutedLayer::of(plan, layer, seed))
            .collect();
        let groups = layout.expert_dp() as usize;
        let routed = layers.iter().flatten().count().max(1) * groups;
        let entry = size_of::<LayerLoad>()
            + layout.ep as usize * size_of::<RankLoad>()
            + layers
                .iter()
                .flatten()
                .map(|layer| layer.chain.shares().len())
                .max()
                .unwrap_or(0)
                * size_of::<u32>();
        Self {
            seed,
            routing: plan.routing,
            tokens: tokens_per_rank(plan),
            sources: u64::from(layout.ep) * u64::from(layout.expert_tp),
            expert_tp: layout.expert_tp,
            geometries: geometries(layout),
            rings: vec![vec![Ring::default(); groups]; num_layers],
            layers,
            memo_entries: (MEMO_BYTES / routed / entry).clamp(MEMO_ENTRIES.0, MEMO_ENTRIES.1),
            scratch: Scratch::default(),
            draws: 0,
        }
    }

    /// The load of `layer` in `microbatch` of `step` in the expert group `group` of its stage.
    ///
    /// # Panics
    /// When the layer has no experts.
    pub fn load(&mut self, group: u32, layer: u32, step: u32, microbatch: u32) -> &LayerLoad {
        let routed = self.layers[layer as usize]
            .as_ref()
            .expect("only layers with experts are asked for their load");
        let ring = &mut self.rings[layer as usize][group as usize];
        // Even loads are the same in every microbatch.
        let when = match self.routing.law {
            Law::Balanced => (0, 0),
            _ => (step, microbatch),
        };
        let at = match ring.place(when, self.memo_entries) {
            Place::Found(at) => at,
            Place::Empty(at) => {
                self.draws += 1;
                let key = self
                    .seed
                    .at("routing", &[layer, step, microbatch, group].map(u64::from));
                let load = ring.load_mut(at);
                let tokens = self.tokens * self.sources;
                let experts = routed.chain.shares().len();
                load.per_expert.resize(experts, 0);
                match self.routing.law {
                    Law::Balanced => draw::balanced(tokens, routed.top_k, &mut load.per_expert),
                    _ => draw::multinomial(&routed.chain, tokens, routed.top_k, key, &mut load.per_expert),
                }
                load.dropped = self.routing.capacity_factor.map_or(0, |factor| {
                    let capacity =
                        draw::capacity(self.tokens, routed.top_k, experts as u64, factor) * self.sources;
                    let capacity = u32::try_from(capacity).unwrap_or(u32::MAX);
                    draw::apply_capacity(capacity, self.routing.pad_to_capacity, &mut load.per_expert)
                });
                let geometry = &self.geometries[routed.pipeline as usize][group as usize];
                load.settle(&routed.exchange, geometry, self.expert_tp, &mut self.scratch);
                at
            }
        };
        self.rings[layer as usize][group as usize].load(at)
    }

    /// Bytes of dispatch on the ports of each rank of an expert group when all experts are equally popular, by
    /// the first layer that has any; absent when none has.
    #[must_use]
    pub fn even_ports(&self, pipeline: u32, group: u32) -> Option<Vec<ExchangePorts>> {
        let exchange = self.layers.iter().flatten().next()?.exchange;
        let geometry = &self.geometries[pipeline as usize][group as usize];
        let copies = exchange.tokens * f64::from(exchange.top_k);
        let mut ports = Vec::new();
        exchange.ports(geometry, &vec![copies; geometry.node.len()], &mut ports);
        Some(
            ports
                .into_iter()
                .map(|port| port.times(exchange.dispatch))
                .collect(),
        )
    }

    /// Whether `layer` has experts.
    #[must_use]
    pub fn has_experts(&self, layer: u32) -> bool {
        self.layers[layer as usize].is_some()
    }

    /// Tokens that one rank brings into a layer of experts, per microbatch.
    #[must_use]
    pub const fn tokens_per_rank(&self) -> u64 {
        self.tokens
    }

    /// Shares of popularity of the experts of `layer`; empty when it has none.
    #[must_use]
    pub fn popularity(&self, layer: u32) -> &[f64] {
        self.layers[layer as usize]
            .as_ref()
            .map_or(&[], |routed| routed.chain.shares())
    }

    /// Loads drawn so far; more than asked for means that some were forgotten and drawn again.
    #[must_use]
    pub const fn num_draws(&self) -> u64 {
        self.draws
    }
}

/// Tokens that one rank brings into a layer of experts, per microbatch: a microbatch's tokens shared out among
/// context- and tensor-parallel ranks (with experts, Megatron-Core splits the sequence among the latter).
///
/// Worked: one sequence of 4,096 with TP 2 and CP 2: 1,024.
#[must_use]
pub const fn tokens_per_rank(plan: &Plan) -> u64 {
    let shared = plan.layout.tp as u64 * plan.layout.cp as u64;
    (plan.training.micro_batch * plan.training.sequence_length).div_ceil(shared)
}

impl RoutedLayer {
    fn of(plan: &Plan, layer: usize, seed: Seed) -> Option<Self> {
        let shape = plan
            .model
            .layers
            .get(layer)
            .or_else(|| plan.model.layers.last())?;
        let MlpShape::Moe { experts, top_k, .. } = shape.mlp else {
            return None;
        };
        let formats = plan.training.formats;
        let num_experts = usize::try_from(experts).expect("a model has fewer than 2^32 experts");
        let key = seed.at("popularity", &[layer as u64]);
        #[expect(
            clippy::cast_precision_loss,
            reason = "token and expert counts are far below 2^53"
        )]
        let exchange = Exchange {
            dispatcher: plan.training.stack.dispatcher,
            tokens: tokens_per_rank(plan) as f64,
            top_k: u32::try_from(top_k).expect("top-k is at most the number of experts"),
            experts: experts as f64,
            max_nodes: plan.routing.max_nodes,
            dispatch: token_bytes(plan.model.hidden, formats.dispatch),
            combine: token_bytes(plan.model.hidden, formats.combine),
        };
        Some(Self {
            chain: Chain::new(popularity::shares(plan.routing.law, num_experts, top_k, key)),
            top_k,
            pipeline: pipeline_of(plan, layer),
            exchange,
        })
    }
}

/// The pipeline rank that holds `layer`, for DualPipe in direction 0. Layers past the model's own are
/// multi-token-prediction modules.
fn pipeline_of(plan: &Plan, layer: usize) -> u32 {
    let holds = |stage: &&orrery_scenario::plan::VirtualStage| {
        stage.layers.contains(&layer) || (layer >= plan.model.layers.len() && stage.mtp_layers > 0)
    };
    let stages = &plan.layout.stages;
    let at = stages
        .iter()
        .position(|stage| holds(&stage))
        .unwrap_or(stages.len().saturating_sub(1));
    let at = u32::try_from(at).expect("a plan has fewer than 2^32 stages");
    plan.layout.pipeline_of_stage(at)
}

/// Nodes of the ranks of every expert group, by pipeline rank and group. With expert tensor parallelism the
/// first rank of each tensor group stands for it.
fn geometries(layout: &Layout) -> Vec<Vec<Geometry>> {
    let (groups, ep) = (layout.expert_dp() as usize, layout.ep as usize);
    let mut nodes = vec![vec![vec![0; ep]; groups]; layout.pp as usize];
    for rank in 0..layout.world() {
        let (tensor, expert, group) = layout.expert_place(rank);
        if tensor == 0 {
            let pipeline = layout.coordinates(rank).pipeline as usize;
            nodes[pipeline][group as usize][expert as usize] = rank / layout.devices_per_domain;
        }
    }
    let of_stage = |groups: &Vec<Vec<u32>>| groups.iter().map(|nodes| Geometry::of(nodes)).collect();
    nodes.iter().map(of_stage).collect()
}
