//! NCCL's topology files, the vendor's device matrix, Slurm's topology.conf: read whole, refused with a line.

use orrery_scenario::cluster::import::{ImportFaults, Usual, device_matrix, nccl_xml, slurm_topology};
use orrery_scenario::cluster::{
    Blueprint, CrossRail, Domain, FabricShape, LinkKind, Topology, VertexKind, Wiring,
};
use orrery_units::DeviceId;
use proptest::prelude::*;

use super::routes::{hashed, route, whole};
use super::shapes::{gigabytes, switched_node, two_levels};

/// Rates between devices of a domain, in GB/s, rounded to a tenth.
fn rate(domain: &Domain, from: u32, to: u32) -> f64 {
    let rate = domain.bandwidth(from, to).expect("there is a path").get() / 1e9;
    (rate * 10.0).round() / 10.0
}

fn alone(domain: Domain) -> Topology {
    Topology::build(Blueprint {
        num_nodes: domain.num_nodes(),
        domain,
        fabric: FabricShape::None,
        assumptions: Vec::new(),
    })
    .expect("it builds")
}

/// What the matrix would print of two devices.
fn relation(topology: &Topology, from: u32, to: u32) -> &'static str {
    let path = route(topology, hashed(1, CrossRail::Pxn), from, to);
    let links: Vec<_> = path.hops.iter().map(|hop| topology.link(hop.link)).collect();
    let has = |kind| links.iter().any(|link| link.wire.kind == kind);
    let passes = |kind| links.iter().filter(|link| topology.kind(link.to) == kind).count();
    match passes(VertexKind::PcieSwitch) {
        _ if has(LinkKind::ScaleUp) => "NV",
        _ if has(LinkKind::Socket) => "SYS",
        _ if has(LinkKind::HostBridge) => "NODE",
        _ if passes(VertexKind::HostBridge) > 0 => "PHB",
        1 => "PIX",
        _ => "PXB",
    }
}

#[test]
fn a_dump_of_a_switched_box_reads_whole() {
    let read = nccl_xml(include_str!("../data/nccl_switched.xml"), &Usual::values()).expect("it reads");
    let domain = &read.domain;
    assert_eq!((domain.devices().len(), domain.nics().len()), (4, 4));
    // 18 links of 25 GB/s, whichever of the four switch chips they lead to.
    assert!((rate(domain, 0, 3) - 450.0).abs() < 0.1);
    assert!(
        domain
            .nics()
            .iter()
            .all(|nic| (nic.port.capacity.get() - 50e9).abs() < 1.0)
    );
    let own: Vec<Option<u32>> = (0..4).map(|device| domain.own_nic(device)).collect();
    assert_eq!(own, [0, 1, 2, 3].map(Some));
    assert_eq!(domain.rail_peer(0, 3), Some(3));
    let report = read.report.to_string();
    assert!(report.contains("cluster.node.gpus = 4"), "{report}");
    assert!(
        report.contains("one NVLink = 25 GB/s each way   (sm 90, hardware catalogue)"),
        "{report}"
    );
    assert!(report.contains("NUMA 0 to others = 22 GB/s each way"), "{report}");
    assert!(report.contains("understood: 100.0 %"), "{report}");
}

#[test]
fn a_dump_is_laid_into_a_cluster() {
    let read = nccl_xml(include_str!("../data/nccl_switched.xml"), &Usual::values()).expect("it reads");
    let blueprint = read.blueprint(8, FabricShape::Clos(two_levels(Wiring::Rails, 1.0)));
    let topology = Topology::build(blueprint).expect("it builds");
    assert_eq!(topology.num_devices(), 32);
    assert_eq!(topology.device_name(DeviceId::new(5)), "node 1 0000:20:00.0");
    let path = route(&topology, hashed(1, CrossRail::Pxn), 1, 4 + 2);
    let names: Vec<String> = path
        .hops
        .iter()
        .map(|hop| topology.vertex_name(topology.link(hop.link).to))
        .collect();
    assert_eq!(
        names[1], "node 0 0000:30:00.0",
        "PXN goes to the device of the rail"
    );
    assert_eq!(names[3], "node 0 mlx5_2");
    assert_eq!(names.len(), 8);
}

