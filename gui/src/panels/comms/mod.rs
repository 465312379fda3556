//! Comms: what a collective takes on a machine, by size and algorithm.

use eframe::egui::{ComboBox, DragValue, Grid, ScrollArea, Ui};
use egui_plot::{Corner, GridMark, Legend, Line, LineStyle, MarkerShape, Plot, PlotPoints, Points};
use orrery::collective::{Answer, Asked, Question};
use orrery_scenario::catalog;
use orrery_units::{Bytes, significant};

use crate::{Document, theme};

const OPERATIONS: [&str; 7] = [
    "all_reduce",
    "all_gather",
    "reduce_scatter",
    "all_to_all",
    "broadcast",
    "reduce",
    "send_recv",
];
const NICS: [&str; 6] = ["ib", "roce", "efa", "tcpx", "tcpxo", "none"];
/// Powers of two of the sizes: 1 KiB to 8 GiB.
const SIZES: std::ops::RangeInclusive<u32> = 10..=33;
/// Least height of the picture.
const PICTURE: f32 = 260.0;

/// What is drawn over size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Measure {
    #[default]
    BusBandwidth,
    Time,
}

/// A machine and an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    op: &'static str,
    gpu: String,
    nodes: u32,
    per_node: u32,
    nic: &'static str,
    sharp: bool,
}

/// What the panel remembers while it is open.
#[derive(Debug, Default)]
pub(crate) struct View {
    wanted: Option<Wanted>,
    /// The revision of the scenario that the machine was taken from.
    taken_from: Option<u64>,
    measure: Measure,
    found: Option<(Wanted, Found)>,
}

/// Answers by size, with the question in words, or why there are none.
type Found = Result<(String, bool, Vec<(u64, Vec<Answer>)>), String>;

impl View {
    /// The machine of the scenario in front, unless it was taken already.
    fn attend(&mut self, document: &Document) {
        let Some(plan) = document.training_plan() else {
            return;
        };
        if self.taken_from == Some(document.revision) {
            return;
        }
        self.taken_from = Some(document.revision);
        let node = &plan.cluster.node;
        let before = self.wanted.take();
        self.wanted = Some(Wanted {
            op: before.as_ref().map_or("all_reduce", |wanted| wanted.op),
            gpu: plan.cluster.device.name.clone(),
            nodes: plan.cluster.num_nodes,
            per_node: node.num_devices,
            nic: before.as_ref().map_or("ib", |wanted| wanted.nic),
            sharp: false,
        });
    }

    fn found(&mut self, wanted: &Wanted) -> &Found {
        let is_known = self.found.as_ref().is_some_and(|(known, _)| known == wanted);
        if !is_known {
            self.found = Some((wanted.clone(), ask(wanted)));
        }
        &self.found.as_ref().expect("it was just put there").1
    }
}

fn ask(wanted: &Wanted) -> Found {
    let question = Question::new(&Asked {
        op: wanted.op,
        gpu: &wanted.gpu,
        nodes: wanted.nodes,
        per_node: Some(wanted.per_node),
        nic: wanted.nic,
        launcher: "mpi",
        sharp: wanted.sharp,
    })
    .map_err(|why| why.to_string())?;
    let answers = SIZES.map(|power| {
        let bytes = 1_u64 << power;
        (bytes, question.answers(Bytes::new(bytes)))
    });
    Ok((question.title(), question.is_exact(), answers.collect()))
}

/// Draws the panel.
pub(crate) fn show(ui: &mut Ui, document: &Document, view: &mut View) {
    view.attend(document);
    let mut wanted = view.wanted.clone().unwrap_or_else(|| Wanted {
        op: "all_reduce",
        gpu: "H100-SXM5-80GB".to_owned(),
        nodes: 2,
        per_node: 8,
        nic: "ib",
        sharp: false,
    });
    controls(ui, &mut wanted, &mut view.measure);
    view.wanted = Some(wanted.clone());
    let measure = view.measure;
    match view.found(&wanted) {
        Err(why) => {
            ui.add_space(8.0);
            ui.colored_label(theme::warn(ui.visuals()), why);
        }
        Ok((title, is_exact, answers)) => {
            ui.strong(title);
            if !is_exact {
                let words = "No sweep of this machine was measured: the law of that platform stands for it, extrapolated.";
                ui.colored_label(theme::warn(ui.visuals()), words);
            }
            let height = (ui.available_height() * 0.55).max(PICTURE);
            picture(ui, answers, measure, height);
            ui.add_space(4.0);
            table(ui, answers);
        }
    }
}

