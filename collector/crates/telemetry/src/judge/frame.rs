//! What the judge is told at one instant: devices, network ports, jobs and sources.
//!
//! A value that was not read is `None`, and no rule that needs it says anything: not "ill", and not "well".

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};

use orrery_units::{Bytes, Ratio, SimDuration, Watts};

use super::{JobState, Subject};
use crate::{
    Celsius, DeviceIdentity, DeviceSample, Hertz, HostSample, Link, Origin, Reading, Sample, SourceState,
    SourceStatus, Throttle, ThrottleTimes, UnixTime, Xids,
};

/// What is known at one instant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frame {
    /// When.
    pub at: UnixTime,
    /// Every device.
    pub devices: Vec<DeviceView>,
    /// Every network port.
    pub nics: Vec<NicState>,
    /// Every job that runs.
    pub jobs: Vec<JobState>,
    /// Every source that is meant to give samples.
    pub sources: Vec<SourceStatus>,
    /// What the numbers of a node are, where they are not of this world.
    pub origins: BTreeMap<String, Origin>,
}

/// What is known of a device.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceView {
    /// Which device.
    pub identity: DeviceIdentity,
    /// Whether it fell off the bus.
    pub is_lost: bool,
    /// Whether a call into its driver has not returned.
    pub is_silent: bool,
    /// Share of time in which a kernel ran.
    pub utilization: Option<Ratio>,
    /// Power drawn.
    pub power: Option<Watts>,
    /// Power that it may draw.
    pub power_limit: Option<Watts>,
    /// Clock of the multiprocessors.
    pub sm_clock: Option<Hertz>,
    /// Temperature of the chip.
    pub temperature: Option<Celsius>,
    /// Temperature at which it slows down.
    pub slowdown_temperature: Option<Celsius>,
    /// Memory in use, by whomever.
    pub memory_used: Option<Bytes>,
    /// All memory.
    pub memory_total: Option<Bytes>,
    /// What holds its clocks down now.
    pub throttles: Option<Vec<Throttle>>,
    /// Time for which each reason held its clocks down since the driver was loaded.
    pub throttle_time: Vec<(Throttle, SimDuration)>,
    /// Errors of memory that could not be corrected, since the driver was loaded.
    pub ecc_uncorrected: Option<u64>,
    /// Whether a row of memory waits for a reset to be replaced.
    pub remap_pending: Option<bool>,
    /// Whether a row could not be replaced.
    pub remap_failure: Option<bool>,
    /// The driver's events since somebody listens, by their codes.
    pub xids: Option<BTreeMap<u32, u64>>,
    /// Packets that its PCIe link sent again, since the driver was loaded.
    pub pcie_replays: Option<u64>,
    /// Speed of its PCIe link now, by generation.
    pub pcie_generation: Option<u32>,
    /// Lanes of its PCIe link now.
    pub pcie_lanes: Option<u32>,
    /// NVLinks that are up.
    pub nvlinks_up: Option<u32>,
    /// Replays, recoveries and errors left after correction of its NVLinks, since the driver was loaded.
    pub nvlink_errors: Option<u64>,
    /// What benches measured of it, lately.
    pub figures: Vec<Figure>,
}

/// What a bench measured of a device, and what its model gave when it was calibrated.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// What was measured, such as `gemm bf16`.
    pub name: String,
    /// What it went through, where that is not the device alone: a port such as `mlx5_3/1, 400 Gbit/s`.
    pub through: Option<String>,
    /// The rate: more is better.
    pub rate: f64,
    /// Its unit, such as `FLOP/s`.
    pub unit: String,
    /// The same of this model of device, from the profile.
    pub profile: Option<f64>,
}

/// What is known of a network port.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NicState {
    /// The node that it sits in.
    pub node: String,
    /// The port, such as `mlx5_0/1`.
    pub port: String,
    /// Whether its link is up.
    pub is_up: Option<bool>,
    /// Errors of its link (symbol errors, recoveries, downs, receive errors) since it came up.
    pub errors: Option<u64>,
    /// Packets that it sent again or missed the order of, since it came up.
    pub retransmits: Option<u64>,
    /// The devices beside it, by their numbers in the node.
    pub devices: Vec<u32>,
}

impl Frame {
    /// What `samples` and `sources` tell at `at`; jobs come from elsewhere.
    #[must_use]
    pub fn of(at: UnixTime, samples: &[impl Borrow<Sample>], sources: &[SourceStatus]) -> Self {
        let samples: Vec<&Sample> = samples.iter().map(Borrow::borrow).collect();
        // Two sources may tell of one device: the first counts, as their counters differ.
        let mut seen = BTreeSet::new();
        let devices = samples.iter().flat_map(|sample| &sample.devices);
        let devices = devices.filter(|device| seen.insert(&device.identity.uuid));
        let hosts = samples.iter().filter_map(|sample| sample.host.as_deref());
        Self {
            at,
            devices: devices.map(DeviceView::of).collect(),
            nics: hosts.flat_map(NicState::of_host).collect(),
            jobs: Vec::new(),
            sources: sources.to_vec(),
            origins: samples.iter().flat_map(|sample| made_up_nodes(sample)).collect(),
        }
    }

