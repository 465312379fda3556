//! Totals of a recording, counted as the engine counts those of a simulated run.

use std::collections::BTreeMap;

use orrery_timeline::{MemoryTotals, OpClass, StepTotals, Totals};
use orrery_trace::{Operation, Recording};
use orrery_units::{Evidence, IndexVec, LaneId, SimDuration, SimTime};

use crate::{Graph, waits};

/// What a recording comes to: per lane, kind and step, with each gap of a lane charged to what ended it.
///
/// A gap ends with an operation that waited for another one: it is charged to the kind of that one, split at the instant
/// at which all of its parties were there. What is left of it, and all of it where the host alone was waited for, is the
/// host's.
#[must_use]
pub fn totals(graph: &Graph<'_>) -> Totals {
    let recording = graph.recording();
    let mut totals = Totals {
        memory: IndexVec::filled(MemoryTotals::default(), recording.programs.len()),
        tasks: recording.operations.len() as u64,
        ..Totals::default()
    };
    let offsets = offsets(recording);
    let mut before = SimTime::ZERO;
    for (number, step) in recording.steps.iter().enumerate() {
        let offset = offsets[number];
        let start = if number == 0 || recording.steps_apart {
            step.start + offset
        } else {
            before
        };
        let mut of_step = StepTotals::new(start, recording.lanes.len(), recording.programs.len());
        of_step.end = (step.end + offset).max(start);
        before = of_step.end;
        totals.steps.push(of_step);
    }
    let mut ends: BTreeMap<(LaneId, u16), SimTime> = BTreeMap::new();
    for &at in graph.order() {
        let operation = &recording.operations[at as usize];
        let Some(&offset) = offsets.get(usize::from(operation.step)) else {
            continue;
        };
        let step = &mut totals.steps[usize::from(operation.step)];
        let end = ends.entry((operation.lane, operation.step)).or_insert(step.start);
        let counted = Counted {
            graph,
            at,
            operation,
            offset,
            free: *end,
        };
        *end = (*end).max(operation.end() + offset);
        counted.add(step);
    }
    for (program, waits) in waits(graph).iter_enumerated() {
        // Waits are known over the whole recording; they stand with its first step.
        if let Some(step) = totals.steps.first_mut() {
            step.programs[program].caused_wait = waits.caused;
        }
    }
    totals
}

/// How much later than recorded each step is counted: steps that begin at zero anew follow each other.
fn offsets(recording: &Recording) -> Vec<SimDuration> {
    let mut at = SimDuration::ZERO;
    let each = recording.steps.iter().map(|step| {
        let mine = at;
        if recording.steps_apart {
            at += step.end - SimTime::ZERO;
        }
        mine
    });
    each.collect()
}

/// An operation on its way into the totals of its step.
struct Counted<'g, 'r> {
    graph: &'g Graph<'r>,
    at: u32,
    operation: &'g Operation,
    offset: SimDuration,
    /// The end of the operation before it in its lane.
    free: SimTime,
}

impl Counted<'_, '_> {
    fn add(&self, step: &mut StepTotals) {
        let recording = self.graph.recording();
        let operation = self.operation;
        let together = self.together(self.at);
        let start = operation.start + self.offset;
        // In a meeting it stands still until all are there.
        let moving = (together + self.offset)
            .max(start)
            .min(operation.end() + self.offset);
        let busy = (operation.end() + self.offset).saturating_since(moving.max(self.free));
        let program = &mut step.programs[recording.program_of(operation)];
        program.end = program.end.max(operation.end() + self.offset);
        program.tasks += 1;
        step.evidence[Evidence::Measured as usize] += busy;
        self.charge_gap(step, start);
        let cell = step.lanes[operation.lane].cell_mut(operation.kind);
        cell.count += 1;
        cell.busy += busy;
        cell.alone += busy;
        cell.bytes += operation.bytes;
        let waited = moving.saturating_since(start.max(self.free));
        cell.waited += waited;
        cell.idle_waiting += waited;
    }

    /// Charges the time between the end of the operation before and `start`.
    fn charge_gap(&self, step: &mut StepTotals, start: SimTime) {
        let recording = self.graph.recording();
        if start <= self.free {
            return;
        }
        let lane = self.operation.lane;
        let released = self
            .graph
            .waits(self.at)
            .iter()
            .filter(|&&wait| recording.operations[wait as usize].lane != lane)
            .filter(|&&wait| self.class(wait) != OpClass::Host)
            .max_by_key(|&&wait| recording.operations[wait as usize].end());
        let Some(&released) = released else {
            step.lanes[lane].idle_host += start - self.free;
            return;
        };
        let other = &recording.operations[released as usize];
        let end = (other.end() + self.offset).clamp(self.free, start);
        let together = (self.together(released) + self.offset).clamp(self.free, end);
        let lane = &mut step.lanes[lane];
        lane.idle_host += start - end;
        let cell = lane.cell_mut(other.kind);
        cell.idle_waiting += together - self.free;
        cell.idle_running += end - together;
    }

    fn class(&self, at: u32) -> OpClass {
        let recording = self.graph.recording();
        recording.kinds.kind(recording.operations[at as usize].kind).class
    }

    /// When all parties of an operation were there: its start, where it meets nobody.
    fn together(&self, at: u32) -> SimTime {
        let operations = &self.graph.recording().operations;
        let operation = &operations[at as usize];
        let parties = operation
            .meeting
            .map_or(&[][..], |meeting| self.graph.parties(meeting));
        let starts = parties.iter().map(|&party| operations[party as usize].start);
        starts.max().unwrap_or(operation.start)
    }
}
