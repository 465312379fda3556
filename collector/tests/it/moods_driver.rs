//! Moods of a driver by its age and by the device: Hopper, older devices without GPM, either numbering of the fields,
//! devices that support little, devices that are divided.

use orrery_telemetry::{
    Absence, Celsius, CounterWidth, DeviceSample, Hertz, Nanoseconds, PerformanceState, Reading,
    RecoveryAction,
};
use orrery_units::{Bytes, BytesPerSec, Ratio, Watts};
use serde_json::json;

use crate::fake_nvml::{device, driver, once, once_of};
use crate::http::metrics_until;
use crate::openmetrics::{Row, check};

fn only(mut devices: Vec<DeviceSample>) -> DeviceSample {
    devices.pop().expect("a device")
}

#[test]
fn everything_that_a_hopper_tells_is_read() {
    let hopper = only(once(&[device("GPU-good", &json!({}))]));
    assert_eq!(hopper.absences(), []);
    assert_eq!(hopper.memory_temperature, Reading::Value(Celsius(70.0)));
    assert_eq!(hopper.performance_state, Reading::Value(PerformanceState(0)));
    assert_eq!(hopper.power_instant, Reading::Value(Watts(515.0)));
    assert_eq!(hopper.power_average, Reading::Value(Watts(510.0)));
    let ecc = &hopper.ecc;
    let counts = [
        &ecc.corrected_volatile,
        &ecc.uncorrected_volatile,
        &ecc.corrected_aggregate,
        &ecc.uncorrected_aggregate,
    ];
    assert_eq!(counts.map(|count| *count.value().unwrap()), [5, 0, 50, 1]);
    let rows = &hopper.remapped_rows;
    assert_eq!(
        (&rows.correctable, &rows.uncorrectable),
        (&Reading::Value(1), &Reading::Value(2))
    );
    assert_eq!(
        (&rows.pending, &rows.failure),
        (&Reading::Value(true), &Reading::Value(false))
    );
    assert_eq!(hopper.recovery, Reading::Value(RecoveryAction::ResetDevice));
    assert_eq!(hopper.xids.value().unwrap().counts, []);
    let facts = &hopper.facts;
    assert_eq!(facts.driver, Reading::Value("580.95.05-orrery-fake".to_owned()));
    assert_eq!(facts.architecture, Reading::Value("Hopper".to_owned()));
    assert_eq!(facts.pci_bus_id, Reading::Value("00000000:1B:00.0".to_owned()));
    assert_eq!(
        (&facts.numa_node, &facts.max_sm_clock),
        (&Reading::Value(1), &Reading::Value(Hertz::from_megahertz(1980)))
    );
    let process = &hopper.processes.value().unwrap()[0];
    assert_eq!(
        (process.pid, &process.memory),
        (4_000_000, &Reading::Value(Bytes::new(600)))
    );
}

#[test]
fn tensor_pipes_are_told_apart() {
    let activity = only(once(&[device("GPU-good", &json!({}))])).activity;
    let ratio = |percent: f64| Reading::Value(Ratio::clamped(percent / 100.0));
    let pipes = [
        &activity.tensor,
        &activity.tensor_hmma,
        &activity.tensor_imma,
        &activity.tensor_dfma,
    ];
    assert_eq!(
        pipes.map(Clone::clone),
        [ratio(46.5), ratio(46.0), ratio(0.5), ratio(0.0)]
    );
    assert_eq!((activity.fp64, activity.fp16), (ratio(1.0), ratio(2.0)));
    // In MiB/s; NVML's 20 is what is sent.
    assert_eq!(
        activity.pcie_transmit,
        Reading::Value(BytesPerSec::new(4.0 * 1_048_576.0))
    );
    assert_eq!(
        activity.pcie_receive,
        Reading::Value(BytesPerSec::new(5.0 * 1_048_576.0))
    );
}

#[test]
fn links_are_read_together_and_by_themselves() {
    let hopper = only(once(&[device("GPU-good", &json!({}))]));
    let kib = |number: u64| Reading::Value(Bytes::new(number * 1024));
    assert_eq!(
        (&hopper.nvlink.transmit, &hopper.nvlink.receive),
        (&kib(100), &kib(200))
    );
    let links = hopper.nvlink.links.value().unwrap();
    assert_eq!(
        links.iter().map(|link| link.is_active).collect::<Vec<_>>(),
        [true, false]
    );
    assert_eq!((&links[0].transmit, &links[0].receive), (&kib(60), &kib(120)));
    assert_eq!((&links[1].transmit, &links[1].receive), (&kib(40), &kib(80)));
    assert_eq!(
        (&links[0].errors.replay, &links[0].errors.crc),
        (&Reading::Value(7), &Reading::Value(1))
    );
    assert_eq!(links[0].errors.effective.absence(), Some(&Absence::NotSupported));
    let pcie = &hopper.pcie;
    assert_eq!(
        (&pcie.transmit, &pcie.receive),
        (
            &Reading::Value(Bytes::new(4096)),
            &Reading::Value(Bytes::new(8192))
        )
    );
    assert_eq!(pcie.width, Reading::Value(CounterWidth::Bits64));
    assert_eq!(
        (&pcie.generation, &pcie.lanes, &pcie.replays),
        (&Reading::Value(5), &Reading::Value(16), &Reading::Value(3))
    );
}

