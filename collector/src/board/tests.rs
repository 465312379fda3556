//! The board on a clock of the test's own: who is told what, and when.

use orrery_telemetry::{Origin, SourceState, read_line};
use orrery_units::SimTime;
use tokio::sync::mpsc::{Receiver as LineReceiver, channel};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn board() -> Board {
    let board = Board::new(SECOND);
    board.add_source("nvml", Arc::default());
    board
}

/// Reads a sample at `now`.
fn take_sample(board: &Board, sequence: u64, now: Instant) {
    board.take(sample(sequence, now), now);
}

fn sample(sequence: u64, began: Instant) -> Message {
    let sample = Sample {
        source: "nvml".to_owned(),
        origin: Origin::Live,
        sequence,
        at: SimTime::ZERO,
        taken: UnixTime::from_millis(0),
        devices: Vec::new(),
        host: None,
        collectives: Vec::new(),
    };
    Message::Sample {
        sample,
        began,
        next_try: None,
    }
}

fn failure(reason: &str, next_try: Option<Instant>) -> Message {
    Message::Absent {
        source: "nvml",
        error: reason.into(),
        next_try,
    }
}

/// What came since the last call, heartbeats left out.
fn news(reader: &mut LineReceiver<Line>) -> Vec<Event> {
    let mut events = Vec::new();
    while let Ok(line) = reader.try_recv() {
        events.push(read_line(text_of(&line)).unwrap());
    }
    events.retain(|event| !matches!(event, Event::Heartbeat(_)));
    events
}

fn num_heartbeats(reader: &mut LineReceiver<Line>) -> usize {
    let mut count = 0;
    while let Ok(line) = reader.try_recv() {
        count += usize::from(matches!(read_line(text_of(&line)).unwrap(), Event::Heartbeat(_)));
    }
    count
}

fn subscribe(board: &Board, num_lines: usize) -> LineReceiver<Line> {
    let (lines, reader) = channel(num_lines);
    assert!(board.subscribe(lines), "there is a place");
    reader
}

fn reasons<'a>(events: &'a [Event]) -> Vec<&'a str> {
    let reason = |event: &'a Event| match event {
        Event::Source(status) => status.reason.as_str(),
        other => panic!("only sources changed, not {other:?}"),
    };
    events.iter().map(reason).collect()
}

#[test]
fn a_silent_source_is_told_and_so_is_its_return() {
    let (board, start) = (board(), Instant::now());
    take_sample(&board, 0, start);
    let mut reader = subscribe(&board, 64);
    assert_eq!(news(&mut reader).len(), 2, "a status and a sample");
    board.watch(start + 4 * SECOND);
    assert_eq!(news(&mut reader), []);
    board.watch(start + 4 * SECOND + SECOND / 10);
    assert_eq!(reasons(&news(&mut reader)), [SILENT]);
    board.watch(start + 9 * SECOND);
    assert_eq!(news(&mut reader), [], "it is told once");
    take_sample(&board, 1, start + 10 * SECOND);
    let back = news(&mut reader);
    assert!(
        matches!(&back[..], [Event::Source(status), Event::Sample(sample)]
            if status.state == SourceState::Live && status.reason.is_empty() && sample.sequence == 1),
        "{back:?}"
    );
}

#[test]
fn numbers_of_a_silent_source_are_not_served() {
    let (board, start) = (board(), Instant::now());
    take_sample(&board, 0, start);
    assert_eq!(board.lock().latest_at(start + 4 * SECOND).len(), 1);
    assert_eq!(board.lock().latest_at(start + 5 * SECOND).len(), 0);
    take_sample(&board, 1, start - 60 * SECOND);
    let mut reader = subscribe(&board, 64);
    assert_eq!(reasons(&news(&mut reader)), [SILENT], "nor to a new reader");
}

