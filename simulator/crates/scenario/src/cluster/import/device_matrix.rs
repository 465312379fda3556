//! A node out of the vendor's device matrix: scale-up links as printed, PCIe as the tree that explains the cells.

use orrery_units::{BytesPerSec, SimDuration};

use super::matrix_text::{Relation, Row, rows};
use super::{ImportFault, ImportFaults, ImportedDomain, Usual, counted};
use crate::cluster::device::{device_wiring, most_links};
use crate::cluster::link::{LinkKind, VertexKind, Wire, number};
use crate::cluster::node::DomainBuilder;
use crate::cluster::shapes::{PCIE_HOP, SOCKET_RATE};
use crate::import::{Line, Report};

/// One NVLink of Ampere and Hopper, one way: 25 GB/s (300 / 12 and 450 / 18 of the hardware catalogue).
const LINK_RATE: f64 = 25e9;

/// PCIe Gen5 x16, one way: 63 GB/s (hardware catalogue).
const PCIE_RATE: f64 = 63e9;

/// The node whose matrix, as `nvidia-smi topo -m` prints it, is `text`.
///
/// The matrix has no rates: those of the device named in `usual` are taken, else NVLinks of 25 GB/s and PCIe of 63.
/// Devices that are all joined by the same `NV#`, by more links than any device has in all, sit on a switch;
/// else each `NV#` is a bundle between two of them. PCIe is the least tree that explains the other cells.
///
/// # Errors
/// Every line that is wrong, and how to mend it.
pub fn device_matrix(text: &str, usual: &Usual) -> Result<ImportedDomain, ImportFaults> {
    let rows = rows(text)?;
    let devices = rows.iter().filter(|row| row.is_device).count();
    if devices == 0 {
        return Err(ImportFault::new(
            0,
            "the matrix has no device",
            "paste all that `nvidia-smi topo -m` prints",
        )
        .into());
    }
    let mut report = Report::default();
    report
        .read
        .push(Line::new("cluster.node.gpus", devices, "rows GPU0 and so on"));
    report.read.push(Line::new(
        "cluster.node.nics.count",
        rows.len() - devices,
        "other rows",
    ));
    let rates = Rates::of(usual, &mut report)?;
    let mut builder = DomainBuilder::default();
    let has_links = rows
        .iter()
        .any(|row| row.cells.iter().any(|cell| matches!(cell, Relation::Links(_))));
    let vertices = members(&rows, usual, has_links, &mut builder, &mut report);
    scale_up(&rows, &vertices, &rates, usual, &mut builder, &mut report);
    let latency = SimDuration::from_picos(if has_links { 0 } else { PCIE_HOP.as_picos() / 2 });
    Tree {
        rows: &rows,
        vertices: &vertices,
        wire: Wire::new(LinkKind::Pcie, rates.pcie, SimDuration::ZERO),
        device_wire: Wire::new(LinkKind::Pcie, rates.pcie, latency),
    }
    .build(&mut builder, &mut report);
    Ok(ImportedDomain {
        domain: builder.build(number(devices)),
        report,
    })
}

/// What the matrix does not say of wires.
#[derive(Debug)]
struct Rates {
    link: BytesPerSec,
    pcie: BytesPerSec,
}

