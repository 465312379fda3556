//! The load of one layer in one microbatch of one expert group, with everything per rank worked out once.

use orrery_operation::GroupedGemm;
use orrery_units::Bytes;

use super::exchange::{Exchange, Geometry, PortTokens};
use crate::cost::ExchangePorts;

/// Rows of a tile of the grouped matrix product, to which each expert's rows are padded (DeepGEMM's contiguous
/// layout and CUTLASS's usual tile).
pub const TILE_ROWS: u64 = 128;

/// What one expert-parallel rank has to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RankLoad {
    /// Assignments to its experts: rows of its grouped matrix products.
    pub tokens: u64,
    /// The same with each expert's rows padded to whole tiles of [`TILE_ROWS`].
    pub padded: u64,
    /// Its experts that have any rows.
    pub active: u64,
    /// Bytes of dispatch on its ports.
    pub dispatch: ExchangePorts,
    /// Bytes of combine on its ports.
    pub combine: ExchangePorts,
    /// Bytes that its expert's tensor group gathers behind dispatch, and reduces and scatters before combine; none where
    /// an expert is not cut.
    pub gathered: [Bytes; 2],
}

/// Tokens per expert, and what follows for each expert-parallel rank.
///
/// With expert tensor parallelism every rank of an expert's tensor group has the same entry: `tokens` are those
/// of the whole group's experts, and ports carry one rank's part of the exchange, before the all-gather of
/// `tokens` among the tensor group.
#[derive(Clone, Debug, Default)]
pub struct LayerLoad {
    pub(super) per_expert: Vec<u32>,
    pub(super) ranks: Vec<RankLoad>,
    pub(super) dropped: u64,
    pub(super) nodes_per_token: f64,
    pub(super) imbalance: f64,
}

impl LayerLoad {
    /// Tokens that each expert computes, by number of the expert; padding to capacity included.
    #[must_use]
    pub fn per_expert(&self) -> &[u32] {
        &self.per_expert
    }

    /// Everything about one expert-parallel rank.
    #[must_use]
    pub fn rank(&self, expert_rank: u32) -> &RankLoad {
        &self.ranks[expert_rank as usize]
    }

    /// Every expert-parallel rank, in order.
    #[must_use]
    pub fn ranks(&self) -> &[RankLoad] {
        &self.ranks
    }

    /// Assignments to the experts of a rank.
    #[must_use]
    pub fn tokens_of_rank(&self, expert_rank: u32) -> u64 {
        self.rank(expert_rank).tokens
    }

    /// Bytes of dispatch on the ports of a rank.
    #[must_use]
    pub fn dispatch_ports(&self, expert_rank: u32) -> ExchangePorts {
        self.rank(expert_rank).dispatch
    }

    /// Bytes of combine on the ports of a rank.
    #[must_use]
    pub fn combine_ports(&self, expert_rank: u32) -> ExchangePorts {
        self.rank(expert_rank).combine
    }

    /// Most tokens of a rank over the mean of all ranks; 1 is balanced.
    #[must_use]
    pub const fn imbalance(&self) -> f64 {
        self.imbalance
    }

    /// Assignments dropped beyond capacity, over all sources.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Nodes that hold experts of a token, on average, its own included; for dispatchers that do not send once
    /// per node, the nodes of the group.
    #[must_use]
    pub const fn nodes_per_token(&self) -> f64 {
        self.nodes_per_token
    }

    /// Works out the ranks from `per_expert`; experts lie on ranks in order, equally many on each.
    #[expect(clippy::cast_precision_loss, reason = "token counts are far below 2^53")]
    pub(super) fn settle(
        &mut self,
        exchange: &Exchange,
        geometry: &Geometry,
        expert_tp: u32,
        scratch: &mut Scratch,
    ) {
        let local = self.per_expert.len() / geometry.node.len();
        self.ranks.clear();
        scratch.copies.clear();
        for experts in self.per_expert.chunks_exact(local) {
            let rows = experts.iter().map(|&tokens| u64::from(tokens));
            let tokens = rows.clone().sum::<u64>();
            let (padded, active) = GroupedGemm::padded(rows, TILE_ROWS);
            self.ranks.push(RankLoad {
                tokens,
                padded,
                active,
                ..RankLoad::default()
            });
            scratch.copies.push(tokens as f64 / f64::from(expert_tp));
        }
        self.nodes_per_token = exchange.ports(geometry, &scratch.copies, &mut scratch.ports);
        for (rank, ports) in self.ranks.iter_mut().zip(&scratch.ports) {
            rank.dispatch = ports.times(exchange.dispatch);
            rank.combine = ports.reversed().times(exchange.combine);
            rank.gathered =
                [exchange.dispatch, exchange.combine].map(|token| ports.together(expert_tp, token));
        }
        let total: u64 = self.ranks.iter().map(|rank| rank.tokens).sum();
        let most = self.ranks.iter().map(|rank| rank.tokens).max().unwrap_or(0);
        self.imbalance = if total == 0 {
            1.0
        } else {
            most as f64 * self.ranks.len() as f64 / total as f64
        };
    }
}

/// Buffers kept between loads.
#[derive(Clone, Debug, Default)]
pub(super) struct Scratch {
    copies: Vec<f64>,
    ports: Vec<PortTokens>,
}

/// Sum of what a rank puts on its ports one way, for reports.
#[must_use]
pub const fn bytes_out(ports: ExchangePorts) -> Bytes {
    Bytes::new(ports.network_out.get() + ports.node_out.get())
}
