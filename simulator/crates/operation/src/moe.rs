//! The stages of a mixture-of-experts layer on one device: useful FLOPs and the least memory traffic of each.

use orrery_units::{Bytes, Flops};
use serde::{Deserialize, Serialize};

use crate::{Gemm, GroupedGemm, Precision};

/// Numbers that share a scale: along the depth for activations, along depth and columns for weights (DeepSeek-V3,
/// section 3.3.2).
pub const SCALE_BLOCK: u64 = 128;

/// Bytes of a scale, an index, a count or a weight of the gate.
const WORD: u64 = 4;

/// A stage of a layer, forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MoeStage {
    /// Logits of every expert.
    Router,
    /// The choice of experts and their weights.
    Gate,
    /// Rows in the order of experts.
    Permute,
    /// First product of the experts: gate and up.
    GateAndUp,
    /// SwiGLU between the products, with quantisation where the second product is of 8 bits.
    Activation,
    /// Second product of the experts.
    Down,
    /// Weighted sum of what the experts returned.
    Combine,
}

/// What a layer does on one device, as routing left it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MoeShape {
    /// Tokens before the exchange, `T`.
    pub tokens: u64,
    /// Tokens that have an expert here, `T'`.
    pub tokens_here: u64,
    /// Experts chosen per token, `k`.
    pub top_k: u64,
    /// Width of activations, `H`.
    pub hidden: u64,
    /// Width of an expert, `I`.
    pub inner: u64,
    /// Experts over all devices, `E`.
    pub experts: u64,
    /// Rows of every expert of this device after drops, those without any included: `m_e`.
    pub rows: Vec<u64>,
    /// Format of what the products of experts take: activations and weights.
    pub precision: Precision,
    /// Format of activations elsewhere, and of what products return.
    pub output: Precision,
}

impl MoeStage {
    /// Every stage, in order.
    pub const ALL: [Self; 7] = [
        Self::Router,
        Self::Gate,
        Self::Permute,
        Self::GateAndUp,
        Self::Activation,
        Self::Down,
        Self::Combine,
    ];

    /// The name in files and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Router => "router",
            Self::Gate => "gate",
            Self::Permute => "permute",
            Self::GateAndUp => "gate_and_up",
            Self::Activation => "activation",
            Self::Down => "down",
            Self::Combine => "combine",
        }
    }

    /// Whether tensor cores do its work: only then it has FLOPs that count.
    #[must_use]
    pub const fn is_product(self) -> bool {
        matches!(self, Self::Router | Self::GateAndUp | Self::Down)
    }
}

impl MoeShape {
    /// Rows over all experts here, `M`.
    #[must_use]
    pub fn num_rows(&self) -> u64 {
        self.rows.iter().sum()
    }

    /// Useful operations of `stage`: real rows alone, and only what tensor cores do.
    ///
    /// Router `2 T H E`, first product `4 M H I`, second `2 M I H`, others none. Worked: 2 tokens of width 8 to 4
    /// experts: router 128; 4 rows and `I = 4`: 512 and 256.
    #[must_use]
    pub fn flops(&self, stage: MoeStage) -> Flops {
        match stage {
            MoeStage::Router => self.router().flops(),
            MoeStage::GateAndUp | MoeStage::Down => self.product(stage, 1).flops(),
            MoeStage::Gate | MoeStage::Permute | MoeStage::Activation | MoeStage::Combine => Flops::ZERO,
        }
    }

    /// Operations that a kernel with tiles of `tile` rows issues for a product: rows padded to whole tiles.
    #[must_use]
    pub fn issued_flops(&self, stage: MoeStage, tile: u64) -> Flops {
        match stage {
            MoeStage::GateAndUp | MoeStage::Down => self.product(stage, tile).padded_flops(),
            _ => self.flops(stage),
        }
    }

    /// Useful operations of the layer, forward: `2 T H E + 6 M H I`; shared experts are a dense MLP apart.
    #[must_use]
    pub fn layer_flops(&self) -> Flops {
        (MoeStage::ALL.into_iter()).fold(Flops::ZERO, |sum, stage| sum + self.flops(stage))
    }

    /// The least memory traffic of `stage`: every operand once.
    ///
    /// With `b` bytes a number and `q` bytes of scales where the products are of 8 bits:
    /// * router `T H b + E H b + 4 T E`; gate `4 T E + 8 T k + 4 E`;
    /// * permute `(T' + M) (H b + q) + 4 M`: a row is read once however many experts it goes to;
    /// * first product `M H b + E_a 2I H b + 2 M I b_out + q`, where `E_a` experts have rows; second likewise;
    /// * activation `2 M I b_out + M (I b + q)`; combine `M H b_out + T H b_out + 4 T k`.
    ///
    /// Worked: 2 tokens of width 8, both here, top-2 of 4 experts, 4 rows, `I = 4`, 16 bits: router
    /// `2·2·8 + 2·4·8 + 4·8 = 128`, permute `(2 + 4)·16 + 16 = 112`.
    #[must_use]
    pub fn bytes(&self, stage: MoeStage) -> Bytes {
        let rows = self.num_rows();
        let output = |numbers: u64| self.output.bytes_of(numbers).get();
        let bytes = match stage {
            MoeStage::Router => return self.router().bytes(),
            MoeStage::Gate => {
                WORD * (self.tokens * self.experts + 2 * self.tokens * self.top_k + self.experts)
            }
            MoeStage::Permute => (self.tokens_here + rows) * self.row_bytes(self.hidden) + WORD * rows,
            MoeStage::GateAndUp | MoeStage::Down => self.product_bytes(stage),
            MoeStage::Activation => output(2 * rows * self.inner) + rows * self.row_bytes(self.inner),
            MoeStage::Combine => output((rows + self.tokens) * self.hidden) + WORD * self.tokens * self.top_k,
        };
        Bytes::new(bytes)
    }

