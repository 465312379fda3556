//! Who crosses a link: first those it holds back, as a heap by when they end, then all others.
//!
//! The activities a link holds back share its level, so one virtual clock (bytes that each of them has moved)
//! serves them all: the heap is ordered by the reading at which each ends, and a changed level moves nothing
//! in it. Every move writes the new position into the activity's crossing.

use super::arena::{Crossing, Span};
use super::number;

/// One activity among the members of a link.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    /// Reading of the link's clock at which the activity ends; only of those held back.
    pub(super) end: f64,
    pub(super) flow: u32,
    /// Its crossings, and which of them is this link.
    pub(super) span: Span,
    pub(super) slot: u32,
}

impl Member {
    /// The index of its crossing of this link.
    #[inline]
    pub(super) const fn crossing(&self) -> usize {
        self.span.first as usize + self.slot as usize
    }
}

/// The members of one link.
#[derive(Debug, Default)]
pub(super) struct Members {
    pub(super) all: Vec<Member>,
    num_held: usize,
}

impl Members {
    /// How many activities the link holds back.
    #[inline]
    pub(super) const fn num_held(&self) -> usize {
        self.num_held
    }

    /// Those that the link holds back.
    #[inline]
    pub(super) fn held(&self) -> &[Member] {
        &self.all[..self.num_held]
    }

    /// Those that something else holds back.
    #[inline]
    pub(super) fn others(&self) -> &[Member] {
        &self.all[self.num_held..]
    }

    /// Adds an activity that something else holds back, so far.
    pub(super) fn join(&mut self, member: Member, crossings: &mut [Crossing]) {
        crossings[member.crossing()].position = number(self.all.len());
        self.all.push(member);
    }

    /// Takes away the activity at `position`, which is not held back here.
    pub(super) fn leave(&mut self, position: usize, crossings: &mut [Crossing]) {
        assert!(position >= self.num_held, "who leaves is released first");
        self.all.swap_remove(position);
        if let Some(moved) = self.all.get(position) {
            crossings[moved.crossing()].position = number(position);
        }
    }

    /// Holds back the activity at `position` until the clock reads `end`.
    pub(super) fn hold(&mut self, position: usize, end: f64, crossings: &mut [Crossing]) {
        let boundary = self.num_held;
        self.num_held += 1;
        let mut member = self.all[position];
        member.end = end;
        let other = self.all[boundary];
        self.place(position, other, crossings);
        self.sift_up(boundary, member, crossings);
    }

    /// Releases the activity at `position`; returns the reading at which it would have ended.
    pub(super) fn release(&mut self, position: usize, crossings: &mut [Crossing]) -> f64 {
        let member = self.all[position];
        self.num_held -= 1;
        let last = self.all[self.num_held];
        self.place(self.num_held, member, crossings);
        if position < self.num_held {
            if position > 0 && last.end < self.all[(position - 1) / 4].end {
                self.sift_up(position, last, crossings);
            } else {
                self.sift_down(position, last, crossings);
            }
        }
        member.end
    }

    /// Releases everybody at once.
    pub(super) const fn release_all(&mut self) {
        self.num_held = 0;
    }

    /// Moves the activity at `position` to those held back; [`Members::restore`] makes them a heap again.
    pub(super) fn hold_unordered(&mut self, position: usize, end: f64, crossings: &mut [Crossing]) {
        let boundary = self.num_held;
        self.num_held += 1;
        let mut member = self.all[position];
        member.end = end;
        if position != boundary {
            let other = self.all[boundary];
            self.place(position, other, crossings);
        }
        self.place(boundary, member, crossings);
    }

    /// Makes those held back a heap.
    pub(super) fn restore(&mut self, crossings: &mut [Crossing]) {
        if self.num_held < 2 {
            return;
        }
        for at in (0..=(self.num_held - 2) / 4).rev() {
            let member = self.all[at];
            self.sift_down(at, member, crossings);
        }
    }

    #[inline]
    fn place(&mut self, at: usize, member: Member, crossings: &mut [Crossing]) {
        self.all[at] = member;
        crossings[member.crossing()].position = number(at);
    }

    fn sift_up(&mut self, mut at: usize, member: Member, crossings: &mut [Crossing]) {
        while at > 0 {
            let parent = (at - 1) / 4;
            if self.all[parent].end <= member.end {
                break;
            }
            self.place(at, self.all[parent], crossings);
            at = parent;
        }
        self.place(at, member, crossings);
    }

    fn sift_down(&mut self, mut at: usize, member: Member, crossings: &mut [Crossing]) {
        loop {
            let first = 4 * at + 1;
            let end = (first + 4).min(self.num_held);
            if first >= end {
                break;
            }
            let mut least = first;
            for child in first + 1..end {
                if self.all[child].end < self.all[least].end {
                    least = child;
                }
            }
            if member.end <= self.all[least].end {
                break;
            }
            self.place(at, self.all[least], crossings);
            at = least;
        }
        self.place(at, member, crossings);
    }
}
