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
    /// Errors (XID) that are told to whoever waits for events.
    #[serde(default)]
    pub(crate) xids: Vec<XidScript>,
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

/// One error, told again and again.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct XidScript {
    /// The number of the device.
    pub(crate) device: usize,
    /// The code.
    pub(crate) code: u64,
    /// How often it is told, without a pause.
    pub(crate) times: u64,
    /// So many calls about devices are answered before.
    #[serde(default)]
    pub(crate) after: u64,
}

/// A process that holds memory of a device.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProcessScript {
    pub(crate) pid: u32,
    pub(crate) memory_bytes: u64,
    /// The MIG instance that it runs on.
    #[serde(default)]
    pub(crate) gpu_instance: Option<u32>,
}

/// How a device is divided.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MigScript {
    pub(crate) is_enabled: bool,
    #[serde(default)]
    pub(crate) instances: Vec<InstanceScript>,
}

/// One instance of a divided device.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InstanceScript {
    pub(crate) name: String,
    pub(crate) uuid: String,
    pub(crate) gpu_instance: u32,
    pub(crate) compute_instance: u32,
    /// Total, reserved and used memory, in bytes.
    pub(crate) memory_bytes: [u64; 3],
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
    /// A call about it that hangs after so many that it answered.
    #[serde(default)]
    pub(crate) hang: Option<Hang>,
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
    /// Whether the driver is too old to know GPM at all.
    #[serde(default)]
    pub(crate) is_gpm_unknown: bool,
    /// The performance state.
    #[serde(default)]
    pub(crate) performance_state: Track<u32>,
    /// Values by field: `ID`, `ID/LINK` or `ID/all`, in the numbering of drivers before 580.82; asked under the
    /// numbers that the driver has. One that is not named is `NotSupported`.
    #[serde(default)]
    pub(crate) fields: Fields,
    /// The fields that are told as 32-bit numbers: what is above wraps.
    #[serde(default)]
    pub(crate) narrow_fields: Vec<u32>,
    /// Memory errors: corrected and uncorrected since the driver was loaded, and the same ever.
    #[serde(default)]
    pub(crate) ecc: Track<[u64; 4]>,
    /// Generation and lanes of PCIe.
    #[serde(default)]
    pub(crate) pcie: Option<[u32; 2]>,
    /// Packets that PCIe sent again.
    #[serde(default)]
    pub(crate) pcie_replays: Track<u32>,
    /// Whether each NVLink is up.
    #[serde(default)]
    pub(crate) links: Vec<bool>,
    /// The processes that hold its memory.
    #[serde(default)]
    pub(crate) processes: Option<Vec<ProcessScript>>,
    /// How it is divided; without this it cannot be.
    #[serde(default)]
    pub(crate) mig: Option<MigScript>,
    /// Whether it tells errors as events.
    #[serde(default)]
    pub(crate) tells_xids: bool,
    #[serde(default)]
    pub(crate) vbios: Option<String>,
    #[serde(default)]
    pub(crate) serial: Option<String>,
    /// Such as `00000000:1B:00.0`.
    #[serde(default)]
    pub(crate) pci_bus_id: Option<String>,
    /// `nvmlDeviceArchitecture_t`: 7 is Ampere, 9 Hopper, 10 Blackwell.
    #[serde(default)]
    pub(crate) architecture: Option<u32>,
    #[serde(default)]
    pub(crate) numa_node: Option<u32>,
    /// The highest clock of the multiprocessors, in megahertz.
    #[serde(default)]
    pub(crate) max_sm_clock_megahertz: Option<u32>,
    /// From which temperature on it is slowed down.
    #[serde(default)]
    pub(crate) slowdown_celsius: Option<u32>,
}

/// The tracks of fields, by number and scope. A field that is about no link has scope 0, as the first link has.
#[derive(Debug, Default, Deserialize)]
#[serde(try_from = "BTreeMap<String, Track<u64>>")]
pub(crate) struct Fields(BTreeMap<(u32, u32), Track<u64>>);

impl TryFrom<BTreeMap<String, Track<u64>>> for Fields {
    type Error = String;

    fn try_from(named: BTreeMap<String, Track<u64>>) -> Result<Self, String> {
        let place = |name: &str| {
            let (id, scope) = name.split_once('/').unwrap_or((name, "0"));
            let scope = match scope {
                "all" => u32::MAX,
                link => link.parse().ok()?,
            };
            Some((id.parse().ok()?, scope))
        };
        let tracks = named.into_iter().map(|(name, track)| {
            let place = place(&name).ok_or_else(|| format!("field `{name}` is no ID, ID/LINK or ID/all"))?;
            Ok((place, track))
        });
        tracks.collect::<Result<_, String>>().map(Self)
    }
}

impl Fields {
    /// The track of field `id`, numbered as before 580.82, for `scope`.
    pub(crate) fn track(&self, id: u32, scope: u32) -> Option<&Track<u64>> {
        self.0.get(&(id, scope))
    }
}

/// How a driver numbers its fields: from 580.82 on, 251 to 255 became 269 to 273, and 256 to 273 became 251 to 268.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Numbering {
    Old,
    New,
}

impl Numbering {
    /// That of driver `version`.
    pub(crate) fn of(version: &str) -> Self {
        let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        if version >= (580, 82) {
            Self::New
        } else {
            Self::Old
        }
    }

    /// The number before 580.82 of the field that has `number` here.
    pub(crate) fn old(self, number: u32) -> u32 {
        match (self, number) {
            (Self::New, 269..=273) => number - 18,
            (Self::New, 251..=268) => number + 5,
            _ => number,
        }
    }
}

impl Script {
    /// Reads the script that the environment names.
    pub(crate) fn load() -> Result<Self, String> {
        let path = std::env::var(SCRIPT_VARIABLE).map_err(|fault| format!("{SCRIPT_VARIABLE}: {fault}"))?;
        let text = std::fs::read_to_string(&path).map_err(|fault| format!("{fault}: {path}"))?;
        serde_json::from_str(&text).map_err(|fault| format!("{fault}: {path}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_under_the_number_of_the_driver() {
        let device: DeviceScript = serde_json::from_str(
            r#"{"name":"a","uuid":"b","fields":{"252":[7],"138/all":[1],"138/3":[2],"142":[3]}}"#,
        )
        .unwrap();
        let found = |version, asked, scope| {
            let id = Numbering::of(version).old(asked);
            device.fields.track(id, scope).map(|track| track[0])
        };
        assert_eq!(found("570.10", 252, 0), Some(7));
        assert_eq!(found("580.82.07", 252, 0), None);
        assert_eq!(found("580.82.07", 270, 0), Some(7));
        assert_eq!(found("580.65", 270, 0), None);
        assert_eq!(found("590.1", 138, u32::MAX), Some(1));
        assert_eq!((found("590.1", 138, 3), found("590.1", 138, 0)), (Some(2), None));
        assert_eq!(found("590.1", 142, 0), Some(3));
    }
}
