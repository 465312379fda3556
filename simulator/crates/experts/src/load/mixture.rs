//! A mixture of domains whose weights move: steady traffic, drift, sudden shifts and bursts are one process.

use std::ops::Range;

use orrery_units::Seed;
use rand_distr::{Distribution as _, Gamma};

use super::{Chain, Domain, LoadProcess, StepLayer, draw, gaussian};

/// A stretch of time with its own mixture of domains.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    /// How many steps it lasts; the last one lasts for ever.
    pub steps: u64,
    /// The weight of each domain, by number; they need not add up to one.
    pub weights: Vec<f64>,
    /// Over how many of its first steps the mixture moves here from that of the phase before, evenly: 0 is a sudden
    /// shift, all its steps a drift.
    pub ramp: u64,
    /// What interrupts it from time to time.
    pub burst: Option<Burst>,
}

/// A domain that takes over from time to time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Burst {
    /// Steps from the start of one burst to the next.
    pub every: u64,
    /// Steps that it lasts, the last ones of each period.
    pub steps: u64,
    /// Which domain.
    pub domain: usize,
    /// Its share of the tokens while it lasts; the others keep their proportions in the rest.
    pub share: f64,
}

/// How counts scatter about popularity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scatter {
    /// How they are drawn.
    pub kind: Draws,
    /// Tokens in a row that choose alike, as those of one text do; 1 for independent tokens. It multiplies the
    /// variance of a count.
    pub alike: u64,
    /// How steady the mixture of one step is: the concentration of the Dirichlet law that its weights are drawn
    /// from, about those of the phase. None for no fluctuation. All layers of a step see the same mixture.
    pub mixture_concentration: Option<f64>,
}

/// How counts are drawn from shares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Draws {
    /// The multinomial law, by normal numbers of its covariance where 30 assignments or more are expected.
    #[default]
    Multinomial,
    /// The multinomial law as a chain of binomials: the slow twin.
    Chained,
    /// No scatter: what is expected, rounded.
    Expected,
}

impl Default for Scatter {
    fn default() -> Self {
        Self {
            kind: Draws::Multinomial,
            alike: 1,
            mixture_concentration: None,
        }
    }
}

/// Domains whose weights move from phase to phase.
#[derive(Clone, Debug)]
pub struct Mixture {
    domains: Vec<Domain>,
    phases: Vec<Phase>,
    tokens: u64,
    top_k: u64,
    scatter: Scatter,
    seed: Seed,
}

impl Mixture {
    /// `tokens` tokens a step, each to `top_k` experts, of `domains` in the proportions of `phases`.
    ///
    /// # Panics
    /// When there is no domain or no phase, domains differ in size, or a phase names a domain that is not there.
    #[must_use]
    pub fn new(
        domains: Vec<Domain>,
        phases: Vec<Phase>,
        (tokens, top_k): (u64, u64),
        scatter: Scatter,
        seed: Seed,
    ) -> Self {
        let first = domains.first().expect("a mixture has a domain");
        let size = (first.num_layers(), first.num_experts());
        assert!(
            domains
                .iter()
                .all(|domain| (domain.num_layers(), domain.num_experts()) == size),
            "every domain has the same layers and experts"
        );
        assert!(!phases.is_empty(), "a mixture has a phase");
        for phase in &phases {
            assert_eq!(phase.weights.len(), domains.len(), "one weight per domain");
            assert!(
                phase.weights.iter().sum::<f64>() > 0.0,
                "some domain has a weight"
            );
            let named = phase
                .burst
                .is_none_or(|burst| burst.domain < domains.len() && burst.every > 0);
            assert!(named, "a burst is of a domain that is there, and has a period");
        }
        Self {
            domains,
            phases,
            tokens,
            top_k,
            scatter,
            seed,
        }
    }

    /// One domain for ever.
    #[must_use]
    pub fn steady(domain: Domain, tokens: u64, top_k: u64, seed: Seed) -> Self {
        let phase = Phase {
            steps: 1,
            weights: vec![1.0],
            ramp: 0,
            burst: None,
        };
        Self::new(
            vec![domain],
            vec![phase],
            (tokens, top_k),
            Scatter::default(),
            seed,
        )
    }

    /// The number of the phase that `step` is in.
    #[must_use]
    pub fn phase(&self, step: u64) -> usize {
        self.locate(step).0
    }

    /// The phase of `step`, and how many of its steps have passed.
    fn locate(&self, step: u64) -> (usize, u64) {
        let mut since = step;
        for (number, phase) in self.phases.iter().enumerate() {
            if since < phase.steps {
                return (number, since);
            }
            since -= phase.steps;
        }
        let last = self.phases.len() - 1;
        (last, since + self.phases[last].steps)
    }

    /// The weight of each domain at `step`; they add up to one.
    #[must_use]
    pub fn weights(&self, step: u64) -> Vec<f64> {
        let (number, since) = self.locate(step);
        let phase = &self.phases[number];
        let mut weights = normalised(&phase.weights);
        if since < phase.ramp && number > 0 {
            let before = normalised(&self.phases[number - 1].weights);
            let moved = (since as f64 + 0.5) / phase.ramp as f64;
            for (weight, before) in weights.iter_mut().zip(before) {
                *weight = moved * *weight + (1.0 - moved) * before;
            }
        }
        if let Some(burst) = phase
            .burst
            .filter(|burst| since % burst.every >= burst.every.saturating_sub(burst.steps))
        {
            weights.iter_mut().for_each(|weight| *weight *= 1.0 - burst.share);
            weights[burst.domain] += burst.share;
        }
        match self.scatter.mixture_concentration {
            Some(concentration) => self.fluctuating(&weights, concentration, step),
            None => weights,
        }
    }

