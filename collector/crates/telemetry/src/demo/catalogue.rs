//! Every kind of fault with the alert that must find it.

use orrery_units::{Seed, SimDuration};

use super::{Cluster, DEVICES_PER_NODE, Fault, FaultKind, node_name};
use crate::judge::{Alert, Judge, Rule, Rules, Subject};

/// A fault, what must find it, and what else may be said of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// The fault.
    pub fault: Fault,
    /// The rule that names it.
    pub rule: Rule,
    /// Whom it names.
    pub subject: Subject,
    /// What follows from it, and may be told beside it.
    pub also: Vec<Rule>,
}

/// How a judge did on one case.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The alert that found the fault.
    pub alert: Option<Alert>,
    /// Time from the fault to that alert.
    pub delay: Option<SimDuration>,
    /// Whether it was cleared within two hours after the fault was mended.
    pub is_cleared: bool,
    /// Alerts of rules that have nothing to do with the fault.
    pub false_alarms: Vec<Alert>,
}

use FaultKind as F;
use Rule as R;

/// What follows from a slow device: its job is slow, and it is the straggler of it.
const SLOWS: [Rule; 2] = [R::JobSlow, R::Straggler];

/// The faults, each kind with the rule that must find it.
#[must_use]
pub fn catalogue() -> Vec<Case> {
    let mut cases = device_faults();
    cases.extend(link_faults());
    cases.extend(job_faults());
    cases
}

fn device_faults() -> Vec<Case> {
    vec![
        device(F::DeviceLost, 1, 2, R::DeviceLost, &[]),
        device(F::DeviceSilent, 3, 5, R::DeviceSilent, &[]),
        device(F::Xid(95), 2, 0, R::XidHardware, &[]),
        device(F::Xid(64), 0, 6, R::XidHardware, &[]),
        device(F::Xid(31), 3, 4, R::XidApplication, &[]),
        device(F::EccUncorrectable, 1, 1, R::EccUncorrectable, &[]),
        device(F::RemapPending, 2, 3, R::RowRemapPending, &[]),
        device(F::RemapFailure, 0, 7, R::RowRemapFailure, &[]),
        device(
            F::Overheats,
            1,
            3,
            R::ThrottleThermal,
            &[R::DeviceHot, R::JobSlow, R::Straggler],
        ),
        device(F::PowerBrake, 2, 6, R::ThrottlePowerBrake, &SLOWS),
        device(F::Hot, 0, 4, R::DeviceHot, &[]),
        device(F::ClockStuck, 2, 5, R::ClockLow, &SLOWS),
        device(F::PowerCapLowered, 1, 7, R::PowerCap, &[]),
        device(
            F::SlowDevice,
            0,
            3,
            R::SlowDevice,
            &[R::BelowProfile, R::JobSlow, R::Straggler],
        ),
        device(F::FleetBelowProfile, 0, 0, R::BelowProfile, &[]),
        device(F::RankDied, 1, 5, R::DeviceIdle, &[]),
        device(F::MemoryLeak, 3, 1, R::MemoryLeak, &[]),
        device(F::MemoryNearFull, 0, 0, R::MemoryNearFull, &[]),
    ]
}

fn link_faults() -> Vec<Case> {
    vec![
        device(F::PcieWidth, 2, 1, R::PcieDegraded, &SLOWS),
        device(F::PcieReplays, 0, 5, R::PcieReplays, &[]),
        device(F::NvlinkDown, 1, 6, R::NvlinkDown, &[]),
        device(F::NvlinkErrors, 2, 7, R::NvlinkErrors, &[]),
        nic(F::NicDown, 0, 1, R::NicDown, &[]),
        nic(F::NicErrors, 1, 4, R::NicErrors, &[]),
        nic(F::NicRetransmits, 2, 2, R::NicRetransmits, &SLOWS),
    ]
}

fn job_faults() -> Vec<Case> {
    vec![
        job(F::MemoryFragmented, R::MemoryFragmented, &[]),
        job(F::JobSlow, R::JobSlow, &[R::JobSlow]),
        job(F::BelowPrediction, R::JobSlow, &[]),
        job(F::ExpertImbalance, R::ExpertImbalance, &[]),
        job(F::CollectiveSlow, R::CollectiveSlow, &[]),
        rank(F::SlowHost, 1, 0, &[R::JobSlow]),
        rank(F::ClockStuck, 2, 4, &[R::ClockLow, R::JobSlow]),
        job(F::Hang, R::Hang, &[]),
        source(F::SourceSilent, R::SourceSilent),
        source(F::SourceDrops, R::SourceDrops),
    ]
}

