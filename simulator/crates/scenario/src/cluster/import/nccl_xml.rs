//! A node out of NCCL's topology file (`NCCL_TOPO_DUMP_FILE`, or one that a provider hands out).
//!
//! Elements: `system` of `cpu`s, each with nested `pci`; below a `pci` a `gpu` with its `nvlink`s and `c2c`, or a
//! `nic` with its `net`s. What each attribute means is read from NCCL 2.30.7, `src/graph/{topo,xml}.cc`.

use orrery_units::{BytesPerSec, SimDuration};
use roxmltree::{Document, Node};

use super::nccl_links::{Plug, lay_scale_up};
use super::{ImportFault, ImportFaults, ImportedDomain, Usual, counted, pcie_rate};
use crate::cluster::link::{LinkKind, VertexKind, Wire, number};
use crate::cluster::node::DomainBuilder;
use crate::cluster::shapes::PCIE_HOP;
use crate::import::{Line, Report};

/// What NCCL takes two PCIe switches that `pcilink` joins to be: parts of one chip, 5,000 GB/s (`LOC_BW`,
/// `src/graph/topo.h`).
const SAME_CHIP_RATE: f64 = 5e12;

/// How the PCI classes of devices and of NICs begin; NCCL takes every other class for a switch.
const DISPLAY_CLASS: &str = "0x03";
const NETWORK_CLASS: &str = "0x02";

/// The fastest net that is believed, in Mbit/s: 1,000 times that of today.
const MOST_MEGABITS: f64 = 1e9;

/// More rails than a node has NICs.
const MOST_RAILS: u32 = 1024;

/// The deepest nesting that is followed; real trees have five levels.
const MOST_LEVELS: usize = 64;

/// What has been read so far.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub(super) usual: &'a Usual,
    pub(super) builder: DomainBuilder,
    pub(super) report: Report,
    pub(super) faults: Vec<ImportFault>,
    /// Devices, by bus id, in the order of the file.
    pub(super) devices: Vec<Plug<'a>>,
    /// Switches by bus id, for `pcilink`.
    switches: Vec<(String, u32)>,
    links_of_switches: Vec<(usize, u32, String)>,
    /// The host of each NIC.
    hosts_of_nics: Vec<u32>,
    has_scale_up: bool,
    host: u32,
}

/// Where in the tree an element hangs.
#[derive(Clone, Copy, Debug)]
struct Parent {
    vertex: u32,
    host_bridge: u32,
}

/// The domain that `text`, a topology file of NCCL, describes.
///
/// Rates of PCIe come from its lanes, of NICs from `speed`, of NVLinks from the generation that `sm` names
/// (hardware catalogue), between sockets from the CPU (NCCL's own table).
///
/// # Errors
/// Every element that is wrong, with its line, and how to mend it.
pub fn nccl_xml(text: &str, usual: &Usual) -> Result<ImportedDomain, ImportFaults> {
    let document = Document::parse(text).map_err(|error| {
        let line = usize::try_from(error.pos().row).unwrap_or(0);
        ImportFault::new(
            line,
            format!("no XML: {error}"),
            "dump it again with `NCCL_TOPO_DUMP_FILE=topology.xml`",
        )
    })?;
    let root = document.root_element();
    if root.tag_name().name() != "system" {
        let message = format!(
            "the outermost element is `{}`, not `system`",
            root.tag_name().name()
        );
        return Err(ImportFault::new(
            line_of(root),
            message,
            "give the file that `NCCL_TOPO_DUMP_FILE` names",
        )
        .into());
    }
    if let Some(version) = root.attribute("version").filter(|&version| version != "1") {
        let message = format!("version `{version}` of the format is not known");
        return Err(ImportFault::new(
            line_of(root),
            message,
            "version 1 is; dump it with NCCL 2.30 or older",
        )
        .into());
    }
    let mut reader = Reader {
        usual,
        builder: DomainBuilder::default(),
        report: Report::default(),
        faults: Vec::new(),
        devices: Vec::new(),
        switches: Vec::new(),
        links_of_switches: Vec::new(),
        hosts_of_nics: Vec::new(),
        has_scale_up: root.descendants().any(|node| node.has_tag_name("nvlink")),
        host: 0,
    };
    let hosts = reader.hosts(root);
    lay_scale_up(&mut reader);
    reader.finish(root, hosts)
}

