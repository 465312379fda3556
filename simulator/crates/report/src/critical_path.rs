//! The critical path of a step: the chain of activities, each released by the end of the one before, that ends
//! with the step.
//!
//! It runs backward from the last completion: from an activity to what released it, at a meeting to what released
//! the last to arrive. So nothing on it waits for another activity, and every picosecond of the step is some
//! activity's running time, or the host's.

use orrery_timeline::OpClass;
use orrery_units::{KindId, SimDuration, SimTime};

use crate::RunFacts;

/// What a piece of the path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// An activity of this kind ran.
    Running(KindId),
    /// An activity of this kind could have begun, and the host had not issued it.
    Host(KindId),
    /// What released the piece after it was forgotten.
    Unknown,
}

/// One piece of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// When it began.
    pub start: SimTime,
    /// How long it took.
    pub length: SimDuration,
    /// Of that, what contention added.
    pub slowed: SimDuration,
    /// What it was.
    pub hold: Hold,
    /// The rank that it passed on, an index into [`RunFacts::ranks`].
    pub rank: u32,
}

/// The critical path of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CriticalPath {
    start: SimTime,
    pieces: Vec<Piece>,
}

/// What activities of one kind add to the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathShare {
    /// Name of the kind; of the host's part, what waited for it.
    pub name: String,
    /// How it counts in breakdowns.
    pub class: OpClass,
    /// Pieces.
    pub pieces: usize,
    /// Time.
    pub time: SimDuration,
    /// Of that, what contention added.
    pub slowed: SimDuration,
}

impl CriticalPath {
    /// The path of a step that began at `start`, from pieces in order of time.
    ///
    /// # Panics
    /// When the pieces are not contiguous from the beginning of the step on.
    #[must_use]
    pub fn new(start: SimTime, pieces: Vec<Piece>) -> Self {
        let mut at = start;
        for piece in &pieces {
            assert!(piece.start == at, "the pieces of a critical path are contiguous");
            at += piece.length;
        }
        Self { start, pieces }
    }

    /// When the step began.
    #[must_use]
    pub const fn start(&self) -> SimTime {
        self.start
    }

    /// All pieces, in order of time.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The step, which the pieces sum to.
    #[must_use]
    pub fn length(&self) -> SimDuration {
        self.pieces.iter().map(|piece| piece.length).sum()
    }

    /// Times that the path passes from one rank to another.
    #[must_use]
    pub fn hops(&self) -> usize {
        let pairs = self.pieces.windows(2);
        pairs.filter(|pair| pair[0].rank != pair[1].rank).count()
    }

    /// What every kind adds, the most first.
    #[must_use]
    pub fn by_kind(&self, facts: &RunFacts) -> Vec<PathShare> {
        let mut shares: Vec<PathShare> = Vec::new();
        for piece in &self.pieces {
            let (name, class) = match piece.hold {
                Hold::Running(kind) => {
                    let kind = facts.kinds.kind(kind);
                    (kind.name.clone(), kind.class)
                }
                Hold::Host(_) => ("host launch".to_owned(), OpClass::Host),
                Hold::Unknown => ("unknown".to_owned(), OpClass::Other),
            };
            let at = shares.iter().position(|share| share.name == name);
            let at = at.unwrap_or_else(|| {
                shares.push(PathShare {
                    name,
                    class,
                    pieces: 0,
                    time: SimDuration::ZERO,
                    slowed: SimDuration::ZERO,
                });
                shares.len() - 1
            });
            shares[at].pieces += 1;
            shares[at].time += piece.length;
            shares[at].slowed += piece.slowed;
        }
        shares.sort_by(|a, b| b.time.cmp(&a.time).then_with(|| a.name.cmp(&b.name)));
        shares
    }

    /// Time by rank, an index into [`RunFacts::ranks`], the most first.
    #[must_use]
    pub fn by_rank(&self) -> Vec<(u32, SimDuration)> {
        let mut times: std::collections::BTreeMap<u32, SimDuration> = std::collections::BTreeMap::new();
        for piece in &self.pieces {
            *times.entry(piece.rank).or_default() += piece.length;
        }
        let mut times: Vec<(u32, SimDuration)> = times.into_iter().collect();
        times.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        times
    }

    /// The path with consecutive pieces of one rank and one class drawn together: what an eye can follow.
    #[must_use]
    pub fn strokes(&self, facts: &RunFacts) -> Vec<Stroke> {
        let mut strokes: Vec<Stroke> = Vec::new();
        for piece in &self.pieces {
            let class = match piece.hold {
                Hold::Running(kind) => facts.kinds.kind(kind).class,
                Hold::Host(_) => OpClass::Host,
                Hold::Unknown => OpClass::Other,
            };
            match strokes.last_mut() {
                Some(last) if (last.rank, last.class) == (piece.rank, class) => last.length += piece.length,
                _ => strokes.push(Stroke {
                    start: piece.start.saturating_since(self.start),
                    length: piece.length,
                    rank: piece.rank,
                    class,
                }),
            }
        }
        strokes
    }
}

/// Consecutive pieces of one rank and one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stroke {
    /// When it begins, from the beginning of the step.
    pub start: SimDuration,
    /// How long it takes.
    pub length: SimDuration,
    /// The rank, an index into [`RunFacts::ranks`].
    pub rank: u32,
    /// The class of its activities.
    pub class: OpClass,
}
