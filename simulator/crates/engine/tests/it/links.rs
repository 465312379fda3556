//! Shared links: the closed form on an idle network, and sharing.

use orrery_engine::{Options, RunControl, run};
use orrery_taskgraph::{CapacityChange, Demand, PathUse, Resources, StaticDriver, Work};
use orrery_units::{Bytes, BytesPerSec, LaneId, PathId, Seed, SimDuration, SimTime};

use crate::support::{NO_DEMAND, at, cluster, compute_with, flow, micros, over, pick, run_all, spans_of};

/// A path over one link of `gigabytes` GB/s, loaded once per byte.
fn one_link(resources: &mut Resources, gigabytes: f64) -> PathId {
    let link = resources.add_link("link", BytesPerSec::new(gigabytes * 1e9));
    resources.add_path(vec![PathUse { link, weight: 1.0 }])
}

/// Claim: on a wide link a flow takes latency + bytes / bound, to the picosecond.
#[test]
fn an_idle_network_equals_the_closed_form() {
    for seed in 0..200 {
        let key = Seed::new(seed).at("closed form", &[]);
        let (mut resources, lanes) = cluster(1, &["exchange"]);
        let path = one_link(&mut resources, 1e3);
        let mut driver = StaticDriver::new(resources);
        let latency = SimDuration::from_picos(pick(key.with(1), 50_000_000));
        let bytes = Bytes::new(pick(key.with(2), 1 << 30));
        let bound = BytesPerSec::new(1e9 + 899e9 * key.with(3).uniform());
        let mut expected = Vec::new();
        let mut start = SimTime::ZERO;
        for _ in 0..3 {
            let mut task = over(path, flow(lanes[0][0], 0, 1, NO_DEMAND));
            task.work = Work::Flow {
                latency,
                bytes,
                bound,
                path,
                occupancy: NO_DEMAND,
            };
            driver.push(task);
            let end = start + latency + bytes / bound;
            expected.push((start, end));
            start = end;
        }
        assert_eq!(
            spans_of(&run_all(&mut driver), lanes[0][0]),
            expected,
            "seed {seed}"
        );
    }
}

/// Claim: two flows of 1 GB/s share a link of 1 GB/s: half each while both move, then the rest alone.
///
/// 100 kB and 40 kB: both at 0.5 GB/s until 80 µs, then 60 kB are left and take 60 µs more.
#[test]
fn two_flows_share_a_link_fairly() {
    let (mut resources, lanes) = cluster(2, &["exchange"]);
    let path = one_link(&mut resources, 1.0);
    let mut driver = StaticDriver::new(resources);
    driver.push(over(path, flow(lanes[0][0], 0, 100, NO_DEMAND)));
    driver.push(over(path, flow(lanes[1][0], 0, 40, NO_DEMAND)));
    let outcome = run_all(&mut driver);
    assert_eq!(spans_of(&outcome, lanes[1][0]), [(at(0), at(80))]);
    assert_eq!(spans_of(&outcome, lanes[0][0]), [(at(0), at(140))]);
}

/// Claim: a flow of multiplicity 3 loads a link of 2 GB/s as three, so that it and a single one get 0.5 GB/s
/// each; totals count it three times, its lane is busy once.
#[test]
fn multiplicity_loads_links_and_counts() {
    let (mut resources, lanes) = cluster(2, &["exchange"]);
    let path = one_link(&mut resources, 2.0);
    let mut driver = StaticDriver::new(resources);
    let mut triple = over(path, flow(lanes[0][0], 0, 50, NO_DEMAND));
    triple.multiplicity = 3;
    driver.push(triple);
    driver.push(over(path, flow(lanes[1][0], 0, 50, NO_DEMAND)));
    let outcome = run_all(&mut driver);
    assert_eq!(spans_of(&outcome, lanes[0][0]), [(at(0), at(100))]);
    assert_eq!(spans_of(&outcome, lanes[1][0]), [(at(0), at(100))]);
    let cell = outcome.totals.steps[0].lanes[lanes[0][0]]
        .cell(crate::support::kind(0))
        .copied();
    let cell = cell.expect("it ran");
    assert_eq!(
        (cell.count, cell.bytes, cell.busy),
        (3, Bytes::new(150_000), micros(100))
    );
}

