//! What a setting of a policy buys and costs: a picture for each sweep of the scenario.

use eframe::egui::{Color32, Ui};
use egui_plot::{Legend, Line, Plot, PlotPoints, Points};
use orrery_report::render::sweep_title;
use orrery_report::{SweepReport, SweepValue};
use orrery_units::with_si_prefix;

use crate::theme;

const HEIGHT: f32 = 180.0;

/// A line: its name, its colour, and what it is of a value.
type Curve = (&'static str, Color32, fn(&SweepValue) -> f64);

/// Draws the sweeps below each other.
pub(super) fn show(ui: &mut Ui, sweeps: &[SweepReport]) {
    for (at, sweep) in sweeps.iter().enumerate() {
        ui.add_space(6.0);
        ui.strong(sweep_title(sweep));
        if let Some(best) = best(sweep) {
            ui.weak(format!(
                "Most is left at {} = {}: {} a step.",
                sweep.key,
                best.value,
                with_si_prefix(best.gain - best.cost, "s")
            ));
        }
        let lines: [Curve; 3] = [
            ("gain", theme::good(ui.visuals()), |point| point.gain),
            ("cost", theme::bad(ui.visuals()), |point| point.cost),
            ("left", theme::of_side(0), |point| point.gain - point.cost),
        ];
        Plot::new(("sweep", at))
            .height(HEIGHT)
            .allow_scroll(false)
            .x_axis_label(sweep.key.as_str())
            .y_axis_label("ms a step")
            .include_y(0.0)
            .legend(Legend::default())
            .show(ui, |plot| {
                for (name, color, value) in lines {
                    let points: Vec<[f64; 2]> = sweep
                        .points
                        .iter()
                        .map(|point| [point.value as f64, value(point) * 1e3])
                        .collect();
                    plot.line(
                        Line::new(name, PlotPoints::new(points.clone()))
                            .color(color)
                            .width(2.0),
                    );
                    plot.points(
                        Points::new(name, PlotPoints::new(points))
                            .color(color)
                            .radius(3.5),
                    );
                }
            });
    }
}

/// The value that leaves most.
fn best(sweep: &SweepReport) -> Option<&SweepValue> {
    let left = |point: &SweepValue| point.gain - point.cost;
    sweep.points.iter().max_by(|a, b| left(a).total_cmp(&left(b)))
}