/// The line of an element.
pub(super) fn line_of(node: Node<'_, '_>) -> usize {
    let position = node.document().text_pos_at(node.range().start);
    usize::try_from(position.row).unwrap_or(0)
}

impl<'a> Reader<'a> {
    pub(super) fn fault(&mut self, node: Node<'_, '_>, message: String, help: &str) {
        self.faults.push(ImportFault::new(line_of(node), message, help));
    }

    /// Reads all CPUs, those of one host after those of another, and returns how many hosts there are.
    fn hosts(&mut self, root: Node<'a, 'a>) -> u32 {
        let cpus: Vec<Node<'a, 'a>> = root.children().filter(|node| node.has_tag_name("cpu")).collect();
        let mut hashes: Vec<Option<&str>> = Vec::new();
        for cpu in &cpus {
            let hash = cpu.attribute("host_hash");
            if !hashes.contains(&hash) {
                hashes.push(hash);
            }
        }
        for other in root
            .children()
            .filter(|node| node.is_element() && !node.has_tag_name("cpu"))
        {
            self.unknown(other);
        }
        for (host, hash) in (0u32..).zip(&hashes) {
            self.host = host;
            let mine: Vec<Node<'a, 'a>> = cpus
                .iter()
                .copied()
                .filter(|cpu| cpu.attribute("host_hash") == *hash)
                .collect();
            self.cpus(&mine);
        }
        number(hashes.len())
    }

    fn cpus(&mut self, cpus: &[Node<'a, 'a>]) {
        let mut bridges: Vec<(u32, BytesPerSec)> = Vec::new();
        for &cpu in cpus {
            let numa = cpu.attribute("numaid").unwrap_or("?");
            let bridge = self
                .builder
                .vertex(VertexKind::HostBridge, Some(format!("NUMA {numa}")));
            let (rate, of) = socket_rate(cpu);
            for &(other, theirs) in &bridges {
                let rate = if theirs.get() < rate.get() { theirs } else { rate };
                let wire = Wire::new(LinkKind::Socket, rate, SimDuration::ZERO);
                self.builder.cable(other, bridge, wire);
            }
            if cpus.len() > 1 {
                let value = format!("{} GB/s each way", rate.get() / 1e9);
                let from = format!("{of}, by NCCL's table (src/graph/topo.h)");
                self.report
                    .derived
                    .push(Line::new(&format!("NUMA {numa} to others"), value, from));
            }
            bridges.push((bridge, rate));
            let parent = Parent {
                vertex: bridge,
                host_bridge: bridge,
            };
            self.children(cpu, parent);
        }
    }

    fn children(&mut self, node: Node<'a, 'a>, parent: Parent) {
        for child in node.children().filter(Node::is_element) {
            match child.tag_name().name() {
                "pci" => self.pci(child, parent),
                "nic" => {
                    let wire = Wire::new(
                        LinkKind::Pcie,
                        BytesPerSec::new(SAME_CHIP_RATE),
                        SimDuration::ZERO,
                    );
                    self.nic(child, parent, wire, "");
                }
                "pcilink" => {
                    let target = child.attribute("target").unwrap_or_default().to_ascii_lowercase();
                    self.links_of_switches
                        .push((line_of(child), parent.vertex, target));
                }
                _ => self.unknown(child),
            }
        }
    }

