//! Thresholds, hysteresis and what is switched off: each with the default that is silent on a healthy cluster.

use std::collections::{BTreeMap, BTreeSet};

use orrery_units::{Dimension, Factor, Ratio, SimDuration, parse_quantity};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Rule;

/// Rules that belong together and are off unless asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// The three figures of an article: MFU above 65 %, memory under 90 %, latency between nodes under 2 ms. Of 721
    /// published runs with a printed MFU two reach 65 %, and of 930 on Hopper or newer none.
    ArticleKpi,
}

/// What the judge goes by.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// Presets that are on.
    pub presets: BTreeSet<Preset>,
    /// Rules that are off.
    pub off: BTreeSet<Rule>,
    /// The thresholds.
    pub thresholds: Thresholds,
    /// When an alert is raised and cleared, where that is not the default of its rule.
    pub hysteresis: BTreeMap<Rule, Hysteresis>,
}

/// The thresholds of all rules.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Thresholds {
    /// `job-slow`: below this share of its trailing median, or of its prediction, a job is slow.
    pub job_slow: Factor,
    /// `expert-imbalance`: above this multiple of its trailing median.
    pub expert_imbalance: Factor,
    /// `collective-slow`: above this multiple of the profile's time.
    pub collective_slow: Factor,
    /// `below-profile`: below this share of what the model of device gave when it was calibrated.
    pub below_profile: Factor,
    /// `slow-device`: least distance from the fleet's median that counts, as a share of it.
    pub slow_device: Ratio,
    /// `clock-low`: the same of clocks, which differ more between healthy devices under a power limit.
    pub clock_low: Ratio,
    /// `power-cap`: below this share of the limit that its like have.
    pub power_cap: Factor,
    /// `throttle-thermal`, `throttle-power-brake`: share of time with clocks held down.
    pub throttled_share: Ratio,
    /// `device-hot`: degrees above its like.
    pub hotter_by: Factor,
    /// `device-hot`: degrees below the temperature at which it slows down.
    pub near_slowdown: Factor,
    /// `straggler`: least time for which the others wait for it, as a share of the step.
    pub straggler: Ratio,
    /// `hang`: heartbeats missed, as a multiple of the median step.
    pub hang_steps: Factor,
    /// `hang`: the shortest silence of a job that counts, in seconds.
    #[serde(with = "time")]
    pub hang_after: SimDuration,
    /// `hang`: below this share of the power that the device drew while the job made steps, it only waits.
    pub hang_power: Factor,
    /// `memory-near-full`: share of device memory in use, by whomever.
    pub memory_near_full: Ratio,
    /// `memory-near-full`: share of device memory that tensors use at their peak.
    pub allocated_near_full: Ratio,
    /// `memory-fragmented`: share of device memory that the allocator reserves and no tensor uses.
    pub fragmented: Ratio,
    /// `memory-leak`: share of device memory by which each quarter of an hour's use must grow.
    pub memory_leak: Ratio,
    /// `pcie-replays`: packets sent again, a minute.
    pub pcie_replays: Factor,
    /// `nvlink-errors`: errors a minute.
    pub nvlink_errors: Factor,
    /// `nic-errors`: errors a minute.
    pub nic_errors: Factor,
    /// `nic-retransmits`: packets sent again, a second.
    pub nic_retransmits: Factor,
    /// `nic-retransmits`: above this multiple of the median port.
    pub nic_retransmits_multiple: Factor,
}

/// When an alert is raised and cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hysteresis {
    /// Frames in a row that must say so.
    pub raise_after: u32,
    /// Time for which they must.
    #[serde(with = "time")]
    pub raise_over: SimDuration,
    /// Frames in a row that must say that it is over.
    pub clear_after: u32,
    /// Time for which they must.
    #[serde(with = "time")]
    pub clear_over: SimDuration,
}

impl Default for Thresholds {
    fn default() -> Self {
        let factor = |value| Factor::new(value).expect("a default is a positive number");
        let ratio = |value| Ratio::new(value).expect("a default is between 0 and 1");
        Self {
            job_slow: factor(0.9),
            expert_imbalance: factor(1.3),
            collective_slow: factor(1.3),
            below_profile: factor(0.92),
            slow_device: ratio(0.05),
            clock_low: ratio(0.1),
            power_cap: factor(0.95),
            throttled_share: ratio(0.05),
            hotter_by: factor(15.0),
            near_slowdown: factor(3.0),
            straggler: ratio(0.05),
            hang_steps: factor(20.0),
            hang_after: SimDuration::from_secs(180.0),
            hang_power: factor(0.7),
            memory_near_full: ratio(0.985),
            allocated_near_full: ratio(0.95),
            fragmented: ratio(0.15),
            memory_leak: ratio(0.003),
            pcie_replays: factor(8.0),
            nvlink_errors: factor(1.0),
            nic_errors: factor(1.0),
            nic_retransmits: factor(50.0),
            nic_retransmits_multiple: factor(5.0),
        }
    }
}

impl Hysteresis {
    /// That of a condition which lasts: three frames and a minute to raise, three and two minutes to clear.
    pub const LASTING: Self = Self {
        raise_after: 3,
        raise_over: SimDuration::from_millis(60_000),
        clear_after: 3,
        clear_over: SimDuration::from_millis(120_000),
    };
    /// That of an event, which is told at once and stands until ten minutes passed without another.
    pub const EVENT: Self = Self {
        raise_after: 1,
        raise_over: SimDuration::ZERO,
        clear_after: 3,
        clear_over: SimDuration::from_millis(600_000),
    };
    /// That of a condition which is so or not: two frames, so that one that was misread is no alert.
    pub const STATE: Self = Self {
        raise_after: 2,
        raise_over: SimDuration::ZERO,
        clear_after: 2,
        clear_over: SimDuration::ZERO,
    };
    /// That of a comparison with one's own past: five minutes.
    pub const SLOW: Self = Self {
        raise_after: 3,
        raise_over: SimDuration::from_millis(300_000),
        clear_after: 3,
        clear_over: SimDuration::from_millis(300_000),
    };

