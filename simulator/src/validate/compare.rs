//! Sweeps beside what the law of their platform says, the law fitted with them or without.

use orrery_profile::{PlatformLaw, PlatformSet};
use orrery_units::HALF_WIDTH_80;
use orrery_workload::collective::law::Prepared;

use super::fitting::{self, LARGE};
use super::sweep::{Point, Sweep};
use super::{ANCHOR, Compared, Options, Row};

/// Spread where nothing was measured (assumption: twice that of the widest platforms).
const UNKNOWN: [f64; 2] = [0.3, 0.3];

/// The law that a sweep is held against.
struct Basis {
    law: PlatformLaw,
    /// What predictions below and from 1 MiB rest on.
    evidence: [&'static str; 2],
    /// Spread of `ln(predicted / measured)` below and from 1 MiB.
    spread: [f64; 2],
    /// Sizes that fixed the law, and so are no test of it.
    anchors: Vec<Point>,
}

/// Every row of `sweeps`; none where `progress` said to stop.
pub(super) fn rows(
    sweeps: &[Sweep],
    platforms: &PlatformSet,
    options: Options,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Vec<Row> {
    let groups = fitting::by_platform(sweeps);
    let mut bases = Vec::with_capacity(sweeps.len());
    for (done, sweep) in sweeps.iter().enumerate() {
        if !progress(done) {
            return Vec::new();
        }
        let group = groups
            .get(sweep.place.name.as_str())
            .map_or(&[][..], Vec::as_slice);
        bases.push(match options.leave_out {
            None => fitted(sweep, platforms),
            Some(count) => left_out(sweep, group, platforms, count),
        });
    }
    if options.leave_out.is_some() {
        let spreads = held_out_spreads(sweeps, &bases);
        for (basis, spread) in bases.iter_mut().zip(spreads) {
            basis.spread = spread;
        }
    }
    let mut all = Vec::new();
    for (sweep, basis) in sweeps.iter().zip(&bases) {
        let siblings = groups.get(sweep.place.name.as_str()).map_or(1, Vec::len);
        all.extend(sweep_rows(sweep, basis, siblings));
    }
    all
}

/// The law of the sweep's platform, or of the one that stands in for it.
fn fitted(sweep: &Sweep, platforms: &PlatformSet) -> Basis {
    let (law, evidence, spread) = match platforms.nearest(&sweep.place.name, sweep.place.like.as_deref()) {
        Some((platform, exact)) => {
            let widened = if exact { 1.0 } else { 2.0 };
            let evidence = if exact { "interpolated" } else { "extrapolated" };
            let spread = [platform.spread_small * widened, platform.spread_large * widened];
            (platform.law.clone(), evidence, spread)
        }
        None => (fitting::unmeasured(sweep), "analytic", UNKNOWN),
    };
    Basis {
        law,
        evidence: [evidence; 2],
        spread,
        anchors: Vec::new(),
    }
}

/// The law without the sweep, moved to `count` of its own points.
///
/// Without it: fitted to the other sweeps of its platform; where there are none, a platform that did not see it.
fn left_out(sweep: &Sweep, group: &[&Sweep], platforms: &PlatformSet, count: usize) -> Basis {
    let rest: Vec<&Sweep> = group
        .iter()
        .copied()
        .filter(|other| other.name != sweep.name)
        .collect();
    let mut unseen = platforms.clone();
    unseen
        .platforms
        .retain(|platform| !platform.sweeps.contains(&sweep.name));
    let (start, evidence) = if !rest.is_empty() {
        (fitting::fit(&rest), "extrapolated")
    } else if let Some((platform, _)) = unseen.nearest(&sweep.place.name, sweep.place.like.as_deref()) {
        (platform.law.clone(), "extrapolated")
    } else {
        (fitting::unmeasured(sweep), "analytic")
    };
    let anchors = fitting::anchors(sweep, count);
    if anchors.is_empty() {
        return Basis {
            law: start,
            evidence: [evidence; 2],
            spread: UNKNOWN,
            anchors,
        };
    }
    Basis {
        law: fitting::anchored(&start, sweep, &anchors),
        // Anchors lie from 1 MiB on, and enclose what is there.
        evidence: [evidence, "interpolated"],
        spread: UNKNOWN,
        anchors,
    }
}

/// For each sweep the spread of the errors of the others that were left out: of its platform where those have at
/// least five rows, else of all. Its own errors are no part of its interval.
fn held_out_spreads(sweeps: &[Sweep], bases: &[Basis]) -> Vec<[f64; 2]> {
    let errors: Vec<[Vec<f64>; 2]> = sweeps
        .iter()
        .zip(bases)
        .map(|(sweep, basis)| {
            [false, true].map(|large| {
                let points = sweep.points.iter().filter(|point| !basis.anchors.contains(point));
                points
                    .filter(|point| (point.call.bytes.get() >= LARGE) == large)
                    .map(|point| fitting::log_error(&basis.law, sweep, point))
                    .collect()
            })
        })
        .collect();
    let of = |at: usize, band: usize| {
        let others = |same: bool| -> Vec<f64> {
            let near = |other: usize| !same || sweeps[other].place.name == sweeps[at].place.name;
            (0..sweeps.len())
                .filter(|&other| other != at && near(other))
                .flat_map(|other| errors[other][band].iter().copied())
                .collect()
        };
        fitting::spread(&others(true))
            .or_else(|| fitting::spread(&others(false)))
            .unwrap_or(UNKNOWN[band])
    };
    (0..sweeps.len()).map(|at| [of(at, 0), of(at, 1)]).collect()
}

fn sweep_rows(sweep: &Sweep, basis: &Basis, siblings: usize) -> Vec<Row> {
    let mut rows: Vec<Row> = sweep
        .points
        .iter()
        .map(|point| point_row(sweep, basis, point, siblings))
        .collect();
    for (bytes, field) in &sweep.skipped {
        rows.push(row(sweep, *bytes, siblings, Err((*field).to_owned())));
    }
    rows
}

fn point_row(sweep: &Sweep, basis: &Basis, point: &Point, siblings: usize) -> Row {
    let bytes = point.call.bytes.get();
    if basis.anchors.contains(point) {
        return row(sweep, bytes, siblings, Err(ANCHOR.to_owned()));
    }
    let band = usize::from(bytes >= LARGE);
    let call = Prepared::new(&sweep.place.machine, &point.call);
    let predicted = call.seconds(&basis.law);
    let spread = HALF_WIDTH_80 * basis.spread[band];
    let name = call
        .candidates(&basis.law)
        .first()
        .map_or("none", |(candidate, _)| candidate.name);
    let compared = Compared {
        measured: point.seconds,
        predicted,
        low: predicted * (-spread).exp(),
        high: predicted * spread.exp(),
        evidence: basis.evidence[band],
    };
    let mut row = row(sweep, bytes, siblings, Ok(compared));
    row.facts.push(("op", point.call.op.name().to_owned()));
    row.facts.push(("ranks", point.call.ranks.to_string()));
    row.facts.push(("nodes", point.call.nodes.to_string()));
    row.facts.push(("algorithm", name.to_owned()));
    row
}

fn row(sweep: &Sweep, bytes: u64, siblings: usize, result: Result<Compared, String>) -> Row {
    let band = if bytes >= LARGE { ">=1MiB" } else { "<1MiB" };
    let (name, place) = (&sweep.name, &sweep.place.name);
    let mut groups = vec![
        format!("sweep {name} {band}"),
        format!("platform {place} {band}"),
        format!("all sweeps {band}"),
    ];
    if siblings > 1 {
        groups.push(format!("platforms with several sweeps {band}"));
    }
    Row {
        id: format!("{name}/{bytes}"),
        facts: vec![("bytes", bytes.to_string())],
        groups,
        result,
    }
}
