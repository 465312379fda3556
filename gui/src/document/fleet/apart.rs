//! Which devices are apart from the others: what a planner should look at first.

use orrery_telemetry::DeviceSample;

use super::FleetMetric;

/// Devices of a kind that it takes for a comparison: with fewer there is no crowd to be apart from.
const CROWD: usize = 4;
/// Modified z-scores above this are outliers (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993).
const OUTLIER: f64 = 3.5;
/// The median absolute deviation of a normal distribution, in standard deviations (same source).
const NORMAL: f64 = 0.6745;
/// Smaller differences, as a share of the colour scale, are not worth a look; an assumption.
const WORTH_A_LOOK: f64 = 0.05;

/// Why a device wants a look.
#[derive(Clone, Debug, PartialEq)]
pub struct Apart {
    /// The place of its node in [`Fleet::nodes`](super::Fleet).
    pub node: usize,
    /// Its place in the node.
    pub device: usize,
    /// The figure in which it is apart; `None` when it says itself that something is wrong.
    pub metric: Option<FleetMetric>,
    /// What there is to say, for people.
    pub why: String,
}

/// One device with its place.
pub(super) type Placed<'a> = (usize, usize, &'a DeviceSample);

/// The devices that are apart from those of their own model, or say themselves that something is wrong, in the
/// order of `devices`; `scale` gives the ends of a metric's colour scale.
pub(super) fn apart(devices: &[Placed<'_>], scale: impl Fn(FleetMetric) -> (f64, f64)) -> Vec<Apart> {
    let mut found: Vec<Apart> = devices.iter().filter_map(ailing).collect();
    let mut models: Vec<&str> = devices.iter().map(|(_, _, device)| model(device)).collect();
    models.sort_unstable();
    models.dedup();
    for of in models {
        let alike = devices.iter().filter(|(_, _, device)| model(device) == of);
        let alike: Vec<Placed<'_>> = alike.copied().collect();
        for metric in FleetMetric::ALL {
            let (low, high) = scale(metric);
            found.extend(outliers(&alike, metric, (high - low) * WORTH_A_LOOK));
        }
    }
    found.sort_by_key(|apart| (apart.node, apart.device, apart.metric));
    found
}

fn model(device: &DeviceSample) -> &str {
    &device.identity.model
}

/// A device that is lost, or whose clocks are held down by what ails it: the power limit holds every busy device
/// down, and is no news.
fn ailing(&(node, device, sample): &Placed<'_>) -> Option<Apart> {
    let why = if sample.is_lost() {
        "fell off the bus".to_owned()
    } else {
        let throttles = sample.throttles.value()?;
        let held = throttles.iter().filter(|held| held.is_ailment());
        let names: Vec<&str> = held.map(|held| held.name()).collect();
        if names.is_empty() {
            return None;
        }
        format!("clocks are held down: {}", names.join(", "))
    };
    Some(Apart {
        node,
        device,
        metric: None,
        why,
    })
}

/// Devices whose modified z-score `0.6745 |x − median| / MAD` is above 3.5 and that differ by more than `least`.
///
/// Worked number: of 1, 2, 3, 4, 20 the median is 3 and the median absolute deviation (MAD) is 1, so that 20
/// scores 11.5.
fn outliers(devices: &[Placed<'_>], metric: FleetMetric, least: f64) -> Vec<Apart> {
    let values: Vec<(usize, usize, f64)> = devices
        .iter()
        .filter_map(|&(node, device, sample)| Some((node, device, metric.of(sample).ok()?)))
        .collect();
    if values.len() < CROWD {
        return Vec::new();
    }
    let middle = median(values.iter().map(|(_, _, value)| *value).collect());
    let deviation = median(
        values
            .iter()
            .map(|(_, _, value)| (value - middle).abs())
            .collect(),
    );
    let (low, high) = metric.matters();
    values
        .into_iter()
        .filter(|(_, _, value)| {
            let off = (value - middle).abs();
            let side = if *value < middle { low } else { high };
            side && off > least && NORMAL * off > OUTLIER * deviation
        })
        .map(|(node, device, value)| Apart {
            node,
            device,
            metric: Some(metric),
            why: format!(
                "{} {} (median {})",
                metric.name(),
                metric.show(value),
                metric.show(middle)
            ),
        })
        .collect()
}

/// The middle of `values`, the upper one of two; there is at least one value.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use orrery_telemetry::{Absence, Celsius, DeviceIdentity, Reading, Throttle};

    use super::*;

    fn device(index: u32, degrees: f64) -> DeviceSample {
        let identity = DeviceIdentity {
            node: "node".to_owned(),
            index,
            uuid: format!("GPU-{index}"),
            model: "model".to_owned(),
        };
        let mut device = DeviceSample::absent(identity, &Absence::NotSupported);
        device.temperature = Reading::Value(Celsius(degrees));
        device
    }

    fn places(devices: &[DeviceSample]) -> Vec<(usize, Option<FleetMetric>)> {
        let placed: Vec<Placed<'_>> = devices.iter().enumerate().map(|(at, one)| (0, at, one)).collect();
        let scale = |metric: FleetMetric| metric.scale(None, None);
        let found = apart(&placed, scale).into_iter();
        found.map(|apart| (apart.device, apart.metric)).collect()
    }

    #[test]
    fn one_that_is_far_from_a_crowd_is_apart_and_a_crowd_alike_is_not() {
        let hot = [61.0, 62.0, 63.0, 64.0, 80.0].into_iter().zip(0..);
        let hot: Vec<DeviceSample> = hot.map(|(degrees, index)| device(index, degrees)).collect();
        assert_eq!(places(&hot), [(4, Some(FleetMetric::Temperature))]);
        assert_eq!(places(&hot[..4]), []);
        assert_eq!(places(&hot[2..]), [], "three are no crowd");
        // All alike but one, which differs by less than is worth a look: the deviation is zero.
        let alike: Vec<DeviceSample> = (0..5)
            .map(|index| device(index, 60.0 + f64::from(index / 4)))
            .collect();
        assert_eq!(places(&alike), []);
    }

    #[test]
    fn what_holds_clocks_down_is_said_but_for_the_power_limit() {
        let mut devices = [device(0, 60.0), device(1, 60.0)];
        devices[0].throttles = Reading::Value(vec![Throttle::PowerCap, Throttle::SyncBoost]);
        assert_eq!(places(&devices), []);
        devices[1].throttles = Reading::Value(vec![Throttle::PowerCap, Throttle::ThermalHardware]);
        assert_eq!(places(&devices), [(1, None)]);
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(
            median(vec![20.0, 1.0, 3.0, 2.0, 4.0]).total_cmp(&3.0),
            Ordering::Equal
        );
        assert_eq!(
            median(vec![2.0, 1.0, 0.0, 17.0, 1.0]).total_cmp(&1.0),
            Ordering::Equal
        );
    }
}
