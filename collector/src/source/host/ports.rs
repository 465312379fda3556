//! Network interfaces, and the ports of RDMA devices (InfiniBand and RoCE).

use orrery_telemetry::{Absence, Interface, RdmaPort, Reading};
use orrery_units::BytesPerSec;

use super::files::Files;

/// Interfaces that are kept: names become labels.
const MOST_INTERFACES: usize = 64;
/// Ports that are kept.
const MOST_PORTS: usize = 64;
/// The counters of data of a port, which count words of four bytes (IB Architecture Specification, 16.1.3.5).
const DATA: [&str; 2] = ["port_rcv_data", "port_xmit_data"];
const WORD: u64 = 4;

/// The interfaces that stand for a piece of hardware, or bind some together; where there is none (as in a container),
/// all but the loopback. Those that a node makes for each of its pods would flood whoever reads them.
pub(super) fn read_interfaces(sys: &Files) -> Reading<Vec<Interface>> {
    sys.names("class/net").map(|names| {
        let is_hardware = |name: &&String| {
            sys.has(&format!("class/net/{name}/device")) || sys.has(&format!("class/net/{name}/bonding"))
        };
        let mut chosen: Vec<&String> = names.iter().filter(is_hardware).collect();
        if chosen.is_empty() {
            chosen = names
                .iter()
                .filter(|name| sys.has(&format!("class/net/{name}/statistics")))
                .collect();
        }
        chosen.retain(|name| *name != "lo");
        chosen
            .into_iter()
            .take(MOST_INTERFACES)
            .map(|name| interface(sys, name))
            .collect()
    })
}

fn interface(sys: &Files, name: &str) -> Interface {
    let file = |part: &str| format!("class/net/{name}/{part}");
    let count = |part: &str| sys.number(&file(&format!("statistics/{part}")));
    let both = |one: &str, other: &str| {
        count(one).and_then(|one| count(other).map(|other| one.saturating_add(other)))
    };
    // Megabits a second; -1, or a refusal, where it tells none.
    let speed = |megabits: u64| BytesPerSec::new(rate(megabits) * 1e6 / 8.0);
    Interface {
        name: name.to_owned(),
        is_up: sys
            .text(&file("operstate"))
            .is_ok_and(|state| state.trim() == "up"),
        speed: match sys.number(&file("speed")) {
            Reading::Value(0)
            | Reading::Absent {
                absent: Absence::NotANumber,
            } => Reading::absent(Absence::NotSupported),
            other => other.map(speed),
        },
        receive: sys.bytes(&file("statistics/rx_bytes")),
        transmit: sys.bytes(&file("statistics/tx_bytes")),
        num_errors: both("rx_errors", "tx_errors"),
        num_dropped: both("rx_dropped", "tx_dropped"),
    }
}

/// The ports of all RDMA devices. Their counters beside the data are taken over from `known`, if it is given.
pub(super) fn read_rdma(sys: &Files, known: Option<&[RdmaPort]>) -> Reading<Vec<RdmaPort>> {
    const FOLDER: &str = "class/infiniband";
    sys.names(FOLDER).map(|devices| {
        let ports = devices.iter().flat_map(|device| {
            let numbers = sys.names(&format!("{FOLDER}/{device}/ports"));
            let numbers = numbers.value().cloned().unwrap_or_default().into_iter();
            let mut numbers: Vec<u32> = numbers.filter_map(|number| number.parse().ok()).collect();
            numbers.sort_unstable();
            numbers.into_iter().map(move |number| (device, number))
        });
        ports
            .take(MOST_PORTS)
            .map(|(device, number)| port(sys, device, number, known))
            .collect()
    })
}

fn port(sys: &Files, device: &str, number: u32, known: Option<&[RdmaPort]>) -> RdmaPort {
    let folder = format!("class/infiniband/{device}/ports/{number}");
    let text = |file: &str| sys.text(&format!("{folder}/{file}")).unwrap_or_default();
    let data = |name: &str| {
        let words = sys.bytes(&format!("{folder}/counters/{name}"));
        words.map(|words| orrery_units::Bytes::new(words.get().saturating_mul(WORD)))
    };
    let known = known
        .into_iter()
        .flatten()
        .find(|port| port.device == device && port.port == number);
    RdmaPort {
        device: device.to_owned(),
        port: number,
        is_active: text("state").contains("ACTIVE"),
        speed: speed(&text("rate")),
        link_layer: text("link_layer").trim().to_owned(),
        receive: data(DATA[0]),
        transmit: data(DATA[1]),
        counters: known.map_or_else(|| counters(sys, &folder), |port| port.counters.clone()),
    }
}

/// The line rate in a text such as `400 Gb/sec (4X NDR)`.
fn speed(rate: &str) -> Reading<BytesPerSec> {
    let gigabits = rate
        .split_whitespace()
        .next()
        .and_then(|number| number.parse::<f64>().ok());
    let gigabits = gigabits.filter(|gigabits| *gigabits > 0.0 && gigabits.is_finite());
    gigabits
        .map(|gigabits| BytesPerSec::new(gigabits * 1e9 / 8.0))
        .ok_or(Absence::NotSupported)
        .into()
}

/// All counters of a port but those of its data, by name.
fn counters(sys: &Files, folder: &str) -> Vec<(String, u64)> {
    let of = |part: &str| {
        let names = sys
            .names(&format!("{folder}/{part}"))
            .value()
            .cloned()
            .unwrap_or_default();
        let names = names
            .into_iter()
            .filter(|name| !DATA.contains(&name.as_str()) && name != "lifespan");
        let counters = names.filter_map(|name| {
            let count = sys.number(&format!("{folder}/{part}/{name}"));
            Some((name, *count.value()?))
        });
        counters.collect::<Vec<(String, u64)>>()
    };
    let mut counters = of("counters");
    counters.extend(of("hw_counters"));
    counters.sort();
    counters.dedup_by(|one, other| one.0 == other.0);
    counters.truncate(RdmaPort::MOST_COUNTERS);
    counters
}

#[expect(clippy::cast_precision_loss, reason = "a line rate is far below 2^53 Mbit/s")]
fn rate(megabits: u64) -> f64 {
    megabits as f64
}
