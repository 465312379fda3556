//! Parts put together as the schedule does.

use orrery_profile::{Term, Tuning};
use orrery_scenario::plan::{GraphScope, ScheduleKind};

use super::parts::{Parts, Pass, RankParts};

/// A step in closed form.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// Seconds of a step.
    pub step: f64,
    /// Of these, seconds in which the slowest pipeline rank works on its microbatches.
    pub busy: f64,
    /// Seconds in which it waits for others to fill and drain the pipeline, messages included.
    pub bubble: f64,
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
        let passes: Vec<[f64; 2]> = self.ranks.iter().map(|rank| rank.seconds(self, tuning, issue)).collect();
        let times = passes.iter().map(|[forward, backward]| forward + backward);
        let sum: f64 = times.clone().sum();
        let slowest = times.fold(0.0, f64::max);
        let microbatches = f64::from(u32::try_from(self.order.microbatches).unwrap_or(u32::MAX));
        let chunks = f64::from(self.order.chunks.max(1));
        let (busy, fill) = match self.order.schedule {
            // Each rank holds two stages and passes every microbatch through one of them.
            ScheduleKind::DualPipe => (microbatches * slowest / 2.0, (sum - 2.0 * slowest).max(0.0) / 4.0),
            _ => (microbatches * slowest, (sum - slowest) / chunks),
        };
        let bubble = fill + self.messages(tuning, microbatches);
        let data = self.traffic(tuning, passes.first().copied().unwrap_or_default(), chunks);
        let update = self.ranks.iter().map(|rank| rank.update.alone.as_secs()).fold(0.0, f64::max);
        let end = update * tuning.get(Term::Update)
            + self.barrier.as_secs()
            + self.tied.as_secs()
            + tuning.get(Term::Step);
        Estimate {
            step: busy + bubble + data + end,
            busy,
            bubble,
            data,
            end,
        }
    }

    /// Messages between pipeline ranks that show: one each way to fill and drain, and in schedules of one chunk one per
    /// microbatch, for there is no other work while it travels.
    fn messages(&self, tuning: &Tuning, microbatches: f64) -> f64 {
        let hops = f64::from(u32::try_from(self.ranks.len()).unwrap_or(u32::MAX)) - 1.0;
        if hops < 1.0 {
            return 0.0;
        }
        let chunks = f64::from(self.order.chunks);
        let steady = if self.order.chunks == 1 {
            microbatches
        } else {
            microbatches * chunks * tuning.get(Term::ExposedHop)
        };
        self.hop.as_secs() * (steady + 2.0 * hops)
    }

    /// Data-parallel traffic that shows: what is longer than four fifths of the last backward, or of the first forward,
    /// and a share of the rest.
    fn traffic(&self, tuning: &Tuning, [forward, backward]: [f64; 2], chunks: f64) -> f64 {
        let rate = tuning.get(Term::Data);
        let share = tuning.get(Term::ExposedData);
        let shown = |traffic: f64, pass: f64, hides: bool| {
            if !hides {
                return traffic;
            }
            let window = 0.8 * pass / chunks;
            (traffic - window).max(0.0) + share * traffic.min(window)
        };
        let most = |of: fn(&RankParts) -> f64| self.ranks.iter().map(of).fold(0.0, f64::max) * rate;
        let reduce = most(|rank| rank.reduce.as_secs());
        let gather = most(|rank| rank.gather.as_secs());
        shown(reduce, backward, self.order.overlaps_gradients) + shown(gather, forward, self.order.overlaps_parameters)
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

impl RankParts {
    /// Seconds of a microbatch forward and backward.
    fn seconds(&self, parts: &Parts, tuning: &Tuning, issue: f64) -> [f64; 2] {
        let small = tuning.get(Term::SmallKernels) * f64::from(self.routed);
        let forward = self.forward.spent(tuning);
        let mut backward = self.backward.spent(tuning);
        let mut smalls = [small, 1.5 * small];
        if parts.order.recomputes {
            backward -= (1.0 - tuning.get(Term::Recompute)) * forward;
            smalls[1] += small;
        }
        [
            self.forward.seconds(forward, smalls[0], tuning, issue),
            self.backward.seconds(backward, smalls[1], tuning, issue),
        ]
    }
}

impl Pass {
    /// Seconds of its kernels, without what is between them.
    fn spent(&self, tuning: &Tuning) -> f64 {
        let [products, experts, attention, passes] = self.kernel.spent.map(|spent| spent.as_secs());
        let rate = tuning.get(Term::Products);
        products / rate
            + experts / (rate * tuning.get(Term::Experts))
            + attention / tuning.get(Term::Attention)
            + passes * tuning.get(Term::Passes)
    }

    /// Seconds of the pass: its kernels with their gaps, or the host that issues them where that takes longer, and the
    /// collectives between them.
    fn seconds(&self, spent: f64, small: f64, tuning: &Tuning, issue: f64) -> f64 {
        let by_expert = f64::from(self.expert_launches);
        let launches = f64::from(self.kernel.launches) - by_expert + small;
        let device = spent + launches * tuning.get(Term::Gap);
        let host = (launches + by_expert * tuning.get(Term::ExpertLaunches)) * issue;
        let exchange = tuning.get(Term::Exchange) * tuning.get(Term::ExposedExchange);
        let together = device.max(host)
            + self.tensor.as_secs() * tuning.get(Term::Tensor)
            + self.exchange.as_secs() * exchange;
        let shards = self.shards.as_secs() * tuning.get(Term::Shards);
        together.max(shards) + tuning.get(Term::ExposedShards) * together.min(shards)
    }
}
