//! `[cluster.fabric]` and `[cluster.fault]`: from the file to links that hang together, or to a fault that helps.

mod support;

use orrery_scenario::cluster::{FabricShape, Topology};
use orrery_scenario::plan::Contention;
use orrery_scenario::render;
use orrery_units::SimTime;
use support::load_with;

/// The head of a scenario, up to its cluster.
const HEAD: &str = include_str!("support/head.scenario.toml");

/// A small job on 8 nodes of 8 devices, with `tables` added.
fn job(tables: &str) -> String {
    format!(
        r#"{HEAD}nodes = 8

[cluster.node]
gpu = "h100-sxm"

[parallel]
pp = 1
ep = 64

[training]
seq_len = 4096
global_batch = 64

{tables}
"#
    )
}

fn contention(tables: &str) -> Option<Contention> {
    let tree = "SwitchName=s0 Nodes=n[0-3]\nSwitchName=s1 Nodes=n[4-7]\nSwitchName=top Switches=s[0-1]\n";
    match load_with(&job(tables), &[("topology.conf", tree)], &[]) {
        Ok(plan) => plan.cluster.fabric.contention,
        Err(faults) => panic!("{}", render(&faults)),
    }
}

/// The code and help of the only fault.
fn fault(tables: &str) -> (String, String) {
    let faults = load_with(&job(tables), &[], &[]).expect_err("it has a fault");
    assert_eq!(faults.len(), 1, "{}", render(&faults));
    (
        faults[0].code.to_owned(),
        faults[0].help.clone().unwrap_or_default(),
    )
}

#[test]
fn links_are_shared_where_something_is_felt_there_only() {
    assert_eq!(contention(""), None);
    assert_eq!(
        contention("[cluster.fabric]\nkind = \"fat-tree\"\noversubscription = 1.0"),
        None
    );
    for tables in [
        "[cluster.fabric]\ncontention = \"links\"",
        "[cluster.fabric]\noversubscription = 2.0",
        "[cluster.fabric]\nrouting = \"ecmp\"",
        "[cluster.fault.slow]\nat = \"node 3 NIC 1\"\nleft = 0.5",
    ] {
        assert!(contention(tables).is_some(), "{tables}");
    }
}

#[test]
fn every_shape_is_built_as_the_file_says() {
    let shape = |tables| contention(tables).expect("it shares links").blueprint.fabric;
    let tables = "[cluster.fabric]\nrails = 8\nnodes_per_block = 4\nspines = 16\noversubscription = 2.0";
    let FabricShape::Clos(tree) = shape(tables) else {
        panic!("a fat tree")
    };
    assert_eq!((tree.nodes_per_block, tree.num_spines), (4, 16));
    let tables = "[cluster.fabric]\nkind = \"torus\"\ndimensions = [2, 2, 2]\nlink = \"400 Gbit/s\"";
    assert!(matches!(shape(tables), FabricShape::Torus(torus) if torus.dimensions == [2, 2, 2]));
    let tables = "[cluster.fabric]\nkind = \"dragonfly\"\ngroups = 2\nrouters_per_group = 2\nnodes_per_router = 2\n\
                  link = \"400 Gbit/s\"\nglobal_link = \"400 Gbit/s\"";
    assert!(matches!(shape(tables), FabricShape::Dragonfly(fly) if fly.num_groups == 2));
    let tables = "[cluster.fabric]\nsites = [4, 4]\nwide_area = \"800 Gbit/s\"\nwide_area_latency = \"5 ms\"";
    let FabricShape::Clos(tree) = shape(tables) else {
        panic!("a fat tree")
    };
    assert_eq!((tree.sites.len(), tree.wide_area.len()), (2, 1));
    let tables = "[cluster.fabric]\ntopology = \"topology.conf\"";
    assert!(matches!(shape(tables), FabricShape::Tree(tree) if tree.nodes.len() == 8));
}

