//! Token choice: every token picks its experts.

use orrery_units::Key;
use rand::RngExt as _;

use super::assign::{Sinkhorn, expert_choice, sinkhorn};
use super::scores::{Route, Routes, Scores};
use super::select::top_k;
use crate::load::normals;

/// What makes scores of logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScoreFunction {
    /// Over the experts of a token.
    Softmax,
    /// Of each logit by itself (DeepSeek-V3).
    Sigmoid,
}

/// A limit on where a token's experts may lie (DeepSeek-V2, -V3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Groups {
    /// Groups that the experts are divided into, in order.
    pub num: usize,
    /// Groups that one token may pick from.
    pub top_k: usize,
}

/// The best `top_k` experts of each token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TopK {
    /// Experts per token.
    pub top_k: usize,
    /// What makes scores of logits.
    pub score: ScoreFunction,
    /// Where a token's experts may lie.
    pub groups: Option<Groups>,
}

/// A rule by which tokens and experts find each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Gate {
    /// The best experts of each token, with a bias and a limit on groups where there are some. With top 1 of the
    /// softmax it is Switch Transformer's gate.
    TopK(TopK),
    /// The best experts after noise was added to the logits.
    Noisy {
        /// Experts per token.
        top_k: usize,
        /// Standard deviation of the noise.
        noise: f32,
    },
    /// The best expert, and the second by chance.
    GShard,
    /// The best experts after Gumbel noise, weighted by a softmax at a temperature.
    Gumbel {
        /// Experts per token.
        top_k: usize,
        /// The temperature.
        temperature: f32,
    },
    /// Experts by a hash of the token.
    Hash {
        /// Experts per token.
        top_k: usize,
    },
    /// Every expert picks its tokens.
    ExpertChoice {
        /// Experts per token, on average.
        top_k: usize,
    },
    /// The best expert after scores were balanced by alternating normalisation.
    Sinkhorn(Sinkhorn),
}

impl Gate {
    /// Routes the batch of `logits`, the gate's random numbers at `key`. The `bias` of experts steers the choice of
    /// [`Gate::TopK`] and of no other gate; `tokens` are what [`Gate::Hash`] hashes, one each.
    #[must_use]
    pub fn route(&self, logits: &Scores, bias: Option<&[f32]>, tokens: &[u64], key: Key) -> Routes {
        match *self {
            Self::TopK(gate) => gate.route(logits, bias),
            Self::Noisy { top_k, noise } => noisy(logits, top_k, noise, key),
            Self::GShard => gshard(logits, key),
            Self::Gumbel { top_k, temperature } => gumbel(logits, top_k, temperature, key),
            Self::Hash { top_k } => hash(tokens, logits.num_experts(), top_k),
            Self::ExpertChoice { top_k } => expert_choice(logits, top_k),
            Self::Sinkhorn(stop) => sinkhorn(logits, stop).routes,
        }
    }

    /// Experts per token.
    #[must_use]
    pub const fn top_k(&self) -> usize {
        match *self {
            Self::TopK(TopK { top_k, .. })
            | Self::Noisy { top_k, .. }
            | Self::Gumbel { top_k, .. }
            | Self::Hash { top_k }
            | Self::ExpertChoice { top_k } => top_k,
            Self::GShard => 2,
            Self::Sinkhorn(_) => 1,
        }
    }
}

impl TopK {
    /// The `top_k` best experts of the softmax, anywhere.
    #[must_use]
    pub const fn softmax(top_k: usize) -> Self {
        Self {
            top_k,
            score: ScoreFunction::Softmax,
            groups: None,
        }
    }

    /// The scores of `logits`, without bias.
    #[must_use]
    pub fn scores(&self, logits: &Scores) -> Scores {
        match self.score {
            ScoreFunction::Softmax => logits.softmax(),
            ScoreFunction::Sigmoid => logits.sigmoid(),
        }
    }

    /// Each token's best experts by score plus bias; their weights are the scores alone (DeepSeek-V3, arXiv
    /// 2408.15664), those of a sigmoid over the sum of the chosen ones.
    #[must_use]
    pub fn route(&self, logits: &Scores, bias: Option<&[f32]>) -> Routes {
        let scores = self.scores(logits);
        let mut biased = Vec::new();
        by_token(&scores, |row, chosen| {
            biased.clear();
            biased.extend_from_slice(row);
            for (score, bias) in biased.iter_mut().zip(bias.unwrap_or_default()) {
                *score += bias;
            }
            if let Some(groups) = self.groups {
                groups.limit(self.top_k, &mut biased);
            }
            let normaliser = |chosen: &[u32]| match self.score {
                ScoreFunction::Softmax => 1.0,
                ScoreFunction::Sigmoid => chosen.iter().map(|&expert| row[expert as usize]).sum(),
            };
            let experts = top_k(&biased, self.top_k);
            let sum: f32 = normaliser(&experts);
            chosen.extend(
                experts
                    .into_iter()
                    .map(|expert| (expert, row[expert as usize] / sum)),
            );
        })
    }
}

