//! Many collectors asked at one time, and a server that keeps what they said.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use orrery_collector::{Daemon, SourceKind, Tls};
use serde_json::Value;

use crate::access::{TOKEN, token_file};
use crate::http::{metrics_until, settings};
use crate::process::run;
use crate::prometheus::{ask, start_prometheus};
use crate::skips::has_command;

fn demo() -> Daemon {
    let daemon = Daemon::start(&settings(vec![SourceKind::Demo])).expect("it starts");
    metrics_until(daemon.address(), "readings", |text| {
        text.contains("orrery_gpu_power_watts{")
    });
    daemon
}

/// What `fleet` prints of `hosts` as JSON, with its exit code.
fn fleet(hosts: &str, more: &[&str]) -> (Option<i32>, Vec<Value>) {
    let (code, out, words) = run(&[&["fleet", hosts, "--format", "json"], more].concat());
    let answer: Value = serde_json::from_str(&out).unwrap_or_else(|fault| panic!("{fault}: {out}{words}"));
    assert_eq!(answer["schema"], "fleet/1", "{answer}");
    (code, answer["hosts"].as_array().expect("hosts").clone())
}

/// A port where nobody listens.
fn dead() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address")
}

/// One that takes connections and says nothing.
fn mute() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    (listener, address)
}

#[test]
fn one_table_of_collectors_that_are_up_quiet_dead_and_mute() {
    let up = demo();
    let quiet = Daemon::start(&settings(vec![SourceKind::Nvml])).unwrap();
    metrics_until(quiet.address(), "an absent driver", |text| {
        text.contains("orrery_source_up{source=\"nvml\",reason=\"") && !text.contains("being opened")
    });
    let (_listener, mute) = mute();
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("hosts");
    std::fs::write(
        &list,
        format!("{}\n{} # nobody is there\n", quiet.address(), dead()),
    )
    .unwrap();
    let hosts = format!("{},@{},{mute}", up.address(), list.display());
    let (code, reports) = fleet(&hosts, &["--timeout", "500ms"]);
    let states: Vec<&str> = reports
        .iter()
        .map(|report| report["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["up", "quiet", "dead", "dead"], "{reports:?}");
    assert_eq!(code, Some(1), "some are dead");
    assert_eq!(
        (&reports[0]["num_devices"], &reports[0]["num_lost"]),
        (&32.into(), &0.into())
    );
    assert_eq!(
        reports[0]["origins"],
        serde_json::json!(["demo"]),
        "made-up numbers are marked"
    );
    let power = reports[0]["power_watts"].as_f64().unwrap();
    assert!((32.0 * 300.0..32.0 * 700.0).contains(&power), "{power} W");
    let age = reports[0]["age_s"].as_f64().unwrap();
    assert!((0.0..5.0).contains(&age), "{age} s");
    for (report, words) in reports[1..]
        .iter()
        .zip(["nvml: ", "nobody listens there", "no answer in time"])
    {
        assert!(report["reason"].as_str().unwrap().contains(words), "{report}");
        assert_eq!(report["power_watts"], Value::Null, "what was not read is no zero");
    }
    let (_, text, _) = run(&["fleet", &hosts, "--timeout", "500ms"]);
    for part in [
        "up DEMO",
        "DEAD",
        "quiet",
        "1 up, 1 quiet, 2 dead; 32 devices, 0 lost;",
    ] {
        assert!(text.contains(part), "`{part}` is missing:\n{text}");
    }
    let (code, reports) = fleet(&dead().to_string(), &[]);
    assert_eq!((code, reports.len()), (Some(3), 1));
    let (code, reports) = fleet(&up.address().to_string(), &[]);
    assert_eq!((code, reports.len()), (Some(0), 1));
}

#[test]
fn those_that_do_not_answer_are_waited_for_together() {
    let silent: Vec<(TcpListener, SocketAddr)> = (0..40).map(|_| mute()).collect();
    let addresses: Vec<String> = silent.iter().map(|(_, address)| address.to_string()).collect();
    let start = Instant::now();
    let (code, reports) = fleet(&addresses.join(","), &["--timeout", "1s", "--at-once", "20"]);
    assert_eq!((code, reports.len()), (Some(3), 40));
    let hosts = reports.iter().map(|report| report["host"].as_str().unwrap());
    assert_eq!(hosts.collect::<Vec<_>>(), addresses, "in the order of the list");
    // One after the other they would take 40 s.
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn a_collector_that_asks_who_is_there_is_shown_a_token_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let (_token_folder, token) = token_file(TOKEN, 0o600);
    let mut settings = settings(vec![SourceKind::Demo]);
    settings.data_dir = Some(folder.path().to_owned());
    settings.serving.tls = Some(Tls::Generated);
    settings.serving.token_file = Some(token.clone());
    let daemon = Daemon::start(&settings).unwrap();
    let (host, token) = (format!("https://{}", daemon.address()), token.to_str().unwrap());
    let root = folder.path().join("tls/cert.pem");
    let root = root.to_str().unwrap();
    let start = Instant::now();
    let reports = loop {
        let (_, reports) = fleet(&host, &["--token-file", token, "--ca", root, "--timeout", "10s"]);
        if reports[0]["state"] == "up" {
            break reports;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{reports:?}");
    };
    assert_eq!(reports[0]["num_devices"], 32);
    let (_, reports) = fleet(&host, &["--ca", root, "--timeout", "10s"]);
    assert!(
        reports[0]["reason"].as_str().unwrap().contains("--token-file"),
        "{reports:?}"
    );
    let (_, reports) = fleet(&host, &["--token-file", token, "--timeout", "10s"]);
    assert_eq!(reports[0]["state"], "dead", "nobody vouches for it");
    for (arguments, fix) in [
        (&["fleet", "gpu[1"][..], "gpu[001-064,070]"),
        (&["fleet", "a", "--token-file", root], "chmod 600"),
        (&["fleet", "a", "--ca", token], "--ca FILE"),
        (&["fleet", "a", "--timeout", "2"], "`2s`"),
        (&["fleet"], "HOSTS"),
    ] {
        let (code, _, words) = run(arguments);
        assert_eq!(
            (code, words.contains(fix)),
            (Some(2), true),
            "{arguments:?}: {words}"
        );
    }
}

/// A server that gives every request the same answer, and what it was asked.
fn stub(status: &'static str, body: &'static str) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    let (out, asked) = channel();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut line = String::new();
            let mut lines = BufReader::new(stream.try_clone().expect("a stream"));
            lines.read_line(&mut line).expect("a request");
            let ends = lines.lines().map_while(Result::ok).find(String::is_empty);
            assert!(ends.is_some(), "a head ends");
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            )
            .expect("it reads");
            if out.send(line).is_err() {
                break;
            }
        }
    });
    (address, asked)
}

