//! Who waited for whom in recorded meetings.

use orrery_units::{IndexVec, ProgramId, SimDuration};

use crate::Graph;

/// Waiting of one rank, over the whole recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// Time in which it was in a meeting and others were not there yet.
    pub waited: SimDuration,
    /// Time that others waited in meetings to which it came last.
    pub caused: SimDuration,
    /// Meetings to which it came last.
    pub last: u32,
    /// Time in meetings, waiting included.
    pub meeting: SimDuration,
}

/// Waiting of every rank.
///
/// Of a meeting that begins at `s` for the last party, the others waited `s - own start` each, and the last one caused
/// all of it.
#[must_use]
pub fn waits(graph: &Graph<'_>) -> IndexVec<ProgramId, Waits> {
    let recording = graph.recording();
    let mut waits = IndexVec::filled(Waits::default(), recording.programs.len());
    let meetings = u32::try_from(recording.parties().len()).unwrap_or(u32::MAX);
    for meeting in 0..meetings {
        let parties = || {
            graph
                .parties(meeting)
                .iter()
                .map(|&at| &recording.operations[at as usize])
        };
        let Some(last) = parties().max_by_key(|operation| operation.start) else {
            continue;
        };
        let mut caused = SimDuration::ZERO;
        for operation in parties() {
            let waited = last
                .start
                .saturating_since(operation.start)
                .min(operation.duration);
            caused += waited;
            let mine = &mut waits[recording.program_of(operation)];
            mine.waited += waited;
            mine.meeting += operation.duration;
        }
        let slow = &mut waits[recording.program_of(last)];
        slow.caused += caused;
        slow.last += 1;
    }
    waits
}
