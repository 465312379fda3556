//! Machines laid out below a folder.

use orrery_telemetry::{Absence, Nanoseconds};
use orrery_units::{Bytes, BytesPerSec};
use tempfile::TempDir;

use super::*;

/// A machine of files.
struct Machine(TempDir);

impl Machine {
    /// One with two processors, and nothing else.
    fn bare() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        machine.write(
            "proc/stat",
            "cpu  10 5 20 1000 7 2 3 4 0 0\ncpu0 5 0 0 0\ncpu1 5 0 0 0\nintr 5\n",
        );
        machine
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn read(&self) -> HostSample {
        let mut source = HostSource::below(self.0.path()).unwrap();
        let taken = source.take(0).unwrap();
        assert!(taken.devices.is_empty());
        *taken.host.unwrap()
    }
}

#[test]
fn processors_and_load_are_read() {
    let machine = Machine::bare();
    machine.write("proc/loadavg", "1.5 0.80 0.60 2/345 6789\n");
    let cpu = machine.read().cpu;
    let ticks = |ticks: u64| Reading::Value(Nanoseconds::new(ticks * 10_000_000));
    assert_eq!(cpu.num_online, Reading::Value(2));
    assert_eq!(
        (cpu.user, cpu.system, cpu.idle),
        (ticks(15), ticks(25), ticks(1000))
    );
    assert_eq!((cpu.io_wait, cpu.stolen), (ticks(7), ticks(4)));
    assert_eq!(cpu.load_1min_hundredths, Reading::Value(150));
}

#[test]
fn memory_and_its_nodes_are_read() {
    let machine = Machine::bare();
    machine.write(
        "proc/meminfo",
        "MemTotal:       16000 kB\nMemFree:  1000 kB\nMemAvailable: 9000 kB\nCached: 500 kB\nMlocked: 64 kB\n\
         SwapTotal: 0 kB\nSwapFree: 0 kB\n",
    );
    machine.write(
        "sys/devices/system/node/node0/meminfo",
        "Node 0 MemTotal:  8000 kB\nNode 0 MemFree: 200 kB\n",
    );
    machine.write(
        "sys/devices/system/node/node0/numastat",
        "numa_hit 9\nnuma_miss 17\n",
    );
    machine.write(
        "sys/devices/system/node/node10/meminfo",
        "Node 10 MemTotal:  8000 kB\n",
    );
    machine.write("sys/devices/system/node/possible", "0,10\n");
    let sample = machine.read();
    let kib = |number: u64| Reading::Value(Bytes::new(number * 1024));
    assert_eq!(
        (sample.memory.total, sample.memory.available),
        (kib(16_000), kib(9_000))
    );
    assert_eq!(
        (sample.memory.locked, sample.memory.swap_total),
        (kib(64), kib(0))
    );
    let nodes = sample.numa.value().unwrap();
    assert_eq!(nodes.iter().map(|node| node.index).collect::<Vec<_>>(), [0, 10]);
    assert_eq!(
        (&nodes[0].free, &nodes[0].num_misses),
        (&kib(200), &Reading::Value(17))
    );
    assert_eq!(nodes[1].free.absence(), Some(&Absence::NotSupported));
}

#[test]
fn whole_disks_are_read() {
    let machine = Machine::bare();
    for name in ["nvme0n1", "loop0", "zram0"] {
        machine.write(&format!("sys/block/{name}/size"), "1");
    }
    machine.write(
        "proc/diskstats",
        "   7       0 loop0 1 0 8 0 0 0 0 0 0 0 0\n 259       0 nvme0n1 10 1 800 5 20 2 1600 9 0 30 14 0 0 0 0 1 2\n \
         259       1 nvme0n1p1 9 1 700 5 20 2 1600 9 0 30 14 0 0 0 0\n",
    );
    let disks = machine.read().disks;
    let disks = disks.value().unwrap();
    assert_eq!(disks.len(), 1, "{disks:?}");
    let disk = &disks[0];
    assert_eq!(
        (&*disk.name, disk.read, disk.written),
        ("nvme0n1", Bytes::new(409_600), Bytes::new(819_200))
    );
    assert_eq!((disk.num_requests, disk.busy), (30, Nanoseconds::new(30_000_000)));
}

/// An interface with its statistics.
fn interface(machine: &Machine, name: &str, is_hardware: bool) {
    let folder = format!("sys/class/net/{name}");
    for (file, text) in [
        ("operstate", "up\n"),
        ("statistics/rx_bytes", "1000\n"),
        ("statistics/tx_bytes", "2000\n"),
        ("statistics/rx_errors", "3\n"),
        ("statistics/tx_errors", "4\n"),
        ("statistics/rx_dropped", "5\n"),
        ("statistics/tx_dropped", "0\n"),
    ] {
        machine.write(&format!("{folder}/{file}"), text);
    }
    if is_hardware {
        machine.write(&format!("{folder}/device/vendor"), "0x15b3\n");
    }
}

