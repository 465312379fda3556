//! What went over NVLink and PCIe.

use std::borrow::Cow;

use orrery_telemetry::{Absence, DeviceSample, Link, Reading};
use orrery_units::Bytes;

use super::{
    Metric, Rows, alone, counter_of, gauge_of, labelled, labelled_reading, plain_gauge, rate, whole,
};
use crate::metrics::Number;

pub(super) static METRICS: [Metric; 11] = [
    gauge_of(
        "orrery_gpu_pcie_receive",
        "bytes_per_second",
        "Received over PCIe",
        |d| rate(&d.activity.pcie_receive),
    ),
    gauge_of(
        "orrery_gpu_pcie_transmit",
        "bytes_per_second",
        "Sent over PCIe",
        |d| rate(&d.activity.pcie_transmit),
    ),
    counter_of(
        "orrery_gpu_nvlink_receive",
        Some("bytes"),
        "Received over NVLink",
        |d| by_link(d, &d.nvlink.receive, |link| &link.receive),
    ),
    counter_of(
        "orrery_gpu_nvlink_transmit",
        Some("bytes"),
        "Sent over NVLink",
        |d| by_link(d, &d.nvlink.transmit, |link| &link.transmit),
    ),
    plain_gauge("orrery_gpu_nvlink_up", "The link is up", |d| {
        match &d.nvlink.links {
            Reading::Value(links) => {
                let row = |link: &Link| labelled("link", link_name(link.index), Number::from(link.is_active));
                links.iter().map(row).collect()
            }
            Reading::Absent { absent } => vec![(Vec::new(), Reading::absent(absent.clone()))],
        }
    }),
    counter_of(
        "orrery_gpu_nvlink_errors",
        None,
        "Errors of the link",
        link_errors,
    ),
    counter_of(
        "orrery_gpu_pcie_receive",
        Some("bytes"),
        "Received over PCIe; may wrap",
        |d| bytes(&d.pcie.receive),
    ),
    counter_of(
        "orrery_gpu_pcie_transmit",
        Some("bytes"),
        "Sent over PCIe; may wrap",
        |d| bytes(&d.pcie.transmit),
    ),
    counter_of(
        "orrery_gpu_pcie_replay",
        None,
        "Packets that PCIe sent again",
        |d| alone(&d.pcie.replays, whole),
    ),
    plain_gauge(
        "orrery_gpu_pcie_generation",
        "Generation of the PCIe link now",
        |d| small(&d.pcie.generation),
    ),
    plain_gauge("orrery_gpu_pcie_lanes", "Lanes of the PCIe link now", |d| {
        small(&d.pcie.lanes)
    }),
];

/// The number of a link as a label; those that devices have cost nothing.
fn link_name(index: u32) -> Cow<'static, str> {
    const NAMES: [&str; 18] = [
        "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17",
    ];
    let name = usize::try_from(index).ok().and_then(|index| NAMES.get(index));
    name.map_or_else(|| index.to_string().into(), |&name| name.into())
}

fn small(reading: &Reading<u32>) -> Rows {
    alone(reading, |number| Number::Whole(u64::from(*number)))
}

fn bytes(reading: &Reading<Bytes>) -> Rows {
    alone(reading, |bytes| Number::Whole(bytes.get()))
}

/// By link, where links count by themselves; else under `all`.
fn by_link(device: &DeviceSample, all: &Reading<Bytes>, of: impl Fn(&Link) -> &Reading<Bytes>) -> Rows {
    let number = |bytes: &Bytes| Number::Whole(bytes.get());
    let links = device.nvlink.links.value().into_iter().flatten();
    let links = links.filter(|link| link.is_active && of(link).value().is_some());
    let rows: Rows = links
        .map(|link| labelled_reading("link", link_name(link.index), of(link), number))
        .collect();
    if rows.is_empty() {
        return match all {
            Reading::Value(_) => vec![labelled_reading("link", "all", all, number)],
            Reading::Absent { .. } => alone(all, number),
        };
    }
    rows
}

fn link_errors(device: &DeviceSample) -> Rows {
    let links = match &device.nvlink.links {
        Reading::Value(links) => links,
        Reading::Absent { absent } => return vec![(Vec::new(), Reading::absent(absent.clone()))],
    };
    let rows = links.iter().filter(|link| link.is_active).flat_map(|link| {
        let errors = &link.errors;
        let kinds = [
            ("replay", &errors.replay),
            ("recovery", &errors.recovery),
            ("crc", &errors.crc),
            ("effective", &errors.effective),
        ];
        // What one generation of links counts another does not: that is no lack.
        let counted = kinds
            .into_iter()
            .filter(|(_, count)| count.absence() != Some(&Absence::NotSupported));
        counted.map(|(kind, count)| {
            let (mut labels, number) = labelled_reading("link", link_name(link.index), count, whole);
            labels.push(("kind", kind.into()));
            (labels, number)
        })
    });
    rows.collect()
}
