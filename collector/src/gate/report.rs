//! What the gate says: a line for each device, a reason to drain by, a node condition.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use orrery_profile::Profile;
use orrery_telemetry::judge::{Figure, Severity, Subject};
use orrery_telemetry::{DeviceIdentity, DeviceSample, Origin, UnixTime};
use orrery_units::{significant, with_si_prefix};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::bench::{NotMeasured, Probe};
use super::{Watched, node_of, since_the_driver_was_loaded};
use crate::board::wall_clock;

/// The longest reason: Slurm keeps more, and nobody reads it.
const LONGEST_REASON: usize = 240;

/// What was measured of a device by one probe.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The probe.
    pub probe: Probe,
    /// Its figure, or why there is none.
    pub figure: Result<Figure, NotMeasured>,
}

/// One thing that is wrong, or worth knowing.
#[derive(Clone, Debug, PartialEq)]
struct Finding {
    /// Its name, as a rule or a counter is called.
    name: String,
    severity: Severity,
    what: String,
    action: String,
}

/// What is said of one device.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceReport {
    /// Which device.
    pub identity: DeviceIdentity,
    /// What was measured of it.
    pub measured: Vec<Measured>,
    findings: Vec<Finding>,
}

/// What the gate says.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The node.
    pub node: String,
    /// What the numbers are.
    pub origin: Origin,
    /// When.
    pub at: UnixTime,
    /// The devices, in their order.
    pub devices: Vec<DeviceReport>,
    /// What is wrong with the node and no one device.
    others: Vec<(String, Finding)>,
    /// Why no device was read, if none was.
    absent: Vec<String>,
    profile: Option<String>,
}

/// Puts together what was watched and measured.
pub(super) fn of(
    watched: Watched,
    mut figures: BTreeMap<String, Vec<Measured>>,
    profile: Option<&Profile>,
) -> Report {
    let mut devices: Vec<DeviceReport> = watched
        .devices()
        .map(|device| DeviceReport::of(device, figures.remove(&device.identity.uuid).unwrap_or_default()))
        .collect();
    let mut others = Vec::new();
    for ((rule, subject), alert) in watched.alerts {
        let finding = Finding {
            name: rule.name().to_owned(),
            severity: alert.severity,
            what: alert.what,
            action: alert.action,
        };
        let device = match &subject {
            Subject::Device { uuid, .. } => devices.iter_mut().find(|device| device.identity.uuid == *uuid),
            Subject::Nic { .. } | Subject::Job { .. } | Subject::Rank { .. } | Subject::Source { .. } => None,
        };
        match device {
            Some(device) => device.findings.push(finding),
            None => others.push((subject.to_string(), finding)),
        }
    }
    let of_devices = watched.samples.iter().find(|sample| !sample.devices.is_empty());
    let absent = watched
        .statuses
        .iter()
        .filter(|status| !status.is_up() && status.reason != "not asked for");
    Report {
        node: node_of(&watched.samples),
        origin: of_devices.map_or(Origin::Live, |sample| sample.origin),
        at: wall_clock(),
        devices,
        others,
        absent: absent
            .map(|status| format!("{}: {}", status.name, status.reason))
            .collect(),
        profile: profile.map(|profile| profile.name.clone()),
    }
}

impl DeviceReport {
    /// What `device` says of itself, and what was measured of it. A wrong result is a finding; a rate is judged by rules.
    fn of(device: &DeviceSample, measured: Vec<Measured>) -> Self {
        let counted = since_the_driver_was_loaded(device);
        let counted = counted.into_iter().map(|(severity, what, action)| Finding {
            name: "counters".to_owned(),
            severity,
            what,
            action,
        });
        let wrong = measured.iter().filter_map(|measured| {
            let fault = measured.figure.as_ref().err().filter(|fault| fault.is_wrong())?;
            Some(Finding {
                name: "wrong-result".to_owned(),
                severity: Severity::Critical,
                what: format!("{}: {fault}", measured.probe.name()),
                action:
                    "drain the node and check again; a device that computes wrong again wants to be replaced"
                        .to_owned(),
            })
        });
        let findings = counted.chain(wrong).collect();
        Self {
            identity: device.identity.clone(),
            measured,
            findings,
        }
    }

