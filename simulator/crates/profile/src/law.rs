//! The laws behind the curves: few parameters, each with a physical meaning, all monotone in size.
//!
//! Every law gives two roof times, arithmetic and memory, and a fixed overhead; the time alone is the smooth
//! maximum of the roofs and then the overhead. Bare floats live in here and nowhere above.

pub mod library;

use orrery_operation::{Attention, Gemm, GroupedGemm, MemoryPass};
use orrery_units::{BytesPerSec, FlopsPerSec, SimDuration};
use serde::{Deserialize, Serialize};

/// The roof times of one kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Roof {
    /// Time of the arithmetic, in seconds.
    compute: f64,
    /// Time of the memory traffic, in seconds.
    memory: f64,
    /// Ramp up and down, in seconds.
    overhead: f64,
}

/// A tiled matrix product.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TiledLaw {
    /// Dense peak that `efficiency` refers to.
    pub peak: FlopsPerSec,
    /// Memory bandwidth that `memory_efficiency` refers to.
    pub bandwidth: BytesPerSec,
    /// Execution units.
    pub num_units: u32,
    /// Rows of a tile of the result.
    pub tile_rows: u64,
    /// Columns of a tile of the result.
    pub tile_columns: u64,
    /// Share of the peak in the middle of a long tile, in a short run.
    pub efficiency: f64,
    /// Share of that which the power limit leaves in a long run.
    pub sustained: f64,
    /// Prologue and epilogue of a tile, in elements of `k`.
    pub depth_offset: f64,
    /// Part of a wave lost at the end.
    pub tail_waves: f64,
    /// Share of the memory bandwidth.
    pub memory_efficiency: f64,
    /// Ramp up and down of the kernel.
    pub overhead_picos: SimDuration,
}

/// A fused attention core.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttentionLaw {
    /// Dense peak that `efficiency` refers to.
    pub peak: FlopsPerSec,
    /// Memory bandwidth that `memory_efficiency` refers to.
    pub bandwidth: BytesPerSec,
    /// Width of a query and key head that was measured.
    pub qk_dim: u64,
    /// Share of the peak for long sequences.
    pub efficiency: f64,
    /// Length, in keys, at which half of that is reached: diagonal blocks and pipeline fill.
    pub half_length: f64,
    /// Share of the memory bandwidth.
    pub memory_efficiency: f64,
    /// Ramp up and down of the kernel.
    pub overhead_picos: SimDuration,
}

/// An attention core of separate kernels, with the matrix of scores in memory.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnfusedLaw {
    /// Memory bandwidth that `memory_efficiency` refers to.
    pub bandwidth: BytesPerSec,
    /// Traffic per (query, key) pair, masked pairs included.
    pub bytes_per_pair: f64,
    /// Share of the memory bandwidth.
    pub memory_efficiency: f64,
    /// Kernels.
    pub num_kernels: u32,
    /// Ramp up and down of each.
    pub overhead_picos: SimDuration,
    /// Rate of the products of heads whose width is no multiple of 8: their rows are not aligned to 16 bytes, so that
    /// tensor cores cannot load them. Absent where it was not measured; then they run like others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unaligned_rate: Option<FlopsPerSec>,
}

/// A pass over memory.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PassLaw {
    /// Memory bandwidth that `memory_efficiency` refers to.
    pub bandwidth: BytesPerSec,
    /// Share of the memory bandwidth.
    pub memory_efficiency: f64,
    /// The same of passes that reduce rows; absent where they were not measured apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reducing_efficiency: Option<f64>,
    /// Ramp up and down of the kernel.
    pub overhead_picos: SimDuration,
}

/// A law with its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Law {
    /// Matrix products.
    Tiled(TiledLaw),
    /// Fused attention.
    Attention(AttentionLaw),
    /// Attention of separate kernels.
    Unfused(UnfusedLaw),
    /// Passes over memory.
    Pass(PassLaw),
}

