//! The page of a balancing run: loads before and after, imbalance over time, replicas that travelled, who sends to whom.

use orrery_units::with_si_prefix;
use plotters::prelude::*;

use super::picture::{GREY, LEGEND, canvas, colour, key, label, number, pixel, quiet};
use super::{TABLE_END, assumptions, begin, checks, escape, provenance, put, row, table};
use crate::render::balancing::{replications, sweep_title, thinned};
use crate::render::balancing_verdict;
use crate::{BalancingReport, PolicyReport, StepTerms, SweepReport, SweepValue, Worth};

/// Pixels of a heat map.
const WIDTH: f64 = 1020.0;
/// Height of a layer's row, at most and in all.
const ROW: f64 = 6.0;

/// The report as a page that opens anywhere.
#[must_use]
pub fn balancing_html(report: &BalancingReport) -> String {
    let who = &report.identity;
    let title = if who.title.is_empty() {
        &who.scenario
    } else {
        &who.title
    };
    let mut page = begin(title);
    head(&mut page, report, title);
    checks(&mut page, &report.checks);
    figures(&mut page, report);
    if !report.policies.is_empty() {
        over_time(&mut page, report);
        loads(&mut page, report);
        traffic(&mut page, report);
    }
    sweeps(&mut page, report);
    recorded(&mut page, report);
    provenance(&mut page, report.provenance, &report.identity.profile_sources);
    assumptions(&mut page, &report.assumptions);
    put(&mut page, "</main>\n</body>\n</html>\n");
    page
}

fn head(page: &mut String, report: &BalancingReport, title: &str) {
    let who = &report.identity;
    put(page, &format!("<header><h1>{}</h1>\n", escape(title)));
    let facts: Vec<String> = [&who.model, &who.cluster, &who.layout]
        .into_iter()
        .filter(|fact| !fact.is_empty())
        .map(|fact| escape(fact))
        .collect();
    put(page, &format!("<p class=\"facts\">{}</p>\n", facts.join(" · ")));
    if let Some(reason) = &report.partial {
        let reason = escape(reason);
        put(
            page,
            &format!("<p class=\"partial\">Partial result: {reason}.</p>\n"),
        );
    }
    let verdict = escape(&balancing_verdict(report));
    put(page, &format!("<p class=\"verdict\">{verdict}</p>\n"));
    for words in report.worth().iter().map(Worth::sentence) {
        put(page, &format!("<p>{}</p>\n", escape(&words)));
    }
    for words in report.grounds() {
        put(page, &format!("<p class=\"small\">{}</p>\n", escape(&words)));
    }
    for note in &report.notes {
        put(page, &format!("<p class=\"small\">{}</p>\n", escape(note)));
    }
    put(
        page,
        &format!(
            "<p class=\"small\">simulated, not measured · scenario {} · hash {} · seed {} · {} replications · orrery \
             {}</p></header>\n",
            escape(&who.scenario),
            escape(&who.hash.chars().take(12).collect::<String>()),
            who.seed,
            report.replications,
            escape(&who.version)
        ),
    );
}

/// Every metric that names a policy, in its mean.
fn figures(page: &mut String, report: &BalancingReport) {
    put(page, "<section><h2>Figures</h2>\n");
    table(page, "numbers", &["figure", "mean", "80 % interval"]);
    let means = report
        .metrics
        .values()
        .iter()
        .filter(|(key, _)| key.ends_with(".mean"));
    for (key, value) in means {
        let name = key.split(['{', '.']).take(2).collect::<Vec<_>>().join(".");
        let unit = orrery_timeline::find_metric(&name).map_or("", |metric| metric.unit);
        let shown = |value: f64| crate::quantity(value, unit);
        let interval = report
            .metrics
            .interval(key)
            .map_or_else(String::new, |(low, high)| {
                format!("{} to {}", shown(low), shown(high))
            });
        row(page, &[key, &shown(*value), &interval]);
    }
    put(page, TABLE_END);
    if !report.policies.is_empty() {
        put(
            page,
            &format!("<p class=\"small\">{}</p>\n", escape(&replications(report))),
        );
    }
    terms(page, report);
    for policy in &report.policies {
        let about = format!(
            "<p class=\"small\">{}: {}</p>\n",
            escape(&policy.id),
            escape(&policy.about)
        );
        put(page, &about);
    }
    put(page, "</section>\n");
}

