//! The order of a recording's operations.

use orrery_trace::{MeetingId, Operation, Recording};
use orrery_units::{IndexVec, LaneId, SimDuration, SimTime};

use crate::Timing;

/// Operations of a recording with what each waits for, in an order in which they can be timed.
#[derive(Debug)]
pub struct Graph<'r> {
    recording: &'r Recording,
    /// What operation `n` waits for: `waits[first[n]..first[n + 1]]`.
    first: Vec<u32>,
    waits: Vec<u32>,
    /// Parties of meeting `n`, likewise.
    first_party: Vec<u32>,
    parties: Vec<u32>,
    /// When the last party of each meeting was there, as recorded.
    together: Vec<SimTime>,
    /// Operations in order of their arrival.
    order: Vec<u32>,
}

/// The longest that a recording may take one after the other: what is re-timed has to fit twice.
const LONGEST: SimDuration = SimDuration::from_millis(100 * 86_400_000);

/// When operations of a recording begin and end under some timing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// Starts, by operation.
    pub starts: Vec<SimTime>,
    /// Ends, by operation.
    pub ends: Vec<SimTime>,
    /// Parties that each meeting still misses while times are found.
    missing: Vec<u32>,
}

impl Ends {
    /// Those of `recording` as it is.
    #[must_use]
    pub fn recorded(recording: &Recording) -> Self {
        let operations = || recording.operations.iter();
        Self {
            starts: operations().map(|operation| operation.start).collect(),
            ends: operations().map(Operation::end).collect(),
            missing: Vec::new(),
        }
    }
}

/// Why a recording has no order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// Operations wait for each other in a circle, such as collectives that two ranks entered in opposite order.
    #[error(
        "{count} operations wait for each other, among them `{first}` of {program}: collectives are matched wrongly, or clocks are far apart"
    )]
    Circle {
        /// How many.
        count: usize,
        /// The kind of the first of them.
        first: String,
        /// Its rank.
        program: String,
    },
    /// Operations overlap so that one after the other they take longer than any run.
    #[error(
        "its operations take more than 100 days one after the other: the times of the recording are broken"
    )]
    TooLong,
}

/// Lists as one list and where each of them begins.
fn lists(count: usize, pairs: impl Iterator<Item = (u32, u32)> + Clone) -> (Vec<u32>, Vec<u32>) {
    let mut first = vec![0_u32; count + 1];
    for (of, _) in pairs.clone() {
        first[of as usize + 1] += 1;
    }
    for at in 0..count {
        first[at + 1] += first[at];
    }
    let mut next = first.clone();
    let mut all = vec![0; first.last().map_or(0, |&last| last as usize)];
    for (of, what) in pairs {
        all[next[of as usize] as usize] = what;
        next[of as usize] += 1;
    }
    (first, all)
}

impl<'r> Graph<'r> {
    /// Orders `recording`.
    ///
    /// # Errors
    /// When operations wait for each other in a circle, or their times are of no run.
    pub fn new(recording: &'r Recording) -> Result<Self, GraphError> {
        let count = recording.operations.len();
        let before = lane_order(recording);
        let pairs = before.iter().chain(&recording.after).copied();
        let (first, waits) = lists(count, pairs);
        let meetings = recording.parties();
        let of_meeting = (0_u32..)
            .zip(&recording.operations)
            .filter_map(|(at, operation)| Some((operation.meeting?, at)));
        let (first_party, parties) = lists(meetings.len(), of_meeting);
        let mut together = vec![SimTime::ZERO; meetings.len()];
        for operation in &recording.operations {
            if let Some(meeting) = operation.meeting {
                let last = &mut together[meeting as usize];
                *last = (*last).max(operation.start);
            }
        }
        let mut graph = Self {
            recording,
            first,
            waits,
            first_party,
            parties,
            together,
            order: Vec::with_capacity(count),
        };
        graph.sort()?;
        let ends = graph.evaluate(&Timing::measured(&graph));
        if ends.ends.iter().any(|&end| end > SimTime::ZERO + LONGEST) {
            return Err(GraphError::TooLong);
        }
        Ok(graph)
    }

