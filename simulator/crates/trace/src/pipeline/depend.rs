//! What the operations of a pipeline-parallel step wait for.
//!
//! The recording holds times alone; waits follow from how Megatron-like trainers run (Lin 2025, section 3.2): compute in
//! the order of the schedule; a message before or after the pass that it serves, in a lane of its own for each kind;
//! gathers before the first pass of their chunk; at the end gradients of norms and embeddings, reductions, the norm that
//! all agree on, the optimiser.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use orrery_units::{Bytes, IndexVec, KindId, LaneId, ProgramId, SimDuration, SimTime};

use crate::{NO_STEP, Operation, Program, RecordedLane, RecordedStep, Recording};

use super::{OperationType as Of, PipelineOperation};

/// Clocks of ranks differ by less than this, seconds.
const CLOCKS: f64 = 50e-6;

/// Lanes of a rank, in their order.
const LANES: [&str; 7] = [
    "compute",
    "forward send",
    "forward receive",
    "backward send",
    "backward receive",
    "data",
    "step end",
];

const fn lane_of(of: Of) -> usize {
    match of {
        Of::ForwardCompute | Of::BackwardCompute => 0,
        Of::ForwardSend => 1,
        Of::ForwardReceive => 2,
        Of::BackwardSend => 3,
        Of::BackwardReceive => 4,
        Of::AllGather | Of::ReduceScatter => 5,
        Of::NormGradients
        | Of::EmbeddingGradients
        | Of::SeparateGradients
        | Of::ClipGradients
        | Of::Optimizer
        | Of::GarbageCollection => 6,
    }
}

/// The recording of `rows`, with what they wait for and whom they meet.
///
/// # Errors
/// When there is no row, numbers or times are of no job, or a rank lacks messages that its passes need; the text says
/// which.
pub fn recording(rows: &[PipelineOperation]) -> Result<Recording, String> {
    check(rows)?;
    let mut builder = Builder::new(rows);
    let mut groups: BTreeMap<(u64, u32), Vec<&PipelineOperation>> = BTreeMap::new();
    for row in rows {
        groups.entry((row.step, row.rank)).or_default().push(row);
    }
    for ((step, _), rows) in groups {
        builder.add_rank(step, rows)?;
    }
    builder.name_meetings();
    builder.recording.bound_steps();
    Ok(builder.recording)
}

/// Numbers of ranks, stages and chunks below this are believed.
const MOST: u32 = 1 << 20;
/// The longest that all steps may take together, seconds: 100 days.
const LONGEST: f64 = 100.0 * 86_400.0;

/// Whether `rows` are of a job that there can be.
fn check(rows: &[PipelineOperation]) -> Result<(), String> {
    let mut ends: BTreeMap<u64, f64> = BTreeMap::new();
    for row in rows {
        for (column, number) in [
            ("rank", row.rank),
            ("dp_rank", row.replica),
            ("stage", row.stage),
            ("gmc", row.chunk.unwrap_or(0)),
        ] {
            if number >= MOST {
                return Err(format!(
                    "`{column}` is {number} in step {} of rank {}\n  = help: numbers from 0 to {} are meant; one that does \
                     not apply is below zero",
                    row.step,
                    row.rank,
                    MOST - 1
                ));
            }
        }
        let end = ends.entry(row.step).or_insert(0.0);
        *end = end.max(row.end());
    }
    if rows.is_empty() {
        return Err("there is no row\n  = help: a row for each operation of each rank is meant".to_owned());
    }
    if ends.len() > usize::from(NO_STEP) {
        return Err(format!(
            "{} steps; at most {NO_STEP} are read\n  = help: write fewer steps to a file",
            ends.len()
        ));
    }
    let seconds: f64 = ends.values().sum();
    if seconds > LONGEST {
        return Err(format!(
            "the steps take {:.0} days in all\n  = help: `start_ts` and `duration` are seconds, from the start of the step",
            seconds / 86_400.0
        ));
    }
    Ok(())
}

/// Whom an operation meets: everything that all parties of a meeting share.
type Meeting = (u64, Of, u32, u32, u32);

struct Builder {
    recording: Recording,
    ranks: HashMap<u32, ProgramId>,
    kinds: BTreeMap<Of, KindId>,
    steps: HashMap<u64, u16>,
    stages: u32,
    chunks: u32,
    /// (operation, its meeting).
    meetings: Vec<(u32, Meeting)>,
}

/// Operations of a rank in a step by their type, in order, as places in the recording.
type ByType<'r> = BTreeMap<Of, Vec<(u32, &'r PipelineOperation)>>;

