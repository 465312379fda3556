//! Why the step takes as long as it does: causes, critical path and phases, as tables.

use orrery_units::SimDuration;

use super::{TABLE_END, put, row, table};
use crate::render::percent;
use crate::{Phase, RankPhases, Report};

/// Kinds of the critical path that are listed.
const LISTED: usize = 24;

/// The mean step by cause; critical path and phases where they are known.
pub(super) fn section(page: &mut String, report: &Report) {
    let step = report.waterfall.step().as_secs();
    if step <= 0.0 {
        return;
    }
    put(page, "<section><h2>Why the step takes as long as it does</h2>\n");
    table(page, "numbers", &["cause", "time", "share of the step"]);
    for (cause, time) in report.waterfall.bars() {
        row(
            page,
            &[cause.title(), &time.to_string(), &percent(time.as_secs() / step)],
        );
    }
    row(page, &["the step", &report.waterfall.step().to_string(), ""]);
    put(page, TABLE_END);
    path(page, report);
    phases(page, report);
    put(page, "</section>\n");
}

fn path(page: &mut String, report: &Report) {
    let Some(why) = &report.why else { return };
    let path = &why.critical_path;
    let step = path.length().as_secs().max(f64::MIN_POSITIVE);
    put(
        page,
        &format!(
            "<h3>Critical path of the last step</h3>\n<p class=\"small\">{} activities, each released by the end of \
             the one before; {} changes of rank.</p>\n",
            path.pieces().len(),
            path.hops()
        ),
    );
    table(
        page,
        "numbers",
        &[
            "kind",
            "activities",
            "time",
            "share of the step",
            "of it slowed by overlap",
        ],
    );
    for kind in path.by_kind(&report.facts).iter().take(LISTED) {
        let slowed = if kind.slowed.is_zero() {
            String::new()
        } else {
            kind.slowed.to_string()
        };
        let share = percent(kind.time.as_secs() / step);
        row(
            page,
            &[
                &kind.name,
                &kind.pieces.to_string(),
                &kind.time.to_string(),
                &share,
                &slowed,
            ],
        );
    }
    put(page, TABLE_END);
}

fn phases(page: &mut String, report: &Report) {
    let Some(why) = report.why.as_ref().filter(|why| !why.phases.is_empty()) else {
        return;
    };
    put(page, "<h3>The last step by phases of its schedule</h3>\n");
    table(page, "numbers", &["phase", "mean of all ranks"]);
    for (phase, seconds) in Phase::ALL.into_iter().zip(RankPhases::mean(&why.phases)) {
        if seconds > 0.0 {
            row(
                page,
                &[phase.title(), &SimDuration::from_secs(seconds).to_string()],
            );
        }
    }
    put(page, TABLE_END);
}
