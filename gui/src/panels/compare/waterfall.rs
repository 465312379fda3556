//! The difference of two mean steps as bars that add up to it, cause by cause.

use eframe::egui::{Align2, Color32, FontId, Painter, Rect, Role, Sense, Stroke, Ui, WidgetInfo, pos2, vec2};
use orrery::compare::{Comparison, seconds, shown};
use orrery_report::Cause;
use orrery_units::{SimDuration, significant};

use crate::theme;

/// Height of a line.
const LINE: f32 = 21.0;
/// Widths of the name, of either time, and of the difference.
const COLUMNS: [f32; 4] = [178.0, 66.0, 66.0, 118.0];
/// Least width of the bars.
const BARS: f32 = 120.0;

/// A line: what it is, the time of either, and where its bar begins and ends, in picoseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    name: &'static str,
    times: [SimDuration; 2],
    bar: [i64; 2],
    is_whole: bool,
}

/// The lines from the step of A by way of the causes to that of B: each bar begins where the one before it ends.
fn lines(comparison: &Comparison) -> Vec<Line> {
    let [a, b] = &comparison.waterfalls;
    let [from, to] = [a, b].map(|waterfall| waterfall.step());
    let whole = |name, time: SimDuration| Line {
        name,
        times: [time; 2],
        bar: [0, i64::try_from(time.as_picos()).unwrap_or(i64::MAX)],
        is_whole: true,
    };
    let first = whole("the step of A", from);
    let mut at = first.bar[1];
    let causes = comparison.bars().into_iter().map(|(cause, picos): (Cause, i64)| {
        let begins = at;
        at += picos;
        Line {
            name: cause.title(),
            times: [a.time(cause), b.time(cause)],
            bar: [begins, at],
            is_whole: false,
        }
    });
    let causes: Vec<Line> = causes.collect();
    let mut lines = vec![first];
    lines.extend(causes);
    lines.push(whole("the other step", to));
    lines
}

/// From where to where the axis goes: all ends of bars, with room, and not to zero where the difference is small beside
/// the steps.
fn axis(lines: &[Line]) -> [f64; 2] {
    let ends = |line: &Line| match line.is_whole {
        true => vec![line.bar[1]],
        false => line.bar.to_vec(),
    };
    let all: Vec<i64> = lines.iter().flat_map(ends).collect();
    let least = all.iter().copied().min().unwrap_or_default() as f64;
    let most = all.iter().copied().max().unwrap_or_default() as f64;
    let room = ((most - least) * 0.15).max(most * 1e-6).max(1.0);
    [(least - room).max(0.0), most + room * 0.3]
}

/// Draws the lines.
pub(super) fn show(ui: &mut Ui, comparison: &Comparison, other: &str) {
    let lines = lines(comparison);
    let axis = axis(&lines);
    let fixed: f32 = COLUMNS.iter().sum();
    let width = ui.available_width().max(fixed + BARS);
    ui.spacing_mut().item_spacing.y = 0.0;
    head(ui, width, other);
    for (number, line) in lines.iter().enumerate() {
        draw(ui, line, number, axis, width, other);
    }
    let cut = axis[0] > 0.0;
    let note = match cut {
        true => format!("Bars begin at {}, not at zero. ", duration(axis[0])),
        false => String::new(),
    };
    ui.add_space(4.0);
    ui.weak(format!(
        "{note}The bars add up to the difference of {} to the picosecond.",
        shown(comparison.difference())
    ));
}

fn duration(picos: f64) -> String {
    SimDuration::from_secs(picos / 1e12).to_string()
}

/// Where the columns end: name, A, bars, the other, the difference.
fn columns(rect: Rect) -> [f32; 4] {
    let [name, time, other, change] = COLUMNS;
    let left = rect.left();
    [
        left + name + time,
        left + name + time + other,
        left + name + time + other + change,
        rect.right() - 4.0,
    ]
}

fn head(ui: &mut Ui, width: f32, other: &str) {
    let (rect, _) = ui.allocate_exact_size(vec2(width, LINE), Sense::hover());
    let [a, b, change, _] = columns(rect);
    let ink = ui.visuals().weak_text_color();
    let difference = format!("{other} − A");
    for (x, words) in [(a, "A"), (b, other), (change, difference.as_str())] {
        write(ui.painter(), x, rect.center().y, Align2::RIGHT_CENTER, words, ink);
    }
}

fn write(painter: &Painter, x: f32, y: f32, align: Align2, words: &str, ink: Color32) {
    painter.text(pos2(x, y), align, words, FontId::proportional(12.5), ink);
}

