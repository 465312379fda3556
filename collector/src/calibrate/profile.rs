//! Measurements into a profile: laws fitted to them, each with whose kernels and who measured.

use std::collections::BTreeMap;

use orrery_kernels::device::{DeviceFacts, Measurement};
use orrery_kernels::measure::{Mode, Subject};
use orrery_kernels::statistics::Taint;
use orrery_operation::{MemoryPass, Precision};
use orrery_profile::fit::{GemmRow, GroupedRow, grouped, rounded, summary, tiled};
use orrery_profile::{KernelCurve, Law, OpClass, PassLaw, Points, Profile, Provenance, TiledLaw};
use orrery_units::{BytesPerSec, FlopsPerSec, SimDuration};

use super::Calibration;
use super::collectives::collective_curves;
use super::contention::contention_curve;
use super::launching::told;
use super::links::peer_link;
use super::spec::spec_of;

/// Share of a peak that dense products reach, where no data sheet says what the peak is.
const USUAL_SHARE: f64 = 0.8;

/// A measured subject.
type Row<'a> = (&'a Subject, &'a Measurement);

/// Who measured, on what device and when; of the kernels of this source, or of those that are installed.
pub(super) fn provenance(
    calibration: &Calibration,
    facts: &DeviceFacts,
    hash: Option<&str>,
    note: &str,
) -> Provenance {
    Provenance {
        measured_by: calibration.measured_by.clone(),
        source: calibration
            .out
            .file_name()
            .map_or(String::new(), |name| name.to_string_lossy().into_owned()),
        rows: format!("device {} ({})", facts.uuid, facts.name),
        date: calibration.date.clone(),
        version: hash.map_or_else(
            || "as installed".to_owned(),
            |hash| format!("source {}", &hash[..16.min(hash.len())]),
        ),
        note: note.to_owned(),
    }
}

/// The profile of what was measured. What was not measured has no curve, and nothing stands for it.
#[must_use]
pub fn profile_of(
    calibration: &Calibration,
    facts: &DeviceFacts,
    records: &BTreeMap<String, Measurement>,
) -> Profile {
    let clean = |id: &str| records.get(id).filter(|measured| measured.is_clean());
    let rows: Vec<Row<'_>> = (calibration.plan.entries.iter())
        .filter(|entry| entry.mode == Mode::Sustained)
        .filter_map(|entry| Some((&entry.subject, clean(&entry.id())?)))
        .collect();
    let spec = spec_of(&facts.name);
    let bandwidth = spec.map_or_else(|| best_bandwidth(&rows), |spec| spec.bandwidth);
    let peak = spec.map_or_else(|| best_rate(&rows), |spec| spec.bf16);
    let provenance = |hash: Option<&str>, note: &str| provenance(calibration, facts, hash, note);
    let pass = pass_curve(&rows, records, bandwidth, &provenance);
    let mut kernels = Vec::new();
    let mut start = start_law(facts, peak, bandwidth);
    for precision in [Precision::Bf16, Precision::Fp8] {
        let peak = match precision {
            Precision::Fp8 => spec
                .and_then(|spec| spec.fp8)
                .unwrap_or_else(|| FlopsPerSec::new(2.0 * peak.get())),
            _ => peak,
        };
        // Each fit begins where the one before ended.
        start = TiledLaw { peak, ..start };
        let dense = dense_curve(&rows, precision, &start, &provenance);
        if let Some(Law::Tiled(law)) = dense.as_ref().map(|curve| curve.law) {
            start = law;
        }
        kernels.extend(dense);
        let law = pass.as_ref().map(|curve| curve.law);
        for source in ["cublas", "orrery"] {
            kernels.extend(grouped_curve(
                &rows,
                (source, precision),
                &start,
                law,
                &provenance,
            ));
        }
    }
    kernels.extend(pass);
    Profile {
        schema: Profile::SCHEMA.to_owned(),
        name: calibration.out.file_stem().map_or(String::new(), |stem| {
            stem.to_string_lossy().trim_end_matches(".profile").to_owned()
        }),
        device: spec.map_or_else(|| facts.name.clone(), |spec| spec.name.to_owned()),
        stacks: vec!["orrery-calibrate".to_owned()],
        date: calibration.date.clone(),
        notes: notes(calibration, facts, records),
        kernels,
        collectives: collective_curves(&rows, &provenance),
        contention: contention_curve(&rows, facts, &provenance),
        links: peer_link(&rows, &provenance).into_iter().collect(),
        ..Profile::default()
    }
}

