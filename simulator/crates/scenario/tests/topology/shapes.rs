//! The topologies that the other tests use, and that each is what it says.

use orrery_scenario::catalog::hardware;
use orrery_scenario::cluster::{
    Blueprint, ClosShape, DragonflyShape, FabricShape, LinkKind, NodeShape, ScaleUp, Site, SwitchTree,
    Topology, TorusShape, TreeSwitch, VertexKind, WideAreaLink, Wiring,
};
use orrery_scenario::plan::{Cluster, Fabric, Node};
use orrery_units::{BytesPerSec, DeviceId, SimDuration};

/// A rate in GB/s.
pub(crate) fn gigabytes(rate: f64) -> BytesPerSec {
    BytesPerSec::new(rate * 1e9)
}

/// A planned cluster of usual nodes.
pub(crate) fn cluster(gpu: &str, num_nodes: u32, oversubscription: f64) -> Cluster {
    let entry = hardware(gpu).expect("the catalogue has it");
    Cluster {
        node: Node {
            num_devices: entry.num_devices,
            scale_up: entry.scale_up,
            scale_up_latency: SimDuration::from_nanos(600),
            num_nics: entry.num_nics,
            nic: entry.nic,
            nic_latency: SimDuration::from_nanos(2_700),
        },
        device: entry.device,
        num_nodes,
        fabric: Fabric {
            oversubscription,
            switch_latency: SimDuration::from_nanos(300),
            contention: None,
        },
    }
}

/// An 8-device box on a switch.
pub(crate) fn switched_node() -> NodeShape {
    NodeShape {
        num_devices: 8,
        scale_up: ScaleUp::Switch {
            port: gigabytes(450.0),
            nodes: 1,
        },
        scale_up_latency: SimDuration::from_nanos(600),
        num_nics: 8,
        nic: gigabytes(50.0),
        nic_latency: SimDuration::from_nanos(2_700),
        pcie: gigabytes(63.0),
        devices_per_switch: 2,
        num_sockets: 2,
    }
}

/// A fat tree of two levels.
pub(crate) fn two_levels(wiring: Wiring, oversubscription: f64) -> ClosShape {
    ClosShape {
        wiring,
        nodes_per_block: 4,
        num_spines: 4,
        oversubscription,
        blocks_per_pod: None,
        num_cores: 0,
        pod_oversubscription: 1.0,
        switch_latency: SimDuration::from_nanos(300),
        sites: Vec::new(),
        wide_area: Vec::new(),
    }
}

/// A fat tree of three levels, pods of two blocks.
pub(crate) fn three_levels(wiring: Wiring) -> ClosShape {
    ClosShape {
        blocks_per_pod: Some(2),
        num_cores: 3,
        pod_oversubscription: 2.0,
        ..two_levels(wiring, 1.0)
    }
}

/// Three sites in a row, of 4, 4 and 8 nodes.
pub(crate) fn three_sites(base: ClosShape) -> ClosShape {
    let site = |name: &str, num_nodes| Site {
        name: name.to_owned(),
        num_nodes,
    };
    let link = |from, to| WideAreaLink {
        from,
        to,
        capacity: gigabytes(100.0),
        latency: SimDuration::from_millis(5),
    };
    ClosShape {
        sites: vec![site("north", 4), site("middle", 4), site("south", 8)],
        wide_area: vec![link(0, 1), link(1, 2)],
        ..base
    }
}

pub(crate) fn torus(dimensions: [u32; 3]) -> TorusShape {
    TorusShape {
        dimensions,
        link: gigabytes(100.0),
        latency: SimDuration::from_nanos(500),
    }
}

fn dragonfly() -> DragonflyShape {
    DragonflyShape {
        num_groups: 5,
        routers_per_group: 3,
        nodes_per_router: 2,
        local: gigabytes(25.0),
        global: gigabytes(25.0),
        local_latency: SimDuration::from_nanos(300),
        global_latency: SimDuration::from_nanos(1_000),
    }
}

