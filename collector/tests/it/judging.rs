//! Alerts and jobs from outside: `/v1/alerts`, metrics, the stream, logs that are followed, the trainers' socket.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use orrery_collector::{Daemon, Judging, OpenSource, Settings, Source, SourceError, SourceKind};
use orrery_telemetry::judge::Rule;
use orrery_telemetry::{Absence, DeviceIdentity, DeviceSample, Event, Origin, Reading};
use orrery_units::{Ratio, Watts};
use serde_json::Value;

use crate::http::{Listener, get, metrics_until, settings};
use crate::openmetrics::check;
use crate::process::run;

/// A device that is lost while a flag stands.
struct Losing(Arc<AtomicBool>);

impl Losing {
    fn open(flag: &Arc<AtomicBool>) -> OpenSource {
        let flag = flag.clone();
        Box::new(move || -> Result<Box<dyn Source>, SourceError> { Ok(Box::new(Self(flag.clone()))) })
    }
}

impl Source for Losing {
    fn origin(&self) -> Origin {
        Origin::Live
    }

    fn read(&mut self, _sequence: u64) -> Result<Vec<DeviceSample>, SourceError> {
        let is_lost = self.0.load(Ordering::Relaxed);
        let identity = DeviceIdentity {
            node: "node-0".to_owned(),
            index: 4,
            uuid: "GPU-a".to_owned(),
            model: "model".to_owned(),
        };
        let reason = if is_lost {
            Absence::DeviceLost
        } else {
            Absence::NotSupported
        };
        let mut device = DeviceSample::absent(identity, &reason);
        if !is_lost {
            device.utilization = Reading::Value(Ratio::clamped(0.9));
            device.power = Reading::Value(Watts(512.0));
        }
        Ok(vec![device])
    }
}

fn alerts(daemon: &Daemon) -> Vec<Value> {
    let (head, body) = get(daemon.address(), "/v1/alerts");
    assert!(
        head.contains("200 OK") && head.contains("application/json"),
        "{head}"
    );
    let found: Value = serde_json::from_str(&body).expect("it is JSON");
    assert_eq!(found["schema"], "alerts/1", "{body}");
    found["alerts"].as_array().expect("a list").clone()
}

#[test]
fn an_alert_is_on_every_page_while_it_stands_and_gone_when_it_is_over() {
    let lost = Arc::new(AtomicBool::new(false));
    let more = vec![("losing", Losing::open(&lost))];
    let daemon = Daemon::start_with(&settings(vec![SourceKind::Nvml]), more).unwrap();
    let mut stream = Listener::new(daemon.address());
    metrics_until(daemon.address(), "a device", |text| {
        text.contains("orrery_gpu_power")
    });
    assert_eq!(alerts(&daemon), [Value::Null; 0]);
    lost.store(true, Ordering::Relaxed);
    let mut next = |stands: bool| {
        stream.find("an alert", |event| match event {
            Event::Alert(alert) if alert.stands() == stands => Some(alert),
            _ => None,
        })
    };
    let told = next(true);
    assert_eq!(told.rule, Rule::DeviceLost);
    assert_eq!(told.subject.to_string(), "node-0 GPU 4");
    let found = alerts(&daemon);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["rule"], "device-lost");
    assert_eq!(found[0]["subject"]["device"]["gpu"], 4);
    assert!(
        found[0]["action"].as_str().unwrap().contains("drain the node"),
        "{found:?}"
    );
    // Whoever comes later is told what stands.
    let mut later = Listener::new(daemon.address());
    later.find("the alert", |event| {
        matches!(event, Event::Alert(_)).then_some(())
    });
    let (_, text) = get(daemon.address(), "/metrics");
    let rows = check(&text).unwrap();
    let row = rows.iter().find(|row| row.name == "orrery_alert").unwrap();
    let labels =
        ["rule", "severity", "node", "gpu", "job_name"].map(|name| row.label(name).unwrap_or("none"));
    assert_eq!(labels, ["device-lost", "critical", "node-0", "4", ""]);
    lost.store(false, Ordering::Relaxed);
    assert_eq!(next(false).rule, Rule::DeviceLost);
    assert_eq!(alerts(&daemon), [Value::Null; 0]);
    let (_, text) = get(daemon.address(), "/metrics");
    assert!(!text.contains("orrery_alert{"), "{text}");
}

fn judged(judging: Judging) -> Settings {
    Settings {
        judging,
        ..settings(vec![SourceKind::Nvml])
    }
}

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .expect("a folder of the test's");
    file.write_all(text.as_bytes()).expect("room for a line");
}

/// Llama 3 8B on 16 H100, 128 sequences of 8,192 tokens a step. By hand: a token costs 3 x 17,156,800,512 operations, a
/// step of 1,048,576 tokens 5.39706e16; 16 devices of 989 TFLOP/s could do 1.170976e17 in 7.4 s: 46.09 %.
const DESCRIPTION: &str = r#"gpus = 16
peak = "989 TFLOP/s"
sequence_length = 8192
[job.description.model]
layers = 32
hidden = 4096
heads = 32
kv_heads = 8
feed_forward = 14336
vocabulary = 128256
"#;
const BY_HAND: f64 = 0.460_903;