impl Builder {
    fn new(rows: &[PipelineOperation]) -> Self {
        let mut recording = Recording {
            steps_apart: true,
            ..Recording::default()
        };
        let ranks = ranks(rows, &mut recording);
        let kinds = Of::ALL
            .iter()
            .filter(|(of, _)| rows.iter().any(|row| row.of == *of))
            .map(|&(of, name)| (of, recording.kinds.intern(name, of.class())))
            .collect();
        let steps = steps(rows, &mut recording);
        let most = |of: fn(&PipelineOperation) -> Option<u32>| {
            rows.iter().filter_map(of).max().map_or(0, |most| most + 1)
        };
        Self {
            recording,
            ranks,
            kinds,
            steps,
            stages: most(|row| Some(row.stage)),
            chunks: most(|row| row.chunk),
            meetings: Vec::new(),
        }
    }

    fn add_rank(&mut self, step: u64, mut rows: Vec<&PipelineOperation>) -> Result<(), String> {
        rows.sort_by(|a, b| {
            (a.start, a.sequence)
                .partial_cmp(&(b.start, b.sequence))
                .unwrap_or(std::cmp::Ordering::Equal)
                .then(a.of.cmp(&b.of))
        });
        let mut by_type = ByType::new();
        let program = self.ranks[&rows[0].rank];
        for row in rows {
            let place = u32::try_from(self.recording.operations.len()).unwrap_or(u32::MAX);
            let lane = program.get() * LANES.len() as u32 + lane_of(row.of) as u32;
            self.recording.operations.push(Operation {
                lane: LaneId::new(lane),
                kind: self.kinds[&row.of],
                start: SimTime::ZERO + SimDuration::from_secs(row.start),
                duration: SimDuration::from_secs(row.duration),
                step: self.steps[&step],
                tag: (row.chunk.unwrap_or(0), row.microbatch.unwrap_or(0)),
                meeting: None,
                bytes: Bytes::ZERO,
            });
            by_type.entry(row.of).or_default().push((place, row));
        }
        self.messages(step, &by_type)?;
        self.first_backward(&by_type);
        self.data(step, &by_type);
        self.step_end(step, &by_type);
        Ok(())
    }

    fn wait(&mut self, operation: u32, wait: u32) {
        self.recording.after.push((operation, wait));
    }

    /// Each pass waits for its message and is followed by one; the ends of the model have none, though some recorders
    /// note messages there that were never sent.
    fn messages(&mut self, step: u64, by_type: &ByType<'_>) -> Result<(), String> {
        let fresh = self.meetings.len();
        for (pass, receive, send) in [
            (Of::ForwardCompute, Of::ForwardReceive, Of::ForwardSend),
            (Of::BackwardCompute, Of::BackwardReceive, Of::BackwardSend),
        ] {
            let Some(passes) = by_type.get(&pass) else {
                continue;
            };
            let last_start = passes.iter().map(|(_, row)| row.start).fold(0.0, f64::max);
            let first_end = passes
                .iter()
                .map(|(_, row)| row.end())
                .fold(f64::INFINITY, f64::min);
            let received = |row: &PipelineOperation| row.start <= last_start + CLOCKS;
            let sent = |row: &PipelineOperation| row.end() >= first_end - CLOCKS;
            let receives = served(by_type, receive, received);
            let sends = served(by_type, send, sent);
            let skipped = passes.len().saturating_sub(receives.len());
            if !receives.is_empty() && skipped > 1 || !sends.is_empty() && sends.len() != passes.len() {
                let row = passes[0].1;
                return Err(format!(
                    "rank {} has {} {}s in step {step}, but {} and {} messages for them\n  = help: a pass has one message \
                     before it and one behind, but at the ends of the model",
                    row.rank,
                    passes.len(),
                    pass.name(),
                    receives.len(),
                    sends.len()
                ));
            }
            self.receives(
                step,
                &passes[skipped.min(1) * usize::from(!receives.is_empty())..],
                &receives,
                (passes, receive),
            );
            for (&(operation, row), &(pass, of)) in sends.iter().zip(passes) {
                self.wait(operation, pass);
                self.meet(step, operation, row, (send, of.chunk));
            }
        }
        self.number_messages(fresh);
        Ok(())
    }

    fn receives(
        &mut self,
        step: u64,
        served: &[(u32, &PipelineOperation)],
        receives: &[(u32, &PipelineOperation)],
        (passes, receive): (&[(u32, &PipelineOperation)], Of),
    ) {
        let skipped = passes.len() - served.len();
        for (at, (&(operation, row), &(pass, of))) in receives.iter().zip(served).enumerate() {
            self.wait(pass, operation);
            if let Some(&(before, _)) = (at + skipped).checked_sub(1).and_then(|at| passes.get(at)) {
                self.wait(operation, before);
            }
            self.meet(step, operation, row, (receive, of.chunk));
        }
    }

