//! Clients of NVML that others wrote (nvidia-ml-py, nvitop, all-smi), driven by the same fake driver: they and the collector
//! read the same values in every mood. Skipped by name where they are not installed.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use orrery_telemetry::{Absence, DeviceSample, Reading, Throttle};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fake_nvml::{device, driver, once_of};
use crate::http::{Listener, metrics_until};
use crate::openmetrics::check;
use crate::process::{Driver, library};
use crate::skips::{has_command, skip};

const NAME: &str = "nvml-clients";

/// The interpreter that has the clients, or none once the reason has been written where skips are counted.
fn python() -> Option<PathBuf> {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let python = target
        .parent()
        .expect("it lies in the target folder")
        .join(NAME)
        .join("bin/python");
    if python.exists() {
        return Some(python);
    }
    skip(
        NAME,
        &format!(
            "`{}` is not there; run collector/tests/fetch-nvml-clients.sh",
            python.display()
        ),
    );
    None
}

/// A folder with the library under the driver's own names, by which clients look for it.
fn library_folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["libnvidia-ml.so.1", "libnvidia-ml.so"] {
        std::os::unix::fs::symlink(library(), folder.path().join(name)).expect("a link");
    }
    folder
}

/// What the client `which` reads of every device of `driver`, or none where it is not installed. The times of
/// throttling are asked under `fields`.
fn asked(driver: &Driver, which: &str, fields: &str) -> Option<Vec<Value>> {
    let python = python()?;
    let folder = library_folder();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/read_nvml.py");
    let mut command = Command::new(python);
    command
        .args([script, which, fields])
        .env("LD_LIBRARY_PATH", folder.path());
    let output = driver.played_by(&mut command).output().expect("it runs");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}");
    let read: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|fault| panic!("{fault}: {words}"));
    assert!(
        read["driver"].to_string().ends_with("-orrery-fake\""),
        "it is our library: {read}"
    );
    Some(read["devices"].as_array().expect("a list").clone())
}

/// Our reading in the form of theirs: a number, or the name of their error.
fn theirs<T>(reading: &Reading<T>, number: impl Fn(&T) -> Value) -> Value {
    match reading {
        Reading::Value(value) => number(value),
        Reading::Absent { absent } => json!({"absent": match absent {
            Absence::NotSupported => "NotSupported",
            Absence::DeviceLost => "GpuIsLost",
            other => panic!("no error of theirs: {other:?}"),
        }}),
    }
}

/// A float of ours as the whole number of theirs, in thousandths.
fn milli(value: f64) -> Value {
    let number = (value * 1000.0).round();
    assert!(
        (number / 1000.0 - value).abs() < 1e-9,
        "{value} has no more digits"
    );
    serde_json::from_str(&format!("{number:.0}")).expect("it is a number")
}

fn bits(throttles: &[Throttle]) -> Value {
    let bit = |throttle: &Throttle| match throttle {
        Throttle::ApplicationsClocksSetting => 0x2,
        Throttle::PowerCap => 0x4,
        Throttle::Hardware => 0x8,
        Throttle::SyncBoost => 0x10,
        Throttle::ThermalSoftware => 0x20,
        Throttle::ThermalHardware => 0x40,
        Throttle::PowerBrake => 0x80,
    };
    json!(throttles.iter().map(bit).sum::<u32>())
}