    fn unknown(&mut self, node: Node<'_, '_>) {
        let from = format!("line {}", line_of(node));
        self.report
            .unknown
            .push(Line::new(node.tag_name().name(), "an element", from));
    }

    fn pci(&mut self, node: Node<'a, 'a>, parent: Parent) {
        if node.ancestors().take(MOST_LEVELS + 1).count() > MOST_LEVELS {
            let message = format!("`pci` elements nest deeper than {MOST_LEVELS}");
            self.fault(node, message, "close each `pci` before the next one of its level");
            return;
        }
        let Some(bus) = node.attribute("busid").map(str::to_ascii_lowercase) else {
            self.fault(
                node,
                "a `pci` without `busid`".to_owned(),
                "give it one, such as `busid=\"0000:1b:00.0\"`",
            );
            return;
        };
        let Some(rate) = self.lanes(node, &bus) else {
            return;
        };
        let wire = Wire::new(LinkKind::Pcie, rate, SimDuration::ZERO);
        let class = node.attribute("class").unwrap_or_default();
        let child = |name: &str| node.children().find(|child| child.has_tag_name(name));
        if let Some(gpu) = child("gpu") {
            self.device(Some(gpu), &bus, parent, rate);
        } else if let Some(nic) = child("nic") {
            self.nic(nic, parent, wire, &bus);
        } else if class.starts_with(DISPLAY_CLASS) {
            self.report.assumed.push(Line::new(
                &bus,
                "a device",
                format!("no `gpu` inside, but class {class}"),
            ));
            self.device(None, &bus, parent, rate);
        } else if class.starts_with(NETWORK_CLASS) {
            let value = format!("a NIC of {} GB/s", self.usual.nic.get() / 1e9);
            self.report.assumed.push(Line::new(
                &bus,
                value,
                format!("no `net` inside, but class {class}"),
            ));
            let port = self.port(self.usual.nic, SimDuration::ZERO);
            self.add_nic(None, port, parent, wire, bus);
        } else {
            let switch = self.builder.vertex(VertexKind::PcieSwitch, Some(bus.clone()));
            self.builder.cable(switch, parent.vertex, wire);
            self.switches.push((bus, switch));
            self.children(
                node,
                Parent {
                    vertex: switch,
                    ..parent
                },
            );
        }
    }

    /// The rate of the link above a `pci`. NCCL takes 16 lanes where the width is 0, and Gen3 where it does not
    /// know the speed; so do we, and say so.
    fn lanes(&mut self, node: Node<'_, '_>, bus: &str) -> Option<BytesPerSec> {
        let width = node.attribute("link_width").unwrap_or("0");
        let Ok(lanes) = width.trim().parse::<u32>() else {
            self.fault(
                node,
                format!("`link_width=\"{width}\"` is no number of lanes"),
                "write `link_width=\"16\"`",
            );
            return None;
        };
        let speed = node.attribute("link_speed").unwrap_or_default();
        let transfers = speed
            .split_whitespace()
            .next()
            .and_then(|word| word.parse::<f64>().ok());
        let transfers = transfers.filter(|&transfers| transfers > 0.0 && transfers <= 64.0);
        if lanes == 0 || transfers.is_none() {
            let why = format!("link_width=\"{width}\" link_speed=\"{speed}\", as NCCL reads them");
            self.report
                .assumed
                .push(Line::new(bus, "16 lanes or 8 GT/s", why));
        }
        let lanes = if lanes == 0 { 16 } else { lanes.min(64) };
        Some(pcie_rate(lanes, transfers.unwrap_or(8.0)))
    }

    fn device(&mut self, gpu: Option<Node<'a, 'a>>, bus: &str, parent: Parent, rate: BytesPerSec) {
        let picos = if self.has_scale_up {
            0
        } else {
            PCIE_HOP.as_picos() / 2
        };
        let vertex = self.builder.vertex(VertexKind::Device, Some(bus.to_owned()));
        let wire = Wire::new(LinkKind::Pcie, rate, SimDuration::from_picos(picos));
        self.builder.cable(vertex, parent.vertex, wire);
        self.devices.push(Plug {
            bus: bus.to_owned(),
            vertex,
            host_bridge: parent.host_bridge,
            host: self.host,
            element: gpu,
        });
    }

