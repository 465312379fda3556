//! Machines that lack what a source reads: the collector starts, serves, and says why each is absent.

use std::io::Write as _;
use std::net::TcpListener;

use orrery_telemetry::Event;
use serde_json::Value;

use crate::http::{Listener, get, metrics_until};
use crate::openmetrics::check;
use crate::process::{Server, command};

#[test]
fn without_device_driver_exporter_and_folder_each_source_says_why_and_what_to_do() {
    let sources = [
        ["--source", "nvml,host,dcgm,nccl"],
        ["--nvml-library", "/nonexistent/libnvidia-ml.so.1"],
        // Nobody listens on the port of `discard`.
        ["--dcgm-url", "http://127.0.0.1:9/metrics"],
        ["--nccl-inspector", "/nonexistent/inspector"],
    ];
    let server = Server::start(command(
        &[&["serve", "--listen", "127.0.0.1:0"][..], &sources.concat()].concat(),
    ));
    let mut stream = Listener::new(server.address);
    for (source, reason, remedy) in [
        ("nvml", "no NVIDIA driver library", "install the NVIDIA driver"),
        ("dcgm", "connection refused", "start dcgm-exporter"),
        (
            "nccl",
            "`/nonexistent/inspector` cannot be read",
            "NCCL_INSPECTOR_DUMP_DIR",
        ),
    ] {
        let status = stream.status(source, |status| status.next_try.is_some());
        assert!(!status.is_up() && status.reason.contains(reason), "{status:?}");
        assert!(status.remedy.contains(remedy), "{status:?}");
    }
    // The machine itself is always there.
    let host = stream.find("the machine", |event| match event {
        Event::Sample(sample) => sample.host,
        _ => None,
    });
    assert!(host.cpu.num_online.value().is_some(), "{host:?}");
    let text = metrics_until(server.address, "the machine", |text| {
        text.contains("orrery_host_cpus{")
    });
    let rows = check(&text).unwrap();
    let up = |source: &str| {
        let mut rows = rows.iter().filter(|row| row.name == "orrery_source_up");
        rows.find(|row| row.label("source") == Some(source))
            .expect("a row")
            .value
            .clone()
    };
    assert_eq!(["nvml", "dcgm", "nccl", "host"].map(up), ["0", "0", "0", "1"]);
    let (_, health) = get(server.address, "/healthz");
    let health: Value = serde_json::from_str(&health).unwrap();
    assert_eq!(health["status"], "ok");
    let sources = health["sources"].as_array().unwrap();
    let silent = sources
        .iter()
        .filter(|source| source["state"] == "absent" && source["reason"] == "");
    assert_eq!(silent.count(), 0, "{health}");
    let (code, log) = server.end("-TERM");
    assert_eq!(code, Some(143), "{log}");
}

#[test]
fn devices_of_a_dcgm_exporter_are_served_under_our_names() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/metrics", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let body = include_str!("../imports/dcgm-exporter.txt");
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let length = body.len();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
            let mut asked = [0; 1024];
            // Whoever left wants no answer.
            let _asked = std::io::Read::read(&mut stream, &mut asked);
            let _gone = stream
                .write_all(head.as_bytes())
                .and_then(|()| stream.write_all(body.as_bytes()));
        }
    });
    let server = Server::start(command(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--source",
        "dcgm",
        "--dcgm-url",
        &url,
    ]));
    let text = metrics_until(server.address, "the power", |text| {
        text.contains("orrery_gpu_power_watts{")
    });
    let rows = check(&text).unwrap();
    let of = |name: &str| rows.iter().filter(|row| row.name == name).collect::<Vec<_>>();
    let power = of("orrery_gpu_power_watts");
    assert_eq!((power.len(), power[0].value.as_str()), (1, "612.25"));
    assert_eq!(
        (power[0].label("source"), power[0].label("node")),
        (Some("dcgm"), Some("node-7"))
    );
    assert_eq!(of("orrery_gpu_up").len(), 2);
    let missing = of("orrery_metric_supported");
    let missing: Vec<_> = missing
        .into_iter()
        .filter_map(|row| row.label("metric"))
        .collect();
    assert_eq!(
        missing,
        [
            "orrery_gpu_temperature_celsius",
            "orrery_gpu_pcie_transmit_bytes_per_second"
        ]
    );
}
