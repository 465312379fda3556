//! What each kernel is called, where its source is, what it takes, where it runs, and what a run of it must touch.
//! FLOPs and bytes come from the shapes of `orrery-operation`; this says which shape a kernel is.

mod work;

pub use work::{MoePass, Projection, Work};

use crate::compile::Architecture;

/// A source file of `kernels/cuda`, embedded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name in `kernels/cuda`.
    pub file: &'static str,
    /// Its text.
    pub text: &'static str,
}

const fn source(file: &'static str, text: &'static str) -> Source {
    Source { file, text }
}

/// The headers that sources include.
pub const HEADERS: [Source; 5] = [
    source("moe.cuh", include_str!("../cuda/moe.cuh")),
    source("instructions.cuh", include_str!("../cuda/instructions.cuh")),
    source("vectors.cuh", include_str!("../cuda/vectors.cuh")),
    source("grouping.cuh", include_str!("../cuda/grouping.cuh")),
    source("tensor_tile.cuh", include_str!("../cuda/tensor_tile.cuh")),
];

const GATE: Source = source("gate.cu", include_str!("../cuda/gate.cu"));
const PERMUTE: Source = source("permute.cu", include_str!("../cuda/permute.cu"));
const TENSOR_GEMM: Source = source("tensor_gemm.cu", include_str!("../cuda/tensor_gemm.cu"));
const GROUPED_GEMM: Source = source("grouped_gemm.cu", include_str!("../cuda/grouped_gemm.cu"));
const HOPPER_GEMM: Source = source("hopper_gemm.cu", include_str!("../cuda/hopper_gemm.cu"));
const BLACKWELL_GEMM: Source = source("blackwell_gemm.cu", include_str!("../cuda/blackwell_gemm.cu"));
const SWIGLU: Source = source("swiglu.cu", include_str!("../cuda/swiglu.cu"));
const QUANTIZE: Source = source("quantize.cu", include_str!("../cuda/quantize.cu"));
const COMBINE: Source = source("combine.cu", include_str!("../cuda/combine.cu"));
const BANDWIDTH: Source = source("bandwidth.cu", include_str!("../cuda/bandwidth.cu"));
const ALL_REDUCE: Source = source("all_reduce.cu", include_str!("../cuda/all_reduce.cu"));
const PROBE: Source = source("probe.cu", include_str!("../cuda/probe.cu"));

/// Every source, in the order of the forward path, instruments last.
pub const SOURCES: [Source; 12] = [
    GATE,
    PERMUTE,
    TENSOR_GEMM,
    GROUPED_GEMM,
    HOPPER_GEMM,
    BLACKWELL_GEMM,
    SWIGLU,
    QUANTIZE,
    COMBINE,
    BANDWIDTH,
    ALL_REDUCE,
    PROBE,
];

/// A kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kernel {
    /// Top-k of a softmax.
    GateSoftmax,
    /// Top-k of sigmoid scores, with a bias on the choice.
    GateSigmoid,
    /// The same, among the experts of the best groups alone.
    GateGroups,
    /// Logits over a temperature, with keyed Gumbel noise.
    Gumbel,
    /// Slots per expert and block.
    Count,
    /// Where the rows of each expert start.
    Offsets,
    /// The row of every slot.
    Scatter,
    /// Copies activations into the order of experts.
    Gather,
    /// Rows per expert.
    Histogram,
    /// Where experts start when counts are rounded up.
    Scan,
    /// Product of each expert's rows with its weights, by scalar multiply-adds.
    GroupedGemm,
    /// The same product on tensor cores, plainly.
    GroupedGemmTensor,
    /// Logits of every expert for every token.
    Router,
    /// Product of each expert's rows with its weights on the tensor cores of warps.
    GemmBf16,
    /// The same of 8-bit numbers with a scale per block.
    GemmFp8,
    /// The same product fed by bulk copies, on the tensor cores of warpgroups.
    HopperBf16,
    /// The same of 8-bit numbers with a scale per block.
    HopperFp8,
    /// The same product with sums in tensor memory.
    BlackwellBf16,
    /// The same of 8-bit numbers with a scale per block.
    BlackwellFp8,
    /// Activation between the two products.
    Swiglu,
    /// The same, with its result quantised.
    SwigluFp8,
    /// Activations to 8 bits, a scale per 128 of a row.
    QuantizeRows,
    /// Weights to 8 bits, a scale per 128 x 128.
    QuantizeTiles,
    /// Weighted sum of the rows of each token.
    Combine,
    /// Copies memory.
    Copy,
    /// Reads memory.
    Read,
    /// Writes memory.
    Write,
    /// Adds up rows of bfloats.
    Reduce,
    /// All-reduce over memory of peers, everybody reading everything.
    AllReduceOneShot,
    /// All-reduce over memory of peers, round a ring.
    AllReduceRing,
    /// Holds a stream until the host lets it go.
    HoldStream,
    /// Cycles and nanoseconds of every execution unit.
    Clock,
    /// Nothing: what a launch costs.
    Empty,
    /// Fills the second-level cache with numbers that do not compress.
    Flush,
    /// Moves memory beside another kernel until it is stopped.
    Mover,
}