    /// A NIC with its nets; ports of one NIC count as one of their sum.
    fn nic(&mut self, nic: Node<'_, '_>, parent: Parent, wire: Wire, bus: &str) {
        let mut rate = 0.0;
        let (mut name, mut rail, mut latency) = (String::new(), None, 0.0_f64);
        for net in nic.children().filter(|child| child.has_tag_name("net")) {
            let called = net.attribute("name").unwrap_or("net");
            // NCCL leaves out what has no `dev`, and what is there for other uses only (`net="0"`).
            if net.attribute("dev").is_none() || net.attribute("net") == Some("0") {
                self.report.ignored.push(Line::new(
                    called,
                    "a net",
                    "NCCL leaves it out: no `dev`, or `net=\"0\"`",
                ));
                continue;
            }
            let speed = net.attribute("speed").unwrap_or("0");
            let given = speed.trim().parse::<f64>().ok();
            let Some(megabits) = given.filter(|megabits| megabits.abs() <= MOST_MEGABITS) else {
                self.fault(
                    net,
                    format!("`speed=\"{speed}\"` is no number of Mbit/s"),
                    "write Mbit/s, such as `speed=\"400000\"`",
                );
                continue;
            };
            if megabits <= 0.0 {
                let why = format!("speed=\"{speed}\", which NCCL takes for 10 Gbit/s");
                self.report.assumed.push(Line::new(called, "1.25 GB/s", why));
            }
            rate += if megabits > 0.0 { megabits } else { 10_000.0 } * 1e6 / 8.0;
            rail = rail.or_else(|| {
                net.attribute("rail")
                    .and_then(|rail| rail.parse().ok())
                    .filter(|&rail| rail < MOST_RAILS)
            });
            let micros = net.attribute("latency").and_then(|text| text.parse::<f64>().ok());
            latency = latency.max(
                micros
                    .filter(|&micros| (0.0..1e6).contains(&micros))
                    .unwrap_or(0.0),
            );
            if name.is_empty() {
                called.clone_into(&mut name);
            }
        }
        if rate > 0.0 {
            let port = self.port(BytesPerSec::new(rate), SimDuration::from_secs(latency * 1e-6));
            let name = if name == "net" { bus.to_owned() } else { name };
            self.add_nic(rail, port, parent, wire, name);
        }
    }

    /// A port: half of the usual latency, less what PCIe adds, and what the file adds.
    fn port(&self, rate: BytesPerSec, latency: SimDuration) -> Wire {
        let half = SimDuration::from_picos(self.usual.nic_latency.as_picos() / 2);
        let pcie = if self.has_scale_up {
            0
        } else {
            PCIE_HOP.as_picos() / 2
        };
        let base = half.saturating_sub(SimDuration::from_picos(pcie));
        Wire::new(LinkKind::Nic, rate, base + latency)
    }

    fn add_nic(&mut self, rail: Option<u32>, port: Wire, parent: Parent, wire: Wire, name: String) {
        // The rails of every host are numbered alike.
        let before = self
            .hosts_of_nics
            .iter()
            .filter(|host| **host == self.host)
            .count();
        let rail = rail.unwrap_or(number(before));
        let vertex = self.builder.nic(rail, port, Some(name));
        self.builder.cable(vertex, parent.vertex, wire);
        self.hosts_of_nics.push(self.host);
    }

