//! Overlapped pairs as a trace would show them: how long each piece is on its device, and how much of its exchanges
//! compute hides.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use orrery_engine::{Options, RecordPolicy, RunControl};
use orrery_scenario::Plan;
use orrery_taskgraph::{Driver as _, Resources};
use orrery_units::SimDuration;
use orrery_workload::lower::{Folding, TrainingDriver};
use orrery_workload::schedule::{Action, order};

use super::kept::NONE;
use super::witness::{Completed, Listener, Witness};

/// What pieces of a layer are called in DeepSeek's trace, by kind of task.
const PIECES: [(&str, &str); 10] = [
    ("attention forward", "attn(F)"),
    ("attention backward", "attn(B)"),
    ("attention weight gradient", "attn(W)"),
    ("experts forward", "mlp(F)"),
    ("experts backward", "mlp(B)"),
    ("experts weight gradient", "mlp(W)"),
    ("dispatch forward", "dispatch(F)"),
    ("dispatch backward", "dispatch(B)"),
    ("combine forward", "combine(F)"),
    ("combine backward", "combine(B)"),
];

/// What was seen of overlapped pairs between two others, over all ranks and layers; seconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pairs {
    /// Durations of each piece, from when it stood ready to its end: an exchange is on its device while it waits.
    pub(crate) phases: BTreeMap<&'static str, Vec<f64>>,
    /// From the end of the pair before to that of this one.
    pub(crate) durations: Vec<f64>,
    /// Share of the time of exchanges, once all peers are there, that compute of the same rank covers.
    pub(crate) hidden: f64,
}

/// The tenth, the mean and the ninetieth of a hundred; none without any.
pub(crate) fn range(all: &[f64]) -> Option<[f64; 3]> {
    let mut sorted = all.to_vec();
    sorted.sort_by(f64::total_cmp);
    let count = f64::from(u32::try_from(sorted.len()).ok()?);
    let at = |tenths: usize| sorted.get(sorted.len() * tenths / 10).copied();
    Some([at(1)?, sorted.iter().sum::<f64>() / count, at(9)?])
}

/// Runs the steps of `plan` and looks at their overlapped pairs.
///
/// # Panics
/// When the run does not come to its end: the plan was validated.
pub(crate) fn overlapped_pairs(plan: &Plan) -> Pairs {
    let driver = TrainingDriver::new(plan, plan.run.seed, Folding::of(plan));
    let piece = |name: &str| {
        PIECES
            .iter()
            .find(|(kind, _)| *kind == name)
            .map(|(_, piece)| *piece)
    };
    let kinds = driver.kinds().table.iter();
    let pieces = kinds.map(|(_, kind)| piece(&kind.name)).collect();
    let stages: Vec<u32> = driver.ranks().map(|(_, stage)| stage).collect();
    let found = Arc::new(OnceLock::new());
    let watcher = Watcher::new(plan, driver.resources(), (&stages, pieces), Arc::clone(&found));
    let mut witness = Witness::new(driver, watcher);
    let options = Options {
        lookahead: 128,
        event_limit: None,
        link_samples: 0,
        record: RecordPolicy::nothing(),
    };
    orrery_engine::run(&mut witness, &options, &RunControl::default()).expect("a validated plan ends");
    found.get().cloned().expect("a run that ended says so")
}

/// One rank while it is watched.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// Stretches of compute, in order; of exchanges of the pairs that count.
    compute: Vec<[u64; 2]>,
    exchange: Vec<[u64; 2]>,
    /// When compute of each action ended.
    ended: BTreeMap<u32, u64>,
}

/// Hears of completions and keeps those of overlapped pairs between two others.
#[derive(Debug)]
struct Watcher {
    pieces: Vec<Option<&'static str>>,
    /// Whether a lane computes.
    computes: Vec<bool>,
    /// By pipeline rank and action: whether it is a pair between two others.
    counts: Vec<Vec<bool>>,
    stages: Vec<u32>,
    ranks: Vec<Seen>,
    pairs: Pairs,
    found: Arc<OnceLock<Pairs>>,
}

