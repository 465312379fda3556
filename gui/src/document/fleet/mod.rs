//! The fleet as last heard of, and the demo feed that stands in for collectors.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Wake;

/// A figure that every device may report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FleetMetric {
    /// Share of time in which a kernel ran.
    #[default]
    Utilization,
    /// Memory held, as a share of all.
    Memory,
    /// Power drawn, in watts.
    Power,
    /// Temperature of the chip, in degrees Celsius.
    Temperature,
}

impl FleetMetric {
    /// Every metric, in the order of the picker.
    pub const ALL: [Self; 4] = [Self::Utilization, Self::Memory, Self::Power, Self::Temperature];

    /// The name in the picker.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Utilization => "utilization",
            Self::Memory => "memory used",
            Self::Power => "power",
            Self::Temperature => "temperature",
        }
    }

    /// The ends of the colour scale, in the metric's unit: 0 to the 700 W of an H100 SXM board; 20 °C to the
    /// 90 °C near which such boards slow down. They choose colours and judge nothing.
    #[must_use]
    pub const fn scale(self) -> (f64, f64) {
        match self {
            Self::Utilization | Self::Memory => (0.0, 1.0),
            Self::Power => (0.0, 700.0),
            Self::Temperature => (20.0, 90.0),
        }
    }

    /// `value` for people; a value that is missing is `n/a`, never a number.
    #[must_use]
    pub fn show(self, value: Option<f64>) -> String {
        match (self, value) {
            (_, None) => "n/a".to_owned(),
            (Self::Utilization | Self::Memory, Some(share)) => format!("{:.0} %", share * 100.0),
            (Self::Power, Some(watts)) => format!("{watts:.0} W"),
            (Self::Temperature, Some(degrees)) => format!("{degrees:.0} °C"),
        }
    }
}

/// One device as last heard of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Device {
    /// Share of time in which a kernel ran, 0 to 1.
    pub utilization: Option<f64>,
    /// Memory held, as a share of all.
    pub memory: Option<f64>,
    /// Power drawn, in watts.
    pub power: Option<f64>,
    /// Temperature, in degrees Celsius.
    pub temperature: Option<f64>,
}

impl Device {
    /// The value of `metric`, if the device reports it.
    #[must_use]
    pub const fn get(&self, metric: FleetMetric) -> Option<f64> {
        match metric {
            FleetMetric::Utilization => self.utilization,
            FleetMetric::Memory => self.memory,
            FleetMetric::Power => self.power,
            FleetMetric::Temperature => self.temperature,
        }
    }
}

/// One node as last heard of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its devices, in their own order.
    pub devices: Vec<Device>,
}

/// What a collector said about its nodes at one instant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FleetSnapshot {
    /// Who said it.
    pub source: String,
    /// Whether it is made up, for showing the window without a cluster.
    pub demo: bool,
    /// The nodes.
    pub nodes: Vec<Node>,
}

impl FleetSnapshot {
    /// The snapshot in a line of JSON.
    ///
    /// # Errors
    /// When the line is no such snapshot.
    pub fn from_json_line(line: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(line)
    }
}

/// What a feed says.
#[derive(Clone, Debug, PartialEq)]
pub enum FleetEvent {
    /// Something new.
    Snapshot(Arc<FleetSnapshot>),
    /// The feed broke; why, for people.
    Lost(String),
}

/// The fleet as the window knows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fleet {
    /// The last snapshot, kept when the feed is lost.
    pub latest: Option<Arc<FleetSnapshot>>,
    /// When it came, in seconds of the window's clock.
    pub received_at: f64,
    /// Why the feed was lost, until it speaks again.
    pub lost: Option<String>,
    /// Whether the demo feed runs.
    pub demo_runs: bool,
}

impl Fleet {
    /// Takes in what a feed says at `now`, in seconds of the window's clock.
    pub fn hear(&mut self, event: FleetEvent, now: f64) {
        match event {
            FleetEvent::Snapshot(snapshot) => {
                self.latest = Some(snapshot);
                self.received_at = now;
                self.lost = None;
            }
            FleetEvent::Lost(why) => self.lost = Some(why),
        }
    }

