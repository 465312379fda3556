//! JUnit XML: a suite per scenario, a case per expectation.

use quick_junit::{NonSuccessKind, Property, TestCase, TestCaseStatus, TestSuite};

use crate::{Check, Judged, Level, Verdict};

/// `reports` as one JUnit document. It holds no time stamp and no wall clock.
#[must_use]
pub fn junit<'a>(reports: impl IntoIterator<Item = impl Into<Judged<'a>>>) -> String {
    let mut document = quick_junit::Report::new("orrery");
    for report in reports {
        document.add_test_suite(suite(&report.into()));
    }
    document
        .to_string()
        .expect("names and figures are valid XML text once escaped")
}

fn suite(report: &Judged<'_>) -> TestSuite {
    let mut suite = TestSuite::new(report.identity.scenario.as_str());
    for key in &report.headlines {
        if let Some(value) = report.metrics.get(key) {
            suite.add_property(Property::new(key, value.to_string()));
        }
    }
    for check in report.checks {
        suite.add_test_case(case(check, report));
    }
    suite
}

fn case(check: &Check, report: &Judged<'_>) -> TestCase {
    let status = match (check.verdict, check.level) {
        (Verdict::Skipped, _) => TestCaseStatus::skipped(),
        (Verdict::Fail | Verdict::NoData | Verdict::NoBaseline, Level::Error) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(check.outcome());
            status.set_description(failure(check, report));
            status
        }
        // A warning never fails a run, in no look.
        _ => TestCaseStatus::success(),
    };
    let mut case = TestCase::new(check.id.as_str(), status);
    case.set_classname(report.identity.scenario.as_str());
    case.extra.insert("file".into(), check.file.as_str().into());
    case.extra.insert("line".into(), check.line.to_string().into());
    if check.verdict == Verdict::Pass || check.failed() {
        case.set_system_out(format!("{}: {}", check.text, check.outcome()));
    }
    case
}

fn failure(check: &Check, report: &Judged<'_>) -> String {
    let why = check
        .why
        .as_ref()
        .map(|why| format!("\nwhy: {why}"))
        .unwrap_or_default();
    let who = report.identity;
    let again = if who.is_recorded() {
        String::new()
    } else {
        format!("\nreplay: orrery run {} --seed {}", who.file, who.seed)
    };
    format!(
        "{}\n{}{why}\nat {}:{}{again}",
        check.text,
        check.outcome(),
        check.file,
        check.line,
    )
}