fn tree() -> SwitchTree {
    let switch = |name: &str, parent| TreeSwitch {
        name: name.to_owned(),
        parent,
    };
    SwitchTree {
        switches: vec![
            switch("root", None),
            switch("left", Some(0)),
            switch("right", Some(0)),
            switch("far", Some(2)),
        ],
        nodes: (0..6).map(|node| format!("n{node}")).collect(),
        switch_of_node: vec![1, 1, 2, 2, 3, 3],
        oversubscription: 2.0,
        switch_latency: SimDuration::from_nanos(300),
    }
}

/// Such nodes below such a fabric.
pub(crate) fn build(node: NodeShape, num_nodes: u32, fabric: FabricShape) -> Topology {
    Topology::build(Blueprint {
        domain: node.domain(),
        num_nodes,
        fabric,
        assumptions: Vec::new(),
    })
    .expect("it builds")
}

/// One of each shape, by name.
pub(crate) fn all() -> Vec<(&'static str, Topology)> {
    let node = switched_node();
    let pcie = NodeShape {
        scale_up: ScaleUp::Pcie,
        num_nics: 2,
        ..node
    };
    let mesh = NodeShape {
        scale_up: ScaleUp::Mesh {
            pair: gigabytes(64.0),
            group: 8,
        },
        ..node
    };
    let bridged = NodeShape {
        scale_up: ScaleUp::Mesh {
            pair: gigabytes(300.0),
            group: 2,
        },
        num_nics: 4,
        ..node
    };
    let clos = |shape| FabricShape::Clos(shape);
    let rails = || two_levels(Wiring::Rails, 2.0);
    vec![
        ("rails", build(node, 12, clos(rails()))),
        (
            "block leaves",
            build(node, 12, clos(two_levels(Wiring::Nodes, 1.0))),
        ),
        (
            "three levels, rails",
            build(node, 24, clos(three_levels(Wiring::Rails))),
        ),
        ("three levels", build(node, 24, clos(three_levels(Wiring::Nodes)))),
        ("sites", build(node, 16, clos(three_sites(rails())))),
        (
            "sites of three levels",
            build(node, 16, clos(three_sites(three_levels(Wiring::Nodes)))),
        ),
        (
            "torus 4x4x2",
            build(node, 32, FabricShape::Torus(torus([4, 4, 2]))),
        ),
        ("torus 5x3", build(node, 15, FabricShape::Torus(torus([5, 3, 1])))),
        ("dragonfly", build(node, 30, FabricShape::Dragonfly(dragonfly()))),
        ("tree", build(node, 6, FabricShape::Tree(tree()))),
        ("PCIe", build(pcie, 12, clos(rails()))),
        ("mesh", build(mesh, 12, clos(rails()))),
        ("bridged pairs", build(bridged, 12, clos(rails()))),
        ("rack domains", Topology::of(&cluster("GB200", 36, 1.0))),
        ("planned", Topology::of(&cluster("H100", 65, 2.0))),
    ]
}

#[test]
fn a_planned_cluster_is_a_rail_wired_fat_tree() {
    let topology = Topology::of(&cluster("H100", 64, 1.0));
    let count = |kind| {
        let kinds = topology.links().filter(|(_, link)| link.wire.kind == kind);
        kinds.count()
    };
    assert_eq!(topology.num_devices(), 512);
    // 8 rails x 2 blocks of 32 nodes, 32 spines above each leaf; both directions.
    assert_eq!(count(LinkKind::LeafSpine), 2 * 16 * 32);
    assert_eq!(count(LinkKind::Nic), 2 * 512);
    assert_eq!(count(LinkKind::ScaleUp), 2 * 512);
    let FabricShape::Clos(shape) = topology.fabric() else {
        panic!("a fat tree")
    };
    assert_eq!((shape.wiring, shape.blocks_per_pod), (Wiring::Rails, None));
}

