//! What follows from two samples of one source and the time between them.

use orrery_units::{Bytes, BytesPerSec, Joules, Ratio, SimDuration, Watts};
use thiserror::Error;

use crate::readings::readings;
use crate::{
    Absence, CounterWidth, DeviceIdentity, DeviceSample, Nanoseconds, Pcie, Reading, Sample, ThrottleTimes,
    advance,
};

/// What one device did between two samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Rates {
    /// Which device.
    pub identity: DeviceIdentity,
    /// Time between the samples.
    pub elapsed: SimDuration,
    /// Mean power between the samples, from the energy counter.
    pub mean_power: Reading<Watts>,
    /// What went over NVLink and PCIe.
    pub traffic: Traffic,
    /// Share of the time in which each reason held the clocks down.
    pub throttled: ThrottleShares,
    /// Memory errors that could not be corrected.
    pub uncorrected_errors: Reading<u64>,
    /// Packets that PCIe sent again.
    pub pcie_replays: Reading<u64>,
}

readings! {
    /// What went over the links of a device between two samples, from their counters.
    pub struct Traffic {
        /// Received over all NVLinks.
        nvlink_receive: BytesPerSec = "NVLink received",
        /// Sent over all NVLinks.
        nvlink_transmit: BytesPerSec = "NVLink sent",
        /// Received over PCIe.
        pcie_receive: BytesPerSec = "PCIe received",
        /// Sent over PCIe.
        pcie_transmit: BytesPerSec = "PCIe sent",
    }
}

readings! {
    /// Share of the time between two samples in which each reason held the clocks down. Reasons overlap.
    pub struct ThrottleShares {
        /// The power limit, by software.
        power_cap: Ratio = "share at the power cap",
        /// Temperature, by software.
        thermal_software: Ratio = "share slowed by heat (software)",
        /// Temperature, by hardware.
        thermal_hardware: Ratio = "share slowed by heat (hardware)",
        /// The brake that the power supply pulls.
        power_brake: Ratio = "share at the power brake",
    }
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
            .map(|(old, new)| Self::of_device(old, new, elapsed))
            .collect())
    }

    fn of_device(old: &DeviceSample, new: &DeviceSample, elapsed: SimDuration) -> Self {
        Self {
            identity: new.identity.clone(),
            elapsed,
            mean_power: mean_power(old, new, elapsed),
            traffic: traffic(old, new, elapsed),
            throttled: throttled(&old.throttle_times, &new.throttle_times, elapsed),
            uncorrected_errors: counted(
                &old.ecc.uncorrected_volatile,
                &new.ecc.uncorrected_volatile,
                CounterWidth::Bits64,
                None,
            ),
            pcie_replays: counted(&old.pcie.replays, &new.pcie.replays, CounterWidth::Bits64, None),
        }
    }
}

/// How far a counter went between two readings, or why that is not known: the only place of the house where a
/// counter is subtracted from another.
pub(crate) fn counted(
    earlier: &Reading<u64>,
    later: &Reading<u64>,
    width: CounterWidth,
    most: Option<u64>,
) -> Reading<u64> {
    match (earlier, later) {
        (&Reading::Value(start), &Reading::Value(end)) => advance(start, end, width, most)
            .map_err(|fault| Absence::Failed(fault.to_string().into()))
            .into(),
        (Reading::Absent { absent }, _) | (_, Reading::Absent { absent }) => Reading::absent(absent.clone()),
    }
}

/// Bytes of a counter over the time: `(N1 − N0) / t`.
pub(crate) fn byte_rate(
    earlier: &Reading<Bytes>,
    later: &Reading<Bytes>,
    (width, most): (CounterWidth, Option<u64>),
    elapsed: SimDuration,
) -> Reading<BytesPerSec> {
    let whole = |reading: &Reading<Bytes>| reading.clone().map(Bytes::get);
    counted(&whole(earlier), &whole(later), width, most).map(|bytes| {
        let rate = Bytes::new(bytes).as_f64() / elapsed.as_secs();
        if rate > 0.0 {
            BytesPerSec::new(rate)
        } else {
            BytesPerSec::default()
        }
    })
}

/// Share of `elapsed` that a counter of time went on: `(T1 − T0) / t`, at most 1.
pub(crate) fn time_share(
    earlier: &Reading<Nanoseconds>,
    later: &Reading<Nanoseconds>,
    elapsed: SimDuration,
) -> Reading<Ratio> {
    let whole = |reading: &Reading<Nanoseconds>| reading.clone().map(Nanoseconds::get);
    counted(&whole(earlier), &whole(later), CounterWidth::Bits64, None)
        .map(|nanos| Ratio::clamped(Nanoseconds::new(nanos).as_secs() / elapsed.as_secs()))
}

fn traffic(old: &DeviceSample, new: &DeviceSample, elapsed: SimDuration) -> Traffic {
    let whole = (CounterWidth::Bits64, None);
    let width = new.pcie.width.value().copied().unwrap_or(CounterWidth::Bits64);
    let most = match width {
        CounterWidth::Bits32 => most_over_pcie(&new.pcie, elapsed),
        CounterWidth::Bits64 => None,
    };
    Traffic {
        nvlink_receive: byte_rate(&old.nvlink.receive, &new.nvlink.receive, whole, elapsed),
        nvlink_transmit: byte_rate(&old.nvlink.transmit, &new.nvlink.transmit, whole, elapsed),
        pcie_receive: byte_rate(&old.pcie.receive, &new.pcie.receive, (width, most), elapsed),
        pcie_transmit: byte_rate(&old.pcie.transmit, &new.pcie.transmit, (width, most), elapsed),
    }
}

