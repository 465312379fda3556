//! The critical path while it grows: every completed activity with a link to what released it, and nothing that no
//! later activity can reach.
//!
//! Activities form a forest whose roots lie at the beginning of the step. A node is kept as long as a task that may
//! still release another names it, or a kept node does; chains of peers run together soon, so that few are.

use orrery_report::{CriticalPath, Hold, Piece};
use orrery_units::{KindId, SimDuration, SimTime};

use super::kept::NONE;
use super::witness::Completed;

#[derive(Clone, Copy, Debug)]
struct Node {
    parent: u32,
    references: u32,
    /// When the parent ended; the host's part reaches from here to `start`.
    released: u64,
    start: u64,
    end: u64,
    slowed: u64,
    program: u32,
    kind: KindId,
}

/// Grows the path of the last step.
#[derive(Debug)]
pub(super) struct PathBuilder {
    step: u16,
    nodes: Vec<Node>,
    free: Vec<u32>,
    /// When the last task of earlier steps completed.
    begin: u64,
    last: u32,
    /// The node of the meeting completed last, which its other parties share.
    meeting: Option<(u32, u32, u32)>,
}

impl PathBuilder {
    pub(super) fn new(step: u16) -> Self {
        Self {
            step,
            nodes: Vec::new(),
            free: Vec::new(),
            begin: 0,
            last: NONE,
            meeting: None,
        }
    }

    /// Takes in a completion; gives the node, with one reference to it.
    pub(super) fn completed(&mut self, done: &Completed<'_>) -> u32 {
        if done.task.step < self.step {
            self.begin = self.begin.max(done.end);
            return NONE;
        }
        let shared = self.meeting.filter(|&(group, number, at)| {
            (group, number) == (done.task.group, done.task.number)
                && group != NONE
                && self.nodes[at as usize].end == done.end
                // A message is sent on one rank and received on another, and either may be what a path goes through.
                && self.nodes[at as usize].kind == done.task.kind
        });
        let at = match shared {
            Some((_, _, at)) => {
                let node = &mut self.nodes[at as usize];
                // What no party had to do is contention.
                node.slowed = node
                    .slowed
                    .min((done.end - done.start).saturating_sub(done.task.alone));
                at
            }
            None => self.add(done),
        };
        self.keep(at);
        at
    }

    fn add(&mut self, done: &Completed<'_>) -> u32 {
        let node = Node {
            parent: done.released_by,
            references: 0,
            released: done.critical.released,
            start: done.start,
            end: done.end,
            slowed: (done.end - done.start).saturating_sub(done.task.alone),
            program: done.critical.program,
            kind: done.task.kind,
        };
        if node.parent != NONE {
            self.keep(node.parent);
        }
        let at = if let Some(at) = self.free.pop() {
            self.nodes[at as usize] = node;
            at
        } else {
            self.nodes.push(node);
            u32::try_from(self.nodes.len() - 1).expect("fewer than 2^32 activities are kept")
        };
        // Completions come in order of time: the last one ends the step.
        self.keep(at);
        let before = std::mem::replace(&mut self.last, at);
        if before != NONE {
            self.forget(before);
        }
        if done.task.group != NONE {
            self.keep(at);
            if let Some((_, _, before)) = self.meeting.replace((done.task.group, done.task.number, at)) {
                self.forget(before);
            }
        }
        at
    }

    pub(super) fn keep(&mut self, at: u32) {
        self.nodes[at as usize].references += 1;
    }

    pub(super) fn forget(&mut self, at: u32) {
        let mut at = at;
        while at != NONE {
            let node = &mut self.nodes[at as usize];
            node.references -= 1;
            if node.references > 0 {
                return;
            }
            self.free.push(at);
            at = node.parent;
        }
    }

    /// The most activities that were kept at any time.
    #[cfg(test)]
    pub(super) fn most(&self) -> usize {
        self.nodes.len()
    }

    /// The path: from the end of the step back to its beginning.
    pub(super) fn path(&self) -> CriticalPath {
        let mut pieces = Vec::new();
        let mut until = match self.last {
            NONE => self.begin,
            last => self.nodes[last as usize].end,
        };
        let mut at = self.last;
        let mut rank = 0;
        let mut put = |until: &mut u64, from: u64, slowed: u64, hold: Hold, rank: u32| {
            let from = from.max(self.begin);
            if from < *until {
                let length = SimDuration::from_picos(*until - from);
                pieces.push(Piece {
                    start: SimTime::from_picos(from),
                    length,
                    slowed: SimDuration::from_picos(slowed).min(length),
                    hold,
                    rank,
                });
                *until = from;
            }
        };
        while at != NONE && until > self.begin {
            let node = &self.nodes[at as usize];
            rank = node.program;
            put(
                &mut until,
                node.start,
                node.slowed,
                Hold::Running(node.kind),
                rank,
            );
            put(&mut until, node.released, 0, Hold::Host(node.kind), rank);
            at = node.parent;
        }
        put(&mut until, self.begin, 0, Hold::Unknown, rank);
        pieces.reverse();
        CriticalPath::new(SimTime::from_picos(self.begin), pieces)
    }
}