    /// What the numbers are by which something is said of `subject`.
    pub(super) fn origin_of(&self, subject: &Subject) -> Origin {
        match subject {
            Subject::Device { node, .. } | Subject::Nic { node, .. } => {
                self.origins.get(node).copied().unwrap_or(Origin::Live)
            }
            Subject::Source { source } => {
                let mut sources = self.sources.iter();
                let state = sources
                    .find(|status| status.name == *source)
                    .map(|status| status.state);
                match state {
                    Some(SourceState::Demo) => Origin::Demo,
                    Some(SourceState::Fake) => Origin::Fake,
                    Some(SourceState::Live | SourceState::Absent) | None => Origin::Live,
                }
            }
            Subject::Job { job } | Subject::Rank { job, .. } => {
                let job = self.jobs.iter().find(|known| known.name == *job);
                let first = job.and_then(|job| job.devices.first());
                let known = first.and_then(|(node, _)| self.origins.get(node));
                known.copied().unwrap_or(Origin::Live)
            }
        }
    }
}

impl NicState {
    /// The counters of a port that count errors of its link (InfiniBand `perfquery`; `sys/class/infiniband`).
    const ERRORS: [&'static str; 5] = [
        "symbol_error",
        "link_error_recovery",
        "link_downed",
        "port_rcv_errors",
        "local_link_integrity_errors",
    ];

    /// The RDMA ports of `host`.
    pub fn of_host(host: &HostSample) -> impl Iterator<Item = Self> + '_ {
        let ports = host.rdma.value().into_iter().flatten();
        ports.map(|port| {
            let errors = Self::ERRORS.iter().filter_map(|name| port.counter(name));
            Self {
                node: host.node.clone(),
                port: format!("{}/{}", port.device, port.port),
                is_up: Some(port.is_active),
                errors: errors.reduce(u64::saturating_add),
                retransmits: port.num_retransmits(),
                devices: Vec::new(),
            }
        })
    }
}

impl DeviceView {
    /// A device of which nothing is known.
    #[must_use]
    pub const fn unknown(identity: DeviceIdentity) -> Self {
        Self {
            identity,
            is_lost: false,
            is_silent: false,
            utilization: None,
            power: None,
            power_limit: None,
            sm_clock: None,
            temperature: None,
            slowdown_temperature: None,
            memory_used: None,
            memory_total: None,
            throttles: None,
            throttle_time: Vec::new(),
            ecc_uncorrected: None,
            remap_pending: None,
            remap_failure: None,
            xids: None,
            pcie_replays: None,
            pcie_generation: None,
            pcie_lanes: None,
            nvlinks_up: None,
            nvlink_errors: None,
            figures: Vec::new(),
        }
    }

    /// What `sample` tells of its device.
    #[must_use]
    pub fn of(sample: &DeviceSample) -> Self {
        Self {
            is_lost: sample.is_lost(),
            is_silent: sample.is_silent(),
            utilization: known(&sample.utilization),
            power: known(&sample.power),
            power_limit: known(&sample.power_limit),
            sm_clock: known(&sample.sm_clock),
            temperature: known(&sample.temperature),
            memory_used: known(&sample.memory_used),
            memory_total: known(&sample.memory_total),
            throttles: known(&sample.throttles),
            slowdown_temperature: known(&sample.facts.slowdown_temperature),
            throttle_time: throttle_time(&sample.throttle_times),
            ecc_uncorrected: known(&sample.ecc.uncorrected_volatile),
            remap_pending: known(&sample.remapped_rows.pending),
            remap_failure: known(&sample.remapped_rows.failure),
            xids: sample.xids.value().map(events),
            pcie_replays: known(&sample.pcie.replays),
            pcie_generation: known(&sample.pcie.generation),
            pcie_lanes: known(&sample.pcie.lanes),
            nvlinks_up: sample.nvlink.links.value().map(|links| num_up(links)),
            nvlink_errors: sample.nvlink.links.value().and_then(|links| num_errors(links)),
            ..Self::unknown(sample.identity.clone())
        }
    }

    /// Whether it works: a kernel runs for at least half of the time.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.utilization.is_some_and(|share| share.get() >= BUSY)
    }
}

/// The share of time from which a device counts as busy.
pub(super) const BUSY: f64 = 0.5;

/// The nodes of a sample that is not live.
fn made_up_nodes(sample: &Sample) -> impl Iterator<Item = (String, Origin)> + '_ {
    let devices = sample.devices.iter().map(|device| &device.identity.node);
    let nodes = devices.chain(sample.host.iter().map(|host| &host.node));
    let nodes = nodes.filter(|_| sample.origin != Origin::Live);
    nodes.map(|node| (node.clone(), sample.origin))
}

