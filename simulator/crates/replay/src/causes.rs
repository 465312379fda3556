//! What may make a step slow, and how much of its loss goes when that is taken out.

use std::collections::BTreeMap;

use orrery_timeline::OpClass;
use orrery_units::{KindId, ProgramId, SimDuration, SimTime};

use crate::timing::{communicating, mean, middle};
use crate::{Ends, Graph, Timing};

/// What may make a step slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CauseKind {
    /// A rank takes longer than others of its stage for the same work.
    SlowRank,
    /// Stages take different times.
    StagePartition,
    /// Microbatches of one rank take different times, forward and backward alike: their sequences differ in length.
    SequenceLengths,
    /// Collectives and messages take longer than such ones mostly do.
    Communication,
    /// Ranks begin at different times.
    LateStart,
    /// The host of a rank takes longer than those of others between its calls.
    SlowHost,
}

/// A cause, and how much of what is lost it accounts for.
#[derive(Clone, Debug, PartialEq)]
pub struct Cause {
    /// What it is.
    pub kind: CauseKind,
    /// Share of the loss that goes with it; several causes need not sum to one.
    pub share: f64,
    /// Whom it points at, and with what evidence.
    pub evidence: String,
}

impl CauseKind {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::SlowRank => "one slow worker",
            Self::StagePartition => "stage partition",
            Self::SequenceLengths => "sequence lengths",
            Self::Communication => "communication",
            Self::LateStart => "late start",
            Self::SlowHost => "slow host",
        }
    }
}

/// A microbatch of a rank: its step, chunk and number.
type Microbatch = (ProgramId, u16, (u32, u32));

/// Causes that are taken out of a timing one at a time.
pub(crate) struct Causes<'g, 'r> {
    graph: &'g Graph<'r>,
    timing: &'g Timing,
    /// Time of each rank's computation by kind: all of it, and how many operations.
    by_rank: BTreeMap<(KindId, ProgramId), (f64, f64)>,
    /// What ranks of a stage mostly take for a kind: the median of their means, which one slow rank does not move.
    usual: BTreeMap<(KindId, Option<u32>), f64>,
    stages: Vec<Option<u32>>,
}

impl<'g, 'r> Causes<'g, 'r> {
    pub(crate) fn new(graph: &'g Graph<'r>, timing: &'g Timing) -> Self {
        let recording = graph.recording();
        let mut by_rank: BTreeMap<(KindId, ProgramId), (f64, f64)> = BTreeMap::new();
        for (operation, own) in recording.operations.iter().zip(&timing.own) {
            if recording.kinds.kind(operation.kind).class == OpClass::Compute {
                let sum = by_rank
                    .entry((operation.kind, recording.program_of(operation)))
                    .or_default();
                *sum = (sum.0 + own.as_secs(), sum.1 + 1.0);
            }
        }
        let mut means: BTreeMap<(KindId, Option<u32>), Vec<f64>> = BTreeMap::new();
        for (&(kind, program), (sum, count)) in &by_rank {
            let stage = recording.programs[program].stage;
            means.entry((kind, stage)).or_default().push(sum / count);
        }
        let usual = means.into_iter().map(|(key, means)| (key, middle(means)));
        let mut stages: Vec<Option<u32>> = recording.programs.iter().map(|of| of.stage).collect();
        stages.sort_unstable();
        stages.dedup();
        Self {
            graph,
            timing,
            usual: usual.collect(),
            by_rank,
            stages,
        }
    }

    /// All causes that the recording can tell, with the share of the loss between `now` and `ideal` that goes with each.
    pub(crate) fn all(&self, now: SimDuration, ideal: SimDuration) -> Vec<Cause> {
        let loss = now.as_secs() - ideal.as_secs();
        let mut ends = Ends::default();
        let mut share = |timing: &Timing| {
            self.graph
                .evaluate_into(&timing.delays, |at| timing.own[at], &mut ends);
            let left = mean(&self.graph.step_times(&ends));
            if loss > 0.0 {
                (now.as_secs() - left.as_secs()) / loss
            } else {
                0.0
            }
        };
        let mut causes = Vec::new();
        let mut cause = |kind: CauseKind, timing: &Timing, evidence: String| {
            causes.push(Cause {
                kind,
                share: share(timing),
                evidence,
            });
        };
        cause(
            CauseKind::SlowRank,
            &self.without_slow_ranks(),
            self.slowest_rank(),
        );
        if self.stages.len() > 1 {
            cause(
                CauseKind::StagePartition,
                &self.with_even_stages(),
                self.longest_stage(),
            );
        }
        // Without passes that carry a microbatch nothing is known of its sequences.
        if let Some(evidence) = self.forward_against_backward() {
            cause(
                CauseKind::SequenceLengths,
                &self.with_even_microbatches(),
                evidence,
            );
        }
        cause(
            CauseKind::Communication,
            &self.with_usual_communication(),
            String::new(),
        );
        if self.graph.recording().lanes.iter().any(|lane| lane.is_host) {
            let together = self.timing.clone().begun_together(self.graph);
            cause(CauseKind::LateStart, &together, self.latest_start());
            let (usual, evidence) = self.hosts();
            cause(CauseKind::SlowHost, &usual, evidence);
        }
        causes.retain(|cause| cause.share.is_finite());
        causes.sort_by(|a, b| b.share.total_cmp(&a.share));
        causes
    }

