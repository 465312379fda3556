//! The bench with workers of a shell's making.

use orrery_telemetry::{Absence, DeviceIdentity, Reading};
use orrery_units::Ratio;

use super::*;

const IDENTITY: &str = "GPU-07070707-0707-0707-0707-07070707070";

fn device(digit: u32) -> DeviceSample {
    let identity = DeviceIdentity {
        node: "node-7".to_owned(),
        index: digit,
        uuid: format!("{IDENTITY}{digit}"),
        model: "H100".to_owned(),
    };
    DeviceSample::absent(identity, &Absence::NotSupported)
}

/// A worker that knows devices 0 and 1 of `device`, and answers measurements as `script` does, where `$TIME` is 50 ms.
fn bench(script: &str) -> WorkerBench {
    let time = r#"{"measured":{"p50_picos":50000000000,"p5_picos":1,"p95_picos":1,"p99_picos":1,"min_picos":1,"max_picos":1,"mad_picos":0,"median_interval_picos":[1,1],"samples":30,"launches":1,"stopped":"converged","clock_hertz":null,"error":0.001,"source_hash":null}}"#;
    let known = [0, 1].map(|digit| driver_identity(&format!("{IDENTITY}{digit}")));
    let devices = format!(r#"{{"devices":["{}","{}"]}}"#, known[0], known[1]);
    let script = format!(
        "TIME='{time}'\nwhile read -r order; do case \"$order\" in *devices*) echo '{devices}';; *) {script};; esac; done"
    );
    WorkerBench::new(["sh", "-c", &script].map(str::to_owned).to_vec())
}

#[test]
fn every_device_has_a_worker_and_a_rate() {
    let devices = [device(0), device(1)];
    let devices: Vec<&DeviceSample> = devices.iter().collect();
    let mut bench = bench("echo \"$TIME\"");
    let budget = Duration::from_secs(10);
    let gemm = bench.measure(&devices, Probe::Gemm, budget);
    for rate in gemm {
        // 2 x 8192^3 operations in 50 ms.
        let rate = rate.unwrap().value;
        assert!((rate / 21.990_232_555_52e12 - 1.0).abs() < 1e-9, "{rate}");
    }
    let copies = bench.measure(&devices, Probe::MemoryCopy, budget);
    assert!(
        (copies[1].clone().unwrap().value / 5.368_709_12e9 - 1.0).abs() < 1e-9,
        "{copies:?}"
    );
    let links = bench.measure(&devices, Probe::NvLink, budget);
    assert!(
        (links[0].clone().unwrap().value / 2.684_354_56e9 - 1.0).abs() < 1e-9,
        "{links:?}"
    );
    assert_eq!(bench.workers.len(), 2, "they are kept");
}

#[test]
fn peers_are_the_free_devices_in_a_ring() {
    let numbers: Numbers = (0..4)
        .map(|digit| (driver_identity(&format!("{IDENTITY}{digit}")), digit as usize))
        .collect();
    let mut devices = [device(0), device(1), device(2), device(7)];
    devices[1].utilization = Reading::Value(Ratio::new(0.9).unwrap());
    let devices: Vec<&DeviceSample> = devices.iter().collect();
    let found = subjects(&devices, Probe::NvLink, &numbers);
    let peer = |subject: &Subject| match subject {
        Subject::PeerCopy { peer, .. } => *peer,
        other => panic!("{other:?}"),
    };
    assert_eq!(found[0].as_ref().map(|(_, subject)| peer(subject)), Ok(2));
    assert_eq!(found[2].as_ref().map(|(_, subject)| peer(subject)), Ok(0));
    let reason = |at: usize| found[at].as_ref().unwrap_err().to_string();
    assert_eq!(reason(1), "GPU 1 is in use: busy 90 % of the time");
    assert!(reason(3).contains("CUDA_VISIBLE_DEVICES"), "{}", reason(3));
    let alone = subjects(&devices[..1], Probe::NvLink, &numbers);
    assert_eq!(
        alone[0].as_ref().unwrap_err().to_string(),
        "no other device of this node is free"
    );
    let ports = bench("exit 3").measure(&devices, Probe::NicLoopback, Duration::from_secs(1));
    assert!(ports[0].as_ref().unwrap_err().to_string().contains("counters"));
}

/// Whatever becomes of a worker, the others have their rates, and nobody waits beyond the budget.
#[test]
fn a_worker_that_hangs_dies_or_is_wrong_costs_its_own_rate() {
    let devices = [device(0), device(1)];
    let devices: Vec<&DeviceSample> = devices.iter().collect();
    let of_first =
        |script: &str| format!("case \"$order\" in *'\"device\":0'*) {script};; *) echo \"$TIME\";; esac");
    for (script, expected, is_wrong) in [
        ("exec sleep 100", "was silent for", false),
        ("exit 3", "the worker ended (code 3)", false),
        ("kill -9 $$", "the worker ended (signal 9)", false),
        (
            r#"printf '%s\n' '{"wrong":"`copy` is wrong\n  = help: so"}'"#,
            "`copy` is wrong; help: so",
            true,
        ),
        (r#"echo '{"fault":"no library"}'"#, "no library", false),
        ("echo '\"libraries\"'", "the worker answered", false),
    ] {
        let begin = Instant::now();
        let mut bench = bench(&of_first(script));
        let rates = bench.measure(&devices, Probe::Gemm, Duration::from_secs(2));
        assert!(
            begin.elapsed() < Duration::from_millis(3500),
            "{script}: {:?}",
            begin.elapsed()
        );
        let fault = rates[0].clone().unwrap_err();
        assert!(fault.to_string().contains(expected), "{script}: {fault}");
        assert_eq!(fault.is_wrong(), is_wrong, "{script}");
        assert!(rates[1].is_ok(), "{script}: {rates:?}");
    }
}

#[test]
fn a_driver_that_tells_of_no_device_is_asked_once() {
    let folder = tempfile::tempdir().unwrap();
    let count = folder.path().join("count");
    let script = format!("echo x >> {}; exec sleep 100", count.display());
    let mut bench = WorkerBench::new(["sh", "-c", &script].map(str::to_owned).to_vec());
    let one = device(0);
    for _ in 0..3 {
        let rates = bench.measure(&[&one], Probe::Gemm, Duration::from_millis(500));
        assert!(
            rates[0].as_ref().unwrap_err().to_string().contains("was silent"),
            "{rates:?}"
        );
    }
    assert_eq!(std::fs::read_to_string(&count).unwrap().lines().count(), 1);
    let mut busy = device(1);
    busy.utilization = Reading::Value(Ratio::new(1.0).unwrap());
    let mut bench = WorkerBench::new(["/nonexistent/worker"].map(str::to_owned).to_vec());
    let rates = bench.measure(&[&busy], Probe::Gemm, Duration::from_secs(1));
    assert_eq!(
        rates[0].as_ref().unwrap_err().to_string(),
        "GPU 1 is in use: busy 100 % of the time",
        "no worker is started for devices in use"
    );
}
