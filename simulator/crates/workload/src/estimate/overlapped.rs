//! A forward and a backward pass run together, layer by layer, as `DualPipe` does it.

/// One layer of both passes, seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Turn {
    /// Forward, input gradients and weight gradients of attention and all that is no expert.
    pub(super) attention: [f64; 3],
    /// The same of experts.
    pub(super) experts: [f64; 3],
    /// Tensor-parallel collectives around attention, forward and backward, half of them before and half after it.
    pub(super) tensor: [f64; 2],
    /// A dispatch or a combine.
    pub(super) exchange: f64,
    /// Share of the device's units that an exchange holds.
    pub(super) units: f64,
}

/// Turns after which the time of one more no longer changes.
const SETTLED: usize = 4;

/// When what a turn leaves behind is there.
#[derive(Clone, Copy, Debug, Default)]
struct Left {
    /// The compute lane is free.
    lane: f64,
    /// The exchange lane is free, and forward's combine is done.
    wire: f64,
    /// Input gradients of attention.
    gradients: f64,
}

impl Turn {
    /// Seconds of a turn among many. What a pass waits for on its way, the other computes beside.
    ///
    /// Worked: passes of 1 s each of the six, exchanges of 0.5 s that hold nothing: 6 s, all hidden; of 2 s: 8 s, compute
    /// hidden.
    pub(super) fn seconds(&self) -> f64 {
        let compute: f64 = self.attention.iter().chain(&self.experts).sum();
        let exchanged = 4.0 * self.exchange;
        if exchanged <= 0.0 || compute <= 0.0 {
            return compute + exchanged + self.tensor[0] + self.tensor[1];
        }
        let slowed = self.slowed(compute, exchanged);
        let mut left = Left::default();
        for _ in 1..SETTLED {
            left = slowed.after(left);
        }
        slowed.after(left).lane - left.lane
    }

    /// The same turn where an exchange beside compute takes `1 + units` times as long, and compute loses what it holds.
    fn slowed(&self, compute: f64, exchanged: f64) -> Self {
        let stretch = 1.0 + self.units * (exchanged / compute).min(1.0);
        Self {
            attention: self.attention.map(|seconds| seconds * stretch),
            experts: self.experts.map(|seconds| seconds * stretch),
            exchange: self.exchange * (1.0 + self.units * (compute / exchanged).min(1.0)),
            ..*self
        }
    }

    /// What is left after a turn that follows what `left` says, each lane in the order in which `lower` issues it: attention
    /// forward, gradients and weights of experts, experts forward, gradients and weights of attention; combine of backward,
    /// dispatch of forward, dispatch of backward, combine of forward.
    fn after(&self, left: Left) -> Left {
        let around = self.tensor.map(|both| both / 2.0);
        let combined_back = left.wire.max(left.gradients) + self.exchange;
        let attention = left.lane.max(left.wire + around[0]) + self.attention[0];
        let gradients = attention.max(combined_back) + self.experts[1];
        let dispatched = combined_back.max(attention + around[0]) + self.exchange;
        let dispatched_back = dispatched.max(gradients) + self.exchange;
        let forward = (gradients + self.experts[2]).max(dispatched) + self.experts[0];
        let backward = forward.max(dispatched_back + around[1]) + self.attention[1];
        Left {
            lane: backward + self.attention[2],
            wire: dispatched_back.max(forward) + self.exchange,
            gradients: backward + around[1],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(exchange: f64, units: f64) -> Turn {
        Turn {
            attention: [1.0; 3],
            experts: [1.0; 3],
            tensor: [0.0; 2],
            exchange,
            units,
        }
    }

    #[test]
    fn the_longer_lane_decides() {
        let close =
            |found: f64, expected: f64| assert!((found - expected).abs() < 1e-9, "{found}, not {expected}");
        close(turn(0.0, 0.2).seconds(), 6.0);
        close(turn(0.5, 0.0).seconds(), 6.0);
        // Exchanges follow each other; what they wait for is done meanwhile.
        close(turn(2.0, 0.0).seconds(), 8.0);
        // 2 s of exchanges hold a tenth of the device: compute loses 0.2 s.
        close(turn(0.5, 0.1).seconds(), 6.2);
        // What attention waits for on its way hides behind the other pass.
        let tensor = Turn {
            tensor: [0.4; 2],
            ..turn(0.5, 0.0)
        };
        close(tensor.seconds(), 6.0);
    }

    /// An exchange that is as long as what it hides behind shows where its order makes it wait.
    #[test]
    fn an_order_may_leave_gaps() {
        let found = turn(1.4, 0.0).seconds();
        assert!((6.0..6.0 + 4.0 * 1.4).contains(&found), "{found}");
    }
}
