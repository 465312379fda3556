//! The metrics of machines: each stated once, with its name and where its rows are from.

use std::sync::Arc;

use orrery_telemetry::{HostSample, Interface, Nanoseconds, NumaNode, RdmaPort, Reading, Sample};
use orrery_units::{Bytes, BytesPerSec};
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::{Label, Labels, Number, family, full_name, source_labels};

type Rows = Vec<(Labels, Reading<Number>)>;

/// A metric of a machine: its name without its unit, its unit, its help, its kind, and its rows.
type Metric = (
    &'static str,
    Option<&'static str>,
    &'static str,
    MetricType,
    fn(&HostSample) -> Rows,
);

const BYTES: Option<&str> = Some("bytes");
const RATE: Option<&str> = Some("bytes_per_second");

static METRICS: [Metric; 20] = [
    (
        "orrery_host_cpus",
        None,
        "Processors online",
        MetricType::Gauge,
        |h| {
            vec![row(&[], &h.cpu.num_online, |number| {
                Number::Whole(u64::from(*number))
            })]
        },
    ),
    (
        "orrery_host_cpu",
        Some("seconds"),
        "Time of all processors by what they did",
        MetricType::Counter,
        cpu,
    ),
    (
        "orrery_host_load_1min",
        None,
        "Tasks that ran or wanted to",
        MetricType::Gauge,
        |h| {
            vec![row(&[], &h.cpu.load_1min_hundredths, |hundredths| {
                Number::Real(as_f64(*hundredths) / 100.0)
            })]
        },
    ),
    (
        "orrery_host_memory",
        BYTES,
        "Memory of the machine by kind",
        MetricType::Gauge,
        memory,
    ),
    (
        "orrery_host_numa_memory_total",
        BYTES,
        "Memory of a NUMA node",
        MetricType::Gauge,
        |h| {
            nodes(h, |node| {
                bytes(&[("numa", node.index.to_string().into())], &node.total)
            })
        },
    ),
    (
        "orrery_host_numa_memory_free",
        BYTES,
        "Free memory of a NUMA node",
        MetricType::Gauge,
        |h| {
            nodes(h, |node| {
                bytes(&[("numa", node.index.to_string().into())], &node.free)
            })
        },
    ),
    (
        "orrery_host_numa_misses",
        None,
        "Allocations that went to another node",
        MetricType::Counter,
        |h| {
            nodes(h, |node| {
                count(&[("numa", node.index.to_string().into())], &node.num_misses)
            })
        },
    ),
    (
        "orrery_host_disk_read",
        BYTES,
        "Read from a disk",
        MetricType::Counter,
        |h| {
            list(&h.disks, |disk| {
                bytes(&[("disk", disk.name.clone().into())], &Reading::Value(disk.read))
            })
        },
    ),
    (
        "orrery_host_disk_written",
        BYTES,
        "Written to a disk",
        MetricType::Counter,
        |h| {
            list(&h.disks, |disk| {
                bytes(
                    &[("disk", disk.name.clone().into())],
                    &Reading::Value(disk.written),
                )
            })
        },
    ),
    (
        "orrery_host_disk_busy",
        Some("seconds"),
        "Time with a request",
        MetricType::Counter,
        |h| {
            list(&h.disks, |disk| {
                seconds(&[("disk", disk.name.clone().into())], &Reading::Value(disk.busy))
            })
        },
    ),
    (
        "orrery_host_network_receive",
        BYTES,
        "Received by an interface",
        MetricType::Counter,
        |h| interfaces(h, |port, labels| bytes(labels, &port.receive)),
    ),
    (
        "orrery_host_network_transmit",
        BYTES,
        "Sent by an interface",
        MetricType::Counter,
        |h| interfaces(h, |port, labels| bytes(labels, &port.transmit)),
    ),
    (
        "orrery_host_network_errors",
        None,
        "Packets with an error",
        MetricType::Counter,
        |h| interfaces(h, |port, labels| count(labels, &port.num_errors)),
    ),
    (
        "orrery_host_network_dropped",
        None,
        "Packets dropped",
        MetricType::Counter,
        |h| interfaces(h, |port, labels| count(labels, &port.num_dropped)),
    ),
    (
        "orrery_host_network_up",
        None,
        "The interface carries traffic",
        MetricType::Gauge,
        |h| interfaces(h, |port, labels| flag(labels, port.is_up)),
    ),
    (
        "orrery_rdma_receive",
        BYTES,
        "Received by an RDMA port",
        MetricType::Counter,
        |h| ports(h, |port, labels| bytes(labels, &port.receive)),
    ),
    (
        "orrery_rdma_transmit",
        BYTES,
        "Sent by an RDMA port",
        MetricType::Counter,
        |h| ports(h, |port, labels| bytes(labels, &port.transmit)),
    ),
    (
        "orrery_rdma_up",
        None,
        "The port is active",
        MetricType::Gauge,
        |h| ports(h, |port, labels| flag(labels, port.is_active)),
    ),
    (
        "orrery_rdma_speed",
        RATE,
        "Line rate of the port",
        MetricType::Gauge,
        |h| {
            ports(h, |port, labels| {
                row(labels, &port.speed, |rate: &BytesPerSec| Number::Real(rate.get()))
            })
        },
    ),
    (
        "orrery_rdma_events",
        None,
        "The port's other counters, by their names in sysfs",
        MetricType::Counter,
        |h| {
            list_many(&h.rdma, |port| {
                let rows = port.counters.iter().map(|(name, value)| {
                    let mut labels = place(port);
                    labels.push(("counter", name.clone().into()));
                    count(&labels, &Reading::Value(*value))
                });
                rows.collect()
            })
        },
    ),
];

