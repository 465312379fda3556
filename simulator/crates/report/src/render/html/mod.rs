//! One HTML file: figures, pictures, checks, assumptions; no script, no other file, light and dark.

mod balancing;
mod network;
mod picture;
mod why;

use std::fmt::Write as _;

use orrery_units::Bytes;

use super::headline::{headlines, percent};
use crate::{Assumption, Check, Identity, Report, State, Verdict};

pub use balancing::balancing_html;

const STYLE: &str = include_str!("style.css");

/// The report as a page that opens anywhere, now and in ten years.
#[must_use]
pub fn html(report: &Report) -> String {
    let who = &report.facts.identity;
    let title = if who.title.is_empty() {
        &who.scenario
    } else {
        &who.title
    };
    let mut page = begin(title);
    header(&mut page, report, title);
    cards(&mut page, report);
    checks(&mut page, &report.checks);
    step(&mut page, report);
    why::section(&mut page, report);
    memory(&mut page, report);
    ranks(&mut page, report);
    network::section(&mut page, report);
    let who = &report.facts.identity;
    provenance(&mut page, report.provenance, &who.profile_sources);
    figures(&mut page, report);
    if !report.facts.identity.is_recorded() {
        assumptions(&mut page, &report.facts.assumptions);
    }
    put(&mut page, "</main>\n</body>\n</html>\n");
    page
}

/// A page up to its contents.
fn begin(title: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n",
        escape(title)
    )
}

fn put(page: &mut String, text: &str) {
    page.push_str(text);
}

/// Text that is safe between tags and in attributes.
#[must_use]
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

fn row(page: &mut String, cells: &[&str]) {
    put(page, "<tr>");
    for cell in cells {
        write!(page, "<td>{}</td>", escape(cell)).expect("writing to a string cannot fail");
    }
    put(page, "</tr>\n");
}

fn table(page: &mut String, class: &str, header: &[&str]) {
    write!(
        page,
        "<div class=\"scroll\"><table class=\"{class}\">\n<thead><tr>"
    )
    .expect("writing to a string cannot fail");
    for cell in header {
        write!(page, "<th>{}</th>", escape(cell)).expect("writing to a string cannot fail");
    }
    put(page, "</tr></thead>\n<tbody>\n");
}

const TABLE_END: &str = "</tbody></table></div>\n";

fn header(page: &mut String, report: &Report, title: &str) {
    let who = &report.facts.identity;
    put(page, &format!("<header><h1>{}</h1>\n", escape(title)));
    let facts = [&who.model, &who.cluster, &who.layout];
    let facts: Vec<String> = facts
        .into_iter()
        .filter(|f| !f.is_empty())
        .map(|f| escape(f))
        .collect();
    put(page, &format!("<p class=\"facts\">{}</p>\n", facts.join(" · ")));
    if let Some(reason) = &report.partial {
        put(
            page,
            &format!("<p class=\"partial\">Partial result: {}.</p>\n", escape(reason)),
        );
    }
    put(
        page,
        &format!("<p class=\"verdict\">{}</p>\n", escape(&report.verdict)),
    );
    put(
        page,
        &format!("<p class=\"small\">{}</p></header>\n", source(who)),
    );
}

/// What the run is of, and which program read or simulated it.
fn source(who: &Identity) -> String {
    let (scenario, version) = (escape(&who.scenario), escape(&who.version));
    if who.is_recorded() {
        return format!("recorded, not simulated · recording {scenario} · read by orrery {version}");
    }
    format!(
        "simulated, not measured · scenario {scenario} · hash {} · seed {} · profile {} · orrery {version}",
        escape(&who.hash.chars().take(12).collect::<String>()),
        who.seed,
        escape(&who.profile),
    )
}

fn cards(page: &mut String, report: &Report) {
    const SHOWN: [&str; 6] = [
        "train.step_time.mean",
        "train.tokens_per_gpu_s.mean",
        "train.mfu.mean",
        "mem.hbm_peak.max",
        "train.bubble_ratio.mean",
        "cost.per_mtok.mean",
    ];
    put(page, "<section class=\"cards\">\n");
    for headline in headlines(report) {
        if SHOWN.contains(&headline.key) {
            put(
                page,
                &format!(
                    "<div class=\"card\"><b>{}</b><span>{}</span><i>{}</i></div>\n",
                    escape(&headline.value),
                    escape(headline.label),
                    escape(&headline.interval)
                ),
            );
        }
    }
    put(page, "</section>\n");
}

fn checks(page: &mut String, checks: &[Check]) {
    if checks.is_empty() {
        return;
    }
    put(page, "<section><h2>Expectations</h2>\n");
    table(page, "checks", &["", "id", "check", "outcome", "why"]);
    for check in checks {
        let class = check.verdict.name();
        put(page, &format!("<tr class=\"{class} {}\">", check.level.name()));
        let outcome = check.outcome();
        let why = check.why.as_deref().unwrap_or_default();
        for cell in [mark(check), &check.id, &check.text, &outcome, why] {
            put(page, &format!("<td>{}</td>", escape(cell)));
        }
        put(page, "</tr>\n");
    }
    put(page, TABLE_END);
    put(page, "</section>\n");
}

