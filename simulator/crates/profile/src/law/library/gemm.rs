//! Matrix products of a library, which picks a tile and a split of `k`.

use super::{LibraryKernel, Peaks, Widths, fill, overlapped, prior};
use crate::fit::{Component, Prior};

/// Rows and columns of the tiles that CUTLASS, cuBLAS and DeepGEMM are built with on these devices.
const TILES: [(f64, f64); 9] = [
    (64.0, 64.0),
    (64.0, 128.0),
    (128.0, 64.0),
    (64.0, 256.0),
    (128.0, 128.0),
    (256.0, 64.0),
    (128.0, 256.0),
    (256.0, 128.0),
    (256.0, 256.0),
];

/// Parts that `k` is split into.
const SPLITS: [f64; 6] = [1.0, 2.0, 3.0, 4.0, 6.0, 8.0];

/// `C[m, n] = A[m, k] B[k, n]` by a library.
#[derive(Clone, Debug, PartialEq)]
pub struct LibraryGemm {
    peaks: Peaks,
    /// Seconds of the arithmetic at the peak.
    compute: f64,
    /// Seconds of the operands and the result at the data sheet's bandwidth.
    memory: f64,
    /// The part of them that the last level of cache keeps from one run to the next: `1 / (1 + (bytes / cache)²)`.
    kept: f64,
    shape: [f64; 3],
    choices: Vec<Choice>,
}

/// A tile and a split of `k`: what does not depend on parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Choice {
    waves: f64,
    /// Waves begun, less waves.
    idle: f64,
    /// Part of `k` of a tile, a multiple of 64.
    depth: f64,
    /// Seconds per element of `k` of a tile, at a unit's share of the peak.
    pace: f64,
    /// `1 / rows + 1 / columns`.
    edges: f64,
    /// Seconds per element of `k` of a tile to bring its operands, at a unit's share of the bandwidth.
    stream: f64,
    /// Seconds to write and read the parts of a split product; 0 for one that is not split.
    reduction: f64,
}

impl LibraryGemm {
    /// The product of `[m, n, k]`.
    #[must_use]
    pub fn new(shape: [u32; 3], widths: Widths, peaks: Peaks) -> Self {
        let [m, n, k] = shape.map(f64::from);
        let bandwidth = peaks.bandwidth.get();
        let units = f64::from(peaks.num_units);
        let bytes = n * k * widths.weight + m * k * widths.activation + 2.0 * m * n;
        let mut choices = Vec::with_capacity(TILES.len() * SPLITS.len());
        for (rows, columns) in TILES {
            for split in SPLITS {
                let waves = (m / rows).ceil() * (n / columns).ceil() * split / units;
                choices.push(Choice {
                    waves,
                    idle: waves.ceil() - waves,
                    depth: (k / split / 64.0).ceil() * 64.0,
                    pace: 2.0 * rows * columns * units / peaks.rate.get(),
                    edges: rows.recip() + columns.recip(),
                    stream: (rows.min(m) * widths.activation + columns.min(n) * widths.weight) * units
                        / bandwidth,
                    // Parts are of four bytes, written and read; they mostly stay in the cache, which is some three
                    // times as fast as the memory (assumption).
                    reduction: if split > 1.0 {
                        split * m * n * 8.0 / (3.0 * bandwidth)
                    } else {
                        0.0
                    },
                });
            }
        }
        Self {
            peaks,
            compute: 2.0 * m * n * k / peaks.rate.get(),
            memory: bytes / bandwidth,
            kept: (1.0 + (bytes / peaks.cache.as_f64()).powi(2)).recip(),
            shape: [m, n, k],
            choices,
        }
    }

    fn waves(&self, rows: f64, columns: f64) -> f64 {
        let [m, n, _] = self.shape;
        (m / rows).ceil() * (n / columns).ceil() / f64::from(self.peaks.num_units)
    }
}

/// What decides among choices.
struct Tiles {
    /// Of a large tile.
    efficiency: f64,
    /// Elements of edge that cost as much as a tile's inside.
    edge: f64,
    /// Prologue in elements of `k`.
    fill: f64,
    /// Share of the last wave that is lost.
    tail: f64,
    /// How many times its even share of the memory bandwidth one unit can draw, from cache or memory.
    draw: f64,
    /// Seconds to begin bringing the parts of a split product together.
    split: f64,
}

