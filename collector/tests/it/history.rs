//! The local history over HTTP: what was streamed is there, also after a kill, and every fault names the fix.

use std::collections::BTreeMap;
use std::process::Command;

use orrery_telemetry::{Event, Sample};
use serde_json::Value;

use crate::http::{Listener, get, metrics_until};
use crate::process::{Server, command, run};

const POWER: &str = "orrery_gpu_power_watts";

/// A daemon that keeps its history in `folder`, and flushes it every 200 ms.
fn serve(folder: &std::path::Path) -> Command {
    let mut serve = command(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--source",
        "demo",
        "--interval",
        "100ms",
    ]);
    serve
        .args(["--flush-interval", "200ms", "--data-dir"])
        .arg(folder);
    serve
}

/// The JSON at `path`, which has the code `code`.
fn json(server: &Server, path: &str, code: &str) -> Value {
    let (head, body) = get(server.address, path);
    assert!(
        head.lines().next().is_some_and(|line| line.contains(code)),
        "{path}: {head}\n{body}"
    );
    assert!(head.contains("application/json"), "{head}");
    serde_json::from_str(&body).unwrap_or_else(|fault| panic!("{path}: {fault}: {body}"))
}

/// The next `num` samples.
fn samples(server: &Server, num: usize) -> Vec<Sample> {
    let mut stream = Listener::new(server.address);
    let mut seen = Vec::new();
    stream.find("the samples", |event| {
        if let Event::Sample(sample) = event {
            seen.push(sample);
        }
        (seen.len() >= num).then_some(())
    });
    seen
}

/// Waits until all that was taken up to `sample` is on the disk.
fn until_flushed(server: &Server, sample: &Sample) {
    let at = |text: &str| {
        let line = text
            .lines()
            .find(|line| line.starts_with("orrery_store_flushed_timestamp_seconds "));
        line.and_then(|line| line.split(' ').nth(1)?.parse::<f64>().ok())
    };
    metrics_until(server.address, "a flush", |text| {
        at(text).is_some_and(|flushed| flushed >= sample.taken.as_secs())
    });
}

/// Time and power of device 0 of demo-node-0, as the history has them, in milliseconds and bits.
fn stored_power(server: &Server) -> BTreeMap<u64, u64> {
    let path = format!("/v1/history?metric={POWER}&node=demo-node-0&gpu=0&from=-10min&step=raw");
    let answer = json(server, &path, " 200 ");
    assert_eq!(
        (&answer["schema"], answer["damaged_rows"].as_u64()),
        (&"history/1".into(), Some(0)),
        "{answer}"
    );
    let points = answer["series"][0]["points"].as_array().expect("points");
    let number = |value: &Value| value.as_f64().expect("a number");
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "milliseconds since 1970"
    )]
    let millis = |point: &Value| (number(&point[0]) * 1000.0).round() as u64;
    points
        .iter()
        .map(|point| (millis(point), number(&point[1]).to_bits()))
        .collect()
}

/// The same out of the stream, to the six digits that the history keeps.
fn streamed_power(samples: &[Sample]) -> BTreeMap<u64, u64> {
    let point = |sample: &Sample| {
        let power = sample.devices[0].power.value().expect("a power").0;
        let kept: f64 = format!("{power:.5e}").parse().expect("a number");
        (sample.taken.as_millis(), kept.to_bits())
    };
    samples.iter().map(point).collect()
}

#[test]
fn what_was_streamed_is_in_the_history_and_stays_there_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(serve(folder.path()));
    let mut streamed = samples(&server, 12);
    until_flushed(&server, &streamed[11]);
    let is_there = |server: &Server, streamed: &[Sample]| {
        let stored = stored_power(server);
        for (at, power) in streamed_power(streamed) {
            assert_eq!(stored.get(&at), Some(&power), "{at}: {stored:?}");
        }
    };
    is_there(&server, &streamed);
    server.end("-KILL");
    let server = Server::start(serve(folder.path()));
    let more = samples(&server, 5);
    until_flushed(&server, &more[4]);
    streamed.extend(more);
    is_there(&server, &streamed);
    // An end that was asked for loses nothing at all.
    let last = samples(&server, 2).pop().unwrap();
    let (code, log) = server.end("-TERM");
    assert_eq!((code, log.contains("left behind")), (Some(143), false), "{log}");
    let server = Server::start(serve(folder.path()));
    metrics_until(server.address, "the file is open", |text| {
        text.contains("orrery_store_up{reason=\"\"} 1\n")
    });
    is_there(&server, &[last]);
}

