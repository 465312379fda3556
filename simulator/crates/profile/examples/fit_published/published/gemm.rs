//! Matrix products: alone, and grouped by expert.

use std::path::Path;

use orrery_operation::{Gemm, GroupedGemm, MemoryPass, Precision};
use orrery_profile::fit::{GemmRow, GroupedRow, grouped, sustained, tiled};
use orrery_profile::{KernelCurve, Law, OpClass, PassLaw, Points, Provenance, TiledLaw};
use orrery_units::{Bytes, BytesPerSec, Flops, FlopsPerSec, SimDuration};

use super::table::{self, Row};
use super::{Fault, device};

/// Where a fit begins on a Hopper device.
pub(crate) fn hopper(peak: f64) -> TiledLaw {
    TiledLaw {
        peak: FlopsPerSec::new(peak),
        bandwidth: BytesPerSec::new(device::HOPPER_MEMORY),
        num_units: device::HOPPER_UNITS,
        tile_rows: 128,
        tile_columns: 128,
        efficiency: 0.7,
        sustained: 1.0,
        depth_offset: 200.0,
        tail_waves: 0.3,
        memory_efficiency: 0.8,
        overhead_picos: SimDuration::from_micros(3),
    }
}

/// Where a fit begins on an A100.
pub(crate) fn ampere() -> TiledLaw {
    TiledLaw {
        peak: FlopsPerSec::new(device::AMPERE_BF16),
        bandwidth: BytesPerSec::new(device::AMPERE_MEMORY),
        num_units: device::AMPERE_UNITS,
        ..hopper(device::AMPERE_BF16)
    }
}

/// A GEMM of columns `m`, `n`, `k` that took `micros`.
pub(crate) fn gemm_row(row: &Row, time: Option<SimDuration>, precision: Precision) -> Option<GemmRow> {
    let shape = Gemm {
        m: row.count("m")?,
        n: row.count("n")?,
        k: row.count("k")?,
        precision,
        output: Precision::Bf16,
    };
    Some(GemmRow { shape, time: time? })
}

/// A curve of GEMMs fitted to `rows`.
pub(crate) fn curve(
    start: &TiledLaw,
    rows: &[GemmRow],
    precision: Precision,
    kernel_source: &str,
    provenance: Provenance,
) -> KernelCurve {
    let (mut law, fitted) = tiled(start, rows);
    law.sustained = sustained(&law, rows, Flops::new(1e12));
    let shapes = rows.iter().map(|row| [row.shape.m, row.shape.n, row.shape.k]);
    KernelCurve {
        op: OpClass::Gemm,
        precision: Some(precision),
        mask: None,
        kernel_source: kernel_source.to_owned(),
        law: Law::Tiled(law),
        gap_picos: SimDuration::ZERO,
        points: Points::new(shapes.collect(), 3),
        fitted,
        provenance,
    }
}

/// A curve of grouped GEMMs fitted to `rows`.
pub(crate) fn grouped_curve(
    start: &TiledLaw,
    pass: &PassLaw,
    rows: &[GroupedRow],
    precision: Precision,
    kernel_source: &str,
    provenance: Provenance,
) -> KernelCurve {
    let (law, fitted) = grouped(start, pass, rows);
    let shapes = rows
        .iter()
        .flat_map(|row| row.products.iter().map(|p| [p.rows, p.n, p.k]));
    KernelCurve {
        op: OpClass::GroupedGemm,
        precision: Some(precision),
        mask: None,
        kernel_source: kernel_source.to_owned(),
        law: Law::Tiled(law),
        gap_picos: SimDuration::ZERO,
        points: Points::new(shapes.collect(), 3),
        fitted,
        provenance,
    }
}

/// GEMMs of the aiconfigurator table on one system: rows of `source` in `dtype`, at least 64 rows of tokens.
pub(crate) fn aiconfigurator(
    truth: &Path,
    system: &str,
    sources: &[&str],
    dtype: &str,
    precision: Precision,
) -> Result<Vec<GemmRow>, Fault> {
    let wanted = |row: &Row| {
        row.text("system") == system
            && row.text("gemm_dtype") == dtype
            && sources.contains(&row.text("kernel_source"))
            && row.count("m").is_some_and(|m| m >= 64)
    };
    let table = table::rows(truth, "aic_gemm.csv.gz")?;
    let rows = table.iter().filter(|row| wanted(row)).filter_map(|row| {
        let time = SimDuration::from_secs(row.number("latency_ms")? * 1e-3);
        gemm_row(row, Some(time), precision)
    });
    Ok(rows.collect())
}

/// Whole expert layers of the aiconfigurator table on one system, evenly loaded, 2,048 copies
/// of tokens and more: gate and up, activation, down.
pub(crate) fn expert_layers(
    truth: &Path,
    system: &str,
    source: &str,
    dtype: &str,
    precision: Precision,
) -> Result<Vec<GroupedRow>, Fault> {
    let table = table::rows(truth, "aic_moe_kernels.csv.gz")?;
    let wanted = |row: &Row| {
        row.text("system") == system
            && row.text("kernel_source") == source
            && row.text("moe_dtype") == dtype
            && row.text("distribution") == "balanced"
    };
    let rows = table.iter().filter(|row| wanted(row)).filter_map(|row| {
        let (tokens, ranks) = (row.count("num_tokens")?, row.count("moe_ep_size")?);
        let (hidden, width) = (row.count("hidden_size")?, row.count("inter_size")?);
        let groups = (row.count("num_experts")? / ranks).max(1);
        let rows = tokens * row.count("topk")? / ranks;
        let (padded_rows, active_groups) =
            GroupedGemm::padded((0..groups).map(|g| share(rows, groups, g)), 128);
        // Fewer copies are decoding, whose fixed costs say nothing of training.
        if rows < 2048 {
            return None;
        }
        let product = |n, k| GroupedGemm {
            rows,
            padded_rows,
            active_groups,
            n,
            k,
            precision,
            output: Precision::Bf16,
        };
        let activation = MemoryPass::new(
            Bytes::new(rows * width * 2 * 2),
            precision.bytes_of(rows * width),
            1,
        );
        let permute = MemoryPass::new(Bytes::new(rows * hidden * 4), Bytes::new(rows * hidden * 4), 2);
        Some(GroupedRow {
            products: vec![product(2 * width, hidden), product(hidden, width)],
            passes: activation.and(permute),
            time: SimDuration::from_secs(row.number("latency_ms")? * 1e-3),
        })
    });
    Ok(rows.collect())
}

/// The part of `rows` that group `index` of `groups` gets when they are dealt out evenly.
const fn share(rows: u64, groups: u64, index: u64) -> u64 {
    rows / groups + if index < rows % groups { 1 } else { 0 }
}
