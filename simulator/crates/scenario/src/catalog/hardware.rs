//! The hardware catalogue: scenarios/hardware/hardware.csv, and the other names of its devices.

use std::sync::LazyLock;

use orrery_operation::Precision;
use orrery_units::{Bytes, BytesPerSec, FlopsPerSec, Watts};

use crate::plan::Device;

/// A device of the catalogue and the node that it usually stands in.
#[derive(Clone, Debug, PartialEq)]
pub struct HardwareEntry {
    /// The device.
    pub device: Device,
    /// Bandwidth to the other devices of a node, one way: over NVLink or its like, else over PCIe.
    pub scale_up: BytesPerSec,
    /// Devices in a node.
    pub num_devices: u32,
    /// NICs in a node.
    pub num_nics: u32,
    /// Rate of one NIC, one way.
    pub nic: BytesPerSec,
}

/// The catalogue as it stands in scenarios/hardware/hardware.csv.
#[must_use]
pub const fn hardware_csv() -> &'static str {
    include_str!("../../../../../scenarios/hardware/hardware.csv")
}

/// Published clusters, as they stand in scenarios/hardware/pods.csv.
#[must_use]
pub const fn pods_csv() -> &'static str {
    include_str!("../../../../../scenarios/hardware/pods.csv")
}

/// Other names of a device: product families mean their most common member.
const ALIASES: &[(&str, &str)] = &[
    ("a100", "A100-SXM4-80GB"),
    ("a100-sxm", "A100-SXM4-80GB"),
    ("a100-80gb", "A100-SXM4-80GB"),
    ("a100-40gb", "A100-SXM4-40GB"),
    ("a800", "A800-SXM4-80GB"),
    ("h100", "H100-SXM5-80GB"),
    ("h100-sxm", "H100-SXM5-80GB"),
    ("h100-sxm5", "H100-SXM5-80GB"),
    ("h100-80gb", "H100-SXM5-80GB"),
    ("h100-pcie", "H100-PCIe-80GB"),
    ("h800", "H800-SXM5-80GB"),
    ("h800-sxm", "H800-SXM5-80GB"),
    ("h200", "H200-SXM-141GB"),
    ("h200-sxm", "H200-SXM-141GB"),
    ("h20", "H20-96GB"),
    ("b200", "B200-SXM-180GB"),
    ("b200-sxm", "B200-SXM-180GB"),
    ("b300", "B300-SXM-288GB"),
    ("gb200", "GB200-186GB"),
    ("gb300", "GB300-288GB"),
    ("mi300x", "MI300X-192GB"),
    ("mi355x", "MI355X-288GB"),
    ("4090", "RTX-4090"),
    ("l40s", "L40S-48GB"),
];

/// One row of the hardware catalogue.
pub(crate) struct Row<'h> {
    headers: &'h csv::StringRecord,
    record: &'h csv::StringRecord,
}

impl Row<'_> {
    /// What stands in `column`, unless it is empty or there is no such column.
    pub(crate) fn get(&self, column: &str) -> Option<&str> {
        let at = self.headers.iter().position(|header| header == column)?;
        self.record.get(at).filter(|text| !text.is_empty())
    }
}

/// The header and the rows of the hardware catalogue, read once.
fn table() -> &'static (csv::StringRecord, Vec<csv::StringRecord>) {
    static TABLE: LazyLock<(csv::StringRecord, Vec<csv::StringRecord>)> = LazyLock::new(|| {
        let mut reader = csv::ReaderBuilder::new()
            .comment(Some(b'#'))
            .from_reader(hardware_csv().as_bytes());
        let headers = reader
            .headers()
            .expect("the embedded catalogue has a header; a test reads it")
            .clone();
        (headers, reader.records().filter_map(Result::ok).collect())
    });
    &TABLE
}

/// What `read` makes of every row of the hardware catalogue, in its order.
pub(crate) fn rows<T>(read: impl Fn(&Row<'_>) -> Option<T>) -> Vec<T> {
    let (headers, records) = table();
    records
        .iter()
        .filter_map(|record| read(&Row { headers, record }))
        .collect()
}

/// Every device of the catalogue, in its order.
fn all() -> Vec<HardwareEntry> {
    rows(|row| entry(&|column: &str| row.get(column)))
}

/// The name of every device of the catalogue, in its order.
#[must_use]
pub fn device_names() -> Vec<String> {
    all().into_iter().map(|entry| entry.device.name).collect()
}

/// The device called `name`: a catalogue name in any case, or one of its other names; and else every
/// name that there is.
///
/// # Errors
/// The names of the catalogue, when none is `name`.
pub fn hardware(name: &str) -> Result<HardwareEntry, Vec<String>> {
    let wanted = name.to_ascii_lowercase().replace(['_', ' '], "-");
    let wanted = ALIASES
        .iter()
        .find(|(alias, _)| *alias == wanted)
        .map_or(wanted, |(_, full)| full.to_ascii_lowercase());
    let entries = all();
    entries
        .iter()
        .find(|entry| entry.device.name.to_ascii_lowercase() == wanted)
        .cloned()
        .ok_or_else(device_names)
}

fn entry<'a>(field: &impl Fn(&str) -> Option<&'a str>) -> Option<HardwareEntry> {
    let number = |name: &str| field(name)?.parse::<f64>().ok();
    let count = |name: &str| field(name)?.parse::<u32>().ok();
    let peaks = Precision::ALL
        .into_iter()
        .filter_map(|precision| {
            let teraflops = number(precision.name())?;
            Some((precision, FlopsPerSec::new(teraflops * 1e12)))
        })
        .collect();
    Some(HardwareEntry {
        device: Device {
            name: field("gpu")?.to_owned(),
            architecture: field("arch")?.to_owned(),
            peaks,
            memory: gigabytes(number("hbm_GB")?),
            memory_bandwidth: BytesPerSec::new(number("hbm_GBps")? * 1e9),
            num_units: count("sm_count")?,
            power_limit: Watts(number("tdp_W")?),
            power_cap: None,
        },
        scale_up: number("nvlink_GBps_per_dir")
            .filter(|&rate| rate > 0.0)
            .or_else(|| number("pcie_GBps_per_dir"))
            .map(|rate| BytesPerSec::new(rate * 1e9))?,
        num_devices: count("default_gpus_per_node")?,
        num_nics: count("default_nics_per_node")?,
        nic: BytesPerSec::new(number("default_nic_Gbps")? * 1e9 / 8.0),
    })
}

/// Device memory by its name: an "80 GB" part holds 80 GiB.
fn gigabytes(named: f64) -> Bytes {
    Bytes::from_f64(named * 1024.0 * 1024.0 * 1024.0)
}
