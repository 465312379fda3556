//! Programs, lanes and rendezvous groups of a training job.

use std::collections::BTreeMap;

use orrery_operation::{Collective, CollectiveOp};
use orrery_scenario::Plan;
use orrery_scenario::cluster::Topology;
use orrery_scenario::plan::{Axis, Contention, ContextExchange, Coordinates, GroupShape, Layout};
use orrery_taskgraph::{Meeting, Resources};
use orrery_units::{Bytes, BytesPerSec, GroupId, LaneId, PathId, Seed, SimDuration};

use super::Folding;
use super::costs::gradient_op;
use super::network::NetworkMap;
use crate::cost::{CostModel, ExchangePorts};
use crate::memory::CAUSES;
use crate::routing::Router;
use crate::schedule::{next_of, previous_of};
use crate::wires::{Laid, Wires};

/// A rendezvous of which a rank is a party, and how many meetings it has attended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attendance {
    group: Option<GroupId>,
    number: u32,
    /// What this rank's transfers there load.
    way: Way,
}

/// A transfer among several: whom it meets, and the path it takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Party {
    pub(super) meeting: Meeting,
    pub(super) way: Way,
}

/// The path of a transfer, and the time that it spends between sites besides.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) path: PathId,
    pub(super) detour: SimDuration,
}

/// The lanes of one rank.
#[derive(Clone, Debug)]
pub(super) struct Lanes {
    pub(super) compute: LaneId,
    pub(super) exchange: LaneId,
    pub(super) tensor: LaneId,
    pub(super) context: LaneId,
    pub(super) data: LaneId,
    /// Per chunk: send and receive of activations, send and receive of gradients.
    pub(super) pipeline: Vec<[LaneId; 4]>,
}

/// What of a rank never changes, and the meetings it attends.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) rank: u32,
    pub(super) pipeline_rank: u32,
    /// The expert group within the stage, and the place in it.
    pub(super) expert_group: u32,
    pub(super) expert_rank: u32,
    pub(super) lanes: Lanes,
    pub(super) exchange: Attendance,
    /// The ranks that an expert is cut among.
    pub(super) expert_tensor: Attendance,
    pub(super) tensor: Attendance,
    pub(super) context: Attendance,
    pub(super) world: Attendance,
    pub(super) tied: Attendance,
    /// Per chunk: dense and expert gradient groups.
    pub(super) gradients: Vec<[Attendance; 2]>,
    /// Per chunk: the channels named in [`Lanes::pipeline`], where there is a neighbour.
    pub(super) channels: Vec<[Option<Attendance>; 4]>,
}

/// Index of a channel among the four of a chunk.
pub(super) const SEND_ACTIVATION: usize = 0;
pub(super) const RECEIVE_ACTIVATION: usize = 1;
pub(super) const SEND_GRADIENT: usize = 2;
pub(super) const RECEIVE_GRADIENT: usize = 3;

/// What a rendezvous is for; its key decides who shares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Purpose {
    /// Expert exchange: (pipeline rank, expert replica, expert-TP rank).
    Exchange(u32, u32, u32),
    /// The ranks that hold parts of the same experts: (pipeline rank, expert replica, expert rank).
    ExpertTensor(u32, u32, u32),
    /// Tensor-parallel collectives: the lowest rank of the group.
    Tensor(u32),
    /// Keys and values of context-parallel ranks: the lowest rank of the group.
    Context(u32),
    /// Everybody.
    World,
    /// First and last stage, for tied embeddings: (tensor, context, data).
    Tied(u32, u32, u32),
    /// Dense gradients: (stage, tensor rank).
    Dense(u32, u32),
    /// Expert gradients: (stage, expert-TP rank, expert rank).
    Expert(u32, u32, u32),
    /// A channel between two ranks: (receiver's rank, receiver's chunk, gradients?).
    Channel(u32, u32, bool),
}

impl Way {
    /// Shared with nobody.
    pub(super) const PRIVATE: Self = Self {
        path: Resources::PRIVATE,
        detour: SimDuration::ZERO,
    };
}

impl Attendance {
    /// The next meeting, if anybody else attends.
    pub(super) fn next(&mut self) -> Option<Party> {
        let (number, way) = (self.number, self.way);
        self.number += 1;
        self.group.map(|group| Party {
            meeting: Meeting { group, number },
            way,
        })
    }
}

/// Who shares each rendezvous, and the path of each party where links are shared.
#[derive(Debug, Default)]
struct Assembly {
    groups: BTreeMap<Purpose, GroupId>,
    ways: BTreeMap<(Purpose, u32), Way>,
}

impl Assembly {
    fn attend(&self, rank: u32, purpose: Purpose) -> Attendance {
        Attendance {
            group: self.groups.get(&purpose).copied(),
            number: 0,
            way: self.ways.get(&(purpose, rank)).copied().unwrap_or(Way::PRIVATE),
        }
    }
}

/// What a job runs on.
pub(super) struct Built {
    pub(super) resources: Resources,
    pub(super) members: Vec<Member>,
    /// Where links are shared, what became of them.
    pub(super) network: Option<NetworkMap>,
}

