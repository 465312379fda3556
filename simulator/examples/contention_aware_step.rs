//! Measures a step in which collectives share the links of the cluster: 1,024 devices, 61 layers with experts,
//! 16 expert groups of 64 over eight nodes each, 32 microbatches, four exchanges a layer and microbatch: 124,928
//! collectives, each one activity over all of its ports, overlapped with compute as in DualPipe.
//!
//! Usage: `cargo run --release -p orrery --example contention_aware_step [draws]`.
//!
//! Flows keep to the path that hashing gives them (static ECMP over 16 spines), so that the step depends on the
//! draw: the command runs `draws` of them (20 unless it says) and prints the median and the 95th percentile, beside
//! adaptive routing and paths of one's own. Nodes of a group lie 16 apart, so that every group crosses the spines;
//! leaves are oversubscribed 2:1. Compute phases take the means of the public training trace
//! (tests/truth/deepseek_v3_train_profile_phases.csv); exchanges the bytes of drawn routing and the times of the
//! H800 profile. A program stands for the 64 ranks of a group, which meet at every exchange anyway: its experts
//! take as long as those of its hottest rank.
#![expect(
    clippy::print_stdout,
    reason = "a measuring program reads the clock and prints; the engine does neither"
)]

use std::time::{Duration, Instant};

use orrery::pipeline::load;
use orrery::scenario::Plan;
use orrery_engine::{Options, RunControl, run};
use orrery_scenario::cluster::Topology;
use orrery_scenario::plan::{Contention, GroupShape};
use orrery_taskgraph::{Demand, Driver, PathUse, Pulled, Resources, Sequence, Sink, Tag, Task, Work};
use orrery_units::{Bytes, BytesPerSec, Flops, KindId, LaneId, LinkId, PathId, ProgramId, Seed, SimDuration};
use orrery_workload::cost::{CostModel, ExchangePorts, Transfer};
use orrery_workload::routing::Router;
use orrery_workload::wires::Wires;

const LAYERS: u32 = 61;
const MICROBATCHES: u32 = 32;
const GROUPS: u32 = 16;
const RANKS: u32 = 64;
const PER_NODE: u32 = 8;

const SCENARIO: &str = r#"schema = "scenario/1"

[scenario]
name = "contention-aware-step"
kind = "training"

[model]
from     = "catalog"
name     = "deepseek-v3"
override = { dense_layers = [], mtp_layers = 0 }

[cluster]
nodes = 128

[cluster.node]
gpu      = "H800-SXM5-80GB"
gpus     = 8
scale_up = { kind = "nvswitch", per_gpu = "200 GB/s", direction = "each-way" }
nics     = { count = 8, rate = "400 Gbit/s" }

[cluster.fabric]
oversubscription = 2.0
spines           = 16

[parallel]
ep = 64

[training]
seq_len      = 4096
global_batch = 32768
micro_batch  = 1
precision    = "fp8"

[stack]
name         = "deepseek"
dispatcher   = "deepep"
sms_for_comm = 20

[routing]
kind      = "lognormal"
sigma     = 0.51
max_nodes = 4

[calibration]
profile = "h800-deepseek-2025-02"
"#;

/// Mean times of the compute phases of the trace.
#[derive(Clone, Copy, Debug)]
struct Phases {
    attention_forward: f64,
    attention_backward: f64,
    attention_weight: f64,
    experts_forward: f64,
    experts_backward: f64,
    experts_weight: f64,
}

impl Phases {
    fn read() -> Self {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/truth/deepseek_v3_train_profile_phases.csv"
        );
        let text = std::fs::read_to_string(path).expect("the repository holds the trace's phases");
        let mean = |phase: &str| {
            let busy = |line: &str| {
                let fields: Vec<&str> = line.split(',').collect();
                let is_it = fields.get(1) == Some(&phase) && fields.get(4) == Some(&"7");
                is_it.then(|| fields[7].parse::<f64>().expect("a time in us"))
            };
            let times: Vec<f64> = text.lines().filter_map(busy).collect();
            times.iter().sum::<f64>() / f64::from(u32::try_from(times.len()).expect("few")) * 1e-6
        };
        Self {
            attention_forward: mean("attn(F)"),
            attention_backward: mean("attn(B)"),
            attention_weight: mean("attn(W)"),
            experts_forward: mean("mlp(F)"),
            experts_backward: mean("mlp(B)"),
            experts_weight: mean("mlp(W)"),
        }
    }
}

/// One program for each expert group.
struct Groups<'p> {
    resources: Resources,
    paths: Vec<PathId>,
    router: Router,
    model: &'p CostModel,
    phases: Phases,
    at: Vec<Place>,
    exchanges: u64,
}

/// Where a program stands: the microbatch that goes forward, the layer, and what its chains wait for.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    microbatch: u32,
    layer: u32,
    forward: Option<Sequence>,
    backward: Option<Sequence>,
}

