//! A limit on the tokens of an expert: what is beyond it is dropped.

use super::scores::{Route, Routes};
use super::select::top_k;
use crate::load::draw;

/// Which tokens an expert keeps when it has too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropPolicy {
    /// Those that come first in the batch.
    Position,
    /// Those of the largest weight.
    Probability,
}

/// A capacity of experts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Capacity {
    /// Times the tokens that an expert would have if all were balanced.
    pub factor: f64,
    /// Which tokens stay.
    pub policy: DropPolicy,
    /// Whether experts that have fewer are filled up, so that all compute the same.
    pub pad: bool,
}

/// What a capacity left.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// What stays; padding has no weight and no route.
    pub routes: Routes,
    /// The tokens of each expert in ascending order, padding included.
    pub tokens: Vec<Vec<u32>>,
    /// Tokens that one expert takes.
    pub capacity: usize,
    /// Routes that were dropped.
    pub dropped: usize,
    /// Places that padding filled.
    pub padding: usize,
}

impl Capacity {
    /// Tokens that an expert of this batch takes; see [`draw::capacity`].
    #[must_use]
    pub fn of(&self, routes: &Routes, experts_per_token: usize) -> usize {
        let (tokens, experts) = (routes.num_tokens() as u64, routes.num_experts() as u64);
        let capacity = draw::capacity(tokens, experts_per_token as u64, experts, self.factor);
        usize::try_from(capacity).expect("a batch has fewer than 2^32 tokens")
    }

    /// Applies the limit (Megatron-Core, `apply_router_token_dropping`): each expert keeps the best of its column of
    /// weights, in which tokens that are not its own weigh nothing. Those are what padding picks, so an expert that
    /// is filled up is given real tokens of weight zero; see [`top_k`] for which.
    #[must_use]
    pub fn apply(&self, routes: &Routes, experts_per_token: usize) -> Kept {
        let capacity = self.of(routes, experts_per_token).min(routes.num_tokens());
        let mut of_expert: Vec<Vec<Route>> = vec![Vec::new(); routes.num_experts()];
        for &route in routes.all() {
            of_expert[route.expert as usize].push(route);
        }
        let (mut kept, mut tokens) = (Vec::new(), Vec::with_capacity(of_expert.len()));
        let mut padding = 0;
        for own in &of_expert {
            let mut chosen = self.choose(own, routes.num_tokens(), capacity);
            chosen.sort_unstable();
            let stays = own
                .iter()
                .filter(|route| chosen.binary_search(&route.token).is_ok());
            let before = kept.len();
            kept.extend(stays);
            let own = kept.len() - before;
            padding += chosen.len() - own;
            tokens.push(chosen);
        }
        Kept {
            dropped: routes.all().len() - kept.len(),
            routes: Routes::new(routes.num_tokens(), routes.num_experts(), kept),
            tokens,
            capacity,
            padding,
        }
    }

    /// The tokens that an expert takes of its `own` routes, filled up where that is asked for.
    fn choose(&self, own: &[Route], num_tokens: usize, capacity: usize) -> Vec<u32> {
        if own.len() <= capacity && !self.pad {
            return own.iter().map(|route| route.token).collect();
        }
        let mut column = vec![0.0; num_tokens];
        for route in own {
            column[route.token as usize] = match self.policy {
                DropPolicy::Probability => route.weight,
                // Earlier is more; whole numbers up to 2^24 are exact.
                DropPolicy::Position => (num_tokens - route.token as usize) as f32,
            };
        }
        top_k(&column, capacity)
    }
}
