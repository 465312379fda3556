//! The unmodified NVML wrapper, driven by the fake library: no device is needed.

use std::time::{Duration, Instant};

use orrery_telemetry::{
    Absence, Celsius, DeviceSample, DeviceState, Event, Origin, Reading, Sample, SourceState, Throttle,
};
use serde_json::{Value, json};

use crate::http::{Listener, metrics_until};
use crate::openmetrics::check;
use crate::process::{Driver, command, ended, library};

/// A device that answers everything, with `more` in place of what it names.
pub(crate) fn device(uuid: &str, more: &Value) -> Value {
    let mut device = json!({
        "name": "FAKE", "uuid": uuid,
        "utilization_percent": [[40, 10], [90, 20]],
        "memory_bytes": [[1000, 100, 600]],
        "power_milliwatts": [512_250], "power_limit_milliwatts": [700_000],
        "energy_millijoules": [1_000_000, 2_500_000],
        "sm_clock_megahertz": [1755], "memory_clock_megahertz": [2619],
        "temperature_celsius": [88], "throttle_bits": [0, 0x44],
        "gpm": {"1": 97.0, "2": 83.0, "3": 31.0, "5": 46.5, "10": 52.0, "12": 11.0, "60": 2.0, "61": 3.0,
            "6": 0.0, "7": 46.0, "9": 0.5, "11": 1.0, "13": 2.0, "20": 4.0, "21": 5.0},
        "performance_state": [0],
        "fields": {
            "82": [70], "185": [510_000], "186": [515_000],
            "74": [1_000_000_000], "251": [2_000_000_000], "252": [3_000_000_000_u64], "253": [0],
            "142": [1], "143": [2], "144": [1], "145": [0], "230": [1],
            "138/all": [100], "139/all": [200], "197": [4096], "198": [8192],
            "138/0": [60], "139/0": [120], "161/0": [7], "162/0": [0], "163/0": [1],
            "138/1": [40], "139/1": [80], "161/1": [0], "162/1": [0], "163/1": [0],
        },
        "links": [true, false],
        "ecc": [[5, 0, 50, 1]], "pcie": [5, 16], "pcie_replays": [3],
        "processes": [{"pid": 4_000_000, "memory_bytes": 600}],
        "mig": {"is_enabled": false}, "tells_xids": true,
        "vbios": "96.00.61.00.01", "serial": "1650522000000", "pci_bus_id": "00000000:1B:00.0",
        "architecture": 9, "numa_node": 1, "max_sm_clock_megahertz": 1980, "slowdown_celsius": 87,
    });
    for (key, value) in more.as_object().expect("changes are an object") {
        device[key] = value.clone();
    }
    device
}

pub(crate) fn driver(devices: &[Value], more: &Value) -> Driver {
    let mut script = json!({"driver": "580.95.05", "devices": devices});
    for (key, value) in more.as_object().expect("changes are an object") {
        script[key] = value.clone();
    }
    Driver::new(&script)
}

/// What `once` reads of devices: the second of two readings, since unit activity takes two.
pub(crate) fn once(devices: &[Value]) -> Vec<DeviceSample> {
    once_of(&driver(devices, &json!({})))
}

/// What `once` reads of `driver`.
pub(crate) fn once_of(driver: &Driver) -> Vec<DeviceSample> {
    let (code, out, words) = ended(&driver.command(&["once"]).output().expect("it runs"));
    assert_eq!(code, Some(0), "{words}");
    let out: Value = serde_json::from_str(&out).expect("it prints JSON");
    // Through text, as a reader gets it: the untagged readings need the plain form.
    let sample: Sample = serde_json::from_str(&out["samples"][0].to_string()).expect("it is a sample");
    assert_eq!(sample.origin, Origin::Fake, "the fake says so");
    sample.devices
}

fn once_good() -> DeviceSample {
    let mut devices = once(&[device("GPU-good", &json!({}))]);
    devices.pop().expect("one device")
}

fn is(reading: f64, wanted: f64) -> bool {
    (reading - wanted).abs() < 1e-9 * wanted.abs().max(1.0)
}

#[test]
fn utilization_is_read() {
    let found = once_good().utilization.value().unwrap().get();
    assert!(is(found, 0.9), "{found}");
}