    /// Whether a job should not run on it.
    #[must_use]
    pub fn is_ill(&self) -> bool {
        self.findings
            .iter()
            .any(|finding| finding.severity >= Severity::Warning)
    }

    fn ailments(&self) -> impl Iterator<Item = &Finding> {
        self.findings
            .iter()
            .filter(|finding| finding.severity >= Severity::Warning)
    }

    fn line(&self) -> String {
        let DeviceIdentity {
            index, model, uuid, ..
        } = &self.identity;
        let state = if self.is_ill() { "ILL" } else { "healthy" };
        let mut line = format!("GPU {index}  {model}  {uuid}  {state}");
        for measured in &self.measured {
            if let Ok(figure) = &measured.figure {
                let share = figure.profile.map(|profile| {
                    format!(
                        "{} % of the profile",
                        significant(100.0 * figure.rate / profile, 3)
                    )
                });
                let beside: Vec<String> = share.into_iter().chain(figure.through.clone()).collect();
                let beside = match beside.as_slice() {
                    [] => String::new(),
                    beside => format!(" ({})", beside.join("; ")),
                };
                let rate = with_si_prefix(figure.rate, &figure.unit);
                push(&mut line, &format!("  {} {rate}{beside}", figure.name));
            }
        }
        for finding in &self.findings {
            push(&mut line, &format!("; {}: {}", finding.name, finding.what));
        }
        line
    }
}

impl Report {
    /// Whether a job may run on the node; `None` where no device was read.
    #[must_use]
    pub fn is_healthy(&self) -> Option<bool> {
        let is_ill = |finding: &Finding| finding.severity >= Severity::Warning;
        let others = self.others.iter().any(|(_, finding)| is_ill(finding));
        (!self.devices.is_empty()).then(|| !others && !self.devices.iter().any(DeviceReport::is_ill))
    }

    /// A command that takes the node out of service, to be pasted; nothing where there is no reason to.
    #[must_use]
    pub fn drain(&self) -> Option<String> {
        let of_devices = self
            .devices
            .iter()
            .filter(|device| device.is_ill())
            .map(|device| {
                let mut names: Vec<&str> = device.ailments().map(|finding| finding.name.as_str()).collect();
                names.dedup();
                format!("GPU {} {}", device.identity.index, names.join(" "))
            });
        let others = self
            .others
            .iter()
            .filter(|(_, finding)| finding.severity >= Severity::Warning);
        let others = others.map(|(subject, finding)| format!("{subject} {}", finding.name));
        let reasons: Vec<String> = of_devices.chain(others).collect();
        if reasons.is_empty() {
            return None;
        }
        // In quotes for a shell: nothing in it may end them or mean anything.
        let is_plain = |letter: char| letter.is_alphanumeric() || " ;:._-/".contains(letter);
        let reason: String = reasons
            .join("; ")
            .chars()
            .map(|c| if is_plain(c) { c } else { '_' })
            .collect();
        let reason: String = reason.chars().take(LONGEST_REASON).collect();
        let node: String = self.node.chars().filter(|&c| is_plain(c) && c != ' ').collect();
        Some(format!(
            "scontrol update nodename={node} state=drain reason=\"orrery: {reason}\""
        ))
    }

