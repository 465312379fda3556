//! Which platform a sweep was measured on, and its machine: what its `#` lines say, and the hardware catalogue.

use orrery_scenario::catalog::{HardwareEntry, hardware, hardware_csv};
use orrery_workload::collective::law::Machine;
use orrery_workload::collective::nccl::Architecture;

use super::prior::Launcher;
use super::table::{Table, field, number, parse};

/// Words for devices, and the row of the catalogue that each means.
const FAMILIES: &str = include_str!("../../../scenarios/hardware/families.csv");

/// A device as platforms are named after it, with what the catalogue knows.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    /// First part of the names of its platforms.
    pub(crate) family: String,
    /// Family whose platform stands in for it.
    pub(crate) like: Option<String>,
    /// Its row of the catalogue.
    entry: HardwareEntry,
    /// Devices that NVLinks join; none over PCIe.
    domain: f64,
    /// Rate of its PCIe port, GB/s.
    pcie: f64,
}

/// A platform: its name, its machine and who launches.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// `device|nic class|launcher`.
    pub(super) name: String,
    /// The platform that stands in for it.
    pub(super) like: Option<String>,
    /// The machine.
    pub(super) machine: Machine,
    /// Who launches.
    pub(super) launcher: Launcher,
    /// Nodes as NVLink domains.
    pub(super) nodes: f64,
}

impl Device {
    /// The device that `text` speaks of; none when no word of it is known.
    ///
    /// # Panics
    /// Never: a test reads both embedded tables.
    pub(crate) fn find(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase().replace(['-', '_'], " ");
        let families = parse(FAMILIES).expect("the embedded families are a table; a test reads them");
        let row = families
            .rows
            .iter()
            .find(|row| text.contains(field(row, "word")))?;
        let name = field(row, "device");
        let entry = hardware(name).ok()?;
        let catalogue = parse(hardware_csv()).expect("the embedded catalogue is a table; a test reads it");
        let facts = catalogue.rows.iter().find(|row| field(row, "gpu") == name)?;
        let linked = field(facts, "nvlink_gen") != "none";
        Some(Self {
            family: field(row, "family").to_owned(),
            like: Some(field(row, "like").to_owned()).filter(|like| !like.is_empty()),
            entry,
            domain: number(facts, "scaleup_gpus").filter(|_| linked).unwrap_or(1.0),
            pcie: number(facts, "pcie_GBps_per_dir").unwrap_or(0.0),
        })
    }

    /// Devices in a node.
    pub(crate) fn num_devices(&self) -> f64 {
        f64::from(self.entry.num_devices)
    }

    /// What a ring reaches on one node, GB/s.
    pub(super) fn ring(&self) -> f64 {
        self.machine(self.num_devices(), 1.0, None).ring()
    }

    /// Rate of one NIC of its node, GB/s.
    pub(super) fn nic(&self) -> f64 {
        self.entry.nic.get() / 1e9
    }

    /// Its architecture.
    pub(super) fn architecture(&self) -> Architecture {
        Architecture::named(&self.entry.device.architecture)
    }

    /// Whether a domain of NVLinks is larger than a node.
    fn racks(&self) -> bool {
        self.domain > self.num_devices()
    }

    /// Nodes as the laws count them: domains of NVLinks where those are larger. Worked: 144 GB200 in 36 nodes: 2.
    pub(crate) fn nodes(&self, ranks: f64, nodes: f64) -> f64 {
        if self.racks() {
            (ranks / self.domain).ceil()
        } else {
            nodes
        }
    }

    /// The machine of `ranks` ranks on `nodes` nodes or domains, whose NICs together have `line` GB/s a node where
    /// that was said. A ring over more devices than NVLinks join runs over PCIe.
    pub(crate) fn machine(&self, ranks: f64, nodes: f64, line: Option<f64>) -> Machine {
        let per_node = ranks / nodes;
        let nvlink = self.domain >= per_node.min(self.num_devices()) && self.domain > 1.0;
        let nics = (per_node * f64::from(self.entry.num_nics) / self.num_devices())
            .round()
            .max(1.0);
        let share = nics / f64::from(self.entry.num_nics);
        let usual = self.entry.nic.get() / 1e9 * nics;
        Machine {
            architecture: self.architecture(),
            scale_up: if nvlink || self.pcie <= 0.0 {
                self.entry.scale_up.get() / 1e9
            } else {
                self.pcie
            },
            nvlink,
            num_nics: count(nics),
            network: line.map_or(usual, |line| line * share),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count of NICs; casts saturate"
)]
const fn count(nics: f64) -> u32 {
    nics as u32
}

/// The place of a sweep of `ranks` ranks on `nodes` nodes; none when the device is not known.
pub(super) fn place(table: &Table, file: &str, ranks: f64, nodes: f64) -> Option<Place> {
    let device = Device::find(&format!("{} {file}", table.fact("gpu")))?;
    let remarks = table.remarks();
    let nodes = device.nodes(ranks, nodes);
    let nic = table.fact("nic");
    // Lines tell of a tray what the catalogue tells of a device.
    let line = line_rate(nic).filter(|_| !device.racks());
    let launch = launcher(&remarks);
    let class = if launch == "threads" {
        "none"
    } else {
        nic_class(nic, &remarks)
    };
    let named = |family: &str| format!("{family}|{class}|{launch}");
    Some(Place {
        name: named(&device.family),
        like: device.like.as_deref().map(named),
        machine: device.machine(ranks, nodes, line),
        launcher: if matches!(launch, "mpi" | "threads") {
            Launcher::PerDevice
        } else {
            Launcher::OneProcess
        },
        nodes,
    })
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

    #[test]
    fn every_family_is_in_the_catalogue() {
        let families = parse(FAMILIES).expect("it is a table");
        for row in &families.rows {
            let found = Device::find(field(row, "word")).expect("its device is in the catalogue");
            assert_eq!(found.family, field(row, "family"));
            assert_eq!(found.entry.device.name, field(row, "device"));
        }
        assert!(Device::find("TPU v5").is_none());
    }

    /// A PCIe card is no SXM module, and a gaming card no workstation card.
    #[test]
    fn devices_are_told_apart() {
        for (name, family, nvlink) in [
            ("H100-PCIe-80GB", "h100-pcie", false),
            ("RTX-4090", "rtx-4090", false),
            ("NVIDIA H100 80GB HBM3", "h100", true),
            ("RTX 6000D (PCIe, no NVLink)", "rtx-6000d", false),
            ("A100-SXM4-40GB", "a100", true),
            ("GB200 (NVL72, 2 racks)", "gb200", true),
        ] {
            let device = Device::find(name).expect(name);
            assert_eq!(device.family, family, "{name}");
            assert_eq!(device.machine(8.0, 1.0, None).nvlink, nvlink, "{name}");
        }
        let h800 = Device::find("H800").expect("it is in the catalogue");
        assert!((h800.ring() - 160.0).abs() < 1e-9);
        let racks = Device::find("GB200").expect("it is in the catalogue");
        assert!((racks.nodes(144.0, 36.0) - 2.0).abs() < 1e-9);
        assert!((racks.machine(144.0, 2.0, None).network - 3600.0).abs() < 1e-9);
    }
}