    /// Joins parts of one switch chip.
    fn join_switches(&mut self) {
        let wire = Wire::new(
            LinkKind::Pcie,
            BytesPerSec::new(SAME_CHIP_RATE),
            SimDuration::ZERO,
        );
        let mut joined: Vec<(u32, u32)> = Vec::new();
        for (line, from, target) in std::mem::take(&mut self.links_of_switches) {
            let Some(&(_, to)) = self.switches.iter().find(|switch| switch.0 == target) else {
                let from = format!("line {line}: no such switch, which NCCL passes over");
                self.report.ignored.push(Line::new("pcilink", target, from));
                continue;
            };
            if !joined.contains(&(from.min(to), from.max(to))) {
                joined.push((from.min(to), from.max(to)));
                self.builder.cable(from, to, wire);
            }
        }
    }

    fn finish(mut self, root: Node<'_, '_>, hosts: u32) -> Result<ImportedDomain, ImportFaults> {
        self.join_switches();
        let devices = number(self.devices.len());
        let per_host = devices / hosts.max(1);
        let num_nics = number(self.hosts_of_nics.len());
        let of_host = |host| number(self.devices.iter().filter(|device| device.host == host).count());
        let nics_of = |host| number(self.hosts_of_nics.iter().filter(|&&of| of == host).count());
        let is_even = |host| of_host(host) == per_host && nics_of(host) == num_nics / hosts.max(1);
        if devices == 0 {
            self.fault(
                root,
                "the file has no device".to_owned(),
                "a device is a `pci` with a `gpu` inside",
            );
        } else if !(0..hosts).all(is_even) {
            let message = format!(
                "{hosts} hosts do not share {devices} devices and {} NICs evenly",
                num_nics
            );
            self.fault(
                root,
                message,
                "import one host, and lay it out as often as there are nodes",
            );
        }
        if !self.faults.is_empty() {
            self.faults.sort_by_key(|fault| fault.line);
            return Err(ImportFaults(self.faults));
        }
        let read = &mut self.report.read;
        read.push(Line::new("cluster.node.gpus", per_host, "gpu elements"));
        read.push(Line::new(
            "cluster.node.nics.count",
            num_nics / hosts,
            "nic elements",
        ));
        if hosts > 1 {
            self.report.derived.push(Line::new(
                "domain",
                counted(hosts as usize, "node"),
                "host_hash of cpu",
            ));
        }
        let micros = format!("{} us", self.usual.nic_latency.as_secs() * 1e6);
        let why = "the file has none but `latency` of a net, which is added";
        self.report
            .assumed
            .push(Line::new("cluster.node.nics.latency", micros, why));
        Ok(ImportedDomain {
            domain: self.builder.build(per_host),
            report: self.report,
        })
    }
}

/// The rate between sockets, one way, by CPU: NCCL 2.30.7's table (`src/graph/topo.{h,cc}`), and what it is of.
fn socket_rate(cpu: Node<'_, '_>) -> (BytesPerSec, String) {
    let attribute = |name: &str| cpu.attribute(name).unwrap_or_default();
    let number = |name: &str| attribute(name).parse::<u32>().unwrap_or(0);
    let (arch, vendor) = (attribute("arch"), attribute("vendor"));
    let gigabytes = match (arch, vendor) {
        ("ppc64", _) => 32.0,
        ("arm64", _) => 6.0,
        ("x86_64", "GenuineIntel") => match (number("familyid"), number("modelid")) {
            (6, 0xcf..) => 40.0,
            (6, 0x8f..) => 22.0,
            (6, 0x55..) => 10.0,
            _ => 6.0,
        },
        ("x86_64", "AuthenticAMD") => 16.0,
        ("x86_64", "CentaurHauls" | "  Shanghai  ")
            if (number("familyid"), number("modelid")) == (7, 0x5b) =>
        {
            9.0
        }
        ("x86_64", "CentaurHauls" | "  Shanghai  ") => 6.0,
        _ => 5000.0,
    };
    (
        BytesPerSec::new(gigabytes * 1e9),
        format!("{arch} {vendor}").trim().to_owned(),
    )
}