    /// That of `rule` unless somebody says otherwise.
    #[must_use]
    pub const fn of(rule: Rule) -> Self {
        match rule {
            Rule::XidHardware | Rule::XidApplication | Rule::EccUncorrectable => Self::EVENT,
            Rule::DeviceLost
            | Rule::DeviceSilent
            | Rule::RowRemapPending
            | Rule::RowRemapFailure
            | Rule::NvlinkDown
            | Rule::NicDown
            | Rule::SourceSilent
            | Rule::Hang => Self::STATE,
            Rule::JobSlow
            | Rule::ExpertImbalance
            | Rule::Straggler
            | Rule::MemoryLeak
            | Rule::DeviceIdle
            | Rule::NicRetransmits
            | Rule::KpiMfu
            | Rule::KpiMemory
            | Rule::KpiLatency => Self::SLOW,
            Rule::ThrottleThermal
            | Rule::ThrottlePowerBrake
            | Rule::DeviceHot
            | Rule::ClockLow
            | Rule::PowerCap
            | Rule::SlowDevice
            | Rule::BelowProfile
            | Rule::PcieDegraded
            | Rule::PcieReplays
            | Rule::NvlinkErrors
            | Rule::NicErrors
            | Rule::MemoryNearFull
            | Rule::MemoryFragmented
            | Rule::CollectiveSlow
            | Rule::SourceDrops => Self::LASTING,
        }
    }
}

/// Why rules cannot be used.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("threshold `{name}` is {value}, which is not a positive number\nits default is {default}")]
pub struct RulesError {
    /// Which threshold.
    pub name: String,
    /// What it is.
    pub value: f64,
    /// What it is unless somebody says otherwise.
    pub default: f64,
}

impl Rules {
    /// Whether the thresholds make sense: all of them are positive.
    ///
    /// # Errors
    /// With the first that is not.
    pub fn check(&self) -> Result<(), RulesError> {
        let numbers = |thresholds: &Thresholds| {
            let value = serde_json::to_value(thresholds).expect("thresholds are plain data");
            let serde_json::Value::Object(fields) = value else {
                unreachable!("a structure is written as an object");
            };
            fields
        };
        let defaults = numbers(&Thresholds::default());
        for (name, value) in numbers(&self.thresholds) {
            // Times are text, and their own parser has seen them.
            if let Some(default) = defaults[&name].as_f64() {
                let value = value.as_f64().unwrap_or(f64::NAN);
                if value.is_nan() || value <= 0.0 {
                    return Err(RulesError { name, value, default });
                }
            }
        }
        Ok(())
    }

    /// Whether `rule` is on.
    #[must_use]
    pub fn is_on(&self, rule: Rule) -> bool {
        let is_asked_for = !rule.is_kpi() || self.presets.contains(&Preset::ArticleKpi);
        is_asked_for && !self.off.contains(&rule)
    }

    /// When an alert of `rule` is raised and cleared.
    #[must_use]
    pub fn hysteresis_of(&self, rule: Rule) -> Hysteresis {
        let own = self.hysteresis.get(&rule).copied();
        own.unwrap_or_else(|| Hysteresis::of(rule))
    }
}

/// A time as text, such as `5 min`.
mod time {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::{Dimension, SimDuration, parse_quantity};

    pub(super) fn serialize<S: Serializer>(time: &SimDuration, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&format!("{} s", time.as_secs()))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SimDuration, D::Error> {
        let text = String::deserialize(from)?;
        let time = parse_quantity(&text, Dimension::Time).map_err(D::Error::custom)?;
        Ok(SimDuration::from_secs(time.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_survive_their_own_text() {
        let mut rules = Rules::default();
        rules.off.insert(Rule::PowerCap);
        rules.hysteresis.insert(Rule::Hang, Hysteresis::LASTING);
        let text = serde_json::to_string(&rules).unwrap();
        assert_eq!(serde_json::from_str::<Rules>(&text).unwrap(), rules);
        assert!(text.contains(r#""hang_after":"180 s""#), "{text}");
    }

    #[test]
    fn the_article_s_figures_are_off_unless_asked_for() {
        let mut rules = Rules::default();
        let on = |rules: &Rules| Rule::ALL.into_iter().filter(|&rule| rules.is_on(rule)).count();
        assert_eq!(on(&rules), Rule::ALL.len() - 3);
        rules.presets.insert(Preset::ArticleKpi);
        assert_eq!(on(&rules), Rule::ALL.len());
        rules.off.insert(Rule::KpiMfu);
        assert!(!rules.is_on(Rule::KpiMfu));
    }

    #[test]
    fn an_unknown_key_and_a_bare_number_are_errors() {
        let fault = serde_json::from_str::<Rules>(r#"{"thresholds":{"job_slwo":0.9}}"#).unwrap_err();
        assert!(fault.to_string().contains("unknown field `job_slwo`"), "{fault}");
        assert!(serde_json::from_str::<Rules>(r#"{"thresholds":{"hang_after":"180"}}"#).is_err());
        let negative: Rules = serde_json::from_str(r#"{"thresholds":{"straggler":-1.0}}"#).unwrap();
        let words = negative.check().unwrap_err().to_string();
        assert!(words.starts_with("threshold `straggler` is -1"), "{words}");
        assert_eq!(Rules::default().check(), Ok(()));
    }
}
