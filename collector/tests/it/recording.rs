//! Recordings: made by the command, played by the daemon, and then the same as when they were live.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use orrery_collector::{Daemon, OpenSource, Settings, Source, SourceError, SourceKind};
use orrery_telemetry::{
    DeviceSample, Event, Origin, RecordingError, RecordingHeader, RecordingReader, RecordingWriter, Sample,
    UnixTime, write_line,
};
use orrery_units::{Seed, SimDuration};

use crate::http::{Listener, metrics_until, settings};
use crate::process::{Server, command, ended, run};

/// A source whose readings are always the same.
struct Still(Vec<DeviceSample>);

impl Source for Still {
    fn origin(&self) -> Origin {
        Origin::Demo
    }

    fn read(&mut self, _sequence: u64) -> Result<Vec<DeviceSample>, SourceError> {
        Ok(self.0.clone())
    }
}

/// The next `num` samples of `source`.
fn samples(address: std::net::SocketAddr, num: usize) -> Vec<Sample> {
    let mut seen = Vec::new();
    Listener::new(address).find("the samples", |event| {
        if let Event::Sample(sample) = event {
            seen.push(sample);
        }
        (seen.len() >= num).then_some(())
    });
    seen
}

/// The rows about devices, in order, from whatever source.
fn device_rows(text: &str, source: &str) -> Vec<String> {
    let rows = text.lines().filter(|line| line.starts_with("orrery_gpu_"));
    rows.map(|row| row.replace(&format!("source=\"{source}\""), ""))
        .collect()
}

fn record(path: &Path, more: &[&str]) -> (Option<i32>, String, String) {
    let mut record = command(&["record", "--source", "demo", "--interval", "100ms", "-o"]);
    record.arg(path).args(more);
    ended(&record.output().expect("it runs"))
}

fn read(path: &Path) -> Vec<Result<Sample, RecordingError>> {
    RecordingReader::new(File::open(path).expect("a file"))
        .expect("a recording")
        .collect()
}

fn replay(path: &Path) -> Server {
    let mut serve = command(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--source",
        "replay",
        "--recording",
    ]);
    serve.arg(path);
    Server::start(serve)
}