fn device(kind: FaultKind, node: u32, gpu: u32, rule: Rule, also: &[Rule]) -> Case {
    Case {
        fault: Fault::new(kind, node, gpu),
        rule,
        subject: device_subject(node, gpu),
        also: also.to_vec(),
    }
}

fn nic(kind: FaultKind, node: u32, gpu: u32, rule: Rule, also: &[Rule]) -> Case {
    Case {
        subject: Subject::Nic {
            node: node_name(node),
            port: format!("mlx5_{gpu}/1"),
        },
        ..device(kind, node, gpu, rule, also)
    }
}

fn job(kind: FaultKind, rule: Rule, also: &[Rule]) -> Case {
    Case {
        subject: Subject::job("pretrain-0"),
        ..device(kind, 0, 0, rule, also)
    }
}

fn rank(kind: FaultKind, node: u32, gpu: u32, also: &[Rule]) -> Case {
    Case {
        subject: Subject::Rank {
            job: "pretrain-0".to_owned(),
            rank: node * DEVICES_PER_NODE + gpu,
        },
        ..device(kind, node, gpu, R::Straggler, also)
    }
}

fn source(kind: FaultKind, rule: Rule) -> Case {
    Case {
        subject: Subject::Source {
            source: "demo".to_owned(),
        },
        ..device(kind, 0, 0, rule, &[])
    }
}

fn device_subject(node: u32, gpu: u32) -> Subject {
    Subject::Device {
        node: node_name(node),
        gpu,
        uuid: format!("DEMO-{node}-{gpu}"),
    }
}

/// A cluster that ran in health for a while, and the judge that heard it.
#[derive(Clone, Debug)]
pub struct Course {
    cluster: Cluster,
    judge: Judge,
    /// What was said in health: should be nothing.
    pub false_alarms: Vec<Alert>,
}

impl Course {
    /// The cluster of `seed`, read every `interval`, in health for `warm_up`; the judge goes by `rules`.
    #[must_use]
    pub fn new(seed: Seed, interval: SimDuration, warm_up: SimDuration, rules: Rules) -> Self {
        let mut course = Self {
            cluster: Cluster::new(seed, interval),
            judge: Judge::new(rules),
            false_alarms: Vec::new(),
        };
        course.false_alarms = course.run(warm_up);
        course
    }

    /// Everything that is said while the cluster runs on for `time`.
    pub fn run(&mut self, time: SimDuration) -> Vec<Alert> {
        let num_frames = time.as_picos() / self.cluster.interval().as_picos();
        (0..num_frames)
            .flat_map(|_| self.judge.hear(&self.cluster.read()))
            .collect()
    }

    /// Puts the fault of `case` in for `time`, mends it, and sees what was said of it.
    #[must_use]
    pub fn judge(mut self, case: &Case, time: SimDuration) -> Outcome {
        self.cluster.break_down(case.fault);
        let begun = self.cluster.at();
        let said = self.run(time);
        let is_wanted = |alert: &&Alert| alert.rule == case.rule && alert.subject == case.subject;
        let alert = said.iter().find(is_wanted).cloned();
        self.cluster.mend();
        let mended = self.run(SimDuration::from_millis(7_200_000));
        let everything = || said.iter().chain(&mended);
        // What is held against its own past is cleared too once it lasted so long that it has become that.
        let is_cleared = everything().any(|alert| is_wanted(&alert) && !alert.stands());
        let is_false = |alert: &Alert| {
            // A fleet that is below its profile is told of every device.
            let is_of_all = case.fault.kind.is_everywhere() && alert.rule == case.rule;
            let is_consequence = case.also.contains(&alert.rule) && case.concerns(&alert.subject);
            !(is_wanted(&alert) || is_of_all || is_consequence)
        };
        Outcome {
            delay: alert.as_ref().map(|alert| {
                SimDuration::from_millis(alert.raised.as_millis().saturating_sub(begun.as_millis()))
            }),
            alert,
            is_cleared,
            false_alarms: everything().filter(|alert| is_false(alert)).cloned().collect(),
        }
    }
}

impl Case {
    /// Whether a consequence may be told of `subject`: the fault's own device or rank, or its job.
    fn concerns(&self, subject: &Subject) -> bool {
        let Fault { node, gpu, kind } = self.fault;
        match subject {
            Subject::Device { .. } => *subject == device_subject(node, gpu),
            Subject::Rank { rank, .. } => *rank == node * DEVICES_PER_NODE + gpu,
            // A straggler of the large job slows that alone; a slow cause of all jobs slows all.
            Subject::Job { job } => job.starts_with("pretrain") || kind == FaultKind::JobSlow,
            Subject::Nic { .. } | Subject::Source { .. } => false,
        }
    }
}
