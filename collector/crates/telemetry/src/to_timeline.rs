//! Samples as counters of a timeline, so that a measured run is drawn and compared like a simulated one.

use orrery_timeline::{KindTable, Timeline, TimelineBuilder};
use orrery_units::{Bytes, BytesPerSec, Ratio, Watts};

use crate::{Celsius, DeviceSample, Hertz, Reading, Sample};

/// One counter: its name, its unit, and how a device gives its value.
type Column = (&'static str, &'static str, fn(&DeviceSample) -> Option<f64>);

const COLUMNS: [Column; 10] = [
    ("utilization", "1", |device| ratio(&device.utilization)),
    ("memory used", "B", |device| {
        device.memory_used.value().copied().map(Bytes::as_f64)
    }),
    ("power", "W", |device| {
        device.power.value().map(|&Watts(watts)| watts)
    }),
    ("SM clock", "Hz", |device| {
        device.sm_clock.value().copied().map(Hertz::as_f64)
    }),
    ("memory clock", "Hz", |device| {
        device.memory_clock.value().copied().map(Hertz::as_f64)
    }),
    ("temperature", "°C", |device| {
        device.temperature.value().map(|&Celsius(degrees)| degrees)
    }),
    ("SM activity", "1", |device| ratio(&device.activity.sm)),
    ("tensor activity", "1", |device| ratio(&device.activity.tensor)),
    ("memory bandwidth activity", "1", |device| {
        ratio(&device.activity.dram)
    }),
    ("NVLink received", "B/s", |device| {
        device
            .activity
            .nvlink_receive
            .value()
            .copied()
            .map(BytesPerSec::get)
    }),
];

fn ratio(reading: &Reading<Ratio>) -> Option<f64> {
    reading.value().copied().map(Ratio::get)
}

/// The counters of `samples`, one for each device and quantity that was ever read.
///
/// An absent reading adds no point: the step function holds its last value there, and a quantity that was
/// never read has no counter. Samples older than the last one of their source are left out, and
/// demonstration data carries `DEMO` in the name of every program.
#[must_use]
pub fn timeline_of_samples(samples: &[Sample]) -> Timeline {
    let mut builder = TimelineBuilder::new(KindTable::new(), 0);
    let mut counters: Vec<(String, &'static str, usize)> = Vec::new();
    let mut last: Vec<(&str, orrery_units::SimTime)> = Vec::new();
    for sample in samples {
        match last.iter_mut().find(|(source, _)| *source == sample.source) {
            Some((_, at)) if sample.at < *at => continue,
            Some((_, at)) => *at = sample.at,
            None => last.push((&sample.source, sample.at)),
        }
        for device in &sample.devices {
            let program = program(sample, device);
            for (name, unit, value) in COLUMNS {
                let Some(value) = value(device) else { continue };
                let known = counters
                    .iter()
                    .find(|(whose, what, _)| *whose == program && *what == name);
                let counter = match known {
                    Some(&(_, _, counter)) => counter,
                    None => {
                        let counter = builder.add_counter(&program, name, unit);
                        counters.push((program.clone(), name, counter));
                        counter
                    }
                };
                builder.count(counter, sample.at, value);
            }
        }
    }
    builder.finish()
}

fn program(sample: &Sample, device: &DeviceSample) -> String {
    let mark = match sample.origin {
        crate::Origin::Live => "",
        crate::Origin::Demo => "DEMO ",
        crate::Origin::Fake => "FAKE ",
    };
    format!(
        "{mark}{} {} device {}",
        sample.source, device.identity.node, device.identity.index
    )
}

#[cfg(test)]
mod tests {
    use orrery_units::{SimDuration, SimTime};

    use super::*;
    use crate::{Absence, DeviceIdentity, Origin, UnixTime};

    #[test]
    fn an_absent_reading_adds_no_point() {
        let samples: Vec<Sample> = [
            Reading::Value(Watts(300.0)),
            Reading::absent(Absence::DeviceLost),
            Reading::Value(Watts(400.0)),
        ]
        .into_iter()
        .zip(0..)
        .map(|(power, sequence)| {
            let identity = DeviceIdentity {
                node: "node-0".to_owned(),
                index: 1,
                uuid: "GPU-a".to_owned(),
                model: "model".to_owned(),
            };
            let mut device = DeviceSample::absent(identity, &Absence::NotSupported);
            device.power = power;
            Sample {
                source: "demo".to_owned(),
                origin: Origin::Demo,
                sequence,
                at: SimTime::ZERO + SimDuration::from_millis(1000) * sequence,
                taken: UnixTime::from_millis(0),
                devices: vec![device],
                host: None,
                collectives: Vec::new(),
            }
        })
        .collect();
        let timeline = timeline_of_samples(&samples);
        assert_eq!(timeline.counters.len(), 1);
        let power = &timeline.counters[0];
        assert_eq!((power.name.as_str(), power.unit), ("power", "W"));
        assert_eq!(power.program, "DEMO demo node-0 device 1");
        let values: Vec<f64> = power.points.iter().map(|&(_, value)| value).collect();
        assert_eq!(values, [300.0, 400.0]);
    }
}
