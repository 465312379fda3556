//! How fast the fluid sharing is, and how much faster than its twin, in one run.
//!
//! Elements are ends of activities (and starts, where they go on). Cases: changes that touch few links, on
//! 10,000 links; all-to-alls as one flow per pair; collectives as coupled activities over 64 ports.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use orrery_engine::fluid::{Activity, Batched, Fluid, Twin};
use orrery_units::{Bytes, BytesPerSec, Ratio, Seed, SimTime};
use std::hint::black_box;

#[path = "../tests/fluid/cases.rs"]
mod cases;
use cases::{Sharing, all_to_all, over, run_out, start_all};

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small whole numbers"
)]
fn whole(what: &str, at: &[u64], below: u32) -> u32 {
    (Seed::new(1).at(what, at).uniform() * f64::from(below)) as u32
}

/// Starts `num` activities, `alive` at a time: whenever one ends the next comes, over what `path` says.
fn keep_alive(
    sharing: &mut dyn Sharing,
    alive: u32,
    paths: &[(Vec<orrery_taskgraph::PathUse>, Bytes)],
    bound: Option<BytesPerSec>,
) {
    let activity = |owner: u32| {
        let (path, bytes) = &paths[owner as usize];
        Activity {
            bound,
            ..Activity::new(owner, *bytes, path)
        }
    };
    let num = u32::try_from(paths.len()).expect("few activities");
    let mut next = alive.min(num);
    for owner in 0..next {
        sharing.start(&activity(owner), SimTime::ZERO);
    }
    let mut ended = Vec::new();
    while let Some(time) = sharing.next_completion() {
        sharing.advance(time, &mut ended);
        for _ in ended.drain(..) {
            if next < num {
                sharing.start(&activity(next), time);
                next += 1;
            }
        }
    }
}

/// Crossings and bytes of one activity.
type Work = (Vec<orrery_taskgraph::PathUse>, Bytes);
/// Name, activities, number of links, how many at a time, their bound, and how many the twin gets.
type Case = (&'static str, Vec<Work>, usize, u32, Option<BytesPerSec>, u64);

/// `num` flows, each from one of 5,000 ports to another.
fn local(num: u64) -> Vec<Work> {
    let flow = |at: u64| {
        let path = over(&[whole("from", &[at], 5000), 5000 + whole("to", &[at], 5000)]);
        (
            path,
            Bytes::new(1_000_000 + u64::from(whole("size", &[at], 1_000_000))),
        )
    };
    (0..num).map(flow).collect()
}

/// `num` collectives, each over 64 of 512 ports that follow each other.
fn coupled(num: u64) -> Vec<Work> {
    let collective = |at: u64| {
        let first = 8 * whole("first", &[at], 57);
        let ports: Vec<u32> = (first..first + 64).collect();
        (
            over(&ports),
            Bytes::new(1_000_000 + u64::from(whole("size", &[at], 1_000_000))),
        )
    };
    (0..num).map(collective).collect()
}

/// `num` collectives over 64 ports that nobody else uses at that time.
fn alone(num: u64) -> Vec<Work> {
    let collective = |at: u64| {
        let first = 64 * u32::try_from(at % 8).expect("a few");
        let ports: Vec<u32> = (first..first + 64).collect();
        (over(&ports), Bytes::new(1_000_000))
    };
    (0..num).map(collective).collect()
}

fn streams(criterion: &mut Criterion) {
    let port = BytesPerSec::new(50e9);
    let cases: [Case; 4] = [
        (
            "local_10k_links_1k_flows",
            local(100_000),
            10_000,
            1_000,
            None,
            3_000,
        ),
        (
            "local_10k_links_10k_flows",
            local(100_000),
            10_000,
            10_000,
            None,
            0,
        ),
        (
            "coupled_64_of_512_ports_100_alive",
            coupled(20_000),
            512,
            100,
            Some(port),
            1_000,
        ),
        (
            "coupled_alone_8_alive",
            alone(100_000),
            512,
            8,
            Some(port),
            20_000,
        ),
    ];
    for (name, paths, links, alive, bound, twin) in cases {
        let mut group = criterion.benchmark_group(name);
        group.sample_size(10);
        let capacities = vec![port; links];
        group.throughput(Throughput::Elements(paths.len() as u64));
        group.bench_function("fast", |bencher| {
            bencher.iter(|| keep_alive(&mut Fluid::new(&capacities), alive, &paths, bound));
        });
        if twin > 0 {
            let few = &paths[..usize::try_from(twin).expect("few")];
            group.throughput(Throughput::Elements(twin));
            group.bench_function("twin", |bencher| {
                bencher.iter(|| keep_alive(&mut Twin::new(&capacities), alive, few, bound));
            });
        }
        group.finish();
    }
}

/// Pairs of an all-to-all of 1 GiB per host on a fat tree.
fn pairs(criterion: &mut Criterion) {
    for (hosts, skewed, twin) in [
        (32, true, true),
        (64, true, false),
        (64, false, false),
        (128, true, false),
        (512, false, false),
    ] {
        let name = format!("all_to_all_{}", if skewed { "skewed" } else { "uniform" });
        let mut group = criterion.benchmark_group(name);
        group.sample_size(10);
        let (capacities, pairs) = all_to_all(hosts, (1 << 30) / u64::from(hosts), skewed);
        group.throughput(Throughput::Elements(pairs.len() as u64));
        let mut measure = |what: &str, make: &dyn Fn() -> Box<dyn Sharing>| {
            group.bench_function(BenchmarkId::new(what, hosts), |bencher| {
                let setup = || {
                    let mut sharing = make();
                    start_all(sharing.as_mut(), &pairs);
                    sharing
                };
                bencher.iter_batched(
                    setup,
                    |mut sharing| black_box(run_out(sharing.as_mut())),
                    BatchSize::PerIteration,
                );
            });
        };
        measure("fast", &|| Box::new(Fluid::new(&capacities)));
        if skewed {
            let tolerance = Ratio::new(1e-3).expect("a ratio");
            measure("within_1e-3", &|| Box::new(Batched::new(&capacities, tolerance)));
        }
        if twin {
            measure("twin", &|| Box::new(Twin::new(&capacities)));
        }
        group.finish();
    }
}

criterion_group!(benches, streams, pairs);
criterion_main!(benches);