#[test]
fn a_blackwell_counts_bytes_of_its_links_under_other_fields() {
    let fields = json!({"fields": {"202/all": [7000], "204/all": [8000], "215/0": [2], "219/0": [9]}, "links": [true]});
    let blackwell = only(once(&[device("GPU-b", &fields)]));
    let bytes = |number: u64| Reading::Value(Bytes::new(number));
    assert_eq!(
        (&blackwell.nvlink.transmit, &blackwell.nvlink.receive),
        (&bytes(7000), &bytes(8000))
    );
    let errors = &blackwell.nvlink.links.value().unwrap()[0].errors;
    assert_eq!(
        (&errors.recovery, &errors.effective),
        (&Reading::Value(2), &Reading::Value(9))
    );
}

#[test]
fn either_numbering_of_the_fields_gives_the_same_times() {
    let wanted =
        [1_000_000_000, 2_000_000_000, 3_000_000_000, 0].map(|nanos| Reading::Value(Nanoseconds::new(nanos)));
    for version in ["535.183.01", "570.133.20", "580.65.06", "580.82.07", "590.44.01"] {
        let driver = driver(&[device("GPU-a", &json!({}))], &json!({"driver": version}));
        let times = only(once_of(&driver)).throttle_times;
        let found = [
            times.power_cap,
            times.thermal_software,
            times.thermal_hardware,
            times.power_brake,
        ];
        assert_eq!(found, wanted, "{version}");
    }
}

#[test]
fn a_device_before_hopper_has_no_activity_and_everything_else() {
    // An A100 under a present driver, and under one that knows no GPM.
    for (more, reason) in [
        (json!({"gpm": null, "architecture": 7}), Absence::NotSupported),
        (
            json!({"is_gpm_unknown": true, "architecture": 7}),
            Absence::DriverTooOld,
        ),
    ] {
        let ampere = only(once(&[device("GPU-a", &more)]));
        let absences = ampere.absences();
        assert_eq!(absences.len(), 15, "unit activity alone: {absences:?}");
        assert!(
            absences.iter().all(|(_, absence)| **absence == reason),
            "{absences:?}"
        );
        assert_eq!(ampere.facts.architecture, Reading::Value("Ampere".to_owned()));
    }
}

#[test]
fn what_a_device_supports_of_nothing_is_told_metric_by_metric() {
    let bare = json!({"name": "FAKE", "uuid": "GPU-bare", "utilization_percent": [[40, 10]]});
    let (_driver, server) = driver(&[bare], &json!({})).serve_kept();
    let text = metrics_until(server.address, "the reasons", |text| {
        text.contains("orrery_metric_supported{") && !text.contains("waits for a second sample")
    });
    let rows = check(&text).unwrap();
    let lacking: Vec<&Row> = rows
        .iter()
        .filter(|row| row.name == "orrery_metric_supported")
        .collect();
    for row in &lacking {
        let reason = row.label("reason").unwrap();
        assert_eq!(
            (reason, row.value.as_str()),
            ("not supported by this device", "0"),
            "{row:?}"
        );
    }
    for metric in [
        "orrery_gpu_power_watts",
        "orrery_gpu_throttle_seconds_total",
        "orrery_gpu_ecc_errors_total",
        "orrery_gpu_xid_errors_total",
        "orrery_gpu_nvlink_receive_bytes_total",
        "orrery_gpu_tensor_pipe_active_ratio",
        "orrery_gpu_row_remap_failure",
        "orrery_gpu_mig_enabled",
    ] {
        let mut reasons = lacking.iter().filter(|row| row.label("metric") == Some(metric));
        assert!(reasons.next().is_some(), "{metric}");
        assert!(
            !rows.iter().any(|row| row.name == metric),
            "{metric} has a number"
        );
    }
    let up = rows.iter().find(|row| row.name == "orrery_gpu_up").unwrap();
    assert_eq!(up.value, "1", "it answers, little as that is");
}

#[test]
fn the_parts_of_a_divided_device_are_read() {
    let instance = |number: u32| {
        json!({"name": "FAKE MIG 3g.40gb", "uuid": format!("MIG-{number}"), "gpu_instance": number,
            "compute_instance": 0, "memory_bytes": [1000, 10, 100 * number]})
    };
    let divided = json!({
        "mig": {"is_enabled": true, "instances": [instance(1), instance(2)]},
        "processes": [{"pid": 4_000_000, "memory_bytes": 90, "gpu_instance": 1}],
        // As a divided device answers: nothing of the whole.
        "utilization_percent": [], "gpm": null,
    });
    let (_driver, server) = driver(&[device("GPU-a", &divided)], &json!({})).serve_kept();
    let text = metrics_until(server.address, "the parts", |text| {
        text.contains("orrery_gpu_mig_memory_used")
    });
    let rows = check(&text).unwrap();
    let of = |name: &str| rows.iter().filter(|row| row.name == name).collect::<Vec<&Row>>();
    assert_eq!(of("orrery_gpu_mig_enabled")[0].value, "1");
    let parts: Vec<_> = of("orrery_gpu_mig_memory_used_bytes")
        .into_iter()
        .map(|row| {
            (
                row.label("instance_uuid"),
                row.label("gpu_instance"),
                row.value.as_str(),
            )
        })
        .collect();
    assert_eq!(
        parts,
        [
            (Some("MIG-1"), Some("1"), "100"),
            (Some("MIG-2"), Some("2"), "200")
        ]
    );
    let process = of("orrery_gpu_process_memory_bytes")[0];
    assert_eq!(
        (process.label("gpu_instance"), process.value.as_str()),
        (Some("1"), "90")
    );
}