#[test]
fn memory_is_read_in_its_four_parts() {
    let good = once_good();
    let parts = [
        &good.memory_total,
        &good.memory_reserved,
        &good.memory_used,
        &good.memory_free,
    ];
    assert_eq!(
        parts.map(|part| part.value().unwrap().get()),
        [1000, 100, 600, 300]
    );
}

#[test]
fn power_its_limit_and_energy_are_read() {
    let good = once_good();
    let found = [
        good.power.value().unwrap().0,
        good.power_limit.value().unwrap().0,
        good.energy.value().unwrap().0,
    ];
    assert!(
        is(found[0], 512.25) && is(found[1], 700.0) && is(found[2], 2500.0),
        "{found:?}"
    );
}

#[test]
fn clocks_are_read_each_by_itself() {
    let good = once_good();
    let clocks = [&good.sm_clock, &good.memory_clock].map(|clock| clock.value().unwrap().get());
    assert_eq!(clocks, [1_755_000_000, 2_619_000_000]);
}

#[test]
fn temperature_and_throttles_are_read() {
    let good = once_good();
    assert_eq!(good.temperature, Reading::Value(Celsius(88.0)));
    // 0x04 is the power cap and 0x40 the thermal slowdown of the hardware, in nvml.h.
    let throttles = vec![Throttle::PowerCap, Throttle::ThermalHardware];
    assert_eq!(good.throttles, Reading::Value(throttles));
}

#[test]
fn unit_activity_is_read_through_gpm() {
    let activity = once_good().activity;
    let ratios = [
        (&activity.graphics, 0.97),
        (&activity.sm, 0.83),
        (&activity.occupancy, 0.31),
        (&activity.tensor, 0.465),
        (&activity.dram, 0.52),
        (&activity.fp32, 0.11),
    ];
    for (ratio, wanted) in ratios {
        let found = ratio.value().unwrap().get();
        assert!(is(found, wanted), "{found} is not {wanted}");
    }
    // 2 and 3 MiB/s.
    let rates = [&activity.nvlink_receive, &activity.nvlink_transmit].map(|rate| rate.value().unwrap().get());
    assert!(
        is(rates[0], 2_097_152.0) && is(rates[1], 3_145_728.0),
        "{rates:?}"
    );
}

#[test]
fn unit_activity_waits_for_a_second_sample() {
    let server = driver(&[device("GPU-a", &json!({}))], &json!({})).serve_kept();
    let mut stream = Listener::new(server.1.address);
    let mut seen = Vec::new();
    stream.find("the third reading", |event| {
        let Event::Sample(sample) = event else { return None };
        seen.push((sample.sequence, sample.devices[0].activity.sm.clone()));
        (sample.sequence >= 2).then_some(())
    });
    for (sequence, activity) in seen {
        match sequence {
            0 => assert_eq!(activity.absence(), Some(&Absence::NotYet)),
            _ => assert!(activity.value().is_some(), "{sequence}: {activity:?}"),
        }
    }
}

#[test]
fn what_is_not_supported_says_so_and_hides_nothing_else() {
    let devices = once(&[
        device("GPU-no-power", &json!({"power_milliwatts": []})),
        device("GPU-no-gpm", &json!({"gpm": null})),
        device("GPU-no-dram", &json!({"gpm": {"2": 83.0, "5": -1.0}})),
    ]);
    let lacks = |device: &DeviceSample| -> Vec<&'static str> {
        let not_supported = device.absences().into_iter();
        not_supported
            .filter(|(_, absence)| **absence == Absence::NotSupported)
            .map(|(name, _)| name)
            .collect()
    };
    assert_eq!(lacks(&devices[0]), ["power"]);
    assert_eq!(
        lacks(&devices[1]).len(),
        15,
        "all unit activity, and nothing else"
    );
    assert!(devices[1].activity.sm.absence().is_some() && devices[1].power.value().is_some());
    // One metric of GPM at a time.
    let activity = &devices[2].activity;
    assert_eq!(activity.dram.absence(), Some(&Absence::NotSupported));
    assert_eq!(activity.tensor.absence(), Some(&Absence::NotANumber));
    assert!(is(activity.sm.value().unwrap().get(), 0.83), "{activity:?}");
}