    /// A draw of the Dirichlet law about `weights`.
    fn fluctuating(&self, weights: &[f64], concentration: f64, step: u64) -> Vec<f64> {
        let mut rng = self.seed.at("mixture", &[step]).rng();
        let drawn: Vec<f64> = weights
            .iter()
            .map(|&weight| match weight > 0.0 {
                true => Gamma::new(concentration * weight, 1.0)
                    .expect("a concentration is positive")
                    .sample(&mut rng)
                    .max(f64::MIN_POSITIVE),
                false => 0.0,
            })
            .collect();
        normalised(&drawn)
    }

    /// Shares of `layer` where domains have `weights`, borrowed where there is one domain only.
    fn blend<'a>(&'a self, layer: u32, weights: &[f64], into: &'a mut Vec<f32>) -> &'a [f32] {
        let active = self
            .domains
            .iter()
            .zip(weights)
            .filter(|(_, weight)| **weight > 0.0);
        let (Some((first, &weight)), None) = (active.clone().next(), active.clone().nth(1)) else {
            into.clear();
            into.resize(self.experts(), 0.0);
            active.for_each(|(domain, &weight)| {
                for (sum, &share) in into.iter_mut().zip(domain.layer(layer)) {
                    *sum += weight as f32 * share;
                }
            });
            return into;
        };
        debug_assert!((weight - 1.0).abs() < 1e-9, "the only weight is one");
        first.layer(layer)
    }

    /// Counts of `tokens` tokens by `shares`, with the scatter of this process.
    fn draw(&self, shares: &[f32], tokens: u64, at: [u64; 2], into: &mut [u32]) {
        let key = self.seed.at("load", &at);
        let once = |tokens: u64, key, into: &mut [u32]| match self.scatter.kind {
            Draws::Multinomial => gaussian::spread(shares, tokens, self.top_k, key, into),
            Draws::Chained => {
                let chain = Chain::new(shares.iter().copied().map(f64::from).collect());
                draw::multinomial(&chain, tokens, self.top_k, key, into);
            }
            Draws::Expected => draw::expected(shares, tokens * self.top_k, into),
        };
        let alike = if self.scatter.kind == Draws::Expected {
            1
        } else {
            self.scatter.alike.max(1)
        };
        once(tokens / alike, key, into);
        if alike > 1 {
            // The rest of the tokens is one shorter run.
            let mut rest = vec![0; into.len()];
            once(u64::from(!tokens.is_multiple_of(alike)), key.with(1), &mut rest);
            for (count, rest) in into.iter_mut().zip(rest) {
                *count = *count * alike as u32 + rest * (tokens % alike) as u32;
            }
        }
    }
}

/// `weights` over their sum.
fn normalised(weights: &[f64]) -> Vec<f64> {
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / sum).collect()
}

impl LoadProcess for Mixture {
    fn layers(&self) -> u32 {
        self.domains[0].num_layers()
    }

    fn experts(&self) -> usize {
        self.domains[0].num_experts()
    }

    fn assignments(&self, _step: u64) -> u64 {
        self.tokens * self.top_k
    }

    fn popularity(&self, at: StepLayer, into: &mut [f64]) {
        let mut scratch = Vec::new();
        let shares = self.blend(at.layer, &self.weights(at.step), &mut scratch);
        for (share, &blended) in into.iter_mut().zip(shares) {
            *share = f64::from(blended);
        }
    }

    fn counts(&self, at: StepLayer, into: &mut [u32]) {
        let mut scratch = Vec::new();
        let shares = self.blend(at.layer, &self.weights(at.step), &mut scratch);
        self.draw(shares, self.tokens, [u64::from(at.layer), at.step], into);
    }

    fn window(&self, layer: u32, steps: Range<u64>, into: &mut [u64]) {
        let num = steps.end.saturating_sub(steps.start);
        let mut weights = vec![0.0; self.domains.len()];
        for step in steps.clone() {
            for (sum, weight) in weights.iter_mut().zip(self.weights(step)) {
                *sum += weight;
            }
        }
        if num == 0 {
            return into.fill(0);
        }
        let mut scratch = Vec::new();
        let shares = self.blend(layer, &normalised(&weights), &mut scratch);
        // Parts that keep every count within 32 bits.
        let part = (u64::from(u32::MAX) / (self.tokens * self.top_k).max(1)).clamp(1, num);
        let mut counts = vec![0; into.len()];
        into.fill(0);
        for first in (0..num).step_by(usize::try_from(part).unwrap_or(usize::MAX)) {
            let tokens = self.tokens * part.min(num - first);
            let place = [u64::from(layer), u64::MAX - steps.start - first];
            self.draw(shares, tokens, place, &mut counts);
            for (sum, &count) in into.iter_mut().zip(&counts) {
                *sum += u64::from(count);
            }
        }
    }
}