/// Encodes what the machines of `samples` gave.
pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>, samples: &[Arc<Sample>]) -> std::fmt::Result {
    for (name, unit, help, kind, of) in &METRICS {
        let rows = rows(samples, |host| {
            let rows = of(host).into_iter();
            rows.filter_map(|(labels, number)| Some((labels, *number.value()?)))
                .collect()
        });
        family(encoder, (*name, *unit, *help), *kind, &rows)?;
    }
    Ok(())
}

/// What the machines of `samples` do not give, with the reasons, as rows of `orrery_metric_supported`.
pub(super) fn absent(samples: &[Arc<Sample>]) -> Vec<(Labels, Number)> {
    let of = |(name, unit, _, kind, of): &Metric| {
        let name = full_name(name, *unit, *kind);
        rows(samples, |host| {
            let rows = of(host);
            super::lacks(
                || name.clone(),
                rows.iter().map(|(own, number)| (own, number.absence())),
            )
        })
    };
    METRICS.iter().flat_map(of).collect()
}

/// The rows that `of` gives for each machine, with the labels of the machine before their own.
fn rows(samples: &[Arc<Sample>], of: impl Fn(&HostSample) -> Vec<(Labels, Number)>) -> Vec<(Labels, Number)> {
    let mut rows = Vec::new();
    for sample in samples {
        let Some(host) = &sample.host else { continue };
        let mut place = source_labels(sample);
        place.push(("node", host.node.clone().into()));
        rows.extend(
            of(host)
                .into_iter()
                .map(|(more, number)| ([&place[..], &more].concat(), number)),
        );
    }
    rows
}

fn row<T>(
    labels: &[Label],
    reading: &Reading<T>,
    number: impl Fn(&T) -> Number,
) -> (Labels, Reading<Number>) {
    let number = match reading {
        Reading::Value(value) => Reading::Value(number(value)),
        Reading::Absent { absent } => Reading::absent(absent.clone()),
    };
    (labels.to_vec(), number)
}

fn bytes(labels: &[Label], reading: &Reading<Bytes>) -> (Labels, Reading<Number>) {
    row(labels, reading, |bytes| Number::Whole(bytes.get()))
}

fn count(labels: &[Label], reading: &Reading<u64>) -> (Labels, Reading<Number>) {
    row(labels, reading, |number| Number::Whole(*number))
}

fn seconds(labels: &[Label], reading: &Reading<Nanoseconds>) -> (Labels, Reading<Number>) {
    row(labels, reading, |time| Number::Real(time.as_secs()))
}

fn flag(labels: &[Label], holds: bool) -> (Labels, Reading<Number>) {
    (labels.to_vec(), Reading::Value(Number::from(holds)))
}

/// One row for each entry of a list, or its reason in their place.
fn list<T>(list: &Reading<Vec<T>>, row: impl Fn(&T) -> (Labels, Reading<Number>)) -> Rows {
    list_many(list, |entry| vec![row(entry)])
}

/// Some rows for each entry of a list, or its reason in their place.
fn list_many<T>(list: &Reading<Vec<T>>, rows: impl Fn(&T) -> Rows) -> Rows {
    match list {
        Reading::Value(list) => list.iter().flat_map(rows).collect(),
        Reading::Absent { absent } => vec![(Vec::new(), Reading::absent(absent.clone()))],
    }
}

fn cpu(host: &HostSample) -> Rows {
    let cpu = &host.cpu;
    [
        ("user", &cpu.user),
        ("system", &cpu.system),
        ("idle", &cpu.idle),
        ("iowait", &cpu.io_wait),
        ("steal", &cpu.stolen),
    ]
    .into_iter()
    .map(|(mode, time)| seconds(&[("mode", mode.into())], time))
    .collect()
}

fn memory(host: &HostSample) -> Rows {
    let memory = &host.memory;
    [
        ("total", &memory.total),
        ("available", &memory.available),
        ("free", &memory.free),
        ("cached", &memory.cached),
        ("locked", &memory.locked),
        ("swap_total", &memory.swap_total),
        ("swap_free", &memory.swap_free),
    ]
    .into_iter()
    .map(|(kind, part)| bytes(&[("kind", kind.into())], part))
    .collect()
}

fn nodes(host: &HostSample, row: impl Fn(&NumaNode) -> (Labels, Reading<Number>)) -> Rows {
    list(&host.numa, row)
}

fn interfaces(host: &HostSample, row: impl Fn(&Interface, &[Label]) -> (Labels, Reading<Number>)) -> Rows {
    list(&host.interfaces, |port| {
        row(port, &[("interface", port.name.clone().into())])
    })
}

fn ports(host: &HostSample, row: impl Fn(&RdmaPort, &[Label]) -> (Labels, Reading<Number>)) -> Rows {
    list(&host.rdma, |port| row(port, &place(port)))
}

fn place(port: &RdmaPort) -> Labels {
    vec![
        ("device", port.device.clone().into()),
        ("port", port.port.to_string().into()),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "a load is far below 2^53")]
fn as_f64(number: u64) -> f64 {
    number as f64
}