#[test]
fn a_lost_device_is_lost_alone_and_keeps_its_name() {
    let devices = once(&[
        device("GPU-good", &json!({})),
        device("GPU-lost", &json!({"lost_after": 12})),
        device("GPU-never-there", &json!({"lost_after": 0})),
    ]);
    assert!(devices[0].absences().is_empty(), "{:?}", devices[0].absences());
    assert!(devices[1].is_lost(), "{:?}", devices[1]);
    assert_eq!(devices[1].identity.uuid, "GPU-lost");
    assert!(
        devices[1]
            .absences()
            .iter()
            .all(|(_, absence)| **absence == Absence::DeviceLost)
    );
    assert!(devices[2].is_lost() && devices[2].identity.uuid.starts_with("unknown-"));
}

#[test]
fn a_device_that_is_lost_has_no_number_left_whatever_call_lost_it() {
    // The second reading asks for less than the first: what it does not ask for is no longer true all the same.
    let devices: Vec<Value> = (10..100)
        .map(|calls| device(&format!("GPU-{calls}"), &json!({"lost_after": calls})))
        .collect();
    let devices = once(&devices);
    let lost: Vec<&DeviceSample> = devices.iter().filter(|device| device.is_lost()).collect();
    assert!(lost.len() > 20 && lost.len() < devices.len(), "{}", lost.len());
    for device in lost {
        let nothing = DeviceSample {
            facts: device.facts.clone(),
            xids: device.xids.clone(),
            presence: device.presence,
            ..DeviceSample::absent(device.identity.clone(), &Absence::DeviceLost)
        };
        assert_eq!(*device, nothing);
    }
}

#[test]
fn a_lost_device_comes_back_when_the_driver_is_opened_again() {
    let devices = [
        device("GPU-good", &json!({})),
        // Some two readings, then lost until the second start after that.
        device("GPU-lost", &json!({"lost_after": 40, "back_after_starts": 2})),
    ];
    let (_driver, server) = driver(&devices, &json!({})).serve_kept();
    let mut stream = Listener::new(server.address);
    let mut next_sample = |what: &str, wanted_lost: bool| {
        stream.find(what, |event| {
            let Event::Sample(sample) = event else { return None };
            let [good, lost] = &sample.devices[..] else {
                panic!("two devices, not {sample:?}")
            };
            assert!(
                good.utilization.value().is_some(),
                "the other is read all the time"
            );
            (lost.is_lost() == wanted_lost).then_some(sample.sequence)
        })
    };
    let before = next_sample("the device", false);
    let lost = next_sample("the loss", true);
    let text = metrics_until(server.address, "the reason", |text| {
        text.contains("the device is lost")
    });
    let rows = check(&text).unwrap();
    let of_lost = |name: &str| {
        let mut rows = rows.iter().filter(|row| row.name == name);
        rows.any(|row| row.label("uuid") == Some("GPU-lost"))
    };
    assert!(
        of_lost("orrery_metric_supported") && !of_lost("orrery_gpu_power_watts"),
        "{text}"
    );
    assert!(
        text.contains("orrery_source_next_try_timestamp_seconds{source=\"fake\"}"),
        "{text}"
    );
    let back = next_sample("its return", false);
    assert!(before < lost && lost < back, "{before} {lost} {back}");
    let rows = check(&metrics_until(server.address, "its power", |text| {
        !text.contains("the device is lost")
    }));
    let power = rows
        .unwrap()
        .into_iter()
        .filter(|row| row.name == "orrery_gpu_power_watts");
    assert_eq!(power.count(), 2);
}

#[test]
fn an_unloaded_driver_is_opened_again() {
    let (_driver, server) =
        driver(&[device("GPU-a", &json!({}))], &json!({"unloaded_after": 50})).serve_kept();
    let mut stream = Listener::new(server.address);
    stream.status("fake", |status| status.state == SourceState::Fake);
    let gone = stream.status("fake", |status| !status.is_up());
    assert!(gone.reason.starts_with("NVML gives nothing: "), "{gone:?}");
    assert!(gone.next_try.is_some() && !gone.remedy.is_empty(), "{gone:?}");
    stream.status("fake", |status| status.state == SourceState::Fake);
    stream.find("a sample", |event| match event {
        Event::Sample(sample) => sample.devices[0].power.value().copied(),
        _ => None,
    });
}

