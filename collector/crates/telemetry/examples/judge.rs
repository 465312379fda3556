//! Prints the catalogue of faults: how each is found on the made-up cluster, how soon, and what was said beside it.
//!
//! `cargo run --release -p orrery-telemetry --example judge [SEED]`

use std::io::{self, Write as _};
use std::process::ExitCode;

use orrery_telemetry::demo::{Course, catalogue};
use orrery_telemetry::judge::Rules;
use orrery_units::{Seed, SimDuration};

/// Frames of the course.
const INTERVAL_SECS: f64 = 30.0;
const WARM_UP_HOURS: f64 = 2.5;
const FAULT_HOURS: f64 = 4.0;
const WEEK_HOURS: f64 = 168.0;

fn hours(hours: f64) -> SimDuration {
    SimDuration::from_secs(3600.0 * hours)
}

fn main() -> io::Result<ExitCode> {
    let seed = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(11);
    let mut out = io::stdout().lock();
    let interval = SimDuration::from_secs(INTERVAL_SECS);
    let course = |time| Course::new(Seed::new(seed), interval, time, Rules::default());
    let week = course(hours(WEEK_HOURS));
    writeln!(
        out,
        "DEMO cluster, seed {seed}, a frame every {INTERVAL_SECS} s\nhealthy week: {} alerts\n",
        week.false_alarms.len()
    )?;
    writeln!(
        out,
        "{:<24}{:<22}{:>9}  {:<8}{:>6}  what",
        "fault", "alert", "delay", "cleared", "false"
    )?;
    let warm = course(hours(WARM_UP_HOURS));
    let mut num_missed = 0;
    for case in catalogue() {
        let outcome = warm.clone().judge(&case, hours(FAULT_HOURS));
        let delay = outcome
            .delay
            .map_or_else(|| "never".to_owned(), |delay| format!("{:.0} s", delay.as_secs()));
        let what = outcome
            .alert
            .as_ref()
            .map_or("NOT FOUND", |alert| alert.what.as_str());
        let cleared = if outcome.is_cleared { "yes" } else { "no" };
        writeln!(
            out,
            "{:<24}{:<22}{delay:>9}  {cleared:<8}{:>6}  {}: {what}",
            format!("{:?}", case.fault.kind),
            case.rule.name(),
            outcome.false_alarms.len(),
            case.subject
        )?;
        num_missed += u32::from(outcome.alert.is_none() || !outcome.false_alarms.is_empty());
    }
    Ok(if num_missed == 0 && week.false_alarms.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
