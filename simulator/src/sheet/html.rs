//! The sheet as one HTML file: no script, no other file, light and dark, and on paper.

use std::fmt::Write as _;

use orrery_report::render::escape_html as escape;
use orrery_units::Bytes;

use super::{Sheet, percent};
use crate::stages::StagesFigure;

const STYLE: &str = include_str!("style.css");
/// Hues of Okabe and Ito, told apart by colour-blind readers.
const HUES: [&str; 8] = [
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#8c6bb1", "#909090",
];

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
    if let Some(words) = sheet.partial_note() {
        put!(page, "<p class=\"bad\">{}</p>\n", escape(&words));
    }
    put!(page, "<p class=\"verdict\">{}</p>\n", escape(&sheet.verdict));
    if !sheet.waiting.is_empty() {
        put!(page, "<p>{}</p>\n", escape(&sheet.waiting));
    }
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
    if let Some(words) = sheet.interval_note() {
        put!(page, "<p class=\"soft\">{words}</p>\n");
    }
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
            "<div class=\"bar\"><span>{}</span><em><u style=\"width:{:.2}%\"></u></em><b>{}</b></div>\n",
            escape(&part.label),
            part.share / most * 100.0,
            escape(&part.words())
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
            "<div class=\"bar swing\"><span>{}</span><em>{}{}</em><b>{}</b></div>\n",
            escape(&swing.label),
            part(swing.more, "more"),
            part(swing.less, "less"),
            swing.words()
        );
    }
    page.push_str("</section>\n");
}

fn memory(page: &mut String, sheet: &Sheet) {
    let figure = StagesFigure::of_sheet(sheet);
    if figure.bars.is_empty() {
        return;
    }
    page.push_str("<section><h2>Memory at the peak of each stage</h2>\n");
    let hue = |cause: usize| HUES[cause.min(HUES.len() - 1)];
    for bar in &figure.bars {
        put!(
            page,
            "<div class=\"bar stack\"><span>{}</span><em>",
            escape(&bar.label)
        );
        for part in &bar.parts {
            let bytes = part.to - part.from;
            put!(
                page,
                "<u style=\"width:{:.2}%;background:{}\" title=\"{} {}\"></u>",
                figure.share(bytes) * 100.0,
                hue(part.cause),
                escape(&figure.causes[part.cause]),
                Bytes::from_f64(bytes)
            );
        }
        if figure.capacity > 0.0 {
            let limit = figure.share(figure.capacity) * 100.0;
            put!(page, "<s style=\"left:{limit:.2}%\"></s>");
        }
        put!(page, "</em><b>{}</b></div>\n", Bytes::from_f64(bar.bytes));
    }
    let notes: Vec<String> = figure
        .left_out()
        .into_iter()
        .chain(sheet.capacity_note())
        .collect();
    if !notes.is_empty() {
        put!(page, "<p class=\"soft\">{}</p>\n", notes.join(" · "));
    }
    page.push_str("<table class=\"numbers\">\n<tr><td></td>");
    for (at, cause) in figure.causes.iter().enumerate() {
        put!(
            page,
            "<td><i class=\"key\" style=\"background:{}\"></i>{}</td>",
            hue(at),
            escape(cause)
        );
    }
    page.push_str("</tr>\n");
    for bar in &figure.bars {
        put!(page, "<tr><td>{}</td>", escape(&bar.label));
        for words in figure.cells(bar) {
            put!(page, "<td>{words}</td>");
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table>\n</section>\n");
}

fn expected(page: &mut String, sheet: &Sheet) {
    if sheet.expected.is_empty() {
        return;
    }
    page.push_str("<section><h2>Expectations</h2>\n<table>\n");
    for expected in &sheet.expected {
        let class = if expected.pass { "good" } else { "bad" };
        put!(
            page,
            "<tr><td class=\"{class}\">{}</td><td>{}</td><td><code>{}</code><br>{}</td></tr>\n",
            expected.word(),
            escape(&expected.id),
            escape(&expected.check),
            escape(&expected.words())
        );
    }
    page.push_str("</table>\n</section>\n");
}

fn origin(page: &mut String, sheet: &Sheet) {
    page.push_str("<section><h2>What it rests on</h2>\n<table>\n");
    for (evidence, share) in &sheet.provenance {
        put!(
            page,
            "<tr><td>{}</td><td>of simulated time is {}</td></tr>\n",
            percent(*share),
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
        "<section><details open><summary>{}</summary>\n<table>\n",
        sheet.assumptions_title()
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
