//! Curves of kernels: which operation, in which format, by whose kernel, over which range.

use orrery_operation::Precision;
use orrery_units::{Evidence, SimDuration};
use serde::{Deserialize, Serialize};

use crate::{Fitted, Law, Provenance};

/// What kind of kernel a curve is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpClass {
    /// A matrix product.
    Gemm,
    /// Matrix products grouped by expert.
    GroupedGemm,
    /// Gradients of weights, alone or by expert: products contracted over tokens and added to what is there.
    GemmWeight,
    /// An attention core forward.
    AttentionForward,
    /// An attention core backward.
    AttentionBackward,
    /// A pass over memory.
    MemoryPass,
}

/// Which masks an attention curve is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaskClass {
    /// Every key.
    Full,
    /// Causal and sliding windows.
    Causal,
}

/// The range of one dimension that was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// Dimension: `m`, `n`, `k`, `rows`, `length`, `bytes`.
    pub min: u64,
    /// Greatest measured.
    pub max: u64,
}

/// Shapes that were measured, and the range that they span.
///
/// Coordinates: `[m, n, k]` of a GEMM, `[rows, n, k]` of a grouped one, `[queries, keys, qk_dim]` of attention,
/// `[bytes, 0, 0]` of a pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Points {
    /// Range of each coordinate.
    pub ranges: Vec<Range>,
    /// The shapes, sorted; empty where only the range is known.
    pub shapes: Vec<[u64; 3]>,
}

/// A fitted curve of one kind of kernel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KernelCurve {
    /// What it is of.
    pub op: OpClass,
    /// Format; none where the format does not matter.
    pub precision: Option<Precision>,
    /// Masks, for attention.
    pub mask: Option<MaskClass>,
    /// Whose kernels were measured, such as `deepgemm`.
    pub kernel_source: String,
    /// The law with its fitted parameters.
    pub law: Law,
    /// Time until the next kernel of a busy stream begins, where the measured times leave it out.
    pub gap_picos: SimDuration,
    /// What was measured. Beyond it the law itself is used, and the answer is called extrapolated.
    pub points: Points,
    /// How well the law agrees with what was measured.
    pub fitted: Fitted,
    /// Where it comes from.
    pub provenance: Provenance,
}

impl OpClass {
    /// The name in files and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gemm => "gemm",
            Self::GroupedGemm => "grouped_gemm",
            Self::GemmWeight => "gemm_weight",
            Self::AttentionForward => "attention_forward",
            Self::AttentionBackward => "attention_backward",
            Self::MemoryPass => "memory_pass",
        }
    }
}

impl Points {
    /// The points `shapes`, sorted, with their range in the first `dimensions` coordinates.
    #[must_use]
    pub fn new(mut shapes: Vec<[u64; 3]>, dimensions: usize) -> Self {
        shapes.sort_unstable();
        shapes.dedup();
        let ranges = (0..dimensions)
            .filter_map(|d| {
                let min = shapes.iter().map(|shape| shape[d]).min()?;
                let max = shapes.iter().map(|shape| shape[d]).max()?;
                Some(Range { min, max })
            })
            .collect();
        Self { ranges, shapes }
    }

    /// What an answer for `shape` rests on: measured within 1 % in every coordinate, inside the measured
    /// range, or beyond it.
    #[must_use]
    pub fn evidence(&self, shape: [u64; 3]) -> Evidence {
        let inside = self
            .ranges
            .iter()
            .zip(shape)
            .all(|(range, at)| (range.min..=range.max).contains(&at));
        if !inside {
            return Evidence::Extrapolated;
        }
        let near = |a: u64, b: u64| a.abs_diff(b) * 100 <= a;
        let from = self
            .shapes
            .partition_point(|known| known[0] + known[0] / 99 + 1 < shape[0]);
        let measured = self.shapes[from..]
            .iter()
            .take_while(|known| known[0] <= shape[0] + shape[0] / 99 + 1)
            .any(|known| (0..self.ranges.len()).all(|d| near(known[d], shape[d])));
        if measured {
            Evidence::Measured
        } else {
            Evidence::Interpolated
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_tells_measured_from_between_and_beyond() {
        let points = Points::new(vec![[4096, 7168, 2048], [64, 2112, 7168]], 3);
        assert_eq!(points.evidence([4096, 7168, 2048]), Evidence::Measured);
        assert_eq!(points.evidence([4060, 7168, 2048]), Evidence::Measured);
        assert_eq!(points.evidence([4000, 7168, 2048]), Evidence::Interpolated);
        assert_eq!(points.evidence([8192, 7168, 2048]), Evidence::Extrapolated);
    }
}