    /// Who began last, and how long after the first.
    fn latest_start(&self) -> String {
        let recording = self.graph.recording();
        let mut begins: BTreeMap<ProgramId, SimTime> = BTreeMap::new();
        for operation in &recording.operations {
            let begin = begins
                .entry(recording.program_of(operation))
                .or_insert(operation.start);
            *begin = (*begin).min(operation.start);
        }
        let first = begins.values().min().copied().unwrap_or_default();
        let last = begins.iter().max_by_key(|(_, begin)| **begin);
        last.map_or_else(String::new, |(&program, &begin)| {
            format!(
                "{} began {} after the first",
                recording.programs[program].name,
                begin.saturating_since(first)
            )
        })
    }

    /// Hosts at the median of the ranks, and which is slowest.
    fn hosts(&self) -> (Timing, String) {
        let recording = self.graph.recording();
        let mut work = vec![0.0; recording.programs.len()];
        for (at, operation) in (0_u32..).zip(&recording.operations) {
            if recording.lanes[operation.lane].is_host && !self.graph.waits(at).is_empty() {
                work[recording.program_of(operation).index()] += self.timing.delays[at as usize].as_secs();
            }
        }
        let usual = middle(work.clone());
        let timing = self
            .timing
            .clone()
            .with_hosts(self.graph, |program| ratio(usual, work[program.index()]));
        let slowest = work.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        let evidence = slowest.map_or_else(String::new, |(at, &slowest)| {
            let name = recording.programs.as_slice()[at].name.as_str();
            format!(
                "the host of {name} takes {:.2} x the median of the ranks between its calls",
                ratio(slowest, usual)
            )
        });
        (timing, evidence)
    }

    fn stage(&self, program: ProgramId) -> Option<u32> {
        self.graph.recording().programs[program].stage
    }

    fn usual(&self, kind: KindId, stage: Option<u32>) -> f64 {
        self.usual.get(&(kind, stage)).copied().unwrap_or(0.0)
    }

    /// Mean time of an operation of `kind` on `program`.
    fn mean(&self, kind: KindId, program: ProgramId) -> Option<f64> {
        let (sum, count) = self.by_rank.get(&(kind, program))?;
        Some(sum / count)
    }

    /// Computation scaled by a factor of its kind and rank.
    fn scaled(&self, factor: impl Fn(KindId, ProgramId) -> f64) -> Timing {
        let factors: BTreeMap<(KindId, ProgramId), f64> = self
            .by_rank
            .keys()
            .map(|&(kind, program)| ((kind, program), factor(kind, program)))
            .collect();
        let recording = self.graph.recording();
        let own = recording
            .operations
            .iter()
            .zip(&self.timing.own)
            .map(|(operation, own)| {
                let key = (operation.kind, recording.program_of(operation));
                factors.get(&key).map_or(*own, |&factor| own.scaled(factor))
            });
        Timing {
            delays: self.timing.delays.clone(),
            own: own.collect(),
        }
    }

    /// Ranks that are slower than their stage mostly is at its median; the others as they are.
    pub(crate) fn with_slow_ranks_at_median(&self) -> Timing {
        self.scaled(|kind, program| {
            let usual = self.usual(kind, self.stage(program));
            ratio(usual, self.mean(kind, program).unwrap_or(0.0)).min(1.0)
        })
    }

    fn without_slow_ranks(&self) -> Timing {
        self.scaled(|kind, program| {
            ratio(
                self.usual(kind, self.stage(program)),
                self.mean(kind, program).unwrap_or(0.0),
            )
        })
    }

    /// The same work, dealt evenly to the stages.
    fn with_even_stages(&self) -> Timing {
        self.scaled(|kind, program| {
            let times: Vec<f64> = self
                .stages
                .iter()
                .map(|&stage| self.usual(kind, stage))
                .filter(|&time| time > 0.0)
                .collect();
            let even =
                times.iter().sum::<f64>() / f64::from(u32::try_from(times.len().max(1)).unwrap_or(u32::MAX));
            ratio(even, self.usual(kind, self.stage(program)))
        })
    }

