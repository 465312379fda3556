//! The layouts that a search looks at: every combination of some values of each degree.

use orrery_scenario::LayoutChoice;
use orrery_scenario::plan::{MlpShape, Plan, Recompute, RecomputeModule, ScheduleKind, ZeroStage};

/// Most sequences that are tried in a microbatch.
const MOST_SEQUENCES: u64 = 8;
/// Most chunks of a pipeline rank that are tried.
const MOST_CHUNKS: u32 = 8;
/// How far beyond the scale-up network tensor parallelism is tried: it is allowed there, and marked.
const BEYOND_DOMAIN: u32 = 2;

/// The values of each degree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axes {
    /// Tensor-parallel degrees.
    pub tp: Vec<u32>,
    /// Pipeline degrees.
    pub pp: Vec<u32>,
    /// Context-parallel degrees.
    pub cp: Vec<u32>,
    /// Expert-parallel degrees.
    pub ep: Vec<u32>,
    /// Tensor-parallel degrees inside an expert.
    pub expert_tp: Vec<u32>,
    /// Schedules with their chunks.
    pub schedules: Vec<(&'static str, Option<u32>)>,
    /// Sequences per microbatch.
    pub micro_batch: Vec<u64>,
    /// What data-parallel ranks share out.
    pub zero: Vec<ZeroStage>,
    /// What is recomputed.
    pub recompute: Vec<Recompute>,
}

/// What of a layout a search may vary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Degree {
    /// Tensor parallelism.
    Tensor,
    /// The pipeline.
    Pipeline,
    /// Expert parallelism.
    Expert,
    /// Tensor parallelism inside an expert.
    ExpertTensor,
    /// The schedule of the pipeline.
    Schedule,
    /// Sequences of a microbatch.
    MicroBatch,
    /// What is recomputed.
    Recompute,
    /// What data-parallel ranks share out.
    Zero,
}

impl Degree {
    /// Every degree.
    pub const ALL: [Self; 8] = [
        Self::Tensor,
        Self::Pipeline,
        Self::Expert,
        Self::ExpertTensor,
        Self::Schedule,
        Self::MicroBatch,
        Self::Recompute,
        Self::Zero,
    ];

    /// Its name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tensor => "TP",
            Self::Pipeline => "PP",
            Self::Expert => "EP",
            Self::ExpertTensor => "expert TP",
            Self::Schedule => "schedule",
            Self::MicroBatch => "microbatch",
            Self::Recompute => "recompute",
            Self::Zero => "ZeRO",
        }
    }
}

fn divisors(number: u64, most: u64) -> Vec<u32> {
    (1..=number.min(most))
        .filter(|&divisor| number.is_multiple_of(divisor))
        .filter_map(|divisor| u32::try_from(divisor).ok())
        .collect()
}

fn powers_of_two(most: u64) -> Vec<u64> {
    (0..64)
        .map(|power| 1 << power)
        .take_while(|&value| value <= most)
        .collect()
}

