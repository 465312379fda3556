//! A router over training steps: what its logits drift under, and what becomes of the balance.

use orrery_units::{Key, Seed};

use super::bias::{quantile_bias, sign_update};
use super::capacity::Capacity;
use super::choose::{Gate, ScoreFunction};
use super::loss;
use super::schedule::{Activation, Temperature};
use super::scores::{Routes, Scores};
use crate::load::{normals, power_law};

/// How a router is trained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// How tokens find experts.
    pub gate: Gate,
    /// How the temperature of [`Gate::Gumbel`] falls; none keeps that of the gate.
    pub temperature: Option<Temperature>,
    /// How experts join; none has all of them from the start.
    pub activation: Option<Activation>,
    /// A limit on an expert's tokens.
    pub capacity: Option<Capacity>,
    /// What holds the balance.
    pub balance: Balance,
    /// What moves it.
    pub trend: Trend,
    /// Experts.
    pub experts: usize,
    /// Tokens of a step that stand for all of them.
    pub tokens: usize,
}

/// What holds a router's balance; zero and `false` switch a means off.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Balance {
    /// Coefficient of the auxiliary loss ([`loss::auxiliary`]).
    pub auxiliary: f64,
    /// Coefficient of the z-loss ([`loss::z`]).
    pub z: f64,
    /// Coefficient of the squared variation of importance ([`loss::squared_variation`]).
    pub importance: f64,
    /// Rate of the bias of auxiliary-loss-free balancing ([`sign_update`]).
    pub bias_rate: f64,
    /// Whether the bias is that of quantile balancing instead ([`quantile_bias`]).
    pub quantile: bool,
}

/// What the task does to a router.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    /// Standard deviation of the experts' mean logits at the first step: what initialisation leaves.
    pub spread: f64,
    /// Standard deviation of the logits of tokens about those means: how much tokens differ.
    pub scatter: f64,
    /// What an expert that has learnt everything takes off the loss of a token that it has to itself, in nats. The
    /// coefficients of [`Balance`] are to be seen against it.
    pub gain: f64,
    /// Rate at which a gradient of the loss moves a mean logit: that of the optimiser times the square of a token's
    /// length, for a logit is a product with it.
    pub learning_rate: f64,
    /// Steps of balanced load after which an expert has learnt 63 % of what there is.
    pub learning_steps: f64,
}

impl Default for Trend {
    fn default() -> Self {
        Self {
            spread: 0.1,
            scatter: 1.0,
            gain: 0.05,
            learning_rate: 10.0,
            learning_steps: 200.0,
        }
    }
}

/// The router of one layer while it is trained.
///
/// A token's logits are the experts' means plus normal numbers of its own. The means climb the gradient of
/// `gain Σ w_e q_e − losses`: `w` the weights of a token's experts, `q_e = 1 − exp(−tokens seen / learning)` how much an
/// expert has learnt. An expert that is chosen more learns sooner and is chosen more: without a counterweight that
/// is collapse, which stops once all that are left have learnt everything.
#[derive(Clone, Debug)]
pub struct Router {
    recipe: Recipe,
    seed: Seed,
    layer: u32,
    step: u64,
    means: Vec<f64>,
    learnt: Vec<f64>,
    bias: Vec<f32>,
}

/// What one step of training did.
#[derive(Clone, Debug, PartialEq)]
pub struct RouterStep {
    /// Tokens of each expert that were asked for, before any was dropped.
    pub asked: Vec<u32>,
    /// Tokens of each expert that are computed, padding included.
    pub computed: Vec<u32>,
    /// Experts that take part.
    pub active: usize,
    /// Largest over mean of what was asked for, among experts that take part.
    pub imbalance: f64,
    /// Entropy of the same, over that of balance.
    pub entropy: f64,
    /// Routes that were dropped, of all.
    pub drop_rate: f64,
    /// Tokens that no expert sees, of all.
    pub unserved: f64,
    /// Places filled with padding, of all that are computed.
    pub padding: f64,
    /// Affinity of what was kept over the best there was.
    pub affinity_kept: f64,
    /// Temperature of the gate; 1 for those without.
    pub temperature: f64,
}

/// Size of the vocabulary that hashed tokens come from, by Zipf's law.
const VOCABULARY: f64 = 50_000.0;

