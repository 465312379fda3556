//! The store from inside: what is written comes back, in every tier, whatever happens between.

mod damage;
mod kill;

use std::path::Path;
use std::sync::Arc;

use orrery_telemetry::{Absence, DeviceIdentity, DeviceSample, Origin, Reading, Sample, UnixTime};
use orrery_units::{Bytes, Joules, Seed, SimTime, Watts};
use redb::Database;

use super::column::rounded;
use super::query::View;
use super::tier::{Bucket, WINDOW, downsample};
use super::writer::Writer;
use super::{FILE, Retention, file};

/// An instant at which a window begins, in milliseconds since the Unix epoch.
const BEGIN: u64 = 1_699_999_200_000;

/// The power of the sample number `sequence`, in watts: noise of six digits, which is what packs worst.
fn power_at(sequence: u64) -> f64 {
    rounded(100.0 + 600.0 * Seed::new(3).at("power", &[sequence]).uniform())
}

/// A sample of `num` devices, taken at `at`; a device has its memory in odd samples only.
fn sample(sequence: u64, at: u64, num: u32) -> Sample {
    let device = |index| {
        let identity = DeviceIdentity {
            node: "node-0".to_owned(),
            index,
            uuid: format!("GPU-{index}"),
            model: "model".to_owned(),
        };
        let mut device = DeviceSample::absent(identity, &Absence::NotSupported);
        device.power = Reading::Value(Watts(power_at(sequence)));
        device.energy = Reading::Value(Joules(0.1 + f64::from(u32::try_from(sequence).unwrap())));
        if sequence % 2 == 1 {
            device.memory_used = Reading::Value(Bytes::new((80 << 30) - sequence));
        }
        device
    };
    Sample {
        source: "nvml".to_owned(),
        origin: Origin::Fake,
        sequence,
        at: SimTime::ZERO,
        taken: UnixTime::from_millis(at),
        devices: (0..num).map(device).collect(),
        host: None,
        collectives: Vec::new(),
    }
}

fn open(folder: &Path) -> Arc<Database> {
    Arc::new(file::open(&folder.join(FILE)).unwrap())
}

/// What the file has of `metric` of device 0.
fn stored(database: &Database, metric: &str, span: std::ops::Range<u64>, step: u64) -> Vec<Bucket> {
    let mut view = View::new(database).unwrap();
    let mut series = view.series().iter();
    let of_device = series.find(|(_, key)| key.metric == metric && key.labels["gpu"] == "0");
    let Some((&number, _)) = of_device else {
        return Vec::new();
    };
    let found = view.read(number, span, step).unwrap();
    assert_eq!(view.num_damaged(), 0);
    found
}

const POWER: &str = "orrery_gpu_power_watts";
const ALL: std::ops::Range<u64> = 0..u64::MAX / 2;

/// Commits one sample a second from [`BEGIN`] on, `at_once` at a time, and makes the tiers that can be made.
fn write(writer: &mut Writer, sequences: std::ops::Range<u64>, at_once: usize, num: u32) {
    let samples: Vec<Sample> = sequences.map(|n| sample(n, BEGIN + n * 1_000, num)).collect();
    for samples in samples.chunks(at_once) {
        writer.commit(samples).unwrap();
        while writer.roll_one().unwrap() {}
    }
}

#[test]
fn what_is_written_comes_back_from_rows_and_from_the_journal_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path());
    let mut writer = Writer::load(database.clone()).unwrap();
    write(&mut writer, 0..1_000, 7, 2);
    drop(writer);
    let mut writer = Writer::load(database.clone()).unwrap();
    write(&mut writer, 1_000..1_500, 7, 2);
    let expected: Vec<Bucket> = (0..1_500)
        .map(|n| Bucket::of(BEGIN + n * 1_000, power_at(n)))
        .collect();
    assert_eq!(stored(&database, POWER, ALL, 0), expected);
    // Part of it, and a metric that only every other sample has, to the byte.
    let part = stored(&database, POWER, BEGIN + 590_000..BEGIN + 610_000, 0);
    assert_eq!(part, expected[590..610]);
    let memory = stored(&database, "orrery_gpu_memory_used_bytes", ALL, 0);
    assert_eq!(memory.len(), 750);
    #[expect(clippy::cast_precision_loss, reason = "bytes are below 2^53")]
    let expected = Bucket::of(BEGIN + 701_000, ((80u64 << 30) - 701) as f64);
    assert_eq!(memory[350], expected);
    // A counter is kept to the last bit.
    let energy = stored(&database, "orrery_gpu_energy_joules_total", ALL, 0);
    assert_eq!(energy[1_234].mean.to_bits(), (0.1 + 1_234.0f64).to_bits());
}

