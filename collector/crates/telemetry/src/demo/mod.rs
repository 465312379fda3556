//! A made-up cluster whose telemetry looks like that of a real one: jobs that come and go, day and night, noise,
//! sensors that jitter, data loaders that stall, checkpoints. Healthy unless a [`Fault`] is put in.
//!
//! Every number here is an assumption, chosen to look like H100 SXM nodes; none was measured. Draws are keyed by seed,
//! place and time, so two clusters of one seed and pace are equal, and a fault changes only what it touches.
//!
//! Nodes 0 to 2 train one large model at a time; of node 3, devices 0 to 3 serve and 4 to 7 run short jobs.

mod catalogue;
mod device;
mod fault;
mod schedule;

use orrery_units::{Bytes, Ratio, Seed, SimDuration};

pub use self::catalogue::{Case, Course, Outcome, catalogue};
use self::device::Machine;
pub use self::fault::{Fault, FaultKind};
use self::schedule::{Phase, Schedule, Slot};
use crate::UnixTime;
use crate::judge::{Allocator, CollectiveTiming, Frame, JobState, LastCollective, NicState, Step};
use crate::{Origin, SourceStatus};

/// Nodes.
pub const NUM_NODES: u32 = 4;
/// Devices of a node.
pub const DEVICES_PER_NODE: u32 = 8;
/// When the cluster is switched on: the first second of 2026, a Thursday.
const BEGIN_MILLIS: u64 = 1_767_225_600_000;
/// Steps of one frame that are told, as a trainer logs every tenth or so.
const STEPS_TOLD: u64 = 4;
/// What a step takes when nothing is wrong, of the large job and of short ones.
const STEP_SECS: f64 = 6.2;
const MFU: f64 = 0.41;
/// Share of a step in collectives that nobody waits in for another.
const COMMUNICATION: f64 = 0.11;

/// The cluster, read every so often.
#[derive(Clone, Debug)]
pub struct Cluster {
    seed: Seed,
    interval: SimDuration,
    frame: u64,
    schedule: Schedule,
    machines: Vec<Machine>,
    nics: Vec<NicState>,
    dropped: u64,
    faults: Vec<Fault>,
    retries: u64,
}

impl Cluster {
    /// The healthy cluster of `seed`, read every `interval`.
    #[must_use]
    pub fn new(seed: Seed, interval: SimDuration) -> Self {
        let places = || (0..NUM_NODES).flat_map(|node| (0..DEVICES_PER_NODE).map(move |index| (node, index)));
        let nic = |(node, index): (u32, u32)| NicState {
            node: node_name(node),
            port: format!("mlx5_{index}/1"),
            is_up: Some(true),
            errors: Some(0),
            retransmits: Some(0),
            devices: vec![index],
        };
        Self {
            seed,
            interval,
            frame: 0,
            schedule: Schedule::new(seed),
            machines: places()
                .map(|(node, index)| Machine::new(seed, node, index))
                .collect(),
            nics: places().map(nic).collect(),
            dropped: 0,
            faults: Vec::new(),
            retries: 0,
        }
    }

    /// Puts a fault in, from the next frame on.
    pub fn break_down(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// Mends every fault; what was counted meanwhile stays counted.
    pub fn mend(&mut self) {
        self.faults.clear();
    }

    /// Time from one frame to the next.
    #[must_use]
    pub const fn interval(&self) -> SimDuration {
        self.interval
    }

    /// The next frame.
    pub fn read(&mut self) -> Frame {
        let elapsed = self.interval.as_secs() * as_f64(self.frame);
        let jobs = self.schedule.at(elapsed);
        let mut frame = Frame {
            at: self.at(),
            origins: (0..NUM_NODES)
                .map(|node| (node_name(node), Origin::Demo))
                .collect(),
            ..Frame::default()
        };
        for slot in &jobs {
            if slot.phase.is_some() {
                frame.jobs.push(self.job(slot, elapsed));
            }
        }
        for place in 0..self.machines.len() {
            let slot = jobs.iter().find(|slot| slot.holds(place));
            let slow = slot.map_or(1.0, |slot| self.slowed(slot));
            let faults: Vec<FaultKind> = self.faults_of(place).collect();
            let machine = &mut self.machines[place];
            let view = machine.read(
                slot,
                slow,
                &faults,
                (self.frame, elapsed, self.interval.as_secs()),
            );
            frame.devices.push(view);
        }
        self.ports(elapsed);
        frame.nics.clone_from(&self.nics);
        frame.sources.push(self.source());
        self.frame += 1;
        frame
    }

    fn at(&self) -> UnixTime {
        let millis = self.interval.as_picos() / 1_000_000_000 * self.frame;
        UnixTime::from_millis(BEGIN_MILLIS + millis)
    }

    fn faults_of(&self, place: usize) -> impl Iterator<Item = FaultKind> + '_ {
        let here = self
            .faults
            .iter()
            .filter(move |fault| fault.place() == place || fault.kind.is_everywhere());
        here.map(|fault| fault.kind)
    }