#[test]
fn a_sample_gives_the_same_metrics_live_and_replayed() {
    let mut demo = orrery_collector::DemoSource::new(Seed::new(4));
    let devices = demo.read(45).unwrap();
    let mut still = Some(Still(devices));
    let open: OpenSource = Box::new(move || Ok(Box::new(still.take().ok_or("a test opens it once")?)));
    let live = Daemon::start_with(&settings(Vec::new()), vec![("still", open)]).unwrap();
    let live_text = metrics_until(live.address(), "rows", |text| {
        text.contains("orrery_gpu_power_watts{")
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("still.rec.zst");
    let header = RecordingHeader::new(
        "n",
        Origin::Demo,
        UnixTime::default(),
        SimDuration::from_millis(100),
    );
    let mut writer = RecordingWriter::new(File::create(&path).unwrap(), &header).unwrap();
    for sample in samples(live.address(), 3) {
        // The same many times, so that it is there when it is looked at.
        let line = write_line(&Event::Sample(sample));
        (0..100).for_each(|_| writer.write(&line).unwrap());
    }
    writer.finish().unwrap();
    let replayed = Daemon::start(&Settings {
        recording: Some(path),
        ..settings(vec![SourceKind::Replay])
    })
    .unwrap();
    let text = metrics_until(replayed.address(), "rows", |text| {
        text.contains("orrery_gpu_power_watts{")
    });
    let rows = device_rows(&text, "replay");
    assert!(rows.len() > 500, "{} rows", rows.len());
    assert_eq!(rows, device_rows(&live_text, "still"));
    assert!(
        text.contains("demo=\"true\""),
        "what was made up is still marked so"
    );
}

#[test]
fn what_the_command_records_is_played_sample_by_sample_at_its_own_pace() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("demo.rec.zst");
    let (code, out, words) = record(&path, &["--for", "1500ms"]);
    assert_eq!((code, out.as_str()), (Some(0), ""), "{words}");
    assert!(
        words.contains(" samples in `") && !words.contains("missed"),
        "{words}"
    );
    let recorded: Vec<Sample> = read(&path).into_iter().map(Result::unwrap).collect();
    assert!(recorded.len() >= 8, "{} samples", recorded.len());
    let header = RecordingReader::new(File::open(&path).unwrap())
        .unwrap()
        .header()
        .clone();
    assert_eq!(
        (header.origin, header.interval),
        (Origin::Demo, SimDuration::from_millis(100))
    );
    let server = replay(&path);
    let played = samples(server.address, 5);
    let first = recorded
        .iter()
        .position(|sample| sample.devices == played[0].devices);
    let first = first.expect("the first that is played was recorded");
    for (played, recorded) in played.iter().zip(&recorded[first..]) {
        assert_eq!(played.devices, recorded.devices, "sample {}", recorded.sequence);
        assert_eq!((played.source.as_str(), played.origin), ("replay", Origin::Demo));
    }
    let took = played[4].at.saturating_since(played[0].at).as_secs();
    assert!(
        (0.3..0.7).contains(&took),
        "four intervals of 100 ms took {took} s"
    );
    // The end is told, and is no fault of a driver.
    let mut stream = Listener::new(server.address);
    let end = stream.status("replay", |status| !status.is_up());
    assert!(end.reason.contains("the recording has ended after"), "{end:?}");
}

#[test]
fn a_recording_whose_end_is_missing_is_played_up_to_there_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("demo.rec.zst");
    let mut child = command(&["record", "--source", "demo", "--interval", "100ms", "-o"]);
    let mut child = child.arg(&path).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(2_600));
    child.kill().unwrap();
    child.wait().unwrap();
    let all = read(&path);
    let (last, samples) = all.split_last().unwrap();
    assert!(
        matches!(last, Err(RecordingError::BrokenOff { .. })),
        "{}",
        all.len()
    );
    // It was flushed every second, and killed more than half a second after the second flush.
    assert!(samples.len() >= 10, "{} samples", samples.len());
    assert!(samples.iter().all(Result::is_ok), "all before it is whole");
    let server = replay(&path);
    let end = Listener::new(server.address).status("replay", |status| {
        !status.reason.is_empty() && !status.reason.contains("opened")
    });
    assert!(end.reason.contains("breaks off after line"), "{end:?}");
}

#[test]
fn what_cannot_be_recorded_or_played_ends_with_what_would_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("there");
    std::fs::write(&path, "text").unwrap();
    let there = path.to_str().unwrap();
    let new = folder.path().join("new");
    let new = new.to_str().unwrap();
    for (arguments, code, fix) in [
        (&["record", "--source", "demo", "-o", there][..], 2, "-o FILE"),
        (
            &["record", "--source", "demo", "-o", new, "--for", "10"],
            2,
            "`10min`",
        ),
        (
            &[
                "record",
                "-o",
                new,
                "--for",
                "1s",
                "--nvml-library",
                "/nonexistent",
            ],
            3,
            "doctor",
        ),
        (&["once", "--source", "replay"], 2, "--recording FILE"),
        (&["once", "--recording", there], 2, "--source replay"),
        (&["once", "--source", "replay", "--recording", there], 3, "doctor"),
    ] {
        let (found, _, words) = run(arguments);
        assert_eq!(
            (found, words.contains(fix)),
            (Some(code), true),
            "{arguments:?}: {words}"
        );
    }
    assert!(!Path::new(new).exists(), "a recording of nothing is no file");
    let server = replay(&path);
    let status =
        Listener::new(server.address).status("replay", |status| status.reason.contains("no recording"));
    assert!(status.remedy.contains("record -o FILE"), "{status:?}");
}
