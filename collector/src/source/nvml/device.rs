//! One device, read on its own thread.

use std::sync::Arc;
use std::time::Duration;

use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{
    Clock, EccCounter, MemoryError, PerformanceState as State, TemperatureSensor, TemperatureThreshold,
};
use nvml_wrapper::{Device, Nvml};
use nvml_wrapper_sys::bindings::field_id as id;
use orrery_telemetry::{
    Absence, Celsius, DeviceIdentity, DeviceSample, Ecc, Facts, Hertz, Links, Mig, Nanoseconds, Pcie,
    PerformanceState, Process, Reading, RecoveryAction, RemappedRows, Throttle, ThrottleTimes,
};
use orrery_units::{Bytes, Joules, Ratio, Watts};

use super::activity::Gpm;
use super::asked::{Answers, Asked};
use super::fault::{absence, is_of_all, reading, source_error};
use super::fields::Field;
use super::memory::Memory;
use super::{links, partitions, processes};
use crate::source::SourceError;

/// GPM is for at most five samples a second.
const ACTIVITY_PACE: Duration = Duration::from_millis(200);
/// What changes slowly, or costs many calls, is read once a second.
const SLOW_PACE: Duration = Duration::from_secs(1);

/// What a thread is asked to do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    /// Take what the next activity counts from.
    Prepare,
    /// Read everything that is due.
    Read,
}

/// What a device tells.
pub(super) struct Answer {
    /// Its own name, once it told it.
    pub(super) uuid: Option<String>,
    /// Its model, once it told it.
    pub(super) model: Option<String>,
    /// Its readings, under a name that is not its own; an error concerns the driver as a whole.
    pub(super) sample: Result<DeviceSample, SourceError>,
}

/// What a thread knows of its device.
pub(super) struct Reader {
    index: u32,
    slow_pace: u32,
    /// Readings until the slow ones are due.
    until_slow: u32,
    asked: Asked,
    gpm: Gpm,
    facts: Option<Facts>,
    slow: Slow,
    processes: processes::Known,
    memory: Arc<Memory>,
    uuid: Option<String>,
    model: Option<String>,
}

/// What is read less often.
struct Slow {
    ecc: Ecc,
    links: Reading<Links>,
    pcie: Pcie,
    processes: Reading<Vec<Process>>,
    mig: Mig,
    power_limit: Reading<Watts>,
}

/// How many readings there are to one that is due every `pace`, at least one.
///
/// Worked number: at an interval of 150 ms every second reading is due of what is read every 200 ms.
fn readings_per(pace: Duration, interval: Duration) -> u32 {
    let readings = pace.as_secs_f64() / interval.as_secs_f64();
    // A hair off a whole number is that number.
    let mut number = 1;
    while f64::from(number) + 1e-9 < readings {
        number += 1;
    }
    number
}

impl Reader {
    pub(super) fn new(index: u32, interval: Duration, memory: Arc<Memory>) -> Self {
        let not_yet = Absence::NotYet;
        Self {
            index,
            slow_pace: readings_per(SLOW_PACE, interval),
            until_slow: 0,
            asked: Asked::default(),
            gpm: Gpm::new(readings_per(ACTIVITY_PACE, interval)),
            facts: None,
            slow: Slow {
                ecc: Ecc::absent(&not_yet),
                links: Reading::absent(Absence::NotYet),
                pcie: Pcie::absent(&not_yet),
                processes: Reading::absent(Absence::NotYet),
                mig: Mig::absent(&not_yet),
                power_limit: Reading::absent(Absence::NotYet),
            },
            processes: processes::Known::default(),
            memory,
            uuid: None,
            model: None,
        }
    }

    /// Does what is ordered.
    pub(super) fn work(&mut self, nvml: &'static Nvml, order: Order) -> Answer {
        let sample = match nvml.device_by_index(self.index) {
            Ok(device) => {
                self.ask_names(&device);
                match order {
                    Order::Prepare => {
                        self.gpm.prepare(&device);
                        Ok(DeviceSample::absent(self.nobody(), &Absence::NotYet))
                    }
                    Order::Read => Ok(self.read(nvml, &device)),
                }
            }
            Err(fault) if is_of_all(&fault) => Err(source_error(&fault)),
            Err(fault) => {
                self.gpm.forget();
                self.until_slow = 0;
                Ok(self.unread(&absence(&fault)))
            }
        };
        Answer {
            uuid: self.uuid.clone(),
            model: self.model.clone(),
            sample,
        }
    }