impl Rates {
    fn of(usual: &Usual, report: &mut Report) -> Result<Self, ImportFault> {
        let Some(name) = &usual.device else {
            let why = "the matrix does not say; name the device to have its own";
            report
                .assumed
                .push(Line::new("one NVLink", "25 GB/s each way", why));
            report
                .assumed
                .push(Line::new("cluster.node.pcie", "63 GB/s each way", why));
            return Ok(Self {
                link: BytesPerSec::new(LINK_RATE),
                pcie: BytesPerSec::new(PCIE_RATE),
            });
        };
        let wiring = crate::catalog::hardware(name)
            .ok()
            .and_then(|entry| device_wiring(&entry.device.name));
        let Some(wiring) = wiring else {
            let message = format!("no device `{name}` in the hardware catalogue");
            return Err(ImportFault::new(
                0,
                message,
                "name one, such as `H100-SXM5-80GB`, or none",
            ));
        };
        let rates = Self {
            link: wiring.per_link().unwrap_or_else(|| BytesPerSec::new(LINK_RATE)),
            pcie: wiring.pcie.unwrap_or_else(|| BytesPerSec::new(PCIE_RATE)),
        };
        let gigabytes = |rate: BytesPerSec| format!("{} GB/s each way", rate.get() / 1e9);
        report.derived.push(Line::new(
            "one NVLink",
            gigabytes(rates.link),
            format!("{} in the catalogue", wiring.name),
        ));
        report
            .derived
            .push(Line::new("cluster.node.pcie", gigabytes(rates.pcie), wiring.name));
        Ok(rates)
    }
}

/// The vertices of the rows.
fn members(
    rows: &[Row],
    usual: &Usual,
    has_links: bool,
    builder: &mut DomainBuilder,
    report: &mut Report,
) -> Vec<u32> {
    let half = SimDuration::from_picos(usual.nic_latency.as_picos() / 2);
    let pcie = SimDuration::from_picos(if has_links { 0 } else { PCIE_HOP.as_picos() / 2 });
    let port = Wire::new(LinkKind::Nic, usual.nic, half.saturating_sub(pcie));
    let mut rails = 0..;
    let vertices = rows
        .iter()
        .map(|row| {
            let name = Some(row.alias.as_ref().unwrap_or(&row.name).clone());
            if row.is_device {
                builder.vertex(VertexKind::Device, name)
            } else {
                builder.nic(rails.next().unwrap_or(0), port, name)
            }
        })
        .collect();
    if rows.iter().any(|row| !row.is_device) {
        let rate = format!("{} GB/s each way", usual.nic.get() / 1e9);
        report.assumed.push(Line::new(
            "cluster.node.nics.rate",
            rate,
            "the matrix has no rates",
        ));
    }
    vertices
}

fn scale_up(
    rows: &[Row],
    vertices: &[u32],
    rates: &Rates,
    usual: &Usual,
    builder: &mut DomainBuilder,
    report: &mut Report,
) {
    let devices: Vec<usize> = (0..rows.len()).filter(|&row| rows[row].is_device).collect();
    let mut pairs = Vec::new();
    for (position, &one) in devices.iter().enumerate() {
        for &other in &devices[position + 1..] {
            if let Relation::Links(links) = rows[one].cells[other] {
                pairs.push((one, other, links));
            }
        }
    }
    let Some(&(_, _, links)) = pairs.first() else {
        return;
    };
    let others = number(devices.len() - 1);
    let is_whole = pairs.len() * 2 == devices.len() * (devices.len() - 1);
    let is_alike = pairs.iter().all(|pair| pair.2 == links);
    let latency = usual.scale_up_latency.as_picos();
    if is_whole && is_alike && links * others > most_links() {
        let switch = builder.vertex(VertexKind::ScaleUpSwitch, None);
        let half = SimDuration::from_picos(latency / 2);
        let wire = Wire::new(LinkKind::ScaleUp, rates.link.scaled(f64::from(links)), half);
        for &device in &devices {
            builder.cable(vertices[device], switch, wire);
        }
        let why = format!(
            "all pairs are NV{links}, and {} links are more than any device has",
            links * others
        );
        report
            .derived
            .push(Line::new("cluster.node.scale_up.kind", "a switch", why));
        return;
    }
    for &(one, other, links) in &pairs {
        let rate = rates.link.scaled(f64::from(links));
        let wire = Wire::new(LinkKind::ScaleUp, rate, SimDuration::from_picos(latency));
        builder.cable(vertices[one], vertices[other], wire);
    }
    let kind = counted(pairs.len(), "bundle");
    report.derived.push(Line::new(
        "cluster.node.scale_up.kind",
        kind,
        "a bundle of links for each NV# pair",
    ));
}