/// Builds the resources of `plan` and one member per simulated rank; where hashing picks routes, `seed` does.
pub(super) fn build(plan: &Plan, model: &CostModel, router: &Router, seed: Seed, folding: Folding) -> Built {
    let layout = &plan.layout;
    let mut resources = Resources::new();
    resources.causes = CAUSES.to_vec();
    let simulated: Vec<u32> = (0..layout.world())
        .filter(|&rank| folding.keeps(layout, rank))
        .collect();
    let mut parties: BTreeMap<Purpose, Vec<u32>> = BTreeMap::new();
    for &rank in &simulated {
        for purpose in purposes(layout, rank).into_iter().flatten() {
            parties.entry(purpose).or_default().push(rank);
        }
    }
    parties.retain(|_, ranks| ranks.len() > 1);
    let mut assembly = Assembly::default();
    for (&purpose, ranks) in &parties {
        let count = u32::try_from(ranks.len()).expect("a job has fewer than 2^32 ranks");
        assembly.groups.insert(purpose, resources.add_group(count));
    }
    let network = plan.cluster.fabric.contention.as_ref().map(|contention| {
        let (ways, network) = lay(plan, contention, model, router, seed, &parties, &mut resources);
        assembly.ways = ways;
        network
    });
    let members = simulated
        .iter()
        .map(|&rank| member(layout, rank, &mut resources, &assembly))
        .collect();
    Built {
        resources,
        members,
        network,
    }
}

/// The path of every party of every rendezvous that moves more than a few bytes.
fn lay(
    plan: &Plan,
    contention: &Contention,
    model: &CostModel,
    router: &Router,
    seed: Seed,
    parties: &BTreeMap<Purpose, Vec<u32>>,
    resources: &mut Resources,
) -> (BTreeMap<(Purpose, u32), Way>, NetworkMap) {
    let topology = Topology::build(contention.blueprint.clone()).expect("a plan's blueprint builds");
    let health = contention.faults.lasting(&topology);
    let mut wires = Wires::new(&topology, &health, contention, seed);
    let mut laid = Vec::new();
    for (&purpose, ranks) in parties {
        let all_reduce = CollectiveOp::AllReduce;
        let gradients = gradient_op(plan.layout.zero);
        let paths = match purpose {
            Purpose::World => continue,
            Purpose::Exchange(pipeline, replica, _) => match router.even_ports(pipeline, replica) {
                Some(ports) => {
                    let port = |&rank: &u32| ports[plan.layout.expert_place(rank).1 as usize];
                    let ports: Vec<ExchangePorts> = ranks.iter().map(port).collect();
                    wires.exchange(ranks, &ports)
                }
                None => continue,
            },
            Purpose::Tensor(_) => ring(&mut wires, plan, model, all_reduce, ranks),
            Purpose::ExpertTensor(..) => ring(&mut wires, plan, model, CollectiveOp::AllGather, ranks),
            Purpose::Context(_) if plan.layout.cp_comm == ContextExchange::AllToAll => {
                let ports = even_ports(plan.layout.shape_of(ranks));
                wires.exchange(ranks, &vec![ports; ranks.len()])
            }
            Purpose::Context(_) => ring(&mut wires, plan, model, CollectiveOp::AllGather, ranks),
            Purpose::Tied(..) => ring(&mut wires, plan, model, all_reduce, ranks),
            Purpose::Dense(..) | Purpose::Expert(..) => ring(&mut wires, plan, model, gradients, ranks),
            Purpose::Channel(receiver, ..) => {
                // The receiver waits for what the sender moves.
                let sender = ranks.iter().copied().find(|&rank| rank != receiver);
                let sender = sender.expect("a channel has two ends");
                laid.push(((purpose, sender), wires.message(sender, receiver)));
                continue;
            }
        };
        laid.extend(ranks.iter().map(|&rank| (purpose, rank)).zip(paths));
    }
    let wired = wires.install(resources);
    let way = |laid| Way {
        path: wired.path(laid),
        detour: wired.detour(laid),
    };
    let ways = laid.into_iter().map(|(party, laid)| (party, way(laid))).collect();
    let devices_per_node = contention.blueprint.domain.devices_per_node();
    (ways, NetworkMap::new(topology, wired, devices_per_node))
}

fn ring(wires: &mut Wires<'_>, plan: &Plan, model: &CostModel, op: CollectiveOp, ranks: &[u32]) -> Vec<Laid> {
    let rounds = if op == CollectiveOp::AllReduce { 2 } else { 1 };
    wires.ring(ranks, peak(plan, model, op, ranks), rounds)
}

/// What each of a group puts on its ports where it sends equally much to all others.
const fn even_ports(shape: GroupShape) -> ExchangePorts {
    let inside = Bytes::new(shape.ranks_per_node as u64 - 1);
    let beyond = Bytes::new((shape.ranks - shape.ranks_per_node) as u64);
    ExchangePorts {
        network_out: beyond,
        network_in: beyond,
        node_out: inside,
        node_in: inside,
    }
}

