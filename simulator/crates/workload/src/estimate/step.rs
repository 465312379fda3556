//! Parts put together as the schedule does.

use orrery_profile::{Term, Tuning};
use orrery_scenario::plan::{GraphScope, ScheduleKind};
use smallvec::SmallVec;

use super::overlapped::Turn;
use super::parts::{Parts, Pass, RankParts, Ring};
use crate::cost::{COLLECTIVE_LAUNCHES, Labour, waits};

/// A step in closed form.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// Seconds of a step.
    pub step: f64,
    /// Of these, seconds in which the slowest pipeline rank works on its microbatches.
    pub busy: f64,
    /// Seconds in which it waits for others to fill and drain the pipeline, messages included.
    pub bubble: f64,
    /// Seconds in which a pipeline rank of the mean waits for others: what `train.bubble_ratio` counts. Ranks with less to
    /// do than the slowest wait longer than that.
    pub waits: f64,
    /// Seconds in which gradients and parameters travel and nothing hides it.
    pub data: f64,
    /// Seconds of the end of the step: norm, optimiser, agreement, and what no microbatch accounts for.
    pub end: f64,
}

impl Parts {
    /// A step, where the stack makes of kernels and collectives what `tuning` says.
    ///
    /// `m max t + (Σ t − max t) / v` for `m` microbatches of `t` per pipeline rank in `v` chunks, which is `Σ t + (m − 1)
    /// max t` for 1F1B (Narayanan 2021, section 2.2, on stages of unequal time), plus messages, plus what of the
    /// data-parallel traffic finds no pass to hide behind. Worked: four ranks of 3 s, 8 microbatches, no traffic: 33 s.
    #[must_use]
    pub fn step(&self, tuning: &Tuning) -> Estimate {
        let issue = self.order.issue(tuning);
        let of_sorts: SmallVec<[Passes; 4]> = self
            .sorts
            .iter()
            .map(|sort| sort.passes(self, tuning, issue))
            .collect();
        let anew = self.order.synchronises;
        let passes: SmallVec<[[f64; 2]; 16]> = self
            .ranks
            .iter()
            .map(|&sort| of_sorts[sort].seconds(anew))
            .collect();
        let whole = |[forward, backward]: &[f64; 2]| forward + backward;
        let all: f64 = passes.iter().map(whole).sum();
        let (mut sum, mut slowest, mut others) = (0.0, 0.0, 0.0);
        for (at, (&sort, passes)) in self.ranks.iter().zip(&passes).enumerate() {
            let cycle = self.cycle(&of_sorts[sort], at).unwrap_or_else(|| whole(passes));
            sum += cycle;
            if cycle > slowest {
                (slowest, others) = (cycle, all - whole(passes));
            }
        }
        let microbatches = f64::from(u32::try_from(self.order.microbatches).unwrap_or(u32::MAX));
        let chunks = f64::from(self.order.chunks.max(1));
        let begins = match self.ranks.first() {
            Some(&first) if !anew => of_sorts[first].begins() / chunks,
            _ => 0.0,
        };
        let (busy, fill) = match self.order.schedule {
            ScheduleKind::GPipe | ScheduleKind::OneFOneB | ScheduleKind::Interleaved => {
                (microbatches * slowest + begins, others / chunks)
            }
            other => self.deferred(other, &passes, tuning, microbatches),
        };
        let bubble = fill + self.messages(microbatches);
        // A rank of time `t` works `t / max t` of the time that the slowest does.
        let count = f64::from(u32::try_from(self.ranks.len()).unwrap_or(u32::MAX));
        let share = if slowest > 0.0 {
            sum / (count * slowest)
        } else {
            1.0
        };
        let waits = fill + busy * (1.0 - share);
        let data = self.traffic(tuning, passes.first().copied().unwrap_or_default(), chunks);
        let update = self
            .sorts
            .iter()
            .map(|rank| rank.update.alone.as_secs())
            .fold(0.0, f64::max);
        let end = update * tuning.get(Term::Update)
            + self.barrier.as_secs()
            + self.tied.as_secs()
            + tuning.get(Term::Step);
        Estimate {
            step: busy + bubble + data + end,
            busy,
            bubble,
            waits,
            data,
            end,
        }
    }