    /// Bytes that a permutation moves by the convention of exchange libraries: every row read and written.
    #[must_use]
    pub fn moved_bytes(&self) -> Bytes {
        Bytes::new(2 * self.num_rows() * self.row_bytes(self.hidden))
    }

    /// The router's product.
    #[must_use]
    pub const fn router(&self) -> Gemm {
        Gemm {
            m: self.tokens,
            n: self.experts,
            k: self.hidden,
            precision: self.output,
            output: Precision::Fp32,
        }
    }

    /// One of the two products of the experts, with rows padded to tiles of `tile`.
    ///
    /// # Panics
    /// When `stage` is neither of them.
    #[must_use]
    pub fn product(&self, stage: MoeStage, tile: u64) -> GroupedGemm {
        let (n, k) = match stage {
            MoeStage::GateAndUp => (2 * self.inner, self.hidden),
            MoeStage::Down => (self.hidden, self.inner),
            other => panic!("`{}` is no product of experts", other.name()),
        };
        let (padded_rows, active_groups) = GroupedGemm::padded(self.rows.iter().copied(), tile);
        GroupedGemm {
            rows: self.num_rows(),
            padded_rows,
            active_groups,
            n,
            k,
            precision: self.precision,
            output: self.output,
        }
    }

    /// Most rows of an expert over the mean of all: how far the slowest is from the rest; 1 where there are none.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "rows are far below 2^53")]
    pub fn imbalance(&self) -> f64 {
        let most = self.rows.iter().copied().max().unwrap_or(0);
        match self.num_rows() {
            0 => 1.0,
            rows => (most * self.rows.len() as u64) as f64 / rows as f64,
        }
    }

    fn product_bytes(&self, stage: MoeStage) -> u64 {
        let product = self.product(stage, 1);
        (product.bytes() + product.scale_bytes()).get()
    }

    /// Bytes of a row of `width` numbers as the products take it, scales included.
    const fn row_bytes(&self, width: u64) -> u64 {
        let scales = if self.has_scales() {
            width.div_ceil(SCALE_BLOCK)
        } else {
            0
        };
        self.precision.bytes_of(width).get() + WORD * scales
    }

    const fn has_scales(&self) -> bool {
        matches!(self.precision, Precision::Fp8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> MoeShape {
        MoeShape {
            tokens: 2,
            tokens_here: 2,
            top_k: 2,
            hidden: 8,
            inner: 4,
            experts: 4,
            rows: vec![2, 2],
            precision: Precision::Bf16,
            output: Precision::Bf16,
        }
    }

    #[test]
    fn worked_numbers() {
        let shape = small();
        let flops = |stage| shape.flops(stage).get();
        assert!((flops(MoeStage::Router) - 128.0).abs() < 1e-9);
        assert!((flops(MoeStage::GateAndUp) - 512.0).abs() < 1e-9);
        assert!((flops(MoeStage::Down) - 256.0).abs() < 1e-9);
        assert!((shape.layer_flops().get() - 896.0).abs() < 1e-9);
        assert!((shape.issued_flops(MoeStage::Down, 8).get() - 1024.0).abs() < 1e-9);
        assert_eq!(shape.bytes(MoeStage::Router), Bytes::new(128));
        assert_eq!(shape.bytes(MoeStage::Permute), Bytes::new(112));
        assert_eq!(shape.moved_bytes(), Bytes::new(128));
        assert!((shape.imbalance() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn an_expert_without_rows_costs_no_weights_and_is_imbalance() {
        let idle = MoeShape {
            rows: vec![4, 0],
            ..small()
        };
        let saved = small().bytes(MoeStage::Down) - idle.bytes(MoeStage::Down);
        assert_eq!(saved, Bytes::new(2 * 4 * 8));
        assert!((idle.imbalance() - 2.0).abs() < 1e-12);
        let none = MoeShape {
            rows: vec![0, 0],
            ..small()
        };
        assert!((none.imbalance() - 1.0).abs() < 1e-12);
    }

    /// DeepSeek-V3, one of 32 ranks: 4·M·H·I and 2·M·I·H with M = 4096·8.
    #[test]
    fn a_layer_of_deepseek_v3() {
        let shape = MoeShape {
            tokens: 4096,
            tokens_here: 4096,
            top_k: 8,
            hidden: 7168,
            inner: 2048,
            experts: 256,
            rows: vec![4096; 8],
            precision: Precision::Fp8,
            output: Precision::Bf16,
        };
        let products = 6.0 * 32_768.0 * 7168.0 * 2048.0;
        let router = 2.0 * 4096.0 * 7168.0 * 256.0;
        assert!((shape.layer_flops().get() / (products + router) - 1.0).abs() < 1e-12);
        // Scales: 56 a row and 32 x 56 a matrix.
        let plain = shape.product(MoeStage::GateAndUp, 1).bytes();
        let scales = 4 * (32_768 * 56 + 8 * 32 * 56);
        assert_eq!(shape.bytes(MoeStage::GateAndUp), plain + Bytes::new(scales));
    }
}