/// Why a policy takes the time that it takes: the terms of its mean step.
fn terms(page: &mut String, report: &BalancingReport) {
    if report.policies.is_empty() {
        return;
    }
    put(
        page,
        "<h3>Where a step's time goes</h3>\n<p class=\"small\">Waiting for the slowest device is part of its experts' time; \
         the other terms add up to the step.</p>\n",
    );
    let names = StepTerms::default().named().map(|(name, _)| name);
    let columns: Vec<&str> = ["policy"].into_iter().chain(names).collect();
    table(page, "numbers", &columns);
    for policy in &report.policies {
        let seconds = policy
            .terms
            .named()
            .map(|(_, seconds)| with_si_prefix(seconds, "s"));
        let cells: Vec<&str> = [policy.id.as_str()]
            .into_iter()
            .chain(seconds.iter().map(String::as_str))
            .collect();
        row(page, &cells);
    }
    put(page, TABLE_END);
}

/// Imbalance and time of a layer over steps, plans marked, and the bytes of each plan.
fn over_time(page: &mut String, report: &BalancingReport) {
    put(page, "<section><h2>Over time</h2>\n");
    put(
        page,
        "<p>Largest over mean rows of a device, mean over layers, first replication; ticks on the axis are plans that \
         moved replicas, upright lines are phases.</p>\n",
    );
    put(
        page,
        &lines(report, |policy| thinned(&policy.imbalance), "largest / mean"),
    );
    put(
        page,
        "<p>Time of a layer: dispatch, slowest device, combine.</p>\n",
    );
    let millis = |policy: &PolicyReport| {
        thinned(&policy.layer_time)
            .into_iter()
            .map(|time| time * 1e3)
            .collect()
    };
    put(page, &lines(report, millis, "ms"));
    if report.policies.iter().any(|policy| !policy.rebalances.is_empty()) {
        put(page, "<h3>Replicas that travelled</h3>\n");
        put(page, &bytes(report));
    }
    put(page, "</section>\n");
}

fn lines(report: &BalancingReport, of: impl Fn(&PolicyReport) -> Vec<f64>, unit: &str) -> String {
    let series: Vec<Vec<f64>> = report.policies.iter().map(of).collect();
    let values = || series.iter().flatten().copied();
    let (least, most) = (
        values().fold(f64::INFINITY, f64::min),
        values().fold(0.0, f64::max),
    );
    let least = if unit == "ms" { 0.0 } else { least.min(1.0) };
    let most = most.max(least * 1.01 + 1e-9);
    canvas(300, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .margin_right(LEGEND)
            .x_label_area_size(40)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..steps(report), least..most * 1.03)?;
        quiet(&mut chart.configure_mesh())
            .x_desc("step")
            .x_label_formatter(&|step| format!("{step:.0}"))
            .y_desc(unit)
            .draw()?;
        for (_, start) in report.phases.iter().skip(1) {
            let at = at_step(*start);
            chart.draw_series(LineSeries::new(
                [(at, least), (at, most * 1.03)],
                GREY.stroke_width(1),
            ))?;
        }
        for (number_of, (policy, values)) in report.policies.iter().zip(&series).enumerate() {
            let width = steps(report) / number(values.len().max(1));
            let points = values
                .iter()
                .enumerate()
                .map(|(at, &value)| ((number(at) + 0.5) * width, value));
            chart.draw_series(LineSeries::new(points, colour(number_of).stroke_width(2)))?;
            let tick = least + (most - least) * 0.04;
            for plan in &policy.rebalances {
                let at = at_step(plan.step);
                chart.draw_series(LineSeries::new(
                    [(at, least), (at, tick)],
                    colour(number_of).stroke_width(3),
                ))?;
            }
            key(area, number_of, &policy.id, colour(number_of))?;
        }
        Ok(())
    })
}

/// Bytes of every plan, a bar each.
fn bytes(report: &BalancingReport) -> String {
    let plans = || report.policies.iter().flat_map(|policy| &policy.rebalances);
    let most = plans().map(|plan| plan.bytes / 1e9).fold(1e-9, f64::max);
    canvas(220, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .margin_right(LEGEND)
            .x_label_area_size(40)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..steps(report), 0.0..most * 1.05)?;
        quiet(&mut chart.configure_mesh())
            .x_desc("step")
            .x_label_formatter(&|step| format!("{step:.0}"))
            .y_label_formatter(&|gigabytes| format!("{gigabytes:.0}"))
            .y_desc("GB")
            .draw()?;
        let width = steps(report) / 220.0;
        for (at, policy) in report.policies.iter().enumerate() {
            let shift = number(at) * width;
            let bars = policy.rebalances.iter().map(|plan| {
                let left = at_step(plan.step) + shift;
                Rectangle::new(
                    [(left, 0.0), (left + width, plan.bytes / 1e9)],
                    colour(at).filled(),
                )
            });
            chart.draw_series(bars)?;
            key(area, at, &policy.id, colour(at))?;
        }
        Ok(())
    })
}

fn steps(report: &BalancingReport) -> f64 {
    at_step(report.steps.max(1))
}

#[expect(clippy::cast_precision_loss, reason = "fewer than 2^53 steps")]
const fn at_step(step: u64) -> f64 {
    step as f64
}

