//! What a source read of its devices at one instant.

use orrery_units::{Bytes, Joules, Ratio, SimTime, Watts};
use serde::{Deserialize, Serialize};

use crate::{
    Absence, Activity, Celsius, Collective, DeviceState, Ecc, Facts, Hertz, HostSample, Mig, NvLink, Origin,
    Pcie, PerformanceState, Presence, Process, Reading, RecoveryAction, RemappedRows, Throttle,
    ThrottleTimes, UnixTime, Xids,
};

/// What a source read of its devices at one instant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The source, such as `nvml`.
    pub source: String,
    /// What the numbers are: a demonstration never looks like a measurement.
    pub origin: Origin,
    /// Which reading of this source it is, counted from 0; a gap means that samples were dropped.
    pub sequence: u64,
    /// Time since the source began, on a clock that only goes forward.
    pub at: SimTime,
    /// The wall clock when it was taken.
    pub taken: UnixTime,
    /// The devices, in the order of their nodes and numbers; none for a source that reads something else.
    pub devices: Vec<DeviceSample>,
    /// The machine, for a source that reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Box<HostSample>>,
    /// Collectives that ended since the sample before, for a source that hears of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub collectives: Vec<Collective>,
}

/// Which device it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeviceIdentity {
    /// The node it sits in.
    pub node: String,
    /// Its number in the node.
    pub index: u32,
    /// Its own name, which survives a change of order.
    pub uuid: String,
    /// Its model.
    pub model: String,
}

/// The readings of one device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceSample {
    /// Which device.
    pub identity: DeviceIdentity,
    /// Share of time in which at least one kernel ran. Not how much of the device worked.
    pub utilization: Reading<Ratio>,
    /// Memory in use.
    pub memory_used: Reading<Bytes>,
    /// Memory not in use.
    pub memory_free: Reading<Bytes>,
    /// Memory that the driver keeps for itself.
    pub memory_reserved: Reading<Bytes>,
    /// All memory of the device.
    pub memory_total: Reading<Bytes>,
    /// Power drawn.
    pub power: Reading<Watts>,
    /// Power that the device may draw.
    pub power_limit: Reading<Watts>,
    /// Energy since the driver was loaded.
    pub energy: Reading<Joules>,
    /// Clock of the multiprocessors.
    pub sm_clock: Reading<Hertz>,
    /// Clock of the memory.
    pub memory_clock: Reading<Hertz>,
    /// Temperature of the chip.
    pub temperature: Reading<Celsius>,
    /// What holds the clocks down now; empty when nothing does.
    pub throttles: Reading<Vec<Throttle>>,
    /// Activity of the units since the activity before.
    pub activity: Activity,
    /// Whether the device answers, and since when; nothing from a source that does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presence: Option<Presence>,
    /// What does not change.
    #[serde(default)]
    pub facts: Facts,
    /// Temperature of the memory (field 82).
    #[serde(default = "not_sent")]
    pub memory_temperature: Reading<Celsius>,
    /// The performance state.
    #[serde(default = "not_sent")]
    pub performance_state: Reading<PerformanceState>,
    /// Power drawn at this instant (field 186).
    #[serde(default = "not_sent")]
    pub power_instant: Reading<Watts>,
    /// Power drawn, mean over the last second (field 185).
    #[serde(default = "not_sent")]
    pub power_average: Reading<Watts>,
    /// For how long each reason held the clocks down.
    #[serde(default)]
    pub throttle_times: ThrottleTimes,
    /// Memory errors.
    #[serde(default)]
    pub ecc: Ecc,
    /// Memory rows that spare ones stand in for.
    #[serde(default)]
    pub remapped_rows: RemappedRows,
    /// Errors that the driver reported as events.
    #[serde(default = "not_sent")]
    pub xids: Reading<Xids>,
    /// What the driver asks for to make the device well again.
    #[serde(default = "not_sent")]
    pub recovery: Reading<RecoveryAction>,
    /// What went over NVLink.
    #[serde(default)]
    pub nvlink: NvLink,
    /// The PCIe link.
    #[serde(default)]
    pub pcie: Pcie,
    /// The processes that hold its memory, by number; at most [`Process::MOST`].
    #[serde(default = "not_sent")]
    pub processes: Reading<Vec<Process>>,
    /// How it is divided.
    #[serde(default)]
    pub mig: Mig,
}

