//! Which platform a sweep was measured on, and its machine, from what its `#` lines say.

use orrery_workload::collective::law::{Launcher, Machine};
use orrery_workload::collective::nccl::Architecture;

use super::table::Table;

/// Device families: name, architecture, ring bus bandwidth that NCCL's search finds on one node (GB/s; `search.cc`
/// and `topo.h`, see `nccl::Graph`), NICs of a node (GB/s), whether there is NVLink. The first whose name is in
/// the text counts. Boxes without NVLink: PCIe 4 and 5 as a ring of two was measured (aic_l40s, aic_rtx_pro_6000).
const FAMILIES: [(&str, Architecture, f64, f64, bool); 13] = [
    ("gb300", Architecture::Blackwell, 720.0, 200.0, true),
    ("gb200", Architecture::Blackwell, 720.0, 200.0, true),
    ("b300", Architecture::Blackwell, 720.0, 400.0, true),
    ("b200", Architecture::Blackwell, 720.0, 400.0, true),
    ("h800", Architecture::Hopper, 160.0, 400.0, true),
    ("h200", Architecture::Hopper, 360.0, 400.0, true),
    ("h100", Architecture::Hopper, 360.0, 400.0, true),
    ("h20", Architecture::Hopper, 360.0, 400.0, true),
    ("a800", Architecture::Ampere, 160.0, 200.0, true),
    ("a100", Architecture::Ampere, 240.0, 200.0, true),
    ("l40s", Architecture::Ampere, 20.0, 100.0, false),
    ("rtx", Architecture::Blackwell, 40.0, 400.0, false),
    ("v100", Architecture::Volta, 120.0, 50.0, true),
];

/// Devices of an NVL72 rack.
const RACK: f64 = 72.0;

/// A platform: its name, its machine and who launches.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// `device|nic class|launcher`.
    pub(super) name: String,
    /// The machine.
    pub(super) machine: Machine,
    /// Who launches.
    pub(super) launcher: Launcher,
    /// Nodes as NVLink domains.
    pub(super) nodes: f64,
}

/// The place of a sweep of `ranks` ranks on `nodes` nodes; none when the device is not known.
pub(super) fn place(table: &Table, file: &str, ranks: f64, nodes: f64) -> Option<Place> {
    let device = format!("{} {}", table.fact("gpu"), file).to_ascii_lowercase();
    let &(family, architecture, ring, default, nvlink) =
        FAMILIES.iter().find(|(family, ..)| device.contains(family))?;
    let remarks = table.remarks();
    let racks = family.starts_with("gb");
    let nodes = if racks { (ranks / RACK).ceil() } else { nodes };
    let nic = table.fact("nic");
    let network = if racks {
        50.0 * ranks / nodes
    } else {
        line_rate(nic).unwrap_or(default)
    };
    let launch = launcher(&remarks);
    let class = if launch == "threads" {
        "none"
    } else {
        nic_class(nic, &remarks)
    };
    Some(Place {
        name: format!("{family}|{class}|{launch}"),
        machine: Machine {
            architecture,
            ring,
            network,
            nvlink,
        },
        launcher: if matches!(launch, "mpi" | "threads") {
            Launcher::PerDevice
        } else {
            Launcher::OneProcess
        },
        nodes,
    })
}

/// What a ring of the device called so reaches on one node, GB/s.
pub(super) fn ring(device: &str) -> Option<f64> {
    let device = device.to_ascii_lowercase();
    // Tables that name an architecture mean its usual member.
    let device = device.replace("sm100", "b200").replace("sm90", "h100");
    let found = FAMILIES.iter().find(|(family, ..)| device.contains(family))?;
    Some(found.2)
}

fn launcher(remarks: &str) -> &'static str {
    let says = |words: &[&str]| words.iter().any(|word| remarks.contains(word));
    if says(&["torch", "all_reduce_bench"]) {
        "torch"
    } else if says(&["-t n threads", "one process with -t"]) {
        "threads"
    } else if says(&["single process", "launch-bound", "ai-benchmarking-guide"]) {
        "one-process"
    } else {
        "mpi"
    }
}

/// Class of the NICs; one node has the class of the clusters of its kind, unless its plugins say otherwise.
fn nic_class(nic: &str, remarks: &str) -> &'static str {
    if remarks.contains("fabric unknown") {
        "unknown"
    } else if nic.contains("EFA") || remarks.contains("aws ofi") {
        "efa"
    } else if nic.contains("TCPXO") {
        "tcpxo"
    } else if nic.contains("TCPX") {
        "tcpx"
    } else if nic.contains("RoCE") && !nic.contains("IB/") {
        "roce"
    } else {
        "ib"
    }
}

/// Line rate of a node's NICs in GB/s, from `8x400 Gb/s`, `8x CX7 400 Gb/s` or `1600 Gb/s per node`.
fn line_rate(nic: &str) -> Option<f64> {
    let before = nic.split("Gb/s").next()?;
    let rate_text = before.trim().rsplit([' ', 'x']).next()?;
    let rate: f64 = rate_text.parse().ok()?;
    let head = before.trim().strip_suffix(rate_text)?;
    let count = head.rsplit_once('x').and_then(|(count, _)| {
        let digits = count.rsplit(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse::<f64>().ok()
    });
    match count {
        Some(count) => Some(count * rate / 8.0),
        None if rate > 800.0 => Some(rate / 8.0),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_rates_are_read() {
        let near = |text: &str, rate: f64| {
            let got = line_rate(text).unwrap_or(-1.0);
            assert!((got - rate).abs() < 1e-9, "{text}: {got}");
        };
        near("8x CX7 400 Gb/s NDR InfiniBand per node", 400.0);
        near("4x100 Gb/s EFA (SRD) per node", 50.0);
        near("32x100 Gb/s EFA per node = 3200 Gb/s", 400.0);
        near("RoCE 1600 Gb/s per node", 200.0);
        near("RoCE 16x200 Gb/s = 3200 Gb/s per node", 400.0);
        near("8x NDR 400 Gb/s per node", 400.0);
        assert!(line_rate("HDR 200 Gb/s InfiniBand").is_none());
    }
}
