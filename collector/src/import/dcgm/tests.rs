//! The text of a dcgm-exporter as its documents give it, and texts that are none.

use super::*;

const TEXT: &str = include_str!("../../../tests/imports/dcgm-exporter.txt");

#[test]
fn every_field_becomes_the_reading_of_its_device() {
    let devices = parse_dcgm(TEXT).unwrap();
    assert_eq!(devices.len(), 2);
    let DcgmDevice { sample, last_xid } = &devices[0];
    let identity = &sample.identity;
    assert_eq!(
        (&*identity.node, identity.index, &*identity.uuid),
        ("node-7", 0, "GPU-0a")
    );
    assert_eq!(identity.model, "NVIDIA H100 80GB HBM3");
    assert_eq!(*last_xid, Some(0));
    assert_eq!(sample.facts.driver, Reading::Value("570.133.20".to_owned()));
    assert_eq!(
        sample.facts.pci_bus_id,
        Reading::Value("00000000:1B:00.0".to_owned())
    );
    assert_eq!(sample.sm_clock, Reading::Value(Hertz::from_megahertz(1755)));
    assert_eq!(
        (&sample.temperature, &sample.memory_temperature),
        (&Reading::Value(Celsius(55.0)), &Reading::Value(Celsius(61.0)))
    );
    assert_eq!(
        (&sample.power, &sample.energy),
        (&Reading::Value(Watts(612.25)), &Reading::Value(Joules(2500.0)))
    );
    assert_eq!(sample.utilization, Reading::Value(Ratio::clamped(0.97)));
    let mebibytes = |number: u64| Reading::Value(Bytes::new(number << 20));
    assert_eq!(
        (&sample.memory_used, &sample.memory_total),
        (&mebibytes(70_000), &mebibytes(80_559))
    );
    let rows = &sample.remapped_rows;
    assert_eq!(
        (&rows.correctable, &rows.uncorrectable, &rows.failure),
        (&Reading::Value(1), &Reading::Value(2), &Reading::Value(false))
    );
    assert_eq!(sample.pcie.replays, Reading::Value(3));
    assert_eq!(sample.activity.tensor, Reading::Value(Ratio::clamped(0.465)));
    assert_eq!(
        sample.activity.nvlink_receive,
        Reading::Value(BytesPerSec::new(74e9))
    );
}

#[test]
fn numbers_that_mean_none_are_absent_and_what_is_not_collected_is_not_sent() {
    let devices = parse_dcgm(TEXT).unwrap();
    let DcgmDevice { sample, last_xid } = &devices[1];
    assert_eq!(*last_xid, Some(79));
    // 0x7ffffffffffffff2.
    assert_eq!(sample.memory_temperature.absence(), Some(&Absence::NotSupported));
    assert!(sample.power.absence().is_some_and(Absence::is_not_sent));
    // The line of its first part says nothing about the whole.
    assert!(sample.utilization.absence().is_some_and(Absence::is_not_sent));
    // A float that is not supported.
    assert_eq!(
        devices[0].sample.activity.pcie_transmit.absence(),
        Some(&Absence::NotSupported)
    );
    for (value, reason) in [
        ("9223372036854775792", Absence::NotANumber),
        ("9223372036854775795", Absence::NoPermission),
        ("2147483634", Absence::NotSupported),
        ("9.223372036854776e+18", Absence::NotANumber),
        ("1.40737488355328e+14", Absence::NotANumber),
        ("NaN", Absence::NotANumber),
        ("-5", Absence::NotANumber),
        ("many", Absence::NotANumber),
    ] {
        let text = format!("DCGM_FI_DEV_GPU_TEMP{{gpu=\"0\",UUID=\"u\"}} {value}");
        let device = parse_dcgm(&text).unwrap().remove(0);
        assert_eq!(device.sample.temperature.absence(), Some(&reason), "{value}");
    }
}

#[test]
fn either_spelling_of_the_host_and_escapes_in_labels_are_read() {
    let text = r#"DCGM_FI_DEV_GPU_TEMP{gpu="0",UUID="u",modelName="a \"b\" \\ c\nd, e}",hostname="h"} 5 1700000000000"#;
    let device = parse_dcgm(text).unwrap().remove(0);
    assert_eq!(device.sample.identity.model, "a \"b\" \\ c\nd, e}");
    assert_eq!(device.sample.identity.node, "h");
    assert_eq!(device.sample.temperature, Reading::Value(Celsius(5.0)));
}

#[test]
fn a_malformed_line_is_named_and_a_text_without_devices_is_none() {
    for (line, part) in [
        ("DCGM_FI_DEV_GPU_TEMP 5", "no labels"),
        ("DCGM_FI_DEV_GPU_TEMP{gpu=\"0\"}", "no value"),
        ("DCGM_FI_DEV_GPU_TEMP{gpu=\"0} 5", "no closing quote"),
        ("DCGM_FI_DEV_GPU_TEMP{gpu=\"0\\", "no closing quote"),
        ("DCGM_FI_DEV_GPU_TEMP{gpu=0} 5", "no opening quote"),
        ("DCGM_FI_DEV_GPU_TEMP{gpu", "no `=`"),
    ] {
        let fault = parse_dcgm(&format!("up 1\n{line}")).unwrap_err().to_string();
        assert!(
            fault.starts_with("line 2: ") && fault.contains(part),
            "{line}: {fault}"
        );
    }
    let fault = parse_dcgm("node_load1 0.5\n").unwrap_err();
    assert!(fault.to_string().contains("9400"), "{fault}");
}

#[test]
fn no_beginning_of_a_text_makes_it_panic() {
    for end in 0..TEXT.len() {
        let _fault = parse_dcgm(&TEXT[..end]);
    }
}
