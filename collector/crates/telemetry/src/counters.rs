//! Counters of a device: raw, as the driver keeps them. What follows from two readings is [`Rates`](crate::Rates).

use orrery_units::Bytes;
use serde::{Deserialize, Serialize};

use crate::readings::readings;
use crate::{CounterWidth, Links, Nanoseconds, UnixTime};

readings! {
    /// For how long each reason held the clocks down since the driver was loaded. Reasons overlap.
    pub struct ThrottleTimes {
        /// The power limit, by software (field 74).
        power_cap: Nanoseconds = "time at the power cap",
        /// Temperature, by software (field 251; 269 from driver 580.82 on).
        thermal_software: Nanoseconds = "time slowed by heat (software)",
        /// Temperature, by hardware (field 252; 270 from driver 580.82 on).
        thermal_hardware: Nanoseconds = "time slowed by heat (hardware)",
        /// The brake that the power supply pulls (field 253; 271 from driver 580.82 on).
        power_brake: Nanoseconds = "time at the power brake",
    }
}

readings! {
    /// Memory errors by kind. *Volatile* counts since the driver was loaded, *aggregate* over the device's life.
    pub struct Ecc {
        /// Corrected, since the driver was loaded.
        corrected_volatile: u64 = "corrected ECC errors",
        /// Uncorrected, since the driver was loaded.
        uncorrected_volatile: u64 = "uncorrected ECC errors",
        /// Corrected, ever.
        corrected_aggregate: u64 = "corrected ECC errors ever",
        /// Uncorrected, ever.
        uncorrected_aggregate: u64 = "uncorrected ECC errors ever",
    }
}

readings! {
    /// Memory rows that spare rows stand in for, over the device's life.
    pub struct RemappedRows {
        /// Because of correctable errors (field 142).
        correctable: u64 = "rows remapped after correctable errors",
        /// Because of uncorrectable errors (field 143).
        uncorrectable: u64 = "rows remapped after uncorrectable errors",
        /// Whether rows wait for the next reset of the device (field 144).
        pending: bool = "pending row remapping",
        /// Whether a row could not be remapped: the device wants to be exchanged (field 145).
        failure: bool = "failed row remapping",
    }
}

/// Errors that the driver reported as events (`Xid` in the kernel's log), since the collector listens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Xids {
    /// When the collector began to listen: an earlier error is not counted.
    pub since: UnixTime,
    /// By code, in the order of the codes; at most [`Xids::MOST_CODES`].
    pub counts: Vec<XidCount>,
    /// Errors of codes for which there was no room.
    #[serde(default)]
    pub num_others: u64,
}

/// How often one error came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct XidCount {
    /// The code, such as 79 for a device that fell off the bus.
    pub code: u64,
    /// How often it came.
    pub count: u64,
    /// When it came last.
    pub last: UnixTime,
}

impl Xids {
    /// Codes that are counted by themselves; NVIDIA lists about 160, and a device has a few of them.
    pub const MOST_CODES: usize = 64;

    /// Counts an error of `code` at `at`. Never takes more room than [`Xids::MOST_CODES`] codes do.
    pub fn count(&mut self, code: u64, at: UnixTime) {
        match self.counts.binary_search_by_key(&code, |count| count.code) {
            Ok(place) => {
                let known = &mut self.counts[place];
                known.count = known.count.saturating_add(1);
                known.last = at;
            }
            Err(place) if self.counts.len() < Self::MOST_CODES => {
                self.counts.insert(
                    place,
                    XidCount {
                        code,
                        count: 1,
                        last: at,
                    },
                );
            }
            Err(_) => self.num_others = self.num_others.saturating_add(1),
        }
    }

    /// The error that came last, if any did.
    #[must_use]
    pub fn last(&self) -> Option<XidCount> {
        self.counts.iter().copied().max_by_key(|count| count.last)
    }
}

readings! {
    /// What went over NVLink since the driver was loaded.
    pub struct NvLink {
        /// Data received, over all links (field 139 with the scope of all links).
        receive: Bytes = "NVLink bytes received",
        /// Data sent, over all links (field 138 with the scope of all links).
        transmit: Bytes = "NVLink bytes sent",
        /// The links that are up or have counters, in order.
        links: Links = "NVLink links",
    }
}

readings! {
    /// The device's PCIe link.
    pub struct Pcie {
        /// Data received (field 198). Wraps at `width`.
        receive: Bytes = "PCIe bytes received",
        /// Data sent (field 197). Wraps at `width`.
        transmit: Bytes = "PCIe bytes sent",
        /// The width of these two counters, as the driver typed them.
        width: CounterWidth = "width of the PCIe counters",
        /// Packets that were sent again.
        replays: u64 = "PCIe replays",
        /// Generation of the link now; it falls when the device idles.
        generation: u32 = "PCIe generation",
        /// Lanes of the link now.
        lanes: u32 = "PCIe lanes",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_of_errors_takes_bounded_room_and_loses_no_count() {
        let mut xids = Xids::default();
        for number in 0..100_000 {
            xids.count(number % 1_000, UnixTime::from_millis(number));
        }
        assert_eq!(xids.counts.len(), Xids::MOST_CODES);
        let counted: u64 = xids.counts.iter().map(|count| count.count).sum();
        assert_eq!(counted + xids.num_others, 100_000);
        assert_eq!(xids.last().unwrap().last, UnixTime::from_millis(99_063));
        assert!(xids.counts.is_sorted_by_key(|count| count.code));
    }
}
