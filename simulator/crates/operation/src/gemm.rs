//! Matrix products, alone and grouped by expert.

use orrery_units::{Bytes, Flops};
use serde::{Deserialize, Serialize};

use crate::Precision;

/// A matrix product `[m, k] x [k, n]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Gemm {
    /// Rows of the result (tokens, in a forward pass).
    pub m: u64,
    /// Columns of the result.
    pub n: u64,
    /// The contracted dimension.
    pub k: u64,
    /// Format of both inputs and of the multiplication.
    pub precision: Precision,
    /// Format of the result.
    pub output: Precision,
}

/// Matrix products that share `n` and `k` and run as one kernel, one group per expert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GroupedGemm {
    /// Rows over all groups.
    pub rows: u64,
    /// Rows over all groups once each group is padded to whole tiles; at least `rows`.
    pub padded_rows: u64,
    /// Groups that have any rows; only their weights are read.
    pub active_groups: u64,
    /// Columns of the result.
    pub n: u64,
    /// The contracted dimension.
    pub k: u64,
    /// Format of the inputs.
    pub precision: Precision,
    /// Format of the result.
    pub output: Precision,
}

impl Gemm {
    /// Whether rows of `dimensions` elements are whole vectors of 16 bytes, which tensor cores are fed by (NVIDIA, matrix
    /// multiplication background, section 2: tensor core requirements). Worked: 50,264 numbers of 16 bits are, 50,257 are
    /// not.
    #[must_use]
    pub fn has_whole_vectors(&self, dimensions: [u64; 2]) -> bool {
        let is_whole = |elements: u64| (elements * self.precision.bits()).is_multiple_of(128);
        dimensions.into_iter().all(is_whole)
    }

    /// Operations: `2 m n k`. Worked: `m = n = k = 1024` gives 2,147,483,648.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "dimensions are far below 2^53")]
    pub fn flops(&self) -> Flops {
        Flops::new(2.0 * self.m as f64 * self.n as f64 * self.k as f64)
    }

    /// Memory traffic when each operand is moved once: `(m k + k n) in + m n out`.
    /// Worked: BF16, `m = n = k = 1024` gives 6,291,456 bytes.
    #[must_use]
    pub const fn bytes(&self) -> Bytes {
        let input = self.precision.bytes_of(self.m * self.k + self.k * self.n);
        Bytes::new(input.get() + self.output.bytes_of(self.m * self.n).get())
    }

    /// Memory traffic when the product is added to what the result holds, as gradients of weights are: the
    /// result is read as well as written. Worked: BF16 into FP32, `m = n = k = 1024` gives 12,582,912 bytes.
    #[must_use]
    pub const fn accumulating_bytes(&self) -> Bytes {
        Bytes::new(self.bytes().get() + self.output.bytes_of(self.m * self.n).get())
    }
}

impl GroupedGemm {
    /// Useful operations: `2 rows n k`; padding is not useful.
    /// Worked: 100 rows, `n = 10`, `k = 20` gives 40,000.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "dimensions are far below 2^53")]
    pub fn flops(&self) -> Flops {
        Flops::new(2.0 * self.rows as f64 * self.n as f64 * self.k as f64)
    }

    /// Operations with each group padded to whole tiles: `2 padded_rows n k`.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "dimensions are far below 2^53")]
    pub fn padded_flops(&self) -> Flops {
        Flops::new(2.0 * self.padded_rows as f64 * self.n as f64 * self.k as f64)
    }

    /// Memory traffic: activations in and out once, the weights of every active group once.
    #[must_use]
    pub const fn bytes(&self) -> Bytes {
        let input = self
            .precision
            .bytes_of(self.rows * self.k + self.active_groups * self.k * self.n);
        Bytes::new(input.get() + self.output.bytes_of(self.rows * self.n).get())
    }

    /// Memory traffic when the products are added to what the result holds: it is read as well as written.
    #[must_use]
    pub const fn accumulating_bytes(&self) -> Bytes {
        Bytes::new(self.bytes().get() + self.output.bytes_of(self.rows * self.n).get())
    }

    /// Scales of operands of 8 bits, 4 bytes each: one per row and [`SCALE_BLOCK`](crate::SCALE_BLOCK) of depth, one per
    /// square of that side of every active group's weights. None for other formats. Worked: 100 rows, 2 groups,
    /// `n = 256`, `k = 512`: `4 · (100·4 + 2·2·4) = 1664`.
    #[must_use]
    pub const fn scale_bytes(&self) -> Bytes {
        let blocks = match self.precision {
            Precision::Fp8 => self.k.div_ceil(crate::SCALE_BLOCK),
            _ => 0,
        };
        let of_weights = self.active_groups * self.n.div_ceil(crate::SCALE_BLOCK);
        Bytes::new(4 * blocks * (self.rows + of_weights))
    }

    /// Rows of `groups` padded to tiles of `tile` rows each, and how many groups have any.
    #[must_use]
    pub fn padded(groups: impl IntoIterator<Item = u64>, tile: u64) -> (u64, u64) {
        groups.into_iter().fold((0, 0), |(rows, active), group| {
            (rows + group.div_ceil(tile) * tile, active + u64::from(group > 0))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worked_numbers() {
        let square = Gemm {
            m: 1024,
            n: 1024,
            k: 1024,
            precision: Precision::Bf16,
            output: Precision::Bf16,
        };
        assert!((square.flops().get() - 2_147_483_648.0).abs() < 1.0);
        assert!(square.has_whole_vectors([1024, 50_264]) && !square.has_whole_vectors([1024, 50_257]));
        assert_eq!(square.bytes(), Bytes::new(6_291_456));
        let gradient = Gemm {
            output: Precision::Fp32,
            ..square
        };
        assert_eq!(gradient.accumulating_bytes(), Bytes::new(12_582_912));
        let (padded_rows, active_groups) = GroupedGemm::padded([60, 0, 40], 64);
        assert_eq!((padded_rows, active_groups), (128, 2));
        let (precision, output) = (Precision::Fp8, Precision::Bf16);
        let grouped = GroupedGemm {
            rows: 100,
            padded_rows,
            active_groups,
            n: 10,
            k: 20,
            precision,
            output,
        };
        assert!((grouped.flops().get() - 40_000.0).abs() < 1e-6);
        assert_eq!(grouped.bytes(), Bytes::new(100 * 20 + 2 * 20 * 10 + 100 * 10 * 2));
        let wide = GroupedGemm {
            n: 256,
            k: 512,
            ..grouped
        };
        assert_eq!(wide.scale_bytes(), Bytes::new(1664));
        let plain = GroupedGemm {
            precision: Precision::Bf16,
            ..wide
        };
        assert_eq!(plain.scale_bytes(), Bytes::ZERO);
        assert_eq!(grouped.accumulating_bytes(), Bytes::new(2400 + 2 * 100 * 10 * 2));
    }
}