    fn has(&self, kind: FaultKind) -> bool {
        self.faults.iter().any(|fault| fault.kind == kind)
    }

    /// By how much the job of `slot` is slower than it was: everybody waits for the slowest device.
    fn slowed(&self, slot: &Slot) -> f64 {
        let places = slot.places.clone();
        let speeds = places.map(|place| self.speed(place));
        1.0 / speeds.min_by(f64::total_cmp).unwrap_or(1.0)
    }

    /// Speed of the device at `place`, as its faults leave it.
    fn speed(&self, place: usize) -> f64 {
        self.faults_of(place).map(FaultKind::speed).fold(1.0, f64::min)
    }

    fn job(&mut self, slot: &Slot, elapsed: f64) -> JobState {
        let devices = slot.places.clone().map(|place| {
            let machine = &self.machines[place];
            (machine.identity.node.clone(), machine.identity.index)
        });
        let mut job = JobState {
            name: slot.name.clone(),
            devices: devices.collect(),
            ..JobState::default()
        };
        let is_large = slot.places.start == 0;
        let hangs = is_large && self.has(FaultKind::Hang);
        if slot.phase == Some(Phase::Steps) && !hangs {
            job.steps = self.steps(slot, elapsed);
        }
        if is_large {
            self.tell_more(&mut job, hangs);
        }
        job
    }

    /// What only the large job tells.
    fn tell_more(&mut self, job: &mut JobState, hangs: bool) {
        let total = device::MEMORY.as_f64();
        let share = |share: f64| Bytes::from_f64(share * total);
        let (mut allocated, reserved) = (0.86f64, 0.93f64);
        if self.has(FaultKind::MemoryNearFull) {
            allocated = 0.965;
        }
        if self.has(FaultKind::MemoryFragmented) {
            allocated = 0.71;
            self.retries += 3;
        }
        job.allocator = Some(Allocator {
            rank: 0,
            allocated: share(allocated),
            reserved: share(reserved.max(allocated)),
            retries: self.retries,
        });
        job.predicted_mfu = Ratio::new(if self.has(FaultKind::BelowPrediction) {
            0.52
        } else {
            0.42
        });
        job.last_collective = Some(LastCollective {
            op: "all_reduce".to_owned(),
            sequence: 812_400 + self.frame,
            missing: if hangs { vec![fault::HUNG_RANK] } else { Vec::new() },
        });
        if !job.steps.is_empty() {
            job.collectives = self.collectives();
        }
    }

    fn collectives(&self) -> Vec<CollectiveTiming> {
        let slow = if self.has(FaultKind::CollectiveSlow) {
            1.8
        } else {
            1.0
        };
        let noise = |name: &str| 1.0 + 0.06 * self.seed.at(name, &[self.frame]).normal().abs();
        [(8, 38e-6), (64 << 20, 610e-6)]
            .map(|(bytes, secs)| CollectiveTiming {
                op: "all_reduce".to_owned(),
                bytes: Bytes::new(bytes),
                ranks: 24,
                nodes: 3,
                time: SimDuration::from_secs(secs * slow * noise("collective")),
                profile: Some(SimDuration::from_secs(secs)),
            })
            .into()
    }

    /// A few of the steps of this frame.
    fn steps(&self, slot: &Slot, elapsed: f64) -> Vec<Step> {
        let made = |until: f64| as_u64((until - slot.began) / STEP_SECS);
        let now = made(elapsed + self.interval.as_secs());
        let before = made(elapsed);
        let last = (now - before).min(STEPS_TOLD);
        (now - last..now)
            .map(|number| self.step(slot, number, elapsed))
            .collect()
    }

