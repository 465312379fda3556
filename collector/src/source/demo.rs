//! A made-up cluster for demonstrations: four nodes of eight devices in one training job, one straggler, one that
//! overheats now and then, one without a reading of its tensor pipes.
//!
//! Every number here is an assumption, chosen to look like H100 SXM devices in training; none was measured,
//! and every sample says so. The numbers are keyed by seed, device and sequence, so two runs are equal. The job
//! goes at the pace of its slowest device, and the others wait for it: their utilization stays high, because
//! waiting is a kernel too, and their tensor pipes idle.

use std::time::Duration;

use orrery_telemetry::{
    Absence, Activity, Celsius, CounterWidth, DeviceIdentity, DeviceSample, Ecc, Hertz, Links, Mig,
    Nanoseconds, NvLink, Origin, Pcie, PerformanceState, Reading, RecoveryAction, RemappedRows, Throttle,
    ThrottleTimes, UnixTime, Xids,
};
use orrery_units::{Bytes, BytesPerSec, Joules, Ratio, Seed, Watts};

use super::{Source, SourceError};

const NUM_NODES: u32 = 4;
const DEVICES_PER_NODE: u32 = 8;
/// (node, device) whose clock stays low.
const STRAGGLER: (u32, u32) = (2, 5);
/// The clock of the straggler over that of the others.
const STRAGGLER_SLOWED: f64 = 0.72;
/// (node, device) that overheats for a third of every sixty samples.
const HOT: (u32, u32) = (1, 3);
/// The clock of the device that overheats, while it does, over that of the others.
const HOT_SLOWED: f64 = 0.61;
/// (node, device) whose driver gives no number for the tensor pipes.
const WITHOUT_TENSOR: (u32, u32) = (3, 1);
const CLOCK_MEGAHERTZ: f64 = 1_755.0;
const POWER_LIMIT_WATTS: f64 = 700.0;
/// What goes over PCIe, one way, in bytes a second.
const PCIE_RATE: f64 = 3e9;
const MEMORY: Bytes = Bytes::new(80 << 30);

/// The made-up cluster.
#[derive(Clone, Debug)]
pub struct DemoSource {
    seed: Seed,
    interval: Duration,
    counters: Vec<Counters>,
}

/// What each device has counted.
#[derive(Clone, Debug, Default)]
struct Counters {
    /// In joules.
    energy: f64,
    /// Over NVLink, one way, in bytes.
    nvlink: f64,
    /// Over PCIe, one way, in bytes.
    pcie: f64,
    /// Time at the power cap, and slowed by heat, in seconds.
    throttled: [f64; 2],
}

impl DemoSource {
    /// The cluster of `seed`.
    #[must_use]
    pub fn new(seed: Seed) -> Self {
        Self {
            seed,
            interval: Duration::from_secs(1),
            counters: vec![Counters::default(); (NUM_NODES * DEVICES_PER_NODE) as usize],
        }
    }

    /// The cluster as it is read every `interval` instead of every second: its energy counters count by that.
    #[must_use]
    pub fn paced(self, interval: Duration) -> Self {
        Self { interval, ..self }
    }

    fn device(&mut self, node: u32, index: u32, sequence: u64) -> DeviceSample {
        let noise = |name: &str, spread: f64| {
            let key = self.seed.at(name, &[u64::from(node), u64::from(index), sequence]);
            1.0 + spread * (2.0 * key.uniform() - 1.0)
        };
        let is_hot = (node, index) == HOT && hot_at(sequence);
        let slowed = match (node, index) {
            STRAGGLER => STRAGGLER_SLOWED,
            HOT if is_hot => HOT_SLOWED,
            _ => 1.0,
        };
        let pace = if hot_at(sequence) {
            HOT_SLOWED
        } else {
            STRAGGLER_SLOWED
        };
        // A slow device works in more of its cycles than one that waits for it.
        let busy = pace / slowed;
        let clock = CLOCK_MEGAHERTZ * slowed * noise("clock", 0.01);
        let power = POWER_LIMIT_WATTS * (0.35 * slowed + 0.55 * pace) * noise("power", 0.05);
        let power = power.min(POWER_LIMIT_WATTS);
        let degrees = if is_hot {
            88.0
        } else {
            62.0 * noise("temperature", 0.05)
        };
        let used = Bytes::from_f64(MEMORY.as_f64() * 0.86 * noise("memory", 0.002));
        let [received, sent] = ["receive", "transmit"].map(|name| 74e9 * pace * noise(name, 0.1));
        let activity = activity(
            (node, index) == WITHOUT_TENSOR,
            [busy, pace],
            [received, sent],
            noise,
        );
        let utilization = Ratio::clamped(0.98 * noise("utilization", 0.02));
        let seconds = self.interval.as_secs_f64();
        let counters = &mut self.counters[(node * DEVICES_PER_NODE + index) as usize];
        counters.energy += power * seconds;
        counters.nvlink += received * seconds;
        counters.pcie += PCIE_RATE * seconds;
        counters.throttled[0] += if power >= POWER_LIMIT_WATTS { seconds } else { 0.0 };
        counters.throttled[1] += if is_hot { seconds } else { 0.0 };
        let energy = counters.energy;
        DeviceSample {
            identity: identity(node, index),
            utilization: Reading::Value(utilization),
            memory_used: Reading::Value(used),
            memory_free: Reading::Value(MEMORY.saturating_sub(used)),
            memory_reserved: Reading::Value(Bytes::ZERO),
            memory_total: Reading::Value(MEMORY),
            power: Reading::Value(Watts(power)),
            power_limit: Reading::Value(Watts(POWER_LIMIT_WATTS)),
            energy: Reading::Value(Joules(energy)),
            sm_clock: Reading::Value(megahertz(clock)),
            memory_clock: Reading::Value(Hertz::from_megahertz(2_619)),
            temperature: Reading::Value(Celsius(degrees.round())),
            throttles: Reading::Value(if is_hot {
                vec![Throttle::ThermalHardware]
            } else {
                Vec::new()
            }),
            activity,
            memory_temperature: Reading::Value(Celsius((degrees + 12.0).round())),
            power_instant: Reading::Value(Watts(power)),
            power_average: Reading::Value(Watts(power)),
            ..counters.sample(identity(node, index))
        }
    }
}

