//! What each kernel is called, where its source is, what it takes, and what a run of it must touch.
//!
//! FLOPs and bytes come from the shapes of `orrery-operation`; this module only says which shape a kernel is.

use orrery_operation::{GroupedGemm, MemoryPass, Precision};
use orrery_units::{Bytes, Flops};

/// A source file of `kernels/cuda`, embedded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name in `kernels/cuda`.
    pub file: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// The header that every source includes.
pub const HEADER: Source = Source {
    file: "moe.cuh",
    text: include_str!("../cuda/moe.cuh"),
};

const GATE: Source = Source {
    file: "gate.cu",
    text: include_str!("../cuda/gate.cu"),
};
const PERMUTE: Source = Source {
    file: "permute.cu",
    text: include_str!("../cuda/permute.cu"),
};
const GROUPED_GEMM: Source = Source {
    file: "grouped_gemm.cu",
    text: include_str!("../cuda/grouped_gemm.cu"),
};
const SWIGLU: Source = Source {
    file: "swiglu.cu",
    text: include_str!("../cuda/swiglu.cu"),
};
const COMBINE: Source = Source {
    file: "combine.cu",
    text: include_str!("../cuda/combine.cu"),
};

/// Every source, in the order of the forward path.
pub const SOURCES: [Source; 5] = [GATE, PERMUTE, GROUPED_GEMM, SWIGLU, COMBINE];

/// A kernel of the forward path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kernel {
    /// Top-k of a softmax.
    GateSoftmax,
    /// Top-k of sigmoid scores, with a bias on the choice.
    GateSigmoid,
    /// Slots per expert and block.
    Count,
    /// Where the rows of each expert start.
    Offsets,
    /// The row of every slot.
    Scatter,
    /// Copies activations into the order of experts.
    Gather,
    /// Product of each expert's rows with its weights, by scalar multiply-adds.
    GroupedGemm,
    /// The same product on tensor cores.
    GroupedGemmTensor,
    /// Activation between the two products.
    Swiglu,
    /// Weighted sum of the rows of each token.
    Combine,
}

/// A parameter of a kernel, in the order of its signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name in the source.
    pub name: &'static str,
    /// Its type in the source.
    pub kind: &'static str,
}

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

/// Side of the output tile of the grouped product, `TILE` in its source.
const TILE: u64 = 64;
/// Slots that a block counts, `SLOTS_PER_BLOCK` in the source.
const SLOTS_PER_BLOCK: u64 = 256;
/// Bytes of a logit, a weight, an index or a count.
const WORD: u64 = 4;

impl Kernel {
    /// Every kernel.
    pub const ALL: [Self; 10] = [
        Self::GateSoftmax,
        Self::GateSigmoid,
        Self::Count,
        Self::Offsets,
        Self::Scatter,
        Self::Gather,
        Self::GroupedGemm,
        Self::GroupedGemmTensor,
        Self::Swiglu,
        Self::Combine,
    ];

    /// The symbol in its CUBIN.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::GateSoftmax => "moe_gate_softmax",
            Self::GateSigmoid => "moe_gate_sigmoid",
            Self::Count => "moe_count",
            Self::Offsets => "moe_offsets",
            Self::Scatter => "moe_scatter",
            Self::Gather => "moe_gather",
            Self::GroupedGemm => "moe_grouped_gemm",
            Self::GroupedGemmTensor => "moe_grouped_gemm_tensor",
            Self::Swiglu => "moe_swiglu",
            Self::Combine => "moe_combine",
        }
    }

    /// The file that defines it.
    #[must_use]
    pub const fn source(self) -> Source {
        match self {
            Self::GateSoftmax | Self::GateSigmoid => GATE,
            Self::Count | Self::Offsets | Self::Scatter | Self::Gather => PERMUTE,
            Self::GroupedGemm | Self::GroupedGemmTensor => GROUPED_GEMM,
            Self::Swiglu => SWIGLU,
            Self::Combine => COMBINE,
        }
    }

    /// Its parameters, read from the signature in its source, so that they are written once.
    #[must_use]
    pub fn parameters(self) -> Vec<Parameter> {
        let opening = format!("__global__ void {}(", self.name());
        let (_, after) = (self.source().text)
            .split_once(&opening)
            .expect("a test finds every kernel in its source");
        let list = after.split(')').next().unwrap_or_default();
        list.split(',').map(parameter).collect()
    }

    /// What a run over `pass` must do; `projection` matters to the grouped products alone.
    ///
    /// Worked: 2 tokens of width 8, inner width 4, top-2 of 2 experts with 2 rows each. The gate-and-up
    /// product does `2 · 4 · 8 · 8 = 512` operations and moves `2 · (4·8 + 2·8·8 + 4·8) = 384` bytes.
    #[must_use]
    pub fn work(self, pass: &MoePass, projection: Projection) -> Work {
        match self {
            Self::GroupedGemm | Self::GroupedGemmTensor => {
                let shape = pass.product(projection);
                Work {
                    flops: shape.flops(),
                    bytes: shape.bytes(),
                }
            }
            _ => {
                let shape = self.memory_pass(pass);
                Work {
                    flops: shape.flops(),
                    bytes: shape.bytes(),
                }
            }
        }
    }

    fn memory_pass(self, pass: &MoePass) -> MemoryPass {
        let (slots, rows) = (pass.tokens * pass.top_k, pass.rows());
        let experts = pass.rows_per_expert.len() as u64;
        let counts = slots.div_ceil(SLOTS_PER_BLOCK) * experts;
        let words = |read: u64, written: u64| (Bytes::new(read * WORD), Bytes::new(written * WORD));
        let activations = |elements: u64| Precision::Bf16.bytes_of(elements);
        let (read, written) = match self {
            Self::GateSoftmax => words(pass.tokens * experts, 2 * slots),
            Self::GateSigmoid => words(pass.tokens * experts + experts, 2 * slots),
            Self::Count => words(slots, counts),
            Self::Offsets => words(counts, counts + experts + 1),
            Self::Scatter => words(slots + counts + experts + 1, slots + rows),
            Self::Gather => (
                activations(rows * pass.hidden) + Bytes::new(rows * WORD),
                activations(rows * pass.hidden),
            ),
            Self::Swiglu => (activations(rows * 2 * pass.inner), activations(rows * pass.inner)),
            Self::Combine => (
                activations(rows * pass.hidden) + Bytes::new(2 * slots * WORD),
                activations(pass.tokens * pass.hidden),
            ),
            Self::GroupedGemm | Self::GroupedGemmTensor => (Bytes::ZERO, Bytes::ZERO),
        };
        MemoryPass::new(read, written, 1)
    }
}

