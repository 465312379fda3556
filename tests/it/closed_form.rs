//! The engine against closed forms, on a machine where nothing interferes.

use std::collections::BTreeMap;

use orrery::scenario::Plan;
use orrery_engine::{Options, RunControl};
use orrery_operation::{Collective, CollectiveOp};
use orrery_profile::Term;
use orrery_scenario::plan::{Axis, GroupShape};
use orrery_taskgraph::{Demand, Resources, StaticDriver, Task, Work};
use orrery_timeline::Timeline;
use orrery_units::{Bytes, BytesPerSec, KindId, SimDuration, SimTime};
use orrery_workload::collective::{Network, closed_form, port_bound};
use orrery_workload::cost::{CostModel, ExchangePorts, Transfer};
use orrery_workload::lower::{Folding, TrainingDriver};
use orrery_workload::routing::Router;
use orrery_workload::schedule::{Action, order};

use crate::support::{Changed, DENSE, EXPERTS, near, plan, run};

/// One stage each, no data parallelism, no host time: the pipeline alone.
const PIPELINE: [(&str, &str); 6] = [
    ("parallel.tp", "1"),
    ("parallel.pp", "4"),
    ("cluster.nodes", "1"),
    ("cluster.node.gpus", "4"),
    ("parallel.sequence_parallel", "false"),
    ("stack.cuda_graphs", "true"),
];

const FORWARD: [&str; 3] = ["attention forward", "mlp forward", "head forward"];
const BACKWARD: [&str; 3] = ["attention backward", "mlp backward", "head backward"];

fn pipeline_plan(microbatches: u32) -> Plan {
    let batch = microbatches.to_string();
    let mut settings = PIPELINE.to_vec();
    settings.extend([
        ("training.global_batch", batch.as_str()),
        ("stack.launch", "\"0 us\""),
    ]);
    plan(DENSE, &settings)
}

/// Picoseconds that each pipeline rank spends on spans of `kinds` in the first step.
fn spent(timeline: &Timeline, kinds: &[&str]) -> Vec<u64> {
    let mut spent = BTreeMap::<&str, u64>::new();
    for span in timeline.spans().filter(|span| span.step == 0) {
        let rank = timeline.lanes[span.lane].program.as_str();
        let own = kinds.contains(&timeline.kinds.kind(span.kind).name.as_str());
        *spent.entry(rank).or_default() += if own { span.duration.as_picos() } else { 0 };
    }
    assert_eq!(spent.len(), 4, "four ranks ran: {spent:?}");
    spent.into_values().collect()
}

/// When the last backward of the first step ended.
fn pipeline_end(timeline: &Timeline) -> u64 {
    let ends = timeline.spans().filter(|span| span.step == 0).filter_map(|span| {
        let backward = BACKWARD.contains(&timeline.kinds.kind(span.kind).name.as_str());
        backward.then(|| (span.start + span.duration).as_picos())
    });
    ends.max().expect("there is a backward")
}

/// Equal stages and messages that take no time: `(m + pp − 1) (F + B)` (Narayanan et al. 2021, section 2.2).
#[test]
fn one_f_one_b_takes_its_closed_form() {
    let (forward, backward) = (7_000_000u64, 13_000_000u64);
    for microbatches in [4, 7, 16] {
        let plan = pipeline_plan(microbatches);
        let table = TrainingDriver::new(&plan, plan.run.seed, Folding::None)
            .kinds()
            .table
            .clone();
        let change = |task: &mut Task| {
            let kind = table.kind(task.kind).name.as_str();
            let alone = if kind.starts_with("attention forward") {
                forward
            } else if kind.starts_with("attention backward") {
                backward
            } else {
                0
            };
            task.work = Work::Delay(SimDuration::from_picos(alone));
        };
        let inner = TrainingDriver::new(&plan, plan.run.seed, Folding::None);
        let outcome = run(&mut Changed { inner, change }, &plan);
        // Four layers a stage.
        let expected = u64::from(microbatches + 4 - 1) * 4 * (forward + backward);
        assert_eq!(
            outcome.totals.steps[0].end,
            SimTime::from_picos(expected),
            "m = {microbatches}"
        );
    }
}

