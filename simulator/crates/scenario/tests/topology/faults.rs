//! Links that are slow, flap or are gone.

use orrery_scenario::cluster::{
    CrossRail, FabricShape, Fault, Faults, Health, LinkKind, Place, Policy, Route, Router, Topology,
    Unreachable, Window, Wiring,
};
use orrery_units::{DeviceId, LinkId, Ratio, SimDuration, SimTime};

use super::routes::hashed;
use super::shapes::{all, build, switched_node, torus, two_levels};

fn rails() -> Topology {
    build(
        switched_node(),
        12,
        FabricShape::Clos(two_levels(Wiring::Rails, 1.0)),
    )
}

fn half() -> Ratio {
    Ratio::new(0.5).expect("a share")
}

fn now(topology: &Topology, faults: Vec<Fault>) -> Health {
    Faults { faults }.health(topology, SimTime::ZERO)
}

fn find(
    topology: &Topology,
    health: &Health,
    policy: Policy,
    from: u32,
    to: u32,
) -> Result<Route, Unreachable> {
    let mut route = Route::default();
    let (from, to) = (DeviceId::new(from), DeviceId::new(to));
    Router::new(topology, health, policy).route(from, to, 0, &mut route)?;
    Ok(route)
}

fn port(topology: &Topology, node: u32, nic: u32) -> LinkId {
    let mut out = topology.out(topology.nic(node, nic));
    out.find(|&link| topology.wire(link).kind == LinkKind::Nic)
        .expect("a NIC has a port")
}

#[test]
fn a_slow_nic_is_slow_both_ways_and_no_other() {
    let topology = rails();
    let health = now(&topology, vec![Fault::slow_nic(0, 0, half())]);
    let rate = |from, to| {
        let route = find(&topology, &health, Policy::ADAPTIVE, from, to).expect("it is reachable");
        route.bandwidth(&topology, &health).expect("it is up").get() / 1e9
    };
    for (from, to, expected) in [(0, 8, 25.0), (8, 0, 25.0), (1, 9, 50.0), (0, 1, 450.0)] {
        assert!(
            (rate(from, to) - expected).abs() < 1e-6,
            "{from} to {to}: {}",
            rate(from, to)
        );
    }
}

#[test]
fn faults_on_one_link_multiply() {
    let topology = rails();
    let link = port(&topology, 0, 0);
    let health = now(
        &topology,
        vec![
            Fault::degraded(Place::Link(link), half()),
            Fault::degraded(Place::Cable(link), half()),
        ],
    );
    assert_eq!(Some(health.left(link)), Ratio::new(0.25));
    assert_eq!(health.left(topology.reverse(link).expect("a cable")), half());
}

