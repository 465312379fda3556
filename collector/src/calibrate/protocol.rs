//! What a worker is told and answers: one JSON object a line, over its standard input and output.

use orrery_kernels::device::{DeviceFacts, Identity, Launching, Libraries, Measurement, Sampling};
use orrery_kernels::measure::{Mode, Subject};
use orrery_operation::CollectiveOp;
use serde::{Deserialize, Serialize};

/// To the worker; the end of its input ends it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Which libraries are there? Nothing is called.
    Libraries,
    /// Which devices are there? None is opened.
    Devices,
    /// What is this device?
    Look {
        /// Which, as the driver counts.
        device: usize,
    },
    /// Measure.
    Measure {
        /// Which device.
        device: usize,
        /// What.
        subject: Subject,
        /// How.
        mode: Mode,
        /// How long.
        sampling: Sampling,
    },
    /// What shall ranks of collectives find each other by?
    Identity,
    /// Be a rank of collectives. What follows is told to all ranks at once, and carried out by all.
    Join {
        /// With which device.
        device: usize,
        /// Which rank.
        rank: usize,
        /// Of how many.
        ranks: usize,
        /// What they find each other by.
        identity: Identity,
    },
    /// Make the operands of a collective, and see whether it is right.
    Begin {
        /// Which.
        op: CollectiveOp,
        /// Size, as nccl-tests counts it.
        bytes: u64,
    },
    /// Batches are to be of so many launches.
    Prepare {
        /// Launches.
        launches: usize,
        /// Whether they are to be replayed from a graph.
        replayed: bool,
    },
    /// Time so many batches.
    Time {
        /// Batches.
        batches: usize,
    },
}

/// From the worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The libraries, and the version of NVRTC or why there is none.
    Libraries {
        /// Those of the device.
        found: Libraries,
        /// The compiler.
        nvrtc: Result<String, String>,
    },
    /// Identities of the devices, in the order in which the driver counts.
    Devices(Vec<String>),
    /// The device.
    Facts(DeviceFacts),
    /// What was measured.
    Measured(Box<Measurement>),
    /// What ranks find each other by.
    Identity(Identity),
    /// It is a rank now.
    Joined,
    /// The relative error of what this rank ended with.
    Checked(f64),
    /// How launches of a batch get to the device, and the relative error of what a graph left.
    Prepared {
        /// How.
        launching: Launching,
        /// Of graphs alone.
        error: Option<f64>,
    },
    /// Picoseconds of one launch in each batch, as this rank saw them.
    Times(Vec<u64>),
    /// The device computes what is not true; with what to do.
    Wrong(String),
    /// Why not, with what to do.
    Fault(String),
}
