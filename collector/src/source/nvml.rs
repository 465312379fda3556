//! The devices of this machine, through NVML. The driver's library is found at run time, or it is not there.
#![expect(
    unsafe_code,
    reason = "a library that its samples borrow is closed after them, which no lifetime can say"
)]

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

    /// The library, under a lifetime that is too long: nothing that borrows it may outlive `self`.
    fn get(&self) -> &'static Nvml {
        // SAFETY: the box lives until `self` is dropped, and is never borrowed mutably. `NvmlSource` alone
        // keeps what borrows it, in a field that is dropped before.
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
        let nvml = self.library.get();
        self.devices.iter_mut().map(|known| known.read(nvml)).collect()
    }
}

impl Known {
    fn find(nvml: &Nvml, node: &str, index: u32) -> Self {
        let device = nvml.device_by_index(index);
        let ask = |question: fn(&Device<'_>) -> Result<String, NvmlError>| {
            device.as_ref().ok().and_then(|device| question(device).ok())
        };
        // A device that is lost from the start has no name of its own; its place must do.
        let uuid = ask(|device| device.uuid()).unwrap_or_else(|| format!("unknown-{node}-{index}"));
        let model = ask(|device| device.name()).unwrap_or_else(|| "unknown".to_owned());
        let identity = DeviceIdentity {
            node: node.to_owned(),
            index,
            uuid,
            model,
        };
        Self {
            identity,
            previous: None,
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
        })
    }

    /// Activity since the sample before; the new sample becomes the next one's "before".
    fn activity(&mut self, nvml: &'static Nvml, device: &Device<'static>) -> Activity {
        let sample = match device.gpm_support() {
            Ok(true) => device.gpm_sample(),
            Ok(false) => Err(NvmlError::NotSupported),
            Err(fault) => Err(fault),
        };
        let sample = match sample {
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
        }
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
    ];
    flags
        .into_iter()
        .filter(|&(flag, _)| reasons.contains(flag))
        .map(|(_, throttle)| throttle)
        .collect()
}

fn reading<T>(result: Result<T, NvmlError>) -> Reading<T> {
    result.map_err(|fault| absence(&fault)).into()
}

fn absence(fault: &NvmlError) -> Absence {
    match fault {
        NvmlError::NotSupported => Absence::NotSupported,
        NvmlError::FailedToLoadSymbol(_) | NvmlError::FunctionNotFound => Absence::DriverTooOld,
        NvmlError::NoPermission => Absence::NoPermission,
        NvmlError::GpuLost => Absence::DeviceLost,
        other => Absence::Failed(other.to_string()),
    }
}

/// Whether a fault means that no device can be read until the library is opened again.
fn is_of_all(fault: &NvmlError) -> bool {
    matches!(
        fault,
        NvmlError::Uninitialized | NvmlError::DriverNotLoaded | NvmlError::LibRmVersionMismatch
    )
}

fn source_error(fault: &NvmlError) -> SourceError {
    let remedy = match fault {
        NvmlError::LibloadingError(fault) => {
            return SourceError::new(
                format!("no NVIDIA driver library: {fault}"),
                "install the NVIDIA driver, or start the container with its devices and driver (`--gpus all`); a \
                 library in another place is named with `--nvml-library PATH`",
            );
        }
        NvmlError::DriverNotLoaded => {
            "load the kernel module (`modprobe nvidia`); `dmesg` says why it does not load"
        }
        NvmlError::LibRmVersionMismatch => "the driver was updated: reload its kernel module, or reboot",
        NvmlError::NoPermission => "run as a user that may open `/dev/nvidia*`",
        NvmlError::Uninitialized => "the driver was unloaded; the source is back by itself when it is loaded",
        NvmlError::GpuLost => "reset the device or reboot; `dmesg` says why it was lost",
        _ => "",
    };
    SourceError::new(format!("NVML gives nothing: {fault}"), remedy)
}
