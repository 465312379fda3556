//! Ports of a made-up machine, and a program that says what `ib_write_bw` says.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use orrery_telemetry::{Absence, DeviceIdentity, Reading};
use orrery_units::Ratio;
use tempfile::TempDir;

use super::*;

/// Two sockets with a switch each; a port and two devices below either, and a port that is down.
fn machine() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let sys = folder.path();
    let devices = [
        ("0000:1b:00.0", "pci0000:15/0000:15:01.0/0000:16:00.0"),
        ("0000:1c:00.0", "pci0000:15/0000:15:01.0/0000:16:01.0"),
        ("0000:bb:00.0", "pci0000:b5/0000:b5:01.0/0000:b6:00.0"),
        ("0000:bc:00.0", "pci0000:b5/0000:b5:01.0/0000:b6:01.0"),
    ];
    fs::create_dir_all(sys.join("bus/pci/devices")).unwrap();
    for (address, bridges) in devices {
        let place = sys.join("devices").join(bridges).join(address);
        fs::create_dir_all(&place).unwrap();
        symlink(place, sys.join("bus/pci/devices").join(address)).unwrap();
    }
    for (adapter, bridges, state) in [
        (
            "mlx5_0",
            "pci0000:b5/0000:b5:01.0/0000:b6:02.0/0000:b7:00.0",
            "4: ACTIVE",
        ),
        (
            "mlx5_1",
            "pci0000:15/0000:15:01.0/0000:16:02.0/0000:17:00.0",
            "4: ACTIVE",
        ),
        (
            "mlx5_2",
            "pci0000:15/0000:15:01.0/0000:16:00.0/0000:18:00.0",
            "1: DOWN",
        ),
    ] {
        let place = sys.join("devices").join(bridges);
        fs::create_dir_all(&place).unwrap();
        let port = sys.join("class/infiniband").join(adapter).join("ports/1");
        fs::create_dir_all(&port).unwrap();
        symlink(place, sys.join("class/infiniband").join(adapter).join("device")).unwrap();
        fs::write(port.join("state"), format!("{state}\n")).unwrap();
        fs::write(port.join("rate"), "400 Gb/sec (4X NDR)\n").unwrap();
    }
    folder
}

fn device(index: u32, address: &str) -> DeviceSample {
    let identity = DeviceIdentity {
        node: "node-7".to_owned(),
        index,
        uuid: format!("GPU-{index}"),
        model: "H100".to_owned(),
    };
    let mut device = DeviceSample::absent(identity, &Absence::NotSupported);
    device.facts.pci_bus_id = Reading::Value(address.to_owned());
    device
}

fn devices() -> [DeviceSample; 4] {
    [
        device(0, "00000000:1B:00.0"),
        device(1, "00000000:1C:00.0"),
        device(2, "00000000:BB:00.0"),
        device(3, "00000000:BC:00.0"),
    ]
}

