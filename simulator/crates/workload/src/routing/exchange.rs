//! Bytes that the exchange of tokens with experts puts on the ports of each device, by dispatcher.
//!
//! Bytes only, no time. Sources hold equally many tokens and share every expert's load equally (the mean of a
//! draw per source); what differs between ranks is what they receive. Metadata (indices, probabilities) is not
//! counted. Combine is dispatch backwards in the format of combine.

use orrery_experts::visits::{admitted, visit};
use orrery_operation::Precision;
use orrery_scenario::plan::Dispatcher;
use orrery_units::Bytes;

use crate::cost::ExchangePorts;

/// Elements that share one FP32 scale in FP8 (1 x 128 blocks, DeepSeek-V3 section 3.3).
const SCALE_BLOCK: u64 = 128;

/// Bytes of one token of width `hidden` on the wire, with its scales in FP8.
///
/// Worked: 7,168 wide in FP8: 7,168 + 56 · 4 = 7,392 bytes; in BF16: 14,336.
#[must_use]
pub fn token_bytes(hidden: u64, format: Precision) -> Bytes {
    let scales = match format {
        Precision::Fp8 => hidden.div_ceil(SCALE_BLOCK) * 4,
        _ => 0,
    };
    format.bytes_of(hidden) + Bytes::new(scales)
}

/// Where the ranks of an expert group lie: one entry per expert-parallel rank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    /// The node of each rank, numbered within the group from 0.
    pub node: Vec<usize>,
    /// Ranks of the group on each node.
    pub ranks_on: Vec<u32>,
}

impl Geometry {
    /// The geometry of ranks on these nodes of the cluster.
    pub(super) fn of(nodes: &[u32]) -> Self {
        let mut distinct: Vec<u32> = nodes.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let node: Vec<usize> = nodes
            .iter()
            .map(|at| distinct.partition_point(|other| other < at))
            .collect();
        let mut ranks_on = vec![0; distinct.len()];
        for &at in &node {
            ranks_on[at] += 1;
        }
        Self { node, ranks_on }
    }
}

/// What the exchange of a layer looks like, apart from the load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    pub dispatcher: Dispatcher,
    /// Tokens that each source holds.
    pub tokens: f64,
    pub top_k: u32,
    pub experts: f64,
    /// Most nodes that one token is sent to.
    pub max_nodes: Option<u32>,
    pub dispatch: Bytes,
    pub combine: Bytes,
}

/// Amounts on the ports of one device, in tokens.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PortTokens {
    network_out: f64,
    network_in: f64,
    node_out: f64,
    node_in: f64,
    /// What the rank holds once dispatch is done: its own part and what came in, each as the dispatcher delivers it.
    arrived: f64,
}

impl PortTokens {
    /// Bytes that `ranks` ranks of an expert's tensor group hold together after dispatch, of `token` each; none alone.
    pub(super) fn together(self, ranks: u32, token: Bytes) -> Bytes {
        if ranks == 1 {
            return Bytes::ZERO;
        }
        Bytes::from_f64(self.arrived * f64::from(ranks) * token.as_f64())
    }

    /// In bytes of `token` each.
    pub(super) fn times(self, token: Bytes) -> ExchangePorts {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "casting cuts towards zero, so this rounds; rounding errors below zero are zero"
        )]
        let bytes = |tokens: f64| Bytes::new((tokens * token.as_f64() + 0.5) as u64);
        ExchangePorts {
            network_out: bytes(self.network_out),
            network_in: bytes(self.network_in),
            node_out: bytes(self.node_out),
            node_in: bytes(self.node_in),
        }
    }

    /// The way back.
    pub(super) const fn reversed(self) -> Self {
        Self {
            network_out: self.network_in,
            network_in: self.network_out,
            node_out: self.node_in,
            node_in: self.node_out,
            arrived: self.arrived,
        }
    }
}

impl Exchange {
    /// Amounts of dispatch on the ports of each rank, and the nodes that a token visits on average.
    ///
    /// `copies` are the assignments that each rank receives from all sources.
    pub(super) fn ports(&self, geometry: &Geometry, copies: &[f64], out: &mut Vec<PortTokens>) -> f64 {
        out.clear();
        match self.dispatcher {
            Dispatcher::AllToAll => all_to_all(geometry, copies, out),
            Dispatcher::AllGather => self.all_gather(geometry, out),
            Dispatcher::DeepEp | Dispatcher::HybridEp => return self.once_per_node(geometry, copies, out),
        }
        f64::from(u32::try_from(geometry.ranks_on.len()).unwrap_or(u32::MAX))
    }

