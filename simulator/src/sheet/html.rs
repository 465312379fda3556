//! The sheet as one HTML file: no script, no other file, light and dark, and on paper.

use std::fmt::Write as _;

use orrery_report::render::escape_html as escape;
use orrery_units::{Bytes, significant};

use super::{Sheet, Stage};

const STYLE: &str = include_str!("style.css");
/// Hues of Okabe and Ito, told apart by colour-blind readers.
const HUES: [&str; 8] = [
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#8c6bb1", "#909090",
];
/// Stages that are drawn at most: of more, the fullest.
const MOST_STAGES: usize = 16;

/// The page of `sheet`.
pub(super) fn page(sheet: &Sheet) -> String {
    let title = escape(&sheet.title);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n"
    );
    head(&mut page, sheet);
    figures(&mut page, sheet);
    page.push_str("<div class=\"pair\">\n");
    causes(&mut page, sheet);
    swings(&mut page, sheet);
    page.push_str("</div>\n");
    memory(&mut page, sheet);
    page.push_str("<div class=\"pair\">\n");
    expected(&mut page, sheet);
    origin(&mut page, sheet);
    page.push_str("</div>\n");
    assumptions(&mut page, sheet);
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

macro_rules! put {
    ($page:expr, $($words:tt)*) => {
        write!($page, $($words)*).expect("writing to a string cannot fail")
    };
}

fn head(page: &mut String, sheet: &Sheet) {
    put!(
        page,
        "<header><p class=\"mark\">{}</p>\n<h1>{}</h1>\n",
        sheet.mark(),
        escape(&sheet.title)
    );
    for (name, words) in &sheet.subject {
        put!(page, "<p class=\"subject\"><b>{name}</b> {}</p>\n", escape(words));
    }
    if let Some(why) = &sheet.partial {
        put!(page, "<p class=\"bad\">Partial results: {}</p>\n", escape(why));
    }
    put!(page, "<p class=\"verdict\">{}</p>\n", escape(&sheet.verdict));
    for line in sheet.memo.lines().filter(|line| !line.trim().is_empty()) {
        put!(page, "<p class=\"memo\">{}</p>\n", escape(line));
    }
    page.push_str("</header>\n");
}

fn figures(page: &mut String, sheet: &Sheet) {
    page.push_str("<section class=\"cards\">\n");
    for figure in &sheet.figures {
        put!(
            page,
            "<div><span>{}</span><b>{}</b><i>{}</i></div>\n",
            escape(&figure.label),
            escape(&figure.shown),
            escape(&figure.interval)
        );
    }
    page.push_str("</section>\n");
}

fn causes(page: &mut String, sheet: &Sheet) {
    if sheet.causes.is_empty() {
        return;
    }
    page.push_str("<section><h2>Where the mean step goes</h2>\n");
    let most = sheet.causes.iter().map(|part| part.share).fold(0.0, f64::max);
    for part in &sheet.causes {
        put!(
            page,
            "<div class=\"bar\"><span>{}</span><em><u style=\"width:{:.2}%\"></u></em><b>{} · {} %</b></div>\n",
            escape(&part.label),
            part.share / most * 100.0,
            escape(&part.shown),
            significant(part.share * 100.0, 3)
        );
    }
    page.push_str("</section>\n");
}

fn swings(page: &mut String, sheet: &Sheet) {
    if sheet.swings.is_empty() {
        return;
    }
    put!(
        page,
        "<section><h2>What decides the step</h2>\n<p class=\"soft\">{}</p>\n",
        escape(&sheet.swings_note)
    );
    let widest = sheet
        .swings
        .iter()
        .flat_map(|swing| [swing.more.abs(), swing.less.abs()])
        .fold(1e-9, f64::max);
    let half = |share: f64| share.abs() / widest * 50.0;
    for swing in &sheet.swings {
        let part = |share: f64, class: &str| {
            let left = if share < 0.0 { 50.0 - half(share) } else { 50.0 };
            format!(
                "<u class=\"{class}\" style=\"left:{left:.2}%;width:{:.2}%\"></u>",
                half(share)
            )
        };
        put!(
            page,
            "<div class=\"bar swing\"><span>{}</span><em>{}{}</em><b>{:+.1} % / {:+.1} %</b></div>\n",
            escape(&swing.label),
            part(swing.more, "more"),
            part(swing.less, "less"),
            swing.more * 100.0,
            swing.less * 100.0
        );
    }
    page.push_str("</section>\n");
}