/// Activity of a device that works for `busy` of its time in a job whose pace is `pace`.
fn activity(
    is_without_tensor: bool,
    [busy, pace]: [f64; 2],
    [received, sent]: [f64; 2],
    noise: impl Fn(&str, f64) -> f64,
) -> Activity {
    let ratio = |name, mean: f64, spread| Reading::Value(Ratio::clamped(mean * noise(name, spread)));
    let rate = |rate| Reading::Value(BytesPerSec::new(rate));
    Activity {
        graphics: ratio("graphics", 0.97, 0.02),
        sm: ratio("sm", 0.83, 0.04),
        occupancy: ratio("occupancy", 0.31, 0.05),
        tensor: if is_without_tensor {
            Reading::absent(Absence::NotANumber)
        } else {
            ratio("tensor", 0.46 * busy, 0.06)
        },
        dram: ratio("dram", 0.52 * pace, 0.05),
        fp32: ratio("fp32", 0.11 * busy, 0.05),
        nvlink_receive: rate(received),
        nvlink_transmit: rate(sent),
        tensor_hmma: if is_without_tensor {
            Reading::absent(Absence::not_sent())
        } else {
            ratio("hmma", 0.46 * busy, 0.06)
        },
        tensor_imma: Reading::Value(Ratio::clamped(0.0)),
        tensor_dfma: Reading::Value(Ratio::clamped(0.0)),
        fp64: Reading::Value(Ratio::clamped(0.0)),
        fp16: ratio("fp16", 0.02 * busy, 0.1),
        pcie_receive: rate(PCIE_RATE),
        pcie_transmit: rate(PCIE_RATE),
    }
}

impl Counters {
    /// A device in health of which these counters are read, and nothing that changes by itself.
    fn sample(&self, identity: DeviceIdentity) -> DeviceSample {
        let none = Reading::Value(0);
        let nanos = |seconds: f64| Reading::Value(Nanoseconds::new(whole(seconds * 1e9)));
        let bytes = |bytes: f64| Reading::Value(Bytes::from_f64(bytes));
        DeviceSample {
            performance_state: Reading::Value(PerformanceState(0)),
            throttle_times: ThrottleTimes {
                power_cap: nanos(self.throttled[0]),
                thermal_software: nanos(0.0),
                thermal_hardware: nanos(self.throttled[1]),
                power_brake: nanos(0.0),
            },
            ecc: Ecc {
                corrected_volatile: none.clone(),
                uncorrected_volatile: none.clone(),
                corrected_aggregate: none.clone(),
                uncorrected_aggregate: none.clone(),
            },
            remapped_rows: RemappedRows {
                correctable: none.clone(),
                uncorrectable: none.clone(),
                pending: Reading::Value(false),
                failure: Reading::Value(false),
            },
            xids: Reading::Value(Xids {
                since: UnixTime::from_millis(0),
                ..Xids::default()
            }),
            recovery: Reading::Value(RecoveryAction::None),
            nvlink: NvLink {
                receive: bytes(self.nvlink),
                transmit: bytes(self.nvlink),
                links: Reading::Value(Links::default()),
            },
            pcie: Pcie {
                receive: bytes(self.pcie),
                transmit: bytes(self.pcie),
                width: Reading::Value(CounterWidth::Bits64),
                replays: none,
                generation: Reading::Value(5),
                lanes: Reading::Value(16),
            },
            processes: Reading::Value(Vec::new()),
            mig: Mig {
                is_enabled: Reading::Value(false),
                is_pending: Reading::Value(false),
                instances: Reading::Value(Vec::new()),
            },
            ..DeviceSample::absent(identity, &Absence::not_sent())
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast of a float saturates"
)]
fn whole(number: f64) -> u64 {
    number.round() as u64
}

/// Whether the hot device overheats at that sample.
fn hot_at(sequence: u64) -> bool {
    sequence % 60 >= 40
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a clock of some gigahertz"
)]
fn megahertz(clock: f64) -> Hertz {
    Hertz::from_megahertz(clock.round() as u32)
}