#[test]
fn hardware_interfaces_are_read_and_those_of_pods_are_not() {
    let machine = Machine::bare();
    interface(&machine, "eth0", true);
    interface(&machine, "veth1234", false);
    interface(&machine, "lo", false);
    machine.write("sys/class/net/eth0/speed", "100000\n");
    let interfaces = machine.read().interfaces;
    let [eth0] = &interfaces.value().unwrap()[..] else {
        panic!("one of them: {interfaces:?}")
    };
    assert_eq!((&*eth0.name, eth0.is_up), ("eth0", true));
    assert_eq!(eth0.speed, Reading::Value(BytesPerSec::new(12.5e9)));
    assert_eq!(
        (&eth0.receive, &eth0.transmit),
        (
            &Reading::Value(Bytes::new(1000)),
            &Reading::Value(Bytes::new(2000))
        )
    );
    assert_eq!(
        (&eth0.num_errors, &eth0.num_dropped),
        (&Reading::Value(7), &Reading::Value(5))
    );
}

#[test]
fn in_a_container_what_there_is_is_read_and_a_speed_of_minus_one_is_none() {
    let machine = Machine::bare();
    interface(&machine, "eth0", false);
    interface(&machine, "lo", false);
    machine.write("sys/class/net/eth0/speed", "-1\n");
    let interfaces = machine.read().interfaces;
    let [eth0] = &interfaces.value().unwrap()[..] else {
        panic!("one of them: {interfaces:?}")
    };
    assert_eq!(eth0.speed.absence(), Some(&Absence::NotSupported));
}

/// A port of an RDMA device.
fn port(machine: &Machine, words: u64) {
    let folder = "sys/class/infiniband/mlx5_0/ports/1";
    let words = words.to_string();
    for (file, text) in [
        ("state", "4: ACTIVE\n"),
        ("rate", "400 Gb/sec (4X NDR)\n"),
        ("link_layer", "InfiniBand\n"),
        ("counters/port_rcv_data", words.as_str()),
        ("counters/port_xmit_data", "200\n"),
        ("counters/symbol_error", "1\n"),
        ("hw_counters/lifespan", "10\n"),
        ("hw_counters/out_of_sequence", "6\n"),
        ("hw_counters/packet_seq_err", words.as_str()),
    ] {
        machine.write(&format!("{folder}/{file}"), text);
    }
}

#[test]
fn ports_of_rdma_devices_are_read_in_bytes_with_all_their_counters() {
    let machine = Machine::bare();
    port(&machine, 100);
    let ports = machine.read().rdma;
    let port = &ports.value().unwrap()[0];
    assert_eq!((&*port.device, port.port, port.is_active), ("mlx5_0", 1, true));
    assert_eq!(port.speed, Reading::Value(BytesPerSec::new(50e9)));
    assert_eq!(
        (&port.receive, &port.transmit),
        (&Reading::Value(Bytes::new(400)), &Reading::Value(Bytes::new(800)))
    );
    assert_eq!(port.counters.len(), 3, "{:?}", port.counters);
    assert_eq!(
        (port.counter("symbol_error"), port.num_retransmits()),
        (Some(1), Some(106))
    );
}

#[test]
fn data_is_read_every_time_and_the_other_counters_less_often() {
    let machine = Machine::bare();
    port(&machine, 100);
    let mut source = HostSource::below(machine.0.path()).unwrap();
    source.take(0).unwrap();
    port(&machine, 300);
    let host = source.take(1).unwrap().host.unwrap();
    let port = &host.rdma.value().unwrap()[0];
    assert_eq!(port.receive, Reading::Value(Bytes::new(1200)));
    assert_eq!(port.counter("packet_seq_err"), Some(100), "not yet");
}

#[test]
fn what_a_machine_does_not_have_is_absent_with_the_reason() {
    let absences = Machine::bare().read();
    let absences = absences.absences();
    let names: Vec<&str> = absences.iter().map(|(name, _)| *name).collect();
    for name in [
        "load",
        "machine memory",
        "NUMA nodes",
        "disks",
        "network interfaces",
        "RDMA ports",
    ] {
        assert!(names.contains(&name), "{name} of {names:?}");
    }
    assert!(
        absences
            .iter()
            .all(|(_, absence)| **absence == Absence::NotSupported),
        "{absences:?}"
    );
    let nothing = tempfile::tempdir().unwrap();
    let fault = HostSource::below(nothing.path()).unwrap_err();
    assert!(
        fault.reason.contains("/proc/stat") && fault.remedy.contains("procfs"),
        "{fault:?}"
    );
}

#[test]
fn nonsense_in_a_file_is_no_number_and_no_panic() {
    let machine = Machine::bare();
    machine.write("proc/stat", "cpu  10 5 x\n");
    machine.write("proc/loadavg", "\u{fffd}.\u{e9} 1");
    machine.write("proc/meminfo", "MemTotal: lots kB\nMemFree:");
    machine.write("proc/diskstats", "1 2\n");
    machine.write("sys/block/sda/size", "1");
    let sample = machine.read();
    for absence in [
        sample.cpu.user.absence(),
        sample.cpu.load_1min_hundredths.absence(),
        sample.memory.total.absence(),
    ] {
        assert_eq!(absence, Some(&Absence::NotANumber));
    }
    assert_eq!(sample.disks, Reading::Value(Vec::new()));
}

#[test]
fn this_machine_is_read() {
    let host = *HostSource::open().unwrap().take(0).unwrap().host.unwrap();
    assert!(
        host.cpu.num_online.value().is_some_and(|num| *num > 0),
        "{host:?}"
    );
    assert!(
        host.memory.total.value().is_some_and(|total| total.get() > 0),
        "{host:?}"
    );
}
