//! The double binary tree of an all-reduce, chunk by chunk.
//!
//! Sanders, Speck and Träff, "Two-tree algorithms for full bandwidth broadcast, reduction and scan", Parallel
//! Computing 35 (2009): half of the data goes over each of two binary trees, in which the inner ranks of one are
//! leaves of the other. Chunks go up to the root, reduced on the way, and down again, one behind the other.

use std::collections::VecDeque;

use orrery_taskgraph::Resources;
use orrery_units::{Bytes, DeviceId, LaneId, PathId, ProgramId, SimDuration, SimTime};

use super::feeder::{Algorithm, Feeder, Message};
use super::ports::Wiring;
use super::{Detailed, Ports};

/// An all-reduce over two trees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DoubleTree {
    /// Ranks, at least two.
    pub ranks: u32,
    /// What every rank holds.
    pub bytes: Bytes,
    /// What goes over an edge at once.
    pub chunk: Bytes,
}

/// Where a rank stands in one tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Place {
    parent: Option<u32>,
    children: Vec<u32>,
}

/// Chunks that an edge is ahead of who hands them on: a receiver has room for so many (`NCCL_STEPS`).
const SLOTS: u32 = 8;

/// One direction of one edge of one tree.
#[derive(Debug)]
struct Edge {
    /// One chunk after the other goes over an edge; edges of a rank share its ports.
    lane: LaneId,
    path: PathId,
    to: u32,
    /// Chunks that the receiver has no room for yet, in order.
    waiting: VecDeque<u32>,
}

/// Which message: of a tree, up or down, from a rank to another, with a chunk.
#[derive(Clone, Copy, Debug)]
struct Name {
    tree: usize,
    is_up: bool,
    from: u32,
    to: u32,
    chunk: u32,
}

/// A rank in one tree while chunks pass.
#[derive(Debug)]
struct Node {
    place: Place,
    up: Option<Edge>,
    down: Vec<Edge>,
    /// By chunk, from how many children it has come.
    gathered: Vec<u8>,
    /// By chunk, to how many children it has gone.
    spread: Vec<u8>,
    /// Chunks that were handed on upward, and downward.
    passed: [u32; 2],
}

#[derive(Debug)]
struct Chunks {
    tree: DoubleTree,
    ports: Ports,
    /// By tree, then by rank.
    nodes: [Vec<Node>; 2],
}

/// Time of an all-reduce over two trees when nothing else uses the ports.
///
/// Every rank sends each half up once and, where it is inner, down twice: `2 S` in all, as in a ring of many
/// ranks. Before that the first chunk goes up and down the tree, `2 d` edges of depth `d = ⌈log₂ n⌉`, on ports that
/// are hardly used yet: `2 d (α + c / B) + 2 (S − c) / B`. Worked: 64 ranks, 64 MiB in chunks of 64 KiB at 50 GB/s
/// and 1 us: 12 · 2.31 us + 2.68 ms = 2.71 ms.
#[must_use]
pub fn closed_form(tree: DoubleTree, ports: Ports) -> SimDuration {
    let depth = tree.ranks.next_power_of_two().trailing_zeros();
    let edge = ports.latency + tree.chunk / ports.rate;
    let rest = Bytes::new(2 * tree.bytes.get().saturating_sub(tree.chunk.get()));
    edge * u64::from(2 * depth) + rest / ports.rate
}

impl DoubleTree {
    /// Every chunk over every edge, over ports that all ranks have.
    #[must_use]
    pub fn unfolded(self, ports: Ports) -> impl Detailed {
        let mut resources = Resources::new();
        let wiring = Wiring::new(&mut resources, self.ranks, "the trees", ports.rate);
        for rank in 0..self.ranks {
            resources.add_program(format!("rank {rank}"));
            resources.add_device();
        }
        let mut edge = |from: u32, to: u32| Edge {
            lane: resources.add_lane(ProgramId::new(from), DeviceId::new(from), "send"),
            path: resources.add_path(vec![wiring.out_of(from, 1.0), wiring.in_to(to, 1.0)]),
            to,
            waiting: VecDeque::new(),
        };
        let num_chunks = self.num_chunks() as usize;
        let nodes = [0, 1].map(|tree| {
            let node = |rank: u32| {
                let place = self.place(tree, rank);
                Node {
                    up: place.parent.map(|parent| edge(rank, parent)),
                    down: place.children.iter().map(|&child| edge(rank, child)).collect(),
                    gathered: vec![0; num_chunks],
                    spread: vec![0; num_chunks],
                    passed: [0, 0],
                    place,
                }
            };
            (0..self.ranks).map(node).collect()
        });
        let chunks = Chunks {
            tree: self,
            ports,
            nodes,
        };
        Feeder::new(resources, chunks)
    }