#[test]
fn a_reading_that_hung_on_the_way_is_not_served_as_new() {
    let (board, start) = (board(), Instant::now());
    take_sample(&board, 0, start);
    let mut reader = subscribe(&board, 64);
    assert_eq!(news(&mut reader).len(), 2, "a status and a sample");
    // It began a second later, and is there after a minute: some of its values are a minute old.
    let minute = start + 60 * SECOND;
    board.watch(minute);
    board.take(sample(1, start + SECOND), minute);
    assert_eq!(reasons(&news(&mut reader)), [SILENT], "no sample, and no return");
    assert_eq!(board.lock().latest_at(minute), []);
    take_sample(&board, 2, minute + SECOND);
    let back = news(&mut reader);
    assert!(
        matches!(&back[..], [Event::Source(status), Event::Sample(sample)]
            if status.is_up() && sample.sequence == 2),
        "{back:?}"
    );
}

#[test]
fn a_source_that_is_opened_again_for_a_lost_device_has_the_time_for_it() {
    let (board, start) = (board(), Instant::now());
    let Message::Sample { sample, began, .. } = sample(0, start) else {
        panic!("a sample")
    };
    let again = Message::Sample {
        sample,
        began,
        next_try: Some(start),
    };
    board.take(again, start);
    let mut reader = subscribe(&board, 64);
    assert_eq!(news(&mut reader).len(), 2, "a status and a sample");
    board.watch(start + 13 * SECOND);
    assert_eq!(news(&mut reader), []);
    board.watch(start + 15 * SECOND);
    assert_eq!(reasons(&news(&mut reader)), [SILENT]);
}

#[test]
fn a_source_that_hangs_while_it_is_opened_is_silent() {
    let board = board();
    let mut reader = subscribe(&board, 64);
    assert_eq!(reasons(&news(&mut reader)), ["being opened"]);
    // A driver that is loaded takes its time.
    board.watch(Instant::now() + 9 * SECOND);
    assert_eq!(news(&mut reader), []);
    board.watch(Instant::now() + 11 * SECOND);
    assert_eq!(reasons(&news(&mut reader)), [SILENT]);
}

#[test]
fn a_source_that_waits_for_its_next_try_is_not_silent_until_that_hangs() {
    let (board, start) = (board(), Instant::now());
    let mut reader = subscribe(&board, 64);
    assert_eq!(news(&mut reader).len(), 1);
    let wall = wall_clock();
    board.take(failure("no driver", Some(start + 60 * SECOND)), start);
    let told = news(&mut reader);
    let [Event::Source(status)] = &told[..] else {
        panic!("one status, not {told:?}")
    };
    let wait = status.next_try.expect("it is tried again").as_millis() - wall.as_millis();
    assert!((59_000..=61_000).contains(&wait), "{wait} ms");
    board.watch(start + 69 * SECOND);
    assert_eq!(news(&mut reader), []);
    board.watch(start + 71 * SECOND);
    assert_eq!(reasons(&news(&mut reader)), [SILENT]);
}

#[test]
fn a_next_try_that_stays_is_told_once() {
    let (board, start) = (board(), Instant::now());
    let mut reader = subscribe(&board, 64);
    let next_try = Some(start + 60 * SECOND);
    for second in 0..3 {
        let now = start + second * SECOND;
        let Message::Sample { sample, began, .. } = sample(u64::from(second), now) else {
            panic!("a sample")
        };
        let message = Message::Sample {
            sample,
            began,
            next_try,
        };
        board.take(message, now);
    }
    let is_status = |event: &Event| matches!(event, Event::Source(_));
    let told = news(&mut reader);
    assert_eq!(
        told.iter().filter(|event| is_status(event)).count(),
        2,
        "as it was, and up: {told:?}"
    );
}

#[test]
fn nobody_waits_for_a_source_that_does_not_run() {
    let board = Board::new(SECOND);
    board.add_idle("demo", "not asked for".into(), Arc::default());
    board.watch(Instant::now() + 1000 * SECOND);
    assert_eq!(board.statuses()[0].reason, "not asked for");
}