/// Every cable of every shape, lost one at a time: the route avoids it or the error names both ends.
#[test]
fn routes_avoid_what_is_lost_or_say_that_nothing_is_left() {
    for (name, topology) in all() {
        let last = topology.num_devices() - 1;
        for policy in [hashed(1, CrossRail::Pxn), hashed(1, CrossRail::Spine)] {
            let first = find(&topology, &now(&topology, Vec::new()), policy, 0, last).expect("it is whole");
            for hop in &first.hops {
                let health = now(&topology, vec![Fault::lost(Place::Cable(hop.link))]);
                match find(&topology, &health, policy, 0, last) {
                    Ok(route) => {
                        assert!(
                            route.hops.iter().all(|hop| health.is_alive(hop.link)),
                            "{name}: avoids it"
                        );
                        assert_eq!(
                            topology.link(route.hops[0].link).from,
                            topology.device(DeviceId::new(0))
                        );
                    }
                    Err(fault) => {
                        assert_eq!(fault.from, topology.device_name(DeviceId::new(0)), "{name}");
                        assert_eq!(fault.to, topology.device_name(DeviceId::new(last)), "{name}");
                        assert!(fault.to_string().contains("= help: bring `"), "{name}: {fault}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_lost_nic_is_gone_round_by_a_neighbour_of_the_node() {
    let topology = rails();
    let health = now(&topology, vec![Fault::lost(Place::Nic { node: 0, nic: 3 })]);
    let route = find(&topology, &health, hashed(1, CrossRail::Pxn), 3, 11).expect("seven NICs are left");
    let kinds: Vec<LinkKind> = route
        .hops
        .iter()
        .map(|hop| topology.wire(hop.link).kind)
        .collect();
    assert_eq!(kinds[..2], [LinkKind::ScaleUp, LinkKind::ScaleUp]);
}

#[test]
fn adaptive_routing_splits_over_the_spines_that_are_left() {
    let topology = rails();
    let whole = find(&topology, &now(&topology, Vec::new()), Policy::ADAPTIVE, 0, 8 * 8).expect("whole");
    let up = |route: &Route| -> Vec<f64> {
        let ups = route.hops.iter().filter(|hop| {
            let link = topology.link(hop.link);
            link.wire.kind == LinkKind::LeafSpine && topology.kind(link.to).name() == "spine"
        });
        ups.map(|hop| hop.share).collect()
    };
    assert_eq!(up(&whole), [0.25; 4]);
    let spine = whole
        .hops
        .iter()
        .map(|hop| topology.link(hop.link).to)
        .find(|&to| topology.kind(to).name() == "spine");
    let health = now(
        &topology,
        vec![Fault::lost(Place::Vertex(spine.expect("a spine")))],
    );
    let rest = find(&topology, &health, Policy::ADAPTIVE, 0, 8 * 8).expect("three spines are left");
    assert_eq!(up(&rest), [1.0 / 3.0; 3]);
}

#[test]
fn a_torus_goes_the_other_way_round() {
    let topology = build(switched_node(), 6, FabricShape::Torus(torus([6, 1, 1])));
    let whole = find(&topology, &now(&topology, Vec::new()), Policy::ADAPTIVE, 0, 8).expect("whole");
    let between = whole
        .hops
        .iter()
        .find(|hop| topology.wire(hop.link).kind == LinkKind::Torus);
    let health = now(
        &topology,
        vec![Fault::lost(Place::Cable(between.expect("one hop").link))],
    );
    let round = find(&topology, &health, Policy::ADAPTIVE, 0, 8).expect("the ring is open, not cut");
    assert_eq!(round.hops.len(), whole.hops.len() + 4);
}

#[test]
fn an_unreachable_pair_is_named_with_its_cause_and_a_fix() {
    let topology = build(switched_node(), 2, FabricShape::Torus(torus([2, 1, 1])));
    let cable = topology
        .links()
        .find(|(_, link)| link.wire.kind == LinkKind::Torus)
        .expect("a cable")
        .0;
    let health = now(&topology, vec![Fault::lost(Place::Cable(cable))]);
    let fault = find(&topology, &health, Policy::ADAPTIVE, 3, 12).expect_err("it is cut");
    assert_eq!(
        fault.to_string(),
        "unreachable: no route from node 0 device 3 to node 1 device 4: 2 link(s) are down, `router (0, 0, 0) -> \
         router (1, 0, 0)` among them\n  = help: bring `router (0, 0, 0) -> router (1, 0, 0)` back, or place the job \
         on other nodes"
    );
}

#[test]
fn flapping_is_a_list_of_changes_in_order() {
    let topology = rails();
    let link = port(&topology, 1, 2);
    let micros = SimDuration::from_micros;
    let windows = Window::periodic(SimTime::ZERO + micros(10), micros(5), micros(100), 2);
    let faults = Faults {
        faults: vec![
            Fault::flapping(Place::Link(link), windows),
            Fault::degraded(Place::Link(link), half()),
        ],
    };
    let changes: Vec<(u64, f64)> = faults
        .changes(&topology)
        .iter()
        .map(|change| (change.at.as_picos() / 1_000_000, change.left.get()))
        .collect();
    assert_eq!(changes, [(0, 0.5), (10, 0.0), (15, 0.5), (110, 0.0), (115, 0.5)]);
    let at = |time| {
        faults
            .health(&topology, SimTime::ZERO + micros(time))
            .is_alive(link)
    };
    assert_eq!([at(9), at(10), at(14), at(15)], [true, false, false, true]);
}