/// The ranks of a group: devices of nodes that lie `GROUPS` apart.
fn ranks_of(group: u32) -> Vec<u32> {
    (0..RANKS)
        .map(|rank| (group + rank / PER_NODE * GROUPS) * PER_NODE + rank % PER_NODE)
        .collect()
}

impl<'p> Groups<'p> {
    fn new(plan: &Plan, model: &'p CostModel, contention: Option<&Contention>, seed: Seed) -> Self {
        // Loads are the same in every draw: only routes differ.
        let router = Router::new(plan, plan.run.seed);
        let mut resources = Resources::new();
        let paths = match contention {
            None => vec![Resources::PRIVATE; GROUPS as usize],
            Some(contention) => lay(contention, &router, seed, &mut resources),
        };
        for group in 0..GROUPS {
            let program = resources.add_program(format!("expert group {group}"));
            let device = resources.add_device();
            resources.add_lane(program, device, "compute");
            resources.add_lane(program, device, "exchange");
        }
        Self {
            resources,
            paths,
            router,
            model,
            phases: Phases::read(),
            at: vec![Place::default(); GROUPS as usize],
            exchanges: 0,
        }
    }

    /// The exchange of a layer: the hottest rank's time, and the mean bytes on every port.
    fn exchange(&mut self, group: u32, layer: u32, microbatch: u32, dispatch: bool) -> Transfer {
        self.exchanges += 1;
        let load = self.router.load(group, layer, 0, microbatch);
        let ports = |rank| {
            if dispatch {
                load.dispatch_ports(rank)
            } else {
                load.combine_ports(rank)
            }
        };
        let shape = GroupShape {
            ranks: RANKS,
            ranks_per_node: PER_NODE,
            nodes: RANKS / PER_NODE,
        };
        let all: Vec<ExchangePorts> = (0..RANKS).map(ports).collect();
        let mean = all.iter().map(|ports| ports.moved().as_f64()).sum::<f64>() / f64::from(RANKS);
        let slowest = all.iter().map(|ports| self.model.exchange(ports, shape));
        let slowest = slowest.max_by_key(|transfer| transfer.bytes / transfer.bound);
        let slowest = slowest.expect("a group has ranks");
        let seconds = (slowest.bytes / slowest.bound).as_secs();
        Transfer {
            bytes: Bytes::from_f64(mean),
            bound: BytesPerSec::new(mean / seconds),
            ..slowest
        }
    }
}

/// The path of each group's exchanges: those of its 64 ranks together.
fn lay(contention: &Contention, router: &Router, seed: Seed, resources: &mut Resources) -> Vec<PathId> {
    let topology = Topology::build(contention.blueprint.clone()).expect("a plan's blueprint builds");
    let health = contention.faults.lasting(&topology);
    let mut wires = Wires::new(&topology, &health, contention, seed);
    let ports = router.even_ports(0, 0).expect("the model has experts");
    let laid: Vec<_> = (0..GROUPS)
        .map(|group| wires.exchange(&ranks_of(group), &ports))
        .collect();
    let wired = wires.install(resources);
    let mut sums = vec![0.0; resources.links.len()];
    let of_group = |laid: Vec<orrery_workload::wires::Laid>| {
        for usage in laid.iter().flat_map(|one| &resources.paths[wired.path(*one)]) {
            sums[usage.link.index()] += usage.weight;
        }
        let taken = (0u32..).zip(&mut sums).filter(|(_, sum)| **sum > 0.0);
        let uses = taken.map(|(link, sum)| PathUse {
            link: LinkId::new(link),
            weight: std::mem::take(sum),
        });
        uses.collect::<Vec<PathUse>>()
    };
    let uses: Vec<Vec<PathUse>> = laid.into_iter().map(of_group).collect();
    uses.into_iter().map(|uses| resources.add_path(uses)).collect()
}

/// Emits tasks of one program.
struct Emit<'a, 's> {
    sink: &'a mut Sink<'s>,
    program: ProgramId,
    tag: Tag,
}

impl Emit<'_, '_> {
    fn compute(&mut self, seconds: f64, after: Option<Sequence>) -> Option<Sequence> {
        let work = Work::Compute {
            alone: SimDuration::from_secs(seconds),
            demand: Demand {
                units: 1.0,
                bandwidth: 0.4,
            },
            flops: Flops::ZERO,
        };
        self.push(LaneId::new(self.program.get() * 2), 0, work, after)
    }

    fn exchange(&mut self, transfer: &Transfer, path: PathId, after: Option<Sequence>) -> Option<Sequence> {
        self.push(
            LaneId::new(self.program.get() * 2 + 1),
            1,
            transfer.work(path),
            after,
        )
    }