/// Who measured what, and how much of it was left out for what went on meanwhile.
fn notes(
    calibration: &Calibration,
    facts: &DeviceFacts,
    records: &BTreeMap<String, Measurement>,
) -> Vec<String> {
    let mut notes = vec![format!(
        "Measured by `orrery-collector calibrate` {} on `{}`, device {}: {} of {} measurements.",
        env!("CARGO_PKG_VERSION"),
        calibration.measured_by,
        facts.uuid,
        records.len(),
        calibration.plan.entries.len()
    )];
    let mut counts: BTreeMap<Taint, usize> = BTreeMap::new();
    for taint in records.values().flat_map(|measured| &measured.taints) {
        *counts.entry(*taint).or_default() += 1;
    }
    let counted = |refuses: bool| -> String {
        let counts = counts.iter().filter(|(taint, _)| taint.refuses() == refuses);
        let told: Vec<String> = counts
            .map(|(taint, count)| format!("{} {count}", taint.name()))
            .collect();
        told.join(", ")
    };
    let out = records.values().filter(|measured| !measured.is_clean()).count();
    if out > 0 {
        notes.push(format!(
            "{out} measurements are left out of every curve, for what went on meanwhile: {}.",
            counted(true)
        ));
    }
    if !counted(false).is_empty() {
        notes.push(format!(
            "Kept, though the device was held down: {}.",
            counted(false)
        ));
    }
    notes
}

