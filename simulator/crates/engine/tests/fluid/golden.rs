//! Sums done by hand.

use crate::cases::{Sharing, all_to_all, over, run_out, start_all};
use orrery_engine::fluid::{Activity, Fluid, Twin};
use orrery_taskgraph::PathUse;
use orrery_units::{Bytes, BytesPerSec, Factor, LinkId, SimTime};

fn capacities(values: &[f64]) -> Vec<BytesPerSec> {
    values.iter().map(|&value| BytesPerSec::new(value)).collect()
}

fn seconds(ends: &[(SimTime, u32)]) -> Vec<(f64, u32)> {
    ends.iter()
        .map(|&(time, owner)| (time.as_secs(), owner))
        .collect()
}

/// Runs a case through both sharings, which must agree on what the hand computed.
fn check(links: &[f64], start: impl Fn(&mut dyn Sharing), expected: &[(f64, u32)]) {
    let links = capacities(links);
    let (mut fast, mut slow) = (Fluid::new(&links), Twin::new(&links));
    for sharing in [&mut fast as &mut dyn Sharing, &mut slow] {
        start(sharing);
        assert_eq!(seconds(&run_out(sharing)), expected, "ends, by hand");
    }
}

/// Links 0 and 1 of 10 and 4; flow 0 over both, 1 over the first, 2 over the second.
///
/// Link 1 is full first: flows 0 and 2 at 2, so flow 1 at 8. At 2 s flow 2 (4 bytes) ends, flow 0 gets 4
/// and flow 1 gets 6: it has moved 16 of 22 and ends at 3 s. Then flow 0 stays at 4 (link 1): it has moved
/// 4 + 4 of 16 and ends at 5 s.
#[test]
fn parking_lot() {
    check(
        &[10.0, 4.0],
        |sharing| {
            for (owner, links, bytes) in [(0, &[0, 1][..], 16), (1, &[0], 22), (2, &[1], 4)] {
                sharing.start(
                    &Activity::new(owner, Bytes::new(bytes), &over(links)),
                    SimTime::ZERO,
                );
            }
        },
        &[(2.0, 2), (3.0, 1), (5.0, 0)],
    );
}

/// Shares 1 and 3 on a link of 8 get 2 and 6; the one that stands for 2 loads it twice.
#[test]
fn shares_and_multiplicity() {
    check(
        &[8.0],
        |sharing| {
            let path = over(&[0]);
            let mut heavy = Activity::new(1, Bytes::new(6), &path);
            heavy.share = Factor::new(3.0).unwrap();
            sharing.start(&Activity::new(0, Bytes::new(10), &path), SimTime::ZERO);
            sharing.start(&heavy, SimTime::ZERO);
        },
        &[(1.0, 1), (2.0, 0)],
    );
    check(
        &[9.0],
        |sharing| {
            let path = over(&[0]);
            let mut double = Activity::new(0, Bytes::new(3), &path);
            double.multiplicity = 2;
            sharing.start(&double, SimTime::ZERO);
            sharing.start(&Activity::new(1, Bytes::new(12), &path), SimTime::ZERO);
        },
        &[(1.0, 0), (2.0, 1)],
    );
}

/// A collective that puts 2 bytes per byte of progress on port 0 and 1 on port 1, beside a flow on port 1.
///
/// Ports of 8 and 8: port 0 holds the collective at 4, the flow gets 4. Alone the flow gets 8.
#[test]
fn a_coupled_activity_loads_its_ports_by_their_weights() {
    let ports = [0, 1].map(|link| PathUse {
        link: LinkId::new(link),
        weight: f64::from(2 - link),
    });
    check(
        &[8.0, 8.0],
        |sharing| {
            sharing.start(&Activity::new(0, Bytes::new(8), &ports), SimTime::ZERO);
            sharing.start(&Activity::new(1, Bytes::new(24), &over(&[1])), SimTime::ZERO);
        },
        &[(2.0, 0), (4.0, 1)],
    );
}

