//! How a metric of a device went in the last hour or day, as its collector kept it.

use eframe::egui::{self, Color32, ComboBox, Panel, Ui, vec2};
use egui_plot::{AxisHints, HoverPosition, Legend, Line, Plot, PlotPoints, PlotUi};
use orrery_units::significant;

use super::badge;
use crate::app::{Command, Commands};
use crate::document::{Asked, Course, CourseLine, DeviceId, FleetMetric, Past, Reach, in_words, shown};
use crate::{Document, theme};

/// Height of the panel to begin with, and the least.
const HEIGHT: [f32; 2] = [230.0, 120.0];
/// The shortest time that fills the width, in seconds.
const SHORTEST: f64 = 120.0;
/// Points further apart than so many steps have nothing between them.
const GAP: f64 = 3.0;

/// The button that asks for the history of `device`.
pub(super) fn ask_button(ui: &mut Ui, device: DeviceId, metric: FleetMetric, commands: &Commands) {
    let button = ui.button("History…");
    if button
        .on_hover_text("The last hour or day, as its collector kept it")
        .clicked()
    {
        commands.send(Command::Past(Some(Asked {
            device,
            metric: metric.series().to_owned(),
            reach: Reach::default(),
        })));
    }
}

/// Draws the history that was asked for, if one was, below the devices.
pub(super) fn show(ui: &mut Ui, document: &Document, commands: &Commands) {
    let Some(past) = &document.past else { return };
    let [height, least] = HEIGHT;
    let most = (ui.available_height() * 0.7).max(least);
    Panel::bottom("history of a device")
        .resizable(true)
        .default_size(height.min(most))
        .size_range(least..=most)
        .show(ui, |ui| {
            // As high as it was made, whatever is said in it.
            ui.set_min_height(ui.available_height());
            ui.horizontal_wrapped(|ui| head(ui, document, past, commands));
            match &past.answer {
                None => {
                    ui.horizontal(|ui| {
                        ui.spinner();
                        ui.label("Asking its collector…");
                    });
                }
                Some(Err(why)) => {
                    ui.colored_label(theme::bad(ui.visuals()), format!("No history: {why}"));
                }
                Some(Ok(course)) if course.is_empty() => {
                    ui.label("Nothing was kept of it in this time.");
                    ui.weak("A collector keeps what it samples while it runs with `--data-dir`.");
                }
                Some(Ok(course)) => plot(ui, past, course),
            }
        });
}

/// Whose history it is, and what of it.
fn head(ui: &mut Ui, document: &Document, past: &Past, commands: &Commands) {
    let asked = &past.asked;
    let named = document.fleet.find(&asked.device).map(|(node, device)| {
        if node.is_demo() {
            badge(ui);
        }
        let index = device.sample.identity.index;
        format!("History of {} device {index}", node.name)
    });
    ui.strong(named.unwrap_or_else(|| format!("History of {}", asked.device.uuid)));
    let mut wanted = asked.clone();
    let words = ui.label("of");
    let picker = ComboBox::from_id_salt("metric of the history")
        .width(170.0)
        .selected_text(in_words(&asked.metric).0)
        .show_ui(ui, |ui| {
            for metric in past.metrics.iter() {
                ui.selectable_value(&mut wanted.metric, metric.clone(), in_words(metric).0)
                    .on_hover_text(metric);
            }
        });
    picker.response.labelled_by(words.id);
    for reach in Reach::ALL {
        ui.selectable_value(&mut wanted.reach, reach, reach.name());
    }
    let again = ui.button("Ask again").clicked();
    if wanted != *asked || again {
        commands.send(Command::Past(Some(wanted)));
    }
    if ui.button("Close history").clicked() {
        commands.send(Command::Past(None));
    }
}

