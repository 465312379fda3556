//! Attention cores: published tables, and what two directions measured together say of the second.

use std::path::Path;

use orrery_operation::{Attention, Mask, Precision};
use orrery_profile::fit::{AttentionRow, attention};
use orrery_profile::{AttentionLaw, KernelCurve, Law, MaskClass, OpClass, Points, Provenance};
use orrery_units::{BytesPerSec, FlopsPerSec, SimDuration};

use super::table::{self, Row};
use super::{Fault, device};

/// Where a fit begins on a Hopper device, for heads of `qk_dim`.
pub(crate) fn hopper(qk_dim: u64) -> AttentionLaw {
    AttentionLaw {
        peak: FlopsPerSec::new(device::HOPPER_BF16),
        bandwidth: BytesPerSec::new(device::HOPPER_MEMORY),
        qk_dim,
        efficiency: 0.6,
        half_length: 300.0,
        memory_efficiency: 0.8,
        overhead_picos: SimDuration::from_micros(3),
    }
}

pub(crate) fn shape(row: &Row, mask: Mask) -> Option<Attention> {
    Some(Attention {
        sequences: row.count("batch")?,
        query_tokens: row.count("seq_q")?,
        key_tokens: row.count("seq_kv")?,
        heads: row.count("heads")?,
        kv_heads: row.count("kv_heads")?,
        qk_dim: row.count("head_dim")?,
        v_dim: row.count("head_dim")?,
        mask,
        precision: Precision::Bf16,
    })
}

/// Forward cores by `implementation` on H100, heads of `head_dim`.
pub(crate) fn forward(
    truth: &Path,
    implementation: &str,
    head_dim: u64,
    mask: Mask,
) -> Result<Vec<AttentionRow>, Fault> {
    measured(truth, implementation, "fwd", head_dim, mask)
}

/// Backward cores: both directions together less forward, where both were measured at one shape.
pub(crate) fn backward(
    truth: &Path,
    implementation: &str,
    head_dim: u64,
    mask: Mask,
) -> Result<Vec<AttentionRow>, Fault> {
    let forward = forward(truth, implementation, head_dim, mask)?;
    let both = measured(truth, implementation, "fwd+bwd", head_dim, mask)?;
    let rows = both.into_iter().filter_map(|row| {
        let alone = forward.iter().find(|forward| forward.shape == row.shape)?;
        Some(AttentionRow {
            backward: true,
            time: row.time - alone.time,
            ..row
        })
    });
    Ok(rows.collect())
}

/// Cores by `implementation` on H100 in the direction that the table calls `direction`.
fn measured(
    truth: &Path,
    implementation: &str,
    direction: &str,
    head_dim: u64,
    mask: Mask,
) -> Result<Vec<AttentionRow>, Fault> {
    let causal = if mask == Mask::Full { "0" } else { "1" };
    let table = table::rows(truth, "kernels_published.csv")?;
    let wanted = |row: &&Row| {
        row.text("gpu") == "H100"
            && row.text("impl") == implementation
            && row.text("direction") == direction
            && row.text("causal") == causal
            && row.count("head_dim") == Some(head_dim)
    };
    let rows = table.iter().filter(wanted).filter_map(|row| {
        Some(AttentionRow {
            shape: shape(row, mask)?,
            backward: false,
            time: row.micros("time_us")?,
        })
    });
    Ok(rows.collect())
}

/// A forward curve fitted to `rows`.
pub(crate) fn curve(
    start: &AttentionLaw,
    rows: &[AttentionRow],
    mask: MaskClass,
    kernel_source: &str,
    provenance: Provenance,
) -> KernelCurve {
    let (law, fitted) = attention(start, rows);
    let shapes = rows
        .iter()
        .map(|row| [row.shape.query_tokens, row.shape.key_tokens, row.shape.qk_dim]);
    let backward = rows.iter().any(|row| row.backward);
    KernelCurve {
        op: if backward {
            OpClass::AttentionBackward
        } else {
            OpClass::AttentionForward
        },
        precision: Some(Precision::Bf16),
        mask: Some(mask),
        kernel_source: kernel_source.to_owned(),
        law: Law::Attention(law),
        gap_picos: SimDuration::ZERO,
        points: Points::new(shapes.collect(), 2),
        fitted,
        provenance,
    }
}

/// The backward curve that belongs to `forward` when backward reaches `ratio` of its efficiency.
pub(crate) fn backward_of(forward: &KernelCurve, ratio: f64, note: &str) -> KernelCurve {
    let mut curve = forward.clone();
    curve.op = OpClass::AttentionBackward;
    if let Law::Attention(law) = &mut curve.law {
        law.efficiency = orrery_profile::fit::rounded(law.efficiency * ratio);
    }
    curve.points.shapes.clear();
    note.clone_into(&mut curve.provenance.note);
    curve
}
