//! What a rule says: what it is, the numbers that say so, and what to do.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{DeviceIdentity, Origin, UnixTime};

/// How urgent an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing is slower for it yet.
    Info,
    /// Something is slower than it should be, or will fail.
    Warning,
    /// Work is lost, or will be: take the device out of service.
    Critical,
}

/// The rules, by what they find.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// A device fell off the bus.
    DeviceLost,
    /// The driver does not answer for a device.
    DeviceSilent,
    /// The driver reported a fault of the device, its memory, its links or itself.
    XidHardware,
    /// The driver stopped a program for what it did.
    XidApplication,
    /// Memory returned data that could not be corrected.
    EccUncorrectable,
    /// A row of memory waits for a reset to be replaced by a spare.
    RowRemapPending,
    /// No spare row is left.
    RowRemapFailure,
    /// Heat holds the clocks down.
    ThrottleThermal,
    /// The power supply holds the clocks down.
    ThrottlePowerBrake,
    /// A device is much hotter than its like, or near the temperature at which it slows down.
    DeviceHot,
    /// A busy device runs at a lower clock than its like, for no reason that the driver gives.
    ClockLow,
    /// A device may draw less power than its like.
    PowerCap,
    /// A device computes more slowly than its like.
    SlowDevice,
    /// A device gives less than its model gave when it was calibrated.
    BelowProfile,
    /// A device of a running job does nothing.
    DeviceIdle,
    /// A PCIe link runs with fewer lanes or an older speed than it has.
    PcieDegraded,
    /// A PCIe link sends packets again.
    PcieReplays,
    /// An NVLink is down.
    NvlinkDown,
    /// An NVLink has errors.
    NvlinkErrors,
    /// A network port is down.
    NicDown,
    /// A network port has errors.
    NicErrors,
    /// A network port sends packets again.
    NicRetransmits,
    /// Memory is about to run out.
    MemoryNearFull,
    /// Memory in use grows and grows.
    MemoryLeak,
    /// The allocator holds much that nobody uses, and had to give back and ask again.
    MemoryFragmented,
    /// A job is slower than its own past, or than was predicted.
    JobSlow,
    /// The load of experts is less even than it was.
    ExpertImbalance,
    /// A collective takes longer than the profile says.
    CollectiveSlow,
    /// One rank makes the others wait.
    Straggler,
    /// A job makes no step, and its devices spin.
    Hang,
    /// A source that gave samples gives none.
    SourceSilent,
    /// Samples are lost on the way.
    SourceDrops,
    /// Preset `article-kpi`: MFU is below 65 %.
    KpiMfu,
    /// Preset `article-kpi`: more than 90 % of device memory is in use.
    KpiMemory,
    /// Preset `article-kpi`: a collective between nodes takes more than 2 ms.
    KpiLatency,
}

/// What an alert is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// A device, by its node, its number there and its own name.
    Device {
        /// The node.
        node: String,
        /// Its number in the node.
        gpu: u32,
        /// Its own name.
        uuid: String,
    },
    /// A network port, by its node and name.
    Nic {
        /// The node.
        node: String,
        /// The port, such as `mlx5_0/1`.
        port: String,
    },
    /// A job, by its name.
    Job {
        /// The name.
        job: String,
    },
    /// A rank of a job.
    Rank {
        /// The job.
        job: String,
        /// The rank.
        rank: u32,
    },
    /// A source of samples.
    Source {
        /// Its name.
        source: String,
    },
}

/// One number that an alert rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// What it is.
    pub name: String,
    /// Its value, in `unit`.
    pub value: f64,
    /// Its unit: a base unit of SI, `1` for a ratio or a count.
    pub unit: String,
    /// What it was held against, in the same unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<f64>,
}

/// What a rule found of one subject.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// The rule.
    pub rule: Rule,
    /// How urgent it is.
    pub severity: Severity,
    /// What it is about.
    pub subject: Subject,
    /// What its numbers are: a demonstration never looks like a measurement.
    #[serde(default = "live")]
    pub origin: Origin,
    /// What is wrong, in a sentence.
    pub what: String,
    /// The numbers that say so.
    pub evidence: Vec<Evidence>,
    /// What to do.
    pub action: String,
    /// When it was first seen.
    pub since: UnixTime,
    /// When it had lasted long enough to be told.
    pub raised: UnixTime,
    /// When it had been over for long enough; `None` while it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleared: Option<UnixTime>,
}

const fn live() -> Origin {
    Origin::Live
}

impl Rule {
    /// All rules, in the order in which they are listed.
    pub const ALL: [Self; 35] = [
        Self::DeviceLost,
        Self::DeviceSilent,
        Self::XidHardware,
        Self::XidApplication,
        Self::EccUncorrectable,
        Self::RowRemapPending,
        Self::RowRemapFailure,
        Self::ThrottleThermal,
        Self::ThrottlePowerBrake,
        Self::DeviceHot,
        Self::ClockLow,
        Self::PowerCap,
        Self::SlowDevice,
        Self::BelowProfile,
        Self::DeviceIdle,
        Self::PcieDegraded,
        Self::PcieReplays,
        Self::NvlinkDown,
        Self::NvlinkErrors,
        Self::NicDown,
        Self::NicErrors,
        Self::NicRetransmits,
        Self::MemoryNearFull,
        Self::MemoryLeak,
        Self::MemoryFragmented,
        Self::JobSlow,
        Self::ExpertImbalance,
        Self::CollectiveSlow,
        Self::Straggler,
        Self::Hang,
        Self::SourceSilent,
        Self::SourceDrops,
        Self::KpiMfu,
        Self::KpiMemory,
        Self::KpiLatency,
    ];

