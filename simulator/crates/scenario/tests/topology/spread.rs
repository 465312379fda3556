//! How evenly traffic spreads, and what a cut through the middle carries.

use std::collections::VecDeque;

use orrery_scenario::cluster::{
    CrossRail, FabricShape, LinkKind, LinkLoads, Policy, Route, Router, Topology, Wiring,
};
use orrery_units::{Bytes, DeviceId};

use super::routes::{hashed, whole};
use super::shapes::{build, gigabytes, switched_node, three_levels, two_levels};

/// Flows of many pairs and flow numbers fall on `k` spines as a fair die does: the statistic `Σ (n − m)² / m` of the
/// counts has mean `k − 1` and variance `2 (k − 1)`, and stays within five standard deviations of it.
#[test]
fn hashing_spreads_flows_as_a_fair_die() {
    let mut shape = two_levels(Wiring::Rails, 1.0);
    shape.num_spines = 16;
    let topology = build(switched_node(), 8, FabricShape::Clos(shape));
    let health = whole(&topology);
    for seed in 0..5 {
        let mut router = Router::new(&topology, &health, hashed(seed, CrossRail::Spine));
        let mut route = Route::default();
        let mut counts = vec![0.0; 16];
        let flows = 8_000u32;
        for flow in 0..flows {
            let (from, to) = (DeviceId::new(flow % 32), DeviceId::new(32 + flow / 32 % 32));
            router
                .route(from, to, (flow / 1024).into(), &mut route)
                .expect("it is reachable");
            let up = route.hops.iter().map(|hop| topology.link(hop.link));
            let spine = up
                .filter(|link| link.wire.kind == LinkKind::LeafSpine)
                .map(|link| link.to)
                .next();
            let name = topology.vertex_name(spine.expect("blocks differ"));
            let number: usize = name.trim_start_matches("spine ").parse().expect("a number");
            counts[number] += 1.0;
        }
        let mean = f64::from(flows) / 16.0;
        let statistic: f64 = counts
            .iter()
            .map(|count: &f64| (count - mean).powi(2) / mean)
            .sum();
        let bound = 15.0 + 5.0 * (2.0_f64 * 15.0).sqrt();
        assert!(
            statistic < bound,
            "seed {seed}: {statistic} of at most {bound}, {counts:?}"
        );
    }
}

#[test]
fn the_seed_decides_and_the_same_seed_repeats() {
    let topology = build(
        switched_node(),
        24,
        FabricShape::Clos(three_levels(Wiring::Nodes)),
    );
    let health = whole(&topology);
    let routes = |seed| {
        let mut router = Router::new(&topology, &health, hashed(seed, CrossRail::Pxn));
        let mut route = Route::default();
        let pairs = (0..64u32).map(|pair| (DeviceId::new(pair), DeviceId::new(191 - pair)));
        let links = pairs.map(|(from, to)| {
            router.route(from, to, 0, &mut route).expect("it is reachable");
            route.clone()
        });
        links.collect::<Vec<_>>()
    };
    assert_eq!(routes(5), routes(5));
    assert_ne!(routes(5), routes(6));
}

/// The spine of a flow from device 0 to device 32 with 16 spines, by flow number: pinned, because a version of
/// the hash promises it.
#[test]
fn the_first_version_of_the_hash_stays_what_it_is() {
    let mut shape = two_levels(Wiring::Rails, 1.0);
    shape.num_spines = 16;
    let topology = build(switched_node(), 8, FabricShape::Clos(shape));
    let health = whole(&topology);
    let mut router = Router::new(&topology, &health, hashed(1, CrossRail::Pxn));
    let mut route = Route::default();
    let spine = |flow| {
        let ends = (DeviceId::new(0), DeviceId::new(32));
        router
            .route(ends.0, ends.1, flow, &mut route)
            .expect("it is reachable");
        let arrivals = route.hops.iter().map(|hop| topology.link(hop.link).to);
        arrivals
            .map(|to| topology.vertex_name(to))
            .find(|name| name.starts_with("spine"))
    };
    let spines: Vec<String> = (0..8).filter_map(spine).collect();
    assert_eq!(
        spines.join(", "),
        "spine 11, spine 12, spine 13, spine 10, spine 9, spine 15, spine 8, spine 9"
    );
}

/// One fat spine carries what equal splitting puts on all spines of a leaf together.
#[test]
fn sprayed_spines_are_the_sum_of_the_split_ones() {
    let shape = three_levels(Wiring::Rails);
    let up = |shape| {
        let topology = build(switched_node(), 16, FabricShape::Clos(shape));
        let health = whole(&topology);
        let mut router = Router::new(&topology, &health, Policy::ADAPTIVE);
        let mut loads = LinkLoads::new(&topology);
        for from in 0..64 {
            let (from, to) = (DeviceId::new(from), DeviceId::new(127 - from));
            loads
                .add(&mut router, from, to, Bytes::new(12_000_000))
                .expect("it is reachable");
        }
        let sum = |kind| -> Bytes {
            let links = topology.links().filter(|(_, link)| link.wire.kind == kind);
            links.map(|(id, _)| loads.bytes(id)).sum()
        };
        let bound = loads.bound(&topology, &health).expect("all is up");
        (sum(LinkKind::LeafSpine), sum(LinkKind::SpineCore), bound)
    };
    assert_eq!(up(shape.sprayed()), up(shape));
}

