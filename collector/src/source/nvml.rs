//! The devices of this machine, through NVML. The driver's library is found at run time, or it is not there.
#![expect(
    unsafe_code,
    reason = "a library that its samples borrow is closed after them, which no lifetime can say"
)]

mod fault;

use std::ffi::OsStr;
use std::path::Path;
use std::ptr::NonNull;

use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
use nvml_wrapper::enums::gpm::GpmMetricId;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::gpm::{GpmSample, gpm_metrics_get};
use nvml_wrapper::{Device, Nvml};
use orrery_telemetry::{
    Absence, Activity, Celsius, DeviceIdentity, DeviceSample, Hertz, Origin, Reading, Throttle,
};
use orrery_units::{Bytes, BytesPerSec, Joules, Ratio, Watts};

use self::fault::{absence, is_of_all, reading, source_error};
use super::{Source, SourceError, node_name};

/// What the fake driver adds to its version, so that it is never taken for a real one.
const FAKE_MARK: &str = "-orrery-fake";
const MEBIBYTE: f64 = 1_048_576.0;
const METRICS: [GpmMetricId; 8] = [
    GpmMetricId::GraphicsUtil,
    GpmMetricId::SmUtil,
    GpmMetricId::SmOccupancy,
    GpmMetricId::AnyTensorUtil,
    GpmMetricId::DramBwUtil,
    GpmMetricId::Fp32Util,
    GpmMetricId::NvlinkTotalRxPerSec,
    GpmMetricId::NvlinkTotalTxPerSec,
];

/// The devices of this machine.
pub(crate) struct NvmlSource {
    origin: Origin,
    // Before the library: fields are dropped in this order, and activity samples are given back to the library.
    devices: Vec<Known>,
    library: Library,
}

/// A device that was there when the source was opened.
struct Known {
    identity: DeviceIdentity,
    /// Whether the device itself told its UUID, and its model.
    told: [bool; 2],
    /// The activity sample before, if the device has such.
    previous: Option<GpmSample<'static>>,
}

/// The driver's library, shut down and closed when this is dropped.
///
/// It has to be closed really: NVML counts its starts, so that only the last shutdown makes it look for devices
/// again, and after an update of the driver only a library loaded anew fits the kernel module.
struct Library(NonNull<Nvml>);

impl Library {
    fn new(nvml: Nvml) -> Self {
        Self(NonNull::from(Box::leak(Box::new(nvml))))
    }

    /// The library, under a lifetime that is too long.
    ///
    /// # Safety
    /// The reference, and all that borrows from it (devices, activity samples), must be gone before `self` is
    /// dropped: that closes the library, and with it the code that they call.
    unsafe fn get(&self) -> &'static Nvml {
        // SAFETY: the box lives until `self` is dropped, which the caller does not outlive, and is never borrowed
        // mutably before.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // SAFETY: the pointer comes from a leaked box and is given up here. Nobody else calls into this library
        // object: a source lives on one thread, and that thread is here, not in the driver.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

impl NvmlSource {
    /// Opens the library at `library`, or the system's.
    pub(crate) fn open(library: Option<&Path>) -> Result<Self, SourceError> {
        let nvml = match library {
            Some(path) => Nvml::builder().lib_path(OsStr::new(path)).init(),
            None => Nvml::init(),
        };
        let nvml = nvml.map_err(|fault| source_error(&fault))?;
        let driver = nvml.sys_driver_version().map_err(|fault| source_error(&fault))?;
        let origin = if driver.ends_with(FAKE_MARK) {
            Origin::Fake
        } else {
            Origin::Live
        };
        let num_devices = nvml.device_count().map_err(|fault| source_error(&fault))?;
        if num_devices == 0 {
            return Err(SourceError::new(
                "the NVIDIA driver reports no device",
                "see whether `lspci -d 10de:` lists one and what `dmesg` says about it; a container may have been \
                 started without devices",
            ));
        }
        let node = node_name();
        let devices = (0..num_devices)
            .map(|index| Known::find(&nvml, &node, index))
            .collect();
        Ok(Self {
            origin,
            devices,
            library: Library::new(nvml),
        })
    }
}

impl Source for NvmlSource {
    fn origin(&self) -> Origin {
        self.origin
    }

