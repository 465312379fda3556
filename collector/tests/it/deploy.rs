//! The files of `deploy/`: each is what its reader expects, and what they name exists.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use orrery_collector::{Daemon, SourceKind};
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::fake_nvml::{device, driver};
use crate::http::{get_with, metrics_until, settings};
use crate::process::{command, ended, run};
use crate::prometheus::promtool;
use crate::skips::has_command;

/// A file of `deploy/`.
pub(crate) fn shipped(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|fault| panic!("{fault}: {}", path.display()))
}

/// The documents of a YAML file.
pub(crate) fn documents(text: &str) -> Vec<Value> {
    let documents = serde_yaml_ng::Deserializer::from_str(text);
    documents
        .map(|document| Value::deserialize(document).expect("valid YAML"))
        .collect()
}

/// The names of our metrics that `text` holds.
fn named(text: &str) -> BTreeSet<String> {
    let words =
        text.split(|character: char| !(character.is_ascii_alphanumeric() || "_:".contains(character)));
    let ours = words.filter(|word| word.starts_with("orrery_"));
    ours.map(str::to_owned).collect()
}

/// Every metric that the exporter has: of devices that tell everything and had an error, and of a source that is
/// absent.
fn exported() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let xids = json!({"xids": [{"device": 0, "code": 79, "times": 1, "after": 60}]});
    let (_driver, server) = driver(&[device("GPU-a", &json!({}))], &xids).serve_kept();
    let page = metrics_until(server.address, "an error", |text| {
        text.contains("orrery_gpu_xid_last") && text.contains("orrery_alert{")
    });
    names.extend(rows(&page));
    names.extend(rows(&page_of_a_job()));
    for kinds in [vec![SourceKind::Demo], vec![SourceKind::Nvml]] {
        let daemon = Daemon::start(&settings(kinds)).expect("it starts");
        metrics_until(daemon.address(), "readings", |text| {
            text.contains("orrery_gpu_up") || text.contains("orrery_source_next_try")
        });
        let (_, text) = get_with(daemon.address(), "/metrics", "");
        names.extend(rows(&text));
    }
    names
}

/// The page of a daemon that a trainer tells of a job that was predicted.
fn page_of_a_job() -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("trainers.sock");
    let mut settings = settings(vec![SourceKind::Nvml]);
    settings.judging.trainer_socket = Some(socket.clone());
    let daemon = Daemon::start(&settings).expect("it starts");
    let described = json!({"gpus": 16, "peak": "989 TFLOP/s", "sequence_length": 8192, "predicted_mfu": 0.5,
        "model": {"layers": 32, "hidden": 4096, "heads": 32, "kv_heads": 8, "feed_forward": 14336,
            "vocabulary": 128_256}});
    let job = json!({"schema": "trainer/1", "job": "pretrain", "description": described});
    let step = json!({"schema": "trainer/1", "job": "pretrain",
        "step": {"number": 3, "time": 7.4, "tokens": 1_048_576, "expert_loads": [[30, 10]]}});
    let mut trainer = UnixStream::connect(&socket).expect("it listens");
    trainer
        .write_all(format!("{job}\n{step}\n").as_bytes())
        .expect("it hears");
    metrics_until(daemon.address(), "a job", |text| {
        text.contains("orrery_job_predicted_mfu_ratio{")
    })
}

/// The names of the rows of a page.
fn rows(page: &str) -> impl Iterator<Item = String> {
    let rows = page.lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| row.split(['{', ' ']).next().unwrap_or_default().to_owned())
}

#[test]
fn every_metric_that_a_dashboard_or_an_alert_names_is_exported() {
    let exported = exported();
    for file in ["grafana-dashboard.json", "alerts.yml"] {
        let named = named(&shipped(file));
        assert!(named.len() > 5, "{file}: {named:?}");
        let unknown: Vec<&String> = named.difference(&exported).collect();
        assert!(
            unknown.is_empty(),
            "{file} names what nobody exports: {unknown:?}"
        );
    }
}

