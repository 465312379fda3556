//! One collective on one machine: every algorithm at every size, by the law of the platform that was measured.

use orrery_operation::CollectiveOp;
use orrery_profile::Platform;
use orrery_scenario::catalog::hardware;
use orrery_units::{Bytes, SimDuration};
use orrery_workload::collective::law::{Call, Forced, Machine, candidates};
use thiserror::Error;

use crate::validate::{Device, operation, shipped_platforms};

/// What is asked, as people write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked<'a> {
    /// The operation, such as `all_reduce`.
    pub op: &'a str,
    /// The device, by any of its names.
    pub gpu: &'a str,
    /// Nodes.
    pub nodes: u32,
    /// Devices of a node; those of the device's usual node if none are named.
    pub per_node: Option<u32>,
    /// The NIC of the platform, such as `ib-ndr`.
    pub nic: &'a str,
    /// How the sweep of the platform was launched.
    pub launcher: &'a str,
    /// Whether the switches reduce.
    pub sharp: bool,
}

/// Why a collective cannot be asked about.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CollectiveError {
    /// There is no such operation.
    #[error(
        "`{0}` is no collective\n  = help: use all_reduce, all_gather, reduce_scatter, all_to_all, broadcast, reduce or \
         send_recv"
    )]
    NoOperation(String),
    /// There is no such device.
    #[error("no device `{gpu}`\n  = help: use one of {names}")]
    NoDevice {
        /// What was asked for.
        gpu: String,
        /// What there is.
        names: String,
    },
    /// There is nobody to talk to.
    #[error("a collective needs two ranks\n  = help: `--nodes 2 --gpus-per-node 8`")]
    OneRank,
    /// Nothing like it was measured.
    #[error("no sweep of `{family}` was fitted\n  = help: measured platforms are {names}")]
    NoPlatform {
        /// The family of the device.
        family: String,
        /// What was measured.
        names: String,
    },
}

/// The machine, and the call but for its size.
#[derive(Clone, Debug)]
pub struct Question {
    platform: Platform,
    exact: bool,
    machine: Machine,
    call: Call,
}

/// One algorithm at one size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer {
    /// The algorithm with its protocol.
    pub name: &'static str,
    /// What it takes.
    pub time: SimDuration,
    /// Bytes over time, GB/s (nccl-tests, algbw).
    pub algorithm_bandwidth: f64,
    /// The same times the bus factor of the operation (nccl-tests, busbw).
    pub bus_bandwidth: f64,
}

impl Question {
    /// The question that was `asked`.
    ///
    /// # Errors
    /// When there is no such operation or device, one rank, or nothing like it was measured.
    pub fn new(asked: &Asked<'_>) -> Result<Self, CollectiveError> {
        let op = operation(asked.op).ok_or_else(|| CollectiveError::NoOperation(asked.op.to_owned()))?;
        let entry = hardware(asked.gpu).map_err(|names| CollectiveError::NoDevice {
            gpu: asked.gpu.to_owned(),
            names: names.join(", "),
        })?;
        let per_node = asked.per_node.unwrap_or(entry.num_devices);
        if asked.nodes.checked_mul(per_node).is_none_or(|ranks| ranks < 2) {
            return Err(CollectiveError::OneRank);
        }
        let device = Device::find(&entry.device.name);
        let family = device
            .as_ref()
            .map_or(entry.device.name.as_str(), |device| &device.family);
        let set = shipped_platforms();
        let wanted = |family: &str| format!("{family}|{}|{}", asked.nic, asked.launcher);
        let like = device
            .as_ref()
            .and_then(|device| device.like.as_deref())
            .map(wanted);
        let found = set.nearest(&wanted(family), like.as_deref());
        let (Some((platform, exact)), Some(device)) = (found, &device) else {
            let names: Vec<&str> = set
                .platforms
                .iter()
                .map(|platform| platform.name.as_str())
                .collect();
            return Err(CollectiveError::NoPlatform {
                family: family.to_owned(),
                names: names.join(", "),
            });
        };
        let ranks = f64::from(asked.nodes * per_node);
        let nodes = device.nodes(ranks, f64::from(asked.nodes));
        Ok(Self {
            platform: platform.clone(),
            exact,
            machine: device.machine(ranks, nodes, None),
            call: Call {
                op,
                ranks,
                nodes,
                bytes: Bytes::ZERO,
                out_of_place: false,
                forced: if asked.sharp { Forced::Sharp } else { Forced::None },
                tuned: false,
            },
        })
    }

    /// Every algorithm at `bytes`; the first is the one that NCCL takes.
    #[must_use]
    pub fn answers(&self, bytes: Bytes) -> Vec<Answer> {
        let call = Call { bytes, ..self.call };
        let factor = call.op.bus_factor(self.ranks());
        candidates(&self.platform.law, &self.machine, &call)
            .into_iter()
            .map(|(candidate, time)| {
                let rate = bytes.as_f64() / time.as_secs() / 1e9;
                Answer {
                    name: candidate.name,
                    time,
                    algorithm_bandwidth: rate,
                    bus_bandwidth: rate * factor,
                }
            })
            .collect()
    }

    /// The operation.
    #[must_use]
    pub const fn op(&self) -> CollectiveOp {
        self.call.op
    }

    /// Ranks.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "ranks came from two whole numbers"
    )]
    pub const fn ranks(&self) -> u64 {
        self.call.ranks as u64
    }

    /// Nodes that take part: as many as a scale-up domain leaves.
    #[must_use]
    pub const fn nodes(&self) -> f64 {
        self.call.nodes
    }

    /// The platform whose law answers.
    #[must_use]
    pub fn platform(&self) -> &str {
        &self.platform.name
    }

    /// Whether that platform is the one that was asked about, rather than the nearest that was measured.
    #[must_use]
    pub const fn is_exact(&self) -> bool {
        self.exact
    }

    /// What is asked, in words.
    #[must_use]
    pub fn title(&self) -> String {
        format!(
            "{} of {} ranks on {} nodes, platform {}",
            self.call.op.name(),
            self.call.ranks,
            self.call.nodes,
            self.platform.name
        )
    }
}
