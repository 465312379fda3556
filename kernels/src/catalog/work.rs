//! What one run of a kernel must do: operations, and every operand moved once.

use orrery_operation::{Gemm, GroupedGemm, MemoryPass, Precision, SCALE_BLOCK};
use orrery_units::{Bytes, Flops};

use super::Kernel;

/// One forward pass of a layer on one device, as routing left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoePass {
    /// Tokens.
    pub tokens: u64,
    /// Width of the activations.
    pub hidden: u64,
    /// Width between the two products of an expert.
    pub inner: u64,
    /// Experts chosen per token.
    pub top_k: u64,
    /// Rows of every expert, those without any included.
    pub rows_per_expert: Vec<u64>,
}

/// Which of the two products of an expert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Projection {
    /// `hidden` to `2 inner`: gate and up.
    GateAndUp,
    /// `inner` to `hidden`.
    Down,
}

/// What one run must do at least: operations, and every operand moved once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    /// Operations that count.
    pub flops: Flops,
    /// Memory traffic.
    pub bytes: Bytes,
}

/// Side of the output tile of the plain grouped product, `TILE` in its source.
pub(super) const TILE: u64 = 64;
/// Rows of a tile of the fast products.
const FAST_TILE: u64 = 128;
/// Slots that a block counts, `SLOTS_PER_BLOCK` in the source.
pub(super) const SLOTS_PER_BLOCK: u64 = 256;
/// Bytes of a logit, a weight, an index, a count or a scale.
const WORD: u64 = 4;

impl Kernel {
    /// What a run over `pass` must do; `projection` matters to products and to quantisation alone. None for what is no
    /// part of a layer: instruments, and copies whose size is their own.
    ///
    /// Worked: 2 tokens of width 8, inner width 4, top-2 of 2 experts with 2 rows each. The gate-and-up
    /// product does `2 · 4 · 8 · 8 = 512` operations and moves `2 · (4·8 + 2·8·8 + 4·8) = 384` bytes.
    #[must_use]
    pub fn work(self, pass: &MoePass, projection: Projection) -> Option<Work> {
        if let Some((precision, tile)) = self.product() {
            let shape = pass.product(projection, precision, tile);
            return Some(Work {
                flops: shape.flops(),
                bytes: shape.bytes() + shape.scale_bytes(),
            });
        }
        if self == Self::Router {
            let shape = pass.router();
            return Some(Work {
                flops: shape.flops(),
                bytes: shape.bytes(),
            });
        }
        let shape = self.memory_pass(pass, projection)?;
        Some(Work {
            flops: shape.flops(),
            bytes: shape.bytes(),
        })
    }

    /// Format and row tile of a grouped product; none for what is none.
    const fn product(self) -> Option<(Precision, u64)> {
        match self {
            Self::GroupedGemm | Self::GroupedGemmTensor => Some((Precision::Bf16, TILE)),
            Self::GemmBf16 | Self::HopperBf16 | Self::BlackwellBf16 => Some((Precision::Bf16, FAST_TILE)),
            Self::GemmFp8 | Self::HopperFp8 | Self::BlackwellFp8 => Some((Precision::Fp8, FAST_TILE)),
            _ => None,
        }
    }

    fn memory_pass(self, pass: &MoePass, projection: Projection) -> Option<MemoryPass> {
        let (slots, rows) = (pass.tokens * pass.top_k, pass.rows());
        let experts = pass.rows_per_expert.len() as u64;
        let counts = slots.div_ceil(SLOTS_PER_BLOCK) * experts;
        let words = |read: u64, written: u64| (Bytes::new(read * WORD), Bytes::new(written * WORD));
        let activations = |elements: u64| Precision::Bf16.bytes_of(elements);
        let quantized = |rows: u64, width: u64| {
            Precision::Fp8.bytes_of(rows * width) + Bytes::new(rows * width.div_ceil(SCALE_BLOCK) * WORD)
        };
        let (depth, columns) = pass.sides(projection);
        let (read, written) = match self {
            Self::GateSoftmax => words(pass.tokens * experts, 2 * slots),
            Self::GateSigmoid | Self::GateGroups => words(pass.tokens * experts + experts, 2 * slots),
            Self::Gumbel => words(pass.tokens * experts, pass.tokens * experts),
            Self::Count => words(slots, counts),
            Self::Offsets => words(counts, counts + experts + 1),
            Self::Scatter => words(slots + counts + experts + 1, slots + rows),
            Self::Histogram => words(slots, experts),
            Self::Scan => words(experts, experts + 1),
            Self::Gather => (
                activations(rows * pass.hidden) + Bytes::new(rows * WORD),
                activations(rows * pass.hidden),
            ),
            Self::Swiglu => (activations(rows * 2 * pass.inner), activations(rows * pass.inner)),
            Self::SwigluFp8 => (activations(rows * 2 * pass.inner), quantized(rows, pass.inner)),
            Self::QuantizeRows => (activations(rows * depth), quantized(rows, depth)),
            Self::QuantizeTiles => {
                let numbers = experts * depth * columns;
                let scales = experts * depth.div_ceil(SCALE_BLOCK) * columns.div_ceil(SCALE_BLOCK);
                let written = Precision::Fp8.bytes_of(numbers) + Bytes::new(scales * WORD);
                // Twice: once for the largest magnitude, once to round; the second time from a cache.
                (activations(numbers), written)
            }
            Self::Combine => (
                activations(rows * pass.hidden) + Bytes::new(2 * slots * WORD),
                activations(pass.tokens * pass.hidden),
            ),
            _ => return None,
        };
        Some(MemoryPass::new(read, written, 1))
    }
}