impl Axes {
    /// All that can be laid out of the job that `plan` is.
    ///
    /// Tensor parallelism in powers of two up to twice the scale-up network; pipelines of any length that divides the
    /// devices and has a layer for each rank; expert parallelism in divisors of the experts; one to eight sequences; every
    /// schedule, with up to eight chunks. What is recomputed: nothing, all, or what the scenario says. Context
    /// parallelism and ZeRO stay as the scenario has them: the traffic of the former has no price yet, and the latter is
    /// the memory's choice; name values to vary them.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let layers = plan.model.layers.len() as u64;
        let devices = u64::from(plan.layout.world());
        let experts = plan.model.layers.iter().find_map(|layer| match layer.mlp {
            MlpShape::Moe { experts, .. } => Some(experts),
            MlpShape::Dense { .. } => None,
        });
        let narrow = |values: Vec<u64>| values.into_iter().filter_map(|value| u32::try_from(value).ok());
        let domain = u64::from(plan.layout.devices_per_domain * BEYOND_DOMAIN);
        let mut recompute = vec![Recompute::None, plan.training.recompute.clone(), Recompute::Full];
        if !plan.model.has_experts() && recompute[1] == Recompute::None {
            recompute.push(Recompute::Selective(vec![RecomputeModule::CoreAttention]));
        }
        recompute.dedup();
        Self {
            tp: narrow(powers_of_two(devices.min(domain))).collect(),
            pp: divisors(devices, layers + 2),
            cp: vec![plan.layout.cp],
            ep: experts.map_or_else(|| vec![1], |experts| divisors(experts, devices)),
            expert_tp: experts.map_or_else(
                || vec![1],
                |_| narrow(powers_of_two(u64::from(plan.layout.devices_per_domain))).collect(),
            ),
            schedules: schedules(layers),
            micro_batch: powers_of_two(MOST_SEQUENCES),
            zero: vec![plan.layout.zero],
            recompute,
        }
    }

    /// The same with exactly `degrees` varied: the others stay as `own` has them.
    #[must_use]
    pub fn varying(mut self, degrees: &[Degree], own: &LayoutChoice) -> Self {
        for degree in Degree::ALL {
            let varied = degrees.contains(&degree);
            match degree {
                Degree::Tensor if !varied => self.tp = vec![own.tp],
                Degree::Pipeline if !varied => self.pp = vec![own.pp],
                Degree::Expert if !varied => self.ep = vec![own.ep],
                Degree::ExpertTensor if !varied => self.expert_tp = vec![own.expert_tp],
                Degree::Schedule if !varied => self.schedules = vec![(own.schedule, own.chunks)],
                Degree::MicroBatch if !varied => self.micro_batch = vec![own.micro_batch],
                Degree::Recompute if !varied => self.recompute = vec![own.recompute.clone()],
                Degree::Zero if varied => {
                    self.zero = vec![
                        ZeroStage::None,
                        ZeroStage::Optimizer,
                        ZeroStage::Gradients,
                        ZeroStage::Parameters,
                    ];
                }
                Degree::Zero => self.zero = vec![own.zero],
                _ => {}
            }
        }
        self.each_once()
    }

    /// The same with each value of an axis once: values that are named twice make the same layouts twice.
    #[must_use]
    pub fn each_once(mut self) -> Self {
        once(&mut self.tp);
        once(&mut self.pp);
        once(&mut self.cp);
        once(&mut self.ep);
        once(&mut self.expert_tp);
        once(&mut self.schedules);
        once(&mut self.micro_batch);
        once(&mut self.zero);
        once(&mut self.recompute);
        self
    }

    /// How many layouts there are, legal or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.outer() * self.inner()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Combinations of degrees: what lies together in memory, so that a thread takes whole ones.
    #[must_use]
    pub fn outer(&self) -> usize {
        let degrees = [&self.tp, &self.pp, &self.cp, &self.ep, &self.expert_tp];
        degrees.iter().map(|values| values.len()).product()
    }

    /// Layouts of each of them.
    #[must_use]
    pub fn inner(&self) -> usize {
        self.schedules.len() * self.zero.len() * self.micro_batch.len() * self.recompute.len()
    }

    /// Layout `number`, the last axis fastest.
    ///
    /// # Panics
    /// When there are not so many.
    #[must_use]
    pub fn choice(&self, number: usize) -> LayoutChoice {
        let mut rest = number;
        let mut digit = |len: usize| {
            let at = rest % len;
            rest /= len;
            at
        };
        let recompute = self.recompute[digit(self.recompute.len())].clone();
        let micro_batch = self.micro_batch[digit(self.micro_batch.len())];
        let zero = self.zero[digit(self.zero.len())];
        let (schedule, chunks) = self.schedules[digit(self.schedules.len())];
        let expert_tp = self.expert_tp[digit(self.expert_tp.len())];
        let ep = self.ep[digit(self.ep.len())];
        let cp = self.cp[digit(self.cp.len())];
        let pp = self.pp[digit(self.pp.len())];
        let tp = self.tp[digit(self.tp.len())];
        assert!(rest == 0, "there are {} layouts", self.len());
        LayoutChoice {
            tp,
            pp,
            cp,
            ep,
            expert_tp,
            schedule,
            chunks,
            micro_batch,
            zero,
            recompute,
        }
    }
}

/// Leaves the first of equal values.
fn once<T: PartialEq>(values: &mut Vec<T>) {
    let mut known: Vec<T> = Vec::with_capacity(values.len());
    for value in values.drain(..) {
        if !known.contains(&value) {
            known.push(value);
        }
    }
    *values = known;
}

/// Every schedule of a pipeline. `GPipe` is left out: it takes the time of 1F1B and more memory.
fn schedules(layers: u64) -> Vec<(&'static str, Option<u32>)> {
    let chunks = (2..=MOST_CHUNKS).filter(|&chunks| u64::from(chunks) <= layers);
    let mut all = vec![(name(ScheduleKind::OneFOneB), None)];
    all.extend(chunks.map(|chunks| (name(ScheduleKind::Interleaved), Some(chunks))));
    let others = [
        ScheduleKind::ZeroBubbleH1,
        ScheduleKind::ZeroBubbleV,
        ScheduleKind::DualPipe,
        ScheduleKind::DualPipeV,
    ];
    all.extend(others.map(|kind| (name(kind), None)));
    all
}

const fn name(kind: ScheduleKind) -> &'static str {
    LayoutChoice::schedule_name(kind)
}