impl Router {
    /// The router of layer `layer` before its first step.
    ///
    /// # Panics
    /// When fewer experts take part at the start than a token needs, or experts join one by one in groups.
    #[must_use]
    pub fn new(recipe: Recipe, layer: u32, seed: Seed) -> Self {
        let starts = recipe
            .activation
            .map_or(recipe.experts, |activation| activation.start);
        assert!(
            starts >= recipe.gate.top_k(),
            "a token finds its experts among those that start"
        );
        let grouped = matches!(recipe.gate, Gate::TopK(gate) if gate.groups.is_some());
        assert!(
            !grouped || recipe.activation.is_none(),
            "groups of experts are complete"
        );
        let key = seed.at("router", &[u64::from(layer)]);
        let mean = |expert: u64| recipe.trend.spread * key.with(expert).normal();
        Self {
            recipe,
            seed,
            layer,
            step: 0,
            means: (0..recipe.experts as u64).map(mean).collect(),
            learnt: vec![0.0; recipe.experts],
            bias: vec![0.0; recipe.experts],
        }
    }

    /// The same with these mean logits.
    ///
    /// # Panics
    /// When they are not one per expert.
    #[must_use]
    pub fn with_means(mut self, means: Vec<f64>) -> Self {
        assert_eq!(means.len(), self.recipe.experts, "one mean logit per expert");
        self.means = means;
        self
    }

    /// The biases of the experts.
    #[must_use]
    pub fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// Takes the next step of training.
    pub fn step(&mut self) -> RouterStep {
        let active = self.recipe.activation.map_or(self.recipe.experts, |activation| {
            activation.at(self.step, self.recipe.experts)
        });
        let temperature = self.temperature();
        let key = self.seed.at("tokens", &[u64::from(self.layer), self.step]);
        let logits = self.logits(active, key.with(0));
        let routes = self.route(&logits, temperature, key.with(1));
        let probabilities = self.probabilities(&logits);
        let kept = self
            .recipe
            .capacity
            .map(|capacity| capacity.apply(&routes, self.recipe.gate.top_k()));
        let served = kept.as_ref().map_or(&routes, |kept| &kept.routes);

        let asked = routes.counts();
        let computed = match &kept {
            Some(kept) => kept.tokens.iter().map(|tokens| tokens.len() as u32).collect(),
            None => asked.clone(),
        };
        let padding = kept.as_ref().map_or(0, |kept| kept.padding);
        let loads: Vec<f64> = asked.iter().map(|&count| f64::from(count)).collect();
        let report = RouterStep {
            active,
            imbalance: loss::imbalance(&asked),
            entropy: loss::relative_entropy(&loads),
            drop_rate: 1.0 - served.all().len() as f64 / routes.all().len().max(1) as f64,
            unserved: served.unserved() as f64 / self.recipe.tokens as f64,
            padding: padding as f64 / computed.iter().sum::<u32>().max(1) as f64,
            affinity_kept: loss::affinity_kept(served, &probabilities, self.recipe.gate.top_k()),
            temperature,
            asked: padded(&asked, self.recipe.experts),
            computed: padded(&computed, self.recipe.experts),
        };
        self.learn(&logits, &probabilities, served, &asked, temperature);
        self.rebalance(&logits, &asked);
        self.step += 1;
        report
    }

    fn temperature(&self) -> f64 {
        match (self.recipe.gate, self.recipe.temperature) {
            (Gate::Gumbel { .. }, Some(schedule)) => schedule.at(self.step),
            (Gate::Gumbel { temperature, .. }, None) => f64::from(temperature),
            _ => 1.0,
        }
    }

    /// Logits of this step's tokens for the `active` first experts.
    fn logits(&self, active: usize, key: Key) -> Scores {
        let mut values = vec![0.0; self.recipe.tokens * active];
        normals(key, &mut values);
        let scatter = self.recipe.trend.scatter as f32;
        for row in values.chunks_exact_mut(active) {
            for (value, &mean) in row.iter_mut().zip(&self.means) {
                *value = scatter * *value + mean as f32;
            }
        }
        Scores::new(active, values)
    }

    fn route(&self, logits: &Scores, temperature: f64, key: Key) -> Routes {
        let gate = match self.recipe.gate {
            Gate::Gumbel { top_k, .. } => Gate::Gumbel {
                top_k,
                temperature: temperature as f32,
            },
            gate => gate,
        };
        let tokens: Vec<u64> = match gate {
            Gate::Hash { .. } => (0..self.recipe.tokens as u64)
                .map(|token| power_law(1.0, VOCABULARY, key.with(token).uniform()) as u64)
                .collect(),
            _ => Vec::new(),
        };
        gate.route(logits, Some(&self.bias[..logits.num_experts()]), &tokens, key)
    }

    /// What the losses take for the probabilities of experts: the softmax, or sigmoids over their sum.
    fn probabilities(&self, logits: &Scores) -> Scores {
        match self.recipe.gate {
            Gate::TopK(gate) if gate.score == ScoreFunction::Sigmoid => logits.sigmoid().map_rows(|row| {
                let sum: f32 = row.iter().sum();
                row.iter_mut().for_each(|score| *score /= sum);
            }),
            _ => logits.softmax(),
        }
    }

