//! What a device is, whether it answers, and who uses it.

use orrery_units::Bytes;
use serde::{Deserialize, Serialize};

use crate::readings::readings;
use crate::{JobContext, Reading, UnixTime};

readings! {
    /// What does not change while the driver is loaded; read once.
    pub struct Facts {
        /// Version of the driver.
        driver: String = "driver version",
        /// Version of the device's firmware.
        vbios: String = "VBIOS version",
        /// Serial number of the board.
        serial: String = "serial number",
        /// Where it sits on the PCI bus, such as `00000000:1B:00.0`.
        pci_bus_id: String = "PCI address",
        /// Its architecture, such as `Hopper`.
        architecture: String = "architecture",
        /// The NUMA node of the machine that it hangs on.
        numa_node: u32 = "NUMA node",
        /// The highest clock of the multiprocessors.
        max_sm_clock: crate::Hertz = "highest SM clock",
        /// The temperature from which on software slows it down.
        slowdown_temperature: crate::Celsius = "slowdown temperature",
    }
}

/// Whether a device answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceState {
    /// It was read.
    Answering,
    /// A call into the driver has not returned: the driver is wedged, or very slow. No number of the device is
    /// served.
    Silent,
    /// It fell off the bus.
    Lost,
}

impl DeviceState {
    /// All of them, in the order in which they are exported.
    pub const ALL: [Self; 3] = [Self::Answering, Self::Silent, Self::Lost];

    /// Its name in exports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answering => "answering",
            Self::Silent => "silent",
            Self::Lost => "lost",
        }
    }
}

/// Whether a device answers, and for how long it has been so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// Whether it answers.
    pub state: DeviceState,
    /// Since when.
    pub since: UnixTime,
    /// When it was last read, if it ever was; the age of the device's state is counted from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_answer: Option<UnixTime>,
    /// Readings of this device that were left out because the one before had not returned.
    #[serde(default)]
    pub num_missed: u64,
}

/// The performance state: 0 is the fastest, 15 the slowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PerformanceState(pub u32);

/// What the driver asks for to make a device well again: `nvmlDeviceGpuRecoveryAction_t` (field 230).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecoveryAction {
    /// Nothing.
    None,
    /// A reset of the device.
    ResetDevice,
    /// A reboot of the node.
    RebootNode,
    /// That traffic between devices is drained.
    DrainPeers,
    /// That the device is drained, then reset.
    DrainAndReset,
    /// A number that this program does not know.
    Other(u64),
}

impl RecoveryAction {
    /// The action of that number in nvml.h.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        match number {
            0 => Self::None,
            1 => Self::ResetDevice,
            2 => Self::RebootNode,
            3 => Self::DrainPeers,
            4 => Self::DrainAndReset,
            other => Self::Other(other),
        }
    }

    /// Its name in exports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ResetDevice => "reset_device",
            Self::RebootNode => "reboot_node",
            Self::DrainPeers => "drain_peers",
            Self::DrainAndReset => "drain_and_reset",
            Self::Other(_) => "other",
        }
    }
}

/// A process that holds memory of a device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// Its number, in the namespace of the driver.
    pub pid: u32,
    /// Its command, of at most [`Process::LONGEST_NAME`] characters; empty where it cannot be seen.
    pub name: String,
    /// Memory of the device that it holds.
    pub memory: Reading<Bytes>,
    /// The MIG instance that it runs on, if on one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_instance: Option<u32>,
    /// The job that it belongs to, as far as that can be seen.
    #[serde(default, skip_serializing_if = "JobContext::is_empty")]
    pub job: JobContext,
}

impl Process {
    /// Characters of a name that are kept: names become labels.
    pub const LONGEST_NAME: usize = 64;
    /// Processes of one device that are kept.
    pub const MOST: usize = 64;
}

readings! {
    /// How the device is divided (multi-instance GPU).
    pub struct Mig {
        /// Whether it is divided now.
        is_enabled: bool = "MIG mode",
        /// Whether it is divided after the next reset.
        is_pending: bool = "pending MIG mode",
        /// The instances, in order; empty where it is not divided.
        instances: Vec<MigInstance> = "MIG instances",
    }
}

/// One instance of a divided device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MigInstance {
    /// Its number in the device.
    pub index: u32,
    /// Its own name.
    pub uuid: String,
    /// Its profile, such as `NVIDIA H100 80GB HBM3 MIG 1g.10gb`.
    pub name: String,
    /// Number of its GPU instance.
    pub gpu_instance: Reading<u32>,
    /// Number of its compute instance.
    pub compute_instance: Reading<u32>,
    /// Memory in use.
    pub memory_used: Reading<Bytes>,
    /// All its memory.
    pub memory_total: Reading<Bytes>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_and_actions_have_one_name_on_the_wire_and_in_exports() {
        for state in DeviceState::ALL {
            assert_eq!(
                serde_json::to_string(&state).unwrap(),
                format!("\"{}\"", state.name())
            );
        }
        for number in 0..5 {
            let action = RecoveryAction::from_number(number);
            assert_eq!(
                serde_json::to_string(&action).unwrap(),
                format!("\"{}\"", action.name())
            );
        }
        assert_eq!(RecoveryAction::from_number(9), RecoveryAction::Other(9));
    }
}