#[test]
fn a_dump_without_links_goes_over_pcie_and_sockets() {
    let read = nccl_xml(include_str!("../data/nccl_pcie.xml"), &Usual::values()).expect("it reads");
    let topology = alone(read.domain.clone());
    assert_eq!(relation(&topology, 0, 1), "PIX");
    assert_eq!(relation(&topology, 0, 2), "SYS");
    assert!((rate(&read.domain, 0, 1) - 31.5).abs() < 0.1, "Gen4 x16");
    assert!(
        (rate(&read.domain, 0, 2) - 16.0).abs() < 0.1,
        "between AMD sockets, by NCCL's table"
    );
    // Two ports of 100 Gbit/s are one of 200; what has no `dev` is left out, as NCCL does.
    assert_eq!(read.domain.nics().len(), 1);
    assert!((read.domain.nics()[0].port.capacity.get() - 25e9).abs() < 1.0);
    let report = read.report.to_string();
    assert!(report.contains("eth0"), "{report}");
    assert!(report.contains("0000:41:00.0 = 16 lanes or 8 GT/s"), "{report}");
}

#[test]
fn links_in_a_ring_forward_once() {
    let read = nccl_xml(include_str!("../data/nccl_ring.xml"), &Usual::values()).expect("it reads");
    let topology = alone(read.domain.clone());
    assert!(
        (rate(&read.domain, 0, 1) - 40.0).abs() < 0.1,
        "two links of 20 GB/s"
    );
    assert!((rate(&read.domain, 1, 2) - 20.0).abs() < 0.1);
    let over = route(&topology, hashed(1, CrossRail::Pxn), 0, 2);
    assert_eq!(over.hops.len(), 2, "over the device between");
    assert!(
        over.hops
            .iter()
            .all(|hop| topology.wire(hop.link).kind == LinkKind::ScaleUp)
    );
    assert!(over.bandwidth(&topology, &whole(&topology)).is_some());
}

#[test]
fn a_file_of_a_provider_is_read_by_its_classes() {
    let read = nccl_xml(include_str!("../data/nccl_provider.xml"), &Usual::values()).expect("it reads");
    assert_eq!((read.domain.devices().len(), read.domain.nics().len()), (2, 2));
    assert!(
        read.report
            .assumed
            .iter()
            .any(|line| line.field == "0001:00:00.0")
    );
}

/// Faults of a changed copy of a good file, as text.
fn refused(read: Result<impl Sized, ImportFaults>) -> String {
    match read {
        Ok(_) => panic!("it is refused"),
        Err(faults) => faults.to_string(),
    }
}

#[test]
fn broken_dumps_are_refused_with_line_and_fix() {
    let good = include_str!("../data/nccl_switched.xml");
    let ring = include_str!("../data/nccl_ring.xml");
    let check = |text: String, expected: &str| {
        let message = refused(nccl_xml(&text, &Usual::values()));
        assert!(message.contains(expected), "{message}");
        assert!(message.contains("= help: "), "{message}");
    };
    check(good.replace("</system>", ""), "no XML");
    check(
        good.replace("system version=\"1\"", "system version=\"9\""),
        "line 2: version `9`",
    );
    check(
        good.replace("link_width=\"16\"", "link_width=\"wide\""),
        "line 4: `link_width=\"wide\"` is no number",
    );
    check(
        good.replace("speed=\"400000\"", "speed=\"fast\""),
        "`speed=\"fast\"` is no number",
    );
    check(
        good.replace(" busid=\"0000:0f:00.0\"", ""),
        "line 4: a `pci` without `busid`",
    );
    check(
        "<system version=\"1\"><cpu numaid=\"0\"/></system>".to_owned(),
        "line 1: the file has no device",
    );
    check("<html/>".to_owned(), "line 1: the outermost element is `html`");
    check(
        ring.replacen("count=\"2\"", "count=\"3\"", 1),
        "3 links from `0000:0a:00.0` to `0000:0b:00.0`, but 2 back",
    );
    check(
        good.replacen("count=\"4\"", "count=\"0\"", 1),
        "an `nvlink` without a `count`",
    );
    // All faults at once.
    let both = good.replace("link_width=\"16\"", "link_width=\"x\"");
    assert!(
        refused(nccl_xml(&both, &Usual::values()))
            .matches("= help")
            .count()
            > 3
    );
}

