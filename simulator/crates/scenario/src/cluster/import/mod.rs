//! Topologies out of what real machines print: NCCL's topology dump, the vendor's device matrix, Slurm's
//! `topology.conf`.
//!
//! The first two describe one node and give a [`Domain`], the third gives the switches above the
//! nodes. Each comes with a report of what was read, derived and assumed; broken input gives lines and fixes.

mod device_matrix;
mod hostlist;
mod matrix_text;
mod nccl_links;
mod nccl_xml;
mod slurm;

use std::fmt;

use orrery_units::{BytesPerSec, SimDuration};

use super::fabric::FabricShape;
use super::link::number;
use super::node::Domain;
use super::topology::Blueprint;
use crate::import::Report;

pub use device_matrix::device_matrix;
pub use hostlist::hostlist;
pub use nccl_xml::nccl_xml;
pub use slurm::{SlurmTopology, slurm_topology};

/// What the formats do not say.
#[derive(Clone, Debug, PartialEq)]
pub struct Usual {
    /// The device, as the hardware catalogue calls it; absent when it is not known.
    pub device: Option<String>,
    /// Rate of a NIC, one way.
    pub nic: BytesPerSec,
    /// Latency from device to device through both NICs and one leaf.
    pub nic_latency: SimDuration,
    /// Latency from device to device over the scale-up network.
    pub scale_up_latency: SimDuration,
    /// Capacity into a switch over capacity out of it.
    pub oversubscription: f64,
    /// Time that a link between switches adds.
    pub switch_latency: SimDuration,
}

/// A node that was read.
#[derive(Clone, Debug)]
pub struct ImportedDomain {
    /// The node, or the domain of several.
    pub domain: Domain,
    /// What was read, derived and assumed.
    pub report: Report,
}

/// A fault in the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportFault {
    /// Line, from 1; 0 for the input as a whole.
    pub line: usize,
    /// What is wrong.
    pub message: String,
    /// What would work.
    pub help: String,
}

/// Every fault of an input; never none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportFaults(pub Vec<ImportFault>);

impl Usual {
    /// NICs of 400 Gbit/s (the most common of scenarios/hardware/pods.csv), NCCL's latencies of a ring step with
    /// the LL protocol (0.6 µs over NVLink, 2.7 µs over the network), switches of 0.3 µs (assumed) that do not
    /// block: the defaults of `[cluster]`.
    #[must_use]
    pub fn values() -> Self {
        Self {
            device: None,
            nic: BytesPerSec::new(50e9),
            nic_latency: SimDuration::from_nanos(2_700),
            scale_up_latency: SimDuration::from_nanos(600),
            oversubscription: 1.0,
            switch_latency: SimDuration::from_nanos(300),
        }
    }
}

impl ImportedDomain {
    /// The blueprint of `num_nodes` such nodes below `fabric`.
    #[must_use]
    pub fn blueprint(self, num_nodes: u32, fabric: FabricShape) -> Blueprint {
        let assumed = self.report.assumed.into_iter();
        Blueprint {
            domain: self.domain,
            num_nodes,
            fabric,
            assumptions: assumed
                .map(|line| crate::plan::Assumption {
                    key: line.field,
                    value: line.value,
                    reason: line.from,
                })
                .collect(),
        }
    }

    /// The blueprint of this alone.
    #[must_use]
    pub fn alone(self) -> Blueprint {
        let num_nodes = self.domain.num_nodes();
        self.blueprint(num_nodes, FabricShape::None)
    }
}

impl ImportFault {
    fn new(line: usize, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            line,
            message: message.into(),
            help: help.into(),
        }
    }
}

impl fmt::Display for ImportFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        write!(f, "{}\n  = help: {}", self.message, self.help)
    }
}

impl fmt::Display for ImportFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for ImportFault {}
impl std::error::Error for ImportFaults {}

impl From<ImportFault> for ImportFaults {
    fn from(fault: ImportFault) -> Self {
        Self(vec![fault])
    }
}

/// A lane count, a rate in units of 10^9 transfers per second: bytes per second one way.
///
/// `lanes · rate · code / 8`, where the code is 8b/10b up to 5 GT/s, 128b/130b up to 32, and 242 of 256 bytes of a
/// flit at 64. Gen5 x16: 16 · 32 · (128/130) / 8 = 63.0 GB/s, the figure of the hardware catalogue. Ignores
/// packet headers.
fn pcie_rate(lanes: u32, giga_transfers: f64) -> BytesPerSec {
    let code = match giga_transfers {
        slow if slow <= 5.0 => 8.0 / 10.0,
        middle if middle <= 32.0 => 128.0 / 130.0,
        _ => 242.0 / 256.0,
    };
    BytesPerSec::new(f64::from(lanes) * giga_transfers * 1e9 * code / 8.0)
}

/// `count` things, for a report.
fn counted(count: usize, what: &str) -> String {
    format!("{} {what}{}", number(count), if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pcie_rates_are_those_of_the_catalogue() {
        let gigabytes = |transfers| pcie_rate(16, transfers).get() / 1e9;
        assert!((gigabytes(32.0) - 63.0).abs() < 0.1, "{}", gigabytes(32.0));
        assert!((gigabytes(16.0) - 31.5).abs() < 0.1, "{}", gigabytes(16.0));
        assert!((gigabytes(2.5) - 4.0).abs() < 1e-9, "{}", gigabytes(2.5));
    }
}