    /// Seconds from one microbatch to the next on pipeline rank `at` of 1F1B whose hosts wait for what they receive: no host
    /// waits between the two passes that lie between two receives, which on the first rank are a backward and the forward
    /// after it, and on the last one a forward and its backward; ranks between them receive for each.
    fn cycle(&self, passes: &Passes, at: usize) -> Option<f64> {
        if !self.order.synchronises || self.order.schedule != ScheduleKind::OneFOneB {
            return None;
        }
        let &Passes { device, host, loss } = passes;
        let (first, second) = match at {
            0 => (1, 0),
            at if at + 1 == self.ranks.len() => (0, 1),
            _ => return None,
        };
        let [issued, worked] = [host, device].map(|[forward, backward]| forward + backward);
        Some(issued.max(worked).max(host[first] + device[second]) + loss)
    }

    /// Time at work and bubble of schedules that defer gradients of weights, on the slowest rank, as published for even
    /// stages: ZB-H1 `(p − 1)(T_F + T_B − T_W)` (Qi 2023, table 2); ZB-V none but `(p − 1) T_F` where ranks wait for each
    /// other at the end; DualPipe `(p / 2 − 1)(F&B + B − 3 W)` and DualPipeV `(p − 1)(F&B + B − 3 W)` of a chunk (DeepSeek's
    /// own tables). `F&B` is a forward and a backward pass layer by layer ([`Turn`]).
    fn deferred(
        &self,
        schedule: ScheduleKind,
        passes: &[[f64; 2]],
        tuning: &Tuning,
        microbatches: f64,
    ) -> (f64, f64) {
        let whole = |[forward, backward]: &[f64; 2]| forward + backward;
        let slowest = (0..passes.len()).max_by(|&a, &b| whole(&passes[a]).total_cmp(&whole(&passes[b])));
        let at = slowest.unwrap_or(0);
        let [forward, backward] = passes.get(at).copied().unwrap_or_default();
        let slowest = self.ranks.get(at).map(|&sort| &self.sorts[sort]);
        let weight = slowest.map_or(0.0, |rank| {
            let busy = rank.weight.busy(rank.weight.spent(tuning), 0.0, tuning);
            rank.weight.seconds(busy, tuning)
        });
        let together = slowest.map_or(0.0, |rank| {
            rank.together([forward, backward], weight, self.order.exchange_units, tuning)
        });
        let neighbours = f64::from(u32::try_from(passes.len()).unwrap_or(u32::MAX)) - 1.0;
        // As many passes as there are ranks fill the pipeline, and drain it, with none to run beside.
        let alone = (neighbours + 1.0).min(microbatches);
        let paired = (microbatches - alone) * together + alone * (forward + backward);
        // Times of a rank are those of both of its chunks.
        let around = (together + backward - 3.0 * weight).max(0.0) / 2.0;
        match schedule {
            ScheduleKind::DualPipe => {
                let bubble = (neighbours.midpoint(1.0) - 1.0).max(0.0) * around;
                (paired / 2.0, bubble)
            }
            ScheduleKind::DualPipeV => (paired, neighbours * around),
            ScheduleKind::ZeroBubbleV => (microbatches * (forward + backward), neighbours * forward / 2.0),
            _ => {
                let bubble = neighbours * (forward + backward - 2.0 * weight).max(0.0);
                (microbatches * (forward + backward), bubble)
            }
        }
    }

    /// Messages between pipeline ranks that show: one each way to fill and drain, and in schedules of one chunk one per
    /// microbatch, for there is no other work while it travels; other chunks hide it.
    fn messages(&self, microbatches: f64) -> f64 {
        let hops = f64::from(u32::try_from(self.ranks.len()).unwrap_or(u32::MAX)) - 1.0;
        if hops < 1.0 {
            return 0.0;
        }
        let steady = if self.order.chunks == 1 { microbatches } else { 0.0 };
        self.hop.as_secs() * (steady + 2.0 * hops)
    }

    /// Data-parallel traffic that shows: what is longer than four fifths of the last backward, or of the first forward;
    /// of the rest, what it takes from the compute that hides it: the units that it holds, for as long as it takes.
    fn traffic(&self, tuning: &Tuning, [forward, backward]: [f64; 2], chunks: f64) -> f64 {
        let rate = tuning.get(Term::Data);
        let shown = |traffic: f64, held: f64, pass: f64, hides: bool| {
            if !hides || traffic <= 0.0 {
                return traffic;
            }
            let window = 0.8 * pass / chunks;
            (traffic - window).max(0.0) + held * (window / traffic).min(1.0)
        };
        let most = |of: fn(&RankParts) -> f64| self.sorts.iter().map(of).fold(0.0, f64::max) * rate;
        let reduce = most(|rank| rank.reduce.as_secs());
        let gather = most(|rank| rank.gather.as_secs());
        let [reducing, gathering] = [most(|rank| rank.held[0]), most(|rank| rank.held[1])];
        shown(reduce, reducing, backward, self.order.overlaps_gradients)
            + shown(gather, gathering, forward, self.order.overlaps_parameters)
    }
}