/// Claim: a collective over links ends for all when its slowest flow ends, whether its parties share links
/// or not; a party on a private path has no part in the sharing.
#[test]
fn a_collective_over_links_ends_with_its_slowest_flow() {
    let (mut resources, lanes) = cluster(3, &["exchange"]);
    let path = one_link(&mut resources, 1.0);
    let group = resources.add_group(3);
    let mut driver = StaticDriver::new(resources);
    driver.push(over(path, flow(lanes[0][0], 0, 30, NO_DEMAND)).meeting(group, 0));
    driver.push(over(path, flow(lanes[1][0], 0, 30, NO_DEMAND)).meeting(group, 0));
    driver.push(flow(lanes[2][0], 0, 45, NO_DEMAND).meeting(group, 0));
    let outcome = run_all(&mut driver);
    for own in &lanes {
        assert_eq!(spans_of(&outcome, own[0]), [(at(0), at(60))]);
    }
}

/// Claim: a flow over links that its device slows is bounded accordingly: 20 µs at 1.25 take 25 µs.
#[test]
fn contention_bounds_a_flow_over_links() {
    let (mut resources, lanes) = cluster(1, &["exchange", "compute"]);
    let path = one_link(&mut resources, 10.0);
    let mut driver = StaticDriver::new(resources);
    let asks = |units: f32| Demand {
        units,
        bandwidth: 0.0,
    };
    driver.push(over(path, flow(lanes[0][0], 0, 20, asks(0.25))));
    driver.push(compute_with(lanes[0][1], 1, micros(100), asks(1.0)));
    let outcome = run_all(&mut driver);
    assert_eq!(spans_of(&outcome, LaneId::new(0)), [(at(0), at(25))]);
    assert_eq!(spans_of(&outcome, LaneId::new(1)), [(at(0), at(105))]);
}

/// Claim: flows that meet are one activity, whose fair share counts at its busiest port. A group of two loads
/// link 0 (1 GB/s) with 30 kB and 10 kB; beside it a lone flow of 20 kB. Each gets 0.5 GB/s of the link, so the
/// lone one ends at 40 µs, and the other 20 kB of the group pass alone: 60 µs.
#[test]
fn a_meeting_shares_a_link_as_one() {
    let (mut resources, lanes) = cluster(3, &["exchange"]);
    let path = one_link(&mut resources, 1.0);
    let group = resources.add_group(2);
    let mut driver = StaticDriver::new(resources);
    driver.push(over(path, flow(lanes[0][0], 0, 30, NO_DEMAND)).meeting(group, 0));
    driver.push(over(path, flow(lanes[1][0], 0, 10, NO_DEMAND)).meeting(group, 0));
    driver.push(over(path, flow(lanes[2][0], 0, 20, NO_DEMAND)));
    let outcome = run_all(&mut driver);
    assert_eq!(spans_of(&outcome, lanes[2][0]), [(at(0), at(40))]);
    assert_eq!(spans_of(&outcome, lanes[0][0]), [(at(0), at(60))]);
    assert_eq!(outcome.links[0].bytes, Bytes::new(60_000));
}

