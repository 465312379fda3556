//! Why a recorded step took longer than it had to.

use std::collections::BTreeMap;

use orrery_trace::Operation;
use orrery_units::{KindId, ProgramId, SimDuration};

use crate::causes::Causes;
use crate::timing::mean;
use crate::{Cause, CauseKind, Ends, Graph, Timing};

/// Parts of one sort that are looked at: those that take longest beside their ideal. Each is a timing of everything.
const MOST_PARTS: usize = 256;

/// Share of the loss from which on a cause is named as the first.
const WORTH_NAMING: f64 = 0.1;
/// Steps that take less than this beside the ideal one lose nothing.
const NO_LOSS: f64 = 1.01;

/// A part of the job, and how much slower than ideal the step is when that part alone keeps its measured times.
#[derive(Clone, Debug, PartialEq)]
pub struct Slowdown {
    /// The part, such as `stage 3` or `rank 17`.
    pub part: String,
    /// Step with it as measured over the ideal step.
    pub factor: f64,
}

/// Where the time of recorded steps goes beside what they need. All times are means over the steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribution {
    /// As recorded.
    pub measured: SimDuration,
    /// The same, replayed.
    pub replayed: SimDuration,
    /// Without the delays of hosts.
    pub without_delays: SimDuration,
    /// With every operation as long as its like mostly are.
    pub ideal: SimDuration,
    /// By kind of operation, most first.
    pub by_kind: Vec<Slowdown>,
    /// By pipeline stage, most first.
    pub by_stage: Vec<Slowdown>,
    /// By data-parallel rank, most first.
    pub by_replica: Vec<Slowdown>,
    /// By rank, most first.
    pub by_rank: Vec<Slowdown>,
    /// Causes, most first.
    pub causes: Vec<Cause>,
}

impl Attribution {
    /// How much longer the step takes than the ideal one, delays of hosts left out: `without_delays / ideal`.
    #[must_use]
    pub fn slowdown(&self) -> f64 {
        ratio(self.without_delays, self.ideal)
    }

    /// How much longer it takes for the delays of hosts: `measured / without_delays`.
    #[must_use]
    pub fn delay_slowdown(&self) -> f64 {
        ratio(self.measured, self.without_delays)
    }

    /// How much is lost, and to what first of all, in a sentence.
    #[must_use]
    pub fn verdict(&self) -> String {
        let slowdown = self.slowdown();
        let first = self.causes.first().filter(|cause| cause.share > WORTH_NAMING);
        match first {
            Some(cause) if slowdown > NO_LOSS => {
                let evidence = match (cause.evidence.as_str(), cause.kind) {
                    ("", CauseKind::Communication) => {
                        ": transfers are slower than such ones mostly are".to_owned()
                    }
                    ("", _) => String::new(),
                    (evidence, _) => format!(": {evidence}"),
                };
                format!(
                    "The step takes {slowdown:.4} x what it needs, first of all for its {}{evidence}.",
                    cause.kind.words()
                )
            }
            _ if slowdown > NO_LOSS => {
                format!("The step takes {slowdown:.4} x what it needs; no single cause stands out.")
            }
            _ => "The step takes what it needs: no operation takes much longer than its like.".to_owned(),
        }
    }
}

/// One of times that are both nothing.
fn ratio(a: SimDuration, b: SimDuration) -> f64 {
    if b.is_zero() {
        1.0
    } else {
        a.as_secs() / b.as_secs()
    }
}

