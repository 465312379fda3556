//! Scale-up links of NCCL's topology file: to a switch, to each other, or to the host.

use orrery_units::{BytesPerSec, SimDuration};
use roxmltree::Node;

use super::nccl_xml::{Reader, line_of};
use crate::cluster::device::wiring_of_capability;
use crate::cluster::link::{LinkKind, VertexKind, Wire};
use crate::import::Line;

/// One NVLink of Volta, one way: what NCCL assumes of it, 20 GB/s (`src/graph/topo.h`); the hardware catalogue
/// begins with Ampere.
const OLD_LINK_RATE: f64 = 20e9;

/// The class of an NVLink bridge to a host (Power).
const HOST_CLASS: &str = "0x068001";
const DISPLAY_CLASS: &str = "0x03";

/// More links than any device has.
const MOST_LINKS: u32 = 1024;

/// A device and where it hangs.
#[derive(Clone, Debug)]
pub(super) struct Plug<'a> {
    pub(super) bus: String,
    pub(super) vertex: u32,
    pub(super) host_bridge: u32,
    pub(super) host: u32,
    pub(super) element: Option<Node<'a, 'a>>,
}

/// What one device has.
#[derive(Debug, Default)]
struct Links {
    to_switch: u32,
    to_host: u32,
    /// Line, position of the other device, links.
    to_devices: Vec<(usize, usize, u32)>,
}

/// Lays all scale-up and chip-to-chip links.
pub(super) fn lay_scale_up(reader: &mut Reader<'_>) {
    let devices = reader.devices.clone();
    let all: Vec<Links> = devices
        .iter()
        .map(|device| links(reader, device, &devices))
        .collect();
    let rates: Vec<BytesPerSec> = devices.iter().map(|device| link_rate(reader, device)).collect();
    let latency = reader.usual.scale_up_latency.as_picos();
    let wire = |rate: BytesPerSec, links: u32, share: u64| {
        let latency = SimDuration::from_picos(latency / share);
        Wire::new(LinkKind::ScaleUp, rate.scaled(f64::from(links)), latency)
    };
    if all.iter().any(|links| links.to_switch > 0) {
        // NCCL takes all switches for one: they do not block.
        let switch = reader.builder.vertex(VertexKind::ScaleUpSwitch, None);
        for ((device, links), &rate) in devices.iter().zip(&all).zip(&rates) {
            if links.to_switch > 0 {
                reader
                    .builder
                    .cable(device.vertex, switch, wire(rate, links.to_switch, 2));
            }
        }
    }
    for (position, links) in all.iter().enumerate() {
        if links.to_host > 0 {
            let bridge = devices[position].host_bridge;
            reader.builder.cable(
                devices[position].vertex,
                bridge,
                wire(rates[position], links.to_host, 1),
            );
        }
        for &(line, other, count) in &links.to_devices {
            let back = all[other].to_devices.iter().find(|link| link.1 == position);
            if back.is_none_or(|back| back.2 != count) {
                let back = back.map_or(0, |back| back.2);
                let message = format!(
                    "{count} links from `{}` to `{}`, but {back} back",
                    devices[position].bus, devices[other].bus
                );
                reader.faults.push(super::ImportFault::new(
                    line,
                    message,
                    "links go both ways: give both devices the same `count`, or dump the file again",
                ));
            } else if position < other {
                let wire = wire(rates[position], count, 1);
                reader
                    .builder
                    .cable(devices[position].vertex, devices[other].vertex, wire);
            }
        }
        chip_to_chip(reader, &devices[position]);
    }
}

fn links(reader: &mut Reader<'_>, device: &Plug<'_>, devices: &[Plug<'_>]) -> Links {
    let mut links = Links::default();
    let elements = device.element.into_iter().flat_map(|gpu| gpu.children());
    for link in elements.filter(Node::is_element) {
        let (class, target) = (
            link.attribute("tclass").unwrap_or_default(),
            link.attribute("target").unwrap_or_default().to_ascii_lowercase(),
        );
        match link.tag_name().name() {
            "nvlink" => {}
            "c2c" => continue,
            other => {
                let from = format!("line {}", line_of(link));
                reader
                    .report
                    .unknown
                    .push(Line::new(other, "an element of a gpu", from));
                continue;
            }
        }
        let count = link
            .attribute("count")
            .and_then(|count| count.parse::<u32>().ok());
        let Some(count) = count.filter(|count| (1..=MOST_LINKS).contains(count)) else {
            let message = "an `nvlink` without a `count` of links".to_owned();
            reader.fault(
                link,
                message,
                "write how many links lead there, such as `count=\"18\"`",
            );
            continue;
        };
        if class.starts_with(DISPLAY_CLASS) {
            let other = devices
                .iter()
                .position(|other| other.bus == target && other.host == device.host);
            match other {
                Some(other) => links.to_devices.push((line_of(link), other, count)),
                None => {
                    let line = Line::new("nvlink", target, "its device is not in the file");
                    reader.report.ignored.push(line);
                }
            }
        } else if class == HOST_CLASS {
            links.to_host += count;
        } else {
            links.to_switch += count;
        }
    }
    links
}

/// One link of a device, by its generation.
fn link_rate(reader: &mut Reader<'_>, device: &Plug<'_>) -> BytesPerSec {
    let capability = device
        .element
        .and_then(|gpu| gpu.attribute("sm"))
        .and_then(|sm| sm.parse::<u32>().ok());
    let known = capability
        .and_then(|capability| {
            wiring_of_capability(capability).or_else(|| wiring_of_capability(capability / 10 * 10))
        })
        .and_then(|wiring| wiring.per_link());
    let rate = known.unwrap_or_else(|| BytesPerSec::new(OLD_LINK_RATE));
    let has_links = device
        .element
        .is_some_and(|gpu| gpu.children().any(|link| link.has_tag_name("nvlink")));
    let is_new = reader
        .devices
        .first()
        .is_some_and(|first| first.bus == device.bus);
    if has_links && is_new {
        let value = format!("{} GB/s each way", rate.get() / 1e9);
        let sm = capability.map_or_else(|| "unknown".to_owned(), |capability| capability.to_string());
        if known.is_some() {
            reader.report.derived.push(Line::new(
                "one NVLink",
                value,
                format!("sm {sm}, hardware catalogue"),
            ));
        } else {
            reader.report.assumed.push(Line::new(
                "one NVLink",
                value,
                format!("sm {sm}: as NCCL takes Volta's"),
            ));
        }
    }
    rate
}

/// `count` links of `bw` MB/s to the host.
fn chip_to_chip(reader: &mut Reader<'_>, device: &Plug<'_>) {
    let Some(link) = device
        .element
        .and_then(|gpu| gpu.children().find(|link| link.has_tag_name("c2c")))
    else {
        return;
    };
    let number = |name: &str| link.attribute(name).and_then(|text| text.parse::<f64>().ok());
    match (number("count"), number("bw")) {
        (Some(count), Some(megabytes))
            if (1.0..=1e3).contains(&count) && (1.0..=1e9).contains(&megabytes) =>
        {
            let rate = BytesPerSec::new(count * megabytes * 1e6);
            let wire = Wire::new(LinkKind::ChipToChip, rate, SimDuration::ZERO);
            reader.builder.cable(device.vertex, device.host_bridge, wire);
        }
        _ => reader.fault(
            link,
            "a `c2c` without `count` and `bw`".to_owned(),
            "write how many links and their MB/s, such as `count=\"1\" bw=\"450000\"`",
        ),
    }
}