fn identity(node: u32, index: u32) -> DeviceIdentity {
    DeviceIdentity {
        node: format!("demo-node-{node}"),
        index,
        uuid: format!("DEMO-{node}-{index}"),
        model: "DEMO device".to_owned(),
    }
}

impl Source for DemoSource {
    fn origin(&self) -> Origin {
        Origin::Demo
    }

    fn read(&mut self, sequence: u64) -> Result<Vec<DeviceSample>, SourceError> {
        let places = (0..NUM_NODES).flat_map(|node| (0..DEVICES_PER_NODE).map(move |index| (node, index)));
        Ok(places
            .map(|(node, index)| self.device(node, index, sequence))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(seed: u64) -> Vec<Vec<DeviceSample>> {
        let mut source = DemoSource::new(Seed::new(seed));
        (0..60).map(|sequence| source.read(sequence).unwrap()).collect()
    }

    #[test]
    fn one_seed_gives_one_cluster() {
        assert_eq!(samples(7), samples(7));
        assert_ne!(samples(7), samples(8));
    }

    fn where_it_holds(devices: &[DeviceSample], what: impl Fn(&DeviceSample) -> bool) -> Vec<&str> {
        let found = devices.iter().filter(|device| what(device));
        found.map(|device| device.identity.uuid.as_str()).collect()
    }

    fn tensor(devices: &[DeviceSample], uuid: &str) -> f64 {
        let device = devices
            .iter()
            .find(|device| device.identity.uuid == uuid)
            .unwrap();
        device.activity.tensor.value().unwrap().get()
    }

    #[test]
    fn one_device_straggles_one_overheats_and_one_lacks_a_reading() {
        let samples = samples(1);
        let (calm, hot) = (&samples[0], &samples[45]);
        assert_eq!(calm.len(), 32);
        let nodes: std::collections::BTreeSet<&str> =
            calm.iter().map(|device| device.identity.node.as_str()).collect();
        assert_eq!(nodes.len(), 4);
        let slow = |device: &DeviceSample| device.sm_clock.value().unwrap().get() < 1_400_000_000;
        assert_eq!(where_it_holds(calm, slow), ["DEMO-2-5"]);
        let throttled = |device: &DeviceSample| !device.throttles.value().unwrap().is_empty();
        assert_eq!(where_it_holds(calm, throttled), [""; 0]);
        assert_eq!(where_it_holds(hot, throttled), ["DEMO-1-3"]);
        let lacking: Vec<_> = calm
            .iter()
            .flat_map(|device| {
                device
                    .absences()
                    .into_iter()
                    .map(|(name, why)| (&*device.identity.uuid, name, why))
            })
            .collect();
        assert_eq!(lacking, [("DEMO-3-1", "tensor activity", &Absence::NotANumber)]);
    }

    #[test]
    fn who_waits_for_the_slowest_has_idle_tensor_pipes() {
        let samples = samples(1);
        let (calm, hot) = (&samples[0], &samples[45]);
        assert!(
            tensor(calm, "DEMO-2-5") > 1.2 * tensor(calm, "DEMO-0-0"),
            "{calm:?}"
        );
        assert!(tensor(hot, "DEMO-1-3") > 1.1 * tensor(hot, "DEMO-2-5"), "{hot:?}");
    }

    #[test]
    fn energy_is_power_over_the_interval() {
        let mut source = DemoSource::new(Seed::new(1)).paced(Duration::from_millis(100));
        let (first, second) = (source.read(0).unwrap(), source.read(1).unwrap());
        let energy = |devices: &[DeviceSample]| devices[0].energy.value().unwrap().0;
        let power = second[0].power.value().unwrap().0;
        assert!(
            (energy(&second) - energy(&first) - 0.1 * power).abs() < 1e-9,
            "{second:?}"
        );
    }

    #[test]
    fn counters_count_what_was_read() {
        let mut source = DemoSource::new(Seed::new(1));
        let samples: Vec<Vec<DeviceSample>> =
            (0..46).map(|sequence| source.read(sequence).unwrap()).collect();
        let hot = samples[45]
            .iter()
            .find(|device| device.identity.uuid == "DEMO-1-3")
            .unwrap();
        assert_eq!(
            hot.throttle_times.thermal_hardware,
            Reading::Value(Nanoseconds::new(6_000_000_000)),
            "from sample 40 on"
        );
        let received = |device: &DeviceSample| device.nvlink.receive.value().unwrap().as_f64();
        let (before, now) = (&samples[44][0], &samples[45][0]);
        let rate = now.activity.nvlink_receive.value().unwrap().get();
        assert!(
            (received(now) - received(before) - rate).abs() < 16.0,
            "{before:?} {now:?}"
        );
    }
}
