//! Experts of a rank by a library: two grouped products with an activation between, and the passes around them.

use super::{LibraryKernel, Peaks, Widths, overlapped, prior};
use crate::fit::{Component, Prior};

/// Rows and columns of a tile of the grouped products.
const TILE: f64 = 128.0;

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
    /// Seconds of arithmetic and of weights, at the data sheet's peaks.
    fn roofs(&self) -> (f64, f64) {
        let weights = 3.0 * f64::from(self.hidden) * f64::from(self.inner);
        let compute = 2.0 * self.load.rows * weights / self.peaks.rate.get();
        let memory = self.load.active * weights * self.widths.weight / self.peaks.bandwidth.get();
        (compute, memory)
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
        ] = parameters
        else {
            return f64::NAN;
        };
        let (hidden, inner) = (f64::from(self.hidden), f64::from(self.inner));
        let units = f64::from(self.peaks.num_units);
        let bandwidth = self.peaks.bandwidth.get();
        let computed = padding.min(1.0);
        let chosen = f64::from(self.tokens) * f64::from(self.chosen);
        let wasted = remote.min(1.0) * (chosen - self.load.rows).max(0.0);
        let rows = self.load.rows * (1.0 - computed) + self.load.padded * computed + wasted;
        let pace = 2.0 * TILE * TILE * units / (self.peaks.rate.get() * efficiency);
        let product = |columns: f64, k: f64| {
            let waves = rows / TILE * (columns / TILE).ceil() / units;
            waves.max(1.0) * pace * (k + fill)
        };
        let compute = product(2.0 * inner, hidden) + product(hidden, inner);
        let weights = self.load.active * 3.0 * hidden * inner * self.widths.weight;
        let operands = self.load.rows * (hidden + inner) * self.widths.activation;
        let memory = (weights + operands) / (bandwidth * share);
        let moved = (passes * self.load.rows + gather * f64::from(self.tokens)) * hidden * 2.0 / bandwidth;
        let routed = token * f64::from(self.tokens) + expert * self.load.active;
        launch + overlapped(compute, memory, *sharpness) + moved + routed
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
