//! Moods of a driver in trouble: storms of errors, calls that hang for good, counters that wrap.

use std::time::{Duration, Instant};

use orrery_telemetry::{DeviceState, Event, Rates, Sample};
use serde_json::{Value, json};

use crate::fake_nvml::{device, driver};
use crate::http::{Listener, metrics_until};
use crate::openmetrics::check;

/// Errors of so many codes, so many times each, on device `of`.
fn storm(of: usize, codes: std::ops::Range<u64>, times: u64) -> Vec<Value> {
    codes
        .map(|code| json!({"device": of, "code": code, "times": times, "after": 60}))
        .collect()
}

/// The samples of the stream, until `wanted` gives something of one.
fn until<T>(stream: &mut Listener, what: &str, mut wanted: impl FnMut(Sample) -> Option<T>) -> T {
    stream.find(what, |event| match event {
        Event::Sample(sample) => wanted(sample),
        _ => None,
    })
}

/// Memory of process `pid` that is in use, in KiB.
fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("it has memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn a_storm_of_errors_is_counted_and_hurts_nobody() {
    let devices = [device("GPU-good", &json!({})), device("GPU-storm", &json!({}))];
    let mut xids = storm(1, 1..101, 3_000);
    xids.push(json!({"device": 0, "code": 31, "times": 1, "after": 60}));
    let (_driver, server) = driver(&devices, &json!({"xids": xids})).serve_kept();
    let mut stream = Listener::new(server.address);
    until(&mut stream, "a quiet sample", |sample| {
        (sample.sequence == 0).then_some(())
    });
    let before = resident_kib(server.id());
    let storm = until(&mut stream, "the whole storm", |sample| {
        assert!(
            sample.devices.iter().all(|device| device.power.value().is_some()),
            "readings go on"
        );
        let xids = sample.devices[1].xids.value().expect("it is heard of").clone();
        let counted: u64 = xids.counts.iter().map(|count| count.count).sum();
        (counted + xids.num_others == 300_000).then_some((xids, sample.devices[0].xids.clone()))
    });
    assert_eq!(storm.0.counts.len(), 64, "codes that have room");
    assert!(
        storm.0.counts.iter().all(|count| count.count == 3_000),
        "{:?}",
        storm.0.counts
    );
    let other = storm.1.value().unwrap();
    assert!(
        other.counts.is_empty() || (other.counts[0].code, other.counts[0].count) == (31, 1),
        "{other:?}"
    );
    let grown = resident_kib(server.id()).saturating_sub(before);
    assert!(grown < 8 * 1024, "it grew by {grown} KiB");
    let text = metrics_until(server.address, "the other device's error", |text| {
        text.contains("xid=\"31\"")
    });
    let rows = check(&text).unwrap();
    let others = rows
        .iter()
        .find(|row| row.name == "orrery_gpu_xid_errors_total" && row.value == "108000");
    assert_eq!(
        others.unwrap().label("xid"),
        Some("other"),
        "36 codes had no room"
    );
}

#[test]
fn an_error_is_told_though_the_device_is_lost_by_it() {
    let lost = json!({"lost_after": 60});
    let xids = json!({"xids": [{"device": 1, "code": 79, "times": 1, "after": 90}]});
    let devices = [device("GPU-good", &json!({})), device("GPU-lost", &lost)];
    let (_driver, server) = driver(&devices, &xids).serve_kept();
    let mut stream = Listener::new(server.address);
    // The source is opened again and again to find the device; the count outlives that.
    let mut num_told = 0;
    until(&mut stream, "the error of the lost device", |sample| {
        let lost = &sample.devices[1];
        let told = lost
            .xids
            .value()
            .is_some_and(|xids| xids.counts.len() == 1 && xids.counts[0].code == 79);
        assert!(told || num_told == 0, "it is not forgotten: {:?}", lost.xids);
        num_told += usize::from(told && lost.is_lost());
        (num_told >= 15).then_some(())
    });
    let text = metrics_until(server.address, "the state", |text| {
        text.contains("state=\"lost\"")
    });
    let rows = check(&text).unwrap();
    let of_lost = |name: &str| {
        rows.iter()
            .find(|row| row.name == name && row.label("uuid") == Some("GPU-lost"))
            .expect("a row")
    };
    assert_eq!(of_lost("orrery_gpu_up").value, "0");
    let since: f64 = of_lost("orrery_gpu_state_since_timestamp_seconds")
        .value
        .parse()
        .unwrap();
    let answered: f64 = of_lost("orrery_gpu_last_answer_timestamp_seconds")
        .value
        .parse()
        .unwrap();
    assert!(since >= answered && since - answered < 5.0, "{since} {answered}");
}

