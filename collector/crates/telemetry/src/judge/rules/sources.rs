//! Sources that fell silent, and samples that were lost on the way.

use super::super::history::History;
use super::super::hysteresis::Findings;
use super::super::{Evidence, Rule, Severity, Subject};
use super::{Context, symptom, symptom_if};

/// Samples lost a second that are no news: two a minute.
const MOST_DROPS: f64 = 2.0 / 60.0;

pub(super) fn look(context: &Context<'_>, history: &mut History, findings: &mut Findings<'_>) {
    for source in &context.frame.sources {
        let Some(history) = history.sources.get_mut(&source.name) else {
            continue;
        };
        let subject = Subject::Source {
            source: source.name.clone(),
        };
        // One that never gave anything is no news: this machine has no such devices.
        if source.is_up() {
            history.was_up = true;
        }
        if history.was_up {
            let symptom = symptom_if(!source.is_up(), || {
                let action = match source.remedy.as_str() {
                    "" => "see `orrery-collector doctor`",
                    remedy => remedy,
                };
                symptom(
                    Severity::Critical,
                    format!("gives no samples any more: {}", source.reason),
                    [Evidence::new("samples", 0.0, "1")],
                    action,
                )
            });
            findings.say(Rule::SourceSilent, &subject, symptom);
        }
        if let Some(rate) = history.dropped.hear(context.frame.at, source.dropped) {
            let symptom = symptom_if(rate > MOST_DROPS, || {
                symptom(
                    Severity::Warning,
                    "samples are lost on the way, because the collector is too slow".to_owned(),
                    [Evidence::new("samples lost per second", rate, "1/s").against(MOST_DROPS)],
                    "sample less often (`--interval`), or give the collector more of a core",
                )
            });
            findings.say(Rule::SourceDrops, &subject, symptom);
        }
    }
}
