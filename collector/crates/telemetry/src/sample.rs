//! What a source read of its devices at one instant.

use orrery_units::{Bytes, BytesPerSec, Joules, Ratio, SimTime, Watts};
use serde::{Deserialize, Serialize};

use crate::{Absence, Celsius, Hertz, Origin, Reading, UnixTime};

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
    /// The devices, in the order of their nodes and numbers.
    pub devices: Vec<DeviceSample>,
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
    /// Activity of the units since the sample before.
    pub activity: Activity,
}

/// Activity of a device's units between two samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Activity {
    /// Share of time in which the graphics or compute engine worked.
    pub graphics: Reading<Ratio>,
    /// Share of time in which a multiprocessor had a warp, mean over multiprocessors.
    pub sm: Reading<Ratio>,
    /// Warps resident over warps possible.
    pub occupancy: Reading<Ratio>,
    /// Share of cycles in which the tensor pipe worked.
    pub tensor: Reading<Ratio>,
    /// Share of the memory bandwidth used.
    pub dram: Reading<Ratio>,
    /// Share of cycles in which the FP32 pipe worked.
    pub fp32: Reading<Ratio>,
    /// Data received over NVLink.
    pub nvlink_receive: Reading<BytesPerSec>,
    /// Data sent over NVLink.
    pub nvlink_transmit: Reading<BytesPerSec>,
}

/// What holds a device's clocks down: the bits `nvmlClocksThrottleReason…` of nvml.h that say so. Left out are
/// `GpuIdle` (0x1), since nothing is slowed that does not run, and `DisplayClockSetting` (0x100), which concerns
/// displays.
///
/// Several may hold at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Throttle {
    /// The power limit, by software: NVML's `SwPowerCap` (0x4). Every busy device has it now and then.
    PowerCap,
    /// Temperature of the chip or of its memory, by software: `SwThermalSlowdown` (0x20).
    ThermalSoftware,
    /// Temperature, by hardware, to half the clock or less: `HwThermalSlowdown` (0x40).
    ThermalHardware,
    /// The brake that the power supply pulls, to half the clock or less: `HwPowerBrakeSlowdown` (0x80).
    PowerBrake,
    /// Hardware, to half the clock or less: `HwSlowdown` (0x8), a sign of one of the two above or of too much
    /// power drawn at once; it may also show while a clock changes.
    Hardware,
    /// Another device of its sync boost group, to whose clock it is held: `SyncBoost` (0x10).
    SyncBoost,
    /// The clocks for applications that somebody set: `ApplicationsClocksSetting` (0x2).
    ApplicationsClocksSetting,
}

impl Throttle {
    /// All of them, in the order in which they are exported.
    pub const ALL: [Self; 7] = [
        Self::PowerCap,
        Self::ThermalSoftware,
        Self::ThermalHardware,
        Self::PowerBrake,
        Self::Hardware,
        Self::SyncBoost,
        Self::ApplicationsClocksSetting,
    ];

    /// Its name in exports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PowerCap => "power_cap",
            Self::ThermalSoftware => "thermal_software",
            Self::ThermalHardware => "thermal_hardware",
            Self::PowerBrake => "power_brake",
            Self::Hardware => "hardware",
            Self::SyncBoost => "sync_boost",
            Self::ApplicationsClocksSetting => "applications_clocks_setting",
        }
    }
}

impl Throttle {
    /// Whether it tells of a device that is too hot, badly powered or faulty. A limit that somebody set, on power
    /// or on clocks, holds every busy device down and is no news; the clock of a sync boost group is another
    /// device's news.
    #[must_use]
    pub const fn is_ailment(self) -> bool {
        match self {
            Self::ThermalSoftware | Self::ThermalHardware | Self::PowerBrake | Self::Hardware => true,
            Self::PowerCap | Self::SyncBoost | Self::ApplicationsClocksSetting => false,
        }
    }
}

impl Activity {
    /// No activity reading at all, because of `reason`.
    #[must_use]
    pub fn absent(reason: &Absence) -> Self {
        Self {
            graphics: Reading::absent(reason.clone()),
            sm: Reading::absent(reason.clone()),
            occupancy: Reading::absent(reason.clone()),
            tensor: Reading::absent(reason.clone()),
            dram: Reading::absent(reason.clone()),
            fp32: Reading::absent(reason.clone()),
            nvlink_receive: Reading::absent(reason.clone()),
            nvlink_transmit: Reading::absent(reason.clone()),
        }
    }
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
        }
    }

    /// Every reading that has no value, by its name, with the reason.
    #[must_use]
    pub fn absences(&self) -> Vec<(&'static str, &Absence)> {
        let activity = &self.activity;
        let readings = [
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
            ("engine activity", activity.graphics.absence()),
            ("SM activity", activity.sm.absence()),
            ("occupancy", activity.occupancy.absence()),
            ("tensor activity", activity.tensor.absence()),
            ("memory bandwidth activity", activity.dram.absence()),
            ("FP32 activity", activity.fp32.absence()),
            ("NVLink received", activity.nvlink_receive.absence()),
            ("NVLink sent", activity.nvlink_transmit.absence()),
        ];
        readings
            .into_iter()
            .filter_map(|(name, absence)| Some((name, absence?)))
            .collect()
    }

    /// Whether the device fell off the bus.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.utilization.absence() == Some(&Absence::DeviceLost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heat_brakes_and_faults_are_ailments_and_limits_are_not() {
        let ailments = Throttle::ALL.into_iter().filter(|throttle| throttle.is_ailment());
        let names: Vec<&str> = ailments.map(Throttle::name).collect();
        assert_eq!(
            names,
            ["thermal_software", "thermal_hardware", "power_brake", "hardware"]
        );
    }

    #[test]
    fn a_throttle_has_one_name_on_the_wire_and_in_exports() {
        for throttle in Throttle::ALL {
            let on_the_wire = serde_json::to_string(&throttle).unwrap();
            assert_eq!(on_the_wire, format!("\"{}\"", throttle.name()));
        }
    }
}
