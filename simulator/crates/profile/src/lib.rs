//! What a device and a link were measured to do, by whom, when and how.
//!
//! A profile holds curves, not answers: few physical parameters per (operation, format, kernel source), each
//! with its source rows, its residual spread and the range that was measured. It refuses to guess: what it has
//! no curve for, it has no curve for, and the caller falls back to arithmetic and says so.

mod collective;
mod contention;
mod exchange;
mod file;
pub mod fit;
mod fits;
mod kernel;
mod law;
mod link;
mod platform;
mod provenance;
mod tuning;

pub use collective::{Bottleneck, CollectiveCurve, RatioTable, TransferLaw};
pub use contention::{ContentionCurve, ContentionLaw};
pub use exchange::ExchangeCurve;
pub use file::ProfileError;
pub use fits::DeviceMismatch;
pub use kernel::{KernelCurve, MaskClass, OpClass, Points, Range};
pub use law::{AttentionLaw, Law, PassLaw, Roof, TiledLaw, UnfusedLaw, library};
pub use link::{Link, LinkReference};
pub use platform::{Parameter, Platform, PlatformLaw, PlatformSet};
pub use provenance::{Fitted, Provenance};
pub use tuning::{Term, Tuning, TuningParameter, TuningSet};

use orrery_operation::{CollectiveOp, Precision};
use serde::{Deserialize, Serialize};

/// What one device with one software stack was measured to do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Version of this format: `profile/1`.
    pub schema: String,
    /// Name, as in the file name.
    pub name: String,
    /// Device, as the hardware catalogue calls it.
    pub device: String,
    /// Software stacks that it describes, best known first.
    pub stacks: Vec<String>,
    /// The day of the newest measurement in it, ISO 8601.
    pub date: String,
    /// What people should know before they trust it.
    pub notes: Vec<String>,
    /// Kernel curves; of several that fit a question, the first counts.
    pub kernels: Vec<KernelCurve>,
    /// Collective curves.
    pub collectives: Vec<CollectiveCurve>,
    /// Efficiency tables of collectives over many nodes.
    pub ratios: Vec<RatioTable>,
    /// Expert exchanges.
    pub exchanges: Vec<ExchangeCurve>,
    /// What kernels take from products beside them, where it was measured; files from before December 2026 have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contention: Option<ContentionCurve>,
    /// Links of a node, each once, where they were measured; files from before December 2026 have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<LinkReference>,
}

impl Profile {
    /// The version that this program reads and writes.
    pub const SCHEMA: &'static str = "profile/1";

    /// The first curve for `op` in `precision`. FP16 and BF16 stand for each other: tensor cores multiply both
    /// at one rate (NVIDIA A100 and H100 data sheets).
    #[must_use]
    pub fn kernel(&self, op: OpClass, precision: Precision) -> Option<&KernelCurve> {
        let same = |wanted: Precision| {
            self.kernels
                .iter()
                .find(move |curve| curve.op == op && curve.precision == Some(wanted))
        };
        same(precision)
            .or_else(|| match precision {
                Precision::Fp16 => same(Precision::Bf16),
                Precision::Bf16 => same(Precision::Fp16),
                Precision::Fp32 | Precision::Tf32 | Precision::Fp8 | Precision::Int8 | Precision::Fp4 => None,
            })
            .or_else(|| {
                self.kernels
                    .iter()
                    .find(|curve| curve.op == op && curve.precision.is_none())
            })
    }

    /// All curves for `op`, in order.
    pub fn kernels_of(&self, op: OpClass) -> impl Iterator<Item = &KernelCurve> {
        self.kernels.iter().filter(move |curve| curve.op == op)
    }

    /// The curve of `op` among `nodes` nodes of `ranks_per_node` ranks each, if it was measured.
    #[must_use]
    pub fn collective(&self, op: CollectiveOp, nodes: u32, ranks_per_node: u32) -> Option<&CollectiveCurve> {
        self.collectives
            .iter()
            .find(|curve| curve.op == op && curve.nodes == nodes && curve.ranks_per_node == ranks_per_node)
    }

    /// The efficiency table that covers `op` where `bottleneck` limits it.
    #[must_use]
    pub fn ratio(&self, op: CollectiveOp, bottleneck: Bottleneck) -> Option<&RatioTable> {
        self.ratios
            .iter()
            .find(|table| table.bottleneck == bottleneck && table.ops.contains(&op))
    }

    /// The exchange of `library`.
    #[must_use]
    pub fn exchange(&self, library: &str) -> Option<&ExchangeCurve> {
        self.exchanges.iter().find(|curve| curve.library == library)
    }
}
