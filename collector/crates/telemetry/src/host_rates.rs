//! What follows from two samples of one machine.

use orrery_units::{BytesPerSec, Ratio, SimDuration};

use crate::rates::{byte_rate, counted, time_share};
use crate::{
    Absence, CounterWidth, Cpu, Disk, HostSample, Interface, Nanoseconds, RdmaPort, Reading, Sample,
};

/// What a machine did between two samples.
#[derive(Clone, Debug, PartialEq)]
pub struct HostRates {
    /// The node.
    pub node: String,
    /// Time between the samples.
    pub elapsed: SimDuration,
    /// Share of the time of all processors in which they worked.
    pub cpu_busy: Reading<Ratio>,
    /// Share of the time of all processors in which they waited for disks.
    pub cpu_io_wait: Reading<Ratio>,
    /// By disk that both samples hold.
    pub disks: Vec<DiskRates>,
    /// By network interface and RDMA port that both samples hold.
    pub ports: Vec<PortRates>,
}

/// What one disk did.
#[derive(Clone, Debug, PartialEq)]
pub struct DiskRates {
    /// Its name.
    pub name: String,
    /// Data read.
    pub read: Reading<BytesPerSec>,
    /// Data written.
    pub written: Reading<BytesPerSec>,
    /// Share of time in which it had a request.
    pub busy: Reading<Ratio>,
}

/// What one network interface or RDMA port did.
#[derive(Clone, Debug, PartialEq)]
pub struct PortRates {
    /// Its name: `eth0`, or `mlx5_0/1` for a port.
    pub name: String,
    /// Its line rate.
    pub speed: Reading<BytesPerSec>,
    /// Data received.
    pub receive: Reading<BytesPerSec>,
    /// Data sent.
    pub transmit: Reading<BytesPerSec>,
    /// Packets lost, faulty or sent again.
    pub num_faults: Reading<u64>,
}

/// Counters of the kernel and of present RDMA devices.
const WIDE: (CounterWidth, Option<u64>) = (CounterWidth::Bits64, None);

impl HostRates {
    /// What the machine did between two samples; nothing when one of them holds no machine, they are of different
    /// machines, or no time lies between them.
    #[must_use]
    pub fn between(earlier: &Sample, later: &Sample) -> Option<Self> {
        let (old, new) = (earlier.host.as_deref()?, later.host.as_deref()?);
        let elapsed = later.at.saturating_since(earlier.at);
        if elapsed.is_zero() || old.node != new.node {
            return None;
        }
        Some(Self {
            node: new.node.clone(),
            elapsed,
            cpu_busy: cpu_share(&old.cpu, &new.cpu, |parts| parts[0] + parts[1] + parts[4]),
            cpu_io_wait: cpu_share(&old.cpu, &new.cpu, |parts| parts[3]),
            disks: disks(old, new, elapsed),
            ports: ports(old, new, elapsed),
        })
    }
}

/// A share of the time of all processors: `part / (user + system + idle + waiting + stolen)`, of what passed.
///
/// Worked number: of 2 s in programs and 6 s idle, a quarter was work.
fn cpu_share(old: &Cpu, new: &Cpu, part: impl Fn([f64; 5]) -> f64) -> Reading<Ratio> {
    let fields = |cpu: &Cpu| [&cpu.user, &cpu.system, &cpu.idle, &cpu.io_wait, &cpu.stolen].map(Clone::clone);
    let mut parts = [0.0; 5];
    for (place, (old, new)) in fields(old).into_iter().zip(fields(new)).enumerate() {
        let whole = |reading: Reading<Nanoseconds>| reading.map(Nanoseconds::get);
        match counted(&whole(old), &whole(new), CounterWidth::Bits64, None) {
            Reading::Value(nanos) => parts[place] = Nanoseconds::new(nanos).as_secs(),
            // The kernel lets the time that it waited for disks go back now and then; that is no work.
            Reading::Absent { .. } if place == 3 => {}
            Reading::Absent { absent } => return Reading::absent(absent),
        }
    }
    let all: f64 = parts.iter().sum();
    if all > 0.0 {
        Reading::Value(Ratio::clamped(part(parts) / all))
    } else {
        Reading::absent(Absence::NotANumber)
    }
}

fn disks(old: &HostSample, new: &HostSample, elapsed: SimDuration) -> Vec<DiskRates> {
    let old: &[Disk] = old.disks.value().map_or(&[], Vec::as_slice);
    let new = new.disks.value().into_iter().flatten();
    let pairs = new.filter_map(|disk| Some((old.iter().find(|old| old.name == disk.name)?, disk)));
    let bytes = |old, new| byte_rate(&Reading::Value(old), &Reading::Value(new), WIDE, elapsed);
    pairs
        .map(|(old, new)| DiskRates {
            name: new.name.clone(),
            read: bytes(old.read, new.read),
            written: bytes(old.written, new.written),
            busy: time_share(&Reading::Value(old.busy), &Reading::Value(new.busy), elapsed),
        })
        .collect()
}

