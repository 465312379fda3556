//! What can be measured on a device: a subject, what it must do and move, and how much memory it takes. No device here.

use orrery_operation::{CollectiveOp, Gemm, GroupedGemm, MemoryPass, Precision};
use orrery_units::{Bytes, Flops, Seed};
use rand::RngExt as _;
use serde::{Deserialize, Serialize};

/// One thing to measure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Subject {
    /// An empty kernel: what a launch costs.
    LaunchFloor,
    /// A copy of so many bytes.
    Copy {
        /// Bytes read, and as many written.
        bytes: u64,
    },
    /// Reading so many bytes.
    Read {
        /// Bytes.
        bytes: u64,
    },
    /// A copy of so many bytes into the memory of another device, by the driver.
    PeerCopy {
        /// Bytes.
        bytes: u64,
        /// The other device, as the driver counts.
        peer: usize,
    },
    /// A dense product of bfloats by cuBLASLt.
    Dense {
        /// Rows.
        m: u64,
        /// Columns.
        n: u64,
        /// Depth.
        k: u64,
    },
    /// A dense product of 8-bit numbers, into bfloats, by cuBLASLt; one scale for a whole operand.
    DenseFp8 {
        /// Rows.
        m: u64,
        /// Columns.
        n: u64,
        /// Depth.
        k: u64,
    },
    /// Products of experts by this package's own kernels.
    Grouped {
        /// Experts.
        experts: u64,
        /// Rows of each, in the mean; seeded draws decide which expert has how many.
        rows_per_expert: u64,
        /// Columns.
        n: u64,
        /// Depth.
        k: u64,
        /// Format of the operands.
        precision: Precision,
    },
    /// Products of experts of bfloats by cuBLAS.
    LibraryGrouped {
        /// Experts.
        experts: u64,
        /// Rows of each, in the mean, drawn as those of [`Grouped`](Self::Grouped).
        rows_per_expert: u64,
        /// Columns.
        n: u64,
        /// Depth.
        k: u64,
    },
    /// SwiGLU over so many rows.
    Swiglu {
        /// Rows.
        rows: u64,
        /// Width of an expert.
        inner: u64,
    },
    /// Rows copied into the order of experts.
    Gather {
        /// Tokens.
        tokens: u64,
        /// Experts chosen per token.
        top_k: u64,
        /// Width of activations.
        hidden: u64,
    },
    /// Weighted sums of the rows of each token.
    Combine {
        /// Tokens.
        tokens: u64,
        /// Experts chosen per token.
        top_k: u64,
        /// Width of activations.
        hidden: u64,
    },
    /// A collective of bfloats by NCCL among devices of one node.
    Collective {
        /// Which.
        op: CollectiveOp,
        /// Size, as nccl-tests counts it.
        bytes: u64,
        /// Devices.
        ranks: u64,
    },
    /// An all-reduce of bfloats by this package's own kernels over memory of peers, in one shot or round a ring.
    AllReduce {
        /// Size.
        bytes: u64,
        /// Devices, at most 8.
        ranks: u64,
        /// Round a ring.
        is_ring: bool,
    },
    /// A dense product of bfloats beside a kernel that moves memory on so many blocks: the contention law.
    Contention {
        /// Side of the square product.
        side: u64,
        /// Blocks that move memory, each of which holds an execution unit.
        blocks: u64,
    },
}

/// How launches are timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Back to back over changing buffers, once power has settled: for throughput.
    Sustained,
    /// One at a time, the cache flushed before: for latency.
    Cold,
}

impl Subject {
    /// A name that says which it is, unique among subjects.
    #[must_use]
    pub fn id(&self) -> String {
        match self {
            Self::LaunchFloor => "launch_floor".to_owned(),
            Self::Copy { bytes } => format!("copy-{bytes}"),
            Self::Read { bytes } => format!("read-{bytes}"),
            Self::PeerCopy { bytes, peer } => format!("peer_copy-{bytes}-to-{peer}"),
            Self::Dense { m, n, k } => format!("dense-bf16-{m}x{n}x{k}"),
            Self::DenseFp8 { m, n, k } => format!("dense-fp8-{m}x{n}x{k}"),
            Self::Grouped {
                experts,
                rows_per_expert,
                n,
                k,
                precision,
            } => format!("grouped-{precision}-{experts}x{rows_per_expert}x{n}x{k}"),
            Self::Swiglu { rows, inner } => format!("swiglu-{rows}x{inner}"),
            Self::Gather {
                tokens,
                top_k,
                hidden,
            } => format!("gather-{tokens}x{top_k}x{hidden}"),
            Self::Combine {
                tokens,
                top_k,
                hidden,
            } => format!("combine-{tokens}x{top_k}x{hidden}"),
            Self::LibraryGrouped {
                experts,
                rows_per_expert,
                n,
                k,
            } => format!("library-grouped-bf16-{experts}x{rows_per_expert}x{n}x{k}"),
            Self::AllReduce {
                bytes,
                ranks,
                is_ring,
            } => {
                let way = if *is_ring { "ring" } else { "one_shot" };
                format!("{way}-all_reduce-{bytes}-among-{ranks}")
            }
            Self::Collective { op, bytes, ranks } => format!("nccl-{}-{bytes}-among-{ranks}", op.name()),
            Self::Contention { side, blocks } => format!("contention-{side}-beside-{blocks}"),
        }
    }

