//! Network ports: down, with errors, or sending again.

use super::super::history::{History, NicHistory};
use super::super::hysteresis::{Findings, Symptom};
use super::super::statistics::median;
use super::super::{Evidence, NicState, Rule, Severity, Subject};
use super::{Context, symptom, symptom_if};
use crate::UnixTime;

pub(super) fn look(context: &Context<'_>, history: &mut History, findings: &mut Findings<'_>) {
    let at = context.frame.at;
    let mut rates = Vec::new();
    for nic in &context.frame.nics {
        let Some(history) = history.nics.get_mut(&(nic.node.clone(), nic.port.clone())) else {
            continue;
        };
        let subject = Subject::Nic {
            node: nic.node.clone(),
            port: nic.port.clone(),
        };
        if let Some(symptom) = down(nic, history) {
            findings.say(Rule::NicDown, &subject, symptom);
        }
        let most = context.thresholds().nic_errors.get();
        if let Some(symptom) = errors(nic, history, at, most) {
            findings.say(Rule::NicErrors, &subject, symptom);
        }
        let rate = nic
            .retransmits
            .and_then(|count| history.retransmits.hear(at, count));
        history.retransmits_now = rate;
        rates.extend(rate.map(|rate| (subject, rate)));
    }
    let thresholds = context.thresholds();
    // A network that is full sends again everywhere; a port that is ill does so alone.
    let usual = median(rates.iter().map(|&(_, rate)| rate)).unwrap_or(0.0);
    let most = (thresholds.nic_retransmits_multiple.get() * usual).max(thresholds.nic_retransmits.get());
    for (subject, rate) in rates {
        let symptom = symptom_if(rate > most, || {
            symptom(
                Severity::Warning,
                format!("sends {rate:.0} packets a second again, the median port {usual:.0}"),
                [Evidence::new("retransmits per second", rate, "1/s").against(most)],
                "look at the cable, the transceiver and the switch port (`ethtool -m`, `mlxlink`), and at the switch's \
                 congestion counters",
            )
        });
        findings.say(Rule::NicRetransmits, &subject, symptom);
    }
}

/// A port that was never up has no cable, and that is no news.
fn down(nic: &NicState, history: &mut NicHistory) -> Option<Option<Symptom>> {
    let is_up = nic.is_up?;
    history.was_up |= is_up;
    Some(symptom_if(!is_up && history.was_up, || {
        symptom(
            Severity::Critical,
            "the link is down".to_owned(),
            [Evidence::new("links up", 0.0, "1").against(1.0)],
            "look at the cable, the transceiver and the switch port; jobs on this node lose a rail",
        )
    }))
}

fn errors(nic: &NicState, history: &mut NicHistory, at: UnixTime, most: f64) -> Option<Option<Symptom>> {
    let rate = 60.0 * history.errors.hear(at, nic.errors?)?;
    Some(symptom_if(rate > most, || {
        symptom(
            Severity::Warning,
            format!("the link has {rate:.1} errors a minute"),
            [Evidence::new("link errors per minute", rate, "1").against(most)],
            "clean or replace the cable or the transceiver; see `mlxlink` for which lane it is",
        )
    }))
}