/// Claim: two equal ring all-reduces on the same ports take exactly twice as long as one.
#[test]
fn two_equal_rings_on_the_same_ports_take_twice_as_long() {
    let time = |rings: u32| {
        let (mut resources, lanes) = cluster(rings * 4, &["data"]);
        let ports: Vec<PathId> = (0..4).map(|_| one_link(&mut resources, 1.0)).collect();
        let groups: Vec<_> = (0..rings).map(|_| resources.add_group(4)).collect();
        let mut driver = StaticDriver::new(resources);
        for (ring, &group) in groups.iter().enumerate() {
            for (rank, &port) in ports.iter().enumerate() {
                let task = over(port, flow(lanes[ring * 4 + rank][0], 0, 96, NO_DEMAND));
                driver.push(task.meeting(group, 0));
            }
        }
        spans_of(&run_all(&mut driver), lanes[0][0])[0].1
    };
    assert_eq!((time(1), time(2)), (at(96), at(192)));
}

/// Claim: a link that is down from 30 µs to 50 µs and halved from 80 µs on delays 100 kB at 1 GB/s to 160 µs:
/// 30 kB, nothing, 30 kB, then 40 kB at half. A later flow finds it halved, and changes after the end do not matter.
#[test]
fn links_change_under_flows() {
    let (mut resources, lanes) = cluster(1, &["exchange"]);
    let path = one_link(&mut resources, 1.0);
    let link = resources.paths[path][0].link;
    let change = |micros, gigabytes: f64| CapacityChange {
        at: at(micros),
        link,
        capacity: BytesPerSec::new(gigabytes * 1e9),
    };
    let down = CapacityChange {
        capacity: BytesPerSec::default(),
        ..change(30, 1.0)
    };
    resources.changes = vec![down, change(50, 1.0), change(80, 0.5), change(10_000, 1.0)];
    let mut driver = StaticDriver::new(resources);
    driver.push(over(path, flow(lanes[0][0], 0, 100, NO_DEMAND)));
    driver.push(over(path, flow(lanes[0][0], 0, 10, NO_DEMAND)));
    let outcome = run_all(&mut driver);
    assert_eq!(
        spans_of(&outcome, lanes[0][0]),
        [(at(0), at(160)), (at(160), at(180))]
    );
}

/// Claim: what links carry over time adds up to what they carry in all, and to what flows of each path move.
/// Link 0 (1 GB/s) carries 30 kB, then nothing for 40 µs, then 10 kB twice over.
#[test]
fn what_links_carry_over_time_adds_up() {
    let (mut resources, lanes) = cluster(1, &["exchange"]);
    let path = one_link(&mut resources, 1.0);
    let link = resources.paths[path][0].link;
    let twice = resources.add_path(vec![PathUse { link, weight: 2.0 }]);
    let mut driver = StaticDriver::new(resources);
    driver.push(over(path, flow(lanes[0][0], 0, 30, NO_DEMAND)));
    driver.push(compute_with(lanes[0][0], 1, micros(40), NO_DEMAND));
    driver.push(over(twice, flow(lanes[0][0], 0, 10, NO_DEMAND)));
    let options = |link_samples| Options {
        link_samples,
        ..Options::default()
    };
    let mut outcomes = [0, 9, 1000].map(|samples| {
        let control = RunControl::default();
        run(&mut driver.clone(), &options(samples), &control).expect("nothing can block")
    });
    assert!(outcomes[0].series.is_empty(), "nobody asked for a series");
    let kilobytes = |at: usize| -> Vec<u64> {
        let bytes = outcomes[at].series.bytes_of(link);
        bytes.map(|bytes| bytes.get() / 1000).collect()
    };
    assert_eq!(outcomes[1].series.interval(), micros(16));
    // Readings every 16 µs; the last flow runs from 70 to 90 µs.
    assert_eq!(kilobytes(1), [16, 14, 0, 0, 10, 10]);
    assert_eq!((kilobytes(2).len(), kilobytes(2).iter().sum()), (90, 50));
    assert_eq!(outcomes[0].paths[path], Bytes::new(30_000));
    assert_eq!(outcomes[0].paths[twice], Bytes::new(10_000));
    for outcome in &mut outcomes {
        outcome.series = orrery_engine::LinkSeries::default();
    }
    assert_eq!(outcomes[0], outcomes[1], "looking changes nothing");
}
