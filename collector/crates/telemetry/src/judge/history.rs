//! What the judge remembers: rates of counters, and what was usual.

use std::collections::{BTreeMap, VecDeque};

use orrery_units::SimDuration;

use super::hysteresis::elapsed;
use super::statistics::median;
use super::{Frame, JobState};
use crate::UnixTime;

/// Rates of counters are taken over this time at least: what comes once in ten seconds is no rate in one.
const METERED_OVER: SimDuration = SimDuration::from_millis(60_000);
/// Points of a counter are kept this far apart at least, so that memory does not follow the pace of sampling.
const METERED_EVERY: SimDuration = SimDuration::from_millis(5_000);
/// What is usual is noted this far apart at least.
const NOTED_EVERY: SimDuration = SimDuration::from_millis(60_000);
/// What is new counts as usual only after this time, so that a fault that creeps in does not become its own measure.
const USUAL_AFTER: SimDuration = SimDuration::from_millis(600_000);
/// Notes that are kept: eight hours and a half of minutes.
const MOST_NOTES: usize = 512;
/// Notes from which somebody knows what is usual.
const ENOUGH_NOTES: usize = 15;
/// Steps that are looked at together.
const RECENT: usize = 15;
/// Steps whose waits are looked at together.
const RECENT_WAITS: usize = 9;
/// How long somebody who is not heard of is remembered.
const REMEMBERED: SimDuration = SimDuration::from_millis(3_600_000);

/// The rate of a counter that only grows.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter(VecDeque<(UnixTime, u64)>);

impl Meter {
    /// Takes in a reading; the rate over the last minute or a little more, per second. `None` until a minute has
    /// passed, and again after the counter went back: somebody reset it.
    pub(super) fn hear(&mut self, at: UnixTime, count: u64) -> Option<f64> {
        if self.0.back().is_some_and(|&(_, last)| count < last) {
            self.0.clear();
        }
        while self
            .0
            .get(1)
            .is_some_and(|&(then, _)| elapsed(then, at) >= METERED_OVER)
        {
            self.0.pop_front();
        }
        let &(since, from) = self.0.front().unwrap_or(&(at, count));
        if self
            .0
            .back()
            .is_none_or(|&(last, _)| elapsed(last, at) >= METERED_EVERY)
        {
            self.0.push_back((at, count));
        }
        let over = elapsed(since, at);
        #[expect(clippy::cast_precision_loss, reason = "a rate needs no 53 bits")]
        (over >= METERED_OVER).then(|| (count - from) as f64 / over.as_secs())
    }
}

/// What is usual of a quantity: its trailing median, a few minutes behind.
#[derive(Clone, Debug, Default)]
pub(super) struct Trail(VecDeque<(UnixTime, f64)>);

impl Trail {
    /// Notes `value` if the last note is a minute old.
    pub(super) fn note(&mut self, at: UnixTime, value: f64) {
        if self
            .0
            .back()
            .is_some_and(|&(last, _)| elapsed(last, at) < NOTED_EVERY)
        {
            return;
        }
        if self.0.len() == MOST_NOTES {
            self.0.pop_front();
        }
        self.0.push_back((at, value));
    }

    /// What is usual at `at`; `None` while too little is known.
    pub(super) fn usual(&self, at: UnixTime) -> Option<f64> {
        let old = self
            .0
            .iter()
            .take_while(|(then, _)| elapsed(*then, at) >= USUAL_AFTER);
        let values: Vec<f64> = old.map(|&(_, value)| value).collect();
        (values.len() >= ENOUGH_NOTES).then(|| median(values))?
    }

    /// The median of what was noted lately, up to now; `None` while little is known.
    pub(super) fn latest_median(&self) -> Option<f64> {
        let latest = self.0.iter().rev().take(ENOUGH_NOTES).map(|&(_, value)| value);
        (self.0.len() >= 3).then(|| median(latest))?
    }