    fn push(&mut self, lane: LaneId, kind: u32, work: Work, after: Option<Sequence>) -> Option<Sequence> {
        let task = Task::new(lane, KindId::new(kind), work);
        Some(self.sink.push(Task {
            tag: self.tag,
            after: after.into_iter().collect(),
            ..task
        }))
    }
}

impl Driver for Groups<'_> {
    fn resources(&self) -> &Resources {
        &self.resources
    }

    /// One layer of a forward microbatch and of the backward microbatch before it, each hiding the other's
    /// exchanges.
    fn pull(&mut self, program: ProgramId, sink: &mut Sink<'_>) -> Pulled {
        let group = program.get();
        let mut place = self.at[group as usize];
        if place.microbatch > MICROBATCHES {
            return Pulled::Ended;
        }
        let (path, phases) = (self.paths[group as usize], self.phases);
        let forward = (place.microbatch < MICROBATCHES).then_some((place.microbatch, place.layer));
        let backward = place
            .microbatch
            .checked_sub(1)
            .map(|m| (m, LAYERS - 1 - place.layer));
        let hot = |router: &mut Router, (m, layer): (u32, u32)| router.load(group, layer, 0, m).imbalance();
        let tag = Tag {
            major: place.layer,
            minor: place.microbatch,
        };
        let mut emit = Emit { sink, program, tag };
        if let Some((m, layer)) = backward {
            let transfer = self.exchange(group, layer, m, true);
            place.backward = emit.exchange(&transfer, path, place.backward);
        }
        if forward.is_some() {
            place.forward = emit.compute(phases.attention_forward, place.forward);
        }
        if let Some(at) = backward {
            let slow = hot(&mut self.router, at);
            place.backward = emit.compute(phases.experts_backward * slow, place.backward);
        }
        if let Some((m, layer)) = forward {
            let transfer = self.exchange(group, layer, m, true);
            place.forward = emit.exchange(&transfer, path, place.forward);
        }
        if let Some((m, layer)) = backward {
            let transfer = self.exchange(group, layer, m, false);
            place.backward = emit.exchange(&transfer, path, place.backward);
            let slow = hot(&mut self.router, (m, layer));
            emit.compute(phases.experts_weight * slow, None);
        }
        if let Some(at) = forward {
            let slow = hot(&mut self.router, at);
            place.forward = emit.compute(phases.experts_forward * slow, place.forward);
        }
        if backward.is_some() {
            place.backward = emit.compute(phases.attention_backward, place.backward);
            emit.compute(phases.attention_weight, None);
        }
        if let Some((m, layer)) = forward {
            let transfer = self.exchange(group, layer, m, false);
            place.forward = emit.exchange(&transfer, path, place.forward);
        }
        place.layer += 1;
        if place.layer == LAYERS {
            place = Place {
                microbatch: place.microbatch + 1,
                ..Place::default()
            };
        }
        self.at[group as usize] = place;
        Pulled::Tasks
    }
}

/// Simulates one step; its time, how many exchanges, and how long that took.
fn step(plan: &Plan, contention: Option<&Contention>, seed: Seed) -> (SimDuration, u64, Duration) {
    let model = CostModel::new(plan);
    let begin = Instant::now();
    let mut groups = Groups::new(plan, &model, contention, seed);
    let outcome = run(&mut groups, &Options::default(), &RunControl::default()).expect("nothing can block");
    (
        outcome.totals.steps[0].duration(),
        groups.exchanges,
        begin.elapsed(),
    )
}

fn main() {
    let draws = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(20_u32);
    let plan = load("contention-aware-step", SCENARIO, &[]).expect("the scenario is sound");
    let adaptive = plan.cluster.fabric.contention.clone().expect("it shares links");
    let hashed = Contention {
        queue_pairs: Some(1),
        ..adaptive.clone()
    };
    println!(
        "{:<22} {:>10} {:>12} {:>10}",
        "routing", "step s", "collectives", "wall s"
    );
    let print = |name: &str, (time, exchanges, wall): (SimDuration, u64, Duration)| {
        println!(
            "{name:<22} {:>10.3} {exchanges:>12} {:>10.2}",
            time.as_secs(),
            wall.as_secs_f64()
        );
        time
    };
    print("own paths", step(&plan, None, Seed::new(0)));
    print("adaptive", step(&plan, Some(&adaptive), Seed::new(0)));
    let mut times: Vec<SimDuration> = (0..draws)
        .map(|draw| {
            let seed = Seed::new(u64::from(draw));
            print(&format!("ecmp, draw {draw}"), step(&plan, Some(&hashed), seed))
        })
        .collect();
    times.sort_unstable();
    let at = |share: u32| times[((times.len() * share as usize).div_ceil(100)).max(1) - 1].as_secs();
    if !times.is_empty() {
        println!(
            "ecmp over {draws} draws: median {:.3} s, 95th percentile {:.3} s",
            at(50),
            at(95)
        );
    }
}