/// Passes that only hosts take time for, on ranks without messages: hosts that wait for what they receive issue one after
/// the other, `(m + pp − 1) (F + B)`; hosts that run ahead are all through after `m (F + B)`.
#[test]
fn hosts_that_wait_for_messages_take_their_turns() {
    let (forward, backward) = (7_000_000u64, 13_000_000u64);
    for (waits, passes) in [("true", 4 + 4 - 1), ("false", 4)] {
        let mut settings = PIPELINE.to_vec();
        settings.extend([
            ("training.global_batch", "4"),
            ("stack.synchronise_pipeline", waits),
        ]);
        let plan = plan(DENSE, &settings);
        let table = TrainingDriver::new(&plan, plan.run.seed, Folding::None)
            .kinds()
            .table
            .clone();
        let change = |task: &mut Task| {
            let issued = match table.kind(task.kind).name.as_str() {
                "attention forward" => forward,
                "attention backward" => backward,
                _ => 0,
            };
            task.launch = SimDuration::from_picos(issued);
            task.work = Work::Delay(SimDuration::ZERO);
        };
        let inner = TrainingDriver::new(&plan, plan.run.seed, Folding::None);
        let outcome = run(&mut Changed { inner, change }, &plan);
        // Four layers a stage.
        let expected = passes * 4 * (forward + backward);
        assert_eq!(
            outcome.totals.steps[0].end,
            SimTime::from_picos(expected),
            "waits: {waits}"
        );
    }
}

/// A device begins as soon as the first kernel of a task is issued, and the task after it once all of them are.
#[test]
fn a_device_begins_with_the_first_kernel() {
    let settings = [
        ("parallel.tp", "1"),
        ("parallel.pp", "1"),
        ("cluster.nodes", "1"),
        ("cluster.node.gpus", "1"),
        ("parallel.sequence_parallel", "false"),
        ("training.global_batch", "1"),
        ("training.seq_len", "128"),
        ("model.fields.layers", "2"),
    ];
    let plan = plan(DENSE, &settings);
    let mut driver = TrainingDriver::new(&plan, plan.run.seed, Folding::None);
    let timeline = run(&mut driver, &plan).timeline;
    let kinds = &timeline.kinds;
    let mut spans: Vec<_> = timeline
        .spans()
        .filter(|span| span.step == 0 && kinds.kind(span.kind).name.contains("forward"))
        .map(|span| span.start.as_secs())
        .collect();
    spans.sort_by(f64::total_cmp);
    let issue = plan.tuning.get(Term::Launch);
    assert!(near(spans[0], issue, 1e-6), "{} and {issue}", spans[0]);
    // More kernels than the device takes time for: the next task waits until the last of them is issued.
    let kernels = (spans[1] - spans[0]) / issue;
    assert!(kernels > 10.0, "{kernels}");
}

/// Real, unequal stages and real messages, without contention: the longest path through the schedule, computed
/// here from what one microbatch takes on each stage, is the step up to its last backward, to the picosecond.
#[test]
fn a_pipeline_of_unequal_stages_takes_its_longest_path() {
    for (microbatches, messages) in [(8, false), (8, true), (5, true)] {
        let plan = pipeline_plan(microbatches);
        let idle = |task: &mut Task| {
            if let Work::Flow {
                latency,
                bytes,
                bound,
                occupancy,
                ..
            } = &mut task.work
            {
                *occupancy = Demand::default();
                if !messages {
                    (*latency, *bytes, *bound) = (SimDuration::ZERO, Bytes::ZERO, BytesPerSec::new(1.0));
                }
            }
        };
        let inner = TrainingDriver::new(&plan, plan.run.seed, Folding::None);
        let outcome = run(&mut Changed { inner, change: idle }, &plan);
        let per_microbatch = |kinds: &[&str]| -> Vec<u64> {
            let each = spent(&outcome.timeline, kinds).into_iter().map(|total| {
                assert_eq!(total % u64::from(microbatches), 0, "microbatches are alike");
                total / u64::from(microbatches)
            });
            each.collect()
        };
        let message = outcome.timeline.spans().find_map(|span| {
            let send = outcome.timeline.kinds.kind(span.kind).name == "send activation";
            send.then(|| span.duration.as_picos())
        });
        let (forward, backward) = (per_microbatch(&FORWARD), per_microbatch(&BACKWARD));
        assert!(forward[0] != forward[3], "the head makes the last stage slower");
        let expected = longest_path(
            &plan,
            microbatches,
            &forward,
            &backward,
            message.expect("a message was sent"),
        );
        assert_eq!(
            pipeline_end(&outcome.timeline),
            expected,
            "m = {microbatches}, messages {messages}"
        );
    }
}

