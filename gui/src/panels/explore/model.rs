//! The layouts of a search as rows and axes. No widget is known here.

use orrery::sweep::{Candidate, Found};
use orrery_scenario::LayoutChoice;
use orrery_scenario::plan::Recompute;
use orrery_units::Bytes;

use crate::document::{Facts, Footing};
use crate::words::thousands;

/// A layout that the rules allow.
#[derive(Clone, Debug)]
pub struct Row {
    /// What it is.
    pub choice: LayoutChoice,
    /// Data-parallel degree.
    pub dp: u32,
    /// The step in seconds: simulated if it was, else estimated.
    pub step: f64,
    /// The estimated step.
    pub estimate: f64,
    /// Whether the step was simulated.
    pub simulated: bool,
    /// Share of the dense BF16 peak.
    pub mfu: f64,
    /// Tokens of a device in a second.
    pub tokens: f64,
    /// The most bytes that a device holds.
    pub peak: f64,
    /// Why it does not fit, if it does not.
    pub too_large: Option<String>,
    /// Whether none is both faster and smaller.
    pub on_front: bool,
    /// Whether a tensor-parallel group reaches beyond the scale-up network.
    pub beyond_domain: bool,
}

/// What a layout is sorted, drawn and chosen by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Axis {
    /// Seconds of a step.
    #[default]
    Step,
    /// Share of the peak.
    Mfu,
    /// Tokens of a device in a second.
    Tokens,
    /// The most that a device holds.
    Peak,
    /// Tensor parallelism.
    Tensor,
    /// Pipeline ranks.
    Pipeline,
    /// Expert parallelism.
    Expert,
    /// Tensor parallelism inside an expert.
    ExpertTensor,
    /// Data parallelism.
    Data,
    /// Sequences of a microbatch.
    MicroBatch,
    /// The schedule.
    Schedule,
    /// What is recomputed.
    Recompute,
}

impl Axis {
    /// Every axis, in the order of the table.
    pub const ALL: [Self; 12] = [
        Self::Step,
        Self::Mfu,
        Self::Tokens,
        Self::Peak,
        Self::Tensor,
        Self::Pipeline,
        Self::Expert,
        Self::ExpertTensor,
        Self::Data,
        Self::MicroBatch,
        Self::Schedule,
        Self::Recompute,
    ];
    /// The axes of parallel coordinates, from left to right: what is chosen, and what comes of it.
    pub const PARALLEL: [Self; 10] = [
        Self::Tensor,
        Self::Pipeline,
        Self::Expert,
        Self::ExpertTensor,
        Self::MicroBatch,
        Self::Schedule,
        Self::Recompute,
        Self::Peak,
        Self::Mfu,
        Self::Step,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Mfu => "MFU",
            Self::Tokens => "tokens/s/GPU",
            Self::Peak => "peak memory",
            Self::Tensor => "TP",
            Self::Pipeline => "PP",
            Self::Expert => "EP",
            Self::ExpertTensor => "expert TP",
            Self::Data => "DP",
            Self::MicroBatch => "microbatch",
            Self::Schedule => "schedule",
            Self::Recompute => "recompute",
        }
    }

    /// Its name where there is little room.
    #[must_use]
    pub const fn short(self) -> &'static str {
        match self {
            Self::Peak => "peak",
            Self::ExpertTensor => "ETP",
            Self::MicroBatch => "MB",
            Self::Schedule => "sched.",
            Self::Recompute => "recomp.",
            _ => self.name(),
        }
    }

    /// Whether more of it is better, so that a first click sorts downward.
    #[must_use]
    pub const fn is_gain(self) -> bool {
        matches!(self, Self::Mfu | Self::Tokens)
    }

    /// Whether equal steps of it are factors of two.
    const fn is_degree(self) -> bool {
        matches!(
            self,
            Self::Tensor | Self::Pipeline | Self::Expert | Self::ExpertTensor | Self::Data | Self::MicroBatch
        )
    }
}

const SCHEDULES: [&str; 7] = [
    "gpipe",
    "1f1b",
    "interleaved",
    "zb-h1",
    "zb-v",
    "dualpipe",
    "dualpipe-v",
];
const RECOMPUTES: [&str; 3] = ["none", "some", "all"];