    fn read(&mut self, _sequence: u64) -> Result<Vec<DeviceSample>, SourceError> {
        // SAFETY: what is left after this call are the activity samples in `devices`, a field that is dropped
        // before the library.
        let nvml = unsafe { self.library.get() };
        self.devices.iter_mut().map(|known| known.read(nvml)).collect()
    }

    fn recall(&mut self, devices: &[DeviceIdentity]) {
        let uuids = self.devices.iter().filter(|known| known.told[0]);
        let taken: Vec<String> = uuids.map(|known| known.identity.uuid.clone()).collect();
        for known in &mut self.devices {
            known.recall(devices, &taken);
        }
    }

    fn prepare(&mut self) {
        // SAFETY: as in `read`.
        let nvml = unsafe { self.library.get() };
        for known in &mut self.devices {
            let device = nvml.device_by_index(known.identity.index);
            // What cannot be read now is told by the next reading.
            known.previous = device.and_then(|device| activity_sample(&device)).ok();
        }
    }
}

impl Known {
    fn find(nvml: &Nvml, node: &str, index: u32) -> Self {
        // A device that is lost from the start, or slow to tell, has no name of its own; its place must do.
        let identity = DeviceIdentity {
            node: node.to_owned(),
            index,
            uuid: format!("unknown-{node}-{index}"),
            model: "unknown".to_owned(),
        };
        let mut known = Self {
            identity,
            told: [false; 2],
            previous: None,
        };
        if let Ok(device) = nvml.device_by_index(index) {
            known.ask_names(&device);
        }
        known
    }

    /// Asks the device for the names that it did not tell yet.
    fn ask_names(&mut self, device: &Device<'_>) {
        let Self { identity, told, .. } = self;
        let ask = |told: &mut bool, name: &mut String, question: &dyn Fn() -> Result<String, NvmlError>| {
            if *told {
                return;
            }
            // A device that fails to tell is asked again with the next reading.
            if let Ok(answer) = question() {
                *name = answer;
                *told = true;
            }
        };
        let [told_uuid, told_model] = told;
        ask(told_uuid, &mut identity.uuid, &|| device.uuid());
        ask(told_model, &mut identity.model, &|| device.name());
    }

    /// Takes the names of the device that was in this place among `devices` for those that this one does not
    /// tell; none that another device has `taken`, since they may be numbered anew.
    fn recall(&mut self, devices: &[DeviceIdentity], taken: &[String]) {
        let place = (&self.identity.node, self.identity.index);
        let mut here = devices.iter().filter(|old| (&old.node, old.index) == place);
        let Some(old) = here.find(|old| !taken.contains(&old.uuid)) else {
            return;
        };
        let [told_uuid, told_model] = self.told;
        if !told_uuid {
            self.identity.uuid.clone_from(&old.uuid);
        }
        if !told_model {
            self.identity.model.clone_from(&old.model);
        }
    }

    fn read(&mut self, nvml: &'static Nvml) -> Result<DeviceSample, SourceError> {
        let device = match nvml.device_by_index(self.identity.index) {
            Ok(device) => device,
            Err(fault) if is_of_all(&fault) => return Err(source_error(&fault)),
            Err(fault) => {
                self.previous = None;
                return Ok(DeviceSample::absent(self.identity.clone(), &absence(&fault)));
            }
        };
        self.ask_names(&device);
        let memory = device.memory_info();
        let memory = |part: fn(&nvml_wrapper::struct_wrappers::device::MemoryInfo) -> u64| match &memory {
            Ok(info) => Reading::Value(Bytes::new(part(info))),
            Err(fault) => Reading::absent(absence(fault)),
        };
        let milliwatts =
            |result: Result<u32, NvmlError>| reading(result).map(|p| Watts(f64::from(p) / 1000.0));
        let utilization = reading(device.utilization_rates());
        Ok(DeviceSample {
            identity: self.identity.clone(),
            utilization: utilization.map(|rates| Ratio::clamped(f64::from(rates.gpu) / 100.0)),
            memory_used: memory(|info| info.used),
            memory_free: memory(|info| info.free),
            memory_reserved: memory(|info| info.reserved),
            memory_total: memory(|info| info.total),
            power: milliwatts(device.power_usage()),
            power_limit: milliwatts(device.enforced_power_limit()),
            energy: reading(device.total_energy_consumption()).map(joules),
            sm_clock: reading(device.clock_info(Clock::SM)).map(Hertz::from_megahertz),
            memory_clock: reading(device.clock_info(Clock::Memory)).map(Hertz::from_megahertz),
            temperature: reading(device.temperature(TemperatureSensor::Gpu)).map(|t| Celsius(f64::from(t))),
            throttles: reading(device.current_throttle_reasons()).map(throttles),
            activity: self.activity(nvml, &device),
            ..DeviceSample::absent(self.identity.clone(), &Absence::not_sent())
        })
    }