    /// The medians of the four quarters of the last `over`, oldest first; `None` while that is not filled.
    pub(super) fn quarters(&self, at: UnixTime, over: SimDuration) -> Option<[f64; 4]> {
        let &(first, _) = self.0.front()?;
        if elapsed(first, at) < over {
            return None;
        }
        let quarter = over / 4;
        // Notes are in the order of time: those of an age of at least so much come first.
        let begin_of = |age: SimDuration| self.0.partition_point(|&(then, _)| elapsed(then, at) >= age);
        let mut found = [0.0; 4];
        for (age, place) in (0..4u64).rev().zip(&mut found) {
            let inside = begin_of(quarter * (age + 1))..begin_of(quarter * age);
            *place = median(self.0.range(inside).map(|&(_, value)| value))?;
        }
        Some(found)
    }

    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

/// What is remembered of a device.
#[derive(Clone, Debug, Default)]
pub(super) struct DeviceHistory {
    heard: UnixTime,
    /// The job that it worked for.
    pub(super) job: Option<String>,
    pub(super) ecc: Option<u64>,
    pub(super) throttled: BTreeMap<crate::Throttle, (UnixTime, SimDuration)>,
    pub(super) pcie_replays: Meter,
    pub(super) nvlink_errors: Meter,
    pub(super) xids: Option<BTreeMap<u32, u64>>,
    /// The most NVLinks, PCIe lanes and the newest PCIe generation that were ever seen.
    pub(super) nvlinks: u32,
    pub(super) lanes: u32,
    pub(super) generation: u32,
    /// Its power while its job made steps.
    pub(super) power: Trail,
    pub(super) memory: Trail,
}

/// What is remembered of a network port.
#[derive(Clone, Debug, Default)]
pub(super) struct NicHistory {
    heard: UnixTime,
    pub(super) was_up: bool,
    pub(super) errors: Meter,
    pub(super) retransmits: Meter,
    /// Packets sent again a second, as of the last frame.
    pub(super) retransmits_now: Option<f64>,
}

/// What is remembered of a job.
#[derive(Clone, Debug, Default)]
pub(super) struct JobHistory {
    heard: UnixTime,
    /// How fast it goes: more is better.
    pub(super) pace: Trail,
    pub(super) recent_pace: VecDeque<f64>,
    /// What the pace is measured in.
    pub(super) measure: Option<&'static str>,
    pub(super) imbalance: Trail,
    pub(super) recent_imbalance: VecDeque<f64>,
    pub(super) recent_times: VecDeque<f64>,
    pub(super) recent_waits: VecDeque<BTreeMap<u32, f64>>,
    /// The last step, and when it was told.
    pub(super) last_step: Option<(u64, UnixTime)>,
    pub(super) retries: Option<u64>,
}

/// What is remembered of a source.
#[derive(Clone, Debug, Default)]
pub(super) struct SourceHistory {
    heard: UnixTime,
    pub(super) was_up: bool,
    pub(super) dropped: Meter,
}

/// All that the judge remembers.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    pub(super) devices: BTreeMap<String, DeviceHistory>,
    pub(super) nics: BTreeMap<(String, String), NicHistory>,
    pub(super) jobs: BTreeMap<String, JobHistory>,
    pub(super) sources: BTreeMap<String, SourceHistory>,
}

/// Adds `value` to the `most` latest.
fn add(recent: &mut VecDeque<f64>, most: usize, value: f64) {
    if recent.len() == most {
        recent.pop_front();
    }
    recent.push_back(value);
}