/// The MFU of `job` once it is told.
fn mfu_of(daemon: &Daemon, job: &str, step: u64) -> f64 {
    let row = format!("orrery_job_step{{job_name=\"{job}\"}} {step}.0\n");
    let text = metrics_until(daemon.address(), &row, |text| text.contains(&row));
    let rows = check(&text).expect("the page is valid");
    let named = |name: &str| {
        let mut rows = rows.iter().filter(|row| row.name == name);
        let row = rows
            .find(|row| row.label("job_name") == Some(job))
            .expect("the job has one");
        row.value.parse::<f64>().expect("a number")
    };
    let (tokens, time) = (
        named("orrery_job_step_tokens"),
        named("orrery_job_step_time_seconds"),
    );
    assert!(
        (named("orrery_job_tokens_per_second") - tokens / time).abs() < 1e-6 * tokens,
        "{text}"
    );
    named("orrery_job_mfu_ratio")
}

#[test]
fn mfu_of_logs_and_of_the_socket_is_that_of_the_hand_computation() {
    let folder = tempfile::tempdir().unwrap();
    let (log, jobs) = (folder.path().join("train.log"), folder.path().join("jobs.toml"));
    let socket = folder.path().join("trainers.sock");
    append(
        &log,
        " iteration 1/ 9 | elapsed time per iteration (ms): 1.0 | global batch size: 1 |\n",
    );
    let text = format!("[[job]]\nname = \"megatron\"\nlog = \"train.log\"\n[job.description]\n{DESCRIPTION}");
    std::fs::write(&jobs, text).unwrap();
    let judging = Judging {
        jobs: Some(jobs),
        trainer_socket: Some(socket.clone()),
        ..Judging::default()
    };
    let daemon = Daemon::start(&judged(judging)).unwrap();
    let line = |step: u64| {
        format!(
            " [2025-11-28 18:48:17] iteration {step:8}/    5000 | consumed samples:         6400 | elapsed time per \
             iteration (ms): 7400.0 | throughput per GPU (TFLOP/s/GPU): 455.8 | global batch size:   128 |\n"
        )
    };
    let near = |found: f64| (found / BY_HAND - 1.0).abs() < 1e-3;
    // What stood there before is the past; what is written now is news, a log that is begun anew too.
    std::thread::sleep(std::time::Duration::from_millis(600));
    append(&log, &line(50));
    let found = mfu_of(&daemon, "megatron", 50);
    assert!(near(found), "{found} against {BY_HAND}");
    std::fs::rename(&log, folder.path().join("train.log.1")).unwrap();
    append(&log, &line(60));
    assert!(near(mfu_of(&daemon, "megatron", 60)));

    let mut trainer = UnixStream::connect(&socket).unwrap();
    let description = r#"{"gpus":16,"peak":"989 TFLOP/s","sequence_length":8192,"model":{"layers":32,"hidden":4096,
        "heads":32,"kv_heads":8,"feed_forward":14336,"vocabulary":128256}}"#;
    let description = description.replace('\n', "");
    let told = format!(
        "{{\"schema\":\"trainer/1\",\"job\":\"json\",\"description\":{description}}}\nnonsense\n\
         {{\"schema\":\"trainer/1\",\"job\":\"json\",\"step\":{{\"number\":3,\"time\":7.4,\"tokens\":1048576,\
         \"expert_loads\":[[30,10,10,10]]}}}}\n"
    );
    trainer.write_all(told.as_bytes()).unwrap();
    let found = mfu_of(&daemon, "json", 3);
    assert!(near(found), "{found} against {BY_HAND}");
    let (_, text) = get(daemon.address(), "/metrics");
    let imbalance = "orrery_job_expert_imbalance_ratio{job_name=\"json\"} 2.0\n";
    assert!(text.contains(imbalance), "{text}");
    drop(daemon);
    assert!(!socket.exists(), "its socket goes with it");
}

#[test]
fn bad_files_end_with_2_and_name_the_line_and_what_was_meant() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file.toml");
    std::fs::write(&file, "[thresholds]\njob_slwo = 0.8\n").unwrap();
    let path = file.to_str().unwrap();
    let serve = |flag: &str, value: &str| {
        run(&[
            "serve",
            "--source",
            "demo",
            "--listen",
            "127.0.0.1:0",
            flag,
            value,
        ])
    };
    let (code, out, words) = serve("--rules", path);
    assert_eq!((code, out.as_str()), (Some(2), ""), "{words}");
    assert!(
        words.contains("file.toml:2:1: unknown field `job_slwo`")
            && words.contains("did you mean `job_slow`?"),
        "{words}"
    );
    for (flag, value, fix) in [
        ("--rules", "/nonexistent/rules.toml", "/nonexistent/rules.toml"),
        ("--jobs", path, "unknown field `thresholds`"),
        ("--profile", path, "file.toml:1:"),
        ("--trainer-socket", path, "no socket"),
    ] {
        let (code, _, words) = serve(flag, value);
        assert!(code == Some(2) && words.contains(fix), "{flag}: {code:?} {words}");
    }
}
