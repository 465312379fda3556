//! The order of a recording's operations.

use orrery_trace::{MeetingId, Recording};
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
    /// Operations in order of their arrival.
    order: Vec<u32>,
}

/// When operations of a recording begin and end under some timing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Starts, by operation.
    pub starts: Vec<SimTime>,
    /// Ends, by operation.
    pub ends: Vec<SimTime>,
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
    /// When operations wait for each other in a circle.
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
        let mut graph = Self {
            recording,
            first,
            waits,
            first_party,
            parties,
            order: Vec::with_capacity(count),
        };
        graph.sort()?;
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

    /// The parties of `meeting`.
    #[must_use]
    pub fn parties(&self, meeting: MeetingId) -> &[u32] {
        let at = meeting as usize;
        &self.parties[self.first_party[at] as usize..self.first_party[at + 1] as usize]
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
        let count = self.recording.operations.len();
        let mut starts = vec![SimTime::ZERO; count];
        let mut ends = vec![SimTime::ZERO; count];
        let mut missing: Vec<u32> = (0..self.first_party.len() - 1)
            .map(|at| self.first_party[at + 1] - self.first_party[at])
            .collect();
        for &at in &self.order {
            let waited = self.waits(at).iter().map(|&wait| ends[wait as usize]).max();
            let place = at as usize;
            starts[place] = waited.unwrap_or(SimTime::ZERO) + timing.delays[place];
            match self.recording.operations[place].meeting {
                None => ends[place] = starts[place] + timing.own[place],
                Some(meeting) => {
                    missing[meeting as usize] -= 1;
                    if missing[meeting as usize] == 0 {
                        let parties = self.parties(meeting);
                        let together = parties.iter().map(|&party| starts[party as usize]).max();
                        let together = together.unwrap_or(starts[place]);
                        for &party in parties {
                            ends[party as usize] = together + timing.own[party as usize];
                        }
                    }
                }
            }
        }
        Ends { starts, ends }
    }

    /// How long each step takes from its first start to its last end.
    #[must_use]
    pub fn step_times(&self, ends: &Ends) -> Vec<SimDuration> {
        let mut spans = vec![(SimTime::from_picos(u64::MAX), SimTime::ZERO); self.recording.steps.len()];
        for (at, operation) in self.recording.operations.iter().enumerate() {
            if let Some((start, end)) = spans.get_mut(usize::from(operation.step)) {
                *start = (*start).min(ends.starts[at]);
                *end = (*end).max(ends.ends[at]);
            }
        }
        spans
            .into_iter()
            .map(|(start, end)| end.saturating_since(start))
            .collect()
    }
}

/// Pairs (operation, the one before it in its lane and, where steps are apart, its step).
fn lane_order(recording: &Recording) -> Vec<(u32, u32)> {
    let mut by_lane: IndexVec<LaneId, Vec<u32>> = IndexVec::filled(Vec::new(), recording.lanes.len());
    for (at, operation) in (0_u32..).zip(&recording.operations) {
        by_lane[operation.lane].push(at);
    }
    let mut pairs = Vec::new();
    for operations in by_lane.iter_mut() {
        operations.sort_by_key(|&at| {
            let operation = &recording.operations[at as usize];
            (operation.step, operation.start, at)
        });
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