/// Every value of `ours` that nvidia-ml-py asks for too, as it tells it.
fn as_pynvml_tells(ours: &DeviceSample) -> Value {
    let text = |reading: &Reading<String>| theirs(reading, |text| json!(text));
    let count = |reading: &Reading<u64>| theirs(reading, |number| json!(number));
    let whole = |reading: &Reading<u32>| theirs(reading, |number| json!(number));
    let memory = [
        &ours.memory_total,
        &ours.memory_reserved,
        &ours.memory_used,
        &ours.memory_free,
    ];
    let memory = match memory[0].value() {
        Some(_) => json!(memory.map(|part| part.value().map(|bytes| bytes.get()))),
        None => theirs(memory[0], |_| Value::Null),
    };
    json!({
        "name": ours.identity.model,
        "uuid": ours.identity.uuid,
        "serial": text(&ours.facts.serial),
        "vbios": text(&ours.facts.vbios),
        "utilization": theirs(&ours.utilization, |ratio| milli(ratio.get() * 100.0 / 1000.0)),
        "memory": memory,
        "power": theirs(&ours.power, |power| milli(power.0)),
        "power_limit": theirs(&ours.power_limit, |power| milli(power.0)),
        "energy": theirs(&ours.energy, |energy| milli(energy.0)),
        "sm_clock": theirs(&ours.sm_clock, |clock| json!(clock.get() / 1_000_000)),
        "memory_clock": theirs(&ours.memory_clock, |clock| json!(clock.get() / 1_000_000)),
        "temperature": theirs(&ours.temperature, |degrees| milli(degrees.0 / 1000.0)),
        "throttles": theirs(&ours.throttles, |throttles| bits(throttles)),
        "performance_state": theirs(&ours.performance_state, |state| json!(state.0)),
        "ecc": [
            [count(&ours.ecc.corrected_volatile), count(&ours.ecc.uncorrected_volatile)],
            [count(&ours.ecc.corrected_aggregate), count(&ours.ecc.uncorrected_aggregate)],
        ],
        "pcie": [whole(&ours.pcie.generation), whole(&ours.pcie.lanes)],
        "replays": count(&ours.pcie.replays),
    })
}

/// Every value of `ours` that is a field, under its number before driver 580.82 and its scope.
fn fields_of(ours: &DeviceSample) -> Vec<(&'static str, Value)> {
    let count = |reading: &Reading<u64>| theirs(reading, |number| json!(number));
    let flag = |reading: &Reading<bool>| theirs(reading, |holds| json!(u8::from(*holds)));
    let kib = |reading: &Reading<orrery_units::Bytes>| theirs(reading, |bytes| json!(bytes.get() / 1024));
    let bytes = |reading: &Reading<orrery_units::Bytes>| theirs(reading, |bytes| json!(bytes.get()));
    let links = ours.nvlink.links.value().expect("it has links");
    vec![
        (
            "82/0",
            theirs(&ours.memory_temperature, |degrees| milli(degrees.0 / 1000.0)),
        ),
        ("185/0", theirs(&ours.power_average, |power| milli(power.0))),
        ("186/0", theirs(&ours.power_instant, |power| milli(power.0))),
        (
            "74/0",
            theirs(&ours.throttle_times.power_cap, |time| json!(time.get())),
        ),
        ("142/0", count(&ours.remapped_rows.correctable)),
        ("143/0", count(&ours.remapped_rows.uncorrectable)),
        ("144/0", flag(&ours.remapped_rows.pending)),
        ("145/0", flag(&ours.remapped_rows.failure)),
        ("138/4294967295", kib(&ours.nvlink.transmit)),
        ("139/4294967295", kib(&ours.nvlink.receive)),
        ("138/1", kib(&links[1].transmit)),
        ("139/0", kib(&links[0].receive)),
        ("197/0", bytes(&ours.pcie.transmit)),
        ("198/0", bytes(&ours.pcie.receive)),
    ]
}

/// A device whose values stay, so that two processes read the same.
fn steady(uuid: &str, more: &Value) -> Value {
    let mut steady = device(
        uuid,
        &json!({"utilization_percent": [[90, 20]], "energy_millijoules": [2_500_000],
        "temperature_celsius": [88], "throttle_bits": [0x44]}),
    );
    for (key, value) in more.as_object().expect("changes are an object") {
        steady[key] = value.clone();
    }
    steady
}