/// Attributes the loss of the steps of `graph`.
///
/// `go_on` hears how many timings are done, and of how many; once it says no, there is no answer.
pub fn attribute(graph: &Graph<'_>, go_on: &mut dyn FnMut(usize, usize) -> bool) -> Option<Attribution> {
    let recording = graph.recording();
    let replayed = Timing::measured(graph);
    let timing = replayed.clone().without_delays(graph);
    let ideal = timing.ideal(graph).begun_together(graph);
    let time = |timing: &Timing| mean(&graph.step_times(&graph.evaluate(timing)));
    let kind_of = |operation: &Operation| Some(operation.kind.get());
    let program = |operation: &Operation| &recording.programs[recording.program_of(operation)];
    let stage_of = |operation: &Operation| program(operation).stage;
    let replica_of = |operation: &Operation| program(operation).replica;
    let rank_of = |operation: &Operation| Some(recording.program_of(operation).get());
    let sorts: [PartOf<'_>; 4] = [&kind_of, &stage_of, &replica_of, &rank_of];
    let sorts = sorts.map(|part_of| sort(graph, (&timing, &ideal), part_of));
    let mut parts = Parts {
        graph,
        timing: &timing,
        ideal: &ideal,
        ideal_time: time(&ideal),
        ends: Ends::default(),
        done: (0, sorts.iter().map(Vec::len).sum()),
    };
    let [kinds, stages, replicas, ranks] = sorts;
    let kind_name = |kind: u32| recording.kinds.kind(KindId::new(kind)).name.clone();
    let rank_name = |rank: u32| recording.programs[ProgramId::new(rank)].name.clone();
    Some(Attribution {
        measured: mean(&graph.step_times(&Ends::recorded(recording))),
        replayed: time(&replayed),
        without_delays: time(&timing),
        ideal: parts.ideal_time,
        by_kind: parts.slowdowns(kinds, &kind_name, &kind_of, go_on)?,
        by_stage: parts.slowdowns(stages, &|stage| format!("stage {stage}"), &stage_of, go_on)?,
        by_replica: parts.slowdowns(
            replicas,
            &|replica| format!("replica {replica}"),
            &replica_of,
            go_on,
        )?,
        by_rank: parts.slowdowns(ranks, &rank_name, &rank_of, go_on)?,
        causes: Causes::new(graph, &timing).all(time(&timing), parts.ideal_time),
    })
}

/// Which part of some sort an operation belongs to.
type PartOf<'a> = &'a dyn Fn(&Operation) -> Option<u32>;

/// Parts of the job by sort, each timed as the only one that keeps its measured times.
struct Parts<'g, 'r> {
    graph: &'g Graph<'r>,
    timing: &'g Timing,
    ideal: &'g Timing,
    ideal_time: SimDuration,
    /// Used again from one timing to the next.
    ends: Ends,
    /// How many timings are done, and of how many.
    done: (usize, usize),
}

impl Parts<'_, '_> {
    fn slowdowns(
        &mut self,
        parts: Vec<u32>,
        name: &dyn Fn(u32) -> String,
        part_of: PartOf<'_>,
        go_on: &mut dyn FnMut(usize, usize) -> bool,
    ) -> Option<Vec<Slowdown>> {
        let operations = &self.graph.recording().operations;
        let mut slowdowns = Vec::new();
        for part in parts {
            if !go_on(self.done.0, self.done.1) {
                return None;
            }
            let own = |at: usize| {
                if part_of(&operations[at]) == Some(part) {
                    self.timing.own[at]
                } else {
                    self.ideal.own[at]
                }
            };
            self.graph.evaluate_into(&self.ideal.delays, own, &mut self.ends);
            slowdowns.push(Slowdown {
                part: name(part),
                factor: ratio(mean(&self.graph.step_times(&self.ends)), self.ideal_time),
            });
            self.done.0 += 1;
        }
        slowdowns.sort_by(|a, b| b.factor.total_cmp(&a.factor));
        Some(slowdowns)
    }
}

/// The parts of a sort that take longest beside their ideal, at most [`MOST_PARTS`], in the order of their numbers.
fn sort(graph: &Graph<'_>, (timing, ideal): (&Timing, &Timing), part_of: PartOf<'_>) -> Vec<u32> {
    let mut excess: BTreeMap<u32, f64> = BTreeMap::new();
    let times = timing.own.iter().zip(&ideal.own);
    for (operation, (own, ideal)) in graph.recording().operations.iter().zip(times) {
        if let Some(part) = part_of(operation) {
            *excess.entry(part).or_default() += own.saturating_sub(*ideal).as_secs();
        }
    }
    let mut parts: Vec<(u32, f64)> = excess.into_iter().collect();
    parts.sort_by(|a, b| b.1.total_cmp(&a.1));
    parts.truncate(MOST_PARTS);
    let mut parts: Vec<u32> = parts.into_iter().map(|(part, _)| part).collect();
    parts.sort_unstable();
    parts
}
