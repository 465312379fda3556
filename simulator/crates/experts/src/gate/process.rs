//! A router in training as a process of load.

use std::convert::Infallible;

use orrery_units::Seed;

use super::choose::Gate;
use super::dynamics::{Recipe, Router, RouterStep};
use crate::load::{LoadProcess, StepLayer, draw, spread};

/// Loads of layers whose routers were trained once, step by step; draws of any step follow the popularity that they
/// had about then.
#[derive(Clone, Debug)]
pub struct Trained {
    /// By layer, then step.
    steps: Vec<Vec<RouterStep>>,
    /// By layer, then stretch of steps: shares of what is computed.
    shares: Vec<Vec<Vec<f32>>>,
    /// By stretch: rows that are computed per token, in the mean of all layers. A gate may ask for fewer experts than it
    /// may at most, and capacity drops and pads.
    computed: Vec<f64>,
    stretch: u64,
    tokens: u64,
    even: bool,
    seed: Seed,
}

impl Trained {
    /// `layers` layers trained by `recipe` for `steps` steps; `tokens` tokens a step follow it. Popularity is that
    /// of stretches of `stretch` steps, whose sampled tokens are counted together; the last one lasts.
    ///
    /// # Panics
    /// When there are no layers or steps, or a stretch has none.
    #[must_use]
    pub fn new(recipe: Recipe, layers: u32, steps: (u64, u64), tokens: u64, seed: Seed) -> Self {
        let trained = Self::train(recipe, layers, steps, (tokens, seed), || Ok::<(), Infallible>(()));
        match trained {
            Ok(trained) => trained,
            Err(never) => match never {},
        }
    }

    /// The same, asking before every step of every layer whether to go on.
    ///
    /// # Errors
    /// What `go_on` answered when it did not want to.
    ///
    /// # Panics
    /// When there are no layers or steps, or a stretch has none.
    pub fn train<E>(
        recipe: Recipe,
        layers: u32,
        (steps, stretch): (u64, u64),
        (tokens, seed): (u64, Seed),
        mut go_on: impl FnMut() -> Result<(), E>,
    ) -> Result<Self, E> {
        assert!(
            layers > 0 && steps > 0 && stretch > 0,
            "there is something to train"
        );
        let mut train = |layer| {
            let mut router = Router::new(recipe, layer, seed);
            let mut step = |_| go_on().map(|()| router.step());
            (0..steps).map(&mut step).collect()
        };
        let steps = (0..layers)
            .map(&mut train)
            .collect::<Result<Vec<Vec<RouterStep>>, E>>()?;
        let length = usize::try_from(stretch).unwrap_or(usize::MAX);
        let of_layer = |steps: &Vec<RouterStep>| steps.chunks(length).map(shares).collect();
        let shares: Vec<Vec<Vec<f32>>> = steps.iter().map(of_layer).collect();
        let computed = (0..shares[0].len())
            .map(|at| computed(&steps, at * length, length) / recipe.tokens as f64)
            .collect();
        let padded = recipe.capacity.is_some_and(|capacity| capacity.pad);
        Ok(Self {
            shares,
            computed,
            stretch,
            tokens,
            even: padded || matches!(recipe.gate, Gate::ExpertChoice { .. }),
            seed,
            steps,
        })
    }

    /// What each step of training did to `layer`.
    #[must_use]
    pub fn steps(&self, layer: u32) -> &[RouterStep] {
        &self.steps[layer as usize]
    }

    fn stretch(&self, step: u64) -> usize {
        let at = usize::try_from(step / self.stretch).unwrap_or(usize::MAX);
        at.min(self.computed.len() - 1)
    }

    fn shares(&self, at: StepLayer) -> &[f32] {
        &self.shares[at.layer as usize][self.stretch(at.step)]
    }
}

/// Shares of what is computed over some steps.
fn shares(steps: &[RouterStep]) -> Vec<f32> {
    let mut sums = vec![0_u64; steps[0].computed.len()];
    for step in steps {
        for (sum, &count) in sums.iter_mut().zip(&step.computed) {
            *sum += u64::from(count);
        }
    }
    let total = sums.iter().sum::<u64>().max(1) as f64;
    sums.into_iter().map(|sum| (sum as f64 / total) as f32).collect()
}

/// Rows that a layer computes in a step, in the mean of all layers and of the stretch of `length` steps at `from`.
fn computed(layers: &[Vec<RouterStep>], from: usize, length: usize) -> f64 {
    let steps = layers
        .iter()
        .flat_map(|steps| steps.iter().skip(from).take(length));
    let sum = |counts: &[u32]| counts.iter().map(|&count| f64::from(count)).sum::<f64>();
    let (rows, steps) = steps.fold((0.0, 0.0), |(rows, steps), step| {
        (rows + sum(&step.computed), steps + 1.0)
    });
    rows / steps
}

impl LoadProcess for Trained {
    fn layers(&self) -> u32 {
        u32::try_from(self.shares.len()).expect("a model has fewer than 2^32 layers")
    }

    fn experts(&self) -> usize {
        self.shares[0][0].len()
    }

    fn assignments(&self, step: u64) -> u64 {
        (self.tokens as f64 * self.computed[self.stretch(step)]).round() as u64
    }

    fn popularity(&self, at: StepLayer, into: &mut [f64]) {
        for (share, &trained) in into.iter_mut().zip(self.shares(at)) {
            *share = f64::from(trained);
        }
    }

    fn counts(&self, at: StepLayer, into: &mut [u32]) {
        let (shares, total) = (self.shares(at), self.assignments(at.step));
        if self.even {
            // What every expert computes is fixed: capacity, or the tokens that it chooses.
            return draw::expected(shares, total, into);
        }
        let key = self.seed.at("trained", &[u64::from(at.layer), at.step]);
        spread(shares, total, 1, key, into);
        draw::limit(shares, self.tokens, into);
    }
}
