//! ZB-V (Qi et al. 2023, arXiv 2401.10241, section 6; "V-ZB" of the same authors' arXiv 2405.15362): two
//! chunks per rank along a V, so that microbatches come back to the rank where they entered.
//!
//! The order by hand for equal times of forward, input and weight gradients, with the counts of the paper, which
//! PyTorch's `ScheduleZBVZeroBubble` has too.

use super::{Action, Slot};

/// A rank's list while it grows: how many passes of each chunk are in it.
#[derive(Default)]
struct Builder {
    forwards: [u32; 2],
    backwards: [u32; 2],
    weights: [u32; 2],
    actions: Vec<Action>,
}

/// The order of work of one rank.
pub(super) fn order(pp: u32, pipeline: u32, num_microbatches: u32) -> Vec<Action> {
    assert!(
        num_microbatches + 1 >= 2 * pp,
        "ZB-V needs at least {} microbatches, not {num_microbatches}",
        2 * pp - 1
    );
    let inner = pp - pipeline;
    let mut list = Builder::default();
    list.warm_up(pipeline, inner);
    list.steady(num_microbatches);
    list.cool_down(pipeline, inner);
    list.actions
}

impl Builder {
    /// Forwards until the first microbatch has come back, then the first backwards of the way up.
    fn warm_up(&mut self, depth: u32, inner: u32) {
        for _ in 0..2 * inner - 1 {
            self.forward(0);
        }
        for _ in 0..depth {
            self.forward(1);
            self.forward(0);
        }
        for _ in 0..inner {
            self.forward(1);
            self.backward(1);
            self.weight(1);
        }
    }

    /// Forward, input and weight gradients of the way down, then of the way up; without forwards of the way down once
    /// they have run out.
    fn steady(&mut self, num_microbatches: u32) {
        while self.forwards[1] < num_microbatches {
            if self.forwards[0] < num_microbatches {
                self.forward(0);
            }
            self.backward(0);
            self.weight(0);
            self.forward(1);
            self.backward(1);
            self.weight(1);
        }
    }

    /// Input gradients first, for other ranks wait for them; weight gradients last.
    fn cool_down(&mut self, depth: u32, inner: u32) {
        for _ in 0..depth {
            self.backward(0);
            self.backward(1);
        }
        for _ in 0..inner {
            self.backward(0);
            self.weight(0);
        }
        for chunk in [1, 0] {
            while self.weights[chunk] < self.backwards[chunk] {
                self.weight(chunk);
            }
        }
    }

    fn forward(&mut self, chunk: usize) {
        let slot = take(&mut self.forwards, chunk);
        self.actions.push(Action::Forward(slot));
    }

    fn backward(&mut self, chunk: usize) {
        let slot = take(&mut self.backwards, chunk);
        self.actions.push(Action::BackwardInput(slot));
    }

    fn weight(&mut self, chunk: usize) {
        let slot = take(&mut self.weights, chunk);
        self.actions.push(Action::BackwardWeight(slot));
    }
}

/// The next microbatch of `chunk`.
fn take(counts: &mut [u32; 2], chunk: usize) -> Slot {
    counts[chunk] += 1;
    Slot {
        chunk: u32::from(chunk == 1),
        microbatch: counts[chunk] - 1,
    }
}
