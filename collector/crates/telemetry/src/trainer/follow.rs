//! Jobs as their lines tell them: what each trains, its steps since somebody asked, and how it goes.

use std::collections::BTreeMap;

use orrery_units::{Ratio, SimDuration};

use super::{Description, Line, Message, ToldStep};
use crate::UnixTime;
use crate::judge::{Allocator, CollectiveTiming, JobState, LastCollective, Step};

/// Steps that wait to be asked for; of more, the oldest are left out.
const MOST_STEPS: usize = 4096;
/// Jobs at one time; of more, the one that was silent for longest is left out.
const MOST_JOBS: usize = 256;

/// A job, as its lines tell it.
#[derive(Clone, Debug, Default)]
pub struct Job {
    /// What it trains, and on what.
    pub description: Description,
    /// Its last step.
    pub last: Option<Step>,
    /// Steps that nobody took yet.
    steps: Vec<Step>,
    collectives: Vec<CollectiveTiming>,
    allocator: Option<Allocator>,
    last_collective: Option<LastCollective>,
    /// When anything was heard of it.
    heard: UnixTime,
    /// The number and the time of the last line that told no time itself.
    timed_by: Option<(u64, UnixTime)>,
}

/// All jobs that are heard of.
#[derive(Clone, Debug, Default)]
pub struct Jobs(BTreeMap<String, Job>);

impl Jobs {
    /// Says what `job` trains, before it says anything itself.
    pub fn describe(&mut self, job: &str, description: Description, at: UnixTime) {
        self.entry(job, at).description = description;
    }

    /// Takes in a line that the trainer of `job` printed; whether it told anything.
    pub fn print(&mut self, job: &str, line: &str, at: UnixTime) -> bool {
        let Some(line) = Line::parse(line) else {
            return false;
        };
        let job = self.entry(job, at);
        if let Some(step) = job.step_of_line(line, at) {
            job.add(step);
        }
        true
    }

    /// Takes in a message of the socket.
    pub fn tell(&mut self, message: Message, at: UnixTime) {
        let job = self.entry(&message.job, at);
        if let Some(description) = message.description {
            job.description = description;
        }
        if message.last_collective.is_some() {
            job.last_collective = message.last_collective;
        }
        if let Some(told) = message.step {
            job.allocator = told.allocator.or(job.allocator);
            job.collectives
                .extend(told.collectives.iter().map(|collective| CollectiveTiming {
                    op: collective.op.clone(),
                    bytes: collective.bytes,
                    ranks: collective.ranks,
                    nodes: collective.nodes,
                    time: SimDuration::from_secs(collective.time),
                    profile: None,
                }));
            let excess = job.collectives.len().saturating_sub(MOST_STEPS);
            job.collectives.drain(..excess);
            let step = job.step_of_message(&told, at);
            job.add(step);
        }
    }

    /// Every job with its name, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Job)> {
        self.0.iter().map(|(name, job)| (name.as_str(), job))
    }

    /// What the judge is to hear of every job: its steps since the last time. A job of which nothing was heard for
    /// `forgotten` has ended.
    pub fn take(&mut self, at: UnixTime, forgotten: SimDuration) -> Vec<JobState> {
        let silent = |job: &Job| {
            SimDuration::from_millis(at.as_millis().saturating_sub(job.heard.as_millis())) >= forgotten
        };
        self.0.retain(|_, job| !silent(job));
        self.0.iter_mut().map(|(name, job)| job.take(name)).collect()
    }

    fn entry(&mut self, name: &str, at: UnixTime) -> &mut Job {
        if !self.0.contains_key(name) && self.0.len() >= MOST_JOBS {
            let oldest = self.0.iter().min_by_key(|(_, job)| job.heard);
            let oldest = oldest.map(|(name, _)| name.clone());
            self.0.remove(&oldest.unwrap_or_default());
        }
        let job = self.0.entry(name.to_owned()).or_default();
        job.heard = at;
        job
    }
}

impl Job {
    /// MFU of the last step.
    #[must_use]
    pub fn mfu(&self) -> Option<Ratio> {
        self.last.as_ref()?.mfu
    }