fn best_bandwidth(rows: &[Row<'_>]) -> BytesPerSec {
    let passes = rows.iter().filter(|(subject, _)| subject.pass().is_some());
    let rates = passes.map(|(subject, measured)| subject.bytes().as_f64() / measured.median().as_secs());
    BytesPerSec::new(rates.fold(1e9, f64::max) / USUAL_SHARE)
}

fn best_rate(rows: &[Row<'_>]) -> FlopsPerSec {
    let rates = rows
        .iter()
        .map(|(subject, measured)| subject.flops().get() / measured.median().as_secs());
    FlopsPerSec::new(rates.fold(1e9, f64::max) / USUAL_SHARE)
}

/// Where the fit begins: what such devices usually do.
fn start_law(facts: &DeviceFacts, peak: FlopsPerSec, bandwidth: BytesPerSec) -> TiledLaw {
    TiledLaw {
        peak,
        bandwidth,
        num_units: facts.num_units,
        tile_rows: 128,
        tile_columns: 128,
        efficiency: 0.8,
        // Measured back to back: the power limit is in the efficiency.
        sustained: 1.0,
        depth_offset: 100.0,
        tail_waves: 0.1,
        memory_efficiency: 0.85,
        overhead_picos: SimDuration::from_micros(2),
    }
}

fn curve(
    op: OpClass,
    precision: Option<Precision>,
    source: &str,
    (law, fitted): (Law, orrery_profile::Fitted),
    points: Points,
    provenance: Provenance,
) -> KernelCurve {
    KernelCurve {
        op,
        precision,
        mask: None,
        kernel_source: source.to_owned(),
        law,
        gap_picos: SimDuration::ZERO,
        points,
        fitted,
        provenance,
    }
}

fn dense_curve(
    rows: &[Row<'_>],
    precision: Precision,
    start: &TiledLaw,
    provenance: &dyn Fn(Option<&str>, &str) -> Provenance,
) -> Option<KernelCurve> {
    let dense = rows
        .iter()
        .filter(|(subject, _)| matches!(subject, Subject::Dense { .. } | Subject::DenseFp8 { .. }));
    let dense = dense.filter_map(|(subject, measured)| {
        let shape = subject.dense().filter(|shape| shape.precision == precision)?;
        let time = measured.median();
        Some((GemmRow { shape, time }, *measured))
    });
    let (measured, times): (Vec<GemmRow>, Vec<&Measurement>) = dense.unzip();
    if measured.is_empty() {
        return None;
    }
    let (law, fitted) = tiled(start, &measured);
    let shapes = measured
        .iter()
        .map(|row| [row.shape.m, row.shape.n, row.shape.k])
        .collect();
    let note = format!("sustained, random data, back to back{}", told(times));
    let place = provenance(None, &note);
    let fit = (Law::Tiled(law), fitted);
    Some(curve(
        OpClass::Gemm,
        Some(precision),
        "cublaslt",
        fit,
        Points::new(shapes, 3),
        place,
    ))
}

fn grouped_curve(
    rows: &[Row<'_>],
    (source, precision): (&str, Precision),
    start: &TiledLaw,
    pass: Option<Law>,
    provenance: &dyn Fn(Option<&str>, &str) -> Provenance,
) -> Option<KernelCurve> {
    let mut hash = None;
    let (mut measured, mut times) = (Vec::new(), Vec::new());
    for (subject, time) in rows {
        let shape = subject.grouped().filter(|shape| shape.precision == precision);
        let Some(shape) = shape.filter(|_| subject.kernel_source() == source) else {
            continue;
        };
        hash = hash.or(time.source_hash.as_deref());
        times.push(*time);
        measured.push(GroupedRow {
            products: vec![shape],
            passes: MemoryPass::default(),
            time: time.median(),
        });
    }
    if measured.is_empty() {
        return None;
    }
    let pass = match pass {
        Some(Law::Pass(law)) => law,
        // Nothing is timed with the products, so this law predicts nothing of them.
        _ => PassLaw {
            bandwidth: start.bandwidth,
            memory_efficiency: start.memory_efficiency,
            reducing_efficiency: None,
            overhead_picos: start.overhead_picos,
        },
    };
    let (law, fitted) = grouped(start, &pass, &measured);
    let shapes = measured
        .iter()
        .flat_map(|row| &row.products)
        .map(|shape| [shape.rows, shape.n, shape.k])
        .collect();
    let note = format!(
        "sustained, random data, seeded routing without preference; contiguous rows{}",
        told(times)
    );
    let place = provenance(hash, &note);
    let fit = (Law::Tiled(law), fitted);
    Some(curve(
        OpClass::GroupedGemm,
        Some(precision),
        source,
        fit,
        Points::new(shapes, 3),
        place,
    ))
}

/// The median share of the bandwidth that passes reach; the ramp of a kernel is what an empty one takes.
fn pass_curve(
    rows: &[Row<'_>],
    records: &BTreeMap<String, Measurement>,
    bandwidth: BytesPerSec,
    provenance: &dyn Fn(Option<&str>, &str) -> Provenance,
) -> Option<KernelCurve> {
    let floor = records
        .iter()
        .find(|(id, measured)| id.starts_with("launch_floor") && measured.is_clean());
    let overhead = floor.map_or(SimDuration::from_micros(2), |(_, measured)| measured.median());
    let passes: Vec<(u64, f64)> = rows
        .iter()
        .filter_map(|(subject, measured)| {
            let seconds = measured.median().saturating_sub(overhead).as_secs();
            let bytes = subject.pass()?.bytes();
            (seconds > 0.0).then(|| (bytes.get(), bytes.as_f64() / (seconds * bandwidth.get())))
        })
        .collect();
    let mut shares: Vec<f64> = passes.iter().map(|pass| pass.1).collect();
    shares.sort_by(f64::total_cmp);
    let share = rounded(*shares.get(shares.len() / 2)?);
    let law = PassLaw {
        bandwidth,
        memory_efficiency: share,
        reducing_efficiency: None,
        overhead_picos: overhead,
    };
    let errors: Vec<f64> = shares.iter().map(|measured| (measured / share).ln()).collect();
    let shapes = passes.iter().map(|pass| [pass.0, 0, 0]).collect();
    let times = rows.iter().filter(|(subject, _)| subject.pass().is_some());
    let note = format!(
        "copies, reads, SwiGLU, permutation and combination, sustained{}",
        told(times.map(|(_, measured)| *measured))
    );
    let place = provenance(None, &note);
    let fit = (Law::Pass(law), summary(&errors));
    Some(curve(
        OpClass::MemoryPass,
        None,
        "orrery",
        fit,
        Points::new(shapes, 1),
        place,
    ))
}

#[cfg(test)]
mod tests;
