//! What a worker is told and answers: one JSON object a line, over its standard input and output.

use orrery_kernels::device::{DeviceFacts, Libraries, Measurement, Sampling};
use orrery_kernels::measure::{Mode, Subject};
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
    /// The device computes what is not true; with what to do.
    Wrong(String),
    /// Why not, with what to do.
    Fault(String),
}