impl Row {
    fn new(found: &Found, candidate: &Candidate, at: Option<usize>) -> Self {
        let (estimate, size) = candidate.place();
        let known = at.and_then(|at| found.confirmed(at));
        let step = known.map_or(estimate, |known| known.step);
        let memory = found.base.cluster.device.memory;
        Self {
            choice: candidate.choice.clone(),
            dp: candidate.survey.dp,
            step,
            estimate,
            simulated: known.is_some(),
            mfu: found.mfu(step),
            tokens: found.tokens_per_device(step),
            peak: known.map_or(size, |known| known.peak),
            too_large: at.is_none().then(|| orrery::sweep::too_large(candidate, memory)),
            on_front: false,
            beyond_domain: candidate.survey.tensor_beyond_domain,
        }
    }

    fn recompute(&self) -> usize {
        match self.choice.recompute {
            Recompute::None => 0,
            Recompute::Selective(_) => 1,
            Recompute::Full => 2,
        }
    }

    /// Its value on `axis`; names by their place among all.
    #[must_use]
    pub fn value(&self, axis: Axis) -> f64 {
        let choice = &self.choice;
        match axis {
            Axis::Step => self.step,
            Axis::Mfu => self.mfu,
            Axis::Tokens => self.tokens,
            Axis::Peak => self.peak,
            Axis::Tensor => f64::from(choice.tp),
            Axis::Pipeline => f64::from(choice.pp),
            Axis::Expert => f64::from(choice.ep),
            Axis::ExpertTensor => f64::from(choice.expert_tp),
            Axis::Data => f64::from(self.dp),
            Axis::MicroBatch => choice.micro_batch as f64,
            Axis::Schedule => {
                let known = SCHEDULES.iter().position(|name| *name == choice.schedule);
                // Chunks lie between one schedule and the next.
                let chunks = f64::from(choice.chunks.unwrap_or(0)) / 32.0;
                known.unwrap_or(0) as f64 + chunks
            }
            Axis::Recompute => self.recompute() as f64,
        }
    }

    /// The same in words.
    #[must_use]
    pub fn words(&self, axis: Axis) -> String {
        let value = self.value(axis);
        match axis {
            Axis::Schedule => match self.choice.chunks {
                Some(chunks) => format!("{} x{chunks}", self.choice.schedule),
                None => self.choice.schedule.to_owned(),
            },
            _ => in_words(axis, value),
        }
    }
}

/// `value` of `axis` in words.
#[must_use]
pub(super) fn in_words(axis: Axis, value: f64) -> String {
    let digits = |value: f64, count| orrery_units::significant(value, count);
    match axis {
        Axis::Step => format!("{} s", digits(value, 4)),
        Axis::Mfu => format!("{} %", digits(value * 100.0, 3)),
        Axis::Tokens => thousands(&digits(value, 4)),
        Axis::Peak => Bytes::from_f64(value).to_string(),
        Axis::Schedule => SCHEDULES[(value as usize).min(SCHEDULES.len() - 1)].to_owned(),
        Axis::Recompute => RECOMPUTES[(value as usize).min(RECOMPUTES.len() - 1)].to_owned(),
        _ => format!("{value}"),
    }
}

/// The layouts of a search.
#[derive(Debug)]
pub struct ExploreModel {
    /// All that was found.
    pub found: Found,
    /// Layouts that the rules allow: those that fit, in the order of their estimates, and those that do not.
    pub layouts: Vec<Row>,
    /// How many of them fit.
    pub fitting: usize,
    /// The layout that is best, if any fits.
    pub best: Option<usize>,
    /// The least and the largest value of each axis, of what fits if anything does.
    ranges: Vec<(f64, f64)>,
}