#[test]
fn a_fault_of_the_file_changes_its_links() {
    let tables = "[cluster.fault.flap]\nat = \"node 3 NIC 1\"\nleft = \"25 %\"\nfrom = \"1 s\"\nuntil = \"2 s\"\n\
                  every = \"10 s\"\ntimes = 2";
    let contention = contention(tables).expect("it shares links");
    let topology = Topology::build(contention.blueprint).expect("it was built at load");
    let changes = contention.faults.changes(&topology);
    let vertex = topology.vertex_named("node 3 NIC 1").expect("it is there");
    let cable = topology.out(vertex).last().expect("it has a cable");
    let own = changes.iter().filter(|change| change.link == cable);
    let own: Vec<(SimTime, f64)> = own.map(|change| (change.at, change.left.get())).collect();
    let second = |seconds: u64| SimTime::from_picos(seconds * 1_000_000_000_000);
    let expected = [(1, 0.25), (2, 1.0), (11, 0.25), (12, 1.0)];
    assert_eq!(own, expected.map(|(at, left)| (second(at), left)));
}

#[test]
fn what_cannot_be_wired_says_what_would_help() {
    let cases = [
        (
            "[cluster.fabric]\nkind = \"torus\"\nlink = \"50 GB/s\"",
            "S046",
            "dimensions = [4, 4, 4]",
        ),
        (
            "[cluster.fabric]\nkind = \"torus\"\ndimensions = [4, 4]\nlink = \"50 GB/s\"",
            "S046",
            "let the product of the dimensions be the number of nodes",
        ),
        (
            "[cluster.fabric]\nrails = 3\ncontention = \"links\"",
            "S046",
            "rails = 8, or 0",
        ),
        (
            "[cluster.fabric]\ncontention = \"none\"\nrouting = \"ecmp\"",
            "S047",
            "contention = \"links\"",
        ),
        (
            "[cluster.fabric]\nsites = [4, 4]\nwide_area = \"800 Gbit/s\"",
            "S046",
            "wide_area_latency = \"5 ms\"",
        ),
        (
            "[cluster.fabric]\nsites = [4, 5]\nwide_area = \"800 Gbit/s\"\nwide_area_latency = \"5 ms\"",
            "S046",
            "let the nodes of the sites add up to those of the cluster",
        ),
        (
            "[cluster.fault.x]\nat = \"node 9 NIC 1\"",
            "S048",
            "name a device, NIC or switch, or a cable as `<one end> -> <other end>`",
        ),
        (
            "[cluster.fault.x]\nat = \"node 1 NIC 1\"\nfrom = \"1 s\"",
            "S048",
            "until = \"1.5 s\"",
        ),
        (
            "[cluster.fault.x]\nat = \"node 1 NIC 1\"\nfrom = \"2 s\"\nuntil = \"1 s\"",
            "S048",
            "from = \"1 s\", until = \"1.5 s\", every = \"2 s\"",
        ),
        (
            "[cluster.fabric]\ntopology = \"absent.conf\"",
            "S010",
            "paths are relative to the scenario file",
        ),
    ];
    for (tables, code, help) in cases {
        assert_eq!(fault(tables), (code.to_owned(), help.to_owned()), "{tables}");
    }
    let (code, help) = fault("[cluster.fault.x]\nat = \"node 1 device 2\"");
    assert_eq!(code, "S049", "{help}");
}

/// A rack of 72 devices is one scale-up network: 32 nodes of four are two racks of 64, and a group of 64 in one of
/// them crosses no network. Eight H100 are a node.
#[test]
fn a_rack_counts_as_a_node() {
    let domain = |gpu: &str, nodes: u32, gpus: u32| {
        let text = job("")
            .replace("h100-sxm", &format!("{gpu}\"\ngpus = {gpus}\nx-end = \""))
            .replace("nodes = 8", &format!("nodes = {nodes}"))
            .replace("global_batch = 64", &format!("global_batch = {}", nodes * gpus))
            .replace("ep = 64", "ep = 8");
        match load_with(&text, &[], &[]) {
            Ok(plan) => plan.layout,
            Err(faults) => panic!("{}", render(&faults)),
        }
    };
    let layout = domain("GB200", 32, 4);
    assert_eq!(layout.devices_per_domain, 64);
    let ranks: Vec<u32> = (64..128).collect();
    assert_eq!(layout.shape_of(&ranks).nodes, 1);
    assert_eq!(domain("GB200", 36, 4).devices_per_domain, 72);
    assert_eq!(domain("H100", 8, 8).devices_per_domain, 8);
}