impl Roof {
    /// Time with the device to itself: `overhead + (compute⁴ + memory⁴)^¼`.
    ///
    /// The fourth power rounds the corner of the roof: where both roofs are equal, the kernel takes 19 % longer
    /// than either, since loads and arithmetic do not overlap perfectly. Worked: 3 and 4 us, overhead 2 us:
    /// 6.285 us.
    #[must_use]
    pub fn alone(&self) -> SimDuration {
        SimDuration::from_secs(self.seconds())
    }

    /// The same, for fits.
    pub(crate) fn seconds(&self) -> f64 {
        let (compute, memory) = (self.compute * self.compute, self.memory * self.memory);
        self.overhead + compute.mul_add(compute, memory * memory).sqrt().sqrt()
    }

    /// Share of the achievable memory bandwidth: memory time over time alone.
    #[must_use]
    pub fn bandwidth_share(&self) -> f32 {
        share(self.memory, self.seconds())
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a share needs no more than a float's digits"
)]
fn share(part: f64, whole: f64) -> f32 {
    if whole > 0.0 {
        (part / whole).min(1.0) as f32
    } else {
        0.0
    }
}

#[expect(clippy::cast_precision_loss, reason = "dimensions are far below 2^53")]
const fn float(value: u64) -> f64 {
    value as f64
}

impl TiledLaw {
    /// Roofs of a GEMM of `rows` padded rows.
    ///
    /// `compute = (tiles / units + tail) · units · 2 tile_rows tile_columns (k + depth_offset) / (peak · e · sustained)`,
    /// `memory = bytes / (bandwidth · e_mem)`. The tail stands for the part of the last wave that is lost on
    /// average: libraries choose tile shapes so as to fill waves, so a sharp staircase would be false.
    fn roof(&self, tiles: u64, k: u64, bytes: f64) -> Roof {
        let units = f64::from(self.num_units);
        let waves = float(tiles) / units + self.tail_waves;
        let tile = 2.0 * float(self.tile_rows * self.tile_columns) * (float(k) + self.depth_offset);
        Roof {
            compute: waves * units * tile / (self.peak.get() * self.efficiency * self.sustained),
            memory: bytes / (self.bandwidth.get() * self.memory_efficiency),
            overhead: self.overhead_picos.as_secs(),
        }
    }

    /// Roofs of a matrix product.
    #[must_use]
    pub fn gemm(&self, shape: &Gemm) -> Roof {
        let tiles = shape.m.div_ceil(self.tile_rows) * shape.n.div_ceil(self.tile_columns);
        self.roof(tiles, shape.k, shape.bytes().as_f64())
    }

    /// Roofs of a gradient of weights: as [`gemm`](Self::gemm), with the accumulator read as well as written.
    #[must_use]
    pub fn gemm_weight(&self, shape: &Gemm) -> Roof {
        let tiles = shape.m.div_ceil(self.tile_rows) * shape.n.div_ceil(self.tile_columns);
        self.roof(tiles, shape.k, shape.accumulating_bytes().as_f64())
    }

    /// Roofs of grouped matrix products: padded rows are computed, weights of groups that have rows are read.
    #[must_use]
    pub fn grouped(&self, shape: &GroupedGemm) -> Roof {
        self.groups(shape, shape.bytes().as_f64())
    }

    /// Roofs of gradients of experts' weights: as [`grouped`](Self::grouped), with the accumulators read as well.
    #[must_use]
    pub fn grouped_weight(&self, shape: &GroupedGemm) -> Roof {
        self.groups(shape, shape.accumulating_bytes().as_f64())
    }

    fn groups(&self, shape: &GroupedGemm, bytes: f64) -> Roof {
        if shape.rows == 0 {
            return Roof {
                overhead: self.overhead_picos.as_secs(),
                ..Roof::default()
            };
        }
        let row_tiles = shape.padded_rows.div_ceil(self.tile_rows);
        let tiles = row_tiles * shape.n.div_ceil(self.tile_columns);
        self.roof(tiles, shape.k, bytes)
    }
}

impl AttentionLaw {
    /// Roofs forward: `compute = flops / (peak · e) · (1 + half_length / length)`, where the length is that of
    /// the keys, and for a sliding window twice the keys seen on average.
    #[must_use]
    pub fn forward(&self, shape: &Attention) -> Roof {
        self.roof(shape, shape.forward_flops().get(), shape.forward_bytes().as_f64())
    }

