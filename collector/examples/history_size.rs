//! How much a day of history takes: eight devices read once a second, written as the daemon writes them.
//!
//! `cargo run --release -p orrery-collector --example history_size [DEVICES] [HOURS]` prints the bytes of the file, of
//! its rows and of the disk, and what writing took. The devices are those of the demonstration, whose every
//! reading is noise to the last digit: real sensors give fewer digits, and pack better.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use orrery_collector::{DemoSource, Retention, Source as _, StoreSettings, write_history};
use orrery_telemetry::{Origin, Sample, UnixTime};
use orrery_units::{Seed, SimDuration, SimTime};

/// An instant in 2023, in milliseconds since the Unix epoch, two minutes before an hour begins.
const BEGIN: u64 = 1_699_999_080_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |usual: u64| arguments.next().map_or(Ok(usual), |text| text.parse());
    let (num_devices, hours) = (number(8)?, number(24)?);
    let folder = tempfile::tempdir()?;
    let mut settings = StoreSettings::new(folder.path().to_owned());
    settings.retention = Retention {
        max_bytes: 1 << 40,
        ..Retention::default()
    };
    let mut source = DemoSource::new(Seed::new(1));
    let seed = Seed::new(2);
    let samples = (0..hours * 3_600).map(|sequence| {
        let mut devices = source.read(sequence).expect("a demonstration can be read");
        devices.truncate(usize::try_from(num_devices).expect("a few devices"));
        // A sampler is late by up to some milliseconds.
        let late = 3.0e-3 * seed.at("late", &[sequence]).uniform();
        let at = Duration::from_secs(sequence) + Duration::from_secs_f64(late);
        let millis = u64::try_from(at.as_millis()).expect("some days");
        Sample {
            source: "demo".to_owned(),
            origin: Origin::Demo,
            sequence,
            at: SimTime::ZERO + SimDuration::from_secs(at.as_secs_f64()),
            taken: UnixTime::from_millis(BEGIN + millis),
            devices,
            host: None,
            collectives: Vec::new(),
        }
    });
    let start = Instant::now();
    let status = write_history(&settings, samples)?;
    let took = start.elapsed().as_secs_f64();
    let mib = |bytes: u64| f64::from(u32::try_from(bytes >> 10).unwrap_or(u32::MAX)) / 1024.0;
    let on_disk = std::fs::metadata(&status.file)?.blocks() * 512;
    writeln!(
        std::io::stdout(),
        "{hours} h of {num_devices} devices at 1 Hz, {} series: file {} bytes ({:.1} MiB), rows {} bytes ({:.1} MiB), \
         disk {} bytes ({:.1} MiB); written in {took:.1} s",
        status.series,
        status.file_bytes,
        mib(status.file_bytes),
        status.stored_bytes,
        mib(status.stored_bytes),
        on_disk,
        mib(on_disk),
    )?;
    Ok(())
}
