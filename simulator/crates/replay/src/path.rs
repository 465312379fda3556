//! The critical path of a recorded step, across ranks.

use orrery_units::{SimDuration, SimTime};

use crate::Graph;

/// A stretch of time on a critical path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// When it began.
    pub start: SimTime,
    /// How long it took.
    pub length: SimDuration,
    /// The operation that ran, or that could have begun and did not yet.
    pub operation: u32,
    /// Whether it ran.
    pub ran: bool,
}

/// The path of the last step: when the step began, and its stretches in order, which fill it.
///
/// It runs backward from the end of the step: from an operation to the last of what it waited for, at a meeting to the
/// party that came last. An operation that begins later than what it waited for ended stands on it with its delay.
#[must_use]
pub fn critical_path(graph: &Graph<'_>) -> Option<(SimTime, Vec<Stretch>)> {
    let recording = graph.recording();
    let operations = &recording.operations;
    let last = recording.steps.len().checked_sub(1)?;
    let begin = recording.steps[last].start;
    let of_step = (0_u32..)
        .zip(operations)
        .filter(|(_, operation)| usize::from(operation.step) == last);
    let (mut at, operation) = of_step.max_by_key(|(_, operation)| operation.end())?;
    let mut until = operation.end();
    let mut stretches = Vec::new();
    let mut put = |from: SimTime, operation: u32, ran: bool| {
        let from = from.max(begin);
        if from < until {
            stretches.push(Stretch {
                start: from,
                length: until - from,
                operation,
                ran,
            });
            until = from;
        }
        until > begin
    };
    loop {
        let meeting = operations[at as usize].meeting;
        let parties = meeting.map_or(&[][..], |meeting| graph.parties(meeting));
        let start = |&party: &u32| operations[party as usize].start;
        at = parties.iter().copied().max_by_key(start).unwrap_or(at);
        if !put(operations[at as usize].start, at, true) {
            break;
        }
        let end = |&wait: &u32| operations[wait as usize].end();
        let released = graph.waits(at).iter().copied().max_by_key(end);
        let since = released.as_ref().map_or(begin, end);
        if !put(since, at, false) {
            break;
        }
        let Some(released) = released else { break };
        at = released;
    }
    stretches.reverse();
    Some((begin, stretches))
}
