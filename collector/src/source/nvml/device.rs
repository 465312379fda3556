//! One device, read on its own thread.

use std::sync::Arc;
use std::time::Duration;

use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
use nvml_wrapper::{Device, Nvml};
use nvml_wrapper_sys::bindings::field_id as id;
use orrery_telemetry::{Absence, Celsius, DeviceIdentity, DeviceSample, Facts, Hertz, RecoveryAction};
use orrery_units::{Bytes, Ratio};

use super::activity::Gpm;
use super::asked::Asked;
use super::fault::{absence, is_of_all, source_error};
use super::fields::Field;
use super::memory::Memory;
use super::values::{
    ecc, facts, is_final, joules, performance_state, remapped_rows, small, throttle_times, throttles, watts,
};
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
    pub(super) uuid: Option<Arc<str>>,
    /// Its model, once it told it.
    pub(super) model: Option<Arc<str>>,
    /// Its readings, under a name that is not its own; an error concerns the driver as a whole. They are large, and
    /// go through several hands.
    pub(super) sample: Result<Box<DeviceSample>, SourceError>,
}

/// What a thread knows of its device.
pub(super) struct Reader {
    index: u32,
    slow_pace: u32,
    /// Readings until the slow ones are due.
    until_slow: u32,
    asked: Asked,
    gpm: Gpm,
    /// The last readings, of which what is not due stays as it is.
    last: Box<DeviceSample>,
    has_facts: bool,
    processes: processes::Known,
    memory: Arc<Memory>,
    uuid: Option<Arc<str>>,
    model: Option<Arc<str>>,
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

const fn field(id: u32) -> Field {
    Field { id, scope: 0 }
}

/// The fields that are asked with every reading.
const FIELDS: [Field; 6 + links::FIELDS.len()] = {
    let [
        sent,
        received,
        sent_bytes,
        received_bytes,
        pcie_sent,
        pcie_received,
    ] = links::FIELDS;
    [
        field(id::NVML_FI_DEV_POWER_INSTANT),
        field(id::NVML_FI_DEV_POWER_AVERAGE),
        field(id::NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_POWER_CAP),
        field(id::NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN),
        field(id::NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN),
        field(id::NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN),
        sent,
        received,
        sent_bytes,
        received_bytes,
        pcie_sent,
        pcie_received,
    ]
};

/// The fields of what is read once a second.
const SLOW_FIELDS: [Field; 6] = [
    field(id::NVML_FI_DEV_MEMORY_TEMP),
    field(id::NVML_FI_DEV_REMAPPED_COR),
    field(id::NVML_FI_DEV_REMAPPED_UNC),
    field(id::NVML_FI_DEV_REMAPPED_PENDING),
    field(id::NVML_FI_DEV_REMAPPED_FAILURE),
    field(id::NVML_FI_DEV_GET_GPU_RECOVERY_ACTION),
];

impl Reader {
    pub(super) fn new(index: u32, interval: Duration, memory: Arc<Memory>) -> Self {
        Self {
            index,
            slow_pace: readings_per(SLOW_PACE, interval),
            until_slow: 0,
            asked: Asked::default(),
            gpm: Gpm::new(readings_per(ACTIVITY_PACE, interval)),
            last: Box::new(DeviceSample::absent(nobody(index), &Absence::NotYet)),
            has_facts: false,
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
                        Ok(Box::new(DeviceSample::absent(
                            nobody(self.index),
                            &Absence::NotYet,
                        )))
                    }
                    Order::Read => {
                        self.read(nvml, &device);
                        if self.last.is_lost() {
                            // What is not due would still be a number.
                            Ok(self.lost(&Absence::DeviceLost))
                        } else {
                            Ok(self.last.clone())
                        }
                    }
                }
            }
            Err(fault) if is_of_all(&fault) => Err(source_error(&fault)),
            Err(fault) => Ok(self.lost(&absence(&fault))),
        };
        Answer {
            uuid: self.uuid.clone(),
            model: self.model.clone(),
            sample,
        }
    }

    /// A device that cannot be read now: what it is, and which errors it threw, is known all the same.
    fn lost(&mut self, reason: &Absence) -> Box<DeviceSample> {
        self.gpm.forget();
        self.until_slow = 0;
        let facts = &self.last.facts;
        Box::new(DeviceSample {
            facts: if self.has_facts {
                facts.clone()
            } else {
                Facts::absent(reason)
            },
            xids: self.memory.xids(self.index),
            ..DeviceSample::absent(nobody(self.index), reason)
        })
    }

    /// Asks the device for the names that it did not tell yet; one that fails to tell is asked again next time.
    fn ask_names(&mut self, device: &Device<'_>) {
        self.uuid = self.uuid.take().or_else(|| device.uuid().ok().map(Arc::from));
        self.model = self.model.take().or_else(|| device.name().ok().map(Arc::from));
    }

    /// Reads what is due. A question costs a driver microseconds to milliseconds, so that what cannot change much
    /// between two readings is asked for less often.
    fn read(&mut self, nvml: &'static Nvml, device: &Device<'static>) {
        if self.until_slow == 0 {
            self.read_slow(nvml, device);
            self.until_slow = self.slow_pace;
        }
        self.until_slow -= 1;
        let Self { asked, last, .. } = self;
        let utilization = asked.ask("utilization", || device.utilization_rates());
        last.utilization = utilization.map(|rates| Ratio::clamped(f64::from(rates.gpu) / 100.0));
        let memory = asked.ask("memory", || device.memory_info());
        let bytes = |part: fn(&nvml_wrapper::struct_wrappers::device::MemoryInfo) -> u64| {
            memory.clone().map(|info| Bytes::new(part(&info)))
        };
        last.memory_used = bytes(|info| info.used);
        last.memory_free = bytes(|info| info.free);
        last.memory_reserved = bytes(|info| info.reserved);
        last.memory_total = bytes(|info| info.total);
        last.power = asked.ask("power", || device.power_usage()).map(watts);
        last.energy = asked
            .ask("energy", || device.total_energy_consumption())
            .map(joules);
        last.sm_clock = asked
            .ask("SM clock", || device.clock_info(Clock::SM))
            .map(Hertz::from_megahertz);
        last.throttles = asked
            .ask("throttles", || device.current_throttle_reasons())
            .map(throttles);
        last.activity = self.gpm.read(nvml, device, asked);
        let fields = asked.ask_fields(device, &FIELDS);
        last.power_instant = small(fields.number(id::NVML_FI_DEV_POWER_INSTANT)).map(watts);
        last.power_average = small(fields.number(id::NVML_FI_DEV_POWER_AVERAGE)).map(watts);
        last.throttle_times = throttle_times(&fields);
        links::count(&fields, &mut last.nvlink, &mut last.pcie);
        last.xids = self.memory.xids(self.index);
    }

    fn read_slow(&mut self, nvml: &'static Nvml, device: &Device<'_>) {
        let Self { asked, last, .. } = self;
        let was_divided = last.mig.is_enabled.value().copied();
        last.mig = partitions::mig(device, asked);
        if was_divided.is_some_and(|was| Some(&was) != last.mig.is_enabled.value()) {
            // A device that is divided answers less than one that is not.
            asked.forget();
        }
        last.power_limit = asked
            .ask("power limit", || device.enforced_power_limit())
            .map(watts);
        last.memory_clock = asked
            .ask("memory clock", || device.clock_info(Clock::Memory))
            .map(Hertz::from_megahertz);
        last.temperature = asked
            .ask("temperature", || device.temperature(TemperatureSensor::Gpu))
            .map(|degrees| Celsius(f64::from(degrees)));
        last.performance_state = asked
            .ask("performance state", || device.performance_state())
            .and_then(performance_state);
        last.ecc = ecc(device, asked);
        last.nvlink.links = links::links(device, asked);
        links::state(device, asked, &mut last.pcie);
        last.processes = self.processes.read(device, asked);
        let fields = asked.ask_fields(device, &SLOW_FIELDS);
        last.memory_temperature =
            small(fields.number(id::NVML_FI_DEV_MEMORY_TEMP)).map(|degrees| Celsius(f64::from(degrees)));
        last.remapped_rows = remapped_rows(&fields);
        last.recovery = fields
            .number(id::NVML_FI_DEV_GET_GPU_RECOVERY_ACTION)
            .map(RecoveryAction::from_number);
        if !self.has_facts || last.facts.absences().any(|(_, why)| !is_final(why)) {
            last.facts = facts(nvml, device, asked);
            self.has_facts = true;
        }
    }
}

/// The name of device `index`, which is not known here.
fn nobody(index: u32) -> DeviceIdentity {
    DeviceIdentity {
        node: String::new(),
        index,
        uuid: String::new(),
        model: String::new(),
    }
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
}