    fn with_even_microbatches(&self) -> Timing {
        let recording = self.graph.recording();
        let own = recording
            .operations
            .iter()
            .zip(&self.timing.own)
            .map(|(operation, own)| {
                let mean = self.mean(operation.kind, recording.program_of(operation));
                mean.map_or(*own, SimDuration::from_secs)
            });
        Timing {
            delays: self.timing.delays.clone(),
            own: own.collect(),
        }
    }

    fn with_usual_communication(&self) -> Timing {
        let communicates = communicating(self.graph);
        let operations = &self.graph.recording().operations;
        self.timing.mixed(&self.timing.ideal(self.graph), |at| {
            communicates.contains(&operations[at as usize].kind)
        })
    }

    /// Which rank computes longest beside what its work mostly takes: kinds count by the time that they take.
    fn slowest_rank(&self) -> String {
        let mut times: BTreeMap<ProgramId, (f64, f64)> = BTreeMap::new();
        for (&(kind, program), (sum, count)) in &self.by_rank {
            let time = times.entry(program).or_default();
            let usual = self.usual(kind, self.stage(program)) * count;
            *time = (time.0 + sum, time.1 + usual);
        }
        let slow = times
            .into_iter()
            .map(|(program, (own, usual))| (ratio(own, usual), program));
        let Some((factor, program)) = slow.max_by(|a, b| a.0.total_cmp(&b.0)) else {
            return String::new();
        };
        let name = &self.graph.recording().programs[program].name;
        format!("{name} takes {factor:.2} x what ranks of its stage mostly take")
    }

    fn longest_stage(&self) -> String {
        let stages = &self.stages;
        let total = |stage: Option<u32>| -> f64 {
            let mut kinds: Vec<KindId> = self.by_rank.keys().map(|key| key.0).collect();
            kinds.dedup();
            kinds.into_iter().map(|kind| self.usual(kind, stage)).sum()
        };
        let mean = stages.iter().map(|&stage| total(stage)).sum::<f64>()
            / f64::from(u32::try_from(stages.len().max(1)).unwrap_or(u32::MAX));
        let longest = stages.iter().max_by(|a, b| total(**a).total_cmp(&total(**b)));
        match longest {
            Some(&Some(stage)) => format!(
                "stage {stage} takes {:.2} x the mean of the stages",
                ratio(total(Some(stage)), mean)
            ),
            _ => String::new(),
        }
    }

    /// How closely backward passes follow forward passes of the same microbatch: both grow with its sequences.
    ///
    /// None where passes and their microbatches are not recorded.
    fn forward_against_backward(&self) -> Option<String> {
        let recording = self.graph.recording();
        let kind = |name: &str| {
            recording
                .kinds
                .iter()
                .find(|(_, kind)| kind.name == name)
                .map(|(id, _)| id)
        };
        let (forward, backward) = (kind("forward-compute")?, kind("backward-compute")?);
        let mut pairs: BTreeMap<Microbatch, [Option<f64>; 2]> = BTreeMap::new();
        for (operation, own) in recording.operations.iter().zip(&self.timing.own) {
            let side = usize::from(operation.kind == backward);
            if operation.kind == forward || operation.kind == backward {
                let program = recording.program_of(operation);
                let mean = self.mean(operation.kind, program)?;
                let key = (program, operation.step, operation.tag);
                pairs.entry(key).or_default()[side] = Some(own.as_secs() - mean);
            }
        }
        let pairs: Vec<(f64, f64)> = pairs
            .into_values()
            .filter_map(|[forward, backward]| forward.zip(backward))
            .collect();
        Some(format!(
            "forward and backward times of a microbatch vary together: correlation {:.2}",
            correlation(&pairs)
        ))
    }
}

fn ratio(a: f64, b: f64) -> f64 {
    if b > 0.0 { a / b } else { 1.0 }
}

/// Pearson's correlation of values about their means; 0 where one of them does not vary.
fn correlation(pairs: &[(f64, f64)]) -> f64 {
    let sum = |of: &dyn Fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>();
    let both = sum(&|(a, b)| a * b);
    let each = (sum(&|(a, _)| a * a) * sum(&|(_, b)| b * b)).sqrt();
    if each > 0.0 { both / each } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlations() {
        assert!((correlation(&[(1.0, 2.0), (-1.0, -2.0)]) - 1.0).abs() < 1e-12);
        assert!((correlation(&[(1.0, -2.0), (-1.0, 2.0)]) + 1.0).abs() < 1e-12);
        assert!(correlation(&[(0.0, 1.0)]).abs() < 1e-12, "nothing varies");
        assert_eq!(crate::timing::median(Vec::new()), SimDuration::ZERO);
    }
}