/// All to all over equal shares loads every link of a kind and direction alike.
#[test]
fn an_adaptive_all_to_all_loads_like_links_alike() {
    let topology = build(
        switched_node(),
        16,
        FabricShape::Clos(three_levels(Wiring::Rails)),
    );
    let health = whole(&topology);
    let mut router = Router::new(&topology, &health, Policy::ADAPTIVE);
    let mut loads = LinkLoads::new(&topology);
    let each = Bytes::new(12_000_000);
    for from in 0..topology.num_devices() {
        for to in (0..topology.num_devices()).filter(|&to| to != from) {
            let sent = loads.add(&mut router, DeviceId::new(from), DeviceId::new(to), each);
            sent.expect("it is reachable");
        }
    }
    for kind in [LinkKind::Nic, LinkKind::LeafSpine, LinkKind::SpineCore] {
        let carried: Vec<u64> = topology
            .links()
            .filter(|(_, link)| link.wire.kind == kind)
            .map(|(id, _)| loads.bytes(id).get())
            .collect();
        let (least, most) = (
            carried.iter().min().expect("some"),
            carried.iter().max().expect("some"),
        );
        assert!(most - least <= 1, "{}: {least} to {most}", kind.name());
    }
    // Every device sends to the 120 devices of 15 other nodes through its node's NICs.
    let nic = topology
        .out(topology.nic(0, 0))
        .find(|&link| topology.wire(link).kind == LinkKind::Nic);
    assert_eq!(loads.bytes(nic.expect("a port")), each * (8 * 15));
}

/// The greatest flow from the first half of the devices to the second over the explicit graph.
fn greatest_flow(topology: &Topology) -> f64 {
    let vertices = topology.num_vertices() as usize;
    let (source, sink) = (vertices, vertices + 1);
    let mut graph = Flow::new(vertices + 2);
    for (_, link) in topology.links() {
        graph.edge(
            link.from.get() as usize,
            link.to.get() as usize,
            link.wire.capacity.get(),
        );
    }
    for device in 0..topology.num_devices() {
        let vertex = topology.device(DeviceId::new(device)).get() as usize;
        if device < topology.num_devices() / 2 {
            graph.edge(source, vertex, 1e18);
        } else {
            graph.edge(vertex, sink, 1e18);
        }
    }
    graph.run(source, sink)
}

/// Dinic's algorithm, in its plainest form.
struct Flow {
    out: Vec<Vec<usize>>,
    to: Vec<usize>,
    left: Vec<f64>,
}

impl Flow {
    fn new(vertices: usize) -> Self {
        Self {
            out: vec![Vec::new(); vertices],
            to: Vec::new(),
            left: Vec::new(),
        }
    }

    fn edge(&mut self, from: usize, to: usize, capacity: f64) {
        for (one, other, left) in [(from, to, capacity), (to, from, 0.0)] {
            self.out[one].push(self.to.len());
            self.to.push(other);
            self.left.push(left);
        }
    }

    fn run(&mut self, source: usize, sink: usize) -> f64 {
        let mut total = 0.0;
        while let Some(levels) = self.levels(source, sink) {
            let mut next = vec![0; self.out.len()];
            loop {
                let pushed = self.push(source, sink, 1e18, &levels, &mut next);
                if pushed < 1.0 {
                    break;
                }
                total += pushed;
            }
        }
        total
    }

    fn levels(&self, source: usize, sink: usize) -> Option<Vec<u32>> {
        let mut levels = vec![u32::MAX; self.out.len()];
        levels[source] = 0;
        let mut queue = VecDeque::from([source]);
        while let Some(vertex) = queue.pop_front() {
            for &edge in &self.out[vertex] {
                let to = self.to[edge];
                if self.left[edge] >= 1.0 && levels[to] == u32::MAX {
                    levels[to] = levels[vertex] + 1;
                    queue.push_back(to);
                }
            }
        }
        (levels[sink] != u32::MAX).then_some(levels)
    }

    fn push(&mut self, vertex: usize, sink: usize, most: f64, levels: &[u32], next: &mut [usize]) -> f64 {
        if vertex == sink {
            return most;
        }
        while next[vertex] < self.out[vertex].len() {
            let edge = self.out[vertex][next[vertex]];
            let to = self.to[edge];
            if self.left[edge] >= 1.0 && levels[to] == levels[vertex] + 1 {
                let pushed = self.push(to, sink, most.min(self.left[edge]), levels, next);
                if pushed >= 1.0 {
                    self.left[edge] -= pushed;
                    self.left[edge ^ 1] += pushed;
                    return pushed;
                }
            }
            next[vertex] += 1;
        }
        0.0
    }
}

#[test]
fn the_bisection_of_a_fat_tree_is_its_closed_form() {
    let node = gigabytes(8.0 * 50.0);
    let cases = [
        (two_levels(Wiring::Rails, 1.0), 16),
        (two_levels(Wiring::Rails, 2.0), 16),
        (two_levels(Wiring::Nodes, 4.0), 24),
        (three_levels(Wiring::Rails), 16),
        (three_levels(Wiring::Nodes), 32),
    ];
    for (shape, nodes) in cases {
        let closed = shape.bisection(nodes, node).get();
        let flow = greatest_flow(&build(switched_node(), nodes, FabricShape::Clos(shape)));
        assert!(
            (flow / closed - 1.0).abs() < 1e-6,
            "{nodes} nodes: {flow} against {closed}"
        );
    }
    let worked = two_levels(Wiring::Rails, 2.0).bisection(64, node).get();
    assert!((worked - 6.4e12).abs() < 1.0, "{worked}");
}
