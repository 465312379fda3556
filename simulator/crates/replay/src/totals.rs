//! Totals of a recording, counted as the engine counts those of a simulated run.

use std::collections::BTreeMap;

use orrery_timeline::{MemoryTotals, OpClass, StepTotals, Totals};
use orrery_trace::Operation;
use orrery_units::{Evidence, IndexVec, LaneId, SimDuration, SimTime};

use crate::Graph;
use crate::waits::{caused, plus};

/// What a recording comes to: per lane, kind and step, with each gap of a lane charged to what ended it.
///
/// As of a simulated run, a gap counts to the step of what ended it: of a lane that lies idle across the end of a step, the
/// next one's account holds all of that.
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
    let offsets = recording.offsets();
    for (step, &offset) in recording.steps.iter().zip(&offsets) {
        let start = step.start + offset;
        let mut of_step = StepTotals::new(start, recording.lanes.len(), recording.programs.len());
        of_step.end = step.end + offset;
        totals.steps.push(of_step);
    }
    // When each lane was last free; one that is still busy with a step while the next one begins goes on.
    let begin = totals.steps.first().map_or(SimTime::ZERO, |step| step.start);
    let mut ends: BTreeMap<(LaneId, u16), SimTime> = BTreeMap::new();
    for &at in graph.order() {
        let operation = &recording.operations[at as usize];
        let step = totals.steps.get_mut(usize::from(operation.step));
        let (apart, first) = match &step {
            Some(step) if recording.steps_apart => (operation.step, step.start),
            _ => (0, begin),
        };
        let end = ends.entry((operation.lane, apart)).or_insert(first);
        let free = *end;
        let Some(step) = step else {
            *end = free.max(operation.end());
            continue;
        };
        let offset = offsets[usize::from(operation.step)];
        *end = free.max(operation.end() + offset);
        let counted = Counted {
            graph,
            at,
            operation,
            offset,
            free,
        };
        counted.add(step);
    }
    caused(graph, |step, program, wait| {
        if let Some(step) = totals.steps.get_mut(usize::from(step)) {
            let sum = &mut step.programs[program].caused_wait;
            *sum = plus(*sum, wait);
        }
    });
    totals
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
        let together = self.graph.together(operation);
        let start = operation.start + self.offset;
        // In a meeting it stands still until all are there.
        let moving = (together + self.offset)
            .max(start)
            .min(operation.end() + self.offset);
        let busy = (operation.end() + self.offset).saturating_since(moving.max(self.free));
        let program = &mut step.programs[recording.program_of(operation)];
        program.end = program.end.max(operation.end() + self.offset);
        program.tasks += 1;
        let measured = &mut step.evidence[Evidence::Measured as usize];
        *measured = plus(*measured, busy);
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
        let together = (self.graph.together(other) + self.offset).clamp(self.free, end);
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
}
