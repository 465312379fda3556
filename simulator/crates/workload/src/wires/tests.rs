//! Loads by hand, and what merges.

use orrery_scenario::cluster::{
    Blueprint, ClosShape, CrossRail, FabricShape, NodeShape, ScaleUp, Site, WideAreaLink, Wiring,
};
use orrery_taskgraph::Resources;
use orrery_units::{Bytes, SimDuration, SimTime};

use super::*;

/// Four nodes of two devices, NVLink of 100 GB/s, NICs of 10 GB/s, two nodes to a block, two spines.
fn contention(oversubscription: f64) -> Contention {
    let node = NodeShape {
        num_devices: 2,
        scale_up: ScaleUp::Switch {
            port: BytesPerSec::new(100e9),
            nodes: 1,
        },
        scale_up_latency: SimDuration::from_nanos(600),
        num_nics: 2,
        nic: BytesPerSec::new(10e9),
        nic_latency: SimDuration::from_nanos(2700),
        pcie: BytesPerSec::new(60e9),
        devices_per_switch: 2,
        num_sockets: 1,
    };
    Contention {
        blueprint: Blueprint {
            domain: node.domain(),
            num_nodes: 4,
            fabric: FabricShape::Clos(ClosShape {
                wiring: Wiring::Rails,
                nodes_per_block: 2,
                num_spines: 2,
                oversubscription,
                blocks_per_pod: None,
                num_cores: 1,
                pod_oversubscription: 1.0,
                switch_latency: SimDuration::from_nanos(300),
                sites: Vec::new(),
                wide_area: Vec::new(),
            }),
            assumptions: Vec::new(),
        },
        queue_pairs: None,
        cross_rail: CrossRail::Pxn,
        faults: Faults::default(),
    }
}