/// Heat maps of experts and, for each policy, of devices, in the first steps and in the last.
fn loads(page: &mut String, report: &BalancingReport) {
    put(page, "<section><h2>Loads</h2>\n");
    put(
        page,
        "<p>A row per layer; a cell is the load over the mean of its layer: orange with more, blue with less, the \
         page's own colour at the mean. First the beginning, then the end.</p>\n<h3>Experts</h3>\n",
    );
    let ends = [report.frames.first(), report.frames.last()];
    for frame in ends.into_iter().flatten() {
        put(page, &heat(&frame.experts, "expert"));
    }
    for (at, policy) in report.policies.iter().enumerate() {
        put(page, &format!("<h3>Devices under {}</h3>\n", escape(&policy.id)));
        for map in ends
            .into_iter()
            .flatten()
            .filter_map(|frame| frame.devices.get(at))
        {
            put(page, &heat(map, "device"));
        }
    }
    put(page, "</section>\n");
}

/// Layers from top to bottom, `columns` of them from left to right, and what the colours mean below.
fn heat(rows: &[Vec<f64>], columns: &str) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    if count == 0 {
        return String::new();
    }
    let height = ROW * number(rows.len());
    let below = pixel(height) + 14;
    let tall = u32::try_from(below).unwrap_or(0) + 22;
    canvas(tall, |area| {
        for (layer, row) in rows.iter().enumerate() {
            for (at, &value) in row.iter().enumerate() {
                let (strength, of) = shade(value);
                if strength > 0.02 {
                    let x = |column: usize| pixel(8.0 + number(column) * WIDTH / number(count));
                    let y = |line: usize| pixel(8.0 + number(line) * ROW);
                    let corners = [(x(at), y(layer)), (x(at + 1), y(layer + 1))];
                    area.draw(&Rectangle::new(corners, of.mix(strength).filled()))?;
                }
            }
        }
        let frame = [(8, 8), (pixel(8.0 + WIDTH), pixel(8.0 + height))];
        area.draw(&Rectangle::new(frame, GREY))?;
        let sides = format!("{columns} 0; layers 0 to {} from top to bottom", rows.len() - 1);
        area.draw(&Text::new(sides, (8, below), label(14)))?;
        let last = format!("{columns} {}", count - 1);
        area.draw(&Text::new(last, (940, below), label(14)))?;
        for (at, (value, name)) in (0..).zip(SCALE) {
            let left = 520 + 70 * at;
            let (strength, of) = shade(value);
            let corners = [(left, below + 1), (left + 14, below + 15)];
            area.draw(&Rectangle::new(corners, of.mix(strength).filled()))?;
            area.draw(&Rectangle::new(corners, GREY))?;
            area.draw(&Text::new(name, (left + 18, below), label(14)))?;
        }
        Ok(())
    })
}

/// Loads over the mean of their layer that the legend of a heat map shows.
const SCALE: [(f64, &str); 5] = [
    (0.0, "0"),
    (0.5, "1/2"),
    (1.0, "mean"),
    (2.0, "2 x"),
    (4.0, "4 x"),
];

/// How strong a cell is, and in what colour: above the mean orange, below it blue, both full at four times and at nothing.
fn shade(value: f64) -> (f64, RGBColor) {
    if value >= 1.0 {
        ((value.log2() / 2.0).min(1.0), colour(5))
    } else {
        ((1.0 - value).min(1.0), colour(0))
    }
}

/// Bytes of dispatch from each device to each other, in the end.
fn traffic(page: &mut String, report: &BalancingReport) {
    put(page, "<section><h2>Who sends to whom</h2>\n");
    put(
        page,
        "<p>Bytes of a step's dispatch in the end, stronger with more.</p>\n",
    );
    for policy in &report.policies {
        let most = policy.pairs.iter().flatten().copied().fold(0.0, f64::max);
        if most <= 0.0 {
            continue;
        }
        put(page, &format!("<h3>{}</h3>\n", escape(&policy.id)));
        put(page, &pairs(&policy.pairs, most));
    }
    put(page, "</section>\n");
}

