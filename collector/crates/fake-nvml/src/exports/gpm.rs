//! Unit activity (GPM).

use std::ffi::{c_char, c_double, c_int, c_uint};

use super::{Device, answer, number, status};
use crate::player::{self, Player, code};

/// A GPM sample: a box with the number of its device.
type GpmSample = *mut usize;

/// `nvmlGpmSupport_t`.
#[repr(C)]
struct GpmSupport {
    version: c_uint,
    is_supported: c_uint,
}

/// `nvmlGpmMetric_t`; the three strings stay as the caller made them (null).
#[repr(C)]
struct GpmMetric {
    id: c_uint,
    status: c_int,
    value: c_double,
    words: [*mut c_char; 3],
}

/// `nvmlGpmMetricsGet_t` as far as it is used: in nvml.h 210 metrics follow, `count` of them filled.
#[repr(C)]
struct GpmMetrics {
    version: c_uint,
    count: c_uint,
    earlier: GpmSample,
    later: GpmSample,
    metrics: [GpmMetric; 210],
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlGpmQueryDeviceSupport(device: Device, out: *mut GpmSupport) -> c_int {
    let support = |player: &mut Player| {
        let script = player.device(number(device))?;
        if script.is_gpm_unknown {
            return Err(code::FUNCTION_NOT_FOUND);
        }
        Ok(GpmSupport {
            version: 1,
            is_supported: c_uint::from(script.gpm.is_some()),
        })
    };
    // SAFETY: passed on as the caller promises.
    unsafe { answer(out, support) }
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlGpmSampleAlloc(out: *mut GpmSample) -> c_int {
    // SAFETY: passed on as the caller promises.
    unsafe { answer(out, |_player| Ok(Box::into_raw(Box::new(usize::MAX)))) }
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlGpmSampleFree(sample: GpmSample) -> c_int {
    if sample.is_null() {
        return code::INVALID_ARGUMENT;
    }
    // SAFETY: nvml.h lets a caller free only what `nvmlGpmSampleAlloc` gave, and once.
    drop(unsafe { Box::from_raw(sample) });
    code::SUCCESS
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlGpmSampleGet(device: Device, sample: GpmSample) -> c_int {
    let take = |player: &mut Player| {
        let script = player.device(number(device))?;
        script
            .gpm
            .is_some()
            .then_some(number(device))
            .ok_or(code::NOT_SUPPORTED)
    };
    // SAFETY: the caller hands over a sample of `nvmlGpmSampleAlloc`, which holds a `usize`.
    unsafe { answer(sample, take) }
}

// SAFETY: as stated above the exports.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlGpmMetricsGet(request: *mut GpmMetrics) -> c_int {
    // SAFETY: null or a request that nobody else uses during the call, as nvml.h demands.
    let Some(request) = (unsafe { request.as_mut() }) else {
        return code::INVALID_ARGUMENT;
    };
    // SAFETY: null or samples of `nvmlGpmSampleAlloc`, as nvml.h demands.
    let samples = unsafe { (request.earlier.as_ref(), request.later.as_ref()) };
    let (Some(earlier), Some(later)) = samples else {
        return code::INVALID_ARGUMENT;
    };
    if earlier != later || request.count as usize > request.metrics.len() {
        return code::INVALID_ARGUMENT;
    }
    status(player::ask(|player| {
        let script = player.device(*later)?;
        let values = script.gpm.as_ref().ok_or(code::NOT_SUPPORTED)?;
        for metric in &mut request.metrics[..request.count as usize] {
            match values.get(&metric.id) {
                Some(&value) => (metric.status, metric.value) = (code::SUCCESS, value),
                None => metric.status = code::NOT_SUPPORTED,
            }
        }
        Ok(())
    }))
}