/// A program that does `script`; the last word of a client is whom it calls.
fn program(folder: &Path, script: &str) -> PathBuf {
    let path = folder.join("ib_write_bw");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// The report of perftest 6.06 on one line of columns and one of numbers.
fn report(average: &str) -> String {
    format!(
        r"printf '%s\n' \
'                    RDMA_Write BW Test' \
' Dual-port       : OFF          Device         : mlx5_0' \
' Link type       : IB' \
'---------------------------------------------------------------------------------------' \
' #bytes     #iterations    BW peak[Gb/sec]    BW average[Gb/sec]   MsgRate[Mpps]' \
' 1048576    93012            0.00               {average}             0.046506' \
'---------------------------------------------------------------------------------------'"
    )
}

#[test]
fn every_device_has_the_rate_of_the_port_beside_it() {
    let machine = machine();
    let calls = machine.path().join("calls");
    let script = format!(
        "echo \"$@\" >> {}\ncase \"$*\" in *mlx5_0*127.0.0.1) {};; *127.0.0.1) {};; *) exec sleep 100;; esac",
        calls.display(),
        report("390.12"),
        report("195.06")
    );
    let loopback = Loopback::new(machine.path().to_owned(), program(machine.path(), &script));
    let mut devices = devices();
    devices[1].utilization = Reading::Value(Ratio::new(0.9).unwrap());
    let devices: Vec<&DeviceSample> = devices.iter().collect();
    let rates = loopback.measure(&devices, Duration::from_secs(20));
    // Device 0 lies beside mlx5_1, devices 2 and 3 beside mlx5_0; mlx5_2 is nearer to device 0 and down.
    let first = rates[0].clone().unwrap();
    assert!((first.value - 195.06e9 / 8.0).abs() < 1.0, "{first:?}");
    assert_eq!(first.through.as_deref(), Some("mlx5_1/1, 400 Gbit/s"));
    assert_eq!(
        rates[1].as_ref().unwrap_err().to_string(),
        "GPU 1 is in use: busy 90 % of the time"
    );
    for rate in &rates[2..] {
        let rate = rate.clone().unwrap();
        assert!((rate.value - 390.12e9 / 8.0).abs() < 1.0, "{rate:?}");
        assert_eq!(rate.through.as_deref(), Some("mlx5_0/1, 400 Gbit/s"));
    }
    let calls = fs::read_to_string(calls).unwrap();
    assert_eq!(
        calls.lines().filter(|line| line.ends_with("127.0.0.1")).count(),
        2,
        "a client for each port: {calls}"
    );
    assert!(
        calls
            .lines()
            .all(|line| line.contains("-i 1 -p ") && line.contains("--report_gbits")),
        "{calls}"
    );
}

#[test]
fn whatever_the_program_does_says_why_and_is_waited_for_no_longer_than_the_budget() {
    let machine = machine();
    let devices = devices();
    let devices: Vec<&DeviceSample> = devices.iter().collect();
    let budget = Duration::from_secs(6);
    for (script, expected) in [
        ("exec sleep 100", "was not done within the budget"),
        (
            "echo ' Unable to find the Infiniband/RoCE device' >&2; exit 1",
            "failed (code 1): Unable to find the Infiniband/RoCE device",
        ),
        (
            "case \"$*\" in *127.0.0.1) echo 'Couldnt connect to 127.0.0.1' >&2; exit 1;; *) exec sleep 100;; esac",
            "failed: Couldnt connect to 127.0.0.1",
        ),
        (
            "case \"$*\" in *127.0.0.1) echo hello;; *) exec sleep 100;; esac",
            "printed no average",
        ),
        (
            "case \"$*\" in *127.0.0.1) kill -9 $$;; *) exec sleep 100;; esac",
            "failed: it said nothing",
        ),
    ] {
        let loopback = Loopback::new(machine.path().to_owned(), program(machine.path(), script));
        let begin = Instant::now();
        let rates = loopback.measure(&devices, budget);
        assert!(begin.elapsed() < budget + Duration::from_secs(2), "{script}");
        for rate in rates {
            let reason = rate.unwrap_err().to_string();
            assert!(reason.contains(expected), "{script}: {reason}");
        }
    }
    let missing = Loopback::new(machine.path().to_owned(), "/nonexistent/ib_write_bw".into());
    let reason = missing.measure(&devices, budget)[0]
        .clone()
        .unwrap_err()
        .to_string();
    assert!(reason.contains("install perftest"), "{reason}");
    let short = missing.measure(&devices, Duration::from_secs(1))[0]
        .clone()
        .unwrap_err()
        .to_string();
    assert!(short.contains("a larger `--budget` helps"), "{short}");
    let nothing = tempfile::tempdir().unwrap();
    let none = Loopback::new(nothing.path().to_owned(), "/nonexistent/ib_write_bw".into());
    let reason = none.measure(&devices, budget)[0].clone().unwrap_err().to_string();
    assert_eq!(reason, "this node has no RDMA port that is up");
}

/// Devices that do not say where they sit take ports in turn.
#[test]
fn devices_of_unknown_place_share_ports_evenly() {
    let machine = machine();
    let loopback = Loopback::new(machine.path().to_owned(), PathBuf::new());
    let ports = loopback.ports();
    let mut devices = devices();
    for device in &mut devices {
        device.facts.pci_bus_id = Reading::absent(Absence::NotSupported);
    }
    let devices: Vec<&DeviceSample> = devices.iter().collect();
    let beside: Vec<&str> = loopback
        .beside(&devices, &ports)
        .into_iter()
        .map(|port| port.unwrap().adapter.as_str())
        .collect();
    assert_eq!(beside, ["mlx5_0", "mlx5_1", "mlx5_0", "mlx5_1"]);
}