/// The mean as a line, with the least and the largest beside it where a point stands for more than one value.
fn plot(ui: &mut Ui, past: &Past, course: &Course) {
    let (name, unit) = in_words(&past.asked.metric);
    ui.weak(match course.step {
        step if step > 0.0 => format!(
            "{name} in {}; a point stands for {} s: its mean, and faintly its least and largest value",
            if unit.is_empty() { "its own unit" } else { unit },
            significant(step, 3)
        ),
        _ => format!("{name}; every value that was kept"),
    });
    let (from, to) = course.range;
    let first = course.lines.iter().filter_map(|line| line.points.first());
    let first = first.map(|point| point[0]).fold(to - SHORTEST, f64::min);
    // The time before anything was kept has nothing to show.
    let from = from.max(first);
    let values = AxisHints::new_y()
        .formatter(move |mark, _| shown(mark.value, unit))
        .min_thickness(64.0)
        .label_spacing(egui::Rangef::new(12.0, 22.0));
    let plot = Plot::new("history of a device")
        .height((ui.available_height() - 4.0).max(60.0))
        .set_margin_fraction(vec2(0.0, 0.08))
        .allow_scroll(false)
        .allow_boxed_zoom(false)
        .include_x(minutes(from, to))
        .include_x(0.0)
        .x_axis_formatter(|mark, _| ago(mark.value))
        .custom_y_axes(vec![values])
        .label_formatter(move |at| match at {
            HoverPosition::NearDataPoint {
                plot_name, position, ..
            } => {
                let name = if plot_name.is_empty() {
                    String::new()
                } else {
                    format!("{plot_name}\n")
                };
                Some(format!("{name}{}, {}", shown(position.y, unit), ago(position.x)))
            }
            HoverPosition::Elsewhere { .. } => None,
        });
    let plot = match course.lines.len() {
        1 => plot,
        _ => plot.legend(Legend::default()),
    };
    let is_share = unit == "%";
    let plot = if is_share {
        plot.include_y(0.0).include_y(1.0)
    } else {
        plot
    };
    plot.show(ui, |plot| {
        for (at, line) in course.lines.iter().enumerate() {
            draw(plot, line, (course.step, to), theme::of_policy(at));
        }
    });
}

/// Draws `line`, of which a point stands for `step` seconds, over minutes until `now`.
fn draw(plot: &mut PlotUi<'_>, line: &CourseLine, (step, now): (f64, f64), color: Color32) {
    for part in parts(line, step) {
        let of = |column: usize| -> PlotPoints<'_> {
            let points = part.iter();
            points
                .map(|point| [minutes(point[0], now), point[column]])
                .collect()
        };
        if part.iter().any(|point| point[1] < point[3]) {
            for column in [1, 3] {
                let faint = color.gamma_multiply(0.35);
                plot.line(
                    Line::new("", of(column))
                        .color(faint)
                        .width(1.0)
                        .allow_hover(false),
                );
            }
        }
        plot.line(Line::new(line.name.clone(), of(2)).color(color).width(1.8));
    }
}

/// Minutes from `now` to `at`, so that axes have round marks: negative before it.
fn minutes(at: f64, now: f64) -> f64 {
    (at - now) / 60.0
}

/// The points of `line` without the times in which nothing was kept. Where every value is there, a pause of ten times
/// the usual one is such a time.
fn parts(line: &CourseLine, step: f64) -> Vec<&[[f64; 4]]> {
    let pauses = line.points.windows(2).map(|pair| pair[1][0] - pair[0][0]);
    let usual = match step > 0.0 {
        true => step,
        false => {
            let mut pauses: Vec<f64> = pauses.collect();
            pauses.sort_by(f64::total_cmp);
            GAP * pauses.get(pauses.len() / 2).copied().unwrap_or(1.0)
        }
    };
    let goes_on = |one: &[f64; 4], next: &[f64; 4]| next[0] - one[0] <= GAP * usual;
    line.points.chunk_by(goes_on).collect()
}

/// How long before now, of `minutes` that are negative.
fn ago(minutes: f64) -> String {
    match -minutes {
        before if before.abs() < 1e-9 => "now".to_owned(),
        before if before >= 120.0 => format!("{} h ago", significant(before / 60.0, 3)),
        before => format!("{} min ago", significant(before, 3)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_in_which_nothing_was_kept_breaks_the_line() {
        let point = |at: f64| [at, 1.0, 1.0, 1.0];
        let line = |times: &[f64]| CourseLine {
            name: String::new(),
            points: times.iter().map(|&at| point(at)).collect(),
        };
        let sizes = |line: &CourseLine, step| {
            parts(line, step)
                .iter()
                .map(|part| part.len())
                .collect::<Vec<usize>>()
        };
        let buckets = line(&[0.0, 10.0, 20.0, 60.0, 70.0]);
        assert_eq!(sizes(&buckets, 10.0), [3, 2]);
        let values = line(&[0.0, 1.0, 2.1, 3.0, 30.0, 31.0]);
        assert_eq!(sizes(&values, 0.0), [4, 2]);
        assert_eq!(sizes(&line(&[]), 10.0), Vec::<usize>::new());
        assert_eq!([0.0, -30.0, -600.0].map(ago), ["now", "30 min ago", "10 h ago"]);
    }
}
