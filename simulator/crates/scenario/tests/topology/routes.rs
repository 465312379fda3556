//! Every route is connected and free of loops, as short as the slow twin's, and as long as its way back.

use std::collections::BTreeMap;

use orrery_scenario::cluster::{
    CrossRail, FabricShape, Faults, Health, Policy, Route, Router, Search, Spreading, Through, Topology,
    VertexId, Wiring,
};
use orrery_units::{DeviceId, Seed, SimTime};
use proptest::prelude::*;

use super::shapes::{all, build, cluster, switched_node, three_levels, torus, two_levels};

/// Everything whole.
pub(crate) fn whole(topology: &Topology) -> Health {
    Faults::default().health(topology, SimTime::ZERO)
}

/// A route.
pub(crate) fn route(topology: &Topology, policy: Policy, from: u32, to: u32) -> Route {
    let health = whole(topology);
    let mut route = Route::default();
    Router::new(topology, &health, policy)
        .route(DeviceId::new(from), DeviceId::new(to), 0, &mut route)
        .expect("it is reachable");
    route
}

pub(crate) fn hashed(seed: u64, cross_rail: CrossRail) -> Policy {
    Policy {
        spreading: Spreading::ecmp(Seed::new(seed)),
        cross_rail,
    }
}

/// The slow twin: vertices of a way of fewest links, by its own search.
fn twin_hops(topology: &Topology, from: u32, to: u32) -> usize {
    let mut route = Route::default();
    let ends = (DeviceId::new(from), DeviceId::new(to));
    let found = Search::default().path(
        topology,
        &whole(topology),
        ends,
        Through::OwnNics,
        0.0,
        &mut route,
    );
    assert!(found, "the twin finds a way");
    route.hops.len()
}

/// A single path leads from `from` to `to` without meeting a vertex twice.
fn assert_path(topology: &Topology, route: &Route, from: VertexId, to: VertexId, name: &str) {
    let mut here = from;
    let mut seen = vec![from];
    for hop in &route.hops {
        let link = topology.link(hop.link);
        assert_eq!(link.from, here, "{name}: the route is connected");
        assert!((hop.share - 1.0).abs() < 1e-12, "{name}: one path takes all");
        assert!(
            !seen.contains(&link.to),
            "{name}: {} twice",
            topology.vertex_name(link.to)
        );
        seen.push(link.to);
        here = link.to;
    }
    assert_eq!(here, to, "{name}: the route arrives");
}

/// What enters a vertex leaves it, but for one unit at each end; no link is met twice.
fn assert_conserved(topology: &Topology, route: &Route, from: VertexId, to: VertexId, name: &str) {
    let mut balance: BTreeMap<VertexId, f64> = BTreeMap::new();
    let mut links: Vec<_> = route.hops.iter().map(|hop| hop.link).collect();
    for hop in &route.hops {
        let link = topology.link(hop.link);
        assert!(hop.share > 0.0 && hop.share <= 1.0 + 1e-12, "{name}: a share");
        *balance.entry(link.from).or_insert(0.0) += hop.share;
        *balance.entry(link.to).or_insert(0.0) -= hop.share;
    }
    links.sort_unstable();
    links.dedup();
    assert_eq!(links.len(), route.hops.len(), "{name}: a link once");
    for (vertex, excess) in balance {
        let expected = f64::from(i8::from(vertex == from) - i8::from(vertex == to));
        assert!(
            (excess - expected).abs() < 1e-9,
            "{name}: {} keeps {excess}",
            topology.vertex_name(vertex)
        );
    }
}

/// Pairs of devices, near and far.
fn pairs(topology: &Topology, seed: u64) -> Vec<(u32, u32)> {
    let devices = f64::from(topology.num_devices());
    let pick = |draw: u64, side: u64| {
        let share = Seed::new(seed).at("pair", &[draw, side]).uniform();
        (share * devices) as u32
    };
    let mut pairs: Vec<(u32, u32)> = (0..120).map(|draw| (pick(draw, 0), pick(draw, 1))).collect();
    pairs.extend((1..8).map(|other| (0, other)));
    pairs.retain(|(from, to)| from != to);
    pairs
}

