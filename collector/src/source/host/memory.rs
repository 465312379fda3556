//! Memory of the machine, and of each of its NUMA nodes.

use orrery_telemetry::{Absence, HostMemory, NumaNode, Reading};
use orrery_units::Bytes;

use super::files::Files;

pub(super) fn read(proc: &Files) -> HostMemory {
    let text = proc.reading("meminfo");
    let part = |name: &str| text.clone().and_then(|text| kibibytes(&text, name));
    HostMemory {
        total: part("MemTotal:"),
        available: part("MemAvailable:"),
        free: part("MemFree:"),
        cached: part("Cached:"),
        locked: part("Mlocked:"),
        swap_total: part("SwapTotal:"),
        swap_free: part("SwapFree:"),
    }
}

/// The nodes that have memory, in the order of their numbers.
pub(super) fn read_nodes(sys: &Files) -> Reading<Vec<NumaNode>> {
    const FOLDER: &str = "devices/system/node";
    sys.names(FOLDER).map(|names| {
        let numbers = names
            .iter()
            .filter_map(|name| name.strip_prefix("node")?.parse().ok());
        let mut numbers: Vec<u32> = numbers.collect();
        numbers.sort_unstable();
        let node = |index: u32| {
            let text = sys.reading(&format!("{FOLDER}/node{index}/meminfo"));
            let statistics = sys.reading(&format!("{FOLDER}/node{index}/numastat"));
            NumaNode {
                index,
                total: text.clone().and_then(|text| kibibytes(&text, "MemTotal:")),
                free: text.and_then(|text| kibibytes(&text, "MemFree:")),
                num_misses: statistics.and_then(|text| number_after(&text, "numa_miss")),
            }
        };
        numbers.into_iter().map(node).collect()
    })
}

/// The bytes of `name` in lines such as `MemTotal:  16000 kB` or `Node 0 MemTotal:  16000 kB`.
fn kibibytes(text: &str, name: &str) -> Reading<Bytes> {
    number_after(text, name).map(|number| Bytes::new(number.saturating_mul(1024)))
}

/// The number after the word `name`. A kernel that does not have the word does not support it.
fn number_after(text: &str, name: &str) -> Reading<u64> {
    let after = text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        words.find(|word| *word == name)?;
        Some(words.next().and_then(|number| number.parse().ok()))
    });
    match after {
        Some(number) => number.ok_or(Absence::NotANumber).into(),
        None => Reading::absent(Absence::NotSupported),
    }
}
