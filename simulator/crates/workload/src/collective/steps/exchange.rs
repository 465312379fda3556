//! An exchange as flows per source and destination node, so that every rank ends by itself.
//!
//! What a rank has for a node leaves by its NIC and arrives at the rank of its own place there, which hands it on
//! over the node's own network as it comes; what it has for its own node stays on that network.

use orrery_taskgraph::{PathUse, Resources};
use orrery_units::{Bytes, LaneId, PathId, SimDuration, SimTime};

use super::feeder::{Algorithm, Feeder, Message};
use super::ports::Wiring;
use super::{Detailed, Ports};

/// Who sends how much to whom, and over what.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    /// Bytes by sender, then by receiver; what a rank has for itself does not move.
    pub bytes: Vec<Vec<Bytes>>,
    /// Ranks of a node.
    pub ranks_per_node: u32,
    /// The NIC of every rank.
    pub network: Ports,
    /// The port of every rank into its node's own network.
    pub node: Ports,
}

/// Flows of an exchange, and when the last byte reached each rank.
#[derive(Debug)]
pub struct Split {
    feeder: Feeder<Flows>,
}

#[derive(Debug)]
struct Flows {
    flows: Vec<Flow>,
    /// By rank, when the last flow that carried something for it ended.
    ends: Vec<SimTime>,
    network: Ports,
    node: Ports,
}

#[derive(Clone, Debug)]
struct Flow {
    lane: LaneId,
    path: PathId,
    bytes: Bytes,
    /// The ranks it carries something for.
    receivers: Vec<u32>,
    is_inside: bool,
}

impl Exchange {
    /// Ranks.
    #[must_use]
    pub fn ranks(&self) -> u32 {
        u32::try_from(self.bytes.len()).expect("fewer than 2^32 ranks")
    }

    fn nodes(&self) -> u32 {
        self.ranks() / self.ranks_per_node
    }

    fn members(&self, node: u32) -> std::ops::Range<u32> {
        node * self.ranks_per_node..(node + 1) * self.ranks_per_node
    }

    fn of(&self, from: u32, to: u32) -> Bytes {
        if from == to {
            Bytes::ZERO
        } else {
            self.bytes[from as usize][to as usize]
        }
    }

    /// What `from` has for the ranks of `node`.
    fn for_node(&self, from: u32, node: u32) -> Bytes {
        self.members(node).map(|to| self.of(from, to)).sum()
    }

    /// Time of the busiest port: no exchange that starts at once is faster.
    ///
    /// `max over ports of bytes / capacity`, with what arrives at one rank for its neighbours handed on by it.
    #[must_use]
    pub fn port_bound(&self) -> SimDuration {
        let mut longest = SimDuration::ZERO;
        for rank in 0..self.ranks() {
            let place = rank % self.ranks_per_node;
            let own = rank / self.ranks_per_node;
            let others = || (0..self.nodes()).filter(move |&node| node != own);
            let out: Bytes = others().map(|node| self.for_node(rank, node)).sum();
            // What comes by this NIC is from the ranks of its place.
            let rail = || others().map(move |node| node * self.ranks_per_node + place);
            let into: Bytes = rail().map(|from| self.for_node(from, own)).sum();
            let handed: Bytes = rail()
                .map(|from| self.for_node(from, own) - self.of(from, rank))
                .sum();
            let inside: Bytes = self.for_node(rank, own);
            let received: Bytes = (0..self.ranks())
                .filter(|&from| from % self.ranks_per_node != place || from / self.ranks_per_node == own)
                .map(|from| self.of(from, rank))
                .sum();
            for bytes in [out, into] {
                longest = longest.max(bytes / self.network.rate);
            }
            for bytes in [handed + inside, received] {
                longest = longest.max(bytes / self.node.rate);
            }
        }
        longest
    }

    /// The flows, ready to run.
    ///
    /// # Panics
    /// When the table is not square or not of whole nodes.
    #[must_use]
    pub fn split(&self) -> Split {
        let ranks = self.ranks();
        assert!(
            ranks.is_multiple_of(self.ranks_per_node),
            "an exchange is among whole nodes"
        );
        let mut resources = Resources::new();
        let network = Wiring::new(&mut resources, ranks, "the network", self.network.rate);
        let inside = Wiring::new(&mut resources, ranks, "the node", self.node.rate);
        let mut flows = Vec::new();
        for from in 0..ranks {
            let row = &self.bytes[from as usize];
            assert!(
                row.len() == self.bytes.len(),
                "every rank says what it has for each"
            );
            let program = resources.add_program(format!("rank {from}"));
            let device = resources.add_device();
            let own = from / self.ranks_per_node;
            for node in 0..self.nodes() {
                let bytes = self.for_node(from, node);
                if bytes == Bytes::ZERO {
                    continue;
                }
                let rail = node * self.ranks_per_node + from % self.ranks_per_node;
                let mut uses: Vec<PathUse> = Vec::new();
                if node != own {
                    uses.extend([network.out_of(from, 1.0), network.in_to(rail, 1.0)]);
                }
                let (handing, stays) = if node == own {
                    (from, Bytes::ZERO)
                } else {
                    (rail, self.of(from, rail))
                };
                let share = |part: Bytes| part.as_f64() / bytes.as_f64();
                if bytes > stays {
                    uses.push(inside.out_of(handing, share(bytes - stays)));
                }
                for to in self.members(node).filter(|&to| to != handing) {
                    if self.of(from, to) > Bytes::ZERO {
                        uses.push(inside.in_to(to, share(self.of(from, to))));
                    }
                }
                flows.push(Flow {
                    lane: resources.add_lane(program, device, "exchange"),
                    path: resources.add_path(uses),
                    bytes,
                    receivers: self
                        .members(node)
                        .filter(|&to| self.of(from, to) > Bytes::ZERO)
                        .collect(),
                    is_inside: node == own,
                });
            }
        }
        let flows = Flows {
            flows,
            ends: vec![SimTime::ZERO; self.bytes.len()],
            network: self.network,
            node: self.node,
        };
        Split {
            feeder: Feeder::new(resources, flows),
        }
    }
}

impl Split {
    /// What an engine runs.
    pub const fn driver(&mut self) -> &mut impl Detailed {
        &mut self.feeder
    }

    /// Once it has run, when each rank had all that was for it.
    #[must_use]
    pub fn ends(&self) -> &[SimTime] {
        &self.feeder.algorithm.ends
    }

    /// Number of flows.
    #[must_use]
    pub const fn num_flows(&self) -> usize {
        self.feeder.algorithm.flows.len()
    }
}

impl Algorithm for Flows {
    type Name = usize;

    fn begin(&mut self, ready: &mut Vec<Message<usize>>) {
        let messages = self.flows.iter().enumerate().map(|(name, flow)| {
            let ports = if flow.is_inside { self.node } else { self.network };
            Message {
                lane: flow.lane,
                path: flow.path,
                bytes: flow.bytes,
                latency: ports.latency,
                bound: ports.rate,
                name,
            }
        });
        ready.extend(messages);
    }

    fn arrived(&mut self, name: usize, now: SimTime, _ready: &mut Vec<Message<usize>>) {
        for &rank in &self.flows[name].receivers {
            self.ends[rank as usize] = now;
        }
    }
}
