//! A batch of tokens before its experts, and the choices that were made.

/// Numbers of every token for every expert: logits, or what a score function makes of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    experts: usize,
    /// Token by token.
    values: Vec<f32>,
}

impl Scores {
    /// `values` token by token, `experts` of each.
    ///
    /// # Panics
    /// When there are no experts, or the values are not whole rows.
    #[must_use]
    pub fn new(experts: usize, values: Vec<f32>) -> Self {
        assert!(
            experts > 0 && values.len().is_multiple_of(experts),
            "every token has one number per expert"
        );
        Self { experts, values }
    }

    /// Tokens of the batch.
    #[must_use]
    pub fn num_tokens(&self) -> usize {
        self.values.len() / self.experts
    }

    /// Experts that each token has a number for.
    #[must_use]
    pub const fn num_experts(&self) -> usize {
        self.experts
    }

    /// The numbers of `token`, by expert.
    #[must_use]
    pub fn of(&self, token: usize) -> &[f32] {
        &self.values[token * self.experts..][..self.experts]
    }

    /// Every token's numbers, in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> + Clone {
        self.values.chunks_exact(self.experts)
    }

    /// The numbers of `expert`, by token.
    pub fn column(&self, expert: usize) -> impl Iterator<Item = f32> + '_ {
        self.rows().map(move |row| row[expert])
    }

    /// The same with `change` applied to the numbers of each token.
    #[must_use]
    pub fn map_rows(&self, mut change: impl FnMut(&mut [f32])) -> Self {
        let mut changed = self.clone();
        changed
            .values
            .chunks_exact_mut(self.experts)
            .for_each(&mut change);
        changed
    }

    /// `exp(x_e) / Σ exp(x_j)` over the experts of each token. Worked: logits 0 and ln 3 give 1/4 and 3/4.
    #[must_use]
    pub fn softmax(&self) -> Self {
        self.map_rows(|row| {
            let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mut sum = 0.0;
            for x in row.iter_mut() {
                *x = (*x - most).exp();
                sum += *x;
            }
            row.iter_mut().for_each(|x| *x /= sum);
        })
    }

    /// `1 / (1 + exp(−x))` of every number. Worked: ln 3 gives 3/4.
    #[must_use]
    pub fn sigmoid(&self) -> Self {
        self.map_rows(|row| row.iter_mut().for_each(|x| *x = 1.0 / (1.0 + (-*x).exp())))
    }

    /// The mean over tokens of each expert's number.
    #[must_use]
    pub fn mean(&self) -> Vec<f64> {
        let mut mean = vec![0.0; self.experts];
        for row in self.rows() {
            for (sum, &x) in mean.iter_mut().zip(row) {
                *sum += f64::from(x);
            }
        }
        let tokens = self.num_tokens().max(1) as f64;
        mean.iter_mut().for_each(|sum| *sum /= tokens);
        mean
    }
}

/// A token at one of its experts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Route {
    /// The token.
    pub token: u32,
    /// The expert.
    pub expert: u32,
    /// What the expert's output is multiplied with.
    pub weight: f32,
}

/// The experts that the tokens of a batch go to, by token.
#[derive(Clone, Debug, PartialEq)]
pub struct Routes {
    tokens: usize,
    experts: usize,
    routes: Vec<Route>,
}

impl Routes {
    /// `routes` of `tokens` tokens among `experts` experts; they are put in the order of tokens.
    #[must_use]
    pub fn new(tokens: usize, experts: usize, mut routes: Vec<Route>) -> Self {
        routes.sort_by_key(|route| (route.token, route.expert));
        Self {
            tokens,
            experts,
            routes,
        }
    }

    /// Every route, by token, then expert.
    #[must_use]
    pub fn all(&self) -> &[Route] {
        &self.routes
    }

    /// Tokens of the batch.
    #[must_use]
    pub const fn num_tokens(&self) -> usize {
        self.tokens
    }

    /// Experts that there were.
    #[must_use]
    pub const fn num_experts(&self) -> usize {
        self.experts
    }

    /// The experts of each token, in ascending order.
    #[must_use]
    pub fn by_token(&self) -> Vec<Vec<u32>> {
        let mut experts = vec![Vec::new(); self.tokens];
        for route in &self.routes {
            experts[route.token as usize].push(route.expert);
        }
        experts
    }

    /// Tokens of each expert.
    #[must_use]
    pub fn counts(&self) -> Vec<u32> {
        let mut counts = vec![0; self.experts];
        for route in &self.routes {
            counts[route.expert as usize] += 1;
        }
        counts
    }

    /// Tokens that no expert sees: all of theirs was dropped, or no expert chose them.
    #[must_use]
    pub fn unserved(&self) -> usize {
        let mut served = vec![false; self.tokens];
        for route in &self.routes {
            served[route.token as usize] = true;
        }
        served.iter().filter(|served| !**served).count()
    }
}
