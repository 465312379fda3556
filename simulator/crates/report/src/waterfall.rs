//! The step as a waterfall: causes in integer picoseconds that sum to it.
//!
//! It is the [`Breakdown`] with compute taken apart: by kind of work, by what recompute adds, and by what runs
//! beside it. A mean over devices is no integer; whole picoseconds are dealt out by largest remainder, so that
//! the bars sum to the step exactly and the bars of a difference to the difference.

use orrery_timeline::{Cell, OpClass, StepTotals, Totals};
use orrery_units::SimDuration;

use crate::{Breakdown, RunFacts, State};

/// What a device spends a step on, or waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// Matrix products.
    Products,
    /// Matrix products of experts.
    Experts,
    /// Attention cores.
    Attention,
    /// Passes over memory.
    Passes,
    /// Compute of which nobody said what it is.
    Compute,
    /// Compute that is done again for the sake of memory.
    Recompute,
    /// What compute loses to what runs beside it on the device.
    Contention,
    /// Expert dispatch and combine in the way.
    AllToAll,
    /// Tensor-parallel traffic in the way.
    Tensor,
    /// Context-parallel traffic in the way.
    Context,
    /// Pipeline transfers in the way.
    Pipeline,
    /// Gradient and parameter traffic in the way.
    Data,
    /// Waiting for another stage.
    Bubble,
    /// Waiting for peers that have more to do or are slower.
    ImbalanceWait,
    /// Waiting for the host.
    Host,
    /// Optimiser and the end of the step.
    Optimizer,
    /// Done with the step, others are not.
    Idle,
}

/// What the compute of one kind of task consists of, as shares of its time alone.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WorkShares {
    /// Products, products of experts, attention cores, passes over memory; they sum to one, or to zero where
    /// nobody knows.
    pub spent: [f64; 4],
    /// The part of all that is done again for the sake of memory.
    pub recomputed: f64,
}

/// The mean measured step of the mean device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waterfall {
    step: SimDuration,
    picos: [u64; Cause::ALL.len()],
}

/// Sums over lane-steps, exact.
#[derive(Clone, Debug)]
struct Sums {
    states: Breakdown,
    /// Compute and its slow-down, by kind.
    kinds: Vec<[i128; 2]>,
}

impl Cause {
    /// Every cause, in the order of legends.
    pub const ALL: [Self; 17] = [
        Self::Products,
        Self::Experts,
        Self::Attention,
        Self::Passes,
        Self::Compute,
        Self::Recompute,
        Self::Contention,
        Self::AllToAll,
        Self::Tensor,
        Self::Context,
        Self::Pipeline,
        Self::Data,
        Self::Bubble,
        Self::ImbalanceWait,
        Self::Host,
        Self::Optimizer,
        Self::Idle,
    ];

    /// The name in files and labels.
    #[must_use]
    pub const fn name(self) -> &'static str {
        orrery_timeline::CAUSES[self as usize]
    }

    /// The name for people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Products => "matrix products",
            Self::Experts => "experts",
            Self::Attention => "attention",
            Self::Passes => "passes over memory",
            Self::Compute => "other compute",
            Self::Recompute => "recompute",
            Self::Contention => "slow-down by overlap",
            Self::AllToAll => "exposed expert exchange (EP)",
            Self::Tensor => "exposed tensor traffic (TP)",
            Self::Context => "exposed context traffic (CP)",
            Self::Pipeline => "exposed pipeline traffic (PP)",
            Self::Data => "exposed data traffic (DP)",
            Self::Bubble => "pipeline bubble",
            Self::ImbalanceWait => "imbalance wait",
            Self::Host => "host",
            Self::Optimizer => "optimizer and step end",
            Self::Idle => "idle at the step's end",
        }
    }

    /// The cause of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.name() == name)
    }

    /// Whether the device works.
    #[must_use]
    pub const fn is_compute(self) -> bool {
        (self as usize) <= (Self::Contention as usize)
    }

    /// Whether compute stands still for traffic.
    #[must_use]
    pub const fn is_traffic(self) -> bool {
        matches!(
            self,
            Self::AllToAll | Self::Tensor | Self::Context | Self::Pipeline | Self::Data
        )
    }

    const fn of(state: State) -> Self {
        match state {
            State::Compute => Self::Compute,
            State::AllToAll => Self::AllToAll,
            State::Tensor => Self::Tensor,
            State::Context => Self::Context,
            State::Pipeline => Self::Pipeline,
            State::Data => Self::Data,
            State::Bubble => Self::Bubble,
            State::ImbalanceWait => Self::ImbalanceWait,
            State::Host => Self::Host,
            State::Optimizer => Self::Optimizer,
            State::Idle => Self::Idle,
        }
    }
}