impl Watcher {
    fn new(
        plan: &Plan,
        resources: &Resources,
        (stages, pieces): (&[u32], Vec<Option<&'static str>>),
        found: Arc<OnceLock<Pairs>>,
    ) -> Self {
        let microbatches = u32::try_from(plan.training.num_microbatches).expect("validated");
        let layout = &plan.layout;
        let inner = |stage| {
            let actions = order(layout.schedule, layout.pp, stage, microbatches);
            let pair = |at: usize| matches!(actions.get(at), Some(Action::Overlapped { .. }));
            (0..actions.len())
                .map(|at| at > 0 && pair(at - 1) && pair(at) && pair(at + 1))
                .collect()
        };
        Self {
            pieces,
            computes: resources
                .lanes
                .iter()
                .map(|lane| lane.name == "compute")
                .collect(),
            counts: (0..layout.pp).map(inner).collect(),
            ranks: vec![Seen::default(); stages.len()],
            stages: stages.to_vec(),
            pairs: Pairs::default(),
            found,
        }
    }

    /// Whether the `action` of `program` is a pair that counts.
    fn counts(&self, program: usize, action: u32) -> bool {
        let actions = &self.counts[self.stages[program] as usize];
        actions.get(action as usize).copied().unwrap_or(false)
    }
}

impl Listener for Watcher {
    fn completed(&mut self, done: &Completed<'_>) -> u32 {
        let program = done.program as usize;
        let counts = self.counts(program, done.task.pull);
        let computes = self.computes[done.task.lane as usize];
        let seen = &mut self.ranks[program];
        if computes {
            seen.compute.push([done.start, done.end]);
            seen.ended.insert(done.task.pull, done.end);
        }
        if let Some(piece) = self.pieces[done.task.kind.index()].filter(|_| counts) {
            if !computes {
                seen.exchange.push([done.start, done.end]);
            }
            let seconds = SimDuration::from_picos(done.end - done.ready).as_secs();
            self.pairs.phases.entry(piece).or_default().push(seconds);
        }
        NONE
    }

    fn keep(&mut self, _name: u32) {}

    fn forgotten(&mut self, _name: u32) {}

    fn finished(&mut self) {
        let mut pairs = self.pairs.clone();
        let (mut hidden, mut all) = (0, 0);
        for (program, seen) in self.ranks.iter().enumerate() {
            for (&action, &end) in &seen.ended {
                if let Some(&before) = seen
                    .ended
                    .get(&action.wrapping_sub(1))
                    .filter(|_| self.counts(program, action))
                {
                    pairs
                        .durations
                        .push(SimDuration::from_picos(end - before).as_secs());
                }
            }
            hidden += covered(&seen.exchange, &seen.compute);
            all += seen.exchange.iter().map(|[start, end]| end - start).sum::<u64>();
        }
        let seconds = |picos| SimDuration::from_picos(picos).as_secs();
        pairs.hidden = seconds(hidden) / seconds(all).max(f64::MIN_POSITIVE);
        // A run ends once; should it say so twice, the first is as good.
        let _known = self.found.set(pairs);
    }
}

/// How much of `spans` lies within `covers`; both in order of time and without overlap among themselves.
fn covered(spans: &[[u64; 2]], covers: &[[u64; 2]]) -> u64 {
    let mut sum = 0;
    let mut first = 0;
    for &[start, end] in spans {
        while covers.get(first).is_some_and(|cover| cover[1] <= start) {
            first += 1;
        }
        let inside = covers[first..].iter().take_while(|cover| cover[0] < end);
        sum += inside
            .map(|cover| cover[1].min(end) - cover[0].max(start))
            .sum::<u64>();
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_compute_covers() {
        let compute = [[0, 10], [12, 20], [30, 40]];
        assert_eq!(covered(&[[5, 15], [18, 35]], &compute), 8 + 7);
        assert_eq!(covered(&[[20, 30]], &compute), 0);
    }
}