/// PCIe as a tree.
#[derive(Debug)]
struct Tree<'a> {
    rows: &'a [Row],
    vertices: &'a [u32],
    wire: Wire,
    device_wire: Wire,
}

impl Tree<'_> {
    /// Whether two rows are known to be no further apart than `within`.
    fn are_near(&self, one: usize, other: usize, within: Relation) -> bool {
        let cell = self.rows[one].cells[other];
        match cell {
            Relation::Same => true,
            // Scale-up links hide how PCIe lies; the socket is still printed.
            Relation::Links(_) => {
                let numa = self.rows[one].numa;
                within >= Relation::NumaNode && numa.is_some() && numa == self.rows[other].numa
            }
            _ => cell <= within,
        }
    }

    /// `members` split into the groups within which a chain of near neighbours leads everywhere.
    fn groups(&self, members: &[usize], within: Relation) -> Vec<Vec<usize>> {
        let mut left: Vec<usize> = members.to_vec();
        let mut groups = Vec::new();
        while !left.is_empty() {
            let mut group = vec![left.remove(0)];
            let mut head = 0;
            while head < group.len() {
                let here = group[head];
                head += 1;
                let (near, far): (Vec<usize>, Vec<usize>) = left
                    .iter()
                    .partition(|&&other| self.are_near(here, other, within));
                group.extend(near);
                left = far;
            }
            group.sort_unstable();
            groups.push(group);
        }
        groups
    }

    fn build(&self, builder: &mut DomainBuilder, report: &mut Report) {
        let across = Wire::new(LinkKind::Socket, BytesPerSec::new(SOCKET_RATE), SimDuration::ZERO);
        let inside = Wire {
            kind: LinkKind::HostBridge,
            ..self.wire
        };
        let all: Vec<usize> = (0..self.rows.len()).collect();
        let sockets = self.groups(&all, Relation::NumaNode);
        let mut first_bridges: Vec<u32> = Vec::new();
        for socket in &sockets {
            let mut bridges = Vec::new();
            for group in self.groups(socket, Relation::HostBridge) {
                let bridge = builder.vertex(VertexKind::HostBridge, None);
                self.below_bridge(&group, bridge, builder);
                for &other in &bridges {
                    builder.cable(other, bridge, inside);
                }
                bridges.push(bridge);
            }
            for &other in &first_bridges {
                builder.cable(other, bridges[0], across);
            }
            first_bridges.push(bridges[0]);
        }
        report.derived.push(Line::new(
            "sockets",
            sockets.len(),
            "SYS cells and the NUMA column",
        ));
        if sockets.len() > 1 {
            let rate = format!("{} GB/s each way", SOCKET_RATE / 1e9);
            report.assumed.push(Line::new(
                "between sockets",
                rate,
                "what NCCL assumes of AMD hosts (`AMD_BW`)",
            ));
        }
    }

    fn below_bridge(&self, group: &[usize], bridge: u32, builder: &mut DomainBuilder) {
        for cluster in self.groups(group, Relation::Switches) {
            let switched = self.groups(&cluster, Relation::OneSwitch);
            let above = if switched.len() > 1 {
                let upper = builder.vertex(VertexKind::PcieSwitch, None);
                builder.cable(upper, bridge, self.wire);
                upper
            } else {
                bridge
            };
            for members in switched {
                let top = if members.len() > 1 {
                    let switch = builder.vertex(VertexKind::PcieSwitch, None);
                    builder.cable(switch, above, self.wire);
                    switch
                } else {
                    above
                };
                for member in members {
                    let is_device = self.rows[member].is_device;
                    let wire = if is_device { self.device_wire } else { self.wire };
                    builder.cable(self.vertices[member], top, wire);
                }
            }
        }
    }
}