impl JobHistory {
    /// Takes in the steps of `job`.
    fn hear(&mut self, job: &JobState, at: UnixTime) {
        for step in &job.steps {
            self.last_step = Some((step.number, step.at));
            let secs = step.time.as_secs();
            add(&mut self.recent_times, RECENT, secs);
            #[expect(clippy::cast_precision_loss, reason = "tokens of a step are below 2^53")]
            let (measure, pace) = match (step.mfu, step.tokens) {
                (Some(mfu), _) => ("MFU", mfu.get()),
                (None, Some(tokens)) => ("tokens per second", tokens as f64 / secs),
                (None, None) => ("steps per second", 1.0 / secs),
            };
            // Another measure is another past.
            if self.measure.replace(measure) != Some(measure) {
                self.pace.forget();
                self.recent_pace.clear();
            }
            add(&mut self.recent_pace, RECENT, pace);
            if let Some(imbalance) = step.imbalance {
                add(&mut self.recent_imbalance, RECENT, imbalance);
            }
            if !step.waits.is_empty() {
                if self.recent_waits.len() == RECENT_WAITS {
                    self.recent_waits.pop_front();
                }
                let waits = step
                    .waits
                    .iter()
                    .map(|(&rank, wait)| (rank, wait.as_secs()))
                    .collect();
                self.recent_waits.push_back(waits);
            }
        }
        if !job.steps.is_empty() {
            if let Some(pace) = recent(&self.recent_pace) {
                self.pace.note(at, pace);
            }
            if let Some(imbalance) = recent(&self.recent_imbalance) {
                self.imbalance.note(at, imbalance);
            }
        }
    }
}

/// What a few steps agree on: their median, from five on.
pub(super) fn recent(values: &VecDeque<f64>) -> Option<f64> {
    (values.len() >= 5).then(|| median(values.iter().copied()))?
}

impl History {
    /// Makes a place for everybody in `frame`, takes in the steps of its jobs, and forgets whom nobody heard of for
    /// an hour.
    pub(super) fn hear(&mut self, frame: &Frame) {
        let at = frame.at;
        for device in &frame.devices {
            self.devices
                .entry(device.identity.uuid.clone())
                .or_default()
                .heard = at;
        }
        for nic in &frame.nics {
            let name = (nic.node.clone(), nic.port.clone());
            self.nics.entry(name).or_default().heard = at;
        }
        for job in &frame.jobs {
            let history = self.jobs.entry(job.name.clone()).or_default();
            history.heard = at;
            history.hear(job, at);
        }
        for source in &frame.sources {
            self.sources.entry(source.name.clone()).or_default().heard = at;
        }
        let is_near = |heard: UnixTime| elapsed(heard, at) < REMEMBERED;
        self.devices.retain(|_, history| is_near(history.heard));
        self.nics.retain(|_, history| is_near(history.heard));
        self.jobs.retain(|_, history| is_near(history.heard));
        self.sources.retain(|_, history| is_near(history.heard));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_taken_over_a_minute_whatever_the_pace() {
        for millis in [1_000u64, 10_000, 60_000] {
            let mut meter = Meter::default();
            let mut rate = None;
            for frame in 0..=200_000 / millis {
                let at = frame * millis;
                // Once in ten seconds.
                rate = meter.hear(UnixTime::from_millis(at), at / 10_000);
                assert_eq!(rate.is_some(), at >= 60_000, "{millis} ms, {at}");
            }
            assert!((rate.unwrap() - 0.1).abs() < 0.02, "{millis} ms: {rate:?}");
        }
    }

    #[test]
    fn a_counter_that_went_back_begins_anew() {
        let mut meter = Meter::default();
        for (minute, count, is_known) in [(0, 5, false), (1, 9, true), (2, 1, false), (3, 7, true)] {
            let rate = meter.hear(UnixTime::from_millis(minute * 60_000), count);
            assert_eq!(rate.is_some(), is_known, "minute {minute}");
        }
    }

    #[test]
    fn what_is_new_is_not_yet_usual() {
        let mut trail = Trail::default();
        let minute = |minute: u64| UnixTime::from_millis(minute * 60_000);
        for now in 0..40 {
            trail.note(minute(now), if now < 31 { 1.0 } else { 0.5 });
        }
        assert_eq!(trail.usual(minute(20)), None);
        assert_eq!(trail.usual(minute(40)), Some(1.0));
        let quarters = trail.quarters(minute(39), SimDuration::from_secs(2400.0));
        assert_eq!(quarters, None);
        let quarters = trail.quarters(minute(40), SimDuration::from_secs(2400.0));
        assert_eq!(quarters, Some([1.0, 1.0, 1.0, 0.5]));
    }
}
