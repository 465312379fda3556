//! The thread that judges: what is on the board and what trainers told, into alerts on the board.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use orrery_profile::Profile;
use orrery_telemetry::judge::{Frame, JobState, Judge};
use orrery_telemetry::trainer::{Job, Jobs};
use orrery_telemetry::{Sample, UnixTime};
use orrery_units::SimDuration;

use super::waits::Waits;
use super::{JobFigures, Prepared, Verdict};
use crate::Board;
use crate::board::wall_clock;
use crate::threads::Stop;

/// No more often than this, however fast samples come.
const LEAST: Duration = Duration::from_secs(1);
/// How long a job is remembered that says nothing: longer than a checkpoint and than a hang is worth telling.
const FORGOTTEN_AFTER: SimDuration = SimDuration::from_millis(6 * 3_600_000);

/// What the clerk and the trainers share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared {
    pub(crate) jobs: Arc<Mutex<Jobs>>,
}

/// Judges at a steady pace.
#[derive(Debug)]
pub(crate) struct Clerk {
    board: Arc<Board>,
    shared: Shared,
    judge: Judge,
    profile: Option<Profile>,
    waits: Waits,
    every: Duration,
}

impl Clerk {
    /// A clerk that judges what is on `board` by `prepared`, at the pace of samples.
    pub(crate) fn new(board: Arc<Board>, shared: Shared, prepared: Prepared, interval: Duration) -> Self {
        Self {
            board,
            shared,
            judge: Judge::new(prepared.rules),
            profile: prepared.profile,
            waits: Waits::default(),
            every: interval.max(LEAST),
        }
    }

    /// Judges until somebody wishes to stop.
    pub(crate) fn run(mut self, stop: &Stop) {
        while !stop.wait(self.every) {
            self.judge_once(wall_clock());
        }
    }

    fn judge_once(&mut self, at: UnixTime) {
        let snapshot = self.board.snapshot();
        let mut frame = Frame::of(at, &snapshot.samples, &snapshot.statuses);
        let mut jobs = self.shared.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let figures = jobs.iter().filter_map(|(name, job)| figures(name, job)).collect();
        let slurm: BTreeMap<String, u64> = jobs
            .iter()
            .filter_map(|(name, job)| Some((name.to_owned(), job.description.slurm_job?)))
            .collect();
        frame.jobs = jobs.take(at, FORGOTTEN_AFTER);
        drop(jobs);
        self.waits.hear(&snapshot.samples, at);
        self.waits.give(&mut frame.jobs, &slurm, &snapshot.samples);
        for job in &mut frame.jobs {
            if job.devices.is_empty() {
                job.devices = devices_of(slurm.get(&job.name).copied(), &snapshot.samples);
            }
            if let Some(profile) = &self.profile {
                hold_against(job, profile);
            }
        }
        let news = self.judge.hear(&frame);
        let verdict = Verdict {
            alerts: self.judge.standing().cloned().collect(),
            jobs: figures,
        };
        self.board.tell_verdict(verdict, news);
    }
}

fn figures(name: &str, job: &Job) -> Option<JobFigures> {
    let last = job.last.as_ref()?;
    Some(JobFigures {
        job: name.to_owned(),
        step: last.number,
        step_time: last.time,
        tokens: last.tokens,
        mfu: last.mfu,
        predicted_mfu: job.description.predicted_mfu,
        imbalance: last.imbalance,
    })
}

/// The devices of Slurm's job `number`, by the ranks of their processes. One rank that cannot be placed, and nobody
/// can be, since ranks are counted by their places.
fn devices_of(number: Option<u64>, samples: &[Arc<Sample>]) -> Vec<(String, u32)> {
    let Some(number) = number else {
        return Vec::new();
    };
    let mut ranks: BTreeMap<u32, (String, u32)> = BTreeMap::new();
    for device in samples.iter().flat_map(|sample| &sample.devices) {
        for process in device.processes.value().into_iter().flatten() {
            if process.job.slurm_job == Some(number)
                && let Some(rank) = process.job.rank
            {
                ranks.insert(rank, (device.identity.node.clone(), device.identity.index));
            }
        }
    }
    let is_whole = (0u32..).zip(ranks.keys()).all(|(wanted, &rank)| wanted == rank);
    if is_whole {
        ranks.into_values().collect()
    } else {
        Vec::new()
    }
}

/// Puts beside each collective how long it takes by `profile`, at the same operation, bytes and ranks.
fn hold_against(job: &mut JobState, profile: &Profile) {
    for timing in &mut job.collectives {
        let nodes = timing.nodes.max(1);
        let curve = profile.collectives.iter().find(|curve| {
            let place = (curve.nodes, curve.ranks_per_node);
            curve.op.name() == timing.op && place == (nodes, timing.ranks / nodes)
        });
        // Beyond what was measured the law is a guess, and no reason to wake anybody.
        let bytes = timing.bytes.get();
        let curve = curve.filter(|curve| (curve.bytes.min..=curve.bytes.max).contains(&bytes));
        timing.profile = curve.map(|curve| curve.law.time(timing.bytes));
    }
}