/// What `lay` puts on the links of `contention`, by name: weights summed over all paths, and the links.
fn laid(
    contention: &Contention,
    lay: impl Fn(&mut Wires<'_>) -> Vec<Laid>,
) -> (BTreeMap<String, f64>, Resources) {
    let topology = Topology::build(contention.blueprint.clone()).expect("it builds");
    let health = contention.faults.lasting(&topology);
    let mut wires = Wires::new(&topology, &health, contention, Seed::new(1));
    let count = lay(&mut wires).len();
    let mut sums: BTreeMap<String, f64> = BTreeMap::new();
    for (&link, weight) in wires.paths.iter().flat_map(|way| &way.loads) {
        *sums.entry(topology.link_name(link)).or_default() += weight;
    }
    let mut resources = Resources::new();
    assert_eq!(
        wires.install(&mut resources).pairs().count(),
        count,
        "a path for each"
    );
    (sums, resources)
}

/// The name of a link without how many others carry the same.
fn own_name(link: &orrery_taskgraph::Link) -> &str {
    link.name.split(" (").next().unwrap_or_default()
}

/// By hand: each of two ranks on a node puts half of its ring on NVLink and half on its NIC; of the two
/// nodes of a block one has its next node in the other, so that half a ring leaves, over two spines.
#[test]
fn a_ring_leaves_a_node_by_every_nic_in_turn() {
    let everybody: Vec<u32> = (0..8).collect();
    let (sums, _) = laid(&contention(1.0), |wires| {
        wires.ring(&everybody, BytesPerSec::new(10e9), 2)
    });
    assert!((sums["node 0 device 0 -> node 0 scale-up switch"] - 0.5).abs() < 1e-12);
    assert!((sums["node 0 NIC 0 -> block 0 rail 0 leaf"] - 0.5).abs() < 1e-12);
    let up = [0, 1].map(|spine| sums[&format!("block 0 rail 0 leaf -> spine {spine}")]);
    assert!(up.iter().all(|weight| (weight - 0.25).abs() < 1e-12), "{sums:?}");
}

/// A collective that was measured at 12 GB/s a rank, half of it over a NIC of 10 GB/s, fits; at 40 GB/s the
/// weight is cut so that it fits still. A shared uplink is not spared.
#[test]
fn what_was_measured_alone_fits_its_ports() {
    let everybody: Vec<u32> = (0..8).collect();
    for peak in [12e9, 40e9] {
        let (sums, resources) = laid(&contention(8.0), |wires| {
            wires.ring(&everybody, BytesPerSec::new(peak), 2)
        });
        for link in resources
            .links
            .iter()
            .filter(|link| link.name.starts_with("node"))
        {
            let load = sums[own_name(link)] * peak;
            assert!(
                load <= link.capacity.get() * (1.0 + 1e-12),
                "{} at {load}",
                link.name
            );
        }
        let uplink = resources
            .links
            .iter()
            .find(|link| link.name.starts_with("block 0 rail 0 leaf -> spine"));
        let uplink = uplink.expect("it is loaded");
        let load = sums[own_name(uplink)] * peak;
        assert!(peak < 20e9 || load > uplink.capacity.get(), "{load}");
    }
}

/// What ports are asked for is what they get: bytes on NICs and NVLinks add up to those of the exchange.
#[test]
fn an_exchange_puts_its_bytes_on_its_ports() {
    let ranks: Vec<u32> = (0..8).collect();
    let ports = vec![
        ExchangePorts {
            network_out: Bytes::new(600),
            network_in: Bytes::new(600),
            node_out: Bytes::new(400),
            node_in: Bytes::new(400),
        };
        8
    ];
    let (sums, _) = laid(&contention(1.0), |wires| wires.exchange(&ranks, &ports));
    for name in [
        "node 2 NIC 1 -> block 1 rail 1 leaf",
        "block 1 rail 1 leaf -> node 2 NIC 1",
    ] {
        assert!((sums[name] - 0.6).abs() < 1e-12, "{name}: {sums:?}");
    }
    assert!(
        (sums["node 3 device 1 -> node 3 scale-up switch"] - 0.4).abs() < 1e-12,
        "{sums:?}"
    );
}

#[test]
fn links_that_carry_the_same_become_one_and_changing_ones_stay_alone() {
    let mut contention = contention(1.0);
    let all = |wires: &mut Wires<'_>| vec![wires.message(0, 4)];
    let (_, merged) = laid(&contention, all);
    // Up the PCIe and the NIC together; both spines together; down again with the way up.
    assert_eq!(merged.links.len(), 2, "{:?}", merged.links);
    let topology = Topology::build(contention.blueprint.clone()).expect("it builds");
    let nic = topology.vertex_named("node 0 NIC 0").expect("it is there");
    let cable = topology.out(nic).last().expect("it has a cable");
    contention.faults.faults.push(orrery_scenario::cluster::Fault {
        place: orrery_scenario::cluster::Place::Link(cable),
        left: orrery_units::Ratio::clamped(0.5),
        windows: vec![orrery_scenario::cluster::Window {
            from: SimTime::from_picos(5),
            until: SimTime::from_picos(9),
        }],
    });
    let (_, apart) = laid(&contention, all);
    assert_eq!(
        (apart.links.len(), apart.changes.len()),
        (3, 2),
        "{:?}",
        apart.links
    );
}

/// Every byte that leaves a rank goes to somebody, half of it on the account of either end. By hand: the first of
/// eight ranks, two to a node, puts 600 of its 1,000 bytes on three peers of its rail and 400 on its neighbour.
#[test]
fn pairs_of_an_exchange_add_up_to_its_bytes() {
    let ranks: Vec<u32> = (0..8).collect();
    let ports = ExchangePorts {
        network_out: Bytes::new(600),
        network_in: Bytes::new(600),
        node_out: Bytes::new(400),
        node_in: Bytes::new(400),
    };
    let contention = contention(1.0);
    let topology = Topology::build(contention.blueprint.clone()).expect("it builds");
    let health = contention.faults.lasting(&topology);
    let mut wires = Wires::new(&topology, &health, &contention, Seed::new(1));
    wires.exchange(&ranks, &[ports; 8]);
    wires.message(0, 5);
    let wired = wires.install(&mut Resources::new());
    let mut bytes: BTreeMap<(u32, u32), f64> = BTreeMap::new();
    for (_, pairs) in wired.pairs() {
        for pair in pairs {
            *bytes.entry((pair.from.get(), pair.to.get())).or_default() += 1000.0 * pair.weight;
        }
    }
    let of = |from, to| format!("{:.0}", bytes.get(&(from, to)).copied().unwrap_or(0.0));
    assert_eq!(
        [1, 2, 3, 4, 6].map(|to| of(0, to)),
        ["400", "200", "0", "200", "200"]
    );
    assert_eq!(of(0, 5), "1000", "the message goes where it is sent");
    let all: f64 = bytes.values().sum();
    assert!((all - 9000.0).abs() < 1e-9, "{all}");
}

/// A ring sends to the next of its node and, from every NIC in turn, to the next node.
#[test]
fn pairs_of_a_ring_are_neighbours() {
    let contention = contention(1.0);
    let topology = Topology::build(contention.blueprint.clone()).expect("it builds");
    let health = contention.faults.lasting(&topology);
    let mut wires = Wires::new(&topology, &health, &contention, Seed::new(1));
    wires.ring(&[0, 1, 2, 3], BytesPerSec::new(10e9), 2);
    let wired = wires.install(&mut Resources::new());
    let pairs = wired.pairs().flat_map(|(_, pairs)| pairs);
    let mut pairs: Vec<(u32, u32, f64)> = pairs
        .map(|pair| (pair.from.get(), pair.to.get(), pair.weight))
        .collect();
    pairs.sort_by_key(|pair| (pair.0, pair.1));
    let expected = [(0, 1), (0, 2), (1, 0), (1, 3), (2, 0), (2, 3), (3, 1), (3, 2)];
    assert_eq!(pairs, expected.map(|(from, to)| (from, to, 0.5)));
}

/// A cable that is down for a while carries nothing then, and all of it again later.
#[test]
fn a_link_that_flaps_is_down_and_comes_back() {
    let mut contention = contention(1.0);
    let topology = Topology::build(contention.blueprint.clone()).expect("it builds");
    let nic = topology.vertex_named("node 0 NIC 0").expect("it is there");
    let cable = topology.out(nic).last().expect("it has a cable");
    contention.faults.faults.push(orrery_scenario::cluster::Fault {
        place: orrery_scenario::cluster::Place::Link(cable),
        left: orrery_units::Ratio::ZERO,
        windows: vec![orrery_scenario::cluster::Window {
            from: SimTime::from_picos(5),
            until: SimTime::from_picos(9),
        }],
    });
    let (_, resources) = laid(&contention, |wires| vec![wires.message(0, 4)]);
    let capacities: Vec<BytesPerSec> = resources.changes.iter().map(|change| change.capacity).collect();
    let whole = topology.wire(cable).capacity;
    assert_eq!(capacities, [BytesPerSec::default(), whole]);
}

/// Between two sites 5 ms apart, every chunk of an all-reduce passes both cables of the ring twice: 20 ms. A message
/// passes one once.
#[test]
fn what_goes_from_site_to_site_takes_its_time() {
    let mut contention = contention(1.0);
    let FabricShape::Clos(tree) = &mut contention.blueprint.fabric else {
        panic!("a fat tree")
    };
    let site = |name: &str| Site {
        name: name.to_owned(),
        num_nodes: 2,
    };
    tree.sites = vec![site("here"), site("there")];
    tree.wide_area = vec![WideAreaLink {
        from: 0,
        to: 1,
        capacity: BytesPerSec::new(100e9),
        latency: SimDuration::from_millis(5),
    }];
    let topology = Topology::build(contention.blueprint.clone()).expect("it builds");
    let health = contention.faults.lasting(&topology);
    let mut wires = Wires::new(&topology, &health, &contention, Seed::new(1));
    let everybody: Vec<u32> = (0..8).collect();
    let rings = wires.ring(&everybody, BytesPerSec::new(10e9), 2);
    let near = wires.ring(&everybody[..4], BytesPerSec::new(10e9), 2);
    let message = wires.message(3, 6);
    let wired = wires.install(&mut Resources::new());
    let millis = |laid| wired.detour(laid).as_picos() / 1_000_000_000;
    assert!(
        rings.iter().all(|&laid| millis(laid) == 20),
        "{}",
        millis(rings[0])
    );
    assert!(near.iter().all(|&laid| millis(laid) == 0), "one site");
    assert_eq!(millis(message), 5);
}