#[test]
fn nvidia_ml_py_reads_what_we_read_of_devices_of_every_kind() {
    let bare = json!({"name": "FAKE", "uuid": "GPU-bare"});
    let devices = [
        steady("GPU-hopper", &json!({})),
        steady("GPU-ampere", &json!({"gpm": null, "architecture": 7})),
        bare,
    ];
    // The numbers of the times of throttling in either numbering.
    for (version, numbers) in [("570.133.20", "251,252,253"), ("580.95.05", "269,270,271")] {
        let driver = driver(&devices, &json!({"driver": version}));
        let Some(read) = asked(&driver, "pynvml", numbers) else {
            return;
        };
        let ours = once_of(&driver);
        assert_eq!(read.len(), ours.len());
        for (read, ours) in read.iter().zip(&ours) {
            for (name, value) in as_pynvml_tells(ours).as_object().unwrap() {
                assert_eq!(&read[name], value, "{version}: {name} of {}", ours.identity.uuid);
            }
        }
        for (read, ours) in read.iter().zip(&ours).take(2) {
            for (field, value) in fields_of(ours) {
                assert_eq!(
                    read["fields"][field], value,
                    "{version}: field {field} of {}",
                    ours.identity.uuid
                );
            }
            let times = &ours.throttle_times;
            let times = [
                &times.thermal_software,
                &times.thermal_hardware,
                &times.power_brake,
            ];
            let wanted: Vec<u64> = times.iter().map(|time| time.value().unwrap().get()).collect();
            let theirs = numbers
                .split(',')
                .map(|number| read["throttle_fields"][format!("{number}/0")].as_u64());
            assert_eq!(theirs.collect::<Option<Vec<u64>>>(), Some(wanted), "{version}");
            let process = &ours.processes.value().unwrap()[0];
            assert_eq!(
                read["processes"],
                json!([[process.pid, process.memory.value().unwrap().get()]])
            );
            let up: Vec<u8> = ours
                .nvlink
                .links
                .value()
                .unwrap()
                .iter()
                .map(|link| u8::from(link.is_active))
                .collect();
            assert_eq!(read["links"], json!(up));
        }
    }
}

#[test]
fn nvidia_ml_py_sees_a_lost_device_and_the_parts_of_a_divided_one_as_we_do() {
    let instance = json!({"name": "FAKE MIG 3g.40gb", "uuid": "MIG-1", "gpu_instance": 1, "compute_instance": 0,
        "memory_bytes": [1000, 10, 100]});
    let divided = json!({"mig": {"is_enabled": true, "instances": [instance]}});
    let driver = driver(
        &[
            steady("GPU-divided", &divided),
            steady("GPU-lost", &json!({"lost_after": 0})),
        ],
        &json!({}),
    );
    let Some(read) = asked(&driver, "pynvml", "269") else {
        return;
    };
    let ours = once_of(&driver);
    assert!(ours[1].is_lost());
    assert_eq!(read[1], json!({"absent": "GpuIsLost"}));
    let parts = ours[0].mig.instances.value().unwrap();
    assert_eq!(
        read[0]["mig"],
        json!(u8::from(*ours[0].mig.is_enabled.value().unwrap()))
    );
    assert_eq!(
        read[0]["instances"],
        json!([{
            "uuid": parts[0].uuid,
            "gpu_instance": parts[0].gpu_instance.value().unwrap(),
            "memory": [1000, 10, parts[0].memory_used.value().unwrap().get(), 890],
        }])
    );
}

#[test]
fn nvitop_shows_what_we_show() {
    let driver = driver(
        &[steady("GPU-11111111-2222-3333-4444-555555555555", &json!({}))],
        &json!({}),
    );
    let Some(read) = asked(&driver, "nvitop", "269") else {
        return;
    };
    let ours = once_of(&driver).remove(0);
    let bytes = |reading: &Reading<orrery_units::Bytes>| reading.value().unwrap().get();
    let wanted = json!({
        "name": ours.identity.model,
        "uuid": ours.identity.uuid,
        "memory": [bytes(&ours.memory_total), bytes(&ours.memory_used), bytes(&ours.memory_free)],
        "utilization": milli(ours.utilization.value().unwrap().get() / 10.0),
        "power": milli(ours.power.value().unwrap().0),
        "temperature": milli(ours.temperature.value().unwrap().0 / 1000.0),
        "sm_clock": ours.sm_clock.value().unwrap().get() / 1_000_000,
        "memory_clock": ours.memory_clock.value().unwrap().get() / 1_000_000,
        "performance_state": format!("P{}", ours.performance_state.value().unwrap().0),
        "uncorrected": ours.ecc.uncorrected_volatile.value().unwrap(),
        "processes": ours.processes.value().unwrap().iter().map(|process| process.pid).collect::<Vec<_>>(),
        "mig": "Disabled",
    });
    assert_eq!(read[0], wanted);
}

