//! Devices against one another and against their profile, by what was measured of them; and those that idle.

use std::collections::BTreeMap;

use orrery_units::{Ratio, with_si_prefix};

use super::super::hysteresis::Findings;
use super::super::statistics::{Fleet, median};
use super::super::{DeviceView, Evidence, Figure, Rule, Severity, Subject};
use super::{Context, percent, symptom, symptom_if};

/// A device of a busy job that does less than this idles.
const IDLE: f64 = 0.05;

pub(super) fn look(context: &Context<'_>, findings: &mut Findings<'_>) {
    measured(context, findings);
    idle(context, findings);
}

/// The MAD rule of reference/collectors.md, section 6: `|x − median| > max(3 · 1.4826 · MAD, 5 %)`, per model.
fn measured(context: &Context<'_>, findings: &mut Findings<'_>) {
    let mut rates: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
    for device in &context.frame.devices {
        for figure in &device.figures {
            let key = (device.identity.model.as_str(), figure.name.as_str());
            rates.entry(key).or_default().push(figure.rate);
        }
    }
    let floor = context.thresholds().slow_device.get();
    let fleets: BTreeMap<(&str, &str), Option<Fleet>> = rates
        .into_iter()
        .map(|(key, rates)| (key, Fleet::of(&rates, floor)))
        .collect();
    let fleet_of = |device: &DeviceView, figure: &Figure| {
        let key = (device.identity.model.as_str(), figure.name.as_str());
        fleets.get(&key).copied().flatten()
    };
    for device in &context.frame.devices {
        let subject = Subject::device(&device.identity);
        let known = device
            .figures
            .iter()
            .filter_map(|figure| Some((figure, fleet_of(device, figure)?)));
        // Of several figures the one that is furthest behind counts.
        let behind = |(figure, fleet): &(&Figure, Fleet)| figure.rate / fleet.median;
        if let Some((figure, fleet)) = known.min_by(|a, b| behind(a).total_cmp(&behind(b))) {
            let symptom = symptom_if(fleet.is_below(figure.rate), || {
                let rate = |rate| with_si_prefix(rate, &figure.unit);
                symptom(
                    Severity::Warning,
                    format!(
                        "{}{} gives {}, {} of the {} of its like",
                        figure.name,
                        figure
                            .through
                            .as_ref()
                            .map(|through| format!(" ({through})"))
                            .unwrap_or_default(),
                        rate(figure.rate),
                        percent(figure.rate / fleet.median),
                        rate(fleet.median)
                    ),
                    [Evidence::new(&figure.name, figure.rate, &figure.unit)
                        .against(fleet.median - fleet.apart)],
                    "drain the node and run `orrery-collector check`; if it stays slow, have the device replaced",
                )
            });
            findings.say(Rule::SlowDevice, &subject, symptom);
        }
        let least = context.thresholds().below_profile.get();
        let known = device
            .figures
            .iter()
            .filter_map(|figure| Some((figure, figure.rate / figure.profile?)));
        if let Some((figure, share)) = known.min_by(|(_, a), (_, b)| a.total_cmp(b)) {
            let symptom = symptom_if(share < least, || {
                symptom(
                    Severity::Warning,
                    format!(
                        "{}: this device gives {} of what its model gave when it was calibrated",
                        figure.name,
                        percent(share)
                    ),
                    [Evidence::new(&figure.name, figure.rate, &figure.unit)
                        .against(least * figure.profile.unwrap_or(f64::NAN))],
                    "drain the node; look at clocks, power limit and temperature, then run `orrery-collector check` again",
                )
            });
            findings.say(Rule::BelowProfile, &subject, symptom);
        }
    }
}

/// A device that does nothing while those of its job work.
fn idle(context: &Context<'_>, findings: &mut Findings<'_>) {
    let mut busy: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for device in &context.frame.devices {
        if let (Some((job, _)), Some(share)) = (context.place_of(device), device.utilization) {
            busy.entry(&job.name).or_default().push(share.get());
        }
    }
    let busy: BTreeMap<&str, Option<f64>> = busy
        .into_iter()
        .map(|(job, shares)| (job, median(shares)))
        .collect();
    for device in &context.frame.devices {
        let place = context.place_of(device);
        let (Some((job, rank)), Some(share)) = (place, device.utilization.map(Ratio::get)) else {
            continue;
        };
        let like = busy.get(job.name.as_str()).copied().flatten().unwrap_or(0.0);
        let symptom = symptom_if(share < IDLE && like > 0.5, || {
            symptom(
                Severity::Warning,
                format!(
                    "rank {rank} of job {} does nothing while the others work",
                    job.name
                ),
                [Evidence::new("utilization", share, "1").against(IDLE)],
                "see whether its process still runs; a rank that died leaves the others waiting",
            )
        });
        findings.say(Rule::DeviceIdle, &Subject::device(&device.identity), symptom);
    }
}
