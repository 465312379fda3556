//! The timeline: merging against its slow twin, the axis, sums, and the panel driven by its labels.

mod bars;
mod marks;
mod panel;
mod sums;

use orrery_timeline::{KindTable, OpClass, Span, SpanId, TimelineBuilder};
use orrery_units::{Bytes, Evidence, Flops, LaneId, SimDuration, SimTime};

use super::lane::{Entry, Lane};
use super::model::TimelineModel;

/// A span for tests: lane, kind (by class), start and duration in nanoseconds, and what released it.
pub(super) type Given = (u32, OpClass, u64, u64, Option<SpanId>);

/// A timeline of two ranks with two lanes each, on which `spans` lie in the order of their ends.
pub(super) fn model(spans: impl IntoIterator<Item = Given>) -> TimelineModel {
    let mut kinds = KindTable::new();
    for class in OpClass::ALL {
        kinds.intern(class.name(), class);
    }
    let mut builder = TimelineBuilder::new(kinds.clone(), 1_000_000);
    for rank in ["rank 0", "rank 1"] {
        builder.add_lane(rank, "compute");
        builder.add_lane(rank, "exchange");
    }
    let memory = builder.add_counter("rank 0", "memory", "B");
    for (lane, class, start, nanos, released_by) in spans {
        builder.add(Span {
            lane: LaneId::new(lane),
            kind: kinds.intern(class.name(), class),
            start: SimTime::from_picos(start * 1_000),
            duration: SimDuration::from_nanos(nanos),
            step: 1,
            tag: (7, 3),
            released_by,
            flops: if class == OpClass::Compute {
                Flops::new(nanos as f64 * 1e6)
            } else {
                Flops::ZERO
            },
            bytes: Bytes::new(if class == OpClass::Dispatch {
                nanos * 100
            } else {
                0
            }),
            evidence: Evidence::Interpolated,
        });
        builder.count(memory, SimTime::from_picos((start + nanos) * 1_000), nanos as f64);
    }
    TimelineModel::new(builder.finish())
}

/// A lane of `spans`: start, end, and number of the kind.
pub(super) fn lanes(spans: &[(u64, u64, u32)]) -> Vec<Lane> {
    let entries = (0..).zip(spans).map(|(span, &(start, end, kind))| Entry {
        start,
        end,
        kind: orrery_units::KindId::new(kind),
        span,
    });
    Lane::arranged("lane", 0, entries.collect())
}