#[test]
fn heartbeats_keep_their_promise() {
    for (interval, promise) in [(SECOND / 10, SECOND), (60 * SECOND, 5 * SECOND)] {
        let (board, start) = (Board::new(interval), Instant::now());
        let mut reader = subscribe(&board, 64);
        let first = read_line(text_of(&reader.try_recv().unwrap())).unwrap();
        let Event::Heartbeat(heartbeat) = first else {
            panic!("a stream begins with a heartbeat, not {first:?}")
        };
        assert!((heartbeat.next_within.as_secs() - promise.as_secs_f64()).abs() < 1e-9);
        board.watch(start);
        for beat in 1..=5 {
            num_heartbeats(&mut reader);
            board.watch(start + beat * promise);
            assert!(num_heartbeats(&mut reader) > 0, "beat {beat} of {promise:?}");
        }
    }
}

#[test]
fn a_heartbeat_goes_with_every_sample_and_wakes_nobody_in_between() {
    let (board, start) = (board(), Instant::now());
    let mut reader = subscribe(&board, 64);
    board.watch(start);
    for number in 1..=10 {
        num_heartbeats(&mut reader);
        let at = start + SECOND * number;
        take_sample(&board, u64::from(number), at);
        assert_eq!(num_heartbeats(&mut reader), 1, "with sample {number}");
        board.watch(at + SECOND / 2);
        board.watch(at + SECOND);
        assert_eq!(num_heartbeats(&mut reader), 0, "after sample {number}");
    }
    // The source is quiet: heartbeats come by themselves again.
    board.watch(start + 10 * SECOND + 5 * SECOND / 4);
    assert_eq!(num_heartbeats(&mut reader), 1);
}

/// The numbers of the samples among `events`; of anything else, none.
fn sequences(events: &[Event]) -> Vec<Option<u64>> {
    let sequence = |event: &Event| match event {
        Event::Sample(sample) => Some(sample.sequence),
        _ => None,
    };
    events.iter().map(sequence).collect()
}

#[test]
fn samples_that_come_fast_are_told_together_in_order_and_once() {
    let (board, start) = (Board::new(SECOND / 10), Instant::now());
    board.add_source("nvml", Arc::default());
    let mut reader = subscribe(&board, 64);
    let take = |sequence: u32| take_sample(&board, sequence.into(), start + SECOND / 10 * sequence);
    take(0);
    assert_eq!(
        sequences(&news(&mut reader)),
        [None, None, Some(0)],
        "being opened, up"
    );
    for sequence in 1..5 {
        take(sequence);
    }
    assert_eq!(news(&mut reader), []);
    take(5);
    assert_eq!(sequences(&news(&mut reader)), [1, 2, 3, 4, 5].map(Some));
    // Somebody else comes: he gets the last one, and the others what led to it.
    take(6);
    take(7);
    let mut late = subscribe(&board, 64);
    assert_eq!(sequences(&news(&mut late)), [None, Some(7)]);
    assert_eq!(sequences(&news(&mut reader)), [6, 7].map(Some));
    // What comes last does not wait for another.
    take(8);
    take(9);
    board.watch(start + 2 * SECOND);
    assert_eq!(sequences(&news(&mut late)), [8, 9].map(Some));
    take(21);
    board.take(failure("gone", None), start + 22 * SECOND / 10);
    assert_eq!(
        sequences(&news(&mut late)),
        [Some(21), None],
        "in the order of things"
    );
}

#[test]
fn a_slow_reader_is_told_what_it_missed_and_how_every_source_does() {
    let (board, start) = (board(), Instant::now());
    board.add_idle("demo", "not asked for".into(), Arc::default());
    // Room for the beginning of the stream, and for all that a reader that caught up is told.
    let mut reader = subscribe(&board, 4);
    for reason in ["a", "b", "c", "d"] {
        board.take(failure(reason, None), start);
    }
    let mut events = news(&mut reader);
    // Nothing changes any more; the next heartbeat brings what was missed.
    board.watch(start);
    events.extend(news(&mut reader));
    let absent = |name, reason: &str| Event::Source(SourceStatus::absent(name, reason));
    assert_eq!(
        events,
        [
            absent("nvml", "being opened"),
            absent("demo", "not asked for"),
            absent("nvml", "a"),
            Event::Missed(3),
            absent("nvml", "d"),
            absent("demo", "not asked for"),
        ]
    );
}