    /// A device that cannot be read now: what it is, and which errors it threw, is known all the same.
    fn unread(&self, reason: &Absence) -> DeviceSample {
        DeviceSample {
            facts: self.facts.clone().unwrap_or_else(|| Facts::absent(reason)),
            xids: self.memory.xids(self.index),
            ..DeviceSample::absent(self.nobody(), reason)
        }
    }

    /// The name of a device that is not known here.
    fn nobody(&self) -> DeviceIdentity {
        DeviceIdentity {
            node: String::new(),
            index: self.index,
            uuid: String::new(),
            model: String::new(),
        }
    }

    /// Asks the device for the names that it did not tell yet; one that fails to tell is asked again next time.
    fn ask_names(&mut self, device: &Device<'_>) {
        self.uuid = self.uuid.take().or_else(|| device.uuid().ok());
        self.model = self.model.take().or_else(|| device.name().ok());
    }

    fn read(&mut self, nvml: &'static Nvml, device: &Device<'static>) -> DeviceSample {
        if self.until_slow == 0 {
            self.read_slow(nvml, device);
            self.until_slow = self.slow_pace;
        }
        self.until_slow -= 1;
        let Self { asked, .. } = self;
        let memory = asked.ask("memory", || device.memory_info());
        let bytes = |part: fn(&nvml_wrapper::struct_wrappers::device::MemoryInfo) -> u64| {
            memory.clone().map(|info| Bytes::new(part(&info)))
        };
        let utilization = asked.ask("utilization", || device.utilization_rates());
        let fields = asked.ask_fields(device, &fields());
        DeviceSample {
            utilization: utilization.map(|rates| Ratio::clamped(f64::from(rates.gpu) / 100.0)),
            memory_used: bytes(|info| info.used),
            memory_free: bytes(|info| info.free),
            memory_reserved: bytes(|info| info.reserved),
            memory_total: bytes(|info| info.total),
            power: asked.ask("power", || device.power_usage()).map(watts),
            power_limit: self.slow.power_limit.clone(),
            energy: asked
                .ask("energy", || device.total_energy_consumption())
                .map(joules),
            sm_clock: asked
                .ask("SM clock", || device.clock_info(Clock::SM))
                .map(Hertz::from_megahertz),
            memory_clock: asked
                .ask("memory clock", || device.clock_info(Clock::Memory))
                .map(Hertz::from_megahertz),
            temperature: asked
                .ask("temperature", || device.temperature(TemperatureSensor::Gpu))
                .map(|degrees| Celsius(f64::from(degrees))),
            throttles: asked
                .ask("throttles", || device.current_throttle_reasons())
                .map(throttles),
            activity: self.gpm.read(nvml, device, asked),
            presence: None,
            memory_temperature: small(fields.number(id::NVML_FI_DEV_MEMORY_TEMP))
                .map(|degrees| Celsius(f64::from(degrees))),
            performance_state: asked
                .ask("performance state", || device.performance_state())
                .and_then(performance_state),
            power_instant: small(fields.number(id::NVML_FI_DEV_POWER_INSTANT)).map(watts),
            power_average: small(fields.number(id::NVML_FI_DEV_POWER_AVERAGE)).map(watts),
            throttle_times: throttle_times(&fields),
            ecc: self.slow.ecc.clone(),
            remapped_rows: remapped_rows(&fields),
            xids: self.memory.xids(self.index),
            recovery: fields
                .number(id::NVML_FI_DEV_GET_GPU_RECOVERY_ACTION)
                .map(RecoveryAction::from_number),
            nvlink: links::nvlink(&fields, self.slow.links.clone()),
            pcie: links::pcie(&fields, &self.slow.pcie),
            processes: self.slow.processes.clone(),
            mig: self.slow.mig.clone(),
            ..self.unread(&Absence::NotYet)
        }
    }

