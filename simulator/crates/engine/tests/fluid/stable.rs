//! The same input gives the same bytes, whatever else went on before; and what links carried adds up.

use crate::cases::{all_to_all, over, run_out, start_all};
use orrery_engine::fluid::{Activity, Fluid};
use orrery_units::{Bytes, BytesPerSec, LinkId, SimTime};

/// The first links are for others.
const OTHERS: u32 = 64;

/// A skewed all-to-all, moved behind the links of others.
fn moved() -> (Vec<BytesPerSec>, Vec<(Vec<orrery_taskgraph::PathUse>, Bytes)>) {
    let (links, mut pairs) = all_to_all(16, 1 << 20, true);
    let mut capacities = vec![BytesPerSec::new(1e12); OTHERS as usize];
    capacities.extend(links);
    for usage in pairs.iter_mut().flat_map(|(path, _)| path) {
        usage.link = LinkId::new(usage.link.get() + OTHERS);
    }
    (capacities, pairs)
}

/// Ends of the all-to-all after `before` unrelated flows came and went, with `beside` others under way.
fn ends(before: u32, beside: u32) -> Vec<(SimTime, u32)> {
    let (capacities, pairs) = moved();
    let mut fluid = Fluid::new(&capacities);
    let path = |other: u32| over(&[other % OTHERS, (other * 7 + 1) % OTHERS]);
    for other in 0..before {
        let path = path(other);
        let flow = fluid.start(
            &Activity::new(u32::MAX, Bytes::new(1 << 30), &path),
            SimTime::ZERO,
        );
        if other % 2 == 0 {
            fluid.next_completion();
        }
        fluid.cancel(flow, SimTime::ZERO);
    }
    for other in 0..beside {
        let path = path(other);
        let activity = Activity::new(u32::MAX, Bytes::new(1_000_003 * u64::from(other + 1)), &path);
        fluid.start(&activity.bounded(BytesPerSec::new(1e9)), SimTime::ZERO);
    }
    start_all(&mut fluid, &pairs);
    let mut ends = run_out(&mut fluid);
    ends.retain(|&(_, owner)| owner != u32::MAX);
    ends
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let first = ends(0, 0);
    assert_eq!(first.len(), 240);
    assert_eq!(first, ends(0, 0), "twice");
    assert_eq!(first, ends(101, 0), "after others came and went");
    assert_eq!(first, ends(0, 32), "with others under way");
    assert_eq!(first, ends(77, 19), "both");
}

/// Links of 10 and 100; 20 bytes over both and 20 over the first at 5 each end at 4 s; 30 bytes over the
/// second alone, bounded by 5, at 6 s.
#[test]
fn what_links_carried_adds_up() {
    let mut fluid = Fluid::new(&[BytesPerSec::new(10.0), BytesPerSec::new(100.0)]);
    let (both, first, second) = (over(&[0, 1]), over(&[0]), over(&[1]));
    fluid.start(&Activity::new(0, Bytes::new(20), &both), SimTime::ZERO);
    fluid.start(&Activity::new(1, Bytes::new(20), &first), SimTime::ZERO);
    let third = Activity::new(2, Bytes::new(30), &second).bounded(BytesPerSec::new(5.0));
    fluid.start(&third, SimTime::ZERO);
    let carried = |fluid: &Fluid, seconds: u64| {
        let totals = fluid.link_totals(SimTime::from_picos(seconds * 1_000_000_000_000));
        let plain = |link: &orrery_engine::fluid::LinkTotals| (link.bytes.get(), link.busy.as_secs());
        totals.iter().map(plain).collect::<Vec<_>>()
    };
    assert_eq!(fluid.next_completion().map(|time| time.as_secs()), Some(4.0));
    assert_eq!(carried(&fluid, 0), [(0, 0.0), (0, 0.0)]);
    assert_eq!(carried(&fluid, 2), [(20, 2.0), (20, 2.0)]);
    run_out(&mut fluid);
    assert_eq!(carried(&fluid, 8), [(40, 4.0), (50, 6.0)]);
}