fn not_sent<T>() -> Reading<T> {
    Reading::absent(Absence::not_sent())
}

impl DeviceSample {
    /// A device of which nothing can be read, because of `reason`.
    #[must_use]
    pub fn absent(identity: DeviceIdentity, reason: &Absence) -> Self {
        Self {
            identity,
            utilization: Reading::absent(reason.clone()),
            memory_used: Reading::absent(reason.clone()),
            memory_free: Reading::absent(reason.clone()),
            memory_reserved: Reading::absent(reason.clone()),
            memory_total: Reading::absent(reason.clone()),
            power: Reading::absent(reason.clone()),
            power_limit: Reading::absent(reason.clone()),
            energy: Reading::absent(reason.clone()),
            sm_clock: Reading::absent(reason.clone()),
            memory_clock: Reading::absent(reason.clone()),
            temperature: Reading::absent(reason.clone()),
            throttles: Reading::absent(reason.clone()),
            activity: Activity::absent(reason),
            presence: None,
            facts: Facts::absent(reason),
            memory_temperature: Reading::absent(reason.clone()),
            performance_state: Reading::absent(reason.clone()),
            power_instant: Reading::absent(reason.clone()),
            power_average: Reading::absent(reason.clone()),
            throttle_times: ThrottleTimes::absent(reason),
            ecc: Ecc::absent(reason),
            remapped_rows: RemappedRows::absent(reason),
            xids: Reading::absent(reason.clone()),
            recovery: Reading::absent(reason.clone()),
            nvlink: NvLink::absent(reason),
            pcie: Pcie::absent(reason),
            processes: Reading::absent(reason.clone()),
            mig: Mig::absent(reason),
        }
    }

    /// Every reading that has no value, by its name, with the reason; those that its source does not give at all
    /// are left out.
    #[must_use]
    pub fn absences(&self) -> Vec<(&'static str, &Absence)> {
        let own = [
            ("utilization", self.utilization.absence()),
            ("memory used", self.memory_used.absence()),
            ("memory free", self.memory_free.absence()),
            ("memory reserved", self.memory_reserved.absence()),
            ("memory total", self.memory_total.absence()),
            ("power", self.power.absence()),
            ("power limit", self.power_limit.absence()),
            ("energy", self.energy.absence()),
            ("SM clock", self.sm_clock.absence()),
            ("memory clock", self.memory_clock.absence()),
            ("temperature", self.temperature.absence()),
            ("throttles", self.throttles.absence()),
            ("memory temperature", self.memory_temperature.absence()),
            ("performance state", self.performance_state.absence()),
            ("power at this instant", self.power_instant.absence()),
            ("mean power", self.power_average.absence()),
            ("XID errors", self.xids.absence()),
            ("recovery action", self.recovery.absence()),
            ("processes", self.processes.absence()),
        ];
        let own = own
            .into_iter()
            .filter_map(|(name, absence)| Some((name, absence?)));
        own.chain(self.activity.absences())
            .chain(self.throttle_times.absences())
            .chain(self.ecc.absences())
            .chain(self.remapped_rows.absences())
            .chain(self.nvlink.absences())
            .chain(self.pcie.absences())
            .chain(self.mig.absences())
            .chain(self.facts.absences())
            .filter(|(_, absence)| !absence.is_not_sent())
            .collect()
    }

    /// Whether the device fell off the bus.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.utilization.absence() == Some(&Absence::DeviceLost)
    }

    /// Whether a call into the driver has not returned, so that nothing is known of the device now.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.presence
            .is_some_and(|presence| presence.state == DeviceState::Silent)
    }
}