    fn read_slow(&mut self, nvml: &'static Nvml, device: &Device<'_>) {
        let Self { asked, .. } = self;
        let was_divided = self.slow.mig.is_enabled.value().copied();
        self.slow.mig = partitions::mig(device, asked);
        if was_divided.is_some_and(|was| Some(&was) != self.slow.mig.is_enabled.value()) {
            // A device that is divided answers less than one that is not.
            asked.forget();
        }
        self.slow.ecc = ecc(device, asked);
        self.slow.links = links::links(device, asked);
        self.slow.pcie = links::pcie_state(device, asked);
        self.slow.processes = self.processes.read(device, asked);
        self.slow.power_limit = asked
            .ask("power limit", || device.enforced_power_limit())
            .map(watts);
        if self
            .facts
            .as_ref()
            .is_none_or(|facts| facts.absences().any(|(_, why)| !is_final(why)))
        {
            self.facts = Some(facts(nvml, device, asked));
        }
    }
}

/// Whether a fact that is absent because of `reason` stays so.
fn is_final(reason: &Absence) -> bool {
    matches!(
        reason,
        Absence::NotSupported | Absence::DriverTooOld | Absence::NoPermission
    )
}

/// The fields that are asked with every reading.
fn fields() -> Vec<Field> {
    let own = [
        id::NVML_FI_DEV_MEMORY_TEMP,
        id::NVML_FI_DEV_POWER_INSTANT,
        id::NVML_FI_DEV_POWER_AVERAGE,
        id::NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_POWER_CAP,
        id::NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN,
        id::NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN,
        id::NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN,
        id::NVML_FI_DEV_REMAPPED_COR,
        id::NVML_FI_DEV_REMAPPED_UNC,
        id::NVML_FI_DEV_REMAPPED_PENDING,
        id::NVML_FI_DEV_REMAPPED_FAILURE,
        id::NVML_FI_DEV_GET_GPU_RECOVERY_ACTION,
    ];
    own.map(|id| Field { id, scope: 0 })
        .into_iter()
        .chain(links::FIELDS)
        .collect()
}

fn throttle_times(fields: &Answers) -> ThrottleTimes {
    let time = |id| fields.number(id).map(Nanoseconds::new);
    ThrottleTimes {
        power_cap: time(id::NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_POWER_CAP),
        thermal_software: time(id::NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN),
        thermal_hardware: time(id::NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN),
        power_brake: time(id::NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN),
    }
}

fn remapped_rows(fields: &Answers) -> RemappedRows {
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

fn ecc(device: &Device<'_>, asked: &mut Asked) -> Ecc {
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

fn facts(nvml: &Nvml, device: &Device<'_>, asked: &mut Asked) -> Facts {
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
fn small(number: Reading<u64>) -> Reading<u32> {
    number.and_then(|number| {
        u32::try_from(number)
            .map_err(|_too_large| Absence::NotANumber)
            .into()
    })
}

fn watts(milliwatts: u32) -> Watts {
    Watts(f64::from(milliwatts) / 1000.0)
}

#[expect(clippy::cast_precision_loss, reason = "exact below 9 TJ")]
fn joules(millijoules: u64) -> Joules {
    Joules(millijoules as f64 / 1000.0)
}

fn performance_state(state: State) -> Reading<PerformanceState> {
    // The unknown state is 32 in nvml.h.
    let number = state.as_c();
    (number <= 15)
        .then_some(PerformanceState(number))
        .ok_or(Absence::NotANumber)
        .into()
}

fn throttles(reasons: ThrottleReasons) -> Vec<Throttle> {
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
    fn readings_are_counted_by_the_pace() {
        for (pace, interval, wanted) in [
            (200, 100, 2),
            (200, 150, 2),
            (200, 200, 1),
            (1000, 100, 10),
            (1000, 60_000, 1),
        ] {
            let millis = Duration::from_millis;
            assert_eq!(
                readings_per(millis(pace), millis(interval)),
                wanted,
                "{pace} by {interval}"
            );
        }
    }

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