fn pairs(rows: &[Vec<f64>], most: f64) -> String {
    let side = 300.0 / number(rows.len());
    canvas(316, |area| {
        let place = |at: usize| pixel(8.0 + number(at) * side);
        for (from, row) in rows.iter().enumerate() {
            for (to, bytes) in row.iter().enumerate().filter(|(_, bytes)| **bytes > 0.0) {
                let corners = [(place(to), place(from)), (place(to + 1), place(from + 1))];
                area.draw(&Rectangle::new(corners, colour(0).mix(bytes / most).filled()))?;
            }
        }
        area.draw(&Rectangle::new([(8, 8), (308, 308)], GREY))?;
        let last = rows.len().saturating_sub(1);
        let texts = [
            format!("rows: who sends, device 0 at the top, {last} at the bottom"),
            format!("columns: who receives, device 0 at the left, {last} at the right"),
        ];
        for (line, text) in (0..).zip(texts) {
            area.draw(&Text::new(text, (324, 10 + 22 * line), label(14)))?;
        }
        for (at, share) in (0..).zip([0.25, 0.5, 0.75, 1.0]) {
            let (left, top) = (324 + 120 * at, 64);
            let corners = [(left, top), (left + 14, top + 14)];
            area.draw(&Rectangle::new(corners, colour(0).mix(share).filled()))?;
            let bytes = orrery_units::Bytes::from_f64((most * share).round()).to_string();
            area.draw(&Text::new(bytes, (left + 18, top - 1), label(14)))?;
        }
        Ok(())
    })
}

/// What the values of every sweep buy and cost.
fn sweeps(page: &mut String, report: &BalancingReport) {
    if report.sweeps.is_empty() {
        return;
    }
    put(page, "<section><h2>Cost and benefit</h2>\n");
    put(
        page,
        "<p>Of a step, in the mean of all steps and replications: time that layers of experts take less than under the \
         first policy, time that everybody stands still for replicas and plans, and what is left.</p>\n",
    );
    for sweep in &report.sweeps {
        put(page, &format!("<h3>{}</h3>\n", escape(&sweep_title(sweep))));
        put(page, &cost_and_benefit(sweep));
    }
    put(page, "</section>\n");
}

/// Gain, cost and what is left in milliseconds, by value, evenly spaced; below them the bytes that travel.
fn cost_and_benefit(sweep: &SweepReport) -> String {
    let of = |of: fn(&SweepValue) -> f64| -> Vec<f64> { sweep.points.iter().map(of).collect() };
    let series = [
        ("gain", of(|point| point.gain * 1e3)),
        ("cost", of(|point| point.cost * 1e3)),
        ("left", of(|point| (point.gain - point.cost) * 1e3)),
    ];
    let values = || series.iter().flat_map(|(_, values)| values).copied();
    let (least, most) = (values().fold(0.0, f64::min), values().fold(1e-9, f64::max));
    let last = number(sweep.points.len().max(2) - 1);
    let margin = (most - least) * 0.06;
    canvas(280, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .margin_right(LEGEND)
            .x_label_area_size(34)
            .y_label_area_size(56)
            .build_cartesian_2d(-0.1..last + 0.1, least - margin..most + margin)?;
        quiet(&mut chart.configure_mesh())
            .disable_x_axis()
            .y_desc("ms")
            .draw()?;
        for (at, (name, values)) in series.iter().enumerate() {
            let points = || values.iter().enumerate().map(|(at, &value)| (number(at), value));
            chart.draw_series(LineSeries::new(points(), colour(at).stroke_width(2)))?;
            chart.draw_series(points().map(|point| Circle::new(point, 3, colour(at).filled())))?;
            key(area, at, name, colour(at))?;
        }
        for (at, point) in sweep.points.iter().enumerate() {
            let (x, _) = chart.backend_coord(&(number(at), least));
            let text = format!("{} {}", sweep.key, point.value);
            area.draw(&Text::new(text, (x - 24, 246), label(14)))?;
            let bytes = format!("{} a step", orrery_units::Bytes::from_f64(point.bytes.round()));
            area.draw(&Text::new(bytes, (x - 24, 262), label(12)))?;
        }
        Ok(())
    })
}

fn recorded(page: &mut String, report: &BalancingReport) {
    if report.recorded.is_empty() {
        return;
    }
    put(page, "<section><h2>Plans on recordings</h2>\n");
    put(
        page,
        "<p>Largest over mean tokens of a device, layer by layer.</p>\n",
    );
    let most = report
        .recorded
        .iter()
        .flat_map(|(_, layers)| layers)
        .copied()
        .fold(1.0, f64::max);
    let layers = report
        .recorded
        .iter()
        .map(|(_, layers)| layers.len())
        .max()
        .unwrap_or(1);
    let drawn = canvas(300, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .margin_right(LEGEND)
            .x_label_area_size(40)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..number(layers.max(2) - 1), 1.0..most * 1.03)?;
        quiet(&mut chart.configure_mesh())
            .x_desc("layer")
            .x_label_formatter(&|layer| format!("{layer:.0}"))
            .y_desc("largest / mean")
            .draw()?;
        for (at, (id, values)) in report.recorded.iter().enumerate() {
            let points = values
                .iter()
                .enumerate()
                .map(|(layer, &value)| (number(layer), value));
            chart.draw_series(LineSeries::new(points, colour(at).stroke_width(2)))?;
            key(area, at, id, colour(at))?;
        }
        Ok(())
    });
    put(page, &drawn);
    put(page, "</section>\n");
}
