//! PCIe and NVLink of a device.

use super::super::history::{DeviceHistory, History, Meter};
use super::super::hysteresis::{Findings, Symptom};
use super::super::statistics::median;
use super::super::{DeviceView, Evidence, Rule, Severity, Subject};
use super::{Context, symptom, symptom_if};
use crate::UnixTime;

pub(super) fn look(context: &Context<'_>, history: &mut History, findings: &mut Findings<'_>) {
    let at = context.frame.at;
    for device in &context.frame.devices {
        let Some(history) = history.devices.get_mut(&device.identity.uuid) else {
            continue;
        };
        let subject = Subject::device(&device.identity);
        if let Some(symptom) = pcie(context, device, history) {
            findings.say(Rule::PcieDegraded, &subject, symptom);
        }
        let thresholds = context.thresholds();
        let replays = Errors {
            what: "its PCIe link sends packets again",
            unit: "PCIe replays per minute",
            action: "reseat the board or the riser; look at the retimer; a link that gets worse ends in Xid 79",
            most: thresholds.pcie_replays.get(),
        };
        if let Some(symptom) = replays.rate(&mut history.pcie_replays, at, device.pcie_replays) {
            findings.say(Rule::PcieReplays, &subject, symptom);
        }
        let errors = Errors {
            what: "its NVLinks have errors",
            unit: "NVLink errors per minute",
            action: "see which link it is (`nvidia-smi nvlink -e`); reset the device, and if they come back look at the \
                     baseboard, the cable or the switch",
            most: thresholds.nvlink_errors.get(),
        };
        if let Some(symptom) = errors.rate(&mut history.nvlink_errors, at, device.nvlink_errors) {
            findings.say(Rule::NvlinkErrors, &subject, symptom);
        }
        if let Some(symptom) = nvlinks(context, device, history) {
            findings.say(Rule::NvlinkDown, &subject, symptom);
        }
    }
}

/// Lanes at any time; speed only while it works, since an idle link saves power by going slower. Both against the most
/// that it ever had, and what its like have.
fn pcie(context: &Context<'_>, device: &DeviceView, history: &mut DeviceHistory) -> Option<Option<Symptom>> {
    let lanes = device.pcie_lanes?;
    history.lanes = history.lanes.max(lanes);
    let most_lanes = wanted(context, device, history.lanes, |other| other.pcie_lanes);
    let busy_generation = |device: &DeviceView| device.pcie_generation.filter(|_| device.is_busy());
    let generation = busy_generation(device).map(|now| {
        history.generation = history.generation.max(now);
        (
            f64::from(now),
            wanted(context, device, history.generation, busy_generation),
        )
    });
    let lanes = f64::from(lanes);
    let is_slow = generation.is_some_and(|(now, most)| now < most);
    Some(symptom_if(lanes < most_lanes || is_slow, || {
        let mut evidence = vec![Evidence::new("PCIe lanes", lanes, "1").against(most_lanes)];
        let mut words = format!("its PCIe link has {lanes} of {most_lanes} lanes");
        if let Some((now, most)) = generation {
            evidence.push(Evidence::new("PCIe generation", now, "1").against(most));
            words = format!("{words}, at generation {now} of {most}");
        }
        symptom(
            Severity::Warning,
            words,
            evidence,
            "drain the node, reseat the board or the riser and reboot; look at the BIOS setting of the slot",
        )
    }))
}

/// What a device should have: the most that it ever had, or what its like have, if that is more.
fn wanted(
    context: &Context<'_>,
    device: &DeviceView,
    ever: u32,
    of: impl Fn(&DeviceView) -> Option<u32>,
) -> f64 {
    let like: Vec<f64> = context
        .like(device)
        .filter_map(|other| of(other).map(f64::from))
        .collect();
    let like = if like.len() >= 4 { median(like) } else { None };
    f64::from(ever).max(like.unwrap_or(0.0))
}

/// Whether an NVLink is down that once was up, or that its like have.
fn nvlinks(
    context: &Context<'_>,
    device: &DeviceView,
    history: &mut DeviceHistory,
) -> Option<Option<Symptom>> {
    let up = device.nvlinks_up?;
    history.nvlinks = history.nvlinks.max(up);
    let wanted = wanted(context, device, history.nvlinks, |other| other.nvlinks_up);
    Some(symptom_if(f64::from(up) < wanted, || {
        symptom(
            Severity::Critical,
            format!("{up} of {wanted} NVLinks are up"),
            [Evidence::new("NVLinks up", f64::from(up), "1").against(wanted)],
            "drain the node; see `nvidia-smi nvlink -s` and the fabric manager's log; reset the device",
        )
    }))
}

/// A counter of errors, held against a rate per minute.
struct Errors {
    what: &'static str,
    unit: &'static str,
    action: &'static str,
    most: f64,
}

impl Errors {
    fn rate(&self, meter: &mut Meter, at: UnixTime, count: Option<u64>) -> Option<Option<Symptom>> {
        let rate = 60.0 * meter.hear(at, count?)?;
        Some(symptom_if(rate > self.most, || {
            symptom(
                Severity::Warning,
                format!("{}: {rate:.1} a minute", self.what),
                [Evidence::new(self.unit, rate, "1").against(self.most)],
                self.action,
            )
        }))
    }
}