/// The fastest that a collective of any size among `ranks` goes, in bytes of a rank.
fn peak(plan: &Plan, model: &CostModel, op: CollectiveOp, ranks: &[u32]) -> BytesPerSec {
    /// So large that nothing but bandwidth counts.
    const LARGE: Bytes = Bytes::new(1 << 40);
    let collective = Collective {
        op,
        ranks: ranks.len() as u64,
        bytes: LARGE,
    };
    model.collective(collective, plan.layout.shape_of(ranks)).bound
}

fn member(layout: &Layout, rank: u32, resources: &mut Resources, assembly: &Assembly) -> Member {
    let attend = |purpose| assembly.attend(rank, purpose);
    let place = layout.coordinates(rank);
    let (expert_tp, expert_rank, replica) = layout.expert_place(rank);
    let program = resources.add_program(format!("rank {rank}"));
    let device = resources.add_device();
    let chunks = layout.schedule.chunks;
    let mut lane = |name| resources.add_lane(program, device, name);
    let lanes = Lanes {
        compute: lane("compute"),
        exchange: lane("expert exchange"),
        tensor: lane("tensor parallel"),
        context: lane("context parallel"),
        data: lane("data parallel"),
        pipeline: (0..chunks)
            .map(|_| {
                [
                    "send activation",
                    "receive activation",
                    "send gradient",
                    "receive gradient",
                ]
                .map(&mut lane)
            })
            .collect(),
    };
    Member {
        rank,
        pipeline_rank: place.pipeline,
        expert_group: replica,
        expert_rank,
        lanes,
        exchange: attend(Purpose::Exchange(place.pipeline, replica, expert_tp)),
        expert_tensor: attend(Purpose::ExpertTensor(place.pipeline, replica, expert_rank)),
        tensor: attend(Purpose::Tensor(layout.group(rank, Axis::Tensor)[0])),
        context: attend(Purpose::Context(layout.group(rank, Axis::Context)[0])),
        world: attend(Purpose::World),
        tied: attend(Purpose::Tied(place.tensor, place.context, place.data)),
        gradients: (0..chunks)
            .map(|chunk| gradient_purposes(layout, rank, chunk).map(&attend))
            .collect(),
        channels: (0..chunks)
            .map(|chunk| channel_purposes(layout, rank, chunk).map(|purpose| purpose.map(&attend)))
            .collect(),
    }
}

/// Every rendezvous that `rank` attends.
fn purposes(layout: &Layout, rank: u32) -> Vec<Option<Purpose>> {
    let place = layout.coordinates(rank);
    let (expert_tp, expert_rank, replica) = layout.expert_place(rank);
    let at_an_end = place.pipeline == 0 || place.pipeline == layout.pp - 1;
    let mut all = vec![
        Some(Purpose::Exchange(place.pipeline, replica, expert_tp)),
        Some(Purpose::ExpertTensor(place.pipeline, replica, expert_rank)),
        Some(Purpose::Tensor(layout.group(rank, Axis::Tensor)[0])),
        Some(Purpose::Context(layout.group(rank, Axis::Context)[0])),
        Some(Purpose::World),
        at_an_end.then_some(Purpose::Tied(place.tensor, place.context, place.data)),
    ];
    for chunk in 0..layout.schedule.chunks {
        all.extend(gradient_purposes(layout, rank, chunk).map(Some));
        all.extend(channel_purposes(layout, rank, chunk));
    }
    all
}

/// The gradient groups of the stage that `chunk` of `rank` is: dense, then experts.
fn gradient_purposes(layout: &Layout, rank: u32, chunk: u32) -> [Purpose; 2] {
    let place = layout.coordinates(rank);
    let (expert_tp, expert_rank, _) = layout.expert_place(rank);
    let stage = layout.stage_index(place.pipeline, chunk);
    [
        Purpose::Dense(stage, place.tensor),
        Purpose::Expert(stage, expert_tp, expert_rank),
    ]
}

/// The four channels of `chunk` of `rank`, where there is a neighbour: named for their receiver.
fn channel_purposes(layout: &Layout, rank: u32, chunk: u32) -> [Option<Purpose>; 4] {
    let place = layout.coordinates(rank);
    let at = |pipeline| layout.rank(Coordinates { pipeline, ..place });
    let next = next_of(layout.schedule, layout.pp, place.pipeline, chunk);
    let previous = previous_of(layout.schedule, layout.pp, place.pipeline, chunk);
    // A neighbour on the same rank needs no message.
    let other = |neighbour: Option<(u32, u32)>| neighbour.filter(|&(pipeline, _)| pipeline != place.pipeline);
    [
        other(next).map(|(pipeline, chunk)| Purpose::Channel(at(pipeline), chunk, false)),
        other(previous).map(|_| Purpose::Channel(rank, chunk, false)),
        other(previous).map(|(pipeline, chunk)| Purpose::Channel(at(pipeline), chunk, true)),
        other(next).map(|_| Purpose::Channel(rank, chunk, true)),
    ]
}