    fn step(&self, slot: &Slot, number: u64, elapsed: f64) -> Step {
        let job = slot.number;
        let key = |name: &str, rank: u64| self.seed.at(name, &[job, number, rank]);
        // Sequences differ a little in length from hour to hour.
        let drift = 1.0 + 0.012 * (elapsed / 5400.0).sin();
        let slow = if self.has(FaultKind::JobSlow) { 1.25 } else { 1.0 };
        let work = STEP_SECS * (1.0 - COMMUNICATION) * drift;
        let times = slot.places.clone().zip(0u64..).map(|(place, rank)| {
            let pace = self.machines[place].pace * self.speed(place);
            work / pace * (1.0 + 0.004 * key("rank", rank).normal())
        });
        let times: Vec<f64> = times.collect();
        let slowest = times.iter().copied().fold(0.0, f64::max);
        // A data loader that stalls, one step in 150, and the collector of garbage, one in 40.
        let stalls = key("stall", 0).uniform() < 1.0 / 150.0;
        let collects = key("garbage", 0).uniform() < 1.0 / 40.0;
        let stall = if stalls {
            STEP_SECS * (0.3 + 2.0 * key("stall", 1).uniform())
        } else {
            0.0
        };
        let collects = if collects { 0.08 * STEP_SECS } else { 0.0 };
        let step = (slowest + STEP_SECS * COMMUNICATION) * slow + stall + collects;
        // Everybody waits for what stalls, and for the slowest.
        let wait = |time: &f64| SimDuration::from_secs(step - stall - collects - time * slow);
        let waits = (0..).zip(times.iter().map(wait));
        let ill = if self.has(FaultKind::ExpertImbalance) && slot.places.start == 0 {
            1.7
        } else {
            1.0
        };
        let imbalance = 1.32 * ill * (1.0 + 0.03 * key("experts", 0).normal());
        Step {
            number,
            at: self.at(),
            time: SimDuration::from_secs(step),
            tokens: Some(4_194_304),
            mfu: Ratio::new(MFU * STEP_SECS / step),
            imbalance: Some(imbalance),
            waits: waits.collect(),
        }
    }

    fn ports(&mut self, elapsed: f64) {
        let secs = self.interval.as_secs();
        // The whole network is congested for a quarter of an hour now and then.
        let burst = self.seed.at("congestion", &[as_u64(elapsed / 900.0)]).uniform() < 0.03;
        let usual = if burst { 40.0 } else { 1.5 };
        for place in 0..self.nics.len() {
            let key = |name: &str| self.seed.at(name, &[self.frame, place as u64]);
            let faults: Vec<FaultKind> = self.faults_of(place).collect();
            let has = |kind| faults.contains(&kind);
            let mut more = usual * secs * (0.5 + key("retransmits").uniform());
            if has(FaultKind::NicRetransmits) {
                more += 600.0 * secs;
            }
            // One error in a day or so.
            let mut errors = u64::from(key("nic error").uniform() < secs / 86_400.0);
            if has(FaultKind::NicErrors) {
                errors += as_u64(0.4 * secs + key("nic errors").uniform());
            }
            let nic = &mut self.nics[place];
            nic.is_up = Some(!has(FaultKind::NicDown));
            nic.retransmits = nic.retransmits.map(|count| count + as_u64(more));
            nic.errors = nic.errors.map(|count| count + errors);
        }
    }

    fn source(&mut self) -> SourceStatus {
        let rare = self.seed.at("drop", &[self.frame]).uniform() < self.interval.as_secs() / 43_200.0;
        self.dropped += u64::from(rare);
        if self.has(FaultKind::SourceDrops) {
            self.dropped += as_u64(0.3 * self.interval.as_secs()) + 1;
        }
        let status = if self.has(FaultKind::SourceSilent) {
            SourceStatus::absent("demo", "no answer for more than three intervals")
        } else {
            SourceStatus::up("demo", Origin::Demo)
        };
        SourceStatus {
            dropped: self.dropped,
            ..status
        }
    }
}

/// The name of node `node`.
pub(crate) fn node_name(node: u32) -> String {
    format!("demo-node-{node}")
}

#[expect(clippy::cast_precision_loss, reason = "frames and seconds of some weeks")]
const fn as_f64(count: u64) -> f64 {
    count as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of some weeks, none negative"
)]
const fn as_u64(count: f64) -> u64 {
    count as u64
}