fn draw(ui: &mut Ui, line: &Line, number: usize, axis: [f64; 2], width: f32, other: &str) {
    let (rect, response) = ui.allocate_exact_size(vec2(width, LINE), Sense::hover());
    let picos = line.bar[1] - line.bar[0];
    let [a, b] = line.times;
    let name = match (line.is_whole, number) {
        (true, 0) => "the step of A".to_owned(),
        (true, _) => format!("the step of {other}"),
        (false, _) => line.name.to_owned(),
    };
    let spoken = match line.is_whole {
        true => format!("{name}: {a}"),
        false => format!("{name}: A {a}, {other} {b}, {}", shown(picos)),
    };
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &spoken));
    let visuals = ui.visuals();
    if number.is_multiple_of(2) {
        ui.painter().rect_filled(rect, 0.0, visuals.faint_bg_color);
    }
    let [first, second, change, right] = columns(rect);
    let (ink, y) = (visuals.text_color(), rect.center().y);
    let strong = visuals.strong_text_color();
    let painter = ui.painter();
    let named = if line.is_whole { strong } else { ink };
    write(painter, rect.left() + 4.0, y, Align2::LEFT_CENTER, &name, named);
    let (fill, edge) = match (line.is_whole, picos > 0) {
        (true, _) if number == 0 => (theme::of_side(0), None),
        (true, _) => (theme::of_side(1), None),
        (false, true) => (theme::bad(visuals), Some(theme::bad(visuals))),
        (false, false) => (theme::good(visuals), Some(theme::good(visuals))),
    };
    if line.is_whole {
        let x = if number == 0 { first } else { second };
        write(painter, x, y, Align2::RIGHT_CENTER, &a.to_string(), strong);
    } else {
        write(painter, first, y, Align2::RIGHT_CENTER, &a.to_string(), ink);
        write(painter, second, y, Align2::RIGHT_CENTER, &b.to_string(), ink);
        let color = edge.unwrap_or(ink);
        write(
            painter,
            change,
            y,
            Align2::RIGHT_CENTER,
            &with_share(picos, a),
            color,
        );
    }
    let field = Rect::from_x_y_ranges(change + 12.0..=right, rect.y_range());
    let place = |picos: i64| {
        let share = (picos as f64 - axis[0]) / (axis[1] - axis[0]);
        field.left() + field.width() * share.clamp(0.0, 1.0) as f32
    };
    let (one, two) = (place(line.bar[0]), place(line.bar[1]));
    let bar = Rect::from_x_y_ranges(
        one.min(two)..=one.max(two).max(one.min(two) + 1.5),
        rect.y_range().shrink(4.0),
    );
    painter.rect_filled(bar, 1.0, fill);
    // A line down to where the next bar begins.
    let thin = Stroke::new(1.0, visuals.weak_text_color().gamma_multiply(0.5));
    painter.vline(two, rect.bottom() - 4.0..=rect.bottom() + 4.0, thin);
    response.on_hover_text(spoken);
}

/// `+120 ms (+3.1 %)`: of what the cause takes in A, where it takes something, and a share that says something.
fn with_share(picos: i64, a: SimDuration) -> String {
    let share = seconds(picos) / a.as_secs();
    match a.is_zero() || !(1e-5..10.0).contains(&share.abs()) {
        true => shown(picos),
        false => {
            let sign = if picos > 0 { "+" } else { "−" };
            format!(
                "{} ({sign}{} %)",
                shown(picos),
                significant(share.abs() * 100.0, 2)
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn run(name: &str, causes: &[u64]) -> serde_json::Value {
        let parts: serde_json::Map<String, serde_json::Value> = Cause::ALL
            .into_iter()
            .zip(causes)
            .map(|(cause, &picos)| (cause.name().to_owned(), json!(picos)))
            .collect();
        let step: u64 = causes.iter().sum();
        json!({
            "schema": "result/1", "scenario": name, "seed": 1, "metrics": {},
            "waterfall": {"step_ps": step, "causes_ps": parts},
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn each_bar_begins_where_the_one_before_ends_and_the_last_ends_at_the_other_step(
            a in proptest::collection::vec(1_u64..1 << 50, 17),
            b in proptest::collection::vec(1_u64..1 << 50, 17),
        ) {
            let comparison = Comparison::of(&run("a", &a), &run("b", &b)).unwrap();
            let lines = lines(&comparison);
            let (first, last) = (&lines[0], &lines[lines.len() - 1]);
            let mut at = first.bar[1];
            let mut sum = 0;
            for line in &lines[1..lines.len() - 1] {
                prop_assert_eq!(line.bar[0], at);
                at = line.bar[1];
                sum += line.bar[1] - line.bar[0];
            }
            prop_assert_eq!(at, last.bar[1]);
            prop_assert_eq!(sum, comparison.difference());
            let [from, to] = axis(&lines);
            for line in &lines {
                prop_assert!((from..=to).contains(&(line.bar[1] as f64)));
            }
        }
    }

    #[test]
    fn a_difference_is_said_with_its_share_where_that_means_something() {
        let second = SimDuration::from_secs(1.0);
        assert_eq!(with_share(120_000_000_000, second), "+120 ms (+12 %)");
        assert_eq!(with_share(-30_000_000_000, second), "−30 ms (−3 %)");
        assert_eq!(with_share(1_000, SimDuration::ZERO), "+1 ns");
    }
}