#[test]
fn large_clusters_have_three_levels_and_little_weight() {
    let topology = Topology::of(&cluster("H100", 2048, 1.0));
    assert_eq!(topology.num_devices(), 16_384);
    let FabricShape::Clos(shape) = topology.fabric() else {
        panic!("a fat tree")
    };
    assert_eq!((shape.blocks_per_pod, shape.num_cores), (Some(4), 32));
    let bytes = topology.heap_bytes();
    assert!(bytes < 4 << 20, "{bytes} bytes");
}

#[test]
fn racks_are_filled_evenly() {
    // 32 nodes of 4: a rack holds 18 of them, two racks hold 16 each.
    let topology = Topology::of(&cluster("GB200", 32, 1.0));
    assert_eq!((topology.num_domains(), topology.domain().num_nodes()), (2, 16));
    let whole = Topology::of(&cluster("GB200", 18, 1.0));
    assert_eq!((whole.num_domains(), whole.fabric()), (1, &FabricShape::None));
}

#[test]
fn more_nics_than_devices_are_bundled_and_fewer_are_shared() {
    let node = NodeShape {
        num_nics: 32,
        nic: gigabytes(12.5),
        ..switched_node()
    };
    assert_eq!((node.num_ports(), node.port_rate().get()), (8, 50e9));
    let shared = NodeShape {
        num_nics: 2,
        ..switched_node()
    };
    let topology = build(shared, 4, FabricShape::Clos(two_levels(Wiring::Rails, 1.0)));
    let nics: Vec<Option<u32>> = (0..8)
        .map(|device| topology.nic_of(DeviceId::new(device)))
        .collect();
    assert_eq!(nics, [0, 0, 0, 0, 1, 1, 1, 1].map(Some));
}

#[test]
fn every_cable_has_two_directions_and_every_link_a_name_of_its_own() {
    for (name, topology) in all() {
        let mut names: Vec<String> = topology.links().map(|(id, _)| topology.link_name(id)).collect();
        for (id, link) in topology.links() {
            let back = topology.reverse(id).expect("there is a way back");
            let there = topology.link(back);
            assert_eq!(
                (there.from, there.to, there.wire),
                (link.to, link.from, link.wire),
                "{name}"
            );
            assert_eq!(topology.find(link.from, link.to), Some(id), "{name}");
        }
        names.sort();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "{name}");
    }
}

#[test]
fn names_say_where() {
    let topology = build(
        switched_node(),
        12,
        FabricShape::Clos(two_levels(Wiring::Rails, 1.0)),
    );
    assert_eq!(topology.device_name(DeviceId::new(19)), "node 2 device 3");
    let nic = topology.nic(2, 3);
    let up = topology
        .out(nic)
        .find(|&link| topology.wire(link).kind == LinkKind::Nic);
    let name = topology.link_name(up.expect("a NIC has a port"));
    assert_eq!(name, "node 2 NIC 3 -> block 0 rail 3 leaf");
    assert_eq!(topology.link_named(&name), up);
    assert_eq!(topology.kind(nic), VertexKind::Nic);
}

#[test]
fn blueprints_that_do_not_fit_say_what_would() {
    let node = switched_node();
    let refused = |num_nodes, fabric| {
        let built = Topology::build(Blueprint {
            domain: node.domain(),
            num_nodes,
            fabric,
            assumptions: Vec::new(),
        });
        built.expect_err("it does not fit").to_string()
    };
    let message = refused(10, FabricShape::Torus(torus([3, 3, 1])));
    assert!(
        message.starts_with("a torus of 3 x 3 x 1 does not hold 10 nodes"),
        "{message}"
    );
    assert!(refused(2, FabricShape::None).contains("nothing joins them"));
    let sites = three_sites(two_levels(Wiring::Rails, 1.0));
    assert!(refused(17, FabricShape::Clos(sites)).contains("the sites hold 16 nodes"));
    assert!(refused(4, FabricShape::Clos(two_levels(Wiring::Rails, 0.5))).contains("below 1"));
    assert!(refused(99, FabricShape::Dragonfly(dragonfly())).contains("does not hold 99"));
}
