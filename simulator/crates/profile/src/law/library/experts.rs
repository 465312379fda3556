//! Experts of a rank by a library: two grouped products with an activation between, and the passes around them.

use super::{LibraryKernel, Peaks, Widths, overlapped, prior};
use crate::fit::{Component, Prior};

/// Rows and columns of a tile of the grouped products.
const TILE: f64 = LibraryExperts::TILE;

/// What a rank's experts are given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LocalLoad {
    /// Rows, over its experts.
    pub rows: f64,
    /// Experts with a row at least.
    pub active: f64,
    /// Rows with every active expert's filled up to tiles of 128.
    pub padded: f64,
    /// Rows of the most loaded expert.
    pub largest: f64,
}

/// One layer of experts on the most loaded rank.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LibraryExperts {
    /// Data sheet.
    pub peaks: Peaks,
    /// Bytes of an element.
    pub widths: Widths,
    /// What it is given.
    pub load: LocalLoad,
    /// Tokens that were routed, over all ranks.
    pub tokens: u32,
    /// Experts of each token.
    pub chosen: u32,
    /// Width of the model.
    pub hidden: u32,
    /// Width of an expert.
    pub inner: u32,
    /// Experts, over all ranks.
    pub experts: u32,
    /// Ranks that they are spread over.
    pub ranks: u32,
    /// Exponent of the power law of their loads; 0 for equal loads.
    pub skew: f64,
}

impl LibraryExperts {
    /// Rows of a tile of the grouped product, up to which every active expert's are filled.
    pub const TILE: f64 = 128.0;

    /// Seconds of arithmetic and of weights, at the data sheet's peaks.
    fn roofs(&self) -> (f64, f64) {
        let weights = 3.0 * f64::from(self.hidden) * f64::from(self.inner);
        let compute = 2.0 * self.load.rows * weights / self.peaks.rate.get();
        let memory = self.load.active * weights * self.widths.weight / self.peaks.bandwidth.get();
        (compute, memory)
    }
}

/// The law's terms for one shape and one set of parameters, as multiples of what a device is given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExpertTerms {
    /// Seconds whatever it is given: launches, and what depends on the tokens of all devices.
    pub constant: f64,
    /// Share of the padding that is computed.
    pub padding: f64,
    /// Seconds of a row in each product while all units are busy, and the rows below which they are not.
    pub products: [(f64, f64); 2],
    /// Share of other devices' rows that is computed and thrown away.
    pub wasted: f64,
    /// Rows of all devices.
    pub chosen: f64,
    /// Seconds of memory of an active expert.
    pub per_active: f64,
    /// Seconds of memory of a row.
    pub per_row_memory: f64,
    /// Seconds of passes of a row.
    pub per_row: f64,
    /// Seconds of routing of an active expert.
    pub per_active_routing: f64,
    /// Sharpness of the corner between arithmetic and traffic.
    pub sharpness: f64,
}

impl LibraryExperts {
    /// The terms of [`seconds`](LibraryKernel::seconds), which is then
    /// `constant + corner(Σ pace · max(computed, least), memory) + per_row · rows + per_active_routing · active`.
    ///
    /// # Panics
    /// When there are not as many parameters as priors.
    #[must_use]
    pub fn terms(&self, parameters: &[f64]) -> ExpertTerms {
        let [
            efficiency,
            fill,
            launch,
            share,
            sharpness,
            passes,
            token,
            padding,
            expert,
            remote,
            gather,
        ] = *parameters
        else {
            panic!(
                "the law of experts has eleven parameters, not {}",
                parameters.len()
            );
        };
        let (hidden, inner) = (f64::from(self.hidden), f64::from(self.inner));
        let tokens = f64::from(self.tokens);
        let units = f64::from(self.peaks.num_units);
        let bandwidth = self.peaks.bandwidth.get();
        let pace = 2.0 * TILE * TILE * units / (self.peaks.rate.get() * efficiency);
        let product = |columns: f64, k: f64| {
            let waves_per_row = (columns / TILE).ceil() / (TILE * units);
            (waves_per_row * pace * (k + fill), waves_per_row.recip())
        };
        ExpertTerms {
            constant: launch + gather * tokens * hidden * 2.0 / bandwidth + token * tokens,
            padding: padding.min(1.0),
            products: [product(2.0 * inner, hidden), product(hidden, inner)],
            wasted: remote.min(1.0),
            chosen: tokens * f64::from(self.chosen),
            per_active: 3.0 * hidden * inner * self.widths.weight / (bandwidth * share),
            per_row_memory: (hidden + inner) * self.widths.activation / (bandwidth * share),
            per_row: passes * hidden * 2.0 / bandwidth,
            per_active_routing: expert,
            sharpness,
        }
    }
}

