//! What only clients that others wrote ask for: a board without fans, displays and encoders.

use std::ffi::{c_int, c_uint};

use super::{Device, answer, number};
use crate::player::{Call, Player, code};

/// An export that no device of a script supports, whatever else is asked with it.
macro_rules! export_unsupported {
    ($($name:ident)*) => {
        $(
            // SAFETY: as stated above the exports; arguments that are not named are not looked at.
            #[unsafe(no_mangle)]
            unsafe extern "C" fn $name(device: Device) -> c_int {
                let known = |player: &mut Player| player.device(number(device)).map(|_known| 0u8);
                let mut nothing = 0;
                // SAFETY: the place is our own.
                match unsafe { answer(&raw mut nothing, known) } {
                    code::SUCCESS => code::NOT_SUPPORTED,
                    fault => fault,
                }
            }
        )*
    };
}

export_unsupported! {
    nvmlDeviceGetEncoderUtilization
    nvmlDeviceGetDecoderUtilization
    nvmlDeviceGetFanSpeed
    nvmlDeviceGetPersistenceMode
    nvmlDeviceGetComputeMode
    nvmlDeviceGetDisplayActive
    nvmlDeviceGetDisplayMode
    nvmlDeviceGetPcieThroughput
    nvmlDeviceGetProcessUtilization
    nvmlDeviceGetMemoryErrorCounter
    nvmlDeviceGetBAR1MemoryInfo
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetPowerManagementLimit(device: Device, out: *mut c_uint) -> c_int {
    let limit = |player: &mut Player| {
        player.next(number(device), Call::PowerLimit, |script| {
            &script.power_limit_milliwatts
        })
    };
    // SAFETY: passed on as the caller promises.
    unsafe { answer(out, limit) }
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetCudaComputeCapability(
    device: Device,
    major: *mut c_int,
    minor: *mut c_int,
) -> c_int {
    // `nvmlDeviceArchitecture_t` of Ampere, Hopper and Blackwell.
    let capability = |player: &mut Player| match player.fact(number(device), |script| script.architecture)? {
        7 => Ok(8),
        9 => Ok(9),
        10 => Ok(10),
        _ => Err(code::NOT_SUPPORTED),
    };
    // SAFETY: passed on as the caller promises.
    match unsafe { answer(major, capability) } {
        // SAFETY: passed on as the caller promises.
        code::SUCCESS => unsafe { answer(minor, |_player| Ok(0)) },
        fault => fault,
    }
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlSystemGetCudaDriverVersion(out: *mut c_int) -> c_int {
    // CUDA 13 came with driver 580.
    let version = |player: &mut Player| {
        let major = player
            .script
            .driver
            .split('.')
            .next()
            .and_then(|major| major.parse::<u32>().ok());
        Ok(if major.is_some_and(|major| major >= 580) {
            13_000
        } else {
            12_000
        })
    };
    // SAFETY: passed on as the caller promises.
    unsafe { answer(out, version) }
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlSystemGetCudaDriverVersion_v2(out: *mut c_int) -> c_int {
    // SAFETY: passed on as the caller promises.
    unsafe { nvmlSystemGetCudaDriverVersion(out) }
}