impl super::Order {
    /// Host time to issue one kernel, seconds.
    fn issue(&self, tuning: &Tuning) -> f64 {
        let tuned = tuning.get(Term::Launch);
        let launch = if tuned > 0.0 { tuned } else { self.launch.as_secs() };
        match self.graphs {
            GraphScope::None => launch,
            GraphScope::Router | GraphScope::Attention => launch * tuning.get(Term::Ungraphed),
            GraphScope::Full => 0.0,
        }
    }
}

impl super::Order {
    /// Seconds of a microbatch around its loss; none where whole steps are replayed from graphs.
    fn around_loss(&self, tuning: &Tuning) -> f64 {
        match self.graphs {
            GraphScope::Full => 0.0,
            GraphScope::None | GraphScope::Router | GraphScope::Attention => tuning.get(Term::Microbatch),
        }
    }
}

impl RankParts {
    /// Seconds of a forward and a backward pass run together, of which each alone takes what `alone` says.
    fn together(&self, [forward, backward]: [f64; 2], weight: f64, units: f64, tuning: &Tuning) -> f64 {
        let layers = f64::from(self.routed);
        if self.routed == 0 {
            return forward + backward;
        }
        let shown = tuning.get(Term::Exchange) * tuning.get(Term::ExposedExchange);
        let exchanged = [self.forward, self.backward].map(|pass| pass.exchange.as_secs() * shown);
        let tensor =
            [self.forward, self.backward].map(|pass| pass.tensor.as_secs() * tuning.get(Term::Tensor));
        let experts = [self.forward, self.backward, self.weight].map(|pass| pass.experts(tuning));
        let gradients = (experts[1] - experts[2]).max(0.0);
        let attention = [
            forward - exchanged[0] - tensor[0] - experts[0],
            backward - exchanged[1] - tensor[1] - weight - gradients,
            weight - experts[2],
        ];
        let turn = Turn {
            attention: attention.map(|seconds| seconds.max(0.0) / layers),
            experts: [experts[0], gradients, experts[2]].map(|seconds| seconds / layers),
            tensor: tensor.map(|seconds| seconds / layers),
            exchange: (exchanged[0] + exchanged[1]) / (4.0 * layers),
            units,
        };
        turn.seconds() * layers
    }

    /// A microbatch forward and backward.
    fn passes(&self, parts: &Parts, tuning: &Tuning, issue: f64) -> Passes {
        let small = tuning.get(Term::LayerKernels) * f64::from(self.layers)
            + tuning.get(Term::SmallKernels) * f64::from(self.routed);
        let spent = self.forward.spent(tuning);
        let mut again = self.backward.spent(tuning);
        let mut smalls = [small, 1.5 * small];
        if parts.order.recomputes {
            again -= (1.0 - tuning.get(Term::Recompute)) * spent;
            smalls[1] += small;
        }
        let both = [
            (&self.forward, spent, smalls[0]),
            (&self.backward, again, smalls[1]),
        ];
        let [forward, backward] = both.map(|(pass, spent, small)| {
            let busy = pass.busy(spent, small, tuning);
            let host = pass.issued(small, tuning) * issue;
            let waits = waits(tuning, host, busy);
            let collectives = f64::from(pass.collectives * COLLECTIVE_LAUNCHES) * issue;
            (pass.seconds(busy + waits, tuning), host + collectives + waits)
        });
        Passes {
            device: [forward.0, backward.0],
            host: [forward.1, backward.1],
            loss: parts.order.around_loss(tuning) * f64::from(self.heads),
        }
    }
}

/// A microbatch of a pipeline rank, its forward and its backward pass.
#[derive(Clone, Copy, Debug)]
struct Passes {
    /// Seconds that its device takes.
    device: [f64; 2],
    /// Seconds that its host takes to issue them.
    host: [f64; 2],
    /// Seconds around its loss.
    loss: f64,
}