fn throttle_time(times: &ThrottleTimes) -> Vec<(Throttle, SimDuration)> {
    let known = [
        (Throttle::PowerCap, &times.power_cap),
        (Throttle::ThermalSoftware, &times.thermal_software),
        (Throttle::ThermalHardware, &times.thermal_hardware),
        (Throttle::PowerBrake, &times.power_brake),
    ];
    let known = known
        .into_iter()
        .filter_map(|(reason, time)| Some((reason, time.value()?)));
    known
        .map(|(reason, time)| (reason, SimDuration::from_secs(time.as_secs())))
        .collect()
}

fn events(xids: &Xids) -> BTreeMap<u32, u64> {
    let counts = xids.counts.iter();
    // A code that fits no u32 is none.
    counts
        .filter_map(|xid| Some((u32::try_from(xid.code).ok()?, xid.count)))
        .collect()
}

fn num_up(links: &[Link]) -> u32 {
    let up = links.iter().filter(|link| link.is_active).count();
    u32::try_from(up).unwrap_or(u32::MAX)
}

/// Wrong checksums are left out: a link repairs those by itself, now and then.
fn num_errors(links: &[Link]) -> Option<u64> {
    let counts = links
        .iter()
        .flat_map(|link| [&link.errors.replay, &link.errors.recovery, &link.errors.effective]);
    counts
        .filter_map(|reading| reading.value().copied())
        .reduce(u64::saturating_add)
}

fn known<T: Clone>(reading: &Reading<T>) -> Option<T> {
    reading.value().cloned()
}

#[cfg(test)]
mod tests {
    use orrery_units::SimTime;

    use super::*;
    use crate::{Absence, RdmaPort, XidCount};

    fn sample(source: &str, uuids: &[&str]) -> Sample {
        let device = |(uuid, index): (&&str, u32)| {
            let identity = DeviceIdentity {
                node: "node-0".to_owned(),
                index,
                uuid: (*uuid).to_owned(),
                model: "model".to_owned(),
            };
            DeviceSample::absent(identity, &Absence::NotSupported)
        };
        Sample {
            source: source.to_owned(),
            origin: Origin::Fake,
            sequence: 0,
            at: SimTime::ZERO,
            taken: UnixTime::from_millis(0),
            devices: uuids.iter().zip(0..).map(device).collect(),
            host: None,
            collectives: Vec::new(),
        }
    }

    #[test]
    fn a_device_of_two_sources_is_one_and_what_was_not_read_is_unknown() {
        let mut first = sample("nvml", &["a", "b"]);
        let device = &mut first.devices[0];
        device.ecc.uncorrected_volatile = Reading::Value(3);
        device.remapped_rows.pending = Reading::Value(true);
        device.throttle_times.power_brake = Reading::Value(crate::Nanoseconds::new(2_000_000_000));
        device.pcie.lanes = Reading::Value(16);
        device.xids = Reading::Value(Xids {
            counts: vec![XidCount {
                code: 79,
                count: 2,
                last: UnixTime::from_millis(1),
            }],
            ..Xids::default()
        });
        let frame = Frame::of(
            UnixTime::from_millis(5),
            &[first, sample("dcgm", &["b", "c"])],
            &[],
        );
        let names: Vec<&str> = frame
            .devices
            .iter()
            .map(|device| device.identity.uuid.as_str())
            .collect();
        assert_eq!(names, ["a", "b", "c"]);
        let (known, unknown) = (&frame.devices[0], &frame.devices[1]);
        assert_eq!(
            (known.ecc_uncorrected, known.remap_pending, known.pcie_lanes),
            (Some(3), Some(true), Some(16))
        );
        assert_eq!(known.xids, Some([(79, 2)].into()));
        assert_eq!(
            known.throttle_time,
            [(Throttle::PowerBrake, SimDuration::from_secs(2.0))]
        );
        assert_eq!(*unknown, DeviceView::unknown(unknown.identity.clone()));
        let subject = Subject::device(&known.identity);
        assert_eq!(frame.origin_of(&subject), Origin::Fake);
    }

    #[test]
    fn ports_are_those_of_the_machine() {
        let mut host = HostSample::absent("node-0".to_owned(), &Absence::NotSupported);
        host.rdma = Reading::Value(vec![RdmaPort {
            device: "mlx5_0".to_owned(),
            port: 1,
            is_active: true,
            speed: Reading::absent(Absence::NotSupported),
            link_layer: String::new(),
            receive: Reading::absent(Absence::NotSupported),
            transmit: Reading::absent(Absence::NotSupported),
            counters: [
                ("symbol_error", 3),
                ("link_downed", 1),
                ("out_of_sequence", 7),
                ("other", 9),
            ]
            .map(|(name, count)| (name.to_owned(), count))
            .into(),
        }]);
        let mut of_host = sample("host", &[]);
        of_host.host = Some(Box::new(host));
        let frame = Frame::of(UnixTime::from_millis(5), &[of_host], &[]);
        let port = &frame.nics[0];
        assert_eq!((port.port.as_str(), port.is_up), ("mlx5_0/1", Some(true)));
        assert_eq!((port.errors, port.retransmits), (Some(4), Some(7)));
    }
}
