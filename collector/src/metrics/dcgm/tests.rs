//! The page of DCGM: units, labels and their order.

use orrery_telemetry::{Absence, DeviceIdentity, Hertz, Nanoseconds, Reading, UnixTime, Xids};
use orrery_units::{Bytes, Joules, Ratio, SimTime};

use super::*;

fn sample(device: DeviceSample) -> Sample {
    Sample {
        source: "nvml".to_owned(),
        origin: Origin::Live,
        sequence: 0,
        at: SimTime::ZERO,
        taken: UnixTime::from_millis(0),
        devices: vec![device],
        host: None,
        collectives: Vec::new(),
    }
}

fn device() -> DeviceSample {
    let identity = DeviceIdentity {
        node: "node-0".to_owned(),
        index: 3,
        uuid: "GPU-\"a\"\n\\".to_owned(),
        model: "NVIDIA H100 80GB HBM3".to_owned(),
    };
    DeviceSample::absent(identity, &Absence::NotSupported)
}

#[test]
fn a_device_has_the_units_and_the_labels_of_dcgm() {
    let mut device = device();
    device.facts.pci_bus_id = Reading::Value("00000000:1B:00.0".to_owned());
    device.sm_clock = Reading::Value(Hertz::from_megahertz(1755));
    device.energy = Reading::Value(Joules(2.5));
    device.memory_used = Reading::Value(Bytes::new((3 << 20) + 5));
    device.utilization = Reading::Value(Ratio::clamped(0.29));
    device.activity.sm = Reading::Value(Ratio::clamped(0.83));
    device.throttle_times.thermal_software = Reading::Value(Nanoseconds::new(5));
    device.throttle_times.thermal_hardware = Reading::Value(Nanoseconds::new(7));
    let mut xids = Xids::default();
    xids.count(79, UnixTime::from_millis(2));
    xids.count(31, UnixTime::from_millis(1));
    device.xids = Reading::Value(xids);
    device.remapped_rows.failure = Reading::Value(true);
    let text = render(&[sample(device).into()], HostnameLabel::Upper);
    let labels = r#"{gpu="3",UUID="GPU-\"a\"\n\\",pci_bus_id="00000000:1B:00.0",device="nvidia3",modelName="NVIDIA H100 80GB HBM3",Hostname="node-0"}"#;
    let rows: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let wanted = [
        ("DCGM_FI_DEV_SM_CLOCK", "1755"),
        ("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "2500"),
        ("DCGM_FI_DEV_GPU_UTIL", "29"),
        ("DCGM_FI_DEV_XID_ERRORS", "79"),
        ("DCGM_FI_DEV_THERMAL_VIOLATION", "12"),
        ("DCGM_FI_DEV_FB_USED", "3"),
        ("DCGM_FI_DEV_ROW_REMAP_FAILURE", "1"),
        ("DCGM_FI_PROF_SM_ACTIVE", "0.83"),
    ];
    assert_eq!(
        rows,
        wanted.map(|(name, value)| format!("{name}{labels} {value}"))
    );
    let counter = "# TYPE DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION counter\n";
    assert!(text.contains(counter), "{text}");
}

#[test]
fn a_made_up_device_says_so_and_the_label_of_the_node_is_a_setting() {
    let mut device = device();
    device.xids = Reading::Value(Xids::default());
    let demo = Sample {
        origin: Origin::Demo,
        ..sample(device)
    };
    let text = render(&[demo.into()], HostnameLabel::Lower);
    assert!(text.contains(r#",pci_bus_id="",device="nvidia3","#), "{text}");
    assert!(text.contains(r#",hostname="node-0",demo="true"} 0"#), "{text}");
    assert_eq!(render(&[], HostnameLabel::Upper), "");
}