    /// Ring all-gather: every token of another node enters a node once, shared by the ports of its ranks, and
    /// then travels inside: `network = T (n − r) / r`, `node = T (n − 1) − network` for `n` ranks, `r` of them
    /// on the node.
    fn all_gather(&self, geometry: &Geometry, out: &mut Vec<PortTokens>) {
        let ranks = count(geometry.node.len());
        out.extend(geometry.node.iter().map(|&node| {
            let on_node = f64::from(geometry.ranks_on[node]);
            let network = self.tokens * (ranks - on_node) / on_node;
            let inside = self.tokens * (ranks - 1.0) - network;
            PortTokens {
                network_out: network,
                network_in: network,
                node_out: inside,
                node_in: inside,
                arrived: self.tokens * ranks,
            }
        }));
    }

    /// DeepEP: a token goes once to each node that it visits, to the device with the same index there, and
    /// from there once to each rank of that node that it visits.
    ///
    /// Under a limit of nodes every admitted node is visited: drawn with normal scores, DeepSeek's gate (four of eight
    /// nodes by the sum of their two best scores, then the best eight experts) sends a token to 3.97 nodes and 7.49
    /// ranks, which is what the public training trace received (1.064 and 1.072 copies for each token that came).
    fn once_per_node(&self, geometry: &Geometry, copies: &[f64], out: &mut Vec<PortTokens>) -> f64 {
        let (ranks, num_nodes) = (count(geometry.node.len()), geometry.ranks_on.len());
        let total: f64 = copies.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let mut share = vec![0.0; num_nodes];
        for (&node, &copies) in geometry.node.iter().zip(copies) {
            share[node] += copies / total;
        }
        let chosen = admitted(&share, self.max_nodes);
        // Assignments per token: top-k unless some were dropped or padded.
        let per_token = total / (ranks * self.tokens).max(f64::MIN_POSITIVE);
        let experts = self.experts
            * self
                .max_nodes
                .map_or(1.0, |most| (f64::from(most) / count(num_nodes)).min(1.0));
        let visits =
            |share: f64, chosen: f64| visit(share, chosen, self.top_k, experts).min(per_token * share);
        let limited = self.max_nodes.is_some_and(|most| (most as usize) < num_nodes);
        // Nodes are admitted for their best scores, so that a token visits every node that it is admitted to.
        let node = |(&q, &s): (&f64, &f64)| {
            if limited {
                s.min(per_token * q)
            } else {
                visits(q, s)
            }
        };
        let node_visits: Vec<f64> = share.iter().zip(&chosen).map(node).collect();
        let all_nodes: f64 = node_visits.iter().sum();
        let by_rank = geometry.node.iter().zip(copies);
        let rank_visits: Vec<f64> = by_rank
            .map(|(&node, &copies)| visits(copies / total, chosen[node]))
            .collect();
        let mut inside = vec![0.0; num_nodes];
        for (&node, visits) in geometry.node.iter().zip(&rank_visits) {
            inside[node] += visits;
        }
        let group_tokens = ranks * self.tokens;
        for (rank, &node) in geometry.node.iter().enumerate() {
            let on_node = f64::from(geometry.ranks_on[node]);
            let own = rank_visits[rank];
            out.push(PortTokens {
                network_out: self.tokens * (all_nodes - node_visits[node]),
                network_in: self.tokens * node_visits[node] * (ranks - on_node) / on_node,
                node_out: group_tokens / on_node * (inside[node] - own),
                node_in: group_tokens * own * (on_node - 1.0) / on_node,
                arrived: group_tokens * own,
            });
        }
        all_nodes
    }
}

/// All-to-all: every assignment travels as a copy of its own, from each source equally.
fn all_to_all(geometry: &Geometry, copies: &[f64], out: &mut Vec<PortTokens>) {
    let ranks = count(geometry.node.len());
    let total: f64 = copies.iter().sum();
    let mut of_node = vec![0.0; geometry.ranks_on.len()];
    for (&node, &copies) in geometry.node.iter().zip(copies) {
        of_node[node] += copies;
    }
    out.extend(geometry.node.iter().zip(copies).map(|(&node, &own)| {
        let on_node = f64::from(geometry.ranks_on[node]);
        PortTokens {
            network_out: (total - of_node[node]) / ranks,
            network_in: own * (ranks - on_node) / ranks,
            node_out: (of_node[node] - own) / ranks,
            node_in: own * (on_node - 1.0) / ranks,
            arrived: own,
        }
    }));
}