    /// Notes that `operation`, which serves a pass of `chunk`, has a peer; the ends of the model have none.
    fn meet(&mut self, step: u64, operation: u32, row: &PipelineOperation, (of, chunk): (Of, Option<u32>)) {
        let chunk = chunk.unwrap_or(row.stage);
        let last = self.chunks.max(self.stages) - 1;
        let has_peer = match of {
            Of::ForwardReceive | Of::BackwardSend => chunk > 0,
            _ => chunk < last,
        };
        if has_peer {
            // Numbered by `number_messages`.
            self.meetings
                .push((operation, (step, of, row.replica, row.stage, 0)));
        }
    }

    /// The n-th message that a stage sends to its neighbour is the n-th that the neighbour gets; those from `fresh` on, of
    /// one rank in one step, are numbered.
    fn number_messages(&mut self, fresh: usize) {
        let stages = self.stages;
        let mut counts: BTreeMap<Of, u32> = BTreeMap::new();
        let fresh = &mut self.meetings[fresh..];
        fresh.sort_by_key(|(operation, _)| *operation);
        for (_, meeting) in fresh {
            let (of, stage) = (meeting.1, meeting.3);
            let number = counts.entry(of).or_default();
            // Both ends are called by the sender's.
            let (name, sender) = match of {
                Of::ForwardReceive => (Of::ForwardSend, (stage + stages - 1) % stages),
                Of::BackwardReceive => (Of::BackwardSend, (stage + 1) % stages),
                other => (other, stage),
            };
            *meeting = (meeting.0, name, meeting.2, sender, *number);
            *number += 1;
        }
    }

    /// Messages of the first backward pass are posted while the forward pass before the one ahead of it has ended.
    fn first_backward(&mut self, by_type: &ByType<'_>) {
        let order = passes(by_type);
        let Some(first) = order.iter().position(|(_, row)| row.of == Of::BackwardCompute) else {
            return;
        };
        if first < 2 {
            return;
        }
        for of in [Of::BackwardReceive, Of::BackwardSend] {
            if let Some(&(operation, _)) = by_type.get(&of).and_then(|all| all.first()) {
                self.wait(operation, order[first - 2].0);
            }
        }
    }

    /// Gathers come before the first pass of their chunk; all replicas of a stage take part.
    fn data(&mut self, step: u64, by_type: &ByType<'_>) {
        for of in [Of::AllGather, Of::ReduceScatter, Of::SeparateGradients] {
            for &(operation, row) in by_type.get(&of).into_iter().flatten() {
                self.meetings
                    .push((operation, (step, of, u32::MAX, row.stage, row.sequence)));
            }
        }
        let forward = by_type.get(&Of::ForwardCompute);
        let gathers = by_type.get(&Of::AllGather).into_iter().flatten();
        // The last gather of a chunk is the one that it waits for.
        let last: BTreeMap<Option<u32>, u32> =
            gathers.map(|&(operation, row)| (row.chunk, operation)).collect();
        for (chunk, operation) in last {
            let mine = forward
                .into_iter()
                .flatten()
                .find(|(_, row)| row.chunk == chunk || chunk.is_none());
            if let Some(&(pass, _)) = mine {
                self.wait(pass, operation);
            }
        }
    }

    /// The end of the step: one after the other, from the last pass on.
    fn step_end(&mut self, step: u64, by_type: &ByType<'_>) {
        let overlaps = by_type.contains_key(&Of::SeparateGradients);
        let of = |of: Of| by_type.get(&of).into_iter().flatten().copied();
        if overlaps {
            self.overlapped_reductions(by_type);
        }
        let last_pass = passes(by_type)
            .into_iter()
            .max_by(|a, b| a.1.end().total_cmp(&b.1.end()));
        let reductions = if overlaps {
            Vec::new()
        } else {
            of(Of::ReduceScatter).collect()
        };
        let chain = last_pass
            .into_iter()
            .chain(of(Of::GarbageCollection).take(1))
            .chain(of(Of::NormGradients))
            .chain(of(Of::EmbeddingGradients))
            .chain(of(Of::SeparateGradients))
            .chain(reductions)
            .chain(of(Of::ClipGradients))
            .chain(of(Of::Optimizer));
        let chain: Vec<(u32, &PipelineOperation)> = chain.collect();
        for pair in chain.windows(2) {
            self.wait(pair[1].0, pair[0].0);
        }
        for (operation, row) in of(Of::EmbeddingGradients) {
            self.meetings
                .push((operation, (step, row.of, row.replica, 0, row.sequence)));
        }
        for (operation, row) in of(Of::ClipGradients) {
            self.meetings
                .push((operation, (step, row.of, u32::MAX, 0, row.sequence)));
        }
        if overlaps && let Some((last, _)) = of(Of::ReduceScatter).last() {
            let next = of(Of::NormGradients).chain(of(Of::EmbeddingGradients)).next();
            if let Some((next, _)) = next {
                self.wait(next, last);
            }
        }
    }

