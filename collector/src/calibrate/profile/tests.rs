//! Times made by a law come back as that law, and spoiled ones do not.

use std::collections::BTreeMap;

use orrery_kernels::device::Launching;
use orrery_kernels::measure::{Mode, Subject};
use orrery_kernels::statistics::Taint;
use orrery_operation::{CollectiveOp, Precision};
use orrery_profile::{ContentionLaw, Link, OpClass, Profile, TransferLaw};
use orrery_units::{Bytes, BytesPerSec, SimDuration};

use super::super::tests::{WILLING, calibration, facts, measured, worker};
use super::super::{Measurement, Plan, profile_of};

/// What was measured in heat is kept, counted and no part of a curve; the power cap is told and no fault.
#[test]
fn tainted_measurements_are_left_out_of_curves_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let run = calibration(folder.path(), worker(WILLING), &["copy", "read"]);
    let mut records: BTreeMap<String, Measurement> = (run.plan.entries.iter())
        .map(|entry| (entry.id(), measured(50_000_000)))
        .collect();
    let all = profile_of(&run, &facts(), &records);
    assert_eq!(all.kernels_of(OpClass::MemoryPass).next().unwrap().fitted.rows, 4);
    assert_eq!(all.notes.len(), 1, "{:?}", all.notes);
    let mut each = records.values_mut();
    each.next().unwrap().taints = vec![Taint::HardwareThrottle, Taint::PowerCap];
    each.next().unwrap().taints = vec![Taint::PowerCap];
    let profile = profile_of(&run, &facts(), &records);
    assert_eq!(
        profile
            .kernels_of(OpClass::MemoryPass)
            .next()
            .unwrap()
            .fitted
            .rows,
        3
    );
    assert_eq!(
        profile.notes[1..],
        [
            "1 measurements are left out of every curve, for what went on meanwhile: hardware_throttle 1.",
            "Kept, though the device was held down: power_cap 2."
        ]
    );
}

/// Times made from a law come back as that law: a device of 989 TFLOP/s whose products take 1.25 times their bound.
#[test]
fn a_fit_finds_what_the_times_were_made_of() {
    let folder = tempfile::tempdir().unwrap();
    let run = calibration(folder.path(), worker(WILLING), &["dense", "copy"]);
    let records = run.plan.entries.iter().map(|entry| {
        let is_eight = matches!(entry.subject, Subject::DenseFp8 { .. });
        let peak = if is_eight { 1979e12 } else { 989e12 };
        let arithmetic = entry.subject.flops().get() / peak;
        let memory = entry.subject.bytes().as_f64() / 3.35e12;
        let seconds = 1.25 * arithmetic.max(memory) + 2e-6;
        (entry.id(), measured((seconds * 1e12) as u64))
    });
    let profile = profile_of(&run, &facts(), &records.collect());
    let copies = profile.kernels_of(OpClass::MemoryPass).next().unwrap();
    assert_eq!(copies.fitted.rows, 2);
    assert!(copies.fitted.mape < 0.05, "{:?}", copies.fitted);
    let products: Vec<_> = profile.kernels_of(OpClass::Gemm).collect();
    assert_eq!(products.len(), 2, "bfloats, then 8-bit numbers");
    for (dense, (precision, rows)) in products.iter().zip([(Precision::Bf16, 20), (Precision::Fp8, 18)]) {
        assert_eq!((dense.precision, dense.fitted.rows), (Some(precision), rows));
        assert_eq!(dense.kernel_source, "cublaslt");
        assert!(dense.fitted.mape < 0.2, "{:?}", dense.fitted);
    }
    let notes = products.iter().map(|curve| curve.provenance.note.as_str());
    for note in notes {
        assert!(note.ends_with("; batches replayed as CUDA graphs"), "{note}");
    }
    assert!(
        run.plan.entries.iter().all(|entry| entry.mode == Mode::Sustained),
        "cold entries have no curve"
    );
    assert_eq!(profile.contention, None, "nothing was measured beside another");
}

/// A curve says how many of its times hold those of the host, and why.
#[test]
fn a_curve_says_what_was_not_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let run = calibration(folder.path(), worker(WILLING), &["copy", "read"]);
    let records = run.plan.entries.iter().zip(0..).map(|(entry, index)| {
        let mut measured = measured(50_000_000);
        if index > 0 {
            measured.launching = Launching::Stream("ending a capture: it was refused".to_owned());
        }
        (entry.id(), measured)
    });
    let profile = profile_of(&run, &facts(), &records.collect());
    let note = &profile.kernels[0].provenance.note;
    assert!(
        note.contains("3 of 4 not replayed as CUDA graphs")
            && note.ends_with("host holds its time: ending a capture: it was refused"),
        "{note}"
    );
    // What an earlier version has measured, and kept beside its profile, tells nothing of it.
    let mut line = serde_json::to_value(measured(1)).unwrap();
    line.as_object_mut().unwrap().remove("launching");
    let old: Measurement = serde_json::from_value(line).unwrap();
    assert_eq!(old.launching, Launching::default());
}