    fn take(&mut self, name: &str) -> JobState {
        let places = self.description.ranks.iter();
        JobState {
            name: name.to_owned(),
            devices: places.map(|place| (place.node.clone(), place.gpu)).collect(),
            steps: std::mem::take(&mut self.steps),
            predicted_mfu: self.description.predicted_mfu,
            allocator: self.allocator,
            collectives: std::mem::take(&mut self.collectives),
            last_collective: self.last_collective.clone(),
        }
    }

    fn add(&mut self, step: Step) {
        self.last = Some(step.clone());
        if self.steps.len() == MOST_STEPS {
            self.steps.remove(0);
        }
        self.steps.push(step);
    }

    fn step_of_line(&mut self, line: Line, at: UnixTime) -> Option<Step> {
        match line {
            Line::Megatron {
                step,
                time,
                global_batch,
            } => {
                let tokens = self.description.tokens_per_step(global_batch);
                Some(Step {
                    number: step,
                    at,
                    time,
                    tokens,
                    mfu: tokens.and_then(|tokens| self.description.mfu(tokens, time)),
                    ..Step::default()
                })
            }
            Line::Torchtitan {
                step,
                tokens_per_second,
                mfu,
            } => self.step_of_rate(step, tokens_per_second, mfu, at),
        }
    }

    /// A step of which only a rate per device is told: its time is that of its tokens, or, where nobody said how many
    /// it has, what passed since the line before.
    #[expect(clippy::cast_precision_loss, reason = "tokens of a step are far below 2^53")]
    fn step_of_rate(&mut self, number: u64, rate: f64, printed: Option<Ratio>, at: UnixTime) -> Option<Step> {
        let gpus = self.description.gpus.map(f64::from);
        let tokens = self.description.tokens_per_step(None);
        let by_tokens = tokens
            .zip(gpus)
            .map(|(tokens, gpus)| tokens as f64 / (rate * gpus));
        let before = self.timed_by.replace((number, at));
        let by_clock = before
            .filter(|&(before, _)| before < number)
            .map(|(before, then)| {
                let millis = at.as_millis().saturating_sub(then.as_millis());
                millis as f64 / 1e3 / (number - before) as f64
            });
        let secs = by_tokens.or(by_clock).filter(|&secs| secs > 0.0)?;
        // A second's tokens of all devices, whatever a step is; in millionths, to keep the fraction.
        let second = gpus.and_then(|gpus| {
            let micros = SimDuration::from_secs(1e6);
            self.description.mfu(whole(rate * gpus * 1e6), micros)
        });
        Some(Step {
            number,
            at,
            time: SimDuration::from_secs(secs),
            tokens: tokens.or_else(|| gpus.map(|gpus| whole(rate * gpus * secs))),
            mfu: second.or(printed),
            ..Step::default()
        })
    }

    fn step_of_message(&self, told: &ToldStep, at: UnixTime) -> Step {
        let time = SimDuration::from_secs(told.time);
        let tokens = told.tokens.or_else(|| self.description.tokens_per_step(None));
        Step {
            number: told.number,
            at,
            time,
            tokens,
            mfu: tokens.and_then(|tokens| self.description.mfu(tokens, time)),
            imbalance: told.imbalance(),
            waits: told.waited(),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a positive count far below 2^63"
)]
fn whole(count: f64) -> u64 {
    count.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Llama 3 8B on 16 H100, 128 sequences of 8,192 tokens a step.
    fn described() -> Description {
        let text = r#"{"gpus":16,"peak":"989 TFLOP/s","sequence_length":8192,"global_batch":128,"predicted_mfu":0.45,
            "model":{"layers":32,"hidden":4096,"heads":32,"kv_heads":8,"feed_forward":14336,"vocabulary":128256}}"#;
        serde_json::from_str(text).unwrap()
    }

