//! How a device is divided (multi-instance GPU).

use nvml_wrapper::Device;
use nvml_wrapper::error::{NvmlError, nvml_sym, nvml_try};
use orrery_telemetry::{Mig, MigInstance, Reading};
use orrery_units::Bytes;

use super::asked::Asked;
use super::fault::reading;

/// Instances of one device that are looked for; nvml.h knows devices of at most seven.
const MOST_INSTANCES: u32 = 16;

pub(super) fn mig(device: &Device<'_>, asked: &mut Asked) -> Mig {
    let mode = asked.ask("MIG mode", || device.mig_mode());
    let is_enabled = mode.clone().map(|mode| mode.current != 0);
    let instances = match &is_enabled {
        Reading::Value(true) => Reading::Value(instances(device)),
        Reading::Value(false) => Reading::Value(Vec::new()),
        Reading::Absent { absent } => Reading::absent(absent.clone()),
    };
    Mig {
        is_enabled,
        is_pending: mode.map(|mode| mode.pending != 0),
        instances,
    }
}

fn instances(device: &Device<'_>) -> Vec<MigInstance> {
    let most = device
        .mig_device_count()
        .unwrap_or(MOST_INSTANCES)
        .min(MOST_INSTANCES);
    (0..most)
        .filter_map(|index| Some((index, device.mig_device_by_index(index).ok()?)))
        .map(|(index, instance)| {
            let memory = reading(instance.memory_info());
            let bytes = |part: fn(&nvml_wrapper::struct_wrappers::device::MemoryInfo) -> u64| {
                memory.clone().map(|memory| Bytes::new(part(&memory)))
            };
            MigInstance {
                index,
                // An instance that tells no name has none; its place tells it apart.
                uuid: instance.uuid().unwrap_or_default(),
                name: instance.name().unwrap_or_default(),
                gpu_instance: reading(number_of(&instance, Number::GpuInstance)),
                compute_instance: reading(number_of(&instance, Number::ComputeInstance)),
                memory_used: bytes(|memory| memory.used),
                memory_total: bytes(|memory| memory.total),
            }
        })
        .collect()
}

/// Which number of an instance; the wrapper asks for neither.
#[derive(Clone, Copy)]
enum Number {
    GpuInstance,
    ComputeInstance,
}

fn number_of(instance: &Device<'_>, which: Number) -> Result<u32, NvmlError> {
    let library = instance.nvml().lib();
    let mut number = 0;
    // SAFETY: the handle is the instance's, and the pointer is valid for the number that the call writes.
    nvml_try(unsafe {
        match which {
            Number::GpuInstance => {
                nvml_sym(library.nvmlDeviceGetGpuInstanceId.as_ref())?(instance.handle(), &raw mut number)
            }
            Number::ComputeInstance => {
                nvml_sym(library.nvmlDeviceGetComputeInstanceId.as_ref())?(instance.handle(), &raw mut number)
            }
        }
    })?;
    Ok(number)
}