#[test]
fn single_paths_are_connected_free_of_loops_and_as_short_as_the_twin() {
    for (name, topology) in all() {
        for (from, to) in pairs(&topology, 1) {
            let policy = hashed(7, CrossRail::Spine);
            let path = route(&topology, policy, from, to);
            let ends = (
                topology.device(DeviceId::new(from)),
                topology.device(DeviceId::new(to)),
            );
            assert_path(&topology, &path, ends.0, ends.1, name);
            assert_eq!(
                path.hops.len(),
                twin_hops(&topology, from, to),
                "{name}: {from} to {to} is minimal"
            );
            let back = route(&topology, policy, to, from);
            assert_eq!(
                path.hops.len(),
                back.hops.len(),
                "{name}: {from} to {to} is as long as back"
            );
            assert_eq!(
                path.latency(&topology),
                back.latency(&topology),
                "{name}: and as slow"
            );
        }
    }
}

#[test]
fn adaptive_routes_conserve_what_they_carry() {
    for (name, topology) in all() {
        for cross_rail in [CrossRail::Pxn, CrossRail::Spine] {
            let policy = Policy {
                spreading: Spreading::Adaptive,
                cross_rail,
            };
            for (from, to) in pairs(&topology, 2) {
                let spread = route(&topology, policy, from, to);
                let ends = (
                    topology.device(DeviceId::new(from)),
                    topology.device(DeviceId::new(to)),
                );
                assert_conserved(&topology, &spread, ends.0, ends.1, name);
                // Shares of a path add up to its length, whatever the number of paths.
                let length: f64 = spread.hops.iter().map(|hop| hop.share).sum();
                let one = route(&topology, hashed(3, cross_rail), from, to);
                let hops = f64::from(u32::try_from(one.hops.len()).expect("few"));
                assert!((length - hops).abs() < 1e-9, "{name}: {length} against {hops}");
            }
        }
    }
}

#[test]
fn queue_pairs_split_a_flow_and_conserve_it() {
    let topology = build(
        switched_node(),
        24,
        FabricShape::Clos(three_levels(Wiring::Nodes)),
    );
    let policy = Policy {
        spreading: Spreading::Ecmp {
            seed: Seed::new(1),
            version: orrery_scenario::cluster::HashVersion::V1,
            queue_pairs: 4,
        },
        cross_rail: CrossRail::Pxn,
    };
    for (from, to) in pairs(&topology, 3) {
        let split = route(&topology, policy, from, to);
        let ends = (
            topology.device(DeviceId::new(from)),
            topology.device(DeviceId::new(to)),
        );
        assert_conserved(&topology, &split, ends.0, ends.1, "queue pairs");
    }
}

/// The kinds of vertices of a route, by name.
fn kinds(topology: &Topology, route: &Route) -> Vec<&'static str> {
    let name = |vertex| topology.kind(vertex).name();
    let arrivals = route.hops.iter().map(|hop| name(topology.link(hop.link).to));
    arrivals.collect()
}

#[test]
fn pxn_changes_rail_inside_the_node_and_stays_off_the_spine() {
    let topology = build(
        switched_node(),
        12,
        FabricShape::Clos(two_levels(Wiring::Rails, 1.0)),
    );
    // Device 1 of node 0 to device 3 of node 2: other rails, one block.
    let pxn = route(&topology, hashed(1, CrossRail::Pxn), 1, 19);
    let expected = [
        "scale-up switch",
        "device",
        "PCIe switch",
        "NIC",
        "leaf",
        "NIC",
        "PCIe switch",
        "device",
    ];
    assert_eq!(kinds(&topology, &pxn), expected);
    assert_eq!(
        topology.vertex_name(topology.link(pxn.hops[1].link).to),
        "node 0 device 3"
    );
    let spine = route(&topology, hashed(1, CrossRail::Spine), 1, 19);
    assert!(kinds(&topology, &spine).contains(&"spine"));
    // Same rail: no detour, and as short as the twin's.
    let straight = route(&topology, hashed(1, CrossRail::Pxn), 3, 19);
    assert_eq!(straight.hops.len(), twin_hops(&topology, 3, 19));
    for (from, to) in pairs(&topology, 4) {
        let crosses = from / 8 != to / 8 && from % 8 != to % 8;
        let same_rail = from / 8 * 8 + to % 8;
        let path = route(&topology, hashed(1, CrossRail::Pxn), from, to);
        let expected = if crosses {
            2 + twin_hops(&topology, same_rail, to)
        } else {
            twin_hops(&topology, from, to)
        };
        assert_eq!(path.hops.len(), expected, "{from} to {to}");
    }
}

