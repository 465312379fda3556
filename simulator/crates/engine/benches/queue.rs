//! How many events a second the queue passes on with 10,000 pending: each is taken, and its owner awaits
//! another instant.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use orrery_units::{Seed, SimDuration, SimTime};

#[path = "../src/indexed_heap.rs"]
mod indexed_heap;
#[path = "../src/queue.rs"]
#[expect(dead_code, unused_imports, reason = "the engine uses the rest")]
mod queue;
use queue::{Class, Queue};

const PENDING: u32 = 10_000;
/// Sixteen rounds of as many waits.
const WAITS: u64 = 1 << 16;
const EVENTS: u64 = 16 * WAITS;

fn events(criterion: &mut Criterion) {
    let wait = |at: u64| SimDuration::from_secs(1e-3 * Seed::new(1).at("wait", &[at]).uniform());
    let waits: Vec<SimDuration> = (0..WAITS).map(wait).collect();
    let mut queue = Queue::new(PENDING);
    for (owner, wait) in (0..PENDING).zip(&waits) {
        queue.set(owner, SimTime::ZERO + *wait, Class::End);
    }
    let mut group = criterion.benchmark_group("queue");
    group.throughput(Throughput::Elements(EVENTS));
    group.sample_size(20);
    group.bench_function("10k_pending", |bencher| {
        bencher.iter(|| {
            for _ in 0..EVENTS / WAITS {
                for wait in &waits {
                    let event = queue.pop().expect("everybody awaits something");
                    queue.set(event.owner, event.time + *wait, event.class);
                }
            }
        });
    });
    group.finish();
}

criterion_group!(benches, events);
criterion_main!(benches);