#[expect(clippy::cast_precision_loss, reason = "a group has few ranks")]
fn count(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEEP_SEEK: Exchange = Exchange {
        dispatcher: Dispatcher::DeepEp,
        tokens: 4096.0,
        top_k: 8,
        experts: 256.0,
        max_nodes: None,
        dispatch: Bytes::ZERO,
        combine: Bytes::ZERO,
    };

    fn ports(exchange: Exchange, nodes: &[u32], copies: &[f64]) -> (Vec<[f64; 4]>, f64) {
        let mut out = Vec::new();
        let visited = exchange.ports(&Geometry::of(nodes), copies, &mut out);
        let rows = out
            .iter()
            .map(|p| [p.network_out, p.network_in, p.node_out, p.node_in]);
        (rows.collect(), visited)
    }

    fn close(a: &[[f64; 4]], b: &[[f64; 4]]) {
        let same = a
            .iter()
            .flatten()
            .zip(b.iter().flatten())
            .all(|(a, b)| (a - b).abs() < 1e-9);
        assert!(same && a.len() == b.len(), "{a:?}\n{b:?}");
    }

    #[test]
    fn a_token_carries_its_scales() {
        assert_eq!(token_bytes(7168, Precision::Fp8), Bytes::new(7392));
        assert_eq!(token_bytes(7168, Precision::Bf16), Bytes::new(14_336));
    }

    /// Four ranks on two nodes, one expert each; 10 tokens per source, top 1; experts receive 20, 12, 8, 0.
    /// By hand: a quarter of each from every source.
    #[test]
    fn all_to_all_by_hand() {
        let exchange = Exchange {
            dispatcher: Dispatcher::AllToAll,
            tokens: 10.0,
            top_k: 1,
            experts: 4.0,
            ..DEEP_SEEK
        };
        let (rows, _) = ports(exchange, &[5, 5, 9, 9], &[20.0, 12.0, 8.0, 0.0]);
        close(
            &rows,
            &[
                [2.0, 10.0, 3.0, 5.0],
                [2.0, 6.0, 5.0, 3.0],
                [8.0, 4.0, 0.0, 2.0],
                [8.0, 0.0, 2.0, 0.0],
            ],
        );
    }

    /// The same ranks, 10 tokens each: 20 foreign tokens enter a node through two ports, 10 each; each rank
    /// ends with 30 foreign tokens, so 20 come from inside.
    #[test]
    fn all_gather_by_hand() {
        let exchange = Exchange {
            dispatcher: Dispatcher::AllGather,
            tokens: 10.0,
            ..DEEP_SEEK
        };
        let (rows, _) = ports(exchange, &[0, 0, 1, 1], &[1.0; 4]);
        close(&rows, &[[10.0, 10.0, 20.0, 20.0]; 4]);
    }

    /// Four ranks on two nodes, one expert each, top 2 of 4, 6 tokens per source, all experts equal.
    ///
    /// By hand: of the 6 pairs of experts one lies wholly on the other node, so a node is visited by 5/6 of
    /// tokens and a rank by 1/2. Network: 6 · 5/6 = 5 out and, from one peer per port pair, 5 in. Inside: half
    /// of the node's 24 tokens pass each forwarder, 1/2 of those go to the other rank: 6.
    #[test]
    fn once_per_node_by_hand() {
        let exchange = Exchange {
            tokens: 6.0,
            top_k: 2,
            experts: 4.0,
            ..DEEP_SEEK
        };
        let (rows, visited) = ports(exchange, &[0, 0, 1, 1], &[12.0; 4]);
        close(&rows, &[[5.0, 5.0, 6.0, 6.0]; 4]);
        assert!((visited - 5.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn nodes_per_token_of_deep_seek() {
        let nodes: Vec<u32> = (0..64).map(|rank| rank / 8).collect();
        let free = ports(DEEP_SEEK, &nodes, &[4096.0 * 8.0; 64]).1;
        assert!((free / 8.0 - 0.6618).abs() < 1e-4, "{free}");
        let limited = ports(
            Exchange {
                max_nodes: Some(4),
                ..DEEP_SEEK
            },
            &nodes,
            &[4096.0 * 8.0; 64],
        )
        .1;
        assert!((limited - 4.0).abs() < 1e-9, "{limited}");
    }

    #[test]
    fn what_leaves_arrives() {
        let nodes: Vec<u32> = (0..16).map(|rank| rank / 4).collect();
        let copies: Vec<f64> = (0..16).map(|rank| f64::from(rank * rank + 1)).collect();
        let total: f64 = copies.iter().sum();
        for dispatcher in [Dispatcher::AllToAll, Dispatcher::AllGather, Dispatcher::DeepEp] {
            for max_nodes in [None, Some(1), Some(2)] {
                let exchange = Exchange {
                    dispatcher,
                    max_nodes,
                    tokens: total / (8.0 * 16.0),
                    ..DEEP_SEEK
                };
                let (rows, _) = ports(exchange, &nodes, &copies);
                let sum = |at: usize| rows.iter().map(|row| row[at]).sum::<f64>();
                assert!(
                    (sum(0) - sum(1)).abs() < 1e-9 * (1.0 + sum(0)),
                    "{dispatcher:?} {max_nodes:?}"
                );
                assert!(
                    (sum(2) - sum(3)).abs() < 1e-9 * (1.0 + sum(2)),
                    "{dispatcher:?} {max_nodes:?}"
                );
            }
        }
    }
}
