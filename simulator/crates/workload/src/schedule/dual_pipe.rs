//! DualPipe (DeepSeek-V3, arXiv 2412.19437, section 3.2.1): microbatches enter from both ends, and a forward
//! of one direction overlaps with a backward of the other.
//!
//! The eight phases and their counts are those of the published algorithm (github.com/deepseek-ai/DualPipe),
//! written anew here. "Near" is the direction that enters at the rank's own half of the pipeline, "far" the
//! other one; the published comments call them 0 and 1.

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

/// The order of work of one rank.
pub(super) fn order(pp: u32, pipeline: u32, num_microbatches: u32) -> Vec<Action> {
    assert!(
        pp.is_multiple_of(2),
        "DualPipe needs an even pipeline degree, not {pp}"
    );
    assert!(
        num_microbatches.is_multiple_of(2) && num_microbatches >= 2 * pp,
        "DualPipe needs an even number of at least {} microbatches, not {num_microbatches}",
        2 * pp
    );
    let half = num_microbatches / 2;
    // Distance from the nearer end, and how many ranks lie between it and the middle.
    let depth = pipeline.min(pp - 1 - pipeline);
    let inner = pp / 2 - 1 - depth;
    let mut list = Builder {
        near: u32::from(pipeline >= pp / 2),
        next_forward: [0, half],
        next_backward: [0, half],
        deferred: VecDeque::new(),
        actions: Vec::new(),
    };
    list.warm_up(depth, inner);
    list.steady(half - pp + depth + 1, inner == 0);
    list.cool_down(depth, inner);
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
    /// two middle ranks run the first pair apart, as published, since its backward waits for its partner.
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
