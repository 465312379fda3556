//! A made-up cluster for demonstrations: four nodes of eight devices, one straggler, one that overheats.
//!
//! Every number here is an assumption, chosen to look like H100 SXM devices in training; none was measured,
//! and every sample says so. The numbers are keyed by seed, device and sequence, so two runs are equal.

use orrery_telemetry::{Activity, Celsius, DeviceIdentity, DeviceSample, Hertz, Origin, Reading, Throttle};
use orrery_units::{Bytes, BytesPerSec, Joules, Ratio, Seed, Watts};

use super::Source;

const NUM_NODES: u32 = 4;
const DEVICES_PER_NODE: u32 = 8;
/// (node, device) whose clock stays low.
const STRAGGLER: (u32, u32) = (2, 5);
/// (node, device) that overheats for a third of every minute of samples.
const HOT: (u32, u32) = (1, 3);
const CLOCK_MEGAHERTZ: f64 = 1_755.0;
const POWER_LIMIT_WATTS: f64 = 700.0;
const MEMORY: Bytes = Bytes::new(80 << 30);

/// The made-up cluster.
#[derive(Clone, Debug)]
pub struct DemoSource {
    seed: Seed,
    energy: Vec<f64>,
}

impl DemoSource {
    /// The cluster of `seed`.
    #[must_use]
    pub fn new(seed: Seed) -> Self {
        Self {
            seed,
            energy: vec![0.0; (NUM_NODES * DEVICES_PER_NODE) as usize],
        }
    }

    fn device(&mut self, node: u32, index: u32, sequence: u64) -> DeviceSample {
        let noise = |name: &str, spread: f64| {
            let key = self.seed.at(name, &[u64::from(node), u64::from(index), sequence]);
            1.0 + spread * (2.0 * key.uniform() - 1.0)
        };
        let is_hot = (node, index) == HOT && sequence % 60 >= 40;
        let slowed = match (node, index) {
            STRAGGLER => 0.72,
            HOT if is_hot => 0.61,
            _ => 1.0,
        };
        let clock = CLOCK_MEGAHERTZ * slowed * noise("clock", 0.01);
        // Devices that wait for the straggler are busy, but their tensor pipes are not.
        let tensor = Ratio::clamped(0.46 * noise("tensor", 0.06));
        let power = (POWER_LIMIT_WATTS * 0.9 * slowed * noise("power", 0.05)).min(POWER_LIMIT_WATTS);
        let degrees = if is_hot {
            88.0
        } else {
            62.0 * noise("temperature", 0.05)
        };
        let used = Bytes::from_f64(MEMORY.as_f64() * 0.86 * noise("memory", 0.002));
        let activity = Activity {
            graphics: Reading::Value(Ratio::clamped(0.97 * noise("graphics", 0.02))),
            sm: Reading::Value(Ratio::clamped(0.83 * noise("sm", 0.04))),
            occupancy: Reading::Value(Ratio::clamped(0.31 * noise("occupancy", 0.05))),
            tensor: Reading::Value(tensor),
            dram: Reading::Value(Ratio::clamped(0.52 * noise("dram", 0.05))),
            fp32: Reading::Value(Ratio::clamped(0.11 * noise("fp32", 0.05))),
            nvlink_receive: Reading::Value(BytesPerSec::new(74e9 * noise("receive", 0.1))),
            nvlink_transmit: Reading::Value(BytesPerSec::new(74e9 * noise("transmit", 0.1))),
        };
        let utilization = Ratio::clamped(0.98 * noise("utilization", 0.02));
        let energy = &mut self.energy[(node * DEVICES_PER_NODE + index) as usize];
        // One second a sample, whatever the real pace: the demonstration has no clock.
        *energy += power;
        DeviceSample {
            identity: identity(node, index),
            utilization: Reading::Value(utilization),
            memory_used: Reading::Value(used),
            memory_free: Reading::Value(MEMORY.saturating_sub(used)),
            memory_reserved: Reading::Value(Bytes::ZERO),
            memory_total: Reading::Value(MEMORY),
            power: Reading::Value(Watts(power)),
            power_limit: Reading::Value(Watts(POWER_LIMIT_WATTS)),
            energy: Reading::Value(Joules(*energy)),
            sm_clock: Reading::Value(megahertz(clock)),
            memory_clock: Reading::Value(Hertz::from_megahertz(2_619)),
            temperature: Reading::Value(Celsius(degrees.round())),
            throttles: Reading::Value(if is_hot {
                vec![Throttle::ThermalHardware]
            } else {
                Vec::new()
            }),
            activity,
        }
    }
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

    fn read(&mut self, sequence: u64) -> Result<Vec<DeviceSample>, String> {
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

    #[test]
    fn one_device_straggles_and_one_overheats() {
        let samples = samples(1);
        assert_eq!(samples[0].len(), 32);
        let slow = |device: &&DeviceSample| device.sm_clock.value().unwrap().get() < 1_400_000_000;
        let slow_now: Vec<&str> = samples[0]
            .iter()
            .filter(slow)
            .map(|d| d.identity.uuid.as_str())
            .collect();
        assert_eq!(slow_now, ["DEMO-2-5"]);
        let hot: Vec<&str> = samples[45]
            .iter()
            .filter(|device| !device.throttles.value().unwrap().is_empty())
            .map(|device| device.identity.uuid.as_str())
            .collect();
        assert_eq!(hot, ["DEMO-1-3"]);
    }
}
