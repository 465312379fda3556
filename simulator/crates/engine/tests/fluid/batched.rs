//! Sharing within a stated tolerance: every end against the exact one.

use crate::cases::{Sharing, all_to_all, over, run_out, start_all};
use orrery_engine::fluid::{Activity, Batched, FlowId, Fluid};
use orrery_taskgraph::PathUse;
use orrery_units::{Bytes, BytesPerSec, LinkId, Ratio, Seed, SimTime};

fn ratio(value: f64) -> Ratio {
    Ratio::new(value).expect("a ratio")
}

/// The greatest difference of an end from the exact one, as a share of the exact duration.
fn worst(exact: &mut [(SimTime, u32)], batched: &mut [(SimTime, u32)], start: impl Fn(u32) -> f64) -> f64 {
    exact.sort_unstable_by_key(|end| end.1);
    batched.sort_unstable_by_key(|end| end.1);
    assert_eq!(exact.len(), batched.len(), "everybody ends in both");
    let share = |(exact, batched): (&(SimTime, u32), &(SimTime, u32))| {
        assert_eq!(exact.1, batched.1, "the same owners end");
        let duration = exact.0.as_secs() - start(exact.1);
        (exact.0.as_secs() - batched.0.as_secs()).abs() / duration
    };
    exact.iter().zip(batched.iter()).map(share).fold(0.0, f64::max)
}

/// Claim: every flow of the skewed all-to-all ends within the stated tolerance of its exact end.
#[test]
fn every_end_of_a_skewed_all_to_all_is_within_the_stated_tolerance() {
    for hosts in [32, 64, 128] {
        let (capacities, pairs) = all_to_all(hosts, (1 << 30) / u64::from(hosts), true);
        let mut fluid = Fluid::new(&capacities);
        start_all(&mut fluid, &pairs);
        let mut exact = run_out(&mut fluid);
        for tolerance in [1e-4, 1e-3, 1e-2] {
            if hosts == 128 && tolerance < 1e-3 {
                continue;
            }
            let mut batched = Batched::new(&capacities, ratio(tolerance));
            start_all(&mut batched, &pairs);
            let worst = worst(&mut exact, &mut run_out(&mut batched), |_| 0.0);
            assert!(
                worst <= tolerance,
                "{hosts} hosts: {worst:.2e}, stated {tolerance}"
            );
        }
    }
}

/// What the all-to-all is disturbed by.
trait Disturbed: Sharing {
    fn cancel(&mut self, flow: FlowId, now: SimTime);
    fn set_capacity(&mut self, link: LinkId, capacity: BytesPerSec, now: SimTime);
}

impl Disturbed for Fluid {
    fn cancel(&mut self, flow: FlowId, now: SimTime) {
        self.cancel(flow, now);
    }
    fn set_capacity(&mut self, link: LinkId, capacity: BytesPerSec, now: SimTime) {
        self.set_capacity(link, capacity, now);
    }
}

impl Disturbed for Batched {
    fn cancel(&mut self, flow: FlowId, now: SimTime) {
        self.cancel(flow, now);
    }
    fn set_capacity(&mut self, link: LinkId, capacity: BytesPerSec, now: SimTime) {
        self.set_capacity(link, capacity, now);
    }
}

const FIRST_GUEST: u32 = 1 << 20;
const LONG: u32 = 1 << 21;

/// When the guest `turn` comes: every 0.7 ms.
fn comes(turn: u64) -> SimTime {
    SimTime::from_picos(1_000_000_000 + 700_000_003 * turn)
}

