//! What loads are, and which law fits those that were recorded.

use orrery_experts::law::{RecordingFit, fit};
use orrery_report::LoadFit;
use orrery_scenario::plan::{Load, LoadKind, LoadPhase, Popularity};
use orrery_timeline::Statistic;
use orrery_units::significant;

/// What `load` is, in words that follow "loads are".
pub(super) fn about(load: &Load) -> String {
    match &load.kind {
        LoadKind::Workload(number) => format!("drawn as W{number} of Megatron-LM#7488 draws them"),
        LoadKind::Gate(_) => "the choices of routers in training, simulated".to_owned(),
        LoadKind::Phases(phases) => {
            let recorded = phases.iter().filter(|phase| counts(phase).is_some()).count();
            match (recorded, phases.len()) {
                (0, _) => "drawn from laws, none recorded".to_owned(),
                (some, all) if some == all => "recorded".to_owned(),
                (some, all) => format!("recorded in {some} of {all} phases, elsewhere drawn from laws"),
            }
        }
    }
}

/// The law that fits the recording of each phase best; what cannot be fitted, such as fewer than four experts, is left out.
pub(super) fn of_load(load: &Load) -> Vec<LoadFit> {
    let LoadKind::Phases(phases) = &load.kind else {
        return Vec::new();
    };
    let mut fits: Vec<(&[Vec<u64>], LoadFit)> = Vec::new();
    for phase in phases {
        let Some(counts) = counts(phase) else { continue };
        // The same recording in another phase has the same fit.
        if fits.iter().all(|(known, _)| *known != counts)
            && let Some(fitted) = fit(counts)
        {
            fits.push((counts, described(&phase.name, &fitted)));
        }
    }
    fits.into_iter().map(|(_, fit)| fit).collect()
}

fn counts(phase: &LoadPhase) -> Option<&[Vec<u64>]> {
    match &phase.skew.popularity {
        Popularity::Recorded(counts) => Some(counts),
        Popularity::Law(_) => None,
    }
}

fn described(phase: &str, fitted: &RecordingFit) -> LoadFit {
    let family = fitted.family;
    let fits: Vec<_> = fitted.layers.iter().map(|layer| layer.of(family)).collect();
    let middle = |values: Vec<f64>| Statistic::P50.of(&values).unwrap_or(0.0);
    // Parameters are the medians over layers, as those of the law of the recording are.
    let parameters = family.parameters().iter().enumerate().map(|(at, name)| {
        let values = fits.iter().filter_map(|fit| fit.values().get(at).copied());
        format!("{name} {}", significant(middle(values.collect()), 3))
    });
    let parameters: Vec<String> = parameters.collect();
    let r_squared: Vec<f64> = fits.iter().map(|fit| fit.r_squared).collect();
    LoadFit {
        phase: phase.to_owned(),
        law: format!("{} ({})", family.name(), parameters.join(", ")),
        layers: fits.len(),
        r_squared: [
            fitted.r_squared(family),
            r_squared.into_iter().fold(f64::INFINITY, f64::min),
        ],
        log_r_squared: middle(fits.iter().map(|fit| fit.log_r_squared).collect()),
    }
}
