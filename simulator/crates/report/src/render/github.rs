//! Workflow commands of GitHub Actions: annotations on the line of the check that failed.

use std::fmt::Write as _;

use crate::{Check, Judged, Level};

/// GitHub shows ten annotations of a kind per step; the worst come first and the rest are counted.
const MOST: usize = 10;

/// Annotations for the failed checks of `reports`, errors first, the furthest beyond its bound first.
#[must_use]
pub fn github<'a>(reports: impl IntoIterator<Item = impl Into<Judged<'a>>>) -> String {
    let reports: Vec<Judged<'a>> = reports.into_iter().map(Into::into).collect();
    let mut out = String::new();
    for (level, command) in [(Level::Error, "error"), (Level::Warn, "warning")] {
        let mut failed: Vec<(&Judged<'_>, &Check)> = reports
            .iter()
            .flat_map(|report| report.checks.iter().map(move |check| (report, check)))
            .filter(|(_, check)| check.failed() && check.level == level)
            .collect();
        failed.sort_by(|(_, a), (_, b)| distance(b).total_cmp(&distance(a)));
        let hidden = failed.len().saturating_sub(MOST);
        failed.truncate(MOST);
        let last = failed.len().saturating_sub(1);
        for (at, (report, check)) in failed.iter().enumerate() {
            let more = match hidden {
                0 => String::new(),
                _ if at < last => String::new(),
                _ => format!(" (and {hidden} more)"),
            };
            annotate(&mut out, command, report, check, &more);
        }
    }
    out
}

/// No data is further off than any number.
fn distance(check: &Check) -> f64 {
    check.excess().map_or(f64::INFINITY, f64::abs)
}

fn annotate(out: &mut String, command: &str, report: &Judged<'_>, check: &Check, more: &str) {
    let why = check
        .why
        .as_ref()
        .map(|why| format!("\n{why}"))
        .unwrap_or_default();
    let title = format!("{}: {}", report.identity.scenario, check.id);
    let message = format!("{} {}{why}{more}", check.text, check.outcome());
    writeln!(
        out,
        "::{command} file={},line={},title={}::{}",
        property(&check.file),
        check.line,
        property(&title),
        data(&message)
    )
    .expect("writing to a string cannot fail");
}

/// Escapes the text of a command, as the runner's own toolkit does.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes a property of a command: the same, and what separates properties.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