impl Choice {
    fn seconds(&self, of: &Tiles) -> f64 {
        let waves = (self.waves + of.tail * self.idle).max(1.0);
        let pace = self.pace * (1.0 + of.edge * self.edges) / of.efficiency;
        let split = if self.reduction > 0.0 { of.split } else { 0.0 };
        waves * pace.max(self.stream / of.draw) * (self.depth + of.fill) + self.reduction + split
    }
}

impl LibraryKernel for LibraryGemm {
    const SCATTER: f64 = 0.04;
    const SHAPE: &'static [usize] = &[1, 2];

    /// The six of `Tiles`, then seconds of launch and of passes, share of the memory bandwidth, share of the traffic that
    /// a warm cache leaves, sharpness.
    fn priors() -> Vec<Prior> {
        vec![
            prior(0.8, 0.3),
            prior(12.0, 1.0),
            prior(64.0, 1.0),
            prior(0.7, 0.7),
            prior(5.0, 0.5),
            prior(1e-6, 1.5),
            prior(4e-6, 0.7),
            prior(0.85, 0.3),
            prior(0.5, 0.7),
            prior(3.0, 0.4),
        ]
    }

    fn components() -> Vec<Component> {
        vec![
            Component::smooth(0.10, &[(0, 1.0), (3, 1.5)]),
            Component::rough(0.08, &[(0, 0.7), (1, 1.0), (2, 1.0)]),
            Component::rough(0.08, &[(3, 1.5), (4, 0.15), (5, 0.15), (6, 1.0)]),
        ]
    }

    /// `launch + (compute^p + memory^p)^(1/p)`, where compute is that of the fastest tile and split:
    /// `waves · tile (k / split + prologue) (1 + edge (1 / rows + 1 / columns)) / (unit's peak · efficiency)`, or what its
    /// operands take where a unit cannot draw them as fast, and the parts of a split brought together.
    fn seconds(&self, parameters: &[f64]) -> f64 {
        let &[
            efficiency,
            edge,
            fill,
            tail,
            draw,
            split,
            launch,
            bandwidth,
            warm,
            sharpness,
        ] = parameters
        else {
            return f64::NAN;
        };
        let tiles = Tiles {
            efficiency,
            edge,
            fill,
            tail: tail.min(1.0),
            draw,
            split,
        };
        let times = self.choices.iter().map(|choice| choice.seconds(&tiles));
        let compute = times.fold(f64::INFINITY, f64::min);
        let memory = self.memory / bandwidth * (1.0 - self.kept * (1.0 - warm.min(1.0)));
        launch + overlapped(compute, memory, sharpness)
    }

    fn peaks(&self) -> &Peaks {
        &self.peaks
    }

    /// `ln m, ln n, ln k`, arithmetic over traffic, how full the waves of two common tiles are, and the larger roof.
    fn coordinates(&self) -> Vec<f64> {
        let [m, n, k] = self.shape;
        vec![
            m.ln(),
            n.ln(),
            k.ln(),
            (self.compute / self.memory).ln(),
            fill(self.waves(128.0, 256.0)),
            fill(self.waves(128.0, 128.0)),
            self.compute.max(self.memory).ln(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use orrery_units::{Bytes, BytesPerSec, FlopsPerSec};

    use super::*;

    /// 4096 x 4096 x 4096 on 128 units of 1 TFLOP/s: 256 tiles of 256 x 256, two full waves of 0.5369 ms each at the
    /// peak; at half the peak with nothing lost 2.147 ms, and 10 us of launch. Traffic at 1 TB/s is 0.1 ms, below a
    /// sharp corner.
    #[test]
    fn two_full_waves() {
        let peaks = Peaks {
            rate: FlopsPerSec::new(128e12),
            bandwidth: BytesPerSec::new(1e12),
            num_units: 128,
            cache: Bytes::new(50_000_000),
        };
        let widths = Widths::named("bfloat16").expect("a format of the tables");
        let product = LibraryGemm::new([4096, 4096, 4096], widths, peaks);
        let ideal = [0.5, 1e-9, 1e-9, 1.0, 1e9, 1e-12, 10e-6, 1.0, 1.0, 20.0];
        let seconds = product.seconds(&ideal);
        assert!((seconds * 1e3 - 2.1575).abs() < 1e-3, "{seconds}");
        // One row more begins a wave: 33 waves of 64 x 64 instead of 32, 3 % more, when small tiles cost nothing.
        let more = LibraryGemm::new([4097, 4096, 4096], widths, peaks);
        let later = more.seconds(&ideal);
        assert!((later / seconds - 1.031).abs() < 2e-3, "{later}");
    }
}