    /// Chunks of each half.
    fn num_chunks(self) -> u32 {
        let half = self.bytes.get().div_ceil(2);
        u32::try_from(half.div_ceil(self.chunk.get()).max(1)).expect("fewer than 2^32 chunks")
    }

    /// Bytes of chunk number `chunk` of the half of `tree`.
    fn chunk_bytes(self, tree: usize, chunk: u32) -> Bytes {
        let all = self.bytes.get();
        let half = if tree == 0 { all.div_ceil(2) } else { all / 2 };
        let begin = u64::from(chunk) * self.chunk.get();
        Bytes::new(half.saturating_sub(begin).min(self.chunk.get()))
    }

    /// Where `rank` stands in `tree`: the second is the first mirrored, or turned by one for an odd number.
    fn place(self, tree: usize, rank: u32) -> Place {
        let ranks = self.ranks;
        if tree == 0 {
            return binary(ranks, rank);
        }
        if ranks.is_multiple_of(2) {
            let mirror = |rank: u32| ranks - 1 - rank;
            return binary(ranks, mirror(rank)).renamed(mirror);
        }
        binary(ranks, (rank + ranks - 1) % ranks).renamed(|rank| (rank + 1) % ranks)
    }
}

/// Where `rank` stands in a binary tree over all ranks in order, in which every odd rank is a leaf.
///
/// The lowest bit that is set of a rank is its height: its parent has the next higher one set instead. Above rank
/// 0 there is nothing.
fn binary(ranks: u32, rank: u32) -> Place {
    let height = if rank == 0 {
        ranks.next_power_of_two()
    } else {
        1 << rank.trailing_zeros()
    };
    let parent = (rank != 0).then(|| {
        let over = (rank ^ height) | (height << 1);
        if over >= ranks { rank ^ height } else { over }
    });
    let mut children = Vec::new();
    let below = height >> 1;
    if rank != 0 && below > 0 {
        children.push(rank - below);
    }
    let mut step = below;
    while step > 0 && rank + step >= ranks {
        step >>= 1;
    }
    if step > 0 {
        children.push(rank + step);
    }
    Place { parent, children }
}

impl Place {
    fn renamed(self, name: impl Fn(u32) -> u32) -> Self {
        Self {
            parent: self.parent.map(&name),
            children: self.children.into_iter().map(name).collect(),
        }
    }
}

impl Chunks {
    /// `rank` holds the sum of `chunk` from all below it: it goes up, or from the root down.
    fn gathered(&mut self, tree: usize, rank: u32, chunk: u32, ready: &mut Vec<Message<Name>>) {
        match &mut self.nodes[tree][rank as usize].up {
            Some(edge) => {
                edge.waiting.push_back(chunk);
                self.send_up(tree, rank, ready);
            }
            None => self.spread(tree, rank, chunk, ready),
        }
    }

    /// `rank` holds the sum of `chunk` from all ranks: it goes down, if anybody is below.
    fn spread(&mut self, tree: usize, rank: u32, chunk: u32, ready: &mut Vec<Message<Name>>) {
        let node = &mut self.nodes[tree][rank as usize];
        for edge in &mut node.down {
            edge.waiting.push_back(chunk);
        }
        for child in 0..node.down.len() {
            self.send_down(tree, rank, child, ready);
        }
        if self.nodes[tree][rank as usize].down.is_empty() {
            self.passed_down(tree, rank, ready);
        }
    }

    /// Sends what waits on the edge above `rank` and has room.
    fn send_up(&mut self, tree: usize, rank: u32, ready: &mut Vec<Message<Name>>) {
        let Some(edge) = &self.nodes[tree][rank as usize].up else {
            return;
        };
        let room = self.nodes[tree][edge.to as usize].passed[0] + SLOTS;
        let node = &mut self.nodes[tree][rank as usize];
        if let Some(edge) = &mut node.up {
            drain(edge, room, (self.tree, self.ports), (tree, true, rank), ready);
        }
    }

    /// Sends what waits on the edge from `rank` to its child at `child` and has room.
    fn send_down(&mut self, tree: usize, rank: u32, child: usize, ready: &mut Vec<Message<Name>>) {
        let to = self.nodes[tree][rank as usize].down[child].to;
        let room = self.nodes[tree][to as usize].passed[1] + SLOTS;
        let edge = &mut self.nodes[tree][rank as usize].down[child];
        drain(edge, room, (self.tree, self.ports), (tree, false, rank), ready);
    }

    /// `rank` has handed one more chunk on upward: its children may send another.
    fn passed_up(&mut self, tree: usize, rank: u32, ready: &mut Vec<Message<Name>>) {
        let node = &mut self.nodes[tree][rank as usize];
        node.passed[0] += 1;
        for child in node.place.children.clone() {
            self.send_up(tree, child, ready);
        }
    }