impl MoePass {
    /// Rows over all experts.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows_per_expert.iter().sum()
    }

    /// Depth and columns of one of the two products.
    const fn sides(&self, projection: Projection) -> (u64, u64) {
        match projection {
            Projection::GateAndUp => (self.hidden, 2 * self.inner),
            Projection::Down => (self.inner, self.hidden),
        }
    }

    /// The router's product, over the experts that the pass knows.
    #[must_use]
    pub const fn router(&self) -> Gemm {
        Gemm {
            m: self.tokens,
            n: self.rows_per_expert.len() as u64,
            k: self.hidden,
            precision: Precision::Bf16,
            output: Precision::Fp32,
        }
    }

    /// The shape of one of the two grouped products, with rows padded to tiles of `tile`.
    #[must_use]
    pub fn product(&self, projection: Projection, precision: Precision, tile: u64) -> GroupedGemm {
        let (padded_rows, active_groups) = GroupedGemm::padded(self.rows_per_expert.iter().copied(), tile);
        let (k, n) = self.sides(projection);
        GroupedGemm {
            rows: self.rows(),
            padded_rows,
            active_groups,
            n,
            k,
            precision,
            output: Precision::Bf16,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> MoePass {
        MoePass {
            tokens: 2,
            hidden: 8,
            inner: 4,
            top_k: 2,
            rows_per_expert: vec![2, 2],
        }
    }

    fn work(kernel: Kernel, projection: Projection) -> Work {
        kernel.work(&small(), projection).expect("it is part of a layer")
    }

    #[test]
    fn worked_numbers() {
        let first = work(Kernel::GroupedGemm, Projection::GateAndUp);
        assert!((first.flops.get() - 512.0).abs() < 1e-9);
        assert_eq!(first.bytes, Bytes::new(384));
        for same in [Kernel::GroupedGemmTensor, Kernel::GemmBf16, Kernel::HopperBf16] {
            assert_eq!(first, work(same, Projection::GateAndUp));
        }
        let second = work(Kernel::GroupedGemm, Projection::Down);
        assert!((second.flops.get() - 256.0).abs() < 1e-9);
        assert_eq!(second.bytes, Bytes::new(2 * (4 * 4 + 2 * 4 * 8 + 4 * 8)));
        let bytes = |kernel| work(kernel, Projection::Down).bytes.get();
        assert_eq!(bytes(Kernel::GateSoftmax), 4 * (2 * 2 + 2 * 4));
        assert_eq!(bytes(Kernel::Gather), 4 * 8 * 2 * 2 + 4 * 4);
        assert_eq!(bytes(Kernel::Swiglu), 4 * (8 + 4) * 2);
        assert_eq!(bytes(Kernel::SwigluFp8), 4 * (8 * 2 + 4 + 4));
        assert_eq!(bytes(Kernel::Combine), 4 * 8 * 2 + 2 * 4 * 4 + 2 * 8 * 2);
        assert_eq!(Kernel::Flush.work(&small(), Projection::Down), None);
    }

    #[test]
    fn an_expert_without_rows_costs_no_weights() {
        let idle = MoePass {
            rows_per_expert: vec![4, 0],
            ..small()
        };
        assert_eq!(
            idle.product(Projection::Down, Precision::Bf16, TILE)
                .active_groups,
            1
        );
        let bytes = |pass: &MoePass| {
            let work = Kernel::GroupedGemm.work(pass, Projection::Down);
            work.map(|work| work.bytes.get())
        };
        assert_eq!(bytes(&small()).unwrap() - bytes(&idle).unwrap(), 2 * 4 * 8);
    }
}