    /// Moves the mean logits along the gradient, and lets experts learn from what they computed.
    fn learn(
        &mut self,
        logits: &Scores,
        probabilities: &Scores,
        served: &Routes,
        asked: &[u32],
        temperature: f64,
    ) {
        let (experts, balance, trend) = (
            logits.num_experts() as f64,
            self.recipe.balance,
            self.recipe.trend,
        );
        let mut gradient = task_gradient(served, &self.learnt, temperature);
        gradient.iter_mut().for_each(|slope| *slope *= trend.gain);
        let mut descend = |weight: f64, slopes: Vec<f64>| {
            for (sum, slope) in gradient.iter_mut().zip(slopes) {
                *sum -= weight * slope;
            }
        };
        if balance.auxiliary > 0.0 {
            let sum = asked.iter().sum::<u32>().max(1);
            let shares: Vec<f64> = asked
                .iter()
                .map(|&count| f64::from(count) / f64::from(sum))
                .collect();
            descend(balance.auxiliary * experts, pull(probabilities, &shares));
        }
        if balance.importance > 0.0 {
            // CV² = E Σ P² − 1, and every token has the importance 1 to give.
            descend(
                2.0 * balance.importance * experts,
                pull(probabilities, &probabilities.mean()),
            );
        }
        if balance.z > 0.0 {
            descend(2.0 * balance.z, z_gradient(logits));
        }
        for (mean, slope) in self.means.iter_mut().zip(gradient) {
            *mean += trend.learning_rate * slope;
        }
        let counts = served.counts();
        let even = f64::from(counts.iter().sum::<u32>().max(1)) / self.recipe.experts as f64;
        for (learnt, count) in self.learnt.iter_mut().zip(counts) {
            *learnt = 1.0 - (1.0 - *learnt) * (-f64::from(count) / even / trend.learning_steps).exp();
        }
    }

    /// Moves the biases.
    fn rebalance(&mut self, logits: &Scores, asked: &[u32]) {
        let active = &mut self.bias[..logits.num_experts()];
        match self.recipe.gate {
            Gate::TopK(gate) if self.recipe.balance.quantile => {
                active.copy_from_slice(&quantile_bias(&gate.scores(logits), gate.top_k, active));
            }
            _ if self.recipe.balance.bias_rate > 0.0 => {
                sign_update(active, asked, self.recipe.balance.bias_rate as f32);
            }
            _ => {}
        }
    }
}

/// The mean over tokens of `p_e (x_e − Σ_j p_j x_j)`: the gradient of `Σ_e P_e x_e` along the mean logits.
///
/// Worked: one token with p = 1/2, 1/2 and x = 1, 0: 1/4 and −1/4.
fn pull(probabilities: &Scores, x: &[f64]) -> Vec<f64> {
    let mut sums = vec![0.0; x.len()];
    for row in probabilities.rows() {
        let mean: f64 = row.iter().zip(x).map(|(&p, x)| f64::from(p) * x).sum();
        for ((sum, &p), x) in sums.iter_mut().zip(row).zip(x) {
            *sum += f64::from(p) * (x - mean);
        }
    }
    let tokens = probabilities.num_tokens().max(1) as f64;
    sums.iter_mut().for_each(|sum| *sum /= tokens);
    sums
}

/// The gradient of the mean of `Σ w_e q_e` over a token's experts: `w_e (q_e − Σ w q) / temperature` for each of
/// them. What the logits of experts that were not chosen lose is left out.
fn task_gradient(served: &Routes, learnt: &[f64], temperature: f64) -> Vec<f64> {
    let mut gradient = vec![0.0; served.num_experts()];
    for routes in served.all().chunk_by(|a, b| a.token == b.token) {
        let gain: f64 = routes
            .iter()
            .map(|route| f64::from(route.weight) * learnt[route.expert as usize])
            .sum();
        for route in routes {
            let expert = route.expert as usize;
            gradient[expert] += f64::from(route.weight) * (learnt[expert] - gain) / temperature;
        }
    }
    let tokens = served.num_tokens().max(1) as f64;
    gradient.iter_mut().for_each(|slope| *slope /= tokens);
    gradient
}

/// Half the gradient of the z-loss along the mean logits: the mean over tokens of `p_e ln Σ exp x`.
fn z_gradient(logits: &Scores) -> Vec<f64> {
    logits
        .map_rows(|row| {
            let sum = loss::log_sum_exp(row);
            row.iter_mut()
                .for_each(|x| *x = ((f64::from(*x) - sum).exp() * sum) as f32);
        })
        .mean()
}

/// `counts` with nothing for the experts that do not take part yet.
fn padded(counts: &[u32], experts: usize) -> Vec<u32> {
    let mut all = counts.to_vec();
    all.resize(experts, 0);
    all
}