#[test]
fn a_matrix_of_a_switched_box_reads_whole() {
    let usual = Usual {
        device: Some("H100".to_owned()),
        ..Usual::values()
    };
    let read = device_matrix(include_str!("../data/matrix_switched.txt"), &usual).expect("it reads");
    let domain = &read.domain;
    assert_eq!((domain.devices().len(), domain.nics().len()), (8, 8));
    assert!((rate(domain, 2, 7) - 450.0).abs() < 0.1);
    let own: Vec<Option<u32>> = (0..8).map(|device| domain.own_nic(device)).collect();
    assert_eq!(own, [0, 1, 2, 3, 4, 5, 6, 7].map(Some));
    let report = read.report.to_string();
    assert!(
        report.contains("cluster.node.scale_up.kind = a switch"),
        "{report}"
    );
    assert!(report.contains("sockets = 2"), "{report}");
    let topology = alone(read.domain);
    assert_eq!(topology.vertex_name(topology.nic(0, 5)), "node 0 mlx5_5");
}

#[test]
fn a_matrix_comes_back_out_of_its_tree() {
    let text = include_str!("../data/matrix_pcie.txt");
    let read = device_matrix(text, &Usual::values()).expect("it reads");
    assert_eq!(read.domain.own_nic(2), Some(0), "its neighbour on the switch");
    assert_eq!(read.domain.own_nic(5), Some(1));
    let topology = alone(read.domain);
    for (from, line) in (0u32..).zip(text.lines().skip(1).take(6)) {
        for (to, cell) in (0u32..6).zip(line.split_whitespace().skip(1)) {
            if from != to {
                assert_eq!(relation(&topology, from, to), cell, "GPU{from} to GPU{to}");
            }
        }
    }
}

#[test]
fn four_devices_of_few_links_are_joined_in_pairs() {
    let mut text = "\tGPU0\tGPU1\tGPU2\tGPU3\tCPU Affinity\tNUMA Affinity\n".to_owned();
    for row in 0..4 {
        let cells: Vec<&str> = (0..4)
            .map(|column| if row == column { "X" } else { "NV6" })
            .collect();
        text.push_str(&format!("GPU{row}\t{}\t0-31\t0\n", cells.join("\t")));
    }
    let read = device_matrix(&text, &Usual::values()).expect("it reads");
    // 3 x 6 links are what an H100 has: four of them joined in pairs, 150 GB/s each.
    assert!((rate(&read.domain, 0, 3) - 150.0).abs() < 0.1);
    assert!(
        read.domain
            .vertices()
            .iter()
            .all(|vertex| vertex.kind != VertexKind::ScaleUpSwitch)
    );
}

#[test]
fn broken_matrices_are_refused_with_line_and_fix() {
    let good = include_str!("../data/matrix_pcie.txt");
    let check = |text: String, expected: &str| {
        let message = refused(device_matrix(&text, &Usual::values()));
        assert!(message.contains(expected), "{message}");
        assert!(message.contains("= help: "), "{message}");
    };
    check("nothing here".to_owned(), "no header line");
    check(good.replacen("PIX", "PIZ", 1), "line 2: `PIZ` is no relation");
    check(
        good.replacen("PIX", "PXB", 1),
        "line 3: `GPU1` to `GPU0` is not the same both ways",
    );
    let cut: Vec<&str> = good.lines().filter(|line| !line.starts_with("GPU3")).collect();
    check(cut.join("\n"), "7 rows do not match 8 columns");
    let usual = Usual {
        device: Some("H1000".to_owned()),
        ..Usual::values()
    };
    assert!(refused(device_matrix(good, &usual)).contains("no device `H1000`"));
}

#[test]
fn a_tree_of_switches_joins_nodes_in_the_order_of_its_leaves() {
    let read = slurm_topology(include_str!("../data/slurm_tree.conf"), &Usual::values()).expect("it reads");
    assert_eq!(read.tree.nodes.len(), 9);
    assert_eq!(
        read.tree.nodes[4..],
        ["node005", "node006", "extra1", "node010", "node012"]
    );
    let report = read.report.to_string();
    assert!(report.contains("cluster.nodes = 9"), "{report}");
    assert!(report.contains("LinkSpeed = 400"), "{report}");
    let topology = Topology::build(Blueprint {
        domain: switched_node().domain(),
        num_nodes: 9,
        fabric: FabricShape::Tree(read.tree),
        assumptions: Vec::new(),
    })
    .expect("it builds");
    let path = route(&topology, hashed(1, CrossRail::Pxn), 0, 8 * 8);
    let names: Vec<String> = path
        .hops
        .iter()
        .map(|hop| topology.vertex_name(topology.link(hop.link).to))
        .collect();
    assert_eq!(
        names[1..6],
        [
            "node001 NIC 0",
            "switch leaf1",
            "switch spine",
            "switch leaf3",
            "node012 NIC 0"
        ]
    );
    // Four nodes of 400 GB/s below, not oversubscribed.
    assert!((topology.wire(path.hops[3].link).capacity.get() - gigabytes(1600.0).get()).abs() < 1.0);
}

