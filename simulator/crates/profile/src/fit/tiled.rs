//! Fit of [`TiledLaw`]: efficiency, tile prologue, tail of a wave, memory efficiency and ramp.

use orrery_operation::{Gemm, GroupedGemm, MemoryPass};
use orrery_units::{Flops, SimDuration};

use super::{minimise, robust, rounded, summary};
use crate::law::PassLaw;
use crate::{Fitted, TiledLaw};

/// A measured GEMM.
#[derive(Clone, Copy, Debug)]
pub struct GemmRow {
    /// Shape.
    pub shape: Gemm,
    /// Measured time.
    pub time: SimDuration,
}

/// A measured sequence of grouped GEMMs with the passes between them.
#[derive(Clone, Debug)]
pub struct GroupedRow {
    /// Grouped products, one after the other.
    pub products: Vec<GroupedGemm>,
    /// Passes over memory that the measured time includes.
    pub passes: MemoryPass,
    /// Measured time.
    pub time: SimDuration,
}

/// Parameters as logarithms, in the order of [`with`].
fn logarithms(law: &TiledLaw) -> [f64; 5] {
    let positive = [
        law.efficiency,
        law.depth_offset,
        law.tail_waves,
        law.memory_efficiency,
        law.overhead_picos.as_secs(),
    ];
    positive.map(f64::ln)
}

/// `law` with fitted parameters from logarithms, kept within what is physical: efficiency below `most`, a prologue
/// of 1 to 2,000 elements, a tail of 0.01 to 1 wave, a ramp of 0.5 to 5 us.
fn with(law: &TiledLaw, logs: &[f64], most: f64) -> TiledLaw {
    let value = |i: usize, low: f64, high: f64| rounded(logs[i].exp().clamp(low, high));
    TiledLaw {
        efficiency: value(0, 0.05, most),
        depth_offset: value(1, 1.0, 2_000.0),
        tail_waves: value(2, 0.01, 1.0),
        memory_efficiency: value(3, 0.05, 0.95),
        overhead_picos: SimDuration::from_secs(value(4, 5e-7, 5e-6)),
        ..*law
    }
}

fn fit(start: &TiledLaw, most: f64, errors: impl Fn(&TiledLaw) -> Vec<f64>) -> (TiledLaw, Fitted) {
    // A whisper of a prior keeps parameters that the rows do not determine where physics puts them; it is louder
    // where there are fewer rows than could determine five parameters well.
    let rows = errors(start).len().max(1);
    #[expect(clippy::cast_precision_loss, reason = "a fit has few rows")]
    let weight = 0.02 * (40.0 / rows as f64).max(1.0);
    let loss = |logs: &[f64]| -> f64 {
        let rows = errors(&with(start, logs, most))
            .into_iter()
            .map(robust)
            .sum::<f64>();
        let prior: f64 = logs
            .iter()
            .zip(logarithms(start))
            .map(|(log, centre)| (log - centre) * (log - centre))
            .sum();
        prior.mul_add(weight, rows)
    };
    let law = with(start, &minimise(&logarithms(start), 400, loss), most);
    let fitted = summary(&errors(&law));
    (law, fitted)
}

/// Fits a law to measured GEMMs, starting from `start`, whose peak, bandwidth, units and tile are kept.
#[must_use]
pub fn tiled(start: &TiledLaw, rows: &[GemmRow]) -> (TiledLaw, Fitted) {
    fit(start, 1.0, |law| {
        rows.iter()
            .map(|row| (law.gemm(&row.shape).seconds() / row.time.as_secs()).ln())
            .collect()
    })
}

/// Fits a law to measured grouped GEMMs, starting from that of the dense ones; passes that were timed with them are
/// predicted by `pass`. Groups do not compute faster than one product: the start's efficiency is a bound.
#[must_use]
pub fn grouped(start: &TiledLaw, pass: &PassLaw, rows: &[GroupedRow]) -> (TiledLaw, Fitted) {
    fit(start, start.efficiency, |law| {
        rows.iter()
            .map(|row| {
                let products: f64 = row.products.iter().map(|p| law.grouped(p).seconds()).sum();
                ((products + pass.pass(&row.passes).seconds()) / row.time.as_secs()).ln()
            })
            .collect()
    })
}

/// What the power limit leaves in a long run: measured over predicted speed of the products of at least `least`
/// operations, which run for a millisecond and more, in the median; at most 1, and 1 where there are none.
#[must_use]
pub fn sustained(law: &TiledLaw, rows: &[GemmRow], least: Flops) -> f64 {
    let mut errors: Vec<f64> = rows
        .iter()
        .filter(|row| row.shape.flops() >= least)
        .map(|row| (law.gemm(&row.shape).seconds() / row.time.as_secs()).ln())
        .collect();
    errors.sort_by(f64::total_cmp);
    let median = errors.get(errors.len() / 2).copied().unwrap_or(0.0);
    rounded(median.exp().min(1.0))
}