impl Waterfall {
    /// The waterfall of a step of these parts; they need not be in order, and equal causes add.
    #[must_use]
    pub fn of_parts(parts: impl IntoIterator<Item = (Cause, SimDuration)>) -> Self {
        let mut waterfall = Self::default();
        for (cause, part) in parts {
            waterfall.picos[cause as usize] += part.as_picos();
            waterfall.step += part;
        }
        waterfall
    }

    /// Every rank of every measured step, each rank counted as often as it stands for.
    #[must_use]
    pub fn of_runs(runs: &[&Totals], facts: &RunFacts) -> Self {
        let steps = runs
            .iter()
            .flat_map(|totals| totals.steps.iter().skip(facts.warmup_steps));
        let mut sums = Sums::new(facts);
        for step in steps {
            sums.add(step, facts);
        }
        sums.mean(facts)
    }

    /// Every rank of one step.
    #[must_use]
    pub fn of_step(step: &StepTotals, facts: &RunFacts) -> Self {
        let mut sums = Sums::new(facts);
        sums.add(step, facts);
        sums.mean(facts)
    }

    /// The mean measured step, which the causes sum to.
    #[must_use]
    pub const fn step(&self) -> SimDuration {
        self.step
    }

    /// Time on `cause`.
    #[must_use]
    pub const fn time(&self, cause: Cause) -> SimDuration {
        SimDuration::from_picos(self.picos[cause as usize])
    }

    /// Causes that took any time, in the order of legends.
    pub fn bars(&self) -> impl Iterator<Item = (Cause, SimDuration)> + '_ {
        Cause::ALL
            .into_iter()
            .map(|cause| (cause, self.time(cause)))
            .filter(|(_, time)| !time.is_zero())
    }

    /// What `other` takes longer than this, by cause in picoseconds: the entries sum to the difference of the steps.
    ///
    /// Worked: 5 s of experts and 1 s of bubble against 4 s and 3 s: −1 s and +2 s, in all +1 s.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Vec<(Cause, i64)> {
        let signed = |picos: u64| i64::try_from(picos).expect("a step is shorter than 106 days");
        Cause::ALL
            .into_iter()
            .map(|cause| {
                (
                    cause,
                    signed(other.picos[cause as usize]) - signed(self.picos[cause as usize]),
                )
            })
            .collect()
    }
}

impl Sums {
    fn new(facts: &RunFacts) -> Self {
        Self {
            states: Breakdown::default(),
            kinds: vec![[0; 2]; facts.kinds.len()],
        }
    }

    fn add(&mut self, step: &StepTotals, facts: &RunFacts) {
        self.states.merge(&Breakdown::of_step(step, facts));
        for rank in &facts.ranks {
            for (kind, cell) in step.lanes[rank.compute_lane].iter() {
                if matches!(facts.kinds.kind(kind).class, OpClass::Compute | OpClass::Other) {
                    let [alone, slowed] = of_cell(cell);
                    let sum = &mut self.kinds[kind.index()];
                    sum[0] += alone * i128::from(rank.stands_for);
                    sum[1] += slowed * i128::from(rank.stands_for);
                }
            }
        }
    }

