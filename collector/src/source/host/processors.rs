//! The time of all processors, and the load.

use orrery_telemetry::{Absence, Cpu, Nanoseconds, Reading};

use super::files::Files;

/// Ticks of `/proc/stat` in a second: `USER_HZ`, which is 100 on every machine that Linux runs on.
const NANOS_PER_TICK: u64 = 10_000_000;

pub(super) fn read(proc: &Files) -> Cpu {
    let (num_online, ticks) = match proc.reading("stat") {
        Reading::Value(text) => (count_online(&text), ticks(&text)),
        Reading::Absent { absent } => (Reading::absent(absent.clone()), Reading::absent(absent)),
    };
    // As proc_stat(5) has them: user nice system idle iowait irq softirq steal; guests are counted in user.
    let time = |places: &'static [usize]| {
        ticks.clone().map(|ticks| {
            let sum: u64 = places.iter().map(|&place| ticks[place]).sum();
            Nanoseconds::new(sum.saturating_mul(NANOS_PER_TICK))
        })
    };
    Cpu {
        num_online,
        user: time(&[0, 1]),
        system: time(&[2, 5, 6]),
        idle: time(&[3]),
        io_wait: time(&[4]),
        stolen: time(&[7]),
        load_1min_hundredths: proc.reading("loadavg").and_then(|text| hundredths(&text)),
    }
}

fn count_online(stat: &str) -> Reading<u32> {
    let is_one = |line: &&str| {
        line.strip_prefix("cpu")
            .is_some_and(|rest| rest.starts_with(|digit: char| digit.is_ascii_digit()))
    };
    u32::try_from(stat.lines().filter(is_one).count())
        .map_err(|_too_many| Absence::NotANumber)
        .into()
}

/// The first eight numbers of the line of all processors.
fn ticks(stat: &str) -> Reading<[u64; 8]> {
    let find = || -> Option<[u64; 8]> {
        let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let mut numbers = line.split_whitespace().map(str::parse);
        let mut ticks = [0; 8];
        for tick in &mut ticks {
            *tick = numbers.next()?.ok()?;
        }
        Some(ticks)
    };
    find().ok_or(Absence::NotANumber).into()
}

/// `0.52` as 52.
fn hundredths(loadavg: &str) -> Reading<u64> {
    let find = || -> Option<u64> {
        let (whole, part) = loadavg.split_whitespace().next()?.split_once('.')?;
        let part: u64 = format!("{part:0<2}").get(..2)?.parse().ok()?;
        whole.parse::<u64>().ok()?.checked_mul(100)?.checked_add(part)
    };
    find().ok_or(Absence::NotANumber).into()
}