#[test]
fn a_device_that_hangs_for_good_holds_one_thread_and_lets_the_collector_end() {
    let hangs = json!({"hang": {"after": 60, "millis": 3_600_000}});
    // Another is lost, which makes the source want to be opened again.
    let devices = [
        device("GPU-good", &json!({})),
        device("GPU-hangs", &hangs),
        device("GPU-lost", &json!({"lost_after": 90})),
    ];
    let (_driver, server) = driver(&devices, &json!({})).serve_kept();
    let mut stream = Listener::new(server.address);
    let mut num_both = 0;
    until(&mut stream, "samples of all three states", |sample| {
        let states: Vec<_> = sample
            .devices
            .iter()
            .map(|device| device.presence.unwrap().state)
            .collect();
        assert!(
            sample.devices[0].power.value().is_some(),
            "the first goes on: {states:?}"
        );
        num_both += usize::from(states[1..] == [DeviceState::Silent, DeviceState::Lost]);
        (num_both >= 20).then_some(())
    });
    let threads = std::fs::read_dir(format!("/proc/{}/task", server.id()))
        .unwrap()
        .count();
    assert!(threads < 12, "{threads} threads for three devices");
    let start = Instant::now();
    let (code, log) = server.end("-TERM");
    assert_eq!(code, Some(143), "{log}");
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
}

#[test]
fn counters_that_wrap_are_followed() {
    // Field 198 as 32 bits: 700 MB a reading, over its end at 4.29 GB; field 139 in KiB as 64.
    let (pcie, nvlink): (Vec<u64>, Vec<u64>) = (0..60)
        .map(|k| (3_000_000_000 + 700_000_000 * k, 1_000_000 * k))
        .unzip();
    let fields = json!({
        "fields": {"198": pcie, "139/all": nvlink}, "narrow_fields": [198], "pcie": null, "links": [],
    });
    let (_driver, server) = driver(&[device("GPU-a", &fields)], &json!({})).serve_kept();
    let mut stream = Listener::new(server.address);
    let mut last: Option<Sample> = None;
    let mut seen: Vec<(f64, f64)> = Vec::new();
    let mut num_wraps = 0;
    until(&mut stream, "twenty rates", |sample| {
        if let Some(before) = last
            .replace(sample.clone())
            .filter(|before| before.sequence + 1 == sample.sequence)
        {
            let rates = Rates::between(&before, &sample).unwrap().remove(0);
            let received = |sample: &Sample| sample.devices[0].pcie.receive.value().unwrap().get();
            num_wraps += usize::from(received(&sample) < received(&before));
            let seconds = rates.elapsed.as_secs();
            let pcie = rates
                .traffic
                .pcie_receive
                .value()
                .expect("a wrap is no gap")
                .get();
            let nvlink = rates.traffic.nvlink_receive.value().unwrap().get();
            seen.push((pcie * seconds, nvlink * seconds));
        }
        (seen.len() >= 20).then_some(())
    });
    assert!(num_wraps >= 2, "{num_wraps} wraps");
    for (pcie, nvlink) in seen {
        assert!((pcie - 700e6).abs() < 1.0, "{pcie} bytes");
        assert!((nvlink - 1_024e6).abs() < 1.0, "{nvlink} bytes");
    }
}