fn controls(ui: &mut Ui, wanted: &mut Wanted, measure: &mut Measure) {
    ui.horizontal_wrapped(|ui| {
        let operations = OPERATIONS.map(|op| (op, op.to_owned()));
        choose(ui, "collective", &mut wanted.op, &operations);
        let devices: Vec<(String, String)> =
            catalog::device_names().into_iter().map(|name| (name.clone(), name)).collect();
        choose(ui, "GPU", &mut wanted.gpu, &devices);
        let label = ui.label("nodes");
        ui.add(DragValue::new(&mut wanted.nodes).range(1..=100_000)).labelled_by(label.id);
        let label = ui.label("GPUs per node");
        ui.add(DragValue::new(&mut wanted.per_node).range(1..=72)).labelled_by(label.id);
        choose(ui, "NICs", &mut wanted.nic, &NICS.map(|nic| (nic, nic.to_owned())));
        ui.checkbox(&mut wanted.sharp, "switches reduce (SHARP)");
        ui.separator();
        ui.selectable_value(measure, Measure::BusBandwidth, "bus bandwidth")
            .on_hover_text("nccl-tests: bytes over time, times 2 (n - 1) / n of an all-reduce and (n - 1) / n of a gather");
        ui.selectable_value(measure, Measure::Time, "time");
    });
}

/// One of `values`, called `name`.
fn choose<T: Clone + PartialEq>(ui: &mut Ui, name: &str, chosen: &mut T, values: &[(T, String)]) {
    let label = ui.label(name);
    let shown = values.iter().find(|(value, _)| value == chosen);
    let combo = ComboBox::from_id_salt(name)
        .selected_text(shown.map_or("", |(_, words)| words.as_str()))
        .show_ui(ui, |ui| {
            for (value, words) in values {
                ui.selectable_value(chosen, value.clone(), words);
            }
        });
    let _labelled = combo.response.labelled_by(label.id);
}

fn size_of(power: f64) -> String {
    Bytes::new(1_u64 << (power.round().clamp(0.0, 62.0) as u32)).to_string()
}

fn picture(ui: &mut Ui, answers: &[(u64, Vec<Answer>)], measure: Measure, height: f32) {
    let value = |answer: &Answer| match measure {
        Measure::BusBandwidth => answer.bus_bandwidth,
        // By decades: times of sizes from a KiB on lie far apart.
        Measure::Time => (answer.time.as_secs() * 1e6).log10(),
    };
    let mut names: Vec<&'static str> = Vec::new();
    for (_, all) in answers {
        for answer in all {
            if !names.contains(&answer.name) {
                names.push(answer.name);
            }
        }
    }
    let plot = Plot::new("collectives")
        .height(height)
        .allow_scroll(false)
        .legend(Legend::default().position(Corner::LeftTop))
        .x_axis_formatter(|mark: GridMark, _range| size_of(mark.value))
        .x_grid_spacer(egui_plot::uniform_grid_spacer(|_| [5.0, 1.0, 1.0]))
        .x_axis_label("size");
    let plot = match measure {
        Measure::BusBandwidth => plot.y_axis_label("bus bandwidth, GB/s").include_y(0.0),
        Measure::Time => plot
            .y_axis_label("time, µs")
            .y_axis_formatter(|mark: GridMark, _range| significant(10_f64.powf(mark.value), 2)),
    };
    let strong = ui.visuals().strong_text_color();
    plot.show(ui, |plot| {
        for (at, name) in names.iter().enumerate() {
            let points = answers.iter().filter_map(|(bytes, all)| {
                let answer = all.iter().find(|answer| answer.name == *name)?;
                Some([f64::from(bytes.ilog2()), value(answer)])
            });
            let color = theme::of_part(at);
            let line = Line::new(*name, PlotPoints::new(points.collect()));
            let style = if at < 6 {
                LineStyle::Solid
            } else {
                LineStyle::dashed_dense()
            };
            plot.line(line.color(color).style(style));
        }
        let taken = answers
            .iter()
            .filter_map(|(bytes, all)| Some([f64::from(bytes.ilog2()), value(all.first()?)]));
        let taken = Points::new("what NCCL takes", PlotPoints::new(taken.collect()));
        plot.points(taken.color(strong).radius(3.5).shape(MarkerShape::Circle));
    });
}

fn table(ui: &mut Ui, answers: &[(u64, Vec<Answer>)]) {
    ScrollArea::both()
        .id_salt("sizes of collectives")
        .auto_shrink([false, false])
        .show(ui, |ui| {
            Grid::new("collective sizes")
                .num_columns(6)
                .striped(true)
                .show(ui, |ui| {
                    for name in ["size", "NCCL takes", "time", "algbw", "busbw", "fastest"] {
                        ui.strong(name);
                    }
                    ui.end_row();
                    for (bytes, all) in answers {
                        let Some(taken) = all.first() else { continue };
                        ui.label(Bytes::new(*bytes).to_string());
                        ui.label(taken.name);
                        ui.label(taken.time.to_string());
                        ui.label(format!("{} GB/s", significant(taken.algorithm_bandwidth, 3)));
                        ui.strong(format!("{} GB/s", significant(taken.bus_bandwidth, 3)));
                        let fastest = all.iter().min_by_key(|answer| answer.time).unwrap_or(taken);
                        if fastest.name == taken.name {
                            ui.weak("the same");
                        } else {
                            ui.label(format!("{}, {}", fastest.name, fastest.time));
                        }
                        ui.end_row();
                    }
                });
        });
}