    /// Reductions beside backward: each after the last backward pass of its chunk.
    fn overlapped_reductions(&mut self, by_type: &ByType<'_>) {
        let backward = by_type.get(&Of::BackwardCompute);
        let mut seen = Vec::new();
        for &(operation, row) in by_type.get(&Of::ReduceScatter).into_iter().flatten() {
            if seen.contains(&row.chunk) {
                continue;
            }
            seen.push(row.chunk);
            let mine = backward
                .into_iter()
                .flatten()
                .filter(|(_, of)| of.chunk == row.chunk);
            if let Some(&(pass, _)) = mine.max_by(|a, b| a.1.end().total_cmp(&b.1.end())) {
                self.wait(operation, pass);
            }
        }
    }

    fn name_meetings(&mut self) {
        let mut parties: BTreeMap<Meeting, Vec<u32>> = BTreeMap::new();
        for (operation, meeting) in &self.meetings {
            parties.entry(*meeting).or_default().push(*operation);
        }
        for (id, operations) in (0..).zip(parties.into_values()) {
            for operation in operations {
                self.recording.operations[operation as usize].meeting = Some(id);
            }
        }
    }
}

/// Forward and backward passes in the order of the schedule.
fn passes<'r>(by_type: &ByType<'r>) -> Vec<(u32, &'r PipelineOperation)> {
    let of = |of: Of| by_type.get(&of).into_iter().flatten().copied();
    let mut all: Vec<_> = of(Of::ForwardCompute).chain(of(Of::BackwardCompute)).collect();
    all.sort_by_key(|&(place, _)| place);
    all
}

fn served<'r>(
    by_type: &ByType<'r>,
    of: Of,
    serves: impl Fn(&PipelineOperation) -> bool,
) -> Vec<(u32, &'r PipelineOperation)> {
    let all = by_type.get(&of).into_iter().flatten().copied();
    all.filter(|(_, row)| serves(row)).collect()
}

/// Adds the ranks of `rows` with their lanes.
fn ranks(rows: &[PipelineOperation], recording: &mut Recording) -> HashMap<u32, ProgramId> {
    let all: BTreeMap<u32, (u32, u32)> = rows
        .iter()
        .map(|row| (row.rank, (row.stage, row.replica)))
        .collect();
    let mut lanes = IndexVec::new();
    let mut ranks = HashMap::new();
    for (rank, (stage, replica)) in all {
        let program = recording.programs.push(Program {
            name: format!("rank {rank}"),
            stage: Some(stage),
            replica: Some(replica),
        });
        for name in LANES {
            lanes.push(RecordedLane {
                program,
                name: name.to_owned(),
                is_host: false,
            });
        }
        ranks.insert(rank, program);
    }
    recording.lanes = lanes;
    ranks
}

/// Adds the steps of `rows`, which their operations will bound.
fn steps(rows: &[PipelineOperation], recording: &mut Recording) -> HashMap<u64, u16> {
    let numbers: BTreeSet<u64> = rows.iter().map(|row| row.step).collect();
    recording.steps = numbers
        .iter()
        .map(|&number| RecordedStep {
            number,
            start: SimTime::ZERO,
            end: SimTime::ZERO,
        })
        .collect();
    numbers.into_iter().zip(0_u16..).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(step: u64, stage: u32, start: f64) -> PipelineOperation {
        PipelineOperation {
            replica: 0,
            stage,
            rank: stage,
            step,
            of: Of::ForwardCompute,
            start,
            duration: 1.0,
            sequence: 0,
            chunk: None,
            microbatch: Some(0),
        }
    }

    #[track_caller]
    fn refused(rows: &[PipelineOperation], what: &str) {
        let reason = recording(rows).expect_err("no job is like that");
        assert!(reason.contains(what) && reason.contains("= help:"), "{reason}");
    }

    #[test]
    fn rows_of_no_job_are_refused() {
        assert!(recording(&[pass(0, 0, 0.0)]).is_ok(), "one pass is a job");
        refused(&[], "no row");
        refused(&[pass(0, u32::MAX, 0.0)], "is 4294967295");
        let mut odd = pass(0, 0, 0.0);
        odd.chunk = Some(u32::MAX);
        refused(&[odd], "`gmc` is 4294967295");
        let many: Vec<PipelineOperation> = (0..=65_535).map(|step| pass(step, 0, 0.0)).collect();
        refused(&many, "65536 steps");
        assert_eq!(
            recording(&many[1..]).map(|recording| recording.steps.len()),
            Ok(65_535)
        );
        let long: Vec<PipelineOperation> = (0..400).map(|step| pass(step, 0, 80_000.0)).collect();
        refused(&long, "370 days");
    }
}
