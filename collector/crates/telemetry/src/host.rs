//! What a source read of a machine: processors, memory, disks and network ports. Counters are raw; what follows
//! from two readings is [`HostRates`](crate::HostRates).

use orrery_units::{Bytes, BytesPerSec};
use serde::{Deserialize, Serialize};

use crate::readings::readings;
use crate::{Nanoseconds, Reading};

/// What a source read of a machine at one instant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostSample {
    /// The node.
    pub node: String,
    /// Its processors.
    #[serde(default)]
    pub cpu: Cpu,
    /// Its memory.
    #[serde(default)]
    pub memory: HostMemory,
    /// The memory of each NUMA node, in order.
    #[serde(default = "not_sent")]
    pub numa: Reading<Vec<NumaNode>>,
    /// Its disks: whole ones, by name.
    #[serde(default = "not_sent")]
    pub disks: Reading<Vec<Disk>>,
    /// Its network interfaces, by name; the loopback is left out.
    #[serde(default = "not_sent")]
    pub interfaces: Reading<Vec<Interface>>,
    /// Its RDMA ports (InfiniBand and RoCE), by device and port.
    #[serde(default = "not_sent")]
    pub rdma: Reading<Vec<RdmaPort>>,
}

fn not_sent<T>() -> Reading<T> {
    Reading::absent(crate::Absence::not_sent())
}

impl HostSample {
    /// A machine of which nothing can be read, because of `reason`.
    #[must_use]
    pub fn absent(node: String, reason: &crate::Absence) -> Self {
        Self {
            node,
            cpu: Cpu::absent(reason),
            memory: HostMemory::absent(reason),
            numa: Reading::absent(reason.clone()),
            disks: Reading::absent(reason.clone()),
            interfaces: Reading::absent(reason.clone()),
            rdma: Reading::absent(reason.clone()),
        }
    }

    /// Every reading that has no value, by its name, with the reason.
    #[must_use]
    pub fn absences(&self) -> Vec<(&'static str, &crate::Absence)> {
        let lists = [
            ("NUMA nodes", self.numa.absence()),
            ("disks", self.disks.absence()),
            ("network interfaces", self.interfaces.absence()),
            ("RDMA ports", self.rdma.absence()),
        ];
        let lists = lists
            .into_iter()
            .filter_map(|(name, absence)| Some((name, absence?)));
        self.cpu
            .absences()
            .chain(self.memory.absences())
            .chain(lists)
            .collect()
    }
}

readings! {
    /// Time of all processors together by what they did, since boot, and the load.
    pub struct Cpu {
        /// Processors that are online.
        num_online: u32 = "processors online",
        /// In programs.
        user: Nanoseconds = "processor time in programs",
        /// In the kernel, interrupts included.
        system: Nanoseconds = "processor time in the kernel",
        /// Idle, with nothing to wait for.
        idle: Nanoseconds = "idle processor time",
        /// Idle, while a disk was waited for.
        io_wait: Nanoseconds = "processor time waiting for disks",
        /// Taken by the hypervisor.
        stolen: Nanoseconds = "stolen processor time",
        /// Tasks that ran or wanted to, mean over a minute, in hundredths.
        load_1min_hundredths: u64 = "load",
    }
}

readings! {
    /// Memory of the machine.
    pub struct HostMemory {
        /// All of it.
        total: Bytes = "machine memory",
        /// What a program could still get.
        available: Bytes = "available machine memory",
        /// Free at once.
        free: Bytes = "free machine memory",
        /// Files kept in memory.
        cached: Bytes = "cached files",
        /// Locked in place, as RDMA and CUDA lock it.
        locked: Bytes = "locked memory",
        /// All swap space.
        swap_total: Bytes = "swap space",
        /// Free swap space.
        swap_free: Bytes = "free swap space",
    }
}

/// The memory of one NUMA node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NumaNode {
    /// Its number.
    pub index: u32,
    /// All its memory.
    pub total: Reading<Bytes>,
    /// Its free memory.
    pub free: Reading<Bytes>,
    /// Allocations that were meant for it and went elsewhere, in pages, since boot.
    pub num_misses: Reading<u64>,
}

/// One disk, since boot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Disk {
    /// Its name, such as `nvme0n1`.
    pub name: String,
    /// Data read.
    pub read: Bytes,
    /// Data written.
    pub written: Bytes,
    /// Requests read and written.
    pub num_requests: u64,
    /// Time in which it had a request.
    pub busy: Nanoseconds,
}

/// One network interface, since it was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interface {
    /// Its name, such as `eth0`.
    pub name: String,
    /// Whether it carries traffic.
    pub is_up: bool,
    /// Its line rate, where it tells one.
    pub speed: Reading<BytesPerSec>,
    /// Data received.
    pub receive: Reading<Bytes>,
    /// Data sent.
    pub transmit: Reading<Bytes>,
    /// Packets with an error, received and sent.
    pub num_errors: Reading<u64>,
    /// Packets dropped, received and sent.
    pub num_dropped: Reading<u64>,
}

/// One port of an RDMA device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RdmaPort {
    /// Its device, such as `mlx5_0`.
    pub device: String,
    /// Its number in the device, counted from 1.
    pub port: u32,
    /// Whether it is active.
    pub is_active: bool,
    /// Its line rate, where it tells one.
    pub speed: Reading<BytesPerSec>,
    /// What runs below: `InfiniBand` or `Ethernet`; empty where it does not tell.
    pub link_layer: String,
    /// Data received (`port_rcv_data`, which counts words of four bytes).
    pub receive: Reading<Bytes>,
    /// Data sent (`port_xmit_data`, which counts words of four bytes).
    pub transmit: Reading<Bytes>,
    /// The other counters that it has, by their names in sysfs, in order; at most [`RdmaPort::MOST_COUNTERS`].
    pub counters: Vec<(String, u64)>,
}

impl RdmaPort {
    /// Counters of one port that are kept beside its data.
    pub const MOST_COUNTERS: usize = 64;
    /// Counters that say that packets were lost or sent again, where a port has them.
    pub const RETRANSMITS: [&'static str; 5] = [
        "local_ack_timeout_err",
        "out_of_sequence",
        "packet_seq_err",
        "rnr_nak_retry_err",
        "roce_adp_retrans",
    ];

    /// The counter `name`, if the port has it.
    #[must_use]
    pub fn counter(&self, name: &str) -> Option<u64> {
        self.counters
            .iter()
            .find(|(known, _)| known == name)
            .map(|&(_, value)| value)
    }

    /// Packets lost or sent again, over all of [`RdmaPort::RETRANSMITS`] that the port has; nothing where it has
    /// none.
    #[must_use]
    pub fn num_retransmits(&self) -> Option<u64> {
        Self::RETRANSMITS
            .iter()
            .filter_map(|name| self.counter(name))
            .reduce(u64::saturating_add)
    }
}