/// The stages that are drawn.
pub(super) fn drawn(sheet: &Sheet) -> Vec<&Stage> {
    let mut stages: Vec<(usize, &Stage)> = sheet.memory.iter().enumerate().collect();
    if stages.len() > MOST_STAGES {
        stages.sort_by(|a, b| b.1.bytes.total_cmp(&a.1.bytes).then(a.0.cmp(&b.0)));
        stages.truncate(MOST_STAGES);
        stages.sort_by_key(|(at, _)| *at);
    }
    stages.into_iter().map(|(_, stage)| stage).collect()
}

/// Every cause of memory, the largest of all stages first.
pub(super) fn memory_causes(sheet: &Sheet) -> Vec<&str> {
    let mut sums: Vec<(&str, f64)> = Vec::new();
    for part in sheet.memory.iter().flat_map(|stage| &stage.parts) {
        match sums.iter_mut().find(|(label, _)| *label == part.label) {
            Some((_, sum)) => *sum += part.value,
            None => sums.push((&part.label, part.value)),
        }
    }
    sums.sort_by(|a, b| b.1.total_cmp(&a.1));
    sums.into_iter().map(|(label, _)| label).collect()
}

fn memory(page: &mut String, sheet: &Sheet) {
    let stages = drawn(sheet);
    if stages.is_empty() {
        return;
    }
    page.push_str("<section><h2>Memory at the peak of each stage</h2>\n");
    let causes = memory_causes(sheet);
    let most = stages
        .iter()
        .map(|stage| stage.bytes)
        .fold(sheet.capacity, f64::max)
        .max(1.0);
    let hue = |label: &str| {
        let at = causes.iter().position(|cause| *cause == label).unwrap_or(0);
        HUES[at.min(HUES.len() - 1)]
    };
    for stage in &stages {
        put!(
            page,
            "<div class=\"bar stack\"><span>{}</span><em>",
            escape(&stage.label)
        );
        for cause in &causes {
            if let Some(part) = stage.parts.iter().find(|part| part.label == *cause) {
                put!(
                    page,
                    "<u style=\"width:{:.2}%;background:{}\" title=\"{} {}\"></u>",
                    part.value / most * 100.0,
                    hue(cause),
                    escape(cause),
                    escape(&part.shown)
                );
            }
        }
        if sheet.capacity > 0.0 {
            put!(
                page,
                "<s style=\"left:{:.2}%\"></s>",
                sheet.capacity / most * 100.0
            );
        }
        put!(page, "</em><b>{}</b></div>\n", Bytes::from_f64(stage.bytes));
    }
    page.push_str("<p class=\"soft\">");
    for cause in &causes {
        put!(
            page,
            "<i class=\"key\" style=\"background:{}\"></i>{} ",
            hue(cause),
            escape(cause)
        );
    }
    if sheet.memory.len() > stages.len() {
        put!(
            page,
            "· the {} fullest of {} stages ",
            stages.len(),
            sheet.memory.len()
        );
    }
    page.push_str("· the line is the memory of a device</p>\n</section>\n");
}

fn expected(page: &mut String, sheet: &Sheet) {
    if sheet.expected.is_empty() {
        return;
    }
    page.push_str("<section><h2>Expectations</h2>\n<table>\n");
    for expected in &sheet.expected {
        let (class, word) = if expected.pass {
            ("good", "holds")
        } else {
            ("bad", "fails")
        };
        put!(
            page,
            "<tr><td class=\"{class}\">{word}</td><td>{}</td><td><code>{}</code></td></tr>\n",
            escape(&expected.id),
            escape(&expected.check)
        );
    }
    page.push_str("</table>\n</section>\n");
}

fn origin(page: &mut String, sheet: &Sheet) {
    page.push_str("<section><h2>What it rests on</h2>\n<table>\n");
    for (evidence, share) in &sheet.provenance {
        put!(
            page,
            "<tr><td>{} %</td><td>of simulated time is {}</td></tr>\n",
            significant(share * 100.0, 3),
            escape(evidence)
        );
    }
    for (name, words) in &sheet.origin {
        put!(page, "<tr><td>{name}</td><td>{}</td></tr>\n", escape(words));
    }
    page.push_str("</table>\n</section>\n");
}

fn assumptions(page: &mut String, sheet: &Sheet) {
    if sheet.assumptions.is_empty() {
        return;
    }
    put!(
        page,
        "<section><details><summary>{} keys that the scenario did not say</summary>\n<table>\n",
        sheet.assumptions.len()
    );
    for [key, value, reason] in &sheet.assumptions {
        put!(
            page,
            "<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>\n",
            escape(key),
            escape(value),
            escape(reason)
        );
    }
    page.push_str("</table></details>\n</section>\n");
}