#[test]
fn a_server_is_asked_in_promql_and_its_words_are_told() {
    let matrix = r#"{"status":"success","data":{"resultType":"matrix","result":[
        {"metric":{"__name__":"m","node":"a\"b"},"values":[[1700000000,"1"],[1700000010.5,"3"],[1700000020,"NaN"]]}]}}"#;
    let (server, asked) = stub("200 OK", matrix);
    let url = format!("http://{server}/");
    let expression = "sum by (node) (m{x=\"y\"}) > 1";
    let (code, out, words) = run(&[
        "query", &url, expression, "--range", "10min", "--step", "5s", "--format", "csv",
    ]);
    assert_eq!(code, Some(0), "{words}");
    assert_eq!(
        out,
        "series,time,value\n\"m{node=\"\"a\\\"\"b\"\"}\",1700000000,1\n\"m{node=\"\"a\\\"\"b\"\"}\",1700000010.5,3\n\
         \"m{node=\"\"a\\\"\"b\"\"}\",1700000020,NaN\n"
    );
    let line = asked.recv_timeout(Duration::from_secs(20)).unwrap();
    for part in [
        "GET /api/v1/query_range?query=sum",
        "x%3D%22y%22",
        "%3E%201",
        "&step=5 ",
        "&start=",
        "&end=",
    ] {
        assert!(line.contains(part), "`{part}`: {line}");
    }
    let (_, out, _) = run(&["query", &url, "m"]);
    let row: Vec<&str> = out.lines().last().unwrap().split_whitespace().collect();
    assert_eq!(
        row[1..],
        ["3", "1.000000", "1.000000", "2.000000", "3.000000", "3.000000"],
        "{out}"
    );
    let (refusing, _asked) = stub(
        "400 Bad Request",
        r#"{"status":"error","errorType":"bad_data","error":"parse error: unexpected end of input"}"#,
    );
    let (code, out, words) = run(&["query", &format!("http://{refusing}"), "sum("]);
    assert_eq!((code, out.as_str()), (Some(3), ""), "{words}");
    assert!(words.contains("unexpected end of input"), "{words}");
    let (other, _asked) = stub("200 OK", "<html>");
    let (code, _, words) = run(&["query", &format!("http://{other}"), "up"]);
    assert_eq!(
        (code, words.contains("http://prometheus:9090")),
        (Some(3), true),
        "{words}"
    );
}

#[test]
fn a_real_prometheus_answers_for_the_cluster() {
    if !has_command("prometheus", "prometheus") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (_token_folder, token) = token_file(TOKEN, 0o600);
    let mut settings = settings(vec![SourceKind::Demo]);
    settings.data_dir = Some(folder.path().to_owned());
    settings.serving.tls = Some(Tls::Generated);
    settings.serving.token_file = Some(token.clone());
    let daemon = Daemon::start(&settings).unwrap();
    let root = folder.path().join("tls/cert.pem");
    let (_running, prometheus) = start_prometheus(folder.path(), daemon.address(), &token, &root);
    assert_eq!(ask(prometheus, "count(orrery_gpu_power_watts)"), [32.0]);
    let url = format!("http://{prometheus}");
    let expression = "sum by (node) (orrery_gpu_power_watts)";
    let (code, out, words) = run(&[
        "query", &url, expression, "--range", "1min", "--step", "1s", "--format", "json",
    ]);
    assert_eq!(code, Some(0), "{words}");
    let answer: Value = serde_json::from_str(&out).unwrap();
    let series = answer["series"].as_array().unwrap();
    assert_eq!(series.len(), 4, "{answer}");
    for one in series {
        assert!(
            one["labels"]["node"].as_str().unwrap().starts_with("demo-node-"),
            "{one}"
        );
        let last = one["points"].as_array().unwrap().last().unwrap();
        let watts = last[1].as_f64().unwrap();
        assert!((8.0 * 300.0..8.0 * 700.0).contains(&watts), "{one}");
    }
}