/// A parameter of a kernel, in the order of its signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name in the source.
    pub name: &'static str,
    /// Its type in the source.
    pub kind: &'static str,
}

impl Kernel {
    /// Every kernel.
    pub const ALL: [Self; 35] = [
        Self::GateSoftmax,
        Self::GateSigmoid,
        Self::GateGroups,
        Self::Gumbel,
        Self::Count,
        Self::Offsets,
        Self::Scatter,
        Self::Gather,
        Self::Histogram,
        Self::Scan,
        Self::GroupedGemm,
        Self::GroupedGemmTensor,
        Self::Router,
        Self::GemmBf16,
        Self::GemmFp8,
        Self::HopperBf16,
        Self::HopperFp8,
        Self::BlackwellBf16,
        Self::BlackwellFp8,
        Self::Swiglu,
        Self::SwigluFp8,
        Self::QuantizeRows,
        Self::QuantizeTiles,
        Self::Combine,
        Self::Copy,
        Self::Read,
        Self::Write,
        Self::Reduce,
        Self::AllReduceOneShot,
        Self::AllReduceRing,
        Self::HoldStream,
        Self::Clock,
        Self::Empty,
        Self::Flush,
        Self::Mover,
    ];

    /// The symbol in its CUBIN, and the file that defines it.
    const fn place(self) -> (&'static str, Source) {
        match self {
            Self::GateSoftmax => ("moe_gate_softmax", GATE),
            Self::GateSigmoid => ("moe_gate_sigmoid", GATE),
            Self::GateGroups => ("moe_gate_groups", GATE),
            Self::Gumbel => ("moe_gumbel", GATE),
            Self::Count => ("moe_count", PERMUTE),
            Self::Offsets => ("moe_offsets", PERMUTE),
            Self::Scatter => ("moe_scatter", PERMUTE),
            Self::Gather => ("moe_gather", PERMUTE),
            Self::Histogram => ("moe_histogram", PERMUTE),
            Self::Scan => ("moe_scan", PERMUTE),
            Self::GroupedGemm => ("moe_grouped_gemm", GROUPED_GEMM),
            Self::GroupedGemmTensor => ("moe_grouped_gemm_tensor", GROUPED_GEMM),
            Self::Router => ("moe_router", TENSOR_GEMM),
            Self::GemmBf16 => ("moe_gemm_bf16", TENSOR_GEMM),
            Self::GemmFp8 => ("moe_gemm_fp8", TENSOR_GEMM),
            Self::HopperBf16 => ("hopper_gemm_bf16", HOPPER_GEMM),
            Self::HopperFp8 => ("hopper_gemm_fp8", HOPPER_GEMM),
            Self::BlackwellBf16 => ("blackwell_gemm_bf16", BLACKWELL_GEMM),
            Self::BlackwellFp8 => ("blackwell_gemm_fp8", BLACKWELL_GEMM),
            Self::Swiglu => ("moe_swiglu", SWIGLU),
            Self::SwigluFp8 => ("moe_swiglu_fp8", QUANTIZE),
            Self::QuantizeRows => ("fp8_quantize_rows", QUANTIZE),
            Self::QuantizeTiles => ("fp8_quantize_tiles", QUANTIZE),
            Self::Combine => ("moe_combine", COMBINE),
            Self::Copy => ("bandwidth_copy", BANDWIDTH),
            Self::Read => ("bandwidth_read", BANDWIDTH),
            Self::Write => ("bandwidth_write", BANDWIDTH),
            Self::Reduce => ("bandwidth_reduce", BANDWIDTH),
            Self::AllReduceOneShot => ("all_reduce_one_shot", ALL_REDUCE),
            Self::AllReduceRing => ("all_reduce_ring", ALL_REDUCE),
            Self::HoldStream => ("probe_gate", PROBE),
            Self::Clock => ("probe_clock", PROBE),
            Self::Empty => ("probe_empty", PROBE),
            Self::Flush => ("probe_flush", PROBE),
            Self::Mover => ("probe_mover", PROBE),
        }
    }

