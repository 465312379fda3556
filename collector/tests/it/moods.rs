//! Moods of a driver that last: a device that stays lost, one that tells its name late.

use std::time::{SystemTime, UNIX_EPOCH};

use orrery_telemetry::{Absence, DeviceSample, DeviceState, Event};
use serde_json::json;

use crate::fake_nvml::{device, driver};
use crate::http::{Listener, metrics_until};

/// The samples of a driver until `num` of them hold, two devices each.
fn samples(
    stream: &mut Listener,
    num: usize,
    holds: impl Fn(&[DeviceSample]) -> bool,
) -> Vec<Vec<DeviceSample>> {
    let mut seen = Vec::new();
    let mut num_held = 0;
    stream.find("the samples", |event| {
        let Event::Sample(sample) = event else { return None };
        num_held += usize::from(holds(&sample.devices));
        seen.push(sample.devices);
        (num_held >= num).then_some(())
    });
    seen
}

#[test]
fn a_healthy_device_keeps_its_activity_while_another_stays_lost() {
    let devices = [
        device("GPU-good", &json!({})),
        device("GPU-lost", &json!({"lost_after": 40})),
    ];
    let (_driver, server) = driver(&devices, &json!({})).serve_kept();
    let mut stream = Listener::new(server.address);
    let seen = samples(&mut stream, 20, |devices| devices[1].is_lost());
    let activities = seen.iter().map(|devices| &devices[0].activity.sm);
    let waiting = activities.filter(|sm| sm.absence() == Some(&Absence::NotYet));
    assert!(
        waiting.count() <= 1,
        "only the first reading waits for a second: {seen:?}"
    );
}

#[test]
fn a_lost_device_keeps_its_name_when_the_driver_is_opened_again() {
    let devices = [
        device("GPU-good", &json!({})),
        device("GPU-lost", &json!({"lost_after": 40})),
    ];
    let (_driver, server) = driver(&devices, &json!({})).serve_kept();
    let mut stream = Listener::new(server.address);
    for devices in samples(&mut stream, 20, |devices| devices[1].is_lost()) {
        assert_eq!(devices.len(), 2, "{devices:?}");
        assert_eq!(devices[1].identity.uuid, "GPU-lost");
    }
}

#[test]
fn a_name_that_a_device_tells_late_is_taken_in() {
    let devices = [
        device("GPU-good", &json!({})),
        device("GPU-late", &json!({"unnamed_calls": 5})),
    ];
    let (_driver, server) = driver(&devices, &json!({})).serve_kept();
    let mut stream = Listener::new(server.address);
    let seen = samples(&mut stream, 1, |devices| devices[1].identity.uuid == "GPU-late");
    let first = &seen[0][1];
    assert!(first.identity.uuid.starts_with("unknown-"), "{first:?}");
    assert!(
        first.power.value().is_some(),
        "its numbers are there all the same: {first:?}"
    );
    let late = &seen.last().unwrap()[1];
    assert_eq!(
        late.identity.model, "FAKE",
        "both are asked for until they are known"
    );
}

#[test]
fn a_device_that_hangs_is_silent_and_the_others_go_on_and_no_value_is_old() {
    // The hang is in the middle of a reading: some of the device's values were read before it.
    let hanging = json!({"hang": {"after": 100, "millis": 3000}});
    let devices = [device("GPU-good", &json!({})), device("GPU-hangs", &hanging)];
    let (_driver, server) = driver(&devices, &json!({})).serve_kept();
    let mut stream = Listener::new(server.address);
    let (mut num_silent, mut num_after) = (0, 0);
    stream.find("samples after the hang", |event| {
        let sample = match event {
            Event::Sample(sample) => sample,
            Event::Source(status) if status.name == "fake" => {
                assert!(status.is_up() || status.reason == "being opened", "{status:?}");
                return None;
            }
            _ => return None,
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let age = now.saturating_sub(sample.taken.as_millis().into());
        assert!(age < 1450, "sample {} is {age} ms old", sample.sequence);
        assert!(
            sample.devices[0].power.value().is_some(),
            "the other goes on: {:?}",
            sample.devices[0]
        );
        let hangs = &sample.devices[1];
        match hangs.presence.unwrap().state {
            DeviceState::Silent => {
                num_silent += 1;
                assert!(
                    hangs.power.value().is_none() && hangs.utilization.value().is_none(),
                    "{hangs:?}"
                );
            }
            _ => num_after += usize::from(num_silent > 0),
        }
        (num_after >= 3).then_some(())
    });
    assert!(
        num_silent >= 8,
        "some three seconds of silence at 150 ms: {num_silent}"
    );
}

#[test]
fn a_device_that_is_lost_is_logged_and_counted_as_down_and_so_is_its_return() {
    let devices = [
        device("GPU-good", &json!({})),
        device("GPU-lost", &json!({"lost_after": 40, "back_after_starts": 1})),
    ];
    let (_driver, server) = driver(&devices, &json!({})).serve_kept();
    let up = |uuid: &str, up: u8| format!("uuid=\"{uuid}\"}} {up}\n");
    let of_up = |text: &str| -> String {
        let rows = text.lines().filter(|row| row.starts_with("orrery_gpu_up{"));
        rows.map(|row| format!("{row}\n")).collect()
    };
    for is_up in [1, 0, 1] {
        metrics_until(server.address, "the device", |text| {
            let rows = of_up(text);
            rows.contains(&up("GPU-good", 1)) && rows.contains(&up("GPU-lost", is_up))
        });
    }
    let (_, log) = server.end("-TERM");
    assert_eq!(
        log.matches("fake: device 1 (GPU-lost) is lost; what to do: ")
            .count(),
        1,
        "{log}"
    );
    assert_eq!(
        log.matches("fake: device 1 (GPU-lost) is back").count(),
        1,
        "{log}"
    );
    assert!(!log.contains("GPU-good"), "{log}");
}
