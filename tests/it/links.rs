//! Training over shared links: what an idle network, a narrow one, a broken one and a hashed one do to a step.

use orrery::scenario::cluster::LinkKind;
use orrery_report::{Network, Report};
use orrery_timeline::find_metric;
use orrery_units::Bytes;

use crate::support::{DENSE, EXPERTS, balanced_experts, near, plan, simulate};

const SHARED: (&str, &str) = ("cluster.fabric.contention", "links");
/// Ranks whose exchanges and gradients cross nodes.
const FLAT: [(&str, &str); 3] = [
    ("parallel.tp", "1"),
    ("parallel.pp", "1"),
    ("parallel.sequence_parallel", "false"),
];

fn report(text: &str, settings: &[(&str, &str)]) -> Report {
    simulate(&plan(text, settings)).report
}

fn step(report: &Report) -> f64 {
    report.metrics.mean("train.step_time")
}

fn network(report: &Report) -> &Network {
    report.network().expect("links are shared")
}

/// Bytes that crossed the links of a kind whose name holds `part`.
fn bytes(network: &Network, kind: &str, part: &str) -> f64 {
    let links = network.links().iter();
    let links = links.filter(|link| link.kind == kind && link.name.contains(part));
    links.map(|link| link.bytes).sum::<Bytes>().as_f64()
}

/// Claim: a job whose collectives never meet on a link takes as long over shared links as over paths of its own.
#[test]
fn an_idle_fabric_costs_nothing() {
    let private = report(DENSE, &FLAT);
    assert!(private.network().is_none(), "nothing is shared");
    let shared = report(DENSE, &[&FLAT[..], &[SHARED]].concat());
    assert!(
        near(step(&shared), step(&private), 1e-9),
        "{} and {}",
        step(&shared),
        step(&private)
    );
    assert!(
        bytes(network(&shared), "nic", "node 0 NIC 0 ->") > 0.0,
        "its traffic is seen"
    );
}

/// Claim: what leaves ports arrives at ports, whoever is hot, and the rest of the path carries it too.
#[test]
fn bytes_that_leave_arrive() {
    let fabric = [
        SHARED,
        ("cluster.fabric.nodes_per_block", "1"),
        ("cluster.fabric.spines", "2"),
    ];
    let report = report(&balanced_experts(), &fabric);
    let network = network(&report);
    let up: f64 = bytes(network, "nic", "NIC 0 ->") + bytes(network, "nic", "NIC 1 ->");
    let down: f64 = bytes(network, "nic", "-> node 0 NIC") + bytes(network, "nic", "-> node 1 NIC");
    assert!(up > 0.0 && down > 0.0, "{up} up, {down} down");
    let out = bytes(network, "nic", "leaf") / 2.0;
    let spines = bytes(network, "leaf_spine", "") / 2.0;
    assert!(near(spines, out, 1e-6), "{spines} over spines, {out} out of NICs");
}

/// Claim: a narrower fabric and a slower NIC make a step longer, and the report says where.
#[test]
fn a_narrow_fabric_and_a_slow_nic_cost_time() {
    let fabric = |more: &[(&str, &str)]| {
        let fixed = [
            SHARED,
            ("cluster.fabric.nodes_per_block", "2"),
            ("parallel.ep", "16"),
        ];
        report(EXPERTS, &[&FLAT[..], &fixed, more].concat())
    };
    let wide = fabric(&[("cluster.fabric.oversubscription", "1")]);
    let narrow = fabric(&[("cluster.fabric.oversubscription", "16")]);
    assert!(
        step(&narrow) > 1.02 * step(&wide),
        "{} after {}",
        step(&narrow),
        step(&wide)
    );
    assert_eq!(
        network(&narrow).kinds()[0].kind,
        "leaf_spine",
        "the uplinks are busiest"
    );
    let slow = fabric(&[
        ("cluster.fabric.oversubscription", "1"),
        ("cluster.fault.slow.at", "node 1 NIC 3"),
        ("cluster.fault.slow.left", "0.05"),
    ]);
    assert!(
        step(&slow) > 1.02 * step(&wide),
        "{} after {}",
        step(&slow),
        step(&wide)
    );
    let worst = &network(&slow).links()[0].name;
    assert!(worst.contains("node 1 NIC 3"), "{worst}");
}

/// Claim: where hashing picks routes, every replication draws its own, and the same seed the same.
#[test]
fn hashed_routes_are_a_distribution() {
    let on = |more: &[(&str, &str)]| {
        let fixed = [
            SHARED,
            ("parallel.ep", "16"),
            ("cluster.fabric.nodes_per_block", "1"),
            ("cluster.fabric.spines", "4"),
        ];
        report(&balanced_experts(), &[&FLAT[..], &fixed, more].concat())
    };
    let hashed = || {
        on(&[
            ("cluster.fabric.routing", "ecmp"),
            ("cluster.fabric.queue_pairs", "4"),
            ("run.replications", "8"),
        ])
    };
    let (first, again) = (hashed(), hashed());
    assert_eq!(first.metrics, again.metrics);
    let of = |statistic: &str| first.metrics.get(&format!("train.step_time.{statistic}"));
    let (least, most) = (of("min").expect("eight steps"), of("max").expect("eight steps"));
    assert!(most > least * 1.001, "{least} to {most}");
    let even = on(&[]);
    assert!(
        least >= step(&even) * (1.0 - 1e-9),
        "{least} hashed, {} even",
        step(&even)
    );
}

/// Claim: every kind of link has its label in the registry.
#[test]
fn every_kind_of_link_can_be_asked_for() {
    let labels = find_metric("net.utilization").expect("it is registered").labels;
    for kind in LinkKind::ALL {
        assert!(labels[0].values.contains(&kind.key()), "{}", kind.name());
    }
    assert_eq!(
        labels[0].values.len(),
        LinkKind::ALL.len(),
        "no label without a kind"
    );
}

/// Claim: stages at two sites exchange activations over the wide area, which costs its latency and shows its bytes.
#[test]
fn a_job_at_two_sites_waits_for_the_way_between() {
    let sites = |latency: &str| {
        report(
            &balanced_experts(),
            &[
                // Devices do not wait for their hosts, which would hide the way.
                ("stack.cuda_graphs", "true"),
                ("cluster.fabric.sites", "[2, 2]"),
                ("cluster.fabric.wide_area", "400 Gbit/s"),
                ("cluster.fabric.wide_area_latency", latency),
            ],
        )
    };
    let (near_by, far) = (sites("1 us"), sites("2 ms"));
    let more = step(&far) - step(&near_by);
    // 8 microbatches of 1F1B over 4 stages: activations and gradients pass once each way at least.
    assert!(more > 4e-3 && more < 0.2, "{more} s more");
    assert!(bytes(network(&far), "wide_area", "") > 0.0, "what passes is seen");
}
