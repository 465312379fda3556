//! The script: what each device answers, call by call.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The environment variable that names the script.
pub(crate) const SCRIPT_VARIABLE: &str = "ORRERY_FAKE_NVML_SCRIPT";

/// Answers of one call, in order; the last one stays. No answers at all mean `NotSupported`.
pub(crate) type Track<T> = Vec<T>;

/// The whole script.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Script {
    /// Version of the driver it plays, such as `580.95.05`; `-orrery-fake` is added.
    pub(crate) driver: String,
    /// Devices in the order of their numbers.
    pub(crate) devices: Vec<DeviceScript>,
    /// After this many calls about devices the driver is unloaded: all fail with `Uninitialized` until it
    /// is shut down and started again.
    #[serde(default)]
    pub(crate) unloaded_after: Option<u64>,
    /// A call that hangs.
    #[serde(default)]
    pub(crate) hang: Option<Hang>,
    /// Starts that fail before one succeeds.
    #[serde(default)]
    pub(crate) failing_starts: u64,
    /// The status with which they fail, as a number of `nvmlReturn_t`; `DriverNotLoaded` without this.
    #[serde(default)]
    pub(crate) failing_with: Option<i32>,
}

/// A call that hangs, as one does in a wedged driver.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hang {
    /// So many calls about devices are answered before; 0 hangs the first start instead.
    pub(crate) after: u64,
    /// How long it hangs.
    pub(crate) millis: u64,
}

/// What one device answers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeviceScript {
    /// Its model.
    pub(crate) name: String,
    /// Its own name.
    pub(crate) uuid: String,
    /// After this many answered calls the device is lost.
    #[serde(default)]
    pub(crate) lost_after: Option<u64>,
    /// A lost device is back after this many further starts, each with the shutdown before it; without this, it
    /// stays lost.
    #[serde(default)]
    pub(crate) back_after_starts: Option<u64>,
    /// So many questions for its name or UUID fail with `Timeout` before they are answered.
    #[serde(default)]
    pub(crate) unnamed_calls: u64,
    /// Percent of time with a kernel, and with memory traffic.
    #[serde(default)]
    pub(crate) utilization_percent: Track<[u32; 2]>,
    /// Total, reserved and used memory, in bytes; free is the rest.
    #[serde(default)]
    pub(crate) memory_bytes: Track<[u64; 3]>,
    /// Power drawn, in milliwatts.
    #[serde(default)]
    pub(crate) power_milliwatts: Track<u32>,
    /// Enforced power limit, in milliwatts.
    #[serde(default)]
    pub(crate) power_limit_milliwatts: Track<u32>,
    /// Energy since the driver was loaded, in millijoules.
    #[serde(default)]
    pub(crate) energy_millijoules: Track<u64>,
    /// Clock of the multiprocessors, in megahertz.
    #[serde(default)]
    pub(crate) sm_clock_megahertz: Track<u32>,
    /// Clock of the memory, in megahertz.
    #[serde(default)]
    pub(crate) memory_clock_megahertz: Track<u32>,
    /// Temperature, in degrees Celsius.
    #[serde(default)]
    pub(crate) temperature_celsius: Track<u32>,
    /// The throttle reasons as NVML's bit mask.
    #[serde(default)]
    pub(crate) throttle_bits: Track<u64>,
    /// GPM metrics by their number; without this the device has no GPM. A metric that is not named is
    /// `NotSupported` alone.
    #[serde(default)]
    pub(crate) gpm: Option<BTreeMap<u32, f64>>,
}

impl Script {
    /// Reads the script that the environment names.
    pub(crate) fn load() -> Result<Self, String> {
        let path = std::env::var(SCRIPT_VARIABLE).map_err(|fault| format!("{SCRIPT_VARIABLE}: {fault}"))?;
        let text = std::fs::read_to_string(&path).map_err(|fault| format!("{fault}: {path}"))?;
        serde_json::from_str(&text).map_err(|fault| format!("{fault}: {path}"))
    }
}