    /// Whose kernel it is, as profiles call it.
    #[must_use]
    pub const fn kernel_source(&self) -> &'static str {
        match self {
            Self::Dense { .. } | Self::DenseFp8 { .. } | Self::Contention { .. } => "cublaslt",
            Self::PeerCopy { .. } => "driver",
            Self::Collective { .. } => "nccl",
            Self::LibraryGrouped { .. } => "cublas",
            _ => "orrery",
        }
    }

    /// Rows of every expert of a grouped product: each row goes to an expert drawn by its number, as a router without
    /// preference would send it. Empty for other subjects.
    #[must_use]
    pub fn expert_rows(&self) -> Vec<u64> {
        let (Self::Grouped {
            experts,
            rows_per_expert,
            ..
        }
        | Self::LibraryGrouped {
            experts,
            rows_per_expert,
            ..
        }) = *self
        else {
            return Vec::new();
        };
        let mut rng = Seed::new(1).at("expert rows", &[experts, rows_per_expert]).rng();
        let mut rows = vec![0; usize::try_from(experts).unwrap_or(0)];
        for _ in 0..experts * rows_per_expert {
            let expert = rng.random_range(0..rows.len());
            rows[expert] += 1;
        }
        rows
    }

    /// The shape of a grouped product, with rows padded to tiles of 128.
    #[must_use]
    pub fn grouped(&self) -> Option<GroupedGemm> {
        let (n, k, precision) = match *self {
            Self::Grouped { n, k, precision, .. } => (n, k, precision),
            Self::LibraryGrouped { n, k, .. } => (n, k, Precision::Bf16),
            _ => return None,
        };
        let rows = self.expert_rows();
        let (padded_rows, active_groups) = GroupedGemm::padded(rows.iter().copied(), 128);
        Some(GroupedGemm {
            rows: rows.iter().sum(),
            padded_rows,
            active_groups,
            n,
            k,
            precision,
            output: Precision::Bf16,
        })
    }

    /// The shape of a dense product.
    #[must_use]
    pub const fn dense(&self) -> Option<Gemm> {
        let (m, n, k, precision) = match *self {
            Self::Dense { m, n, k } => (m, n, k, Precision::Bf16),
            Self::DenseFp8 { m, n, k } => (m, n, k, Precision::Fp8),
            Self::Contention { side, .. } => (side, side, side, Precision::Bf16),
            _ => return None,
        };
        Some(Gemm {
            m,
            n,
            k,
            precision,
            output: Precision::Bf16,
        })
    }

    /// The pass over memory that this is, if it is one.
    #[must_use]
    pub fn pass(&self) -> Option<MemoryPass> {
        let activations = |numbers: u64| Precision::Bf16.bytes_of(numbers);
        let words = |count: u64| Bytes::new(4 * count);
        let (read, written) = match *self {
            Self::Copy { bytes } => (Bytes::new(bytes), Bytes::new(bytes)),
            Self::Read { bytes } => (Bytes::new(bytes), Bytes::ZERO),
            Self::Swiglu { rows, inner } => (activations(2 * rows * inner), activations(rows * inner)),
            Self::Gather {
                tokens,
                top_k,
                hidden,
            } => {
                let rows = tokens * top_k;
                // A token's row is read once from memory, however often from a cache.
                (
                    activations(tokens * hidden) + words(rows),
                    activations(rows * hidden),
                )
            }
            Self::Combine {
                tokens,
                top_k,
                hidden,
            } => {
                let rows = tokens * top_k;
                (
                    activations(rows * hidden) + words(2 * rows),
                    activations(tokens * hidden),
                )
            }
            _ => return None,
        };
        Some(MemoryPass::new(read, written, 1))
    }

    /// Useful operations of one launch.
    #[must_use]
    pub fn flops(&self) -> Flops {
        let grouped = self.grouped().map(|shape| shape.flops());
        let dense = self.dense().map(|shape| shape.flops());
        grouped.or(dense).unwrap_or(Flops::ZERO)
    }

    /// The least memory traffic of one launch; of a copy to another device what goes over the link, of a collective its
    /// size.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        if let Self::PeerCopy { bytes, .. } | Self::Collective { bytes, .. } | Self::AllReduce { bytes, .. } =
            *self
        {
            return Bytes::new(bytes);
        }
        let grouped = self.grouped().map(|shape| shape.bytes() + shape.scale_bytes());
        let dense = self.dense().map(|shape| shape.bytes());
        let pass = self.pass().map(|pass| pass.bytes());
        grouped.or(dense).or(pass).unwrap_or(Bytes::ZERO)
    }

    /// So many copies of its operands that together they are three times a cache of `cache` bytes, two at least: launch
    /// after launch takes the next, and none finds its own in the cache. A collective has what it gives and what it gets,
    /// and finds them where they were, as nccl-tests measures it.
    ///
    /// Worked: operands of 1 MiB beside 50 MiB of cache: 150 copies; of 1 GiB: 2.
    #[must_use]
    pub fn copies(&self, cache: Bytes) -> u64 {
        if matches!(self, Self::Collective { .. } | Self::AllReduce { .. }) {
            return 2;
        }
        (3 * cache.get()).div_ceil(self.bytes().get().max(1)).max(2)
    }

    /// Device memory that it takes: every copy of its operands, and for cold launches what flushes the cache.
    #[must_use]
    pub fn memory(&self, cache: Bytes) -> Bytes {
        Bytes::new(self.bytes().get().max(1) * self.copies(cache) + 2 * cache.get())
    }
}

#[cfg(test)]
mod tests;