    /// For people: a line for each device, what to do, and the command to paste.
    #[must_use]
    pub fn text(&self) -> String {
        let mark = match self.origin {
            Origin::Live => "",
            Origin::Demo => "  DEMO",
            Origin::Fake => "  FAKE",
        };
        let mut text = format!("{}{mark}\n", self.node);
        for reason in self.absent.iter().filter(|_| self.devices.is_empty()) {
            push(&mut text, &format!("no device was read: {reason}\n"));
        }
        for device in &self.devices {
            push(&mut text, &format!("{}\n", device.line()));
        }
        for (subject, finding) in &self.others {
            push(
                &mut text,
                &format!("{subject}  {}: {}\n", finding.name, finding.what),
            );
        }
        for (reason, whom) in self.unmeasured() {
            push(&mut text, &format!("not measured: {whom}: {reason}\n"));
        }
        let findings = self.devices.iter().flat_map(DeviceReport::ailments);
        let others = self.others.iter().map(|(_, finding)| finding);
        let mut actions: Vec<&str> = findings
            .chain(others)
            .map(|finding| finding.action.as_str())
            .collect();
        actions.sort_unstable();
        actions.dedup();
        for action in actions {
            push(&mut text, &format!("what to do: {action}\n"));
        }
        if let Some(drain) = self.drain() {
            push(&mut text, &format!("{drain}\n"));
        }
        text
    }

    /// Why probes were not measured, and which.
    fn unmeasured(&self) -> BTreeMap<String, String> {
        let mut reasons: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for measured in self.devices.iter().flat_map(|device| &device.measured) {
            if let Err(reason) = &measured.figure
                && !reason.is_wrong()
            {
                let names = reasons.entry(reason.to_string()).or_default();
                if !names.contains(&measured.probe.name()) {
                    names.push(measured.probe.name());
                }
            }
        }
        reasons
            .into_iter()
            .map(|(reason, names)| (reason, names.join(", ")))
            .collect()
    }

    /// As JSON (`check/1`), with a condition of the node as Kubernetes has them.
    #[must_use]
    pub fn json(&self) -> Value {
        let findings = |findings: &[Finding]| -> Vec<Value> {
            let findings = findings.iter().map(|finding| {
                json!({
                    "name": finding.name, "severity": finding.severity, "what": finding.what,
                    "action": finding.action,
                })
            });
            findings.collect()
        };
        let devices = self.devices.iter().map(|device| {
            let measured = device.measured.iter().map(|measured| match &measured.figure {
                Ok(figure) => json!({
                    "probe": figure.name, "rate": figure.rate, "unit": figure.unit, "profile": figure.profile,
                    "through": figure.through,
                }),
                Err(reason) => json!({"probe": measured.probe.name(), "not_measured": reason.to_string()}),
            });
            json!({
                "gpu": device.identity.index, "uuid": device.identity.uuid, "model": device.identity.model,
                "healthy": !device.is_ill(), "measured": measured.collect::<Vec<Value>>(),
                "findings": findings(&device.findings),
            })
        });
        let others = self.others.iter().map(|(subject, finding)| {
            json!({"subject": subject, "findings": findings(std::slice::from_ref(finding))})
        });
        json!({
            "schema": "check/1", "node": self.node, "origin": self.origin, "healthy": self.is_healthy(),
            "profile": self.profile, "devices": devices.collect::<Vec<Value>>(),
            "others": others.collect::<Vec<Value>>(), "absent": self.absent, "drain": self.drain(),
            "condition": self.condition(),
        })
    }

    /// A condition of the node: `kubectl patch node NODE --subresource=status -p '{"status":{"conditions":[…]}}'`.
    fn condition(&self) -> Value {
        let (status, reason) = match self.is_healthy() {
            Some(true) => ("True", "DevicesAreHealthy"),
            Some(false) => ("False", "DevicesAreIll"),
            None => ("Unknown", "NoDeviceWasRead"),
        };
        let nanos = i128::from(self.at.as_millis()) * 1_000_000;
        let at = OffsetDateTime::from_unix_timestamp_nanos(nanos)
            .ok()
            .and_then(|at| {
                // Kubernetes has whole seconds.
                at.replace_nanosecond(0).ok()?.format(&Rfc3339).ok()
            });
        let message = self.drain().map_or_else(
            || format!("{} devices", self.devices.len()),
            |drain| drain.split('"').nth(1).unwrap_or_default().to_owned(),
        );
        json!({
            "type": "OrreryDevicesHealthy", "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": at, "lastTransitionTime": at,
        })
    }
}

fn push(text: &mut String, more: &str) {
    write!(text, "{more}").expect("a string takes every text");
}
