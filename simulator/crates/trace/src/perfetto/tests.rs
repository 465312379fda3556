//! Traces read back by the messages that they are made of, and their bytes by hand.

use orrery_timeline::{KindTable, TimelineBuilder};
use orrery_units::{Bytes, Evidence, Flops, KindId, LaneId, SimDuration, SimTime};

use super::*;

fn span(lane: u32, kind: u32, (start, end): (u64, u64), released_by: Option<u32>) -> Span {
    let at = |nanos: u64| SimTime::ZERO + SimDuration::from_nanos(nanos);
    Span {
        lane: LaneId::new(lane),
        kind: KindId::new(kind),
        start: at(start),
        duration: at(end) - at(start),
        step: 3,
        tag: (7, 1),
        released_by,
        flops: Flops::new(2e9),
        bytes: Bytes::new(64),
        evidence: Evidence::Measured,
    }
}

/// Two ranks; a product on the first releases an exchange on the second; the second counts its memory.
fn timeline() -> Timeline {
    let mut kinds = KindTable::new();
    kinds.intern("product", OpClass::Compute);
    kinds.intern("exchange", OpClass::Dispatch);
    let mut builder = TimelineBuilder::new(kinds, 10);
    builder.add_lane("rank 0", "compute");
    builder.add_lane("rank 1", "traffic");
    let memory = builder.add_counter("rank 1", "memory", "B");
    let power = builder.add_counter("rank 1", "power", "W");
    builder.add(span(0, 0, (10, 30), None));
    builder.add(span(1, 1, (30, 45), Some(0)));
    builder.count(memory, SimTime::ZERO, 5.0);
    builder.count(power, SimTime::ZERO, 700.0);
    builder.finish()
}

fn written() -> Trace {
    let mut bytes = Vec::new();
    write_perfetto(&timeline(), &mut bytes).expect("a vector can be written");
    Trace::decode(bytes.as_slice()).expect("its own messages")
}

#[test]
fn slices_begin_and_end_on_the_track_of_their_lane() {
    let trace = written();
    let events: Vec<(u64, i32, u64)> = trace
        .packets
        .iter()
        .filter_map(|packet| {
            let event = packet.event.as_ref()?;
            Some((packet.nanos?, event.of?, event.track?))
        })
        .collect();
    // Tracks 1 and 2 are the ranks, 3 and 4 their lanes, 5 and 6 the counters.
    let (begin, end, counter) = (1, 2, 4);
    assert_eq!(
        events,
        [
            (10, begin, 3),
            (30, end, 3),
            (30, begin, 4),
            (45, end, 4),
            (0, counter, 5),
            (0, counter, 6)
        ]
    );
    let threads = trace
        .packets
        .iter()
        .filter_map(|packet| packet.track.as_ref()?.thread.as_ref());
    let names: Vec<&str> = threads.filter_map(|thread| thread.name.as_deref()).collect();
    assert_eq!(names, ["compute", "traffic"]);
}

#[test]
fn an_arrow_leaves_the_slice_that_released() {
    let trace = written();
    let arrows: Vec<(Vec<u64>, Vec<u64>)> = trace
        .packets
        .iter()
        .filter_map(|packet| packet.event.as_ref())
        .filter(|event| event.of == Some(EventType::SliceBegin as i32))
        .map(|event| (event.leaving.clone(), event.arriving.clone()))
        .collect();
    assert_eq!(arrows, [(vec![2], vec![]), (vec![], vec![2])]);
}

#[test]
fn counters_have_units() {
    let trace = written();
    let counters: Vec<(Option<&str>, Option<i32>, Option<&str>)> = trace
        .packets
        .iter()
        .filter_map(|packet| {
            let track = packet.track.as_ref()?;
            let counter = track.counter.as_ref()?;
            Some((track.name.as_deref(), counter.unit, counter.unit_name.as_deref()))
        })
        .collect();
    assert_eq!(
        counters,
        [
            (Some("memory"), Some(SIZE_BYTES), None),
            (Some("power"), None, Some("W"))
        ]
    );
}

/// The last packet of a timeline without spans, byte for byte, as the encoding of protocol buffers has it.
#[test]
fn the_bytes_are_those_of_the_format() {
    let mut builder = TimelineBuilder::new(KindTable::new(), 10);
    let memory = builder.add_counter("a", "memory", "B");
    builder.count(memory, SimTime::ZERO + SimDuration::from_nanos(300), 1.0);
    let mut bytes = Vec::new();
    write_perfetto(&builder.finish(), &mut bytes).expect("a vector can be written");
    #[rustfmt::skip]
    let packet = [
        0x0a, 23, // Trace.packet, 23 bytes
        0x40, 0xac, 0x02, // timestamp = 300
        0x50, 0x01, // trusted_packet_sequence_id = 1
        0x5a, 14, // track_event, 14 bytes
        0x48, 0x04, // type = TYPE_COUNTER
        0x58, 0x02, // track_uuid = 2
        0xe1, 0x02, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, // double_counter_value = 1.0; 44 << 3 | 1 is 0x161
        0x68, 0x02, // sequence_flags = SEQ_NEEDS_INCREMENTAL_STATE
    ];
    assert!(bytes.ends_with(&packet), "{bytes:x?}");
}
