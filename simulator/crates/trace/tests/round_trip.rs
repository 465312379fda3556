//! A timeline written as ranks of a profiler and read again is the same to the nanosecond.

use orrery_timeline::{KindTable, OpClass, Span, Timeline, TimelineBuilder};
use orrery_trace::kineto::{Ranks, join, read, write_rank};
use orrery_units::{Bytes, Evidence, Flops, Key, LaneId, Seed, SimDuration, SimTime};

/// A span with names for numbers, times from the first start in nanoseconds.
type Named = (String, String, String, OpClass, u64, u64, u16, (u32, u32), u64);

fn named(timeline: &Timeline) -> Vec<Named> {
    let nanos = |at: SimTime| at.as_picos() / 1000;
    let first = timeline.spans().map(|span| nanos(span.start)).min().unwrap_or(0);
    let mut all: Vec<Named> = timeline
        .spans()
        .map(|span| {
            let (lane, kind) = (&timeline.lanes[span.lane], timeline.kinds.kind(span.kind));
            let (start, end) = (nanos(span.start), nanos(span.start + span.duration));
            (
                lane.program.clone(),
                lane.name.clone(),
                kind.name.clone(),
                kind.class,
                start - first,
                end - first,
                span.step,
                span.tag,
                span.bytes.get(),
            )
        })
        .collect();
    all.sort_by(|a, b| (&a.0, &a.1, a.4, a.5, &a.2).cmp(&(&b.0, &b.1, b.4, b.5, &b.2)));
    all
}

fn back(timeline: &Timeline) -> Timeline {
    let ranks = Ranks::of(timeline);
    let read_back = |number: u32| {
        let mut text = Vec::new();
        write_rank(&ranks, number, &mut text).expect("a vector can be written");
        read(text.as_slice()).expect("a trace")
    };
    let joined = join(ranks.numbers().map(read_back).collect());
    assert_eq!(joined.report.incomplete, None, "every rank is whole");
    assert!(joined.report.refusals.is_empty(), "{:?}", joined.report);
    joined.recording.timeline(usize::MAX)
}

fn below(key: Key, bound: u32) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small number"
    )]
    let number = (key.uniform() * f64::from(bound)) as u32;
    number.min(bound - 1)
}

/// Three ranks with two lanes each over three steps, drawn; a lane may begin a step before another one ended the last.
fn drawn(seed: Seed, number: u64) -> Timeline {
    let draw = |what: u64, bound: u32| below(seed.at("round trip", &[number, what]), bound);
    let mut kinds = KindTable::new();
    let all = [
        kinds.intern("attention forward", OpClass::Compute),
        kinds.intern("dispatch <8 experts> (forward)", OpClass::Dispatch),
        kinds.intern("gradient \"norm\"", OpClass::Optimizer),
        kinds.intern("nccl all-reduce of gradients", OpClass::Data),
        kinds.intern("launch", OpClass::Host),
    ];
    let mut builder = TimelineBuilder::new(kinds, usize::MAX);
    let lanes: Vec<LaneId> = [3, 17, 20]
        .iter()
        .flat_map(|rank| ["compute", "exchange"].map(|name| (format!("rank {rank}"), name)))
        .map(|(program, name)| builder.add_lane(&program, name))
        .collect();
    let begin = SimTime::from_picos(5_000_000_000 + u64::from(draw(0, 1000)));
    let mut ends = vec![begin; lanes.len()];
    for at in 0..240_u64 {
        let what = 10 + at * 10;
        let place = draw(what, 6) as usize;
        let start = ends[place] + SimDuration::from_picos(u64::from(draw(what + 1, 900_000)));
        let duration = SimDuration::from_picos(u64::from(draw(what + 2, 4_000_000)));
        ends[place] = start + duration;
        builder.add(Span {
            lane: lanes[place],
            kind: all[draw(what + 3, 5) as usize],
            start,
            duration,
            step: u16::try_from(at / 80).expect("three steps"),
            tag: (draw(what + 4, 61), draw(what + 5, 8)),
            released_by: None,
            flops: Flops::default(),
            bytes: Bytes::new(u64::from(draw(what + 6, 1 << 20))),
            evidence: Evidence::Analytic,
        });
    }
    builder.finish()
}

#[test]
fn a_timeline_comes_back() {
    let seed = Seed::new(20_261_130);
    for number in 0..40 {
        let timeline = drawn(seed, number);
        let again = back(&timeline);
        assert_eq!(named(&again), named(&timeline), "timeline {number}");
        assert_eq!(named(&back(&again)), named(&again), "and again");
    }
}