    /// The symbol in its CUBIN.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.place().0
    }

    /// The file that defines it.
    #[must_use]
    pub const fn source(self) -> Source {
        self.place().1
    }

    /// Whether `architecture` has what this kernel is made of: 8-bit products of warps came with `sm_89`, those of
    /// warpgroups are `sm_90a` alone, and sums in tensor memory are `sm_100a` alone.
    #[must_use]
    pub const fn runs_on(self, architecture: Architecture) -> bool {
        match self {
            Self::GemmFp8 => !matches!(architecture, Architecture::Sm80),
            Self::HopperBf16 | Self::HopperFp8 => matches!(architecture, Architecture::Sm90a),
            Self::BlackwellBf16 | Self::BlackwellFp8 => matches!(architecture, Architecture::Sm100a),
            _ => true,
        }
    }

    /// The fastest grouped product of bfloats that `architecture` has.
    #[must_use]
    pub const fn best_gemm_bf16(architecture: Architecture) -> Self {
        match architecture {
            Architecture::Sm80 | Architecture::Sm89 => Self::GemmBf16,
            Architecture::Sm90a => Self::HopperBf16,
            Architecture::Sm100a => Self::BlackwellBf16,
        }
    }

    /// The fastest grouped product of 8-bit numbers that `architecture` has, if any.
    #[must_use]
    pub const fn best_gemm_fp8(architecture: Architecture) -> Option<Self> {
        match architecture {
            Architecture::Sm80 => None,
            Architecture::Sm89 => Some(Self::GemmFp8),
            Architecture::Sm90a => Some(Self::HopperFp8),
            Architecture::Sm100a => Some(Self::BlackwellFp8),
        }
    }

    /// Whether layers spend their time in it on `architecture`: such a kernel must not spill.
    #[must_use]
    pub fn is_hot(self, architecture: Architecture) -> bool {
        let product =
            self == Self::best_gemm_bf16(architecture) || Some(self) == Self::best_gemm_fp8(architecture);
        let pass = matches!(
            self,
            Self::Router
                | Self::Gather
                | Self::Swiglu
                | Self::SwigluFp8
                | Self::QuantizeRows
                | Self::QuantizeTiles
                | Self::Combine
                | Self::Copy
                | Self::Read
                | Self::Write
                | Self::Reduce
                | Self::AllReduceOneShot
                | Self::AllReduceRing
                | Self::Mover
        );
        self.runs_on(architecture) && (product || pass)
    }

    /// Its parameters, read from the signature in its source, so that they are written once.
    #[must_use]
    pub fn parameters(self) -> Vec<Parameter> {
        let opening = format!("{}(", self.name());
        let definitions = self.source().text.match_indices("extern \"C\" __global__ void");
        let list = definitions.filter_map(|(at, _)| {
            // Between the two words there may be launch bounds.
            let rest = &self.source().text[at..];
            let name = rest.find(&opening)?;
            (!rest[..name].contains('{')).then(|| &rest[name + opening.len()..])
        });
        let list = list.last().expect("a test finds every kernel in its source");
        let list = list.split(')').next().unwrap_or_default();
        list.split(',').map(parameter).collect()
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

    #[test]
    fn parameters_are_those_of_the_source() {
        for kernel in Kernel::ALL {
            let parameters = kernel.parameters();
            assert!(!parameters.is_empty(), "{}: {parameters:?}", kernel.name());
            for Parameter { name, kind } in parameters {
                assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
                let known = [
                    "int",
                    "float",
                    "long long",
                    "unsigned int",
                    "unsigned long long",
                    "const int *",
                    "int *",
                    "const float *",
                    "float *",
                    "const bf16 *",
                    "bf16 *",
                    "const fp8 *",
                    "fp8 *",
                    "const uint4 *",
                    "uint4 *",
                    "unsigned int *",
                    "unsigned long long *",
                    "const volatile int *",
                    "const __grid_constant__ TensorMap",
                    "const __grid_constant__ Peers",
                ];
                assert!(known.contains(&kind), "`{kind}` of {}", kernel.name());
            }
        }
        let first = Kernel::Swiglu.parameters()[0];
        assert_eq!((first.name, first.kind), ("gate_and_up", "const bf16 *"));
        assert_eq!(Kernel::GemmBf16.parameters().len(), 8);
        assert_eq!(Kernel::HopperFp8.parameters().len(), 10);
    }

    #[test]
    fn every_architecture_has_its_products() {
        for architecture in Architecture::ALL {
            assert!(
                Kernel::best_gemm_bf16(architecture).runs_on(architecture),
                "{architecture}"
            );
            let eight = Kernel::best_gemm_fp8(architecture);
            assert_eq!(eight.is_none(), architecture == Architecture::Sm80);
            assert!(
                eight.is_none_or(|kernel| kernel.runs_on(architecture)),
                "{architecture}"
            );
        }
    }

    #[test]
    fn constants_are_those_of_the_sources() {
        let defines = |source: Source, line: String| source.text.lines().any(|each| each == line);
        let top_k = crate::reference::MAX_TOP_K;
        assert!(defines(GATE, format!("#define MAX_TOP_K {top_k}")));
        assert!(defines(GROUPED_GEMM, format!("#define TILE {}", work::TILE)));
        assert!(defines(
            PERMUTE,
            format!("#define SLOTS_PER_BLOCK {}", work::SLOTS_PER_BLOCK)
        ));
        let ranks = crate::device::MAX_RANKS;
        assert!(defines(ALL_REDUCE, format!("#define MAX_RANKS {ranks}")));
        for source in [QUANTIZE, HOPPER_GEMM, BLACKWELL_GEMM, HEADERS[4]] {
            let block = orrery_operation::SCALE_BLOCK;
            assert!(
                defines(source, format!("#define SCALE_BLOCK {block}")),
                "{}",
                source.file
            );
        }
    }
}