/// Two equal rings on the same ports take exactly twice as long; one alone runs at its bound.
#[test]
fn two_equal_collectives_take_twice_as_long() {
    let ports = over(&(0..64).collect::<Vec<_>>());
    let links = vec![50e9; 64];
    let ring = |owner| Activity::new(owner, Bytes::new(1 << 30), &ports).bounded(BytesPerSec::new(50e9));
    let alone = f64::from(1 << 30) / 50e9;
    let end_of = |num: u32| {
        let mut fluid = Fluid::new(&capacities(&links));
        for owner in 0..num {
            fluid.start(&ring(owner), SimTime::ZERO);
        }
        run_out(&mut fluid)
    };
    assert_eq!(
        end_of(1),
        [(Bytes::new(1 << 30) / BytesPerSec::new(50e9), 0)]
            .map(|(span, owner)| (SimTime::ZERO + span, owner))
    );
    let both = seconds(&end_of(2));
    assert!(
        both.iter().all(|(time, _)| (time - 2.0 * alone).abs() < 2e-12),
        "{both:?}"
    );
}

/// A link of 10 halves at 1 s and is down from 2 to 4 s: 10 + 5 + 0 + 5 bytes.
macro_rules! capacity_drops_halfway {
    ($test:ident, $sharing:ident) => {
        #[test]
        fn $test() {
            let mut sharing = $sharing::new(&capacities(&[10.0]));
            sharing.start(
                &Activity::new(0, Bytes::new(20), &over(&[0])),
                SimTime::ZERO,
            );
            let half = BytesPerSec::new(5.0);
            let down = BytesPerSec::default();
            for (second, capacity) in [(1, half), (2, down), (4, half)] {
                let now = SimTime::from_picos(second * 1_000_000_000_000);
                sharing.set_capacity(LinkId::new(0), capacity, now);
                if second == 2 {
                    assert_eq!(
                        sharing.next_completion(),
                        None,
                        "a link that is down moves nothing"
                    );
                }
            }
            assert_eq!(seconds(&run_out(&mut sharing)), [(5.0, 0)]);
        }
    };
}
capacity_drops_halfway!(capacity_drops_halfway, Fluid);
capacity_drops_halfway!(capacity_drops_halfway_in_the_twin, Twin);

/// 1000 senders to one port: each sends `k + 1` kilobytes; sender k ends when all below have ended.
///
/// Processor sharing: sender `k` (from 0) of `n` with work `w (k + 1)` ends at `w Σ_{i ≤ k} (n − i) / C`.
#[test]
fn incast() {
    let n = 1000u32;
    let mut fluid = Fluid::new(&vec![BytesPerSec::new(1e9); n as usize + 1]);
    for sender in 0..n {
        let path = over(&[sender, n]);
        fluid.start(
            &Activity::new(sender, Bytes::new(1000 * (u64::from(sender) + 1)), &path),
            SimTime::ZERO,
        );
    }
    let ends = run_out(&mut fluid);
    let mut moved = 0u64;
    for (turn, (time, owner)) in (0u32..).zip(ends) {
        moved += 1000 * u64::from(n - turn);
        assert_eq!(owner, turn);
        let gap = time.as_picos().abs_diff(moved * 1000);
        assert!(gap <= 2, "sender {turn} ends {gap} ps off");
    }
    assert_eq!(fluid.effort().refills, 1, "one sender less is a local change");
    assert!(
        fluid.effort().updates <= 2 * u64::from(n),
        "one sender less changes nothing at the other senders' own ports: {:?}",
        fluid.effort()
    );
}

/// A uniform all-to-all ends at once, at the port bound, on 64 and on 512 ports.
#[test]
fn a_symmetric_all_to_all_ends_at_the_port_bound() {
    for hosts in [64, 512] {
        let bytes = 1 << 20;
        let (links, pairs) = all_to_all(hosts, bytes, false);
        let mut fluid = Fluid::new(&links);
        start_all(&mut fluid, &pairs);
        let ends = run_out(&mut fluid);
        let bound = Bytes::new(bytes * u64::from(hosts - 1)) / BytesPerSec::new(50e9);
        assert_eq!(ends.len(), pairs.len());
        for (time, owner) in ends {
            let gap = time.as_picos().abs_diff(bound.as_picos());
            assert!(gap <= 1, "{owner} ends {gap} ps off");
        }
        assert!(fluid.effort().solves <= 2, "what ends together is one change");
    }
}
