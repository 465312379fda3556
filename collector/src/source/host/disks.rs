//! The disks: whole ones, without loops and memory that plays a disk.

use orrery_telemetry::{Disk, Nanoseconds, Reading};
use orrery_units::Bytes;

use super::files::Files;

/// The unit of `/proc/diskstats`, whatever the disk's own is.
const SECTOR: u64 = 512;
/// Disks that are kept: names become labels.
const MOST: usize = 64;

pub(super) fn read(proc: &Files, sys: &Files) -> Reading<Vec<Disk>> {
    let is_real = |name: &String| {
        !["loop", "ram", "zram", "fd", "sr"]
            .iter()
            .any(|kind| name.starts_with(kind))
    };
    sys.names("block").and_then(|names| {
        let names: Vec<String> = names.into_iter().filter(is_real).take(MOST).collect();
        proc.reading("diskstats").map(|text| {
            let mut disks: Vec<Disk> = text.lines().filter_map(|line| disk(line, &names)).collect();
            disks.sort_by(|one, other| one.name.cmp(&other.name));
            disks
        })
    })
}

/// The disk of a line, if it is one of `names`. The fields are those of the kernel's iostats.rst, counted from the
/// name: reads, merged, sectors, time; the same for writes; in flight, time with any in flight.
fn disk(line: &str, names: &[String]) -> Option<Disk> {
    let mut words = line.split_whitespace().skip(2);
    let name = words
        .next()
        .filter(|name| names.iter().any(|known| known == name))?;
    let mut fields = [0u64; 10];
    for field in &mut fields {
        *field = words.next()?.parse().ok()?;
    }
    Some(Disk {
        name: name.to_owned(),
        read: Bytes::new(fields[2].saturating_mul(SECTOR)),
        written: Bytes::new(fields[6].saturating_mul(SECTOR)),
        num_requests: fields[0].saturating_add(fields[4]),
        busy: Nanoseconds::new(fields[9].saturating_mul(1_000_000)),
    })
}
