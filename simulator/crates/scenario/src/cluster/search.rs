//! Shortest ways over the explicit graph: the slow and obvious twin of the routes by rule, and what is left when
//! lost links break the rules.

use orrery_units::{DeviceId, LinkId};

use super::fault::Health;
use super::link::{LinkKind, VertexId, VertexKind, at};
use super::route::{Hop, Route};
use super::topology::{Topology, is_of_fabric};

/// What a way may go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Through {
    /// In and out at the NICs that the two devices use; no device forwards but over scale-up links inside its
    /// own domain.
    OwnNics,
    /// Any NIC of the two domains, and other devices of them that scale-up links lead to.
    Anything,
}

/// Breadth-first search with buffers that are kept.
#[derive(Debug, Default)]
pub struct Search {
    queue: Vec<VertexId>,
    next: Vec<u32>,
}

/// No link leads on from here yet.
const UNSEEN: u32 = u32::MAX;

impl Search {
    /// A way of fewest links from one device to the other into `route`; false when there is none. `turn`, from 0
    /// to 1, turns the order in which equal next hops are tried.
    pub fn path(
        &mut self,
        topology: &Topology,
        health: &Health,
        (from, to): (DeviceId, DeviceId),
        through: Through,
        turn: f64,
        route: &mut Route,
    ) -> bool {
        route.hops.clear();
        let (source, target) = (topology.device(from), topology.device(to));
        let walls = Walls {
            topology,
            source,
            target,
            through,
            nics: [from, to].map(|device| {
                let nic = topology.nic_of(device)?;
                Some(topology.nic(topology.node_of(device), nic))
            }),
        };
        self.next.clear();
        self.next.resize(at(topology.num_vertices()), UNSEEN);
        self.queue.clear();
        self.queue.push(target);
        let mut head = 0;
        while head < self.queue.len() && self.next[at(source.get())] == UNSEEN {
            let vertex = self.queue[head];
            head += 1;
            self.visit(&walls, health, vertex, turn);
        }
        let mut vertex = source;
        while vertex != target {
            let link = self.next[at(vertex.get())];
            if link == UNSEEN {
                return false;
            }
            let link = LinkId::new(link);
            route.hops.push(Hop { link, share: 1.0 });
            vertex = topology.ends(link).1;
        }
        true
    }

    /// Gives every vertex from which a live link leads to `vertex` that link, unless it has a better one.
    fn visit(&mut self, walls: &Walls<'_>, health: &Health, vertex: VertexId, turn: f64) {
        let topology = walls.topology;
        let count = topology.out(vertex).count();
        let skip = first(count, turn);
        let turned = topology
            .out(vertex)
            .skip(skip)
            .chain(topology.out(vertex).take(skip));
        for link in turned {
            let before = topology.ends(link).1;
            let is_new = before != walls.target && self.next[at(before.get())] == UNSEEN;
            // Every cable has both directions; of parallel ones the first live one is taken.
            let back = is_new.then(|| {
                topology
                    .out(before)
                    .find(|&back| topology.ends(back).1 == vertex && health.is_alive(back))
            });
            if let Some(Some(back)) = back
                && walls.may_enter(before)
                && walls.may_pass(back, vertex, self.next[at(vertex.get())])
            {
                self.next[at(before.get())] = back.get();
                self.queue.push(before);
            }
        }
    }
}

/// Where among `count` the turned order begins.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of a count, not negative"
)]
fn first(count: usize, turn: f64) -> usize {
    (turn * count as f64) as usize
}

/// What a way may not do.
#[derive(Debug)]
struct Walls<'a> {
    topology: &'a Topology,
    source: VertexId,
    target: VertexId,
    through: Through,
    nics: [Option<VertexId>; 2],
}

impl Walls<'_> {
    /// Other domains are not entered, nor others' NICs where that is asked.
    fn may_enter(&self, vertex: VertexId) -> bool {
        let domain = self.topology.domain_of(vertex);
        if domain.is_none() {
            return true;
        }
        let ours = [self.source, self.target]
            .map(|end| self.topology.domain_of(end))
            .contains(&domain);
        let is_nic = self.topology.kind(vertex) == VertexKind::Nic;
        ours && (!is_nic || self.through == Through::Anything || self.nics.contains(&Some(vertex)))
    }

    /// Whether what comes over `back` may go on from `vertex` over `next`: a NIC only joins its host to the
    /// fabric; a device forwards only between scale-up links and its NIC.
    fn may_pass(&self, back: LinkId, vertex: VertexId, next: u32) -> bool {
        if vertex == self.target {
            return true;
        }
        let kind = |link: LinkId| self.topology.wire(link).kind;
        let (arrives, leaves) = (kind(back), kind(LinkId::new(next)));
        match self.topology.kind(vertex) {
            VertexKind::Nic => is_of_fabric(arrives) != is_of_fabric(leaves),
            VertexKind::Device => {
                let scale_up = [arrives, leaves].map(|kind| kind == LinkKind::ScaleUp);
                match self.through {
                    Through::OwnNics => scale_up == [true, true],
                    Through::Anything => scale_up.contains(&true),
                }
            }
            _ => true,
        }
    }
}