    /// The sums by cause: the states of the breakdown, with compute dealt out.
    fn causes(&self, facts: &RunFacts) -> [i128; Cause::ALL.len()] {
        let mut picos = [0; Cause::ALL.len()];
        for state in State::ALL {
            picos[Cause::of(state) as usize] += self.states.picos(state);
        }
        let mut undealt = picos[Cause::Compute as usize];
        for (at, &[alone, slowed]) in self.kinds.iter().enumerate() {
            let shares = facts.shares.get(at).copied().unwrap_or_default();
            let recomputed = portion(alone, shares.recomputed);
            let mut deal = |cause: Cause, part: i128| {
                // What a lane shed for a late start was not compute; none of it is dealt twice.
                let part = part.min(undealt);
                picos[cause as usize] += part;
                undealt -= part;
            };
            deal(Cause::Contention, slowed);
            deal(Cause::Recompute, recomputed);
            const BY_WORK: [Cause; 4] = [Cause::Products, Cause::Experts, Cause::Attention, Cause::Passes];
            let known: f64 = shares.spent.iter().sum();
            let mut left = if known > 0.0 { alone - recomputed } else { 0 };
            for (cause, share) in BY_WORK.into_iter().zip(shares.spent) {
                let part = portion(alone - recomputed, share).min(left);
                deal(cause, part);
                left -= part;
            }
            // What rounding left over, a picosecond or two.
            deal(Cause::Passes, left);
        }
        picos[Cause::Compute as usize] = undealt;
        picos
    }

    /// The mean lane-step in whole picoseconds.
    fn mean(&self, facts: &RunFacts) -> Waterfall {
        let samples = self.states.samples().max(1);
        let picos = self.causes(facts);
        let total: i128 = picos.iter().sum();
        let whole = |picos: i128| u64::try_from(picos).expect("a step is shorter than 213 days");
        let mut parts = picos.map(|sum| whole(sum / samples));
        let step = whole((total + samples / 2) / samples);
        let mut short = step - parts.iter().sum::<u64>().min(step);
        let mut order: Vec<usize> = (0..picos.len()).filter(|&at| picos[at] > 0).collect();
        order.sort_by_key(|&at| std::cmp::Reverse(picos[at] % samples));
        for at in order {
            let one = short.min(1);
            parts[at] += one;
            short -= one;
        }
        assert!(
            parts.iter().sum::<u64>() == step,
            "the bars of a waterfall sum to the step"
        );
        Waterfall {
            step: SimDuration::from_picos(step),
            picos: parts,
        }
    }
}

/// Compute of a cell as it would be alone, and its slow-down.
fn of_cell(cell: &Cell) -> [i128; 2] {
    let slowed = cell.busy.saturating_sub(cell.alone);
    let all = (cell.busy + cell.idle_running).as_picos();
    [
        i128::from(all) - i128::from(slowed.as_picos()),
        i128::from(slowed.as_picos()),
    ]
}

/// `share` of `picos`, whole.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "shares of time are good to fifteen digits"
)]
fn portion(picos: i128, share: f64) -> i128 {
    ((picos as f64) * share.clamp(0.0, 1.0)) as i128
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(cause: Cause, secs: u64) -> (Cause, SimDuration) {
        (cause, SimDuration::from_millis(secs * 1000))
    }

    #[test]
    fn a_difference_by_hand() {
        let a = Waterfall::of_parts([seconds(Cause::Experts, 5), seconds(Cause::Bubble, 1)]);
        let b = Waterfall::of_parts([seconds(Cause::Experts, 4), seconds(Cause::Bubble, 3)]);
        let of = |cause: Cause| a.difference(&b)[cause as usize].1;
        assert_eq!(
            (of(Cause::Experts), of(Cause::Bubble)),
            (-1_000_000_000_000, 2_000_000_000_000)
        );
        let sum: i64 = a.difference(&b).iter().map(|bar| bar.1).sum();
        assert_eq!(sum, 1_000_000_000_000);
        assert!(a.difference(&a).iter().all(|bar| bar.1 == 0));
        let back = b.difference(&a);
        assert!(
            a.difference(&b)
                .iter()
                .zip(back)
                .all(|(there, back)| there.1 == -back.1)
        );
    }

    #[test]
    fn names_are_found_again_and_stand_in_the_registry() {
        for cause in Cause::ALL {
            assert_eq!(Cause::parse(cause.name()), Some(cause));
        }
        assert_eq!(Cause::ALL.len(), orrery_timeline::CAUSES.len());
    }
}