#[test]
fn blocks_become_leaves() {
    let read = slurm_topology(include_str!("../data/slurm_blocks.conf"), &Usual::values()).expect("it reads");
    assert_eq!((read.tree.nodes.len(), read.tree.switches.len()), (12, 4));
    assert_eq!(read.block_sizes, [4, 8]);
    assert!(
        read.report
            .assumed
            .iter()
            .any(|line| line.field == "switch above the blocks")
    );
}

#[test]
fn broken_topology_files_are_refused_with_line_and_fix() {
    let check = |text: &str, expected: &str| {
        let message = refused(slurm_topology(text, &Usual::values()));
        assert!(message.contains(expected), "{message}");
        assert!(message.contains("= help: "), "{message}");
    };
    check("", "no `SwitchName=` and no `BlockName=` line");
    check("SwitchName=a Nodes=n[1-", "line 1: a `[` without its `]`");
    check(
        "SwitchName=a Nodes=n[1-2]\nSwitchName=b Nodes=n2",
        "line 2: node `n2` is on `a` and on `b`",
    );
    check(
        "SwitchName=a Nodes=n1\nSwitchName=top Switches=a,b",
        "line 2: no switch `b`, which `top` names",
    );
    check(
        "SwitchName=a Nodes=n1\nSwitchName=a Nodes=n2",
        "line 2: switch `a` stands on line 1 already",
    );
    check(
        "SwitchName=a Nodes=n1\nSwitchName=s Switches=a\nSwitchName=t Switches=a",
        "line 3: switch `a` is below `s` and `t`",
    );
    check(
        "SwitchName=a Nodes=n1\nSwitchName=s Switches=t\nSwitchName=t Switches=s",
        "run in a circle",
    );
    check("SwitchName=a", "line 1: switch `a` has nothing below it");
    check("SwitchName=a Nodes=ALL", "`ALL` does not say which nodes");
    check(
        "SwitchName=a Nodes=n1\nBlockName=b Nodes=n2",
        "line 2: blocks and switches in one file",
    );
    check(
        "BlockName=b Nodes=n1\nBlockSizes=four",
        "line 2: `four` are no block sizes",
    );
    check("Nodes=n[1-4]", "line 1: a list without a `SwitchName=`");
}

/// A piece of `text` written over with another piece of it, at characters.
fn garbled(text: &str, [from, to, into, until]: [usize; 4]) -> String {
    let characters: Vec<char> = text.chars().collect();
    let place = |at: usize| at % (characters.len() + 1);
    let span = |one: usize, other: usize| place(one).min(place(other))..place(one).max(place(other));
    let (piece, hole) = (span(from, to), span(into, until));
    let mut garbled: String = characters[..hole.start].iter().collect();
    garbled.extend(&characters[piece]);
    garbled.extend(&characters[hole.end..]);
    garbled
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever was done to a file, it is read or refused with a fault; it never stops the program.
    #[test]
    fn garbled_files_are_read_or_refused(places in any::<[usize; 4]>(), short in 0usize..40) {
        let [from, _, into, _] = places;
        let places = [from % 5_000, from % 5_000 + short, into % 5_000, into % 5_000 + short / 2];
        let usual = Usual::values();
        for text in [include_str!("../data/nccl_switched.xml"), include_str!("../data/nccl_ring.xml")] {
            if let Err(faults) = nccl_xml(&garbled(text, places), &usual) {
                prop_assert!(!faults.0.is_empty());
            }
        }
        for text in [include_str!("../data/matrix_switched.txt"), include_str!("../data/matrix_pcie.txt")] {
            if let Err(faults) = device_matrix(&garbled(text, places), &usual) {
                prop_assert!(!faults.0.is_empty());
            }
        }
        for text in [include_str!("../data/slurm_tree.conf"), include_str!("../data/slurm_blocks.conf")] {
            if let Err(faults) = slurm_topology(&garbled(text, places), &usual) {
                prop_assert!(!faults.0.is_empty());
            }
        }
    }
}
