//! The fluid sharing allocates nothing once it has reached its breadth.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use orrery_engine::fluid::{Activity, Fluid};
use orrery_taskgraph::PathUse;
use orrery_units::{Bytes, BytesPerSec, LinkId, Seed, SimTime};

/// The system's allocator, counted.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[expect(unsafe_code, reason = "an allocator is counted by wrapping it")]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is handed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const LINKS: u32 = 24;
const ALIVE: u32 = 60;
const KINDS: u32 = 97;

/// Activities over two or eight links, some of them bounded, in a cycle of 97.
fn kinds() -> Vec<(Vec<PathUse>, Bytes, Option<BytesPerSec>)> {
    let kind = |number: u32| {
        let first = number * 7 % LINKS;
        let len = if number.is_multiple_of(5) { 8 } else { 2 };
        let usage = |turn: u32| PathUse {
            link: LinkId::new((first + turn * 5) % LINKS),
            weight: 1.0 + f64::from(turn % 3),
        };
        let draw = Seed::new(2).at("bytes", &[u64::from(number)]).uniform();
        let bytes = Bytes::new(1_000_000 + u64::from(number) * 1_009);
        let bound = number
            .is_multiple_of(3)
            .then(|| BytesPerSec::new(1e9 + 2e10 * draw));
        ((0..len).map(usage).collect(), bytes, bound)
    };
    (0..KINDS).map(kind).collect()
}

/// Claim: 60 activities are always alive, 20,000 have ended; 40,000 more end without one allocation.
#[test]
fn the_loop_does_not_allocate_after_warm_up() {
    let kinds = kinds();
    let mut fluid = Fluid::new(&vec![BytesPerSec::new(50e9); LINKS as usize]);
    let mut next = 0u32;
    let mut start = |fluid: &mut Fluid, now: SimTime| {
        let (path, bytes, bound) = &kinds[(next % KINDS) as usize];
        let activity = Activity {
            bound: *bound,
            ..Activity::new(next, *bytes, path)
        };
        next += 1;
        fluid.start(&activity, now);
    };
    for _ in 0..ALIVE {
        start(&mut fluid, SimTime::ZERO);
    }
    let mut ended = Vec::with_capacity(2 * ALIVE as usize);
    let (mut num_ended, mut at_warm) = (0usize, None);
    while num_ended < 60_000 {
        let time = fluid.next_completion().expect("some are always alive");
        fluid.advance(time, &mut ended);
        num_ended += ended.len();
        for _ in ended.drain(..) {
            start(&mut fluid, time);
        }
        if num_ended >= 20_000 && at_warm.is_none() {
            at_warm = Some(ALLOCATIONS.load(Ordering::Relaxed));
        }
    }
    let now = ALLOCATIONS.load(Ordering::Relaxed);
    assert_eq!(Some(now), at_warm, "allocations before and after");
    assert!(fluid.effort().relaxed > 10_000, "repair was at work");
}
