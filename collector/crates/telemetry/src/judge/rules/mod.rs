//! The rules, one file for each part of the machine; each looks at a frame and says what it finds.

mod clocks;
mod faults;
mod fleet;
mod hang;
mod job;
mod kpi;
mod links;
mod memory;
mod network;
mod sources;
mod straggler;

use std::collections::BTreeMap;

use orrery_units::significant;

use super::history::History;
use super::hysteresis::{Findings, Symptom};
use super::{DeviceView, Evidence, Frame, JobState, Rules, Severity, Thresholds};

/// What every rule may look at.
pub(super) struct Context<'a> {
    frame: &'a Frame,
    rules: &'a Rules,
    /// Job and rank of the devices that have one.
    places: BTreeMap<(&'a str, u32), (&'a JobState, u32)>,
}

impl<'a> Context<'a> {
    pub(super) fn new(frame: &'a Frame, rules: &'a Rules) -> Self {
        let mut places = BTreeMap::new();
        for job in &frame.jobs {
            for ((node, index), rank) in job.devices.iter().zip(0u32..) {
                places.insert((node.as_str(), *index), (job, rank));
            }
        }
        Self { frame, rules, places }
    }

    fn thresholds(&self) -> &'a Thresholds {
        &self.rules.thresholds
    }

    /// The job of `device`, and its rank there.
    fn place_of(&self, device: &DeviceView) -> Option<(&'a JobState, u32)> {
        let identity = &device.identity;
        self.places
            .get(&(identity.node.as_str(), identity.index))
            .copied()
    }

    /// The devices of the model of `device`, itself among them.
    fn like<'b>(&'b self, device: &'b DeviceView) -> impl Iterator<Item = &'a DeviceView> + 'b {
        let devices = self.frame.devices.iter();
        devices.filter(|other| other.identity.model == device.identity.model)
    }
}

/// Asks every rule.
pub(super) fn look(context: &Context<'_>, history: &mut History, findings: &mut Findings<'_>) {
    faults::look(context, history, findings);
    clocks::look(context, history, findings);
    fleet::look(context, findings);
    links::look(context, history, findings);
    network::look(context, history, findings);
    memory::look(context, history, findings);
    job::look(context, history, findings);
    straggler::look(context, history, findings);
    hang::look(context, history, findings);
    sources::look(context, history, findings);
    kpi::look(context, history, findings);
}

/// A symptom, if `is_ill`.
fn symptom_if(is_ill: bool, symptom: impl FnOnce() -> Symptom) -> Option<Symptom> {
    is_ill.then(symptom)
}

fn symptom(
    severity: Severity,
    what: String,
    evidence: impl IntoIterator<Item = Evidence>,
    action: impl Into<String>,
) -> Symptom {
    Symptom {
        severity,
        what,
        evidence: evidence.into_iter().collect(),
        action: action.into(),
    }
}

/// `share` for people, such as `87 %`.
fn percent(share: f64) -> String {
    format!("{} %", significant(100.0 * share, 3))
}

/// `hertz` for people, such as `1755 MHz`.
fn megahertz(hertz: f64) -> String {
    format!("{:.0} MHz", hertz / 1e6)
}