const fn mark(check: &Check) -> &'static str {
    match check.verdict {
        Verdict::Pass => "✓",
        Verdict::Fail | Verdict::NoData | Verdict::NoBaseline => "✗",
        Verdict::Skipped => "-",
    }
}

fn step(page: &mut String, report: &Report) {
    put(page, "<section><h2>Where the mean step goes</h2>\n");
    put(page, &picture::step(report));
    table(page, "numbers", &["state", "time", "share"]);
    for state in State::ALL {
        if report.breakdown.picos(state) == 0 {
            continue;
        }
        let time = orrery_units::SimDuration::from_secs(report.breakdown.seconds(state));
        row(
            page,
            &[
                state.title(),
                &time.to_string(),
                &percent(report.breakdown.share(state)),
            ],
        );
    }
    put(page, TABLE_END);
    put(page, "</section>\n");
}

fn memory(page: &mut String, report: &Report) {
    let Some(peak) = report.memory.peak() else {
        return;
    };
    let fits = if report.memory.fits() {
        "fits"
    } else {
        "does not fit"
    };
    put(page, "<section><h2>Memory at the peak of each stage</h2>\n");
    put(
        page,
        &format!(
            "<p>The plan {fits}: {} of {} on {} of {}, in step {} at {}.</p>\n",
            peak.bytes,
            report.memory.capacity,
            escape(&peak.rank),
            escape(&peak.stage),
            peak.step,
            peak.at
        ),
    );
    put(page, &picture::memory(report));
    let mut header = vec!["stage", "rank", "peak"];
    header.extend(report.memory.causes.iter().map(String::as_str));
    table(page, "numbers", &header);
    for stage in &report.memory.stages {
        let mut cells = vec![stage.stage.clone(), stage.rank.clone(), stage.bytes.to_string()];
        cells.extend(stage.by_cause.iter().map(Bytes::to_string));
        let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
        row(page, &cells);
    }
    put(page, TABLE_END);
    put(page, "</section>\n");
}

fn ranks(page: &mut String, report: &Report) {
    if report.ranks.loads.len() < 2 {
        return;
    }
    put(page, "<section><h2>Ranks</h2>\n");
    put(
        page,
        "<p>Compute and waiting for peers in the mean step, rank by rank.</p>\n",
    );
    put(page, &picture::ranks(report));
    if let Some(waited) = report.ranks.waited_for() {
        put(page, &format!("<p>{}</p>\n", escape(&waited.sentence())));
    }
    let blamed = report.ranks.blamed(10);
    if !blamed.is_empty() {
        let all = report.ranks.caused_wait();
        put(page, "<h3>Who made others wait</h3>\n");
        table(page, "numbers", &["rank", "stage", "wait caused a step", "share"]);
        for rank in blamed {
            let wait = orrery_units::SimDuration::from_secs(rank.caused_wait).to_string();
            row(
                page,
                &[&rank.name, &rank.stage, &wait, &percent(rank.caused_wait / all)],
            );
        }
        put(page, TABLE_END);
    }
    put(page, "</section>\n");
}

fn provenance(page: &mut String, shares: Option<[f64; 4]>, sources: &[String]) {
    let Some(shares) = shares else {
        return;
    };
    put(page, "<section><h2>What the time rests on</h2>\n");
    put(page, &picture::provenance(shares));
    put(page, &format!("<p>{}.</p>\n", super::text::rests_on(shares)));
    if !sources.is_empty() {
        put(page, "<ul>\n");
        for source in sources {
            put(page, &format!("<li>{}</li>\n", escape(source)));
        }
        put(page, "</ul>\n");
    }
    put(page, "</section>\n");
}

fn figures(page: &mut String, report: &Report) {
    put(page, "<section><h2>Figures</h2>\n");
    table(page, "numbers", &["figure", "value", "80 % interval", "key"]);
    for headline in headlines(report) {
        row(
            page,
            &[headline.label, &headline.value, &headline.interval, headline.key],
        );
    }
    put(page, TABLE_END);
    put(page, "</section>\n");
}

fn assumptions(page: &mut String, assumptions: &[Assumption]) {
    put(page, "<section><h2>What the scenario did not say</h2>\n");
    if assumptions.is_empty() {
        put(page, "<p>Nothing: every key was given.</p></section>\n");
        return;
    }
    table(page, "", &["key", "value taken", "why"]);
    for assumption in assumptions {
        row(page, &[&assumption.key, &assumption.value, &assumption.reason]);
    }
    put(page, TABLE_END);
    put(page, "</section>\n");
}