/// Ends of a skewed all-to-all of 32 hosts that guests come to and leave, while links get slower and faster.
fn disturbed(sharing: &mut dyn Disturbed, pairs: &[(Vec<PathUse>, Bytes)]) -> Vec<(SimTime, u32)> {
    start_all(sharing, pairs);
    let (mut ends, mut ended) = (Vec::new(), Vec::new());
    let long = over(&[3, 37]);
    let mut leaver = sharing.start(&Activity::new(LONG, Bytes::new(1 << 40), &long), SimTime::ZERO);
    for turn in 0..16u64 {
        let now = comes(turn);
        while let Some(time) = sharing.next_completion().filter(|&time| time <= now) {
            sharing.advance(time, &mut ended);
            ends.extend(ended.drain(..).map(|owner| (time, owner)));
        }
        let guest = u32::try_from(turn).expect("a few");
        let path = over(&[guest % 32, 32 + (guest * 5 + 1) % 32]);
        match turn % 4 {
            0 | 1 => {
                let activity = Activity::new(FIRST_GUEST + guest, Bytes::new(3_000_017 * (turn + 1)), &path);
                let bound = BytesPerSec::new(4e9);
                sharing.start(
                    &if turn % 8 < 4 {
                        activity.bounded(bound)
                    } else {
                        activity
                    },
                    now,
                );
            }
            2 => {
                sharing.cancel(leaver, now);
                leaver = sharing.start(&Activity::new(LONG, Bytes::new(1 << 40), &long), now);
            }
            _ => {
                let slower = Seed::new(4).at("capacity", &[turn]).uniform();
                let capacity = BytesPerSec::new(50e9 * (0.6 + 0.8 * slower));
                sharing.set_capacity(LinkId::new(guest), capacity, now);
            }
        }
    }
    let now = comes(15);
    sharing.cancel(leaver, now);
    ends.extend(run_out(sharing));
    ends
}

/// Claim: it also holds, as a share of each duration, where flows come and go and links change meanwhile.
#[test]
fn disturbed_ends_are_within_the_stated_tolerance() {
    let (capacities, pairs) = all_to_all(32, (1 << 30) / 32, true);
    let mut exact = disturbed(&mut Fluid::new(&capacities), &pairs);
    assert_eq!(exact.len(), 32 * 31 + 8, "all pairs and the guests");
    let start = |owner: u32| {
        let guest = owner.checked_sub(FIRST_GUEST);
        guest.map_or(0.0, |turn| comes(u64::from(turn)).as_secs())
    };
    for tolerance in [1e-4, 1e-3, 1e-2] {
        let mut batched = disturbed(&mut Batched::new(&capacities, ratio(tolerance)), &pairs);
        let worst = worst(&mut exact, &mut batched, start);
        assert!(worst <= tolerance, "{worst:.2e}, stated {tolerance}");
    }
}

/// Claim: the same calls give the same bytes.
#[test]
fn the_same_calls_give_the_same_bytes() {
    let (capacities, pairs) = all_to_all(32, (1 << 30) / 32, true);
    let ends = || disturbed(&mut Batched::new(&capacities, ratio(1e-3)), &pairs);
    assert_eq!(ends(), ends());
}

/// Claim: where nothing ends within a window but together, ends are exact.
///
/// A link of 10: activities of 20 and 40 bytes run at 5 until 4 s; the second, alone, at 10 until 6 s. One of
/// no work ends when it starts, one over a link that is down never.
#[test]
fn ends_far_apart_are_exact() {
    let mut batched = Batched::new(&[BytesPerSec::new(10.0), BytesPerSec::default()], ratio(1e-3));
    let (up, down) = (over(&[0]), over(&[1]));
    for (owner, bytes) in [(0, 20), (1, 40)] {
        batched.start(&Activity::new(owner, Bytes::new(bytes), &up), SimTime::ZERO);
    }
    let stuck = batched.start(&Activity::new(2, Bytes::new(1), &down), SimTime::ZERO);
    let free = Activity::new(3, Bytes::new(15), &[]).bounded(BytesPerSec::new(3.0));
    let bounded = batched.start(&free, SimTime::ZERO);
    assert!((batched.rate(bounded).get() - 3.0).abs() < 1e-12);
    assert_eq!(batched.len(), 4);
    let ends: Vec<(f64, u32)> = run_out(&mut batched)
        .iter()
        .map(|(time, owner)| (time.as_secs(), *owner))
        .collect();
    assert_eq!(ends, [(4.0, 0), (5.0, 3), (6.0, 1)]);
    assert_eq!(batched.len(), 1, "one stands still");
    let six = SimTime::from_picos(6_000_000_000_000);
    batched.cancel(stuck, six);
    assert!(batched.is_empty());
    batched.start(&Activity::new(4, Bytes::ZERO, &up), six);
    assert_eq!(batched.next_completion(), Some(six));
}