/// End of the last action when each rank does its order of work as early as it can and a channel carries one
/// message at a time.
fn longest_path(plan: &Plan, microbatches: u32, forward: &[u64], backward: &[u64], message: u64) -> u64 {
    let pp = plan.layout.pp;
    let orders: Vec<Vec<Action>> = (0..pp)
        .map(|rank| order(plan.layout.schedule, pp, rank, microbatches))
        .collect();
    let mut at = vec![0; pp as usize];
    let mut free = vec![0; pp as usize];
    let mut channel = BTreeMap::<(u32, bool), u64>::new();
    let mut arrived = BTreeMap::<(u32, bool, u32), u64>::new();
    while (0..pp as usize).any(|rank| at[rank] < orders[rank].len()) {
        let before = at.clone();
        for rank in 0..pp {
            let own = rank as usize;
            while let Some(action) = orders[own].get(at[own]) {
                let ahead = action.forward();
                let slot = ahead
                    .or(action.input_gradient())
                    .expect("1F1B has forwards and backwards");
                let first = if ahead.is_some() {
                    rank == 0
                } else {
                    rank + 1 == pp
                };
                let input = if first {
                    Some(&0)
                } else {
                    arrived.get(&(rank, ahead.is_some(), slot.microbatch))
                };
                let Some(&input) = input else { break };
                let span = if ahead.is_some() {
                    forward[own]
                } else {
                    backward[own]
                };
                free[own] = free[own].max(input) + span;
                at[own] += 1;
                let to = if ahead.is_some() {
                    rank.checked_add(1)
                } else {
                    rank.checked_sub(1)
                };
                if let Some(to) = to.filter(|&to| to < pp) {
                    let channel = channel.entry((to, ahead.is_some())).or_default();
                    *channel = (*channel).max(free[own]) + message;
                    arrived.insert((to, ahead.is_some(), slot.microbatch), *channel);
                }
            }
        }
        assert!(before != at, "the order of work deadlocks");
    }
    free.into_iter().max().expect("there are ranks")
}

/// All parties of a group do `transfers[party]` at once on an idle machine: how long each lane is busy.
fn together(transfers: &[Transfer]) -> Vec<SimDuration> {
    let mut resources = Resources::new();
    let group = resources.add_group(u32::try_from(transfers.len()).expect("few parties"));
    let lanes: Vec<_> = (0..transfers.len())
        .map(|rank| {
            let program = resources.add_program(format!("rank {rank}"));
            let device = resources.add_device();
            resources.add_lane(program, device, "exchange")
        })
        .collect();
    let mut driver = StaticDriver::new(resources);
    for (&lane, transfer) in lanes.iter().zip(transfers) {
        driver.push(Task::new(lane, KindId::new(0), transfer.work(Resources::PRIVATE)).meeting(group, 0));
    }
    let outcome = orrery_engine::run(&mut driver, &Options::default(), &RunControl::default())
        .unwrap_or_else(|fault| panic!("{fault}"));
    lanes
        .iter()
        .map(|&lane| outcome.totals.steps[0].lanes[lane].busy())
        .collect()
}

#[test]
fn a_collective_takes_its_latency_and_its_bytes_over_its_bound() {
    let plan = plan(DENSE, &[]);
    let (model, network) = (CostModel::new(&plan), Network::new(&plan.cluster, &plan.profile));
    let layout = &plan.layout;
    let shapes = [Axis::Tensor, Axis::Data].map(|axis| layout.shape_of(&layout.group(0, axis)));
    for op in [
        CollectiveOp::AllReduce,
        CollectiveOp::AllGather,
        CollectiveOp::ReduceScatter,
    ] {
        for (shape, size) in shapes
            .into_iter()
            .flat_map(|shape| [1 << 20, 1 << 28].map(|size| (shape, size)))
        {
            let collective = Collective {
                op,
                ranks: u64::from(shape.ranks),
                bytes: Bytes::new(size),
            };
            let transfer = model.collective(collective, shape);
            let timing = network.collective(collective, shape);
            let busy = together(&vec![transfer; shape.ranks as usize]);
            let expected = transfer.latency + transfer.bytes / transfer.bound;
            assert!(
                busy.iter().all(|&time| time == expected),
                "{op:?} {shape:?}: {busy:?}, not {expected}"
            );
            let whole = (timing.latency + timing.moving).as_secs();
            assert!(
                near(expected.as_secs(), whole, 1e-6),
                "{op:?} {shape:?}: {expected} and {whole} s"
            );
            // Never faster than a ring at the speed of the wire.
            let wire = if shape.nodes > 1 {
                plan.cluster.nic_per_device()
            } else {
                plan.cluster.node.scale_up
            };
            let wire = wire.scaled(f64::from(shape.ranks_per_node.max(1)));
            let bound = closed_form::ring(op, shape.ranks, Bytes::new(size), SimDuration::ZERO, wire);
            assert!(
                expected >= bound,
                "{op:?} {shape:?}: {expected} beats the wire, {bound}"
            );
        }
    }
}