#[test]
fn every_step_is_what_the_values_give_wherever_they_lie() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path());
    let mut writer = Writer::load(database.clone()).unwrap();
    // Two whole windows, whose tiers are made, and part of a third.
    write(&mut writer, 0..8_000, 100, 1);
    let values = || (0..8_000).map(|n| Bucket::of(BEGIN + n * 1_000, power_at(n)));
    for step in [7_000, 10_000, 60_000, 300_000, 900_000, 5_000_000] {
        let found = stored(&database, POWER, ALL, step);
        let expected = downsample(values(), step);
        assert_eq!(found.len(), expected.len(), "step {step}");
        for (found, expected) in found.iter().zip(&expected) {
            let exact = |b: &Bucket| (b.start, b.width, b.min.to_bits(), b.max.to_bits(), b.num);
            assert_eq!(exact(found), exact(expected), "step {step}");
            // A mean out of a tier is one of means of six digits.
            assert!(
                (found.mean - expected.mean).abs() <= 5.1e-6 * expected.mean,
                "{found:?} {expected:?}"
            );
        }
    }
}

#[test]
fn a_clock_that_is_set_back_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path());
    let mut writer = Writer::load(database.clone()).unwrap();
    write(&mut writer, 0..4_000, 100, 1);
    // An hour back, into a window whose tiers are made.
    write(&mut writer, 400..410, 1, 1);
    write(&mut writer, 4_000..4_001, 1, 1);
    let again = stored(&database, POWER, BEGIN + 400_000..BEGIN + 410_000, 0);
    assert_eq!(again.len(), 20);
    let counted = stored(&database, POWER, BEGIN + 400_000..BEGIN + 410_000, 10_000);
    assert_eq!((counted.len(), counted[0].num), (1, 20));
    assert_eq!(stored(&database, POWER, ALL, 0).len(), 4_011);
}

#[test]
fn age_takes_what_is_read_before_the_tiers() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path());
    let mut writer = Writer::load(database.clone()).unwrap();
    let windows = 6;
    let num = windows * WINDOW / 1_000;
    write(&mut writer, 0..num, 300, 1);
    let hour = std::time::Duration::from_secs(3_600);
    let keep = Retention {
        raw: 2 * hour,
        ten_seconds: 4 * hour,
        five_minutes: 100 * hour,
        max_bytes: 1 << 30,
    };
    let now = BEGIN + windows * WINDOW;
    let before = writer.stored();
    writer.retain(&keep, now).unwrap();
    assert!(writer.stored() < before, "{} {before}", writer.stored());
    // A row goes once its last value may, so that up to an hour more is there.
    let raw = stored(&database, POWER, BEGIN..now, 0);
    assert_eq!(
        raw.iter().find(|b| b.width == 0).unwrap().start,
        BEGIN + 3 * WINDOW
    );
    let widths: std::collections::BTreeSet<u64> = raw.iter().map(|b| b.width).collect();
    assert_eq!(
        widths,
        [0, 10_000, 300_000].into(),
        "what is gone is there in coarser buckets"
    );
    let coarse = stored(&database, POWER, BEGIN..now, 300_000);
    assert_eq!(coarse.len(), 72, "every five minutes of six hours");
    assert!(coarse.iter().all(|b| b.num == 300), "{coarse:?}");
    // When all is too old, the series goes as well.
    drop(writer);
    let mut writer = Writer::load(database.clone()).unwrap();
    writer.retain(&keep, now + 200 * WINDOW).unwrap();
    let view = View::new(&database).unwrap();
    assert!(
        view.series().values().all(|key| key.labels["gpu"] == "0"),
        "the open row holds them"
    );
    assert_eq!(stored(&database, POWER, BEGIN..now - WINDOW, 0), []);
}

#[test]
fn size_takes_the_oldest_and_the_file_stays_as_small_as_was_asked() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path());
    let mut writer = Writer::load(database.clone()).unwrap();
    let keep = Retention {
        max_bytes: 3 << 20,
        ..Retention::default()
    };
    let mut largest = 0;
    let mut now = 0;
    for window in 0..24 {
        let each = WINDOW / 1_000;
        write(&mut writer, window * each..(window + 1) * each, 300, 8);
        now = BEGIN + (window + 1) * WINDOW;
        writer.retain(&keep, now).unwrap();
        largest = largest.max(folder.path().join(FILE).metadata().unwrap().len());
    }
    assert!(largest <= keep.max_bytes, "{largest} bytes");
    let raw = stored(&database, POWER, BEGIN..now, 0);
    let kept = raw.iter().filter(|b| b.width == 0).count();
    assert!((1..86_400).contains(&kept), "{kept} values are left");
    assert!(raw.iter().any(|b| b.width > 0), "the tiers outlive them");
}