#[test]
fn series_are_listed_and_steps_have_least_mean_and_largest() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(serve(folder.path()));
    let streamed = samples(&server, 5);
    until_flushed(&server, &streamed[4]);
    let list = json(&server, "/v1/series", " 200 ");
    let series = list["series"].as_array().unwrap();
    let of_power = series.iter().filter(|series| series["metric"] == POWER);
    assert_eq!(of_power.clone().count(), 32);
    let labels = &of_power.clone().next().unwrap()["labels"];
    assert_eq!(
        (&labels["source"], &labels["demo"]),
        (&"demo".into(), &"true".into()),
        "{labels}"
    );
    // Every number of `/metrics` about a device is a series.
    let (_, text) = get(server.address, "/metrics");
    let printed = text
        .lines()
        .filter(|line| line.starts_with("orrery_gpu_") && !line.contains("_info{"));
    assert_eq!(printed.count(), series.len());
    let path = format!("/v1/history?metric={POWER}&from=-1h&step=10min");
    let answer = json(&server, &path, " 200 ");
    let all = answer["series"].as_array().unwrap();
    assert_eq!(all.len(), 32);
    for series in all {
        let point: Vec<f64> = serde_json::from_value(series["points"][0].clone()).unwrap();
        assert!(point[1] <= point[2] && point[2] <= point[3], "{series}");
        assert_eq!((point[0] % 600.0).to_bits(), 0.0f64.to_bits(), "{series}");
    }
}

#[test]
fn questions_that_have_no_answer_are_told_what_would_do() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(serve(folder.path()));
    let streamed = samples(&server, 3);
    until_flushed(&server, &streamed[2]);
    for (path, code, fix) in [
        ("/v1/history", " 400 ", "metric=NAME"),
        ("/v1/history?metric=orrery_gpu_power", " 404 ", POWER),
        ("/v1/history?metric=nonsense", " 404 ", "/v1/series"),
        (
            "/v1/history?metric=orrery_gpu_power_watts&gqu=0",
            " 400 ",
            "`gpu`",
        ),
        (
            "/v1/history?metric=orrery_gpu_power_watts&from=-30d&step=10s",
            " 400 ",
            "step=300s",
        ),
        ("/v1/history?metric=orrery_gpu_power_watts&step=0", " 400 ", "raw"),
    ] {
        let answer = json(&server, path, code);
        let told = answer["fix"].as_str().unwrap();
        assert!(told.contains(fix), "{path}: {answer}");
    }
    let without = Server::start(command(&["serve", "--listen", "127.0.0.1:0", "--source", "demo"]));
    let answer = json(&without, "/v1/series", " 404 ");
    assert!(answer["fix"].as_str().unwrap().contains("--data-dir"), "{answer}");
    let (_, text) = get(without.address, "/metrics");
    assert!(
        !text.contains("orrery_store_"),
        "who keeps no history has no metrics of it"
    );
    assert_eq!(json(&without, "/healthz", " 200 ")["store"], Value::Null);
}

#[test]
fn two_collectors_do_not_share_a_file_and_both_serve() {
    let folder = tempfile::tempdir().unwrap();
    let first = Server::start(serve(folder.path()));
    metrics_until(first.address, "the first has the file", |text| {
        text.contains("orrery_store_up{reason=\"\"} 1\n")
    });
    let second = Server::start(serve(folder.path()));
    let text = metrics_until(second.address, "the second says so", |text| {
        text.contains("another process has")
    });
    assert!(
        text.contains("orrery_source_up{source=\"demo\",reason=\"\"} 1\n"),
        "{text}"
    );
    let health = json(&second, "/healthz", " 200 ");
    assert!(
        health["store"]["remedy"].as_str().unwrap().contains("--data-dir"),
        "{health}"
    );
    drop(first);
    metrics_until(second.address, "the second takes over", |text| {
        text.contains("orrery_store_up{reason=\"\"} 1\n")
    });
}

#[test]
fn settings_of_the_history_are_checked() {
    for (arguments, fix) in [
        (&["serve", "--flush-interval", "1s"][..], "--data-dir"),
        (&["serve", "--data-dir", "x", "--flush-interval", "1 h"], "10 min"),
        (&["serve", "--data-dir", "x", "--keep-raw", "30d"], "--keep-10s"),
        (&["serve", "--data-dir", "x", "--max-size", "1 MiB"], "16 MiB"),
    ] {
        let (code, _, words) = run(arguments);
        assert_eq!(
            (code, words.contains(fix)),
            (Some(2), true),
            "{arguments:?}: {words}"
        );
    }
}