/// An exchange whose loads differ takes as long as the busiest port of all its devices.
#[test]
fn an_exchange_takes_the_time_of_its_busiest_port() {
    let plan = plan(EXPERTS, &[]);
    let shape = expert_shape(&plan);
    assert!(shape.ranks == 4, "an expert group has four ranks");
    let model = CostModel::alone(&plan);
    let exchange = port_bound::Exchange::new(&plan.cluster, &plan.profile, "nccl");
    let mut router = Router::new(&plan, plan.run.seed);
    for (layer, microbatch) in [(0, 0), (3, 1), (15, 2)] {
        let load = router.load(0, layer, 0, microbatch);
        let ports: Vec<ExchangePorts> = (0..shape.ranks).map(|rank| load.dispatch_ports(rank)).collect();
        let transfers: Vec<Transfer> = ports.iter().map(|ports| model.exchange(ports, shape)).collect();
        let slowest = ports
            .iter()
            .map(|ports| exchange.time(ports, shape))
            .map(|t| t.latency + t.moving)
            .max();
        let slowest = slowest.expect("there are ports").as_picos();
        let busy = together(&transfers);
        assert!(
            busy.iter().all(|&time| time == busy[0]),
            "all parties leave together: {busy:?}"
        );
        // Bytes over a rate and back are rounded up to a picosecond each.
        let busy = busy[0].as_picos();
        assert!(busy.abs_diff(slowest) <= 2, "{busy} and {slowest} ps");
    }
}

/// A uniform exchange at the rates that its ports show is the textbook's all-to-all.
#[test]
fn a_uniform_exchange_is_the_all_to_all_of_the_textbook() {
    let plan = plan(EXPERTS, &[]);
    let exchange = port_bound::Exchange::new(&plan.cluster, &plan.profile, "nccl");
    let alone = |ports: ExchangePorts, shape| exchange.time(&ports, shape).moving.as_secs();
    for (ranks, per_node) in [(4, 4), (8, 8), (16, 8), (32, 8)] {
        let shape = GroupShape {
            ranks,
            ranks_per_node: per_node,
            nodes: ranks / per_node,
        };
        let size = Bytes::new(64 << 20);
        let ports = port_bound::uniform(size, shape);
        let time = alone(ports, shape);
        let rate = |bytes: Bytes, time: f64| BytesPerSec::new(bytes.as_f64() / time);
        let inside = ExchangePorts {
            network_in: Bytes::ZERO,
            network_out: Bytes::ZERO,
            ..ports
        };
        let across = ExchangePorts {
            node_in: Bytes::ZERO,
            node_out: Bytes::ZERO,
            ..ports
        };
        let node = rate(ports.node_out, alone(inside, shape));
        let network = if ports.network_out == Bytes::ZERO {
            BytesPerSec::new(1.0)
        } else {
            rate(ports.network_out, alone(across, shape))
        };
        let textbook = closed_form::uniform_all_to_all(ranks, per_node, size, node, network).as_secs();
        assert!(near(time, textbook, 1e-3), "{shape:?}: {time} and {textbook} s");
    }
}

/// How the first expert group lies on nodes.
fn expert_shape(plan: &Plan) -> GroupShape {
    let layout = &plan.layout;
    let ranks: Vec<u32> = layout
        .stage_ranks(0)
        .into_iter()
        .filter(|&rank| {
            let (tensor, _, replica) = layout.expert_place(rank);
            (tensor, replica) == (0, 0)
        })
        .collect();
    layout.shape_of(&ranks)
}