#[test]
fn a_driver_that_is_loaded_late_is_found() {
    let (_driver, server) =
        driver(&[device("GPU-a", &json!({}))], &json!({"failing_starts": 3})).serve_kept();
    let mut stream = Listener::new(server.address);
    let absent = stream.status("fake", |status| status.next_try.is_some());
    assert!(absent.reason.contains("driver"), "{absent:?}");
    assert!(absent.remedy.contains("modprobe nvidia"), "{absent:?}");
    stream.status("fake", |status| status.state == SourceState::Fake);
}

#[test]
fn a_driver_that_hangs_is_told_and_so_is_its_return() {
    let hang = json!({"hang": {"after": 60, "millis": 3000}});
    let (_driver, server) = driver(&[device("GPU-a", &json!({}))], &hang).serve_kept();
    let mut stream = Listener::new(server.address);
    let mut next_sample = |what: &str, wanted: DeviceState| {
        stream.find(what, |event| {
            let Event::Sample(sample) = event else { return None };
            let device = &sample.devices[0];
            (device.presence?.state == wanted).then(|| device.clone())
        })
    };
    next_sample("the device", DeviceState::Answering);
    let silent = next_sample("its silence", DeviceState::Silent);
    assert_eq!(silent.power.absence(), Some(&Absence::no_answer()));
    assert_eq!(silent.identity.uuid, "GPU-a", "it is known who is silent");
    let text = metrics_until(server.address, "the silence", |text| {
        text.contains("orrery_gpu_readings_missed_total") && text.contains("the driver does not answer")
    });
    let rows = check(&text).unwrap();
    let of = |name: &str| rows.iter().filter(|row| row.name == name).collect::<Vec<_>>();
    assert_eq!(of("orrery_gpu_up")[0].value, "0");
    let state = of("orrery_gpu_state").into_iter().find(|row| row.value == "1");
    assert_eq!(state.unwrap().label("state"), Some("silent"));
    let age = of("orrery_gpu_last_answer_timestamp_seconds");
    assert!(age[0].value.parse::<f64>().unwrap() > 1e9, "{age:?}");
    assert!(
        of("orrery_gpu_power_watts").is_empty() && of("orrery_gpu_utilization_ratio").is_empty(),
        "a number of a silent device:\n{text}"
    );
    let back = next_sample("its return", DeviceState::Answering);
    let presence = back.presence.unwrap();
    assert!(
        presence.num_missed >= 5 && presence.since > silent.presence.unwrap().since,
        "{presence:?}"
    );
}

#[test]
fn a_driver_that_hangs_for_good_keeps_nobody_from_stopping() {
    let hang = json!({"hang": {"after": 0, "millis": 3_600_000}});
    let (_driver, server) = driver(&[device("GPU-a", &json!({}))], &hang).serve_kept();
    let mut stream = Listener::new(server.address);
    let silent = stream.status("fake", |status| status.reason != "being opened");
    assert_eq!(silent.reason, "no answer for more than three intervals");
    let start = Instant::now();
    let (code, log) = server.end("-TERM");
    assert_eq!(code, Some(143), "{log}");
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
    assert!(
        log.contains("thread `source-fake`") && log.contains("left behind"),
        "{log}"
    );
}

#[test]
fn once_gives_a_driver_up_that_does_not_answer() {
    let driver = driver(
        &[device("GPU-a", &json!({}))],
        &json!({"hang": {"after": 0, "millis": 3_600_000}}),
    );
    let (code, out, words) = ended(&driver.command(&["once"]).output().unwrap());
    assert_eq!(code, Some(3), "{words}");
    assert!(out.contains("the driver does not answer"), "{out}");
}

#[test]
fn a_fake_without_a_script_is_a_machine_without_a_driver() {
    let mut command = command(&["once", "--source", "fake", "--nvml-library"]);
    let (code, out, _) = ended(&command.arg(library()).output().unwrap());
    assert_eq!(code, Some(3), "{out}");
    assert!(out.contains("driver is not loaded"), "{out}");
}