#[test]
fn latencies_add_up_to_the_plan() {
    let micros = |topology: &Topology, from, to| {
        let latency = route(topology, hashed(1, CrossRail::Pxn), from, to).latency(topology);
        latency.as_picos() / 1_000
    };
    let topology = Topology::of(&cluster("H100", 64, 1.0));
    assert_eq!(micros(&topology, 0, 1), 600, "one hop inside");
    assert_eq!(micros(&topology, 0, 8), 2_700, "through one leaf");
    assert_eq!(micros(&topology, 0, 8 * 40), 2_700 + 2 * 300, "through a spine");
    assert_eq!(micros(&topology, 0, 9), 600 + 2_700, "the rail changed inside");
    let cards = Topology::of(&cluster("RTX-4090", 8, 1.0));
    assert_eq!(micros(&cards, 0, 1), 1_000, "one hop over PCIe");
    assert_eq!(
        micros(&cards, 3, 8 + 5),
        2_700,
        "PCIe is within the latency of the NICs"
    );
}

#[test]
fn boxes_without_a_switch_go_over_bridges_or_their_own_link() {
    let kinds_of = |name: &str, from, to| {
        let (_, topology) = all()
            .into_iter()
            .find(|(known, _)| *known == name)
            .expect("it is known");
        kinds(&topology, &route(&topology, hashed(1, CrossRail::Pxn), from, to))
    };
    assert_eq!(kinds_of("PCIe", 0, 1), ["PCIe switch", "device"]);
    assert_eq!(
        kinds_of("PCIe", 0, 2),
        ["PCIe switch", "host bridge", "PCIe switch", "device"]
    );
    let sockets = [
        "PCIe switch",
        "host bridge",
        "host bridge",
        "PCIe switch",
        "device",
    ];
    assert_eq!(kinds_of("PCIe", 0, 7), sockets);
    assert_eq!(kinds_of("mesh", 0, 7), ["device"]);
    assert_eq!(kinds_of("bridged pairs", 0, 1), ["device"]);
    assert_eq!(
        kinds_of("bridged pairs", 0, 2),
        ["PCIe switch", "host bridge", "PCIe switch", "device"]
    );
}

#[test]
fn a_pair_of_a_mesh_gets_one_link() {
    // MI300X: 7 x 64 GB/s, one pair gets 64 only.
    let topology = Topology::of(&cluster("MI300X", 1, 1.0));
    let pair = route(&topology, Policy::ADAPTIVE, 0, 5);
    let rate = pair.bandwidth(&topology, &whole(&topology)).expect("it is up");
    assert!((rate.get() - 64e9).abs() < 1.0, "{rate}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Dimension order with wrap is as long as the sum of the shorter ways round.
    #[test]
    fn torus_routes_are_as_long_as_their_distance(
        x in 1u32..7, y in 1u32..6, z in 1u32..5, from in 0u32..200, to in 0u32..200
    ) {
        let shape = torus([x, y, z]);
        let nodes = x * y * z;
        let (from, to) = (from % nodes, to % nodes);
        let topology = build(switched_node(), nodes, FabricShape::Torus(shape));
        if from != to {
            let path = route(&topology, hashed(1, CrossRail::Pxn), from * 8, to * 8 + 3);
            let ends = (topology.device(DeviceId::new(from * 8)), topology.device(DeviceId::new(to * 8 + 3)));
            assert_path(&topology, &path, ends.0, ends.1, "torus");
            // Device, PCIe switch, NIC, router, and the same on the other side.
            let expected = usize::try_from(shape.distance(from, to)).expect("small") + 6;
            prop_assert_eq!(path.hops.len(), expected);
            prop_assert_eq!(shape.distance(from, to), shape.distance(to, from));
        }
    }

    /// Any fat tree: routes by rule are as short as the twin's, whatever its counts.
    #[test]
    fn fat_trees_of_any_size_route_minimally(
        nodes in 2u32..40, block in 1u32..6, spines in 1u32..5, pods in 0u32..4, rails in any::<bool>(),
        pair in any::<(u16, u16)>(), seed in any::<u64>()
    ) {
        let mut shape = two_levels(if rails { Wiring::Rails } else { Wiring::Nodes }, 1.5);
        shape.nodes_per_block = block;
        shape.num_spines = spines;
        shape.blocks_per_pod = (pods > 0).then_some(pods);
        shape.num_cores = 2;
        let topology = build(switched_node(), nodes, FabricShape::Clos(shape));
        let device = |draw: u16| u32::from(draw) % topology.num_devices();
        let (from, to) = (device(pair.0), device(pair.1));
        if from != to {
            let path = route(&topology, hashed(seed, CrossRail::Spine), from, to);
            let ends = (topology.device(DeviceId::new(from)), topology.device(DeviceId::new(to)));
            assert_path(&topology, &path, ends.0, ends.1, "fat tree");
            prop_assert_eq!(path.hops.len(), twin_hops(&topology, from, to));
        }
    }
}