#[test]
fn the_dashboard_is_one() {
    let dashboard: Value = serde_json::from_str(&shipped("grafana-dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "an id twice: {panel}");
        assert!(panel["gridPos"]["w"].as_u64().unwrap() <= 24, "{panel}");
        if panel["type"] != "row" {
            let targets = panel["targets"].as_array().unwrap();
            assert!(
                targets
                    .iter()
                    .all(|target| !target["expr"].as_str().unwrap().is_empty()),
                "{panel}"
            );
            // Whoever imports it chooses the server.
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{panel}");
        }
    }
    assert!(panels.len() > 15, "{}", panels.len());
    if !has_command("promtool", "prometheus") {
        return;
    }
    // What Grafana puts in, as it would.
    let queries = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let rules: Vec<Value> = queries
        .map(|target| {
            let query = target["expr"].as_str().unwrap();
            let query = query.replace("$__rate_interval", "1m").replace("$node", ".*");
            json!({"record": "query", "expr": query, "labels": {"number": target.to_string()}})
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules.json");
    let groups = json!({"groups": [{"name": "dashboard", "rules": rules}]});
    std::fs::write(&path, groups.to_string()).unwrap();
    promtool(&["check", "rules", "--lint=none", path.to_str().unwrap()], "").unwrap();
}

#[test]
fn the_manifest_is_a_daemon_set_that_asks_for_a_token() {
    let documents = documents(&shipped("kubernetes.yaml"));
    let kinds: Vec<&str> = documents
        .iter()
        .map(|document| document["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["ServiceAccount", "DaemonSet"]);
    let set = &documents[1];
    let template = &set["spec"]["template"];
    assert_eq!(
        set["spec"]["selector"]["matchLabels"],
        template["metadata"]["labels"]
    );
    let container = &template["spec"]["containers"][0];
    let arguments: Vec<&str> = container["args"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| a.as_str().unwrap())
        .collect();
    for needed in ["--tls", "--token-file=/etc/orrery-collector/token"] {
        assert!(arguments.contains(&needed), "{arguments:?}");
    }
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(container["livenessProbe"]["httpGet"]["path"], "/healthz");
    let token = &template["spec"]["volumes"][0]["secret"];
    assert_eq!(token["defaultMode"], 0o400, "{token}");
    let mounts = container["volumeMounts"].as_array().unwrap().len();
    assert_eq!(mounts, template["spec"]["volumes"].as_array().unwrap().len());
    // The command line takes what the manifest says.
    let folder = tempfile::tempdir().unwrap();
    let mut service = command(&["service", "--install", "--unit-dir"]);
    service.arg(folder.path()).arg("--").args(&arguments[1..]);
    let (code, _, words) = ended(&service.output().unwrap());
    assert_eq!(code, Some(0), "{words}");
}

#[test]
fn the_service_is_printed_or_put_in_place() {
    let (code, unit, _) = run(&["service", "--", "--interval", "500ms"]);
    assert_eq!(code, Some(0));
    let start = format!(
        "ExecStart={} serve --interval 500ms\n",
        env!("CARGO_BIN_EXE_orrery-collector")
    );
    assert!(unit.contains(&start), "{unit}");
    for bad in [
        &["service", "--", "--intervall", "1s"][..],
        &["service", "--", "--interval", "1ms"],
    ] {
        let (code, out, words) = run(bad);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{bad:?}: {words}");
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let install = ["service", "--install", "--unit-dir", folder.to_str().unwrap()];
    let (code, _, words) = run(&install);
    assert_eq!(
        (code, words.contains("systemctl daemon-reload")),
        (Some(0), true),
        "{words}"
    );
    let path = folder.join("orrery-collector.service");
    if has_command("systemd-analyze", "systemd") {
        let verified = Command::new("systemd-analyze")
            .arg("verify")
            .arg(&path)
            .output()
            .unwrap();
        let (code, out, words) = ended(&verified);
        assert_eq!((code, out.as_str()), (Some(0), ""), "{words}");
        let mut rated = Command::new("systemd-analyze");
        // 20 is 2.0: what systemd itself calls OK and nearly safe.
        rated
            .args(["security", "--offline=true", "--threshold=20"])
            .arg(&path);
        let (code, out, words) = ended(&rated.output().unwrap());
        assert_eq!(code, Some(0), "{out}\n{words}");
    }
    std::fs::write(&path, "[Unit]\nDescription=Another\n").unwrap();
    let (code, _, words) = run(&install);
    assert_eq!((code, words.contains("--unit-dir")), (Some(2), true), "{words}");
    let (code, _, words) = run(&["service", "--install", "--unit-dir", "/nonexistent"]);
    assert_eq!((code, words.contains("--unit-dir")), (Some(2), true), "{words}");
}
