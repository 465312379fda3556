//! What holds a device's clocks down.

use serde::{Deserialize, Serialize};

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