impl ExploreModel {
    /// The layouts of `found`.
    #[must_use]
    pub fn new(found: Found) -> Self {
        let fitting = found.estimated.fitting.iter().enumerate();
        let mut layouts: Vec<Row> = fitting
            .map(|(at, candidate)| Row::new(&found, candidate, Some(at)))
            .collect();
        for &at in &found.front {
            layouts[at].on_front = true;
        }
        let fitting = layouts.len();
        let too_large = found.estimated.too_large.iter();
        layouts.extend(too_large.map(|candidate| Row::new(&found, candidate, None)));
        // What does not fit is drawn where there is room for it.
        let drawn = if fitting > 0 {
            &layouts[..fitting]
        } else {
            &layouts
        };
        let range = |axis: &Axis| {
            let values = drawn.iter().map(|row| row.value(*axis));
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            })
        };
        Self {
            best: found.best(),
            ranges: Axis::ALL.iter().map(range).collect(),
            layouts,
            fitting,
            found,
        }
    }

    /// What is known of the layout at `place`.
    #[must_use]
    pub fn facts(&self, place: usize) -> Option<Facts> {
        let row = self.layouts.get(place)?;
        let footing = if row.simulated {
            Footing::Simulated
        } else {
            Footing::Estimated
        };
        let mut facts = Facts::new("layout", row.choice.to_string(), footing);
        if let Some(why) = &row.too_large {
            facts.verdict = format!("Does not fit: {why}");
        } else if row.on_front {
            facts.verdict = "No layout is both faster and smaller.".to_owned();
        }
        for axis in Axis::ALL {
            facts.put(axis.name(), row.words(axis));
        }
        if row.simulated {
            facts.put("step, estimated", in_words(Axis::Step, row.estimate));
        }
        if row.beyond_domain {
            facts
                .basis
                .push("its tensor-parallel groups reach beyond the scale-up network".to_owned());
        }
        facts.basis.push(match row.simulated {
            true => "its step was simulated event by event".to_owned(),
            false => "its step was estimated in closed form, not simulated".to_owned(),
        });
        facts.basis.push(format!(
            "a search over the layouts of {}",
            self.found.base.identity.name
        ));
        Some(facts)
    }

    /// Where `value` lies on `axis`, from 0 at its least to 1 at its largest; degrees by their logarithm.
    #[must_use]
    pub fn share(&self, axis: Axis, value: f64) -> f64 {
        let (low, high) = self.ranges[axis as usize];
        let scale = |value: f64| if axis.is_degree() { value.log2() } else { value };
        let span = scale(high) - scale(low);
        if span <= 0.0 {
            return 0.5;
        }
        (scale(value) - scale(low)) / span
    }

    /// The value at `share` of `axis`: the other way round.
    #[must_use]
    pub fn at(&self, axis: Axis, share: f64) -> f64 {
        let (low, high) = self.ranges[axis as usize];
        if axis.is_degree() {
            (low.log2() + share * (high.log2() - low.log2())).exp2()
        } else {
            low + share * (high - low)
        }
    }

    /// The least and the largest value of `axis`.
    #[must_use]
    pub fn range(&self, axis: Axis) -> (f64, f64) {
        self.ranges[axis as usize]
    }

    /// The layouts that pass `filter`, sorted.
    #[must_use]
    pub fn rows(&self, filter: &Filter, (axis, downward): (Axis, bool)) -> Vec<usize> {
        let passes = |at: &usize| filter.passes(&self.layouts[*at]);
        let mut rows: Vec<usize> = (0..self.layouts.len()).filter(passes).collect();
        rows.sort_by(|&a, &b| {
            let (first, second) = (&self.layouts[a], &self.layouts[b]);
            // What does not fit is no answer, whatever it is sorted by.
            let fits = first.too_large.is_some().cmp(&second.too_large.is_some());
            let order = first.value(axis).total_cmp(&second.value(axis));
            let order = if downward { order.reverse() } else { order };
            fits.then(order).then(a.cmp(&b))
        });
        rows
    }
}

/// What of the layouts is looked at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// Those with a value between these on an axis; all are wanted.
    pub ranges: Vec<(Axis, f64, f64)>,
    /// Whether those that do not fit are left out.
    pub only_fitting: bool,
}

impl Filter {
    /// Whether `row` is looked at.
    #[must_use]
    pub fn passes(&self, row: &Row) -> bool {
        if self.only_fitting && row.too_large.is_some() {
            return false;
        }
        self.ranges
            .iter()
            .all(|&(axis, low, high)| (low..=high).contains(&row.value(axis)))
    }

    /// Wants values of `axis` between `low` and `high`.
    pub fn set(&mut self, axis: Axis, low: f64, high: f64) {
        self.clear(axis);
        self.ranges.push((axis, low.min(high), low.max(high)));
    }

    /// Wants any value of `axis`.
    pub fn clear(&mut self, axis: Axis) {
        self.ranges.retain(|(other, ..)| *other != axis);
    }

    /// What is wanted of `axis`.
    #[must_use]
    pub fn get(&self, axis: Axis) -> Option<(f64, f64)> {
        let found = self.ranges.iter().find(|(other, ..)| *other == axis);
        found.map(|&(_, low, high)| (low, high))
    }
}