    /// Activity since the sample before; the new sample becomes the next one's "before".
    fn activity(&mut self, nvml: &'static Nvml, device: &Device<'static>) -> Activity {
        let sample = match activity_sample(device) {
            Ok(sample) => sample,
            Err(fault) => {
                self.previous = None;
                return Activity::absent(&absence(&fault));
            }
        };
        let Some(previous) = &self.previous else {
            self.previous = Some(sample);
            return Activity::absent(&Absence::NotYet);
        };
        let metrics = gpm_metrics_get(nvml, previous, &sample, &METRICS);
        self.previous = Some(sample);
        let metrics = match metrics {
            Ok(metrics) => metrics,
            Err(fault) => return Activity::absent(&absence(&fault)),
        };
        let mut metrics = metrics.into_iter().map(|metric| match metric {
            Ok(metric) if metric.value.is_finite() && metric.value >= 0.0 => Reading::Value(metric.value),
            Ok(_) => Reading::absent(Absence::NotANumber),
            Err(fault) => Reading::absent(absence(&fault)),
        });
        let mut next = || metrics.next().expect("one result for each metric asked");
        // In the order of METRICS.
        Activity {
            graphics: next().map(ratio_of_percent),
            sm: next().map(ratio_of_percent),
            occupancy: next().map(ratio_of_percent),
            tensor: next().map(ratio_of_percent),
            dram: next().map(ratio_of_percent),
            fp32: next().map(ratio_of_percent),
            nvlink_receive: next().map(rate_of_mebibytes),
            nvlink_transmit: next().map(rate_of_mebibytes),
            ..Activity::default()
        }
    }
}

/// An activity sample of a device that has such.
fn activity_sample(device: &Device<'static>) -> Result<GpmSample<'static>, NvmlError> {
    if device.gpm_support()? {
        device.gpm_sample()
    } else {
        Err(NvmlError::NotSupported)
    }
}

fn ratio_of_percent(percent: f64) -> Ratio {
    Ratio::clamped(percent / 100.0)
}

/// nvml.h gives these rates in MiB/s.
fn rate_of_mebibytes(rate: f64) -> BytesPerSec {
    if rate > 0.0 {
        BytesPerSec::new(rate * MEBIBYTE)
    } else {
        BytesPerSec::default()
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact below 9 TJ")]
fn joules(millijoules: u64) -> Joules {
    Joules(millijoules as f64 / 1000.0)
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

    fn identity(index: u32, uuid: &str, model: &str) -> DeviceIdentity {
        DeviceIdentity {
            node: "node-0".to_owned(),
            index,
            uuid: uuid.to_owned(),
            model: model.to_owned(),
        }
    }

    #[test]
    fn a_device_that_tells_no_name_has_the_one_of_its_place_unless_another_tells_it() {
        let before = [identity(0, "GPU-a", "H100"), identity(1, "GPU-b", "H200")];
        let recalled = |told: [bool; 2], taken: &[&str]| {
            let taken: Vec<String> = taken.iter().map(|&uuid| uuid.to_owned()).collect();
            let mut known = Known {
                identity: identity(1, "unknown-node-0-1", "unknown"),
                told,
                previous: None,
            };
            known.recall(&before, &taken);
            known.identity
        };
        assert_eq!(recalled([false; 2], &["GPU-a"]), before[1]);
        assert_eq!(
            recalled([true, false], &[]).uuid,
            "unknown-node-0-1",
            "it told this"
        );
        assert_eq!(recalled([true, false], &[]).model, "H200");
        // One device left, and what was number 1 is number 0 now.
        let numbered_anew = recalled([false; 2], &["GPU-b"]);
        assert_eq!(
            (&*numbered_anew.uuid, &*numbered_anew.model),
            ("unknown-node-0-1", "unknown")
        );
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
