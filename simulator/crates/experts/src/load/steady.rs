//! Popularity that never changes: every step is another draw from the same shares.

use orrery_units::Seed;

use super::{Chain, LoadProcess, StepLayer, draw};

/// Fixed shares of popularity by layer, drawn as a multinomial law at every step.
#[derive(Clone, Debug)]
pub struct Steady {
    seed: Seed,
    tokens: u64,
    top_k: u64,
    layers: Vec<Chain>,
}

impl Steady {
    /// `tokens` tokens a step, each to `top_k` experts, by `shares` of popularity of each layer.
    ///
    /// # Panics
    /// When there is no layer, or one of another number of experts than the first.
    #[must_use]
    pub fn new(shares: Vec<Vec<f64>>, tokens: u64, top_k: u64, seed: Seed) -> Self {
        let experts = shares.first().map_or(0, Vec::len);
        assert!(
            experts > 0 && shares.iter().all(|layer| layer.len() == experts),
            "every layer has the same number of experts, and there is one at least"
        );
        Self {
            seed,
            tokens,
            top_k,
            layers: shares.into_iter().map(Chain::new).collect(),
        }
    }

    fn chain(&self, at: StepLayer) -> &Chain {
        &self.layers[at.layer as usize]
    }
}

impl LoadProcess for Steady {
    fn layers(&self) -> u32 {
        u32::try_from(self.layers.len()).expect("a model has fewer than 2^32 layers")
    }

    fn experts(&self) -> usize {
        self.layers[0].shares().len()
    }

    fn assignments(&self, _step: u64) -> u64 {
        self.tokens * self.top_k
    }

    fn popularity(&self, at: StepLayer, into: &mut [f64]) {
        into.copy_from_slice(self.chain(at).shares());
    }

    fn counts(&self, at: StepLayer, into: &mut [u32]) {
        let key = self.seed.at("load", &[u64::from(at.layer), at.step]);
        draw::multinomial(self.chain(at), self.tokens, self.top_k, key, into);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_step_can_be_drawn_alone() {
        let process = Steady::new(vec![vec![0.4, 0.3, 0.2, 0.1]; 3], 4096, 2, Seed::new(1));
        let mut forth = vec![[0; 4]; 20];
        for (step, counts) in forth.iter_mut().enumerate() {
            process.counts(StepLayer::new(step as u64, 1), counts);
            assert_eq!(counts.iter().sum::<u32>(), 8192);
        }
        let mut back = [0; 4];
        for step in (0..20).rev() {
            process.counts(StepLayer::new(step, 1), &mut back);
            assert_eq!(back, forth[step as usize]);
        }
        let mut history = [0; 4];
        process.history(1, 5..9, &mut history);
        let by_hand: u64 = forth[5..9].iter().map(|counts| u64::from(counts[2])).sum();
        assert_eq!(history[2], by_hand);
        assert_ne!(forth[0], forth[1]);
    }
}