    /// Roofs backward, by the same law.
    #[must_use]
    pub fn backward(&self, shape: &Attention) -> Roof {
        self.roof(
            shape,
            shape.backward_flops().get(),
            shape.backward_bytes().as_f64(),
        )
    }

    fn roof(&self, shape: &Attention, flops: f64, bytes: f64) -> Roof {
        let seen = 2.0 * shape.pairs() / float(shape.query_tokens.max(1));
        let length = seen.min(float(shape.key_tokens)).max(1.0);
        Roof {
            compute: flops / (self.peak.get() * self.efficiency) * (1.0 + self.half_length / length),
            memory: bytes / (self.bandwidth.get() * self.memory_efficiency),
            overhead: self.overhead_picos.as_secs(),
        }
    }
}

impl UnfusedLaw {
    /// Roofs: every kernel streams the matrix of scores, masked or not: `pairs · bytes_per_pair / bandwidth`; products
    /// of heads that are not aligned take `products · 2 pairs · qk_dim / unaligned_rate` besides, two of them forward and
    /// four backward.
    #[must_use]
    pub fn core(&self, shape: &Attention, backward: bool) -> Roof {
        let pairs = float(shape.query_tokens * shape.key_tokens * shape.heads * shape.sequences);
        let products = if backward { 4.0 } else { 2.0 };
        let unaligned = self.unaligned_rate.filter(|_| !shape.qk_dim.is_multiple_of(8));
        Roof {
            compute: unaligned.map_or(0.0, |rate| {
                products * 2.0 * pairs * float(shape.qk_dim) / rate.get()
            }),
            memory: pairs * self.bytes_per_pair / (self.bandwidth.get() * self.memory_efficiency),
            overhead: self.overhead_picos.as_secs() * f64::from(self.num_kernels),
        }
    }
}

impl PassLaw {
    /// Roofs: `bytes / (bandwidth · e_mem)`, one ramp per kernel.
    #[must_use]
    pub fn pass(&self, shape: &MemoryPass) -> Roof {
        let efficiency = self
            .reducing_efficiency
            .filter(|_| shape.reduces)
            .unwrap_or(self.memory_efficiency);
        Roof {
            compute: 0.0,
            memory: shape.bytes().as_f64() / (self.bandwidth.get() * efficiency),
            overhead: self.overhead_picos.as_secs() * f64::from(shape.kernels),
        }
    }
}

impl Law {
    /// Parameters that must be positive.
    pub(crate) fn parameters(&self) -> Vec<(&'static str, f64)> {
        match self {
            Self::Tiled(law) => vec![
                ("peak", law.peak.get()),
                ("bandwidth", law.bandwidth.get()),
                ("num_units", f64::from(law.num_units)),
                ("tile_rows", float(law.tile_rows)),
                ("tile_columns", float(law.tile_columns)),
                ("efficiency", law.efficiency),
                ("sustained", law.sustained),
                ("depth_offset", law.depth_offset),
                ("tail_waves", law.tail_waves),
                ("memory_efficiency", law.memory_efficiency),
            ],
            Self::Attention(law) => vec![
                ("peak", law.peak.get()),
                ("bandwidth", law.bandwidth.get()),
                ("efficiency", law.efficiency),
                ("half_length", law.half_length),
                ("memory_efficiency", law.memory_efficiency),
            ],
            Self::Unfused(law) => vec![
                ("bandwidth", law.bandwidth.get()),
                ("bytes_per_pair", law.bytes_per_pair),
                ("memory_efficiency", law.memory_efficiency),
            ],
            Self::Pass(law) => vec![
                ("bandwidth", law.bandwidth.get()),
                ("memory_efficiency", law.memory_efficiency),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corner_of_the_roof_is_round() {
        let roof = Roof {
            compute: 3e-6,
            memory: 4e-6,
            overhead: 2e-6,
        };
        let micros = roof.alone().as_secs() * 1e6;
        assert!((micros - 6.285).abs() < 1e-3, "{micros}");
    }
}