    /// `rank` has handed one more chunk on downward: its parent may send it another.
    fn passed_down(&mut self, tree: usize, rank: u32, ready: &mut Vec<Message<Name>>) {
        let node = &mut self.nodes[tree][rank as usize];
        node.passed[1] += 1;
        match node.place.parent {
            Some(parent) => {
                let children = &self.nodes[tree][parent as usize].place.children;
                let child = children.iter().position(|&child| child == rank);
                self.send_down(tree, parent, child.expect("it is a child of its parent"), ready);
            }
            // What the root hands on downward has come to it from below.
            None => self.passed_up(tree, rank, ready),
        }
    }
}

/// Sends the chunks of `edge` below `room`.
fn drain(
    edge: &mut Edge,
    room: u32,
    (double, ports): (DoubleTree, Ports),
    (tree, is_up, from): (usize, bool, u32),
    ready: &mut Vec<Message<Name>>,
) {
    while let Some(chunk) = edge.waiting.pop_front_if(|chunk| *chunk < room) {
        ready.push(Message {
            lane: edge.lane,
            path: edge.path,
            bytes: double.chunk_bytes(tree, chunk),
            latency: ports.latency,
            bound: ports.rate,
            name: Name {
                tree,
                is_up,
                from,
                to: edge.to,
                chunk,
            },
        });
    }
}

impl Algorithm for Chunks {
    type Name = Name;

    fn begin(&mut self, ready: &mut Vec<Message<Name>>) {
        for chunk in 0..self.tree.num_chunks() {
            for tree in 0..2 {
                for rank in 0..self.tree.ranks {
                    let is_leaf = self.nodes[tree][rank as usize].place.children.is_empty();
                    if is_leaf && self.tree.chunk_bytes(tree, chunk) > Bytes::ZERO {
                        self.gathered(tree, rank, chunk, ready);
                    }
                }
            }
        }
    }

    fn arrived(&mut self, name: Name, _now: SimTime, ready: &mut Vec<Message<Name>>) {
        let Name {
            tree,
            is_up,
            from,
            to,
            chunk,
        } = name;
        if is_up {
            self.passed_up(tree, from, ready);
            let node = &mut self.nodes[tree][to as usize];
            let gathered = &mut node.gathered[chunk as usize];
            *gathered += 1;
            if usize::from(*gathered) == node.place.children.len() {
                self.gathered(tree, to, chunk, ready);
            }
            return;
        }
        let node = &mut self.nodes[tree][from as usize];
        let spread = &mut node.spread[chunk as usize];
        *spread += 1;
        if usize::from(*spread) == node.down.len() {
            self.passed_down(tree, from, ready);
        }
        self.spread(tree, to, chunk, ready);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every rank but one has a parent, whose child it is, and the inner ranks of one tree are leaves of the other.
    #[test]
    fn both_trees_span_all_ranks() {
        for ranks in 2..70 {
            let double = DoubleTree {
                ranks,
                bytes: Bytes::new(1 << 20),
                chunk: Bytes::new(1 << 10),
            };
            for tree in 0..2 {
                let places: Vec<Place> = (0..ranks).map(|rank| double.place(tree, rank)).collect();
                let roots = places.iter().filter(|place| place.parent.is_none()).count();
                assert_eq!(roots, 1, "{ranks} ranks, tree {tree}");
                for (rank, place) in (0..ranks).zip(&places) {
                    assert!(place.children.len() <= 2, "a binary tree");
                    let is_child = |parent: u32| places[parent as usize].children.contains(&rank);
                    assert!(place.parent.is_none_or(is_child), "{ranks} ranks, rank {rank}");
                    // Up to the root in at most as many steps as the tree is deep.
                    let mut at = rank;
                    let mut climbed = 0;
                    while let Some(parent) = places[at as usize].parent {
                        at = parent;
                        climbed += 1;
                    }
                    assert!(
                        climbed <= ranks.next_power_of_two().trailing_zeros(),
                        "{ranks} ranks, rank {rank}"
                    );
                }
            }
            let is_inner = |tree, rank| double.place(tree, rank).children.len() == 2;
            let both = (0..ranks)
                .filter(|&rank| is_inner(0, rank) && is_inner(1, rank))
                .count();
            assert_eq!(both, 0, "{ranks} ranks");
        }
    }

    #[test]
    fn the_worked_number() {
        let tree = DoubleTree {
            ranks: 64,
            bytes: Bytes::new(64 << 20),
            chunk: Bytes::new(64 << 10),
        };
        let ports = Ports {
            rate: orrery_units::BytesPerSec::new(50e9),
            latency: SimDuration::from_micros(1),
        };
        let time = closed_form(tree, ports).as_secs();
        assert!((time - 2.71e-3).abs() < 5e-6, "{time}");
    }
}
