//! Who waited for whom in recorded meetings.

use orrery_units::{IndexVec, ProgramId, SimDuration};

use crate::Graph;

/// Waiting of one rank.
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

/// Waiting of every rank, over the whole recording.
///
/// Of a meeting that begins at `s` for the last party, the others waited `s - own start` each, and the last one caused
/// all of it.
#[must_use]
pub fn waits(graph: &Graph<'_>) -> IndexVec<ProgramId, Waits> {
    let mut all = IndexVec::filled(Waits::default(), graph.recording().programs.len());
    add(graph, |_, program, waits| {
        let sum = &mut all[program];
        sum.waited = plus(sum.waited, waits.waited);
        sum.caused = plus(sum.caused, waits.caused);
        sum.meeting = plus(sum.meeting, waits.meeting);
        sum.last += waits.last;
    });
    all
}

/// Waiting that each rank caused, and the step of the operation with which it did.
pub(crate) fn caused(graph: &Graph<'_>, mut hear: impl FnMut(u16, ProgramId, SimDuration)) {
    add(graph, |step, program, waits| {
        if !waits.caused.is_zero() {
            hear(step, program, waits.caused);
        }
    });
}

/// Tells `hear` of each party of each meeting: its step, its rank and its waiting there.
fn add(graph: &Graph<'_>, mut hear: impl FnMut(u16, ProgramId, Waits)) {
    let recording = graph.recording();
    for meeting in 0..graph.num_meetings() {
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
            caused = plus(caused, waited);
            let mine = Waits {
                waited,
                meeting: operation.duration,
                ..Waits::default()
            };
            hear(operation.step, recording.program_of(operation), mine);
        }
        let slow = Waits {
            caused,
            last: 1,
            ..Waits::default()
        };
        hear(last.step, recording.program_of(last), slow);
    }
}

/// The sum, at most the longest span that there is: many ranks wait for years in all.
pub(crate) fn plus(a: SimDuration, b: SimDuration) -> SimDuration {
    SimDuration::from_picos(a.as_picos().saturating_add(b.as_picos()))
}