    /// Its name in files and exports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DeviceLost => "device-lost",
            Self::DeviceSilent => "device-silent",
            Self::XidHardware => "xid-hardware",
            Self::XidApplication => "xid-application",
            Self::EccUncorrectable => "ecc-uncorrectable",
            Self::RowRemapPending => "row-remap-pending",
            Self::RowRemapFailure => "row-remap-failure",
            Self::ThrottleThermal => "throttle-thermal",
            Self::ThrottlePowerBrake => "throttle-power-brake",
            Self::DeviceHot => "device-hot",
            Self::ClockLow => "clock-low",
            Self::PowerCap => "power-cap",
            Self::SlowDevice => "slow-device",
            Self::BelowProfile => "below-profile",
            Self::DeviceIdle => "device-idle",
            Self::PcieDegraded => "pcie-degraded",
            Self::PcieReplays => "pcie-replays",
            Self::NvlinkDown => "nvlink-down",
            Self::NvlinkErrors => "nvlink-errors",
            Self::NicDown => "nic-down",
            Self::NicErrors => "nic-errors",
            Self::NicRetransmits => "nic-retransmits",
            Self::MemoryNearFull => "memory-near-full",
            Self::MemoryLeak => "memory-leak",
            Self::MemoryFragmented => "memory-fragmented",
            Self::JobSlow => "job-slow",
            Self::ExpertImbalance => "expert-imbalance",
            Self::CollectiveSlow => "collective-slow",
            Self::Straggler => "straggler",
            Self::Hang => "hang",
            Self::SourceSilent => "source-silent",
            Self::SourceDrops => "source-drops",
            Self::KpiMfu => "kpi-mfu",
            Self::KpiMemory => "kpi-memory",
            Self::KpiLatency => "kpi-latency",
        }
    }

    /// Whether it belongs to the preset `article-kpi`, which is off unless asked for.
    #[must_use]
    pub const fn is_kpi(self) -> bool {
        matches!(self, Self::KpiMfu | Self::KpiMemory | Self::KpiLatency)
    }
}

impl Severity {
    /// Its name in files and exports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl Subject {
    /// The device `identity`.
    #[must_use]
    pub fn device(identity: &DeviceIdentity) -> Self {
        Self::Device {
            node: identity.node.clone(),
            gpu: identity.index,
            uuid: identity.uuid.clone(),
        }
    }

    /// The job `job`.
    #[must_use]
    pub fn job(job: &str) -> Self {
        Self::Job { job: job.to_owned() }
    }
}

impl Evidence {
    /// The value `value` of `name`, in `unit`.
    #[must_use]
    pub fn new(name: &str, value: f64, unit: &str) -> Self {
        Self {
            name: name.to_owned(),
            value,
            unit: unit.to_owned(),
            against: None,
        }
    }

    /// The same, held against `against`.
    #[must_use]
    pub fn against(self, against: f64) -> Self {
        Self {
            against: Some(against),
            ..self
        }
    }
}

impl Alert {
    /// Whether it stands.
    #[must_use]
    pub const fn stands(&self) -> bool {
        self.cleared.is_none()
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device { node, gpu, .. } => write!(f, "{node} GPU {gpu}"),
            Self::Nic { node, port } => write!(f, "{node} {port}"),
            Self::Job { job } => write!(f, "job {job}"),
            Self::Rank { job, rank } => write!(f, "job {job} rank {rank}"),
            Self::Source { source } => write!(f, "source {source}"),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_has_one_name_on_the_wire_and_in_exports() {
        for rule in Rule::ALL {
            assert_eq!(
                serde_json::to_string(&rule).unwrap(),
                format!("\"{}\"", rule.name())
            );
        }
        let mut names: Vec<&str> = Rule::ALL.into_iter().map(Rule::name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Rule::ALL.len());
    }

    #[test]
    fn an_alert_survives_the_wire() {
        let alert = Alert {
            rule: Rule::ClockLow,
            severity: Severity::Warning,
            subject: Subject::Device {
                node: "node-0".to_owned(),
                gpu: 3,
                uuid: "GPU-a".to_owned(),
            },
            origin: Origin::Demo,
            what: "slow".to_owned(),
            evidence: vec![Evidence::new("SM clock", 1.2e9, "Hz").against(1.7e9)],
            action: "look".to_owned(),
            since: UnixTime::from_millis(1),
            raised: UnixTime::from_millis(2),
            cleared: None,
        };
        let text = serde_json::to_string(&alert).unwrap();
        assert_eq!(serde_json::from_str::<Alert>(&text).unwrap(), alert);
        assert!(
            text.contains(r#""subject":{"device":{"node":"node-0","gpu":3"#),
            "{text}"
        );
    }
}