    /// By hand: a token costs 3 x 17,156,800,512 = 51,470,401,536 operations (see `description`), a step of 128 x
    /// 8,192 = 1,048,576 tokens 5.39706e16. 16 devices could have done 7.4 s x 16 x 989e12 = 1.170976e17. So 46.09 %.
    const BY_HAND: f64 = 0.460_903;

    fn check(job: &str, jobs: &mut Jobs) {
        let found = jobs
            .iter()
            .find(|(name, _)| *name == job)
            .unwrap()
            .1
            .mfu()
            .unwrap()
            .get();
        assert!(
            (found / BY_HAND - 1.0).abs() < 1e-3,
            "{job}: {found} against {BY_HAND}"
        );
        let state = &jobs.take(UnixTime::from_millis(9), SimDuration::from_secs(60.0))[0];
        assert_eq!(state.steps.last().unwrap().tokens, Some(1_048_576), "{job}");
        let secs = state.steps.last().unwrap().time.as_secs();
        assert!((secs / 7.4 - 1.0).abs() < 1e-3, "{job}: {secs} s");
    }

    #[test]
    fn mfu_is_that_of_the_hand_computation_whoever_tells_the_step() {
        let at = UnixTime::from_millis(5);
        let mut jobs = Jobs::default();
        jobs.describe("megatron", described(), at);
        let line = " [2025-11-28 18:48:17] iteration       50/    5000 | consumed samples:         6400 | elapsed time \
                    per iteration (ms): 7400.0 | throughput per GPU (TFLOP/s/GPU): 455.8 | global batch size:   128 |";
        assert!(jobs.print("megatron", line, at));
        check("megatron", &mut jobs);

        // 1,048,576 tokens in 7.4 s on 16 devices are 8,856.2 a second and device.
        let mut jobs = Jobs::default();
        jobs.describe("torchtitan", described(), at);
        assert!(jobs.print(
            "torchtitan",
            "step: 10  loss: 8.04  memory: 47.92GiB(50%)  tps: 8,856  tflops: 455.83  mfu: 12.00%",
            at
        ));
        check("torchtitan", &mut jobs);

        let mut jobs = Jobs::default();
        let description = serde_json::to_string(&described()).unwrap();
        let line = format!(
            r#"{{"schema":"trainer/1","job":"json","description":{description},"step":{{"number":3,"time":7.4}}}}"#
        );
        jobs.tell(Message::parse(&line).unwrap(), at);
        check("json", &mut jobs);
    }

    #[test]
    fn a_rate_without_a_description_is_timed_by_its_lines() {
        let mut jobs = Jobs::default();
        let mut told = Vec::new();
        for (second, step) in [(0, 10), (20, 20), (40, 30)] {
            let at = UnixTime::from_millis(1000 * second);
            jobs.print(
                "a",
                &format!("step: {step}  loss: 8.0  tps: 1,000  mfu: 40.00%"),
                at,
            );
            told.extend(jobs.take(at, SimDuration::from_secs(600.0)).remove(0).steps);
        }
        let steps: Vec<(u64, f64)> = told
            .iter()
            .map(|step| (step.number, step.time.as_secs()))
            .collect();
        assert_eq!(steps, [(20, 2.0), (30, 2.0)]);
        assert_eq!(told[0].mfu, Ratio::new(0.4));
    }

    #[test]
    fn jobs_and_steps_take_bounded_room_and_silent_jobs_end() {
        let mut jobs = Jobs::default();
        for number in 0..1000u64 {
            let at = UnixTime::from_millis(number);
            jobs.print(&format!("job-{number}"), "step: 1  tps: 5", at);
        }
        assert_eq!(jobs.iter().count(), MOST_JOBS);
        for number in 0..10_000u64 {
            let line = format!("iteration {number}/ 9 | elapsed time per iteration (ms): 5.0 |");
            jobs.print("job-999", &line, UnixTime::from_millis(1000 + number));
        }
        let states = jobs.take(UnixTime::from_millis(11_000), SimDuration::from_secs(5.0));
        assert_eq!(states.len(), 1);
        assert_eq!(states[0].steps.len(), MOST_STEPS);
        assert_eq!(states[0].steps.last().unwrap().number, 9_999);
    }
}
