//! What a device reports of itself: that it is lost, the driver's events, errors of memory.

use std::collections::BTreeMap;

use super::super::history::{DeviceHistory, History};
use super::super::hysteresis::{Findings, Symptom};
use super::super::xid::{Xid, XidClass};
use super::super::{DeviceView, Evidence, Rule, Severity, Subject};
use super::{Context, symptom, symptom_if};

pub(super) fn look(context: &Context<'_>, history: &mut History, findings: &mut Findings<'_>) {
    for device in &context.frame.devices {
        let Some(history) = history.devices.get_mut(&device.identity.uuid) else {
            continue;
        };
        let subject = Subject::device(&device.identity);
        findings.say(Rule::DeviceLost, &subject, lost(device));
        findings.say(Rule::DeviceSilent, &subject, silent(device));
        if let Some(xids) = &device.xids {
            let events = new_events(history, xids);
            for (rule, is_application) in [(Rule::XidHardware, false), (Rule::XidApplication, true)] {
                findings.say(rule, &subject, told(&events, is_application));
            }
        }
        if let Some(errors) = device.ecc_uncorrected {
            findings.say(Rule::EccUncorrectable, &subject, ecc(history, errors));
        }
        if let Some(is_pending) = device.remap_pending {
            let symptom = symptom_if(is_pending, || {
                symptom(
                    Severity::Warning,
                    "a row of memory waits for a reset to be replaced by a spare one".to_owned(),
                    [Evidence::new("rows pending", 1.0, "1")],
                    "drain the node when its job ends and reset the device (`nvidia-smi --gpu-reset`)",
                )
            });
            findings.say(Rule::RowRemapPending, &subject, symptom);
        }
        if let Some(is_failed) = device.remap_failure {
            let symptom = symptom_if(is_failed, || {
                symptom(
                    Severity::Critical,
                    "a row of memory failed and no spare is left".to_owned(),
                    [Evidence::new("rows not replaced", 1.0, "1")],
                    XidClass::Replace.action(),
                )
            });
            findings.say(Rule::RowRemapFailure, &subject, symptom);
        }
    }
}

fn lost(device: &DeviceView) -> Option<Symptom> {
    symptom_if(device.is_lost, || {
        symptom(
            Severity::Critical,
            "the device fell off the bus".to_owned(),
            [Evidence::new("readings", 0.0, "1")],
            XidClass::Reboot.action(),
        )
    })
}

fn silent(device: &DeviceView) -> Option<Symptom> {
    symptom_if(device.is_silent, || {
        symptom(
            Severity::Critical,
            "the driver does not answer for this device: it is wedged".to_owned(),
            [Evidence::new("readings", 0.0, "1")],
            "drain the node; see `dmesg` for `NVRM` and `Xid` lines; a wedged driver takes a reboot",
        )
    })
}

/// Events since the frame before, and how many of each. Those of before the first frame are not news.
fn new_events(history: &mut DeviceHistory, xids: &BTreeMap<u32, u64>) -> Vec<(Xid, u64)> {
    let Some(before) = history.xids.replace(xids.clone()) else {
        return Vec::new();
    };
    let more = xids.iter().map(|(&code, &count)| {
        let known = before.get(&code).copied().unwrap_or(0);
        // Somebody who began to listen anew counts from zero.
        let more = if count < known { count } else { count - known };
        (Xid::of(code), more)
    });
    more.filter(|&(_, more)| more > 0).collect()
}

/// The driver's events of one kind, the gravest first.
fn told(events: &[(Xid, u64)], is_application: bool) -> Option<Symptom> {
    let of_kind = events
        .iter()
        .filter(|(event, _)| event.class.is_application() == is_application);
    let (gravest, _) = of_kind
        .clone()
        .max_by_key(|(event, _)| (event.class, std::cmp::Reverse(event.code)))?;
    let severity = match gravest.class {
        XidClass::Application => Severity::Info,
        XidClass::Watch => Severity::Warning,
        XidClass::Reset | XidClass::Reboot | XidClass::Replace => Severity::Critical,
    };
    let evidence = of_kind.map(|(event, times)| {
        #[expect(clippy::cast_precision_loss, reason = "a count of events of one frame")]
        Evidence::new(&format!("Xid {}", event.code), *times as f64, "1")
    });
    Some(symptom(
        severity,
        format!("Xid {}: {}", gravest.code, gravest.what),
        evidence,
        gravest.class.action(),
    ))
}

/// Errors since the frame before. A counter that went back was reset by a driver reload.
fn ecc(history: &mut DeviceHistory, errors: u64) -> Option<Symptom> {
    let before = history.ecc.replace(errors)?;
    let more = errors.checked_sub(before).filter(|&more| more > 0)?;
    #[expect(clippy::cast_precision_loss, reason = "a count of errors")]
    let (more, all) = (more as f64, errors as f64);
    Some(symptom(
        Severity::Critical,
        format!("memory returned data that could not be corrected, {more} times"),
        [
            Evidence::new("uncorrected errors, new", more, "1"),
            Evidence::new("uncorrected errors since the driver was loaded", all, "1"),
        ],
        XidClass::Reset.action(),
    ))
}
