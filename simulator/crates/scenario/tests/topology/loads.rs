//! Bytes per link, the busiest of them, and jobs that meet.

use orrery_scenario::cluster::{
    CrossRail, FabricShape, LinkKind, LinkLoads, Placement, Policy, Router, Topology, Wiring,
};
use orrery_units::{Bytes, DeviceId, SimDuration};

use super::routes::{hashed, whole};
use super::shapes::{build, switched_node, three_sites, two_levels};

fn rails(oversubscription: f64) -> Topology {
    build(
        switched_node(),
        12,
        FabricShape::Clos(two_levels(Wiring::Rails, oversubscription)),
    )
}

/// A ring over the ranks of a job: each sends `bytes` to the next.
fn ring(ranks: u32, bytes: Bytes) -> Vec<(u32, u32, Bytes)> {
    (0..ranks).map(|rank| (rank, (rank + 1) % ranks, bytes)).collect()
}

#[test]
fn bytes_stand_on_every_link_of_the_route_and_nowhere_else() {
    let topology = rails(1.0);
    let health = whole(&topology);
    let mut router = Router::new(&topology, &health, hashed(1, CrossRail::Pxn));
    let mut loads = LinkLoads::new(&topology);
    let gigabyte = Bytes::new(1_000_000_000);
    let sent = loads.add(&mut router, DeviceId::new(0), DeviceId::new(8), gigabyte);
    sent.expect("it is reachable");
    let busy = loads.busiest(&topology, &health, 100);
    assert_eq!(
        busy.len(),
        6,
        "device, PCIe switch, NIC, leaf, NIC, PCIe switch, device"
    );
    assert!(
        busy.iter().all(|load| load.bytes == gigabyte),
        "each carries all of it"
    );
    // 1 GB over one 50 GB/s NIC is 20 ms; the NIC ports are the busiest, in order of their numbers.
    assert_eq!(topology.wire(busy[0].link).kind, LinkKind::Nic);
    assert_eq!(
        loads.bound(&topology, &health),
        Some(SimDuration::from_millis(20))
    );
    assert_eq!(loads.between_nodes().collect::<Vec<_>>(), [((0, 1), gigabyte)]);
}

#[test]
fn the_matrix_of_nodes_keeps_every_byte() {
    let topology = rails(1.0);
    let health = whole(&topology);
    let mut router = Router::new(&topology, &health, Policy::ADAPTIVE);
    let mut loads = LinkLoads::new(&topology);
    let job = Placement::packed("job", 0, 32);
    loads
        .add_job(&mut router, &job, ring(32, Bytes::new(7)))
        .expect("it is reachable");
    let total: Bytes = loads.between_nodes().map(|(_, bytes)| bytes).sum();
    assert_eq!(total, Bytes::new(7 * 32));
    let inside: Vec<u64> = loads
        .between_nodes()
        .filter(|((from, to), _)| from == to)
        .map(|(_, bytes)| bytes.get())
        .collect();
    assert_eq!(inside, [49; 4], "seven of eight hops of a ring stay in a node");
}

#[test]
fn two_equal_jobs_on_the_same_links_take_twice_as_long() {
    let topology = rails(1.0);
    let health = whole(&topology);
    let load = |jobs: u32| {
        let mut router = Router::new(&topology, &health, hashed(1, CrossRail::Pxn));
        let mut all = LinkLoads::new(&topology);
        for _ in 0..jobs {
            let mut one = LinkLoads::new(&topology);
            let job = Placement::packed("ring", 0, 64);
            one.add_job(&mut router, &job, ring(64, Bytes::new(1 << 20)))
                .expect("it is reachable");
            all.merge(&one);
        }
        all.bound(&topology, &health).expect("all is up").as_picos()
    };
    assert_eq!(load(2), 2 * load(1));
}

#[test]
fn jobs_meet_where_their_nodes_share_leaves_and_spines() {
    let topology = rails(2.0);
    let health = whole(&topology);
    let mut router = Router::new(&topology, &health, Policy::ADAPTIVE);
    let mut load = |first| {
        let mut loads = LinkLoads::new(&topology);
        let job = Placement::strided("pair", first, 2, 32);
        loads
            .add_job(&mut router, &job, ring(2, Bytes::new(1 << 20)))
            .expect("it is reachable");
        loads
    };
    // Devices 0 and 32, and 8 and 40: the same rail and the same two blocks, other nodes.
    let (one, other, apart) = (load(0), load(8), load(1));
    let kinds: Vec<LinkKind> = one
        .shared_with(&other)
        .iter()
        .map(|&link| topology.wire(link).kind)
        .collect();
    assert_eq!(
        kinds,
        [LinkKind::LeafSpine; 16],
        "four spines, up and down, both ways"
    );
    assert!(
        one.shared_with(&apart).is_empty(),
        "another rail has other leaves"
    );
}

#[test]
fn sites_meet_on_the_wide_area() {
    let shape = three_sites(two_levels(Wiring::Rails, 1.0));
    let topology = build(switched_node(), 16, FabricShape::Clos(shape));
    let health = whole(&topology);
    let mut router = Router::new(&topology, &health, Policy::ADAPTIVE);
    let mut loads = LinkLoads::new(&topology);
    // North to south, over the middle: 8 devices at 50 GB/s want 400 GB/s of a cable of 100.
    for device in 0..8 {
        let sent = loads.add(
            &mut router,
            DeviceId::new(device),
            DeviceId::new(64 + device),
            Bytes::new(1 << 30),
        );
        sent.expect("it is reachable");
    }
    let busiest = loads.busiest(&topology, &health, 2);
    let names: Vec<String> = busiest.iter().map(|load| topology.link_name(load.link)).collect();
    assert_eq!(
        names,
        [
            "border of north -> border of middle",
            "border of middle -> border of south"
        ]
    );
    assert_eq!(busiest[0].bytes, Bytes::new(8 << 30));
}