impl MoePass {
    /// Rows over all experts.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows_per_expert.iter().sum()
    }

    /// The shape of one of the two grouped products.
    #[must_use]
    pub fn product(&self, projection: Projection) -> GroupedGemm {
        let (padded_rows, active_groups) = GroupedGemm::padded(self.rows_per_expert.iter().copied(), TILE);
        let (n, k) = match projection {
            Projection::GateAndUp => (2 * self.inner, self.hidden),
            Projection::Down => (self.hidden, self.inner),
        };
        GroupedGemm {
            rows: self.rows(),
            padded_rows,
            active_groups,
            n,
            k,
            precision: Precision::Bf16,
            output: Precision::Bf16,
        }
    }
}

/// `const float *logits` into its type and its name.
fn parameter(text: &'static str) -> Parameter {
    let text = text.trim();
    let split = text.rfind([' ', '*']).map_or(0, |at| at + 1);
    Parameter {
        name: &text[split..],
        kind: text[..split].trim_end(),
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

    #[test]
    fn worked_numbers() {
        let work = |kernel: Kernel, projection| kernel.work(&small(), projection);
        let first = work(Kernel::GroupedGemm, Projection::GateAndUp);
        assert!((first.flops.get() - 512.0).abs() < 1e-9);
        assert_eq!(first.bytes, Bytes::new(384));
        assert_eq!(first, work(Kernel::GroupedGemmTensor, Projection::GateAndUp));
        let second = work(Kernel::GroupedGemm, Projection::Down);
        assert!((second.flops.get() - 256.0).abs() < 1e-9);
        assert_eq!(second.bytes, Bytes::new(2 * (4 * 4 + 2 * 4 * 8 + 4 * 8)));
        let bytes = |kernel| work(kernel, Projection::Down).bytes.get();
        assert_eq!(bytes(Kernel::GateSoftmax), 4 * (2 * 2 + 2 * 4));
        assert_eq!(bytes(Kernel::Gather), 4 * 8 * 2 * 2 + 4 * 4);
        assert_eq!(bytes(Kernel::Swiglu), 4 * (8 + 4) * 2);
        assert_eq!(bytes(Kernel::Combine), 4 * 8 * 2 + 2 * 4 * 4 + 2 * 8 * 2);
    }

    #[test]
    fn an_expert_without_rows_costs_no_weights() {
        let idle = MoePass {
            rows_per_expert: vec![4, 0],
            ..small()
        };
        assert_eq!(idle.product(Projection::Down).active_groups, 1);
        let bytes = |pass: &MoePass| Kernel::GroupedGemm.work(pass, Projection::Down).bytes.get();
        assert_eq!(bytes(&small()) - bytes(&idle), 2 * 4 * 8);
    }

    #[test]
    fn parameters_are_those_of_the_source() {
        for kernel in Kernel::ALL {
            let parameters = kernel.parameters();
            assert!(parameters.len() >= 4, "{}: {parameters:?}", kernel.name());
            for Parameter { name, kind } in parameters {
                assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
                let known = [
                    "int",
                    "float",
                    "const int *",
                    "int *",
                    "const float *",
                    "float *",
                    "const bf16 *",
                    "bf16 *",
                ];
                assert!(known.contains(&kind), "`{kind}` of {}", kernel.name());
            }
        }
        let first = Kernel::Swiglu.parameters()[0];
        assert_eq!((first.name, first.kind), ("gate_and_up", "const bf16 *"));
    }

    #[test]
    fn constants_are_those_of_the_sources() {
        let defines = |source: Source, line: String| source.text.lines().any(|each| each == line);
        let top_k = crate::reference::MAX_TOP_K;
        assert!(defines(GATE, format!("#define MAX_TOP_K {top_k}")));
        assert!(defines(GROUPED_GEMM, format!("#define TILE {TILE}")));
        assert!(defines(
            PERMUTE,
            format!("#define SLOTS_PER_BLOCK {SLOTS_PER_BLOCK}")
        ));
    }
}
