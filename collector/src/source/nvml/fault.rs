//! What a fault of NVML means: a reading that is absent, or a source that is, and what to do about it.

use nvml_wrapper::error::NvmlError;
use orrery_telemetry::{Absence, Reading};

use crate::source::{LOST_REMEDY, SourceError};

pub(super) fn reading<T>(result: Result<T, NvmlError>) -> Reading<T> {
    result.map_err(|fault| absence(&fault)).into()
}

pub(super) fn absence(fault: &NvmlError) -> Absence {
    match fault {
        NvmlError::NotSupported => Absence::NotSupported,
        NvmlError::FailedToLoadSymbol(_) | NvmlError::FunctionNotFound => Absence::DriverTooOld,
        NvmlError::NoPermission => Absence::NoPermission,
        NvmlError::GpuLost => Absence::DeviceLost,
        other => Absence::Failed(other.to_string().into()),
    }
}

/// Whether a fault means that no device can be read until the library is opened again.
pub(super) fn is_of_all(fault: &NvmlError) -> bool {
    matches!(
        fault,
        NvmlError::Uninitialized | NvmlError::DriverNotLoaded | NvmlError::LibRmVersionMismatch
    )
}

pub(super) fn source_error(fault: &NvmlError) -> SourceError {
    if let NvmlError::LibloadingError(fault) = fault {
        return SourceError::new(
            format!("no NVIDIA driver library: {fault}"),
            "install the NVIDIA driver, or start the container with its devices and driver (`--gpus all`); a library \
             in another place is named with `--nvml-library PATH`",
        );
    }
    SourceError::new(format!("NVML gives nothing: {fault}"), remedy(fault))
}

/// What to do about a fault of the driver as a whole; the source is opened again by itself all the same.
fn remedy(fault: &NvmlError) -> &'static str {
    match fault {
        NvmlError::DriverNotLoaded => {
            "load the kernel module (`modprobe nvidia`); `dmesg` says why it does not load"
        }
        NvmlError::LibRmVersionMismatch => {
            "the driver was updated: reload its kernel module (`nvidia-smi` must be well again), or reboot; in a \
             container, start it anew"
        }
        NvmlError::NoPermission => "run as a user that may open `/dev/nvidia*`",
        NvmlError::OperatingSystem => {
            "let this process open `/dev/nvidia*`: the device rules of its container or cgroup forbid it"
        }
        NvmlError::Uninitialized => "the driver was unloaded; the source is back by itself when it is loaded",
        NvmlError::GpuLost | NvmlError::ResetRequired => LOST_REMEDY,
        NvmlError::LibraryNotFound => {
            "a library that the driver needs is not there: install the driver again, or give the container all of it"
        }
        NvmlError::FailedToLoadSymbol(_) | NvmlError::FunctionNotFound => {
            "the library is too old, or is not NVML: update the driver, or name another with `--nvml-library PATH`"
        }
        NvmlError::Timeout => {
            "the driver is slow or hangs: see `dmesg` for `NVRM` and `Xid` lines; reboot if it stays so"
        }
        NvmlError::IrqIssue => {
            "the kernel gets no interrupts of a device: see `dmesg`; reboot, and have the slot looked at if it stays so"
        }
        NvmlError::InsufficientPower => "attach the power cables of the device",
        NvmlError::CorruptedInfoROM => {
            "a device cannot read what it stores about itself: `nvidia-smi` names it; have it looked at"
        }
        NvmlError::InsufficientMemory => "the machine is out of memory: free some",
        NvmlError::InUse => {
            "something holds a device for itself: `nvidia-smi` names it; wait until it is done"
        }
        _ => {
            "see `dmesg` for `NVRM` and `Xid` lines and whether `nvidia-smi` is well; reload the driver or reboot if \
             not"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_a_driver_comes_with_a_remedy_of_its_own() {
        for (fault, part) in [
            (NvmlError::DriverNotLoaded, "modprobe nvidia"),
            (NvmlError::LibRmVersionMismatch, "reload its kernel module"),
            (NvmlError::NoPermission, "/dev/nvidia*"),
            (NvmlError::OperatingSystem, "cgroup"),
            (NvmlError::Uninitialized, "back by itself"),
            (NvmlError::GpuLost, "--gpu-reset"),
            (NvmlError::ResetRequired, "--gpu-reset"),
            (NvmlError::LibraryNotFound, "install the driver again"),
            (NvmlError::FunctionNotFound, "--nvml-library"),
            (NvmlError::FailedToLoadSymbol("nvmlInit_v2".to_owned()), "too old"),
            (NvmlError::Timeout, "hangs"),
            (NvmlError::IrqIssue, "interrupts"),
            (NvmlError::InsufficientPower, "cables"),
            (NvmlError::CorruptedInfoROM, "have it looked at"),
            (NvmlError::InsufficientMemory, "out of memory"),
            (NvmlError::InUse, "wait until"),
            (NvmlError::Unknown, "dmesg"),
            (NvmlError::NotFound, "dmesg"),
        ] {
            let error = source_error(&fault);
            assert!(error.remedy.contains(part), "{fault:?}: {}", error.remedy);
            assert!(
                error.reason.starts_with("NVML gives nothing: "),
                "{}",
                error.reason
            );
        }
    }
}
