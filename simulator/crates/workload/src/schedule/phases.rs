//! The eight phases that DualPipe and DualPipeV share, with the counts of the published algorithm
//! (github.com/deepseek-ai/DualPipe, `dualpipe.py` and `dualpipev.py`), written anew here.
//!
//! "Near" is the chunk through which a microbatch enters at the rank's own end, "far" the other one; the published
//! comments call them 0 and 1.

use std::collections::VecDeque;

use super::{Action, Slot};

/// Where a direction enters, seen from a rank.
#[derive(Clone, Copy)]
enum Side {
    Near,
    Far,
}

/// Whether a backward leaves its weight gradients for later.
#[derive(Clone, Copy, PartialEq)]
enum Weights {
    Now,
    Later,
}

/// A rank's place in its half of DualPipe, or in the V that such a half is.
pub(super) struct Half {
    /// Ranks of the half, or of the V.
    pub(super) ranks: u32,
    /// Distance from the end where microbatches enter.
    pub(super) depth: u32,
    /// Chunk of the near side.
    pub(super) near: u32,
    /// The first microbatch of each chunk.
    pub(super) first: [u32; 2],
    /// Microbatches of each chunk.
    pub(super) microbatches: u32,
}

/// A rank's list while it grows.
struct Builder {
    /// Chunk (direction) of the near side.
    near: u32,
    /// The next forward microbatch of each direction.
    next_forward: [u32; 2],
    /// The next backward microbatch of each direction.
    next_backward: [u32; 2],
    /// Weight gradients left for later, first in first out.
    deferred: VecDeque<Slot>,
    actions: Vec<Action>,
}

/// The order of work of one rank of a half.
pub(super) fn order_of(half: Half) -> Vec<Action> {
    // Ranks between it and the middle, or the turn of the V.
    let inner = half.ranks - 1 - half.depth;
    let mut list = Builder {
        near: half.near,
        next_forward: half.first,
        next_backward: half.first,
        deferred: VecDeque::new(),
        actions: Vec::new(),
    };
    list.warm_up(half.depth, inner);
    list.steady(half.microbatches - 2 * half.ranks + half.depth + 1, inner == 0);
    list.cool_down(half.depth, inner);
    assert!(
        list.deferred.is_empty(),
        "every deferred weight gradient is computed"
    );
    list.actions
}

impl Builder {
    /// Phases 1 to 3: near forwards, forwards of both sides, then backward, weights and forward of the far side.
    fn warm_up(&mut self, depth: u32, inner: u32) {
        for _ in 0..2 * inner {
            self.forward(Side::Near);
        }
        for _ in 0..=depth {
            self.forward(Side::Near);
            self.forward(Side::Far);
        }
        for _ in 0..inner {
            self.backward(Side::Far, Weights::Later);
            self.weights();
            self.forward(Side::Far);
        }
    }

    /// Phase 4, and most of the step: overlapped pairs, near forward with far backward and the reverse. The
    /// ranks in the middle, or at the turn, run the first pair apart, as published, since its backward waits for its partner.
    fn steady(&mut self, rounds: u32, middle: bool) {
        for round in 0..rounds {
            if round == 0 && middle {
                self.forward(Side::Near);
                self.backward(Side::Far, Weights::Now);
            } else {
                self.overlapped(Side::Near, Side::Far);
            }
            self.overlapped(Side::Far, Side::Near);
        }
    }

    /// Phases 5 to 8: the last forwards, then backwards, half way through with weight gradients left for the
    /// bubbles at the end.
    fn cool_down(&mut self, depth: u32, inner: u32) {
        for _ in 0..inner {
            self.backward(Side::Far, Weights::Now);
            self.overlapped(Side::Far, Side::Near);
        }
        // 2 (depth + 1) backwards, the last depth + 1 of them without weights.
        for number in 0..2 * (depth + 1) {
            let weights = if number <= depth {
                Weights::Now
            } else {
                Weights::Later
            };
            let side = if number % 2 == 0 { Side::Far } else { Side::Near };
            self.backward(side, weights);
        }
        for _ in 0..inner {
            self.weights();
            self.backward(Side::Near, Weights::Later);
        }
        for _ in 0..=depth {
            self.weights();
        }
    }

    const fn chunk(&self, side: Side) -> u32 {
        match side {
            Side::Near => self.near,
            Side::Far => 1 - self.near,
        }
    }

    fn take_forward(&mut self, side: Side) -> Slot {
        let chunk = self.chunk(side);
        let next = &mut self.next_forward[chunk as usize];
        *next += 1;
        Slot {
            chunk,
            microbatch: *next - 1,
        }
    }

    fn take_backward(&mut self, side: Side) -> Slot {
        let chunk = self.chunk(side);
        let next = &mut self.next_backward[chunk as usize];
        *next += 1;
        Slot {
            chunk,
            microbatch: *next - 1,
        }
    }

    fn forward(&mut self, side: Side) {
        let slot = self.take_forward(side);
        self.actions.push(Action::Forward(slot));
    }

    fn backward(&mut self, side: Side, weights: Weights) {
        let slot = self.take_backward(side);
        if weights == Weights::Now {
            self.actions.push(Action::Backward(slot));
        } else {
            self.deferred.push_back(slot);
            self.actions.push(Action::BackwardInput(slot));
        }
    }

    fn overlapped(&mut self, forward: Side, backward: Side) {
        let (forward, backward) = (self.take_forward(forward), self.take_backward(backward));
        self.actions.push(Action::Overlapped { forward, backward });
    }

    fn weights(&mut self) {
        let slot = self
            .deferred
            .pop_front()
            .expect("the phases pair each deferral with one of these");
        self.actions.push(Action::BackwardWeight(slot));
    }
}