impl Groups {
    /// Takes experts outside the best groups out of the running. A group's score is the sum of its best
    /// `top_k / groups` (Megatron-Core, `group_limited_topk`).
    fn limit(self, top_k_experts: usize, scores: &mut [f32]) {
        let size = scores.len() / self.num;
        let of_group = |group: &[f32]| {
            let mut group = group.to_vec();
            group.sort_by(|a, b| b.total_cmp(a));
            group.iter().take(top_k_experts / self.top_k).sum()
        };
        let best: Vec<f32> = scores.chunks(size).map(of_group).collect();
        let allowed = top_k(&best, self.top_k);
        for (number, group) in (0..).zip(scores.chunks_mut(size)) {
            if !allowed.contains(&number) {
                group.fill(f32::NEG_INFINITY);
            }
        }
    }
}

/// Routes by a rule that tells the experts of a token and their weights from its scores.
fn by_token(scores: &Scores, mut rule: impl FnMut(&[f32], &mut Vec<(u32, f32)>)) -> Routes {
    let (mut routes, mut chosen) = (Vec::new(), Vec::new());
    for (token, row) in (0..).zip(scores.rows()) {
        chosen.clear();
        rule(row, &mut chosen);
        routes.extend(chosen.iter().map(|&(expert, weight)| Route {
            token,
            expert,
            weight,
        }));
    }
    Routes::new(scores.num_tokens(), scores.num_experts(), routes)
}

/// The best `top_k` experts of each token once normal noise of the deviation `noise` is added to its logits,
/// weighted by the softmax over the chosen (Shazeer et al. 2017; there a second projection of the token sets the
/// deviation, by softplus).
#[must_use]
pub fn noisy(logits: &Scores, experts_per_token: usize, noise: f32, key: Key) -> Routes {
    let mut drawn = vec![0.0; logits.num_experts()];
    let mut token = 0;
    let mut noised = Vec::new();
    by_token(logits, |row, chosen| {
        normals(key.with(token), &mut drawn);
        token += 1;
        noised.clear();
        noised.extend(row.iter().zip(&drawn).map(|(logit, z)| logit + noise * z));
        let experts = top_k(&noised, experts_per_token);
        let most = experts
            .iter()
            .map(|&expert| noised[expert as usize])
            .fold(f32::NEG_INFINITY, f32::max);
        let power = |expert: u32| (noised[expert as usize] - most).exp();
        let sum: f32 = experts.iter().map(|&expert| power(expert)).sum();
        chosen.extend(experts.iter().map(|&expert| (expert, power(expert) / sum)));
    })
}

/// Each token's best expert, and its second best with the chance `2 g_2`, `g` being their softmax over both
/// (GShard, Lepikhin et al. 2020, algorithm 1). Worked: equal logits send every token to both.
#[must_use]
pub fn gshard(logits: &Scores, key: Key) -> Routes {
    let mut rng = key.rng();
    by_token(&logits.softmax(), |row, chosen| {
        let mut both = top_k(row, 2);
        both.sort_by(|&a, &b| row[b as usize].total_cmp(&row[a as usize]));
        let (first, second) = (row[both[0] as usize], row[both[1] as usize]);
        let share = second / (first + second);
        chosen.push((both[0], 1.0 - share));
        if rng.random::<f32>() < 2.0 * share {
            chosen.push((both[1], share));
        }
    })
}

/// The best `top_k` of `log p + g`, `g = −ln(−ln u)`, which is a draw from `p` without replacement at every
/// temperature; their weights are `y = softmax((log p + g) / temperature)` (Jang et al. 2017), straight through. A
/// high temperature shares a token's gradient out evenly, a low one leaves it to the winner.
#[must_use]
pub fn gumbel(logits: &Scores, experts_per_token: usize, temperature: f32, key: Key) -> Routes {
    let mut rng = key.rng();
    let mut noised = Vec::new();
    by_token(logits, |row, chosen| {
        noised.clear();
        noised.extend(row.iter().map(|logit| {
            let uniform: f32 = rng.random::<f32>().clamp(f32::MIN_POSITIVE, 1.0 - f32::EPSILON);
            logit - (-uniform.ln()).ln()
        }));
        let most = noised.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let power = |x: f32| ((x - most) / temperature).exp();
        let sum: f32 = noised.iter().map(|&x| power(x)).sum();
        let experts = top_k(&noised, experts_per_token);
        chosen.extend(
            experts
                .into_iter()
                .map(|expert| (expert, power(noised[expert as usize]) / sum)),
        );
    })
}

/// The experts that a hash of each token says, evenly weighted: nothing is learnt, and balance is as good as the
/// tokens are many (Roller et al. 2021). The second and further experts are the next free ones of further hashes.
#[must_use]
pub fn hash(tokens: &[u64], experts: usize, experts_per_token: usize) -> Routes {
    let mut routes = Vec::with_capacity(tokens.len() * experts_per_token);
    for (number, &token) in (0..).zip(tokens) {
        let mut chosen: Vec<u32> = Vec::with_capacity(experts_per_token);
        let key = orrery_units::Seed::new(token);
        let hashes = (0..).map(|attempt| (key.at("hash", &[attempt]).uniform() * experts as f64) as u32);
        for expert in hashes {
            if chosen.len() == experts_per_token {
                break;
            }
            if !chosen.contains(&expert) {
                chosen.push(expert);
            }
        }
        let weight = 1.0 / experts_per_token as f32;
        routes.extend(chosen.into_iter().map(|expert| Route {
            token: number,
            expert,
            weight,
        }));
    }
    Routes::new(tokens.len(), experts, routes)
}