/// Bytes that a PCIe link can carry one way in `elapsed`: `lanes · rate · t`, with the rate of a lane after its
/// encoding (PCI Express Base Specification: 8b/10b to generation 2, 128b/130b to 5, flits in 6).
///
/// Worked number: 16 lanes of generation 4 in 50 ms are 16 · 1.969 GB/s · 0.05 s = 1.575 GB. Nothing is known of
/// a link that does not tell its generation and lanes, or of a generation above 6.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast of a float saturates"
)]
fn most_over_pcie(pcie: &Pcie, elapsed: SimDuration) -> Option<u64> {
    const LANE_GIGABYTES: [f64; 6] = [0.25, 0.5, 0.985, 1.969, 3.938, 7.563];
    let generation = usize::try_from(*pcie.generation.value()?).ok()?;
    let lane = LANE_GIGABYTES.get(generation.checked_sub(1)?)?;
    let lanes = f64::from(*pcie.lanes.value()?);
    Some((lanes * lane * 1e9 * elapsed.as_secs()) as u64)
}

fn throttled(old: &ThrottleTimes, new: &ThrottleTimes, elapsed: SimDuration) -> ThrottleShares {
    ThrottleShares {
        power_cap: time_share(&old.power_cap, &new.power_cap, elapsed),
        thermal_software: time_share(&old.thermal_software, &new.thermal_software, elapsed),
        thermal_hardware: time_share(&old.thermal_hardware, &new.thermal_hardware, elapsed),
        power_brake: time_share(&old.power_brake, &new.power_brake, elapsed),
    }
}

/// Mean power between two readings of the energy counter: `(E1 − E0) / t`.
///
/// A counter that went back was reset by a driver reload; then there is no rate. Worked number: 1200 J in 2 s
/// are 600 W.
fn mean_power(earlier: &DeviceSample, later: &DeviceSample, elapsed: SimDuration) -> Reading<Watts> {
    let millis = |reading: &Reading<Joules>| reading.clone().map(millijoules);
    let spent = counted(
        &millis(&earlier.energy),
        &millis(&later.energy),
        CounterWidth::Bits64,
        None,
    );
    spent.map(|millis| Watts(as_f64(millis) / 1e3 / elapsed.as_secs()))
}

#[expect(clippy::cast_precision_loss, reason = "exact below 9 TJ")]
fn as_f64(millis: u64) -> f64 {
    millis as f64
}

/// Energy in the unit of the driver's counter.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast of a float saturates"
)]
fn millijoules(energy: Joules) -> u64 {
    (energy.0 * 1e3).round() as u64
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
            host: None,
            collectives: Vec::new(),
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
    /// Rates two seconds apart, of devices that `earlier` and `later` make of one without readings.
    fn rates(earlier: impl Fn(&mut DeviceSample), later: impl Fn(&mut DeviceSample)) -> Rates {
        let absent = || Reading::absent(Absence::NotSupported);
        let (mut first, mut second) = (sample(0, absent()), sample(1, absent()));
        earlier(&mut first.devices[0]);
        later(&mut second.devices[0]);
        Rates::between(&first, &second).unwrap().remove(0)
    }

    #[test]
    fn bytes_over_links_are_counted_across_a_wrap() {
        let set = |pcie: u64, nvlink: u64| {
            move |device: &mut DeviceSample| {
                device.pcie.receive = Reading::Value(Bytes::new(pcie));
                device.pcie.width = Reading::Value(CounterWidth::Bits32);
                device.nvlink.receive = Reading::Value(Bytes::new(nvlink));
            }
        };
        let rates = rates(set(4_294_967_000, 1 << 40), set(704, (1 << 40) + 4_096));
        assert_eq!(
            rates.traffic.pcie_receive,
            Reading::Value(BytesPerSec::new(500.0))
        );
        assert_eq!(
            rates.traffic.nvlink_receive,
            Reading::Value(BytesPerSec::new(2_048.0))
        );
        assert_eq!(
            rates.traffic.pcie_transmit.absence(),
            Some(&Absence::NotSupported)
        );
    }

    #[test]
    fn a_narrow_counter_of_a_fast_link_has_no_rate_at_a_slow_pace() {
        let set = |device: &mut DeviceSample| {
            device.pcie.receive = Reading::Value(Bytes::new(5));
            device.pcie.width = Reading::Value(CounterWidth::Bits32);
            device.pcie.generation = Reading::Value(5);
            device.pcie.lanes = Reading::Value(16);
        };
        // 63 GB/s for two seconds go around 29 times.
        let words = rates(set, set)
            .traffic
            .pcie_receive
            .absence()
            .map(ToString::to_string);
        assert!(words.is_some_and(|words| words.contains("wraps faster")));
        let worked = Pcie {
            generation: Reading::Value(4),
            lanes: Reading::Value(16),
            ..Pcie::default()
        };
        let most = most_over_pcie(&worked, SimDuration::from_millis(50));
        assert_eq!(most, Some(1_575_200_000));
    }

    #[test]
    fn throttle_time_is_a_share_of_the_time_between_and_a_reset_is_none() {
        let set = |nanos| {
            move |device: &mut DeviceSample| {
                device.throttle_times.power_cap = Reading::Value(Nanoseconds::new(nanos));
            }
        };
        let share = |rates: Rates| rates.throttled.power_cap;
        assert_eq!(
            share(rates(set(5), set(500_000_005))),
            Reading::Value(Ratio::clamped(0.25))
        );
        let reset = share(rates(set(500_000_005), set(5)));
        assert!(matches!(reset.absence(), Some(Absence::Failed(_))));
    }
}