    /// Seconds since the last snapshot.
    #[must_use]
    pub fn age(&self, now: f64) -> f64 {
        (now - self.received_at).max(0.0)
    }
}

/// Nodes of the demo.
const DEMO_NODES: u32 = 4;
/// Devices of a demo node.
const DEMO_DEVICES: u32 = 8;
/// Pause between demo snapshots.
const DEMO_PERIOD: Duration = Duration::from_millis(500);

/// Sends made-up snapshots until `stop` is set or nobody listens.
pub(crate) fn demo_feed(out: Sender<FleetEvent>, stop: Arc<AtomicBool>, wake: Wake) {
    thread::spawn(move || {
        for tick in 0_u32.. {
            let snapshot = FleetEvent::Snapshot(Arc::new(demo_snapshot(tick)));
            if stop.load(Ordering::Relaxed) || out.send(snapshot).is_err() {
                return;
            }
            wake();
            thread::sleep(DEMO_PERIOD);
        }
    });
}

/// Made-up figures of a training run: waves of load, a straggler on the second node, and a device on the
/// third that reports no power. Every number here is invented, which is why the snapshot is marked.
fn demo_snapshot(tick: u32) -> FleetSnapshot {
    let nodes = (0..DEMO_NODES).map(|node| {
        let devices = (0..DEMO_DEVICES).map(|device| demo_device(tick, node, device));
        Node {
            name: format!("demo-{node:02}"),
            devices: devices.collect(),
        }
    });
    FleetSnapshot {
        source: "demo feed in this window".to_owned(),
        demo: true,
        nodes: nodes.collect(),
    }
}

fn demo_device(tick: u32, node: u32, device: u32) -> Device {
    let phase = f64::from(tick) * 0.4 + f64::from(node) * 0.9 + f64::from(device) * 0.35;
    let straggles = node == 1 && device == 5;
    let utilization = if straggles { 0.38 } else { 0.84 } + 0.12 * phase.sin();
    let mute = node == 2 && device == 3;
    Device {
        utilization: Some(utilization),
        memory: Some(0.71 + 0.03 * f64::from(node) + 0.005 * f64::from(device)),
        power: (!mute).then_some(150.0 + 500.0 * utilization),
        temperature: Some(36.0 + 34.0 * utilization + if straggles { 18.0 } else { 0.0 }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_feed_keeps_its_last_values_until_it_speaks_again() {
        let mut fleet = Fleet::default();
        let first = Arc::new(demo_snapshot(0));
        fleet.hear(FleetEvent::Snapshot(Arc::clone(&first)), 10.0);
        assert_eq!((fleet.lost.as_deref(), fleet.age(12.5)), (None, 2.5));
        fleet.hear(FleetEvent::Lost("gone".to_owned()), 13.0);
        assert_eq!(fleet.latest, Some(first));
        assert_eq!((fleet.lost.as_deref(), fleet.age(14.0)), (Some("gone"), 4.0));
        fleet.hear(FleetEvent::Snapshot(Arc::new(demo_snapshot(1))), 15.0);
        assert_eq!((fleet.lost.as_deref(), fleet.age(15.0)), (None, 0.0));
    }

    #[test]
    fn the_demo_is_marked_and_within_its_scales() {
        for tick in 0..50 {
            let snapshot = demo_snapshot(tick);
            assert!(snapshot.demo, "made-up figures are marked");
            for device in snapshot.nodes.iter().flat_map(|node| &node.devices) {
                for metric in FleetMetric::ALL {
                    let (low, high) = metric.scale();
                    let value = device.get(metric).unwrap_or(low);
                    assert!((low..=high).contains(&value), "{metric:?} {value}");
                }
            }
        }
    }

    #[test]
    fn a_snapshot_survives_a_line_of_json_and_missing_values_are_said() {
        let snapshot = demo_snapshot(3);
        let line = serde_json::to_string(&snapshot).unwrap();
        assert_eq!(FleetSnapshot::from_json_line(&line).unwrap(), snapshot);
        assert!(
            FleetSnapshot::from_json_line("{}").is_err(),
            "an empty object is none"
        );
        assert_eq!(FleetMetric::Power.show(None), "n/a");
        assert_eq!(FleetMetric::Memory.show(Some(0.714)), "71 %");
    }
}
