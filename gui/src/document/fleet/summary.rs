//! What the fleet adds up to, worked out once for all that was heard: frames only look it up.

use orrery_telemetry::DeviceSample;

use super::apart::{self, Placed};
use super::{Apart, FleetMetric, Node};

const METRICS: usize = FleetMetric::ALL.len();

/// Figures over the devices that are live. Values that were heard last of a node that is gone are shown, and
/// count in none of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Summary {
    /// Whether each node is live, by its place.
    pub(super) live: Vec<bool>,
    /// Devices of live nodes.
    pub(super) num_live: usize,
    /// The ends of the colour scale of each metric.
    scales: [(f64, f64); METRICS],
    /// The least, middle and greatest value of each metric; none if no live device reports it.
    spreads: [Option<[f64; 3]>; METRICS],
}

impl Summary {
    /// What `nodes` add up to, of which those that are `live` count, and who of them is apart.
    pub(super) fn of(nodes: &[Node], live: Vec<bool>) -> (Self, Vec<Apart>) {
        let counted: Vec<Placed<'_>> = placed(nodes, |at| live[at]);
        // Colours of what is left of a fleet that is gone are those of its last values.
        let coloured = if counted.is_empty() {
            placed(nodes, |_| true)
        } else {
            counted.clone()
        };
        let scales = FleetMetric::ALL.map(|metric| scale(&coloured, metric));
        let summary = Self {
            num_live: counted.len(),
            scales,
            spreads: FleetMetric::ALL.map(|metric| spread(&counted, metric)),
            live,
        };
        let apart = apart::apart(&counted, |metric| summary.scale(metric));
        (summary, apart)
    }

    /// The ends of the colour scale of `metric`.
    pub(super) fn scale(&self, metric: FleetMetric) -> (f64, f64) {
        self.scales[place(metric)]
    }

    /// The least, middle and greatest value of `metric`.
    pub(super) fn spread(&self, metric: FleetMetric) -> Option<[f64; 3]> {
        self.spreads[place(metric)]
    }
}

/// The place of `metric` among all.
fn place(metric: FleetMetric) -> usize {
    let place = FleetMetric::ALL.iter().position(|&other| other == metric);
    place.expect("every metric is among all")
}

fn placed(nodes: &[Node], wanted: impl Fn(usize) -> bool) -> Vec<Placed<'_>> {
    let nodes = nodes.iter().enumerate().filter(|(at, _)| wanted(*at));
    nodes
        .flat_map(|(at, node)| {
            let devices = node.devices.iter().enumerate();
            devices.map(move |(number, device)| (at, number, &device.sample))
        })
        .collect()
}

fn scale(devices: &[Placed<'_>], metric: FleetMetric) -> (f64, f64) {
    let samples = || devices.iter().map(|(_, _, sample)| *sample);
    let highest = samples().filter_map(|sample: &DeviceSample| metric.of(sample).ok());
    let limits = samples().filter_map(|sample| sample.power_limit.value());
    metric.scale(
        highest.max_by(f64::total_cmp),
        limits.map(|watts| watts.0).max_by(f64::total_cmp),
    )
}

fn spread(devices: &[Placed<'_>], metric: FleetMetric) -> Option<[f64; 3]> {
    let values = devices.iter().filter_map(|(_, _, sample)| metric.of(sample).ok());
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    Some([*values.first()?, values[values.len() / 2], *values.last()?])
}