/// Sweeps made by a law of latency, fill and bandwidth come back as a curve for each collective, and copies among devices
/// are planned with them.
#[test]
fn collectives_come_back_as_curves() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = calibration(folder.path(), worker(WILLING), &[]);
    assert!(
        !run.plan.text().contains("nccl"),
        "none without devices to run among"
    );
    run.plan = Plan::standard(1.0)
        .among(6, 8)
        .only(&["nccl".to_owned(), "peer".to_owned()]);
    assert_eq!(run.plan.entries.len(), 1 + 5 * 8);
    assert_eq!(run.plan.entries[0].id(), "peer_copy-268435456-to-7-sustained");
    let truth = TransferLaw {
        latency_picos: SimDuration::from_micros(12),
        fill_picos: SimDuration::from_micros(20),
        fill_bytes: Bytes::new(1 << 20),
        bandwidth: BytesPerSec::new(240e9),
    };
    let records = run.plan.entries.iter().map(|entry| {
        let time = truth.time(entry.subject.bytes());
        (entry.id(), measured(time.as_picos()))
    });
    let profile = profile_of(&run, &facts(), &records.collect());
    assert_eq!(profile.collectives.len(), 5);
    for curve in &profile.collectives {
        assert_eq!((curve.nodes, curve.ranks_per_node), (1, 8));
        assert_eq!((curve.bytes.min, curve.bytes.max), (1 << 10, 1 << 31));
        let share = curve.law.bandwidth.get() / 240e9;
        assert!(
            (share - 1.0).abs() < 0.03 && curve.fitted.mape < 0.05,
            "{curve:?}"
        );
    }
    let gathered = profile.collective(CollectiveOp::AllGather, 1, 8).unwrap();
    assert!(gathered.provenance.note.contains("a process for each device"));
    // The copy to the next device is the reference of its link: 12 us, 20 of filling, and 256 MiB at 240 GB/s.
    let link = profile.link(&Link::Peer).unwrap().get();
    assert!((link / (268_435_456.0 / 1.150_4e-3) - 1.0).abs() < 1e-3, "{link}");
    assert!(
        profile.links[0].provenance.note.contains("one way and alone"),
        "{:?}",
        profile.links
    );
    assert_eq!(Profile::from_json(&profile.to_json()).unwrap(), profile);
}

/// Products that lose 1.5 units for each that is held beside them: the profile says so, and by which products.
#[test]
fn the_law_of_contention_comes_back_from_what_it_made() {
    let folder = tempfile::tempdir().unwrap();
    let run = calibration(folder.path(), worker(WILLING), &["contention"]);
    let truth = ContentionLaw { weight: 1.5 };
    let records = run.plan.entries.iter().map(|entry| {
        let Subject::Contention { side, blocks } = entry.subject else {
            panic!("{entry:?}");
        };
        let alone = entry.subject.flops().get() / 700e12;
        // Half a percent, this way and that.
        let noise = if (side / 4096 + blocks / 8) % 2 == 0 {
            1.005
        } else {
            0.995
        };
        let seconds = alone * truth.slow_down(blocks as f64 / 132.0) * noise;
        (entry.id(), measured((seconds * 1e12) as u64))
    });
    let mut records: BTreeMap<String, Measurement> = records.collect();
    assert_eq!(records.len(), 10);
    let profile = profile_of(&run, &facts(), &records);
    let curve = profile.contention.clone().unwrap();
    assert!((curve.law.weight - 1.5).abs() < 0.05, "{curve:?}");
    assert_eq!(
        (curve.blocks.min, curve.blocks.max, curve.num_units),
        (8, 32, 132)
    );
    assert_eq!(curve.points.shapes, [[4096; 3], [8192; 3]]);
    assert_eq!(curve.provenance.measured_by, "node-7");
    assert_eq!(
        Profile::from_json(&profile.to_json()).unwrap().contention,
        profile.contention
    );
    // What was measured beside a stranger is no part of it; without a second kernel there is no law.
    for (id, measured) in &mut records {
        if !id.contains("beside-0") {
            measured.taints = vec![Taint::ForeignProcess];
        }
    }
    assert_eq!(profile_of(&run, &facts(), &records).contention, None);
}
