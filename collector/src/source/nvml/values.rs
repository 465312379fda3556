//! Answers of the driver, in our units.

use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{
    Clock, EccCounter, MemoryError, PerformanceState as State, TemperatureThreshold,
};
use nvml_wrapper::{Device, Nvml};
use nvml_wrapper_sys::bindings::field_id as id;
use orrery_telemetry::{
    Absence, Celsius, Ecc, Facts, Hertz, Nanoseconds, PerformanceState, Reading, RemappedRows, Throttle,
    ThrottleTimes,
};
use orrery_units::{Joules, Watts};

use super::asked::{Answers, Asked};
use super::fault::reading;

/// Whether a fact that is absent because of `reason` stays so.
pub(super) fn is_final(reason: &Absence) -> bool {
    matches!(
        reason,
        Absence::NotSupported | Absence::DriverTooOld | Absence::NoPermission
    )
}

pub(super) fn throttle_times(fields: &Answers) -> ThrottleTimes {
    let time = |id| fields.number(id).map(Nanoseconds::new);
    ThrottleTimes {
        power_cap: time(id::NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_POWER_CAP),
        thermal_software: time(id::NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN),
        thermal_hardware: time(id::NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN),
        power_brake: time(id::NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN),
    }
}

pub(super) fn remapped_rows(fields: &Answers) -> RemappedRows {
    RemappedRows {
        correctable: fields.number(id::NVML_FI_DEV_REMAPPED_COR),
        uncorrectable: fields.number(id::NVML_FI_DEV_REMAPPED_UNC),
        pending: fields
            .number(id::NVML_FI_DEV_REMAPPED_PENDING)
            .map(|number| number != 0),
        failure: fields
            .number(id::NVML_FI_DEV_REMAPPED_FAILURE)
            .map(|number| number != 0),
    }
}

pub(super) fn ecc(device: &Device<'_>, asked: &mut Asked) -> Ecc {
    use EccCounter::{Aggregate, Volatile};
    use MemoryError::{Corrected, Uncorrected};
    let mut count = |name, kind, since| asked.ask(name, || device.total_ecc_errors(kind, since));
    Ecc {
        corrected_volatile: count("corrected errors", Corrected, Volatile),
        uncorrected_volatile: count("uncorrected errors", Uncorrected, Volatile),
        corrected_aggregate: count("corrected errors ever", Corrected, Aggregate),
        uncorrected_aggregate: count("uncorrected errors ever", Uncorrected, Aggregate),
    }
}

pub(super) fn facts(nvml: &Nvml, device: &Device<'_>, asked: &mut Asked) -> Facts {
    Facts {
        driver: reading(nvml.sys_driver_version()),
        vbios: asked.ask("VBIOS", || device.vbios_version()),
        serial: asked.ask("serial number", || device.serial()),
        pci_bus_id: asked
            .ask("PCI address", || device.pci_info())
            .map(|info| info.bus_id),
        architecture: asked
            .ask("architecture", || device.architecture())
            .map(|name| name.to_string()),
        numa_node: asked.ask("NUMA node", || device.numa_node_id()),
        max_sm_clock: asked
            .ask("highest SM clock", || device.max_clock_info(Clock::SM))
            .map(Hertz::from_megahertz),
        slowdown_temperature: asked
            .ask("slowdown temperature", || {
                device.temperature_threshold(TemperatureThreshold::Slowdown)
            })
            .map(|degrees| Celsius(f64::from(degrees))),
    }
}

/// A number that fits its place; one that does not is none.
pub(super) fn small(number: Reading<u64>) -> Reading<u32> {
    number.and_then(|number| {
        u32::try_from(number)
            .map_err(|_too_large| Absence::NotANumber)
            .into()
    })
}

pub(super) fn watts(milliwatts: u32) -> Watts {
    Watts(f64::from(milliwatts) / 1000.0)
}

#[expect(clippy::cast_precision_loss, reason = "exact below 9 TJ")]
pub(super) fn joules(millijoules: u64) -> Joules {
    Joules(millijoules as f64 / 1000.0)
}

pub(super) fn performance_state(state: State) -> Reading<PerformanceState> {
    // The unknown state is 32 in nvml.h.
    let number = state.as_c();
    (number <= 15)
        .then_some(PerformanceState(number))
        .ok_or(Absence::NotANumber)
        .into()
}

pub(super) fn throttles(reasons: ThrottleReasons) -> Vec<Throttle> {
    let flags = [
        (ThrottleReasons::SW_POWER_CAP, Throttle::PowerCap),
        (ThrottleReasons::SW_THERMAL_SLOWDOWN, Throttle::ThermalSoftware),
        (ThrottleReasons::HW_THERMAL_SLOWDOWN, Throttle::ThermalHardware),
        (ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN, Throttle::PowerBrake),
        (ThrottleReasons::HW_SLOWDOWN, Throttle::Hardware),
        (ThrottleReasons::SYNC_BOOST, Throttle::SyncBoost),
        (
            ThrottleReasons::APPLICATIONS_CLOCKS_SETTING,
            Throttle::ApplicationsClocksSetting,
        ),
    ];
    flags
        .into_iter()
        .filter(|&(flag, _)| reasons.contains(flag))
        .map(|(_, throttle)| throttle)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_that_holds_a_clock_down_has_its_name() {
        let found = throttles(ThrottleReasons::from_bits_truncate(0x1ff));
        assert_eq!(found.len(), Throttle::ALL.len(), "{found:?}");
        // The numbers of nvml.h.
        for (bit, throttle) in [
            (0x2, Throttle::ApplicationsClocksSetting),
            (0x4, Throttle::PowerCap),
            (0x8, Throttle::Hardware),
            (0x10, Throttle::SyncBoost),
            (0x20, Throttle::ThermalSoftware),
            (0x40, Throttle::ThermalHardware),
            (0x80, Throttle::PowerBrake),
        ] {
            assert_eq!(throttles(ThrottleReasons::from_bits_truncate(bit)), [throttle]);
        }
        for not_held in [0, 0x1, 0x100] {
            assert_eq!(throttles(ThrottleReasons::from_bits_truncate(not_held)), []);
        }
    }
}
