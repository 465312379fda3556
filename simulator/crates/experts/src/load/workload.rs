//! The workloads W0 to W7 of the token-imbalance benchmark proposed for Megatron-LM (NVIDIA/Megatron-LM#7488,
//! `benchmarks/moe/token_imbalance`), written anew from their description.

use orrery_units::Seed;

use super::{LoadProcess, StepLayer, pool};

/// One of the eight workloads; each isolates one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Workload {
    /// W0: round robin, every expert the same.
    Balanced,
    /// W1: three of four tokens pick from a small fixed set of experts.
    HotExpertSet,
    /// W2: the same with a contiguous set, which one rank holds where experts lie in order. As defined upstream the
    /// set is that of W1; what tells them apart is where experts lie.
    HotRank,
    /// W3: three of four tokens pick from every other expert, so that the heat is spread over ranks.
    SpreadHotExperts,
    /// W4: balanced experts, but ranks that send unequal numbers of tokens.
    SourceRagged,
    /// W5: the first half of the experts gets nothing.
    ZeroExpertRank,
    /// W6: the hot set of W1 moves on by its own width every three steps.
    RotatingHotspot,
    /// W7: three balanced steps, then one in which every other token picks from the hot set.
    Burst,
}

impl Workload {
    /// All of them, in order.
    pub const ALL: [Self; 8] = [
        Self::Balanced,
        Self::HotExpertSet,
        Self::HotRank,
        Self::SpreadHotExperts,
        Self::SourceRagged,
        Self::ZeroExpertRank,
        Self::RotatingHotspot,
        Self::Burst,
    ];

    /// The name of the benchmark.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Balanced => "W0_balanced",
            Self::HotExpertSet => "W1_hot_expert_set",
            Self::HotRank => "W2_hot_rank",
            Self::SpreadHotExperts => "W3_spread_hot_experts",
            Self::SourceRagged => "W4_source_ragged",
            Self::ZeroExpertRank => "W5_zero_expert_rank",
            Self::RotatingHotspot => "W6_rotating_hotspot",
            Self::Burst => "W7_burst",
        }
    }
}

/// A workload at work: every layer by itself, every set of different experts of a pool equally likely.
#[derive(Clone, Debug)]
pub struct Benchmark {
    workload: Workload,
    layers: u32,
    experts: usize,
    top_k: usize,
    tokens: u64,
    /// Tokens of the rank that sends most over those of the one that sends least, in W4.
    raggedness: f64,
    seed: Seed,
}

/// The pool that some tokens pick from, and how many of them there are; the others pick from all experts.
struct Hot {
    pool: Vec<usize>,
    tokens: u64,
}

impl Benchmark {
    /// `workload` for `layers` layers of `experts` experts, `tokens` tokens a step that each pick `top_k` experts.
    ///
    /// The benchmark does not say how ragged the sources of W4 are: here the last rank sends three times what the
    /// first does, the others between; [`raggedness`](Self::raggedness) changes it.
    ///
    /// # Panics
    /// When half the experts are fewer than `top_k`.
    #[must_use]
    pub fn new(
        workload: Workload,
        (layers, experts): (u32, usize),
        (tokens, top_k): (u64, usize),
        seed: Seed,
    ) -> Self {
        assert!(2 * top_k <= experts, "a token finds its experts in half of them");
        Self {
            workload,
            layers,
            experts,
            top_k,
            tokens,
            raggedness: 3.0,
            seed,
        }
    }

    /// The same with the last rank sending `factor` times the tokens of the first in W4.
    #[must_use]
    pub fn raggedness(mut self, factor: f64) -> Self {
        self.raggedness = factor;
        self
    }

    /// Experts of the hot set: a quarter of them, and as many as a token picks at least.
    fn hot_width(&self) -> usize {
        self.top_k.max(self.experts / 4)
    }

    /// `tokens` tokens, of which every fourth is not hot: three quarters, rounded down.
    fn three_of_four(&self, pool: Vec<usize>) -> Hot {
        let tokens = self.tokens - self.tokens.div_ceil(4);
        Hot { pool, tokens }
    }

    /// What is hot at `step`; W0 has its own rule.
    fn hot(&self, step: u64) -> Hot {
        let (experts, width) = (self.experts, self.hot_width());
        match self.workload {
            Workload::HotExpertSet | Workload::HotRank => self.three_of_four((0..width).collect()),
            Workload::SpreadHotExperts => self.three_of_four((0..experts).step_by(2).collect()),
            Workload::RotatingHotspot => {
                let base = (step / 3 % experts as u64) as usize * width;
                self.three_of_four((0..width).map(|expert| (base + expert) % experts).collect())
            }
            Workload::ZeroExpertRank => Hot {
                pool: (experts / 2..experts).collect(),
                tokens: self.tokens,
            },
            Workload::Burst if step % 4 == 3 => Hot {
                pool: (0..width).collect(),
                tokens: self.tokens.div_ceil(2),
            },
            Workload::Balanced | Workload::SourceRagged | Workload::Burst => Hot {
                pool: Vec::new(),
                tokens: 0,
            },
        }
    }
}

impl LoadProcess for Benchmark {
    fn layers(&self) -> u32 {
        self.layers
    }

    fn experts(&self) -> usize {
        self.experts
    }

    fn assignments(&self, _step: u64) -> u64 {
        self.tokens * self.top_k as u64
    }

    fn popularity(&self, at: StepLayer, into: &mut [f64]) {
        let hot = self.hot(at.step);
        let of_hot = hot.tokens as f64 / self.tokens as f64;
        into.fill((1.0 - of_hot) / self.experts as f64);
        for &expert in &hot.pool {
            into[expert] += of_hot / hot.pool.len() as f64;
        }
    }

    fn counts(&self, at: StepLayer, into: &mut [u32]) {
        into.fill(0);
        if self.workload == Workload::Balanced {
            let (total, experts) = (self.assignments(at.step), self.experts as u64);
            for (expert, count) in (0..experts).zip(into) {
                let even = total / experts + u64::from(expert < total % experts);
                *count = u32::try_from(even).expect("an expert has fewer than 2^32 assignments");
            }
            return;
        }
        let hot = self.hot(at.step);
        let all: Vec<usize> = (0..self.experts).collect();
        let place = [self.workload as u64, u64::from(at.layer), at.step];
        let mut rng = self.seed.at("workload", &place).rng();
        if hot.tokens > 0 {
            pool::add_distinct(hot.tokens, self.top_k, &hot.pool, &mut rng, into);
        }
        pool::add_distinct(self.tokens - hot.tokens, self.top_k, &all, &mut rng, into);
    }

    fn sources(&self, _step: u64, into: &mut [f64]) {
        let last = (into.len().max(2) - 1) as f64;
        let slope = match self.workload {
            Workload::SourceRagged => self.raggedness - 1.0,
            _ => 0.0,
        };
        for (rank, share) in into.iter_mut().enumerate() {
            *share = 1.0 + slope * rank as f64 / last;
        }
        let sum: f64 = into.iter().sum();
        into.iter_mut().for_each(|share| *share /= sum);
    }
}
