//! Damaged traces: whatever stands in a file, reading, joining and replaying end with a result or a reason.

use std::fs::File;
use std::io::Read as _;

use flate2::read::GzDecoder;
use orrery_replay::{Graph, Timing, totals, waits};
use orrery_trace::kineto::{join, read};
use orrery_units::{Key, Seed};

const RANK: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../../tests/truth/traces/kineto/param_dlrm_8rank/rank-7.json.gz"
);
/// Events that are kept of the file, every so many.
const EVERY: usize = 40;

/// A small trace with events of every sort.
fn small() -> Vec<u8> {
    let mut text = String::new();
    GzDecoder::new(File::open(RANK).expect("it is shipped"))
        .read_to_string(&mut text)
        .expect("a text");
    let trace: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let events = trace["traceEvents"].as_array().expect("events");
    let wanted = |(at, event): &(usize, &serde_json::Value)| {
        at % EVERY == 0
            || event["name"]
                .as_str()
                .is_some_and(|name| name.contains("nccl") || name.contains("Profiler"))
    };
    let kept: Vec<&serde_json::Value> = events
        .iter()
        .enumerate()
        .filter(wanted)
        .map(|(_, event)| event)
        .collect();
    serde_json::to_vec(
        &serde_json::json!({"distributedInfo": {"rank": 7, "world_size": 8}, "traceEvents": kept}),
    )
    .expect("plain data")
}

fn below(key: Key, bound: usize) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place in a small text"
    )]
    let place = (key.uniform() * bound as f64) as usize;
    place.min(bound.saturating_sub(1))
}

/// One of a few ways to damage a text, by lot.
fn damage(text: &[u8], seed: Seed, number: u64) -> Vec<u8> {
    let mut text = text.to_vec();
    let draw = |what: u64, bound: usize| below(seed.at("damage", &[number, what]), bound);
    for round in 0..=draw(0, 4) as u64 {
        let what = round * 10;
        let at = draw(what + 1, text.len());
        match draw(what + 2, 7) {
            0 => text[at] = u8::try_from(draw(what + 3, 256)).expect("a byte"),
            1 => text.truncate(at.max(1)),
            2 => text.insert(at, b"{}[]\",:\\0-9e."[draw(what + 3, 13)]),
            3 => {
                text.remove(at);
            }
            4 => {
                // A digit more or less: times and numbers far from the others.
                if let Some(digit) = text[at..].iter().position(u8::is_ascii_digit) {
                    text.splice(at + digit..at + digit, b"999".iter().copied());
                }
            }
            5 => {
                let to = (at + draw(what + 3, 400)).min(text.len());
                let part = text[at..to].to_vec();
                text.splice(at..at, part);
            }
            _ => {
                let to = (at + draw(what + 3, 400)).min(text.len());
                text.drain(at..to);
            }
        }
        if text.is_empty() {
            break;
        }
    }
    text
}

#[test]
fn ten_thousand_damaged_traces() {
    let text = small();
    let seed = Seed::new(20_261_130);
    let (mut whole, mut partial, mut refused, mut circles) = (0, 0, 0, 0);
    for number in 0..10_000 {
        let damaged = damage(&text, seed, number);
        let rank = match read(damaged.as_slice()) {
            Ok(rank) => rank,
            Err(reason) => {
                assert!(!reason.is_empty(), "a refusal has a reason");
                refused += 1;
                continue;
            }
        };
        assert!(rank.events <= damaged.len() as u64, "no more events than bytes");
        if let Some(stop) = &rank.stopped {
            assert!(
                stop.byte <= damaged.len() as u64 && !stop.reason.is_empty(),
                "{stop:?}"
            );
            partial += 1;
        } else {
            whole += 1;
        }
        let _figures = rank.facts();
        let recording = join(vec![rank.clone(), rank]).recording;
        match Graph::new(&recording) {
            Ok(graph) => {
                let ends = graph.evaluate(&Timing::measured(&graph).begun_together(&graph));
                let _steps = graph.step_times(&ends);
                let _waits = waits(&graph);
                let _totals = totals(&graph);
            }
            Err(_) => circles += 1,
        }
    }
    assert!(
        whole > 1000 && partial > 1000 && refused > 10,
        "{whole} whole, {partial} partial, {refused} refused, {circles} circles"
    );
}
