//! The attention core: scores, softmax, weighted values. Projections are GEMMs and stand elsewhere.

use orrery_units::{Bytes, Flops};
use serde::{Deserialize, Serialize};

use crate::Precision;

/// Which keys a query sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mask {
    /// All of them.
    Full,
    /// Those up to its own position.
    Causal,
    /// At most this many up to its own position.
    Sliding(u64),
}

/// An attention core over `sequences` sequences of equal length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attention {
    /// Sequences.
    pub sequences: u64,
    /// Queries per sequence.
    pub query_tokens: u64,
    /// Keys per sequence.
    pub key_tokens: u64,
    /// Query heads on this device.
    pub heads: u64,
    /// Key-value heads on this device.
    pub kv_heads: u64,
    /// Width of a query and a key.
    pub qk_dim: u64,
    /// Width of a value.
    pub v_dim: u64,
    /// Which keys a query sees.
    pub mask: Mask,
    /// Format of the operands.
    pub precision: Precision,
}

impl Attention {
    /// (query, key) pairs per sequence and head under the mask, by the convention that causal is half.
    ///
    /// Full: `q k`. Causal: `q k / 2` (the diagonal's half is left out, as model-FLOP conventions do).
    /// Sliding window `w < k`: `q w − w² / 2`. Worked: causal, 4096 queries and keys: 8,388,608.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "dimensions are far below 2^53")]
    pub fn pairs(&self) -> f64 {
        let (queries, keys) = (self.query_tokens as f64, self.key_tokens as f64);
        match self.mask {
            Mask::Sliding(window) if window < self.key_tokens => {
                let window = window as f64;
                window.mul_add(queries, -(window * window / 2.0))
            }
            Mask::Causal | Mask::Sliding(_) => queries * keys / 2.0,
            Mask::Full => queries * keys,
        }
    }

    /// Operations forward: `2 pairs (qk_dim + v_dim)` per head and sequence.
    /// Worked: one head, 4096 causal, 192 + 128: 5,368,709,120.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "dimensions are far below 2^53")]
    pub fn forward_flops(&self) -> Flops {
        let per_pair = 2.0 * (self.qk_dim + self.v_dim) as f64;
        Flops::new(self.pairs() * per_pair * (self.heads * self.sequences) as f64)
    }

    /// Operations backward of a fused kernel: five products where forward has two, scores recomputed
    /// (Dao 2022, algorithm 4): `2 pairs (3 qk_dim + 2 v_dim)`. Worked: `qk = v`: 2.5 times forward.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "dimensions are far below 2^53")]
    pub fn backward_flops(&self) -> Flops {
        let per_pair = 2.0 * (3 * self.qk_dim + 2 * self.v_dim) as f64;
        Flops::new(self.pairs() * per_pair * (self.heads * self.sequences) as f64)
    }

    /// Memory traffic forward of a fused kernel: queries, keys, values in, result out.
    #[must_use]
    pub const fn forward_bytes(&self) -> Bytes {
        let queries = self.query_tokens * self.heads * (self.qk_dim + self.v_dim);
        let keys = self.key_tokens * self.kv_heads * (self.qk_dim + self.v_dim);
        self.precision.bytes_of(self.sequences * (queries + keys))
    }

    /// Memory traffic backward of a fused kernel: forward's operands and result in, the result's gradient
    /// in, three gradients out; about twice forward.
    #[must_use]
    pub fn backward_bytes(&self) -> Bytes {
        self.forward_bytes() * 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worked_numbers() {
        let core = Attention {
            sequences: 1,
            query_tokens: 4096,
            key_tokens: 4096,
            heads: 1,
            kv_heads: 1,
            qk_dim: 192,
            v_dim: 128,
            mask: Mask::Causal,
            precision: Precision::Bf16,
        };
        assert!((core.pairs() - 8_388_608.0).abs() < 1e-6);
        assert!((core.forward_flops().get() - 5_368_709_120.0).abs() < 1.0);
        let square = Attention { v_dim: 192, ..core };
        let ratio = square.backward_flops().get() / square.forward_flops().get();
        assert!((ratio - 2.5).abs() < 1e-12, "{ratio}");
        let windowed = Attention {
            mask: Mask::Sliding(4096),
            ..core
        };
        assert!((windowed.pairs() - core.pairs()).abs() < 1e-6);
    }
}