impl Passes {
    /// Seconds of both passes: each as long as the slower of host and device where the host begins anew with each;
    /// else it runs ahead of the device, over both passes together, and where it is the slower one, both take longer alike.
    fn seconds(&self, begins_anew: bool) -> [f64; 2] {
        let Self { device, host, loss } = *self;
        let [forward, backward] = if begins_anew {
            [device[0].max(host[0]), device[1].max(host[1])]
        } else {
            let [device_sum, host_sum] = [device, host].map(|[forward, backward]| forward + backward);
            let slower = if host_sum > device_sum {
                host_sum / device_sum
            } else {
                1.0
            };
            device.map(|seconds| seconds * slower)
        };
        [forward + loss, backward]
    }

    /// Seconds of a step in which the slower of a host that runs ahead and its device has nothing to do: at its begin the
    /// device, where the first forward pass is issued more slowly than it runs; at its end the host, where the last backward
    /// pass runs more slowly than it was issued.
    ///
    /// Worked: a host that takes 2 s for each pass, of 1 s and 4 s, is ahead from the second on: 1 s.
    fn begins(&self) -> f64 {
        let [device, host] = [self.device, self.host].map(|[forward, backward]| forward + backward);
        let late = if host > device {
            self.device[1] - self.host[1]
        } else {
            self.host[0] - self.device[0]
        };
        late.max(0.0)
    }
}

impl Pass {
    /// Seconds of its grouped products.
    fn experts(&self, tuning: &Tuning) -> f64 {
        let spent = self.kernel.spent[Labour::Experts as usize].as_secs();
        spent / (tuning.get(Term::Products) * tuning.get(Term::Experts))
    }

    /// Seconds of its kernels, without what is between them.
    fn spent(&self, tuning: &Tuning) -> f64 {
        let [products, experts, attention, passes] = self.kernel.spent.map(|spent| spent.as_secs());
        let rate = tuning.get(Term::Products);
        let unaligned = self.kernel.unaligned.as_secs() * (1.0 / tuning.get(Term::Unaligned) - 1.0);
        (products + unaligned) / rate
            + experts / (rate * tuning.get(Term::Experts))
            + attention / tuning.get(Term::Attention)
            + passes * tuning.get(Term::Passes)
    }

    /// Kernels that the host issues.
    fn issued(&self, small: f64, tuning: &Tuning) -> f64 {
        let by_expert = f64::from(self.expert_launches);
        f64::from(self.kernel.launches) + small + by_expert * (tuning.get(Term::ExpertLaunches) - 1.0)
    }

    /// Seconds of its kernels, which take `spent`, with their gaps.
    fn busy(&self, spent: f64, small: f64, tuning: &Tuning) -> f64 {
        let kernels = f64::from(self.kernel.launches - self.expert_launches) + small;
        spent + kernels * tuning.get(Term::Gap)
    }

    /// Seconds of the pass: its kernels and the collectives between them, with sharded parameters on their way meanwhile.
    ///
    /// Where these hold a share `u` of the device's units, both run at `1 / (1 + u)` until the shorter one is done, which is
    /// `max + u min` (the law of the engine's contention). Worked: 3 s and 2 s at a fifth of the units: 3.4 s.
    fn seconds(&self, busy: f64, tuning: &Tuning) -> f64 {
        let exchange = tuning.get(Term::Exchange) * tuning.get(Term::ExposedExchange);
        let together = busy
            + self.tensor.as_secs() * tuning.get(Term::Tensor)
            + self.context.as_secs()
            + self.rings.iter().map(|ring| ring.shown(tuning)).sum::<f64>()
            + self.exchange.as_secs() * exchange;
        let shards = self.shards.as_secs();
        if shards <= 0.0 {
            return together;
        }
        let units = (self.shards_held / shards + tuning.get(Term::ShardUnits)).min(1.0);
        let shards = shards * tuning.get(Term::Shards);
        together.max(shards) + units * together.min(shards)
    }
}

impl Ring {
    /// Seconds that the messages add: what is longer than the attention beside them, and the units that they take from it.
    fn shown(&self, tuning: &Tuning) -> f64 {
        let messages = self.messages.as_secs();
        if messages <= 0.0 {
            return 0.0;
        }
        let beside = self.attention.as_secs() / tuning.get(Term::Attention)
            + self.passes.as_secs() * tuning.get(Term::Passes);
        (messages - beside).max(0.0) + self.held * (beside / messages).min(1.0)
    }
}