fn ports(old: &HostSample, new: &HostSample, elapsed: SimDuration) -> Vec<PortRates> {
    let before: &[Interface] = old.interfaces.value().map_or(&[], Vec::as_slice);
    let interfaces = new.interfaces.value().into_iter().flatten().filter_map(|new| {
        let old = before.iter().find(|old| old.name == new.name)?;
        let faults = |port: &Interface| sum(&port.num_errors, &port.num_dropped);
        Some(PortRates {
            name: new.name.clone(),
            speed: new.speed.clone(),
            receive: byte_rate(&old.receive, &new.receive, WIDE, elapsed),
            transmit: byte_rate(&old.transmit, &new.transmit, WIDE, elapsed),
            num_faults: counted(&faults(old), &faults(new), CounterWidth::Bits64, None),
        })
    });
    let before: &[RdmaPort] = old.rdma.value().map_or(&[], Vec::as_slice);
    let rdma = new.rdma.value().into_iter().flatten().filter_map(|new| {
        let old = before
            .iter()
            .find(|old| (&old.device, old.port) == (&new.device, new.port))?;
        let faults = |port: &RdmaPort| port.num_retransmits().ok_or(Absence::NotSupported).into();
        Some(PortRates {
            name: format!("{}/{}", new.device, new.port),
            speed: new.speed.clone(),
            receive: byte_rate(&old.receive, &new.receive, WIDE, elapsed),
            transmit: byte_rate(&old.transmit, &new.transmit, WIDE, elapsed),
            num_faults: counted(&faults(old), &faults(new), CounterWidth::Bits64, None),
        })
    });
    interfaces.chain(rdma).collect()
}

fn sum(one: &Reading<u64>, other: &Reading<u64>) -> Reading<u64> {
    match (one, other) {
        (Reading::Value(one), Reading::Value(other)) => Reading::Value(one.saturating_add(*other)),
        (Reading::Absent { absent }, _) | (_, Reading::Absent { absent }) => Reading::absent(absent.clone()),
    }
}

#[cfg(test)]
mod tests {
    use orrery_units::{Bytes, SimTime};

    use super::*;
    use crate::{Origin, UnixTime};

    fn sample(sequence: u64, fill: impl Fn(&mut HostSample)) -> Sample {
        let mut host = HostSample::absent("node-0".to_owned(), &Absence::NotSupported);
        fill(&mut host);
        Sample {
            source: "host".to_owned(),
            origin: Origin::Live,
            sequence,
            at: SimTime::ZERO + SimDuration::from_millis(2000) * sequence,
            taken: UnixTime::from_millis(0),
            devices: Vec::new(),
            host: Some(Box::new(host)),
            collectives: Vec::new(),
        }
    }

    #[test]
    fn work_is_a_share_of_the_time_of_all_processors() {
        let set = |user: u64, idle: u64, io_wait: u64| {
            move |host: &mut HostSample| {
                let nanos = |secs| Reading::Value(Nanoseconds::new(secs * 1_000_000_000));
                host.cpu.user = nanos(user);
                host.cpu.idle = nanos(idle);
                host.cpu.io_wait = nanos(io_wait);
                host.cpu.system = nanos(0);
                host.cpu.stolen = nanos(0);
            }
        };
        let busy = |old, new| {
            HostRates::between(&sample(0, old), &sample(1, new))
                .unwrap()
                .cpu_busy
        };
        assert_eq!(
            busy(set(1, 10, 5), set(3, 16, 5)),
            Reading::Value(Ratio::clamped(0.25))
        );
        // Waiting that went back is none.
        assert_eq!(
            busy(set(1, 10, 5), set(3, 16, 4)),
            Reading::Value(Ratio::clamped(0.25))
        );
        assert!(
            busy(set(1, 10, 5), set(0, 16, 5)).absence().is_some(),
            "booted anew"
        );
    }

    #[test]
    fn ports_and_disks_are_found_by_name() {
        let set = |bytes: u64, errors: u64| {
            move |host: &mut HostSample| {
                host.disks = Reading::Value(vec![Disk {
                    name: "nvme0n1".to_owned(),
                    read: Bytes::new(bytes),
                    written: Bytes::new(0),
                    num_requests: 0,
                    busy: Nanoseconds::new(bytes * 1_000),
                }]);
                host.rdma = Reading::Value(vec![RdmaPort {
                    device: "mlx5_0".to_owned(),
                    port: 1,
                    is_active: true,
                    speed: Reading::Value(BytesPerSec::new(50e9)),
                    link_layer: "InfiniBand".to_owned(),
                    receive: Reading::Value(Bytes::new(bytes)),
                    transmit: Reading::Value(Bytes::new(2 * bytes)),
                    counters: vec![
                        ("out_of_sequence".to_owned(), errors),
                        ("packet_seq_err".to_owned(), errors),
                        ("port_rcv_packets".to_owned(), 9),
                    ],
                }]);
            }
        };
        let rates = HostRates::between(&sample(0, set(0, 1)), &sample(1, set(1_000_000, 4))).unwrap();
        let rate = |bytes| Reading::Value(BytesPerSec::new(bytes));
        assert_eq!(rates.disks[0].read, rate(500_000.0));
        assert_eq!(rates.disks[0].busy, Reading::Value(Ratio::clamped(0.5)));
        let port = &rates.ports[0];
        assert_eq!(
            (&*port.name, &port.receive, &port.transmit),
            ("mlx5_0/1", &rate(500_000.0), &rate(1e6))
        );
        assert_eq!(port.num_faults, Reading::Value(6));
        assert!(HostRates::between(&sample(0, set(0, 1)), &sample(0, set(1, 1))).is_none());
    }
}
