//! What follows from two samples of one source and the time between them.

use orrery_units::{SimDuration, Watts};
use thiserror::Error;

use crate::{Absence, DeviceIdentity, DeviceSample, Reading, Sample};

/// What one device did between two samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Rates {
    /// Which device.
    pub identity: DeviceIdentity,
    /// Time between the samples.
    pub elapsed: SimDuration,
    /// Mean power between the samples, from the energy counter.
    pub mean_power: Reading<Watts>,
}

/// Why two samples have no rates.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RatesError {
    /// They come from different sources.
    #[error("samples of `{0}` and `{1}` have no rates between them")]
    DifferentSources(String, String),
    /// The second was not taken after the first.
    #[error("sample {later} was not taken after sample {earlier}")]
    NoTimeBetween {
        /// Sequence of the first sample.
        earlier: u64,
        /// Sequence of the second sample.
        later: u64,
    },
}

impl Rates {
    /// The rates of every device that both samples hold, found by its UUID.
    ///
    /// # Errors
    /// When the samples come from different sources, or no time lies between them.
    pub fn between(earlier: &Sample, later: &Sample) -> Result<Vec<Self>, RatesError> {
        if earlier.source != later.source {
            return Err(RatesError::DifferentSources(
                earlier.source.clone(),
                later.source.clone(),
            ));
        }
        let elapsed = later.at.saturating_since(earlier.at);
        if elapsed.is_zero() {
            return Err(RatesError::NoTimeBetween {
                earlier: earlier.sequence,
                later: later.sequence,
            });
        }
        let before = |device: &DeviceSample| {
            let uuid = device.identity.uuid.clone();
            earlier.devices.iter().find(move |old| old.identity.uuid == uuid)
        };
        let pairs = later.devices.iter().filter_map(|new| Some((before(new)?, new)));
        Ok(pairs
            .map(|(old, new)| Self {
                identity: new.identity.clone(),
                elapsed,
                mean_power: mean_power(old, new, elapsed),
            })
            .collect())
    }
}

/// Mean power between two readings of the energy counter: `(E1 − E0) / t`.
///
/// A counter that went back was reset by a driver reload; then there is no rate. Worked number: 1200 J in 2 s
/// are 600 W.
fn mean_power(earlier: &DeviceSample, later: &DeviceSample, elapsed: SimDuration) -> Reading<Watts> {
    match (&earlier.energy, &later.energy) {
        (Reading::Value(start), Reading::Value(end)) if end.0 >= start.0 => {
            Reading::Value(Watts((end.0 - start.0) / elapsed.as_secs()))
        }
        (Reading::Value(_), Reading::Value(_)) => Reading::absent(Absence::Failed(
            "the energy counter went back: the driver was reloaded".to_owned(),
        )),
        (Reading::Absent { absent }, _) | (_, Reading::Absent { absent }) => Reading::absent(absent.clone()),
    }
}

#[cfg(test)]
mod tests {
    use orrery_units::{Joules, SimTime};

    use super::*;
    use crate::{Origin, UnixTime};

    fn sample(sequence: u64, energy: Reading<Joules>) -> Sample {
        let identity = DeviceIdentity {
            node: "node-0".to_owned(),
            index: 0,
            uuid: "GPU-a".to_owned(),
            model: "model".to_owned(),
        };
        let mut device = DeviceSample::absent(identity, &Absence::NotSupported);
        device.energy = energy;
        Sample {
            source: "nvml".to_owned(),
            origin: Origin::Live,
            sequence,
            at: SimTime::ZERO + SimDuration::from_millis(2000) * sequence,
            taken: UnixTime::from_millis(0),
            devices: vec![device],
        }
    }

    fn power(earlier: Reading<Joules>, later: Reading<Joules>) -> Reading<Watts> {
        let rates = Rates::between(&sample(0, earlier), &sample(1, later)).unwrap();
        rates[0].mean_power.clone()
    }

    #[test]
    fn power_is_energy_over_time() {
        let found = power(Reading::Value(Joules(100.0)), Reading::Value(Joules(1300.0)));
        assert_eq!(found, Reading::Value(Watts(600.0)));
    }

    #[test]
    fn a_counter_that_went_back_or_is_absent_has_no_rate() {
        let reset = power(Reading::Value(Joules(100.0)), Reading::Value(Joules(5.0)));
        assert!(matches!(reset.absence(), Some(Absence::Failed(_))));
        let lost = power(
            Reading::Value(Joules(100.0)),
            Reading::absent(Absence::DeviceLost),
        );
        assert_eq!(lost.absence(), Some(&Absence::DeviceLost));
    }

    #[test]
    fn no_time_between_is_an_error() {
        let one = sample(1, Reading::Value(Joules(1.0)));
        assert!(matches!(
            Rates::between(&one, &one),
            Err(RatesError::NoTimeBetween { .. })
        ));
    }
}