impl LibraryKernel for LibraryExperts {
    const SCATTER: f64 = 0.06;
    const SHAPE: &'static [usize] = &[3, 4, 8, 9];

    /// Efficiency, prologue of a tile, launches, share of the bandwidth, sharpness, passes over the rows, seconds per
    /// token of routing, share of the padding that is computed, seconds per active expert, share of other ranks' rows
    /// that is computed and thrown away, passes over all tokens.
    fn priors() -> Vec<Prior> {
        vec![
            prior(0.6, 0.4),
            prior(64.0, 1.0),
            prior(20e-6, 0.8),
            prior(0.8, 0.4),
            prior(3.0, 0.4),
            prior(8.0, 0.8),
            prior(1e-9, 2.0),
            prior(0.5, 0.7),
            prior(0.3e-6, 1.5),
            prior(0.02, 2.0),
            prior(2.0, 1.0),
        ]
    }

    fn components() -> Vec<Component> {
        vec![
            Component::rough(0.15, &[(5, 0.3), (6, 1.0), (7, 1.0)]),
            Component::rough(
                0.30,
                &[
                    (1, 2.0),
                    (2, 2.0),
                    (3, 1.0),
                    (4, 1.5),
                    (5, 0.3),
                    (8, 1.0),
                    (9, 0.4),
                ],
            ),
            Component::smooth(0.10, &[(0, 1.0), (5, 0.3)]),
        ]
    }

    /// `launch + corner(compute, memory) + passes + routing`: tiles of both products at no less than a wave each, the
    /// weights of active experts once, rows in and out of each product and of the permutation.
    fn seconds(&self, parameters: &[f64]) -> f64 {
        if parameters.len() != Self::priors().len() {
            return f64::NAN;
        }
        let terms = self.terms(parameters);
        let load = &self.load;
        let computed = load.rows
            + (load.padded - load.rows) * terms.padding
            + terms.wasted * (terms.chosen - load.rows).max(0.0);
        let product = |(pace, least): (f64, f64)| pace * computed.max(least);
        let compute = product(terms.products[0]) + product(terms.products[1]);
        let memory = terms.per_active * load.active + terms.per_row_memory * load.rows;
        terms.constant
            + overlapped(compute, memory, terms.sharpness)
            + terms.per_row * load.rows
            + terms.per_active_routing * load.active
    }

    fn peaks(&self) -> &Peaks {
        &self.peaks
    }

    fn coordinates(&self) -> Vec<f64> {
        let (hidden, inner) = (f64::from(self.hidden), f64::from(self.inner));
        let (compute, memory) = self.roofs();
        vec![
            f64::from(self.tokens).ln(),
            self.load.rows.ln(),
            self.load.active.ln(),
            (hidden * inner).ln(),
            f64::from(self.ranks).ln(),
            self.skew,
            (self.load.rows / self.load.active).ln(),
            compute.max(memory).ln(),
            (hidden / inner).ln(),
            f64::from(self.experts).ln(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use orrery_units::{Bytes, BytesPerSec, FlopsPerSec};

    use super::*;

    /// 10 experts of 1024 x 1024 with one row each, in BF16: 62.9 MB of weights, 62.9 us at 1 TB/s; rows are nothing.
    #[test]
    fn few_rows_read_the_weights_of_active_experts() {
        let peaks = Peaks {
            rate: FlopsPerSec::new(1e15),
            bandwidth: BytesPerSec::new(1e12),
            num_units: 100,
            cache: Bytes::new(50_000_000),
        };
        let layer = LibraryExperts {
            peaks,
            widths: Widths::named("bfloat16").expect("a format of the tables"),
            load: LocalLoad {
                rows: 10.0,
                active: 10.0,
                padded: 1280.0,
                largest: 1.0,
            },
            tokens: 10,
            chosen: 1,
            hidden: 1024,
            inner: 1024,
            experts: 10,
            ranks: 1,
            skew: 0.0,
        };
        let seconds = layer.seconds(&[1.0, 1e-9, 1e-12, 1.0, 20.0, 1e-9, 1e-15, 1e-9, 1e-12, 1e-9, 1e-9]);
        assert!((seconds * 1e6 - 62.95).abs() < 0.1, "{seconds}");
        let fewer = LibraryExperts {
            load: LocalLoad {
                active: 5.0,
                ..layer.load
            },
            ..layer
        };
        let half = fewer.seconds(&[1.0, 1e-9, 1e-12, 1.0, 20.0, 1e-9, 1e-15, 1e-9, 1e-12, 1e-9, 1e-9]);
        assert!((half / seconds - 0.5).abs() < 0.01, "{half}");
    }
}
