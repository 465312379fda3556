//! What a device is, and numbers that no track is needed for.

use std::ffi::{c_char, c_int, c_uint};

use super::{Device, answer, answer_text, number};
use crate::player::{Call, Player, code};

/// `nvmlPciInfo_t`.
#[repr(C)]
struct PciInfo {
    legacy: [c_char; 16],
    domain: c_uint,
    bus: c_uint,
    device: c_uint,
    device_id: c_uint,
    subsystem_id: c_uint,
    bus_id: [c_char; 32],
}

/// An export that answers one fact.
macro_rules! export_fact {
    ($name:ident, $fact:expr) => {
        // SAFETY: as stated above the exports.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(device: Device, out: *mut c_uint) -> c_int {
            // SAFETY: passed on as the caller promises.
            unsafe {
                answer(out, |player: &mut Player| {
                    player.fact(number(device), $fact)
                })
            }
        }
    };
}

/// An export that answers one text.
macro_rules! export_text {
    ($name:ident, $fact:expr) => {
        // SAFETY: as stated above the exports.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(device: Device, out: *mut c_char, length: c_uint) -> c_int {
            // SAFETY: passed on as the caller promises.
            unsafe {
                answer_text(out, length, |player: &mut Player| {
                    player.fact(number(device), $fact)
                })
            }
        }
    };
}

export_text!(nvmlDeviceGetVbiosVersion, |script| script.vbios.clone());
export_text!(nvmlDeviceGetSerial, |script| script.serial.clone());
export_fact!(nvmlDeviceGetArchitecture, |script| script.architecture);
export_fact!(nvmlDeviceGetNumaNodeId, |script| script.numa_node);
export_fact!(nvmlDeviceGetCurrPcieLinkGeneration, |script| script
    .pcie
    .map(|[generation, _]| generation));
export_fact!(nvmlDeviceGetCurrPcieLinkWidth, |script| script
    .pcie
    .map(|[_, lanes]| lanes));
export_fact!(nvmlDeviceGetMaxPcieLinkGeneration, |script| script
    .pcie
    .map(|[generation, _]| generation));
export_fact!(nvmlDeviceGetMaxPcieLinkWidth, |script| script
    .pcie
    .map(|[_, lanes]| lanes));

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetPciInfo_v3(device: Device, out: *mut PciInfo) -> c_int {
    let info = |player: &mut Player| {
        let place = player.fact(number(device), |script| script.pci_bus_id.clone())?;
        let mut info = PciInfo {
            legacy: [0; 16],
            domain: 0,
            bus: 0,
            device: 0,
            // An H100 SXM of NVIDIA.
            device_id: 0x2330_10de,
            subsystem_id: 0,
            bus_id: [0; 32],
        };
        let mut parts = place
            .split([':', '.'])
            .map(|part| c_uint::from_str_radix(part, 16));
        for part in [&mut info.domain, &mut info.bus, &mut info.device] {
            *part = parts.next().and_then(Result::ok).ok_or(code::INVALID_ARGUMENT)?;
        }
        for (to, from) in info.bus_id[..31].iter_mut().zip(place.bytes()) {
            *to = c_char::from_ne_bytes([from]);
        }
        // The old form has four digits of the domain.
        for (to, from) in info.legacy[..15].iter_mut().zip(place.bytes().skip(4)) {
            *to = c_char::from_ne_bytes([from]);
        }
        Ok(info)
    };
    // SAFETY: passed on as the caller promises.
    unsafe { answer(out, info) }
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetMaxClockInfo(device: Device, clock: c_int, out: *mut c_uint) -> c_int {
    // NVML_CLOCK_SM is 1.
    let fact = |player: &mut Player| match clock {
        1 => player.fact(number(device), |script| script.max_sm_clock_megahertz),
        _ => Err(code::NOT_SUPPORTED),
    };
    // SAFETY: passed on as the caller promises.
    unsafe { answer(out, fact) }
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetTemperatureThreshold(
    device: Device,
    which: c_int,
    out: *mut c_uint,
) -> c_int {
    // NVML_TEMPERATURE_THRESHOLD_SLOWDOWN is 1.
    let fact = |player: &mut Player| match which {
        1 => player.fact(number(device), |script| script.slowdown_celsius),
        _ => Err(code::NOT_SUPPORTED),
    };
    // SAFETY: passed on as the caller promises.
    unsafe { answer(out, fact) }
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetNvLinkState(device: Device, link: c_uint, out: *mut c_uint) -> c_int {
    let state = |player: &mut Player| {
        let links = &player.device(number(device))?.links;
        match links.get(link as usize) {
            Some(&is_up) => Ok(c_uint::from(is_up)),
            None if links.is_empty() => Err(code::NOT_SUPPORTED),
            None => Err(code::INVALID_ARGUMENT),
        }
    };
    // SAFETY: passed on as the caller promises.
    unsafe { answer(out, state) }
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetPerformanceState(device: Device, out: *mut c_uint) -> c_int {
    let state = |player: &mut Player| {
        player.next(number(device), Call::PerformanceState, |script| {
            &script.performance_state
        })
    };
    // SAFETY: passed on as the caller promises.
    unsafe { answer(out, state) }
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetPcieReplayCounter(device: Device, out: *mut c_uint) -> c_int {
    let replays =
        |player: &mut Player| player.next(number(device), Call::PcieReplays, |script| &script.pcie_replays);
    // SAFETY: passed on as the caller promises.
    unsafe { answer(out, replays) }
}
