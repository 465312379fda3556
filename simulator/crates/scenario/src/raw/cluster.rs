//! `[cluster]`: what it runs on.

use orrery_units::Dimension;

use super::fabric::{FABRIC, FAULT, RawFabric, RawFault};
use super::key::{Key, Kind};
use super::view::{Given, View};

const PEAKS: &[Key] = &[
    Key::new("fp32", Kind::Quantity(Dimension::FlopRate), "Dense FP32 peak."),
    Key::new("tf32", Kind::Quantity(Dimension::FlopRate), "Dense TF32 peak."),
    Key::new("bf16", Kind::Quantity(Dimension::FlopRate), "Dense BF16 peak."),
    Key::new("fp16", Kind::Quantity(Dimension::FlopRate), "Dense FP16 peak."),
    Key::new("fp8", Kind::Quantity(Dimension::FlopRate), "Dense FP8 peak."),
    Key::new("int8", Kind::Quantity(Dimension::FlopRate), "Dense INT8 peak."),
    Key::new("fp4", Kind::Quantity(Dimension::FlopRate), "Dense FP4 peak."),
];

const SCALE_UP: &[Key] = &[
    Key::new(
        "kind",
        Kind::Choice(&["nvswitch"]),
        "What joins the devices of a node.",
    ),
    Key::new(
        "per_gpu",
        Kind::Quantity(Dimension::DataRate),
        "Bandwidth of one device into it.",
    ),
    Key::new(
        "direction",
        Kind::Choice(&["each-way", "both-ways"]),
        "Whether `per_gpu` counts one way or the sum of both.",
    ),
    Key::new("latency", Kind::Quantity(Dimension::Time), "Latency of a hop."),
];

const NICS: &[Key] = &[
    Key::new("count", Kind::Integer(1), "NICs in a node."),
    Key::new(
        "rate",
        Kind::Quantity(Dimension::DataRate),
        "Rate of one NIC, one way.",
    ),
    Key::new(
        "latency",
        Kind::Quantity(Dimension::Time),
        "NIC-to-NIC latency on an idle fabric.",
    ),
];

const NODE: &[Key] = &[
    Key::new("gpu", Kind::Text, "Device, as the hardware catalogue calls it.")
        .required()
        .also(&["device", "sku", "accelerator"]),
    Key::new("gpus", Kind::Integer(1), "Devices in a node.").also(&["gpus_per_node", "devices", "count"]),
    Key::new("hbm", Kind::Quantity(Dimension::Data), "Device memory.").also(&["memory"]),
    Key::new("hbm_bw", Kind::Quantity(Dimension::DataRate), "Memory bandwidth.").also(&["bandwidth"]),
    Key::new(
        "power_limit",
        Kind::Quantity(Dimension::Power),
        "Power that a board is held to; asks for power, clock and energy by the power model.",
    )
    .also(&["tdp"]),
    Key::new("peak", Kind::Table(PEAKS), "Dense arithmetic peaks by format."),
    Key::new("scale_up", Kind::Table(SCALE_UP), "Network inside a node.").also(&["nvlink"]),
    Key::new("nics", Kind::Table(NICS), "Network cards of a node.").also(&["nic"]),
    Key::new(
        "topology",
        Kind::Text,
        "NCCL's topology dump (`NCCL_TOPO_DUMP_FILE`) or the output of `nvidia-smi topo -m`, relative to this file.",
    ),
];

pub(crate) const KEYS: &[Key] = &[
    Key::new("nodes", Kind::Integer(1), "Nodes.")
        .required()
        .also(&["num_nodes"]),
    Key::new("node", Kind::Table(NODE), "What a node is.").required(),
    Key::new("fabric", Kind::Table(FABRIC), "What joins the nodes."),
    Key::new(
        "fault",
        Kind::Named(FAULT),
        "What is wrong with a link or a switch, and when.",
    ),
];

#[derive(Debug)]
pub(crate) struct RawCluster<'a> {
    pub(crate) nodes: Option<Given<u64>>,
    pub(crate) gpu: Option<Given<String>>,
    pub(crate) gpus: Option<Given<u64>>,
    pub(crate) hbm: Option<Given<f64>>,
    pub(crate) hbm_bw: Option<Given<f64>>,
    pub(crate) power_limit: Option<Given<f64>>,
    pub(crate) peak: View<'a>,
    pub(crate) scale_up: Option<Given<f64>>,
    pub(crate) direction: Option<Given<String>>,
    pub(crate) scale_up_latency: Option<Given<f64>>,
    pub(crate) nics: Option<Given<u64>>,
    pub(crate) nic_rate: Option<Given<f64>>,
    pub(crate) nic_latency: Option<Given<f64>>,
    pub(crate) node_topology: Option<Given<String>>,
    pub(crate) fabric: RawFabric,
    pub(crate) faults: Vec<RawFault>,
}

impl<'a> RawCluster<'a> {
    pub(crate) fn read(view: View<'a>) -> Self {
        let node = view.table("node");
        let (scale_up, nics) = (node.table("scale_up"), node.table("nics"));
        Self {
            nodes: view.integer("nodes"),
            gpu: node.text("gpu"),
            gpus: node.integer("gpus"),
            hbm: node.quantity("hbm", Dimension::Data),
            hbm_bw: node.quantity("hbm_bw", Dimension::DataRate),
            power_limit: node.quantity("power_limit", Dimension::Power),
            peak: node.table("peak"),
            scale_up: scale_up.quantity("per_gpu", Dimension::DataRate),
            direction: scale_up.text("direction"),
            scale_up_latency: scale_up.quantity("latency", Dimension::Time),
            nics: nics.integer("count"),
            nic_rate: nics.quantity("rate", Dimension::DataRate),
            nic_latency: nics.quantity("latency", Dimension::Time),
            node_topology: node.text("topology"),
            fabric: RawFabric::read(view),
            faults: RawFault::read(view),
        }
    }
}