#[test]
fn nvidia_ml_py_counts_the_errors_that_we_count() {
    let xids =
        json!({"xids": [{"device": 0, "code": 31, "times": 3}, {"device": 0, "code": 79, "times": 1}]});
    let driver = driver(&[steady("GPU-a", &json!({}))], &xids);
    let Some(read) = asked(&driver, "errors", "269") else {
        return;
    };
    assert_eq!(read[0], json!({"31": 3, "79": 1}));
    let (_driver, server) = driver.serve_kept();
    let mut stream = Listener::new(server.address);
    stream.status("fake", |status| status.is_up());
    let text = metrics_until(server.address, "both errors", |text| text.contains("xid=\"79\""));
    let rows = check(&text).unwrap();
    for (code, count) in read[0].as_object().unwrap() {
        let mut ours = rows
            .iter()
            .filter(|row| row.name == "orrery_gpu_xid_errors_total");
        let ours = ours.find(|row| row.label("xid") == Some(code)).unwrap();
        assert_eq!(ours.value, count.to_string(), "{code}");
    }
}

/// all-smi asks `nvidia-smi` whether there is a device before it loads the library, so one stands in for it.
#[test]
fn all_smi_shows_what_we_show() {
    if !has_command("all-smi", "all-smi") {
        return;
    }
    let devices = [
        steady("GPU-11111111-2222-3333-4444-555555555555", &json!({})),
        steady(
            "GPU-11111111-2222-3333-4444-666666666666",
            &json!({"gpm": null, "architecture": 7, "temperature_celsius": [41], "power_milliwatts": [99_500]}),
        ),
    ];
    let driver = driver(&devices, &json!({}));
    let folder = library_folder();
    let list = folder.path().join("nvidia-smi");
    std::fs::write(&list, "#!/bin/sh\necho 'GPU 0: FAKE'\n").expect("a file");
    std::fs::set_permissions(&list, std::fs::Permissions::from_mode(0o755)).expect("its mode");
    let path = std::env::var("PATH").expect("it is text");
    let mut command = Command::new("all-smi");
    command
        .args(["snapshot", "--include", "gpu"])
        .env("LD_LIBRARY_PATH", folder.path())
        .env("PATH", format!("{}:{path}", folder.path().display()));
    let output = driver.played_by(&mut command).output().expect("it runs");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}");
    let read: Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    let ours = once_of(&driver);
    assert_eq!(read["gpus"].as_array().map(Vec::len), Some(ours.len()), "{read}");
    for (read, ours) in read["gpus"].as_array().into_iter().flatten().zip(&ours) {
        let (power, limit) = (
            ours.power.value().expect("power"),
            ours.power_limit.value().expect("a limit"),
        );
        let wanted = json!({
            "name": ours.identity.model,
            "uuid": ours.identity.uuid,
            "total_memory": ours.memory_total.value().expect("memory").get(),
            "used_memory": ours.memory_used.value().expect("memory").get(),
            "utilization": ours.utilization.value().expect("a share").get() * 100.0,
            "power_consumption": power.0,
            "temperature": milli(ours.temperature.value().expect("degrees").0 / 1000.0),
            "frequency": ours.sm_clock.value().expect("a clock").get() / 1_000_000,
            "performance_state": ours.performance_state.value().expect("a state").0,
            "numa_node_id": ours.facts.numa_node.value().expect("a node"),
        });
        for (name, value) in wanted.as_object().expect("an object") {
            assert_eq!(&read[name], value, "{name} of {}", ours.identity.uuid);
        }
        let detail = &read["detail"];
        let (generation, lanes) = (
            ours.pcie.generation.value().expect("a generation"),
            ours.pcie.lanes.value().expect("lanes"),
        );
        assert_eq!(detail["power_limit_current"], format!("{:.2}", limit.0));
        assert_eq!(detail["PCIe Generation"], generation.to_string());
        assert_eq!(detail["PCIe Width"], format!("x{lanes}"));
    }
}
