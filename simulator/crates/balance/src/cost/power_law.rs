//! The most loaded rank of the tables of imbalanced layers.
//!
//! The tables draw expert loads from a power law, balance them or not, and time the rank that has most
//! (ai-dynamo/aiconfigurator, collector/helper.py): `x = ((xmax^(1−a) − 1) u + 1)^(1/(1−a))` with `xmax = 0.8 tokens`,
//! scaled to `tokens · topk` rows. Their draws are not known; loads here are drawn by key, and the mean over the draws
//! of the fullest rank's experts, in order of load, stands for them. Where a table says how many different tokens
//! reached that rank, loads are scaled to it.

use orrery_experts::load::{cap, power_law};
use orrery_profile::library::{LibraryExperts, LocalLoad};
use orrery_units::Seed;

use crate::placement::{Algorithm, LayerPlacement, Observed, Policy as _, Setting, Shape, max_over_mean};

/// Draws of the loads.
const DRAWS: u64 = 16;

/// What balances the loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curing {
    /// Nothing: experts in order.
    None,
    /// EPLB over all ranks, with so many slots.
    Eplb {
        /// Slots on all ranks.
        slots: u32,
    },
}

/// A draw of imbalanced loads: tokens of all ranks, experts of each token, experts, ranks and the exponent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PowerLaw {
    /// Tokens of all ranks.
    pub tokens: u32,
    /// Experts of each token.
    pub chosen: u32,
    /// Experts.
    pub experts: u32,
    /// Ranks that they are spread over.
    pub ranks: u32,
    /// Exponent; 0 for equal loads.
    pub skew: f64,
    /// What balances them.
    pub curing: Curing,
    /// Different tokens that reach the fullest rank, where they are known.
    pub reaching: Option<u32>,
}

impl PowerLaw {
    /// The load of the fullest rank; none when ranks do not divide the slots.
    #[must_use]
    pub fn fullest(&self) -> Option<LocalLoad> {
        let slots = match self.curing {
            Curing::None => self.experts,
            Curing::Eplb { slots } => slots,
        };
        let [experts, slots, ranks] = [self.experts, slots, self.ranks].map(|count| count as usize);
        let shape = Shape::new(experts, slots, 1, 1, ranks).ok()?;
        let draws = if self.skew > 0.0 { DRAWS } else { 1 };
        let mut mean = vec![0.0; shape.slots_per_device()];
        for draw in 0..draws {
            let loads = self.loads(draw);
            let mut fullest = fullest_device(&self.place(&loads, shape), &loads);
            fullest.sort_by(|a, b| b.total_cmp(a));
            for (mean, load) in mean.iter_mut().zip(fullest) {
                *mean += load / draws as f64;
            }
        }
        if let Some(reaching) = self.reaching {
            self.scale(&mut mean, f64::from(reaching));
        }
        Some(self.local(&mean))
    }

    /// The placement of one draw.
    fn place(&self, loads: &[f64], shape: Shape) -> LayerPlacement {
        let setting = Setting {
            shape,
            now: None,
            key: Seed::new(0).at("placement", &[]),
        };
        let algorithm = match self.curing {
            Curing::None => Algorithm::Contiguous,
            Curing::Eplb { .. } => Algorithm::EplbGlobal,
        };
        algorithm.place(Observed::of_mean(loads), setting)
    }

    /// Loads of a draw, none above the number of tokens: a token takes an expert once.
    fn loads(&self, draw: u64) -> Vec<f64> {
        let tokens = f64::from(self.tokens);
        let rows = tokens * f64::from(self.chosen);
        if self.skew <= 0.0 {
            return vec![rows / f64::from(self.experts); self.experts as usize];
        }
        let most = (0.8 * tokens).max(1.0001);
        let seed = Seed::new(0);
        let mut loads: Vec<f64> = (0..self.experts)
            .map(|expert| {
                let chance = seed.at("power law", &[draw, u64::from(expert)]).uniform();
                power_law(self.skew, most, chance)
            })
            .collect();
        let sum: f64 = loads.iter().sum();
        loads.iter_mut().for_each(|load| *load *= rows / sum);
        cap(&mut loads, tokens);
        loads
    }

    /// Scales `loads` so that `reaching` different tokens are expected: `T (1 − Π (1 − load / T))`.
    fn scale(&self, loads: &mut [f64], reaching: f64) {
        let tokens = f64::from(self.tokens);
        let expected = |factor: f64| {
            let none: f64 = loads
                .iter()
                .map(|load| 1.0 - (load * factor / tokens).min(1.0))
                .product();
            tokens * (1.0 - none)
        };
        let (mut low, mut high) = (0.05, 20.0);
        for _ in 0..50 {
            let middle = f64::sqrt(low * high);
            if expected(middle) < reaching {
                low = middle;
            } else {
                high = middle;
            }
        }
        // When every token reaches the rank nothing is learnt but that it is full.
        if reaching < tokens * 0.995 {
            loads
                .iter_mut()
                .for_each(|load| *load = (*load * low).min(tokens));
        }
    }

    /// What the rank is given. An expert with less than a row in the mean has one in some draws only: by Poisson's law,
    /// where the laboratory, which has the counts of every step, splits whole ones among replicas.
    fn local(&self, loads: &[f64]) -> LocalLoad {
        let mut load = LocalLoad {
            rows: 0.0,
            active: 0.0,
            padded: 0.0,
            largest: 1.0,
        };
        for &rows in loads {
            let active = -(-rows).exp_m1();
            load.rows += rows;
            load.active += active;
            load.padded += active * LibraryExperts::TILE * (rows / LibraryExperts::TILE).ceil().max(1.0);
            load.largest = load.largest.max(rows);
        }
        load.rows = load.rows.max(0.01);
        load.active = load.active.max(0.01);
        load
    }
}

/// What each slot of the fullest device carries.
fn fullest_device(placement: &LayerPlacement, loads: &[f64]) -> Vec<f64> {
    let held = placement.device_loads(loads);
    debug_assert!(
        max_over_mean(&held) >= 1.0 - 1e-9,
        "a largest is no less than the mean"
    );
    let device = (1..held.len()).fold(0, |most, at| if held[at] > held[most] { at } else { most });
    placement
        .on(device)
        .iter()
        .map(|&expert| placement.share(expert, loads))
        .collect()
}