    /// The recording.
    #[must_use]
    pub const fn recording(&self) -> &'r Recording {
        self.recording
    }

    /// Operations in an order in which each comes after all that it waits for.
    #[must_use]
    pub fn order(&self) -> &[u32] {
        &self.order
    }

    /// What `operation` waits for.
    #[must_use]
    pub fn waits(&self, operation: u32) -> &[u32] {
        let at = operation as usize;
        &self.waits[self.first[at] as usize..self.first[at + 1] as usize]
    }

    /// How many meetings there are.
    #[must_use]
    pub fn num_meetings(&self) -> MeetingId {
        MeetingId::try_from(self.together.len()).unwrap_or(MeetingId::MAX)
    }

    /// The parties of `meeting`.
    #[must_use]
    pub fn parties(&self, meeting: MeetingId) -> &[u32] {
        let at = meeting as usize;
        &self.parties[self.first_party[at] as usize..self.first_party[at + 1] as usize]
    }

    /// When all parties of an operation were there, as recorded: its own start, where it meets nobody.
    #[must_use]
    pub fn together(&self, operation: &Operation) -> SimTime {
        let meeting = operation.meeting;
        meeting.map_or(operation.start, |meeting| self.together[meeting as usize])
    }

    /// Kahn's order: an operation arrives once all that it waits for has ended, and a meeting ends with its last arrival.
    fn sort(&mut self) -> Result<(), GraphError> {
        let count = self.recording.operations.len();
        let pairs = (0_u32..)
            .take(count)
            .flat_map(|at| self.waits(at).iter().map(move |&wait| (wait, at)));
        let (first_next, next) = lists(count, pairs);
        let mut open: Vec<u32> = (0..count).map(|at| self.first[at + 1] - self.first[at]).collect();
        let meetings = self.first_party.len() - 1;
        let mut missing: Vec<u32> = (0..meetings)
            .map(|at| self.first_party[at + 1] - self.first_party[at])
            .collect();
        let mut ready: Vec<u32> = (0_u32..)
            .zip(&open)
            .filter(|&(_, &open)| open == 0)
            .map(|(at, _)| at)
            .collect();
        ready.reverse();
        let mut order = Vec::with_capacity(count);
        while let Some(at) = ready.pop() {
            order.push(at);
            let ended = match self.recording.operations[at as usize].meeting {
                None => std::slice::from_ref(&at),
                Some(meeting) => {
                    let missing = &mut missing[meeting as usize];
                    *missing -= 1;
                    if *missing > 0 { &[] } else { self.parties(meeting) }
                }
            };
            for &ended in ended {
                let list = first_next[ended as usize] as usize..first_next[ended as usize + 1] as usize;
                for &next in &next[list] {
                    open[next as usize] -= 1;
                    if open[next as usize] == 0 {
                        ready.push(next);
                    }
                }
            }
        }
        if order.len() < count {
            let blocked = (0..count).find(|&at| open[at] > 0).unwrap_or(0);
            let operation = &self.recording.operations[blocked];
            let program = self.recording.program_of(operation);
            return Err(GraphError::Circle {
                count: count - order.len(),
                first: self.recording.kinds.kind(operation.kind).name.clone(),
                program: self.recording.programs[program].name.clone(),
            });
        }
        self.order = order;
        Ok(())
    }

    /// Starts and ends of all operations under `timing`.
    ///
    /// An operation that waits for nothing begins after its delay.
    #[must_use]
    pub fn evaluate(&self, timing: &Timing) -> Ends {
        let mut ends = Ends::default();
        self.evaluate_into(&timing.delays, |at| timing.own[at], &mut ends);
        ends
    }

    /// The same into `ends`, which is used again from one timing to the next, with `own(n)` for the time of operation `n`.
    pub(crate) fn evaluate_into(
        &self,
        delays: &[SimDuration],
        own: impl Fn(usize) -> SimDuration,
        ends: &mut Ends,
    ) {
        let count = self.recording.operations.len();
        ends.starts.resize(count, SimTime::ZERO);
        ends.ends.resize(count, SimTime::ZERO);
        ends.missing.clear();
        let parties = self.first_party.windows(2).map(|pair| pair[1] - pair[0]);
        ends.missing.extend(parties);
        for &at in &self.order {
            let waited = self.waits(at).iter().map(|&wait| ends.ends[wait as usize]).max();
            let place = at as usize;
            ends.starts[place] = later(waited.unwrap_or(SimTime::ZERO), delays[place]);
            match self.recording.operations[place].meeting {
                None => ends.ends[place] = later(ends.starts[place], own(place)),
                Some(meeting) => {
                    let missing = &mut ends.missing[meeting as usize];
                    *missing -= 1;
                    if *missing == 0 {
                        let parties = self.parties(meeting);
                        let together = parties.iter().map(|&party| ends.starts[party as usize]).max();
                        let together = together.unwrap_or(ends.starts[place]);
                        for &party in parties {
                            ends.ends[party as usize] = later(together, own(party as usize));
                        }
                    }
                }
            }
        }
    }

    /// How long each step takes: from its first start to its last end where steps are apart, else from the end of the step
    /// before ([`Recording::step_spans`]).
    #[must_use]
    pub fn step_times(&self, ends: &Ends) -> Vec<SimDuration> {
        let spans = self
            .recording
            .step_spans(|at| ends.starts[at], |at| ends.ends[at]);
        spans
            .into_iter()
            .map(|(start, end)| end.saturating_since(start))
            .collect()
    }
}

/// `at + by`, at most the last instant that there is: times that are scaled up may leave any bound.
fn later(at: SimTime, by: SimDuration) -> SimTime {
    SimTime::from_picos(at.as_picos().saturating_add(by.as_picos()))
}

/// Pairs (operation, the one before it in its lane and, where steps are apart, its step).
fn lane_order(recording: &Recording) -> Vec<(u32, u32)> {
    let mut by_lane: IndexVec<LaneId, Vec<u32>> = IndexVec::filled(Vec::new(), recording.lanes.len());
    for (at, operation) in (0_u32..).zip(&recording.operations) {
        by_lane[operation.lane].push(at);
    }
    let mut pairs = Vec::new();
    for operations in by_lane.iter_mut() {
        operations.sort_by_key(|&at| recording.lane_order(at));
        let follows = |pair: &&[u32]| {
            let [before, after] = [pair[0], pair[1]].map(|at| recording.operations[at as usize].step);
            !recording.steps_apart || before == after
        };
        pairs.extend(
            operations
                .windows(2)
                .filter(follows)
                .map(|pair| (pair[1], pair[0])),
        );
    }
    pairs
}
