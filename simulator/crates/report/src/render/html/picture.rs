//! Pictures as inline SVG.
//!
//! Text takes the page's colour by the style sheet, so that one picture serves light and dark; lines are a
//! grey that reads on both.

use orrery_units::Evidence;
use plotters::chart::MeshStyle;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::register_font;

use crate::{Report, State};

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Mesh<'a, 'b, 'svg> = MeshStyle<'a, 'b, RangedCoordf64, RangedCoordf64, SVGBackend<'svg>>;
pub(super) type Drawn = Result<(), Box<dyn std::error::Error>>;

/// Widest picture, in pixels.
const WIDTH: u32 = 1040;
/// Most columns of the picture of ranks; more ranks than that share a column, which shows its largest.
const MOST_COLUMNS: usize = 512;
pub(super) const GREY: RGBColor = RGBColor(0x88, 0x90, 0x9c);
/// Room for a legend at the right.
pub(super) const LEGEND: u32 = 200;
const LIMIT: RGBColor = RGBColor(0xd6, 0x45, 0x3d);

/// Colours that stay apart in both themes and for most colour-blind readers (after Okabe and Ito).
const PALETTE: [RGBColor; 12] = [
    RGBColor(0x3b, 0x6f, 0xb6),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x2a, 0x9d, 0x8f),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x9a, 0xa5, 0xb1),
    RGBColor(0xf0, 0xd5, 0x42),
    RGBColor(0x7a, 0x5c, 0xa8),
    RGBColor(0x6b, 0x8e, 0x23),
    RGBColor(0xb8, 0x8a, 0x6a),
    RGBColor(0x4d, 0x56, 0x60),
];

pub(super) fn colour(at: usize) -> RGBColor {
    PALETTE[at % PALETTE.len()]
}

/// Draws on a fresh canvas of `height` pixels and returns the SVG.
pub(super) fn canvas(height: u32, draw: impl FnOnce(&Area<'_>) -> Drawn) -> String {
    // Text is measured with this font and shown in the reader's own.
    let font = register_font(
        "sans-serif",
        FontStyle::Normal,
        epaint_default_fonts::UBUNTU_LIGHT,
    );
    assert!(font.is_ok(), "the embedded font is a valid one");
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        draw(&area)
            .and_then(|()| area.present().map_err(Into::into))
            .expect("drawing into memory cannot fail");
    }
    // The viewer must scale it with the page.
    let box_of = format!("viewBox=\"0 0 {WIDTH} {height}\"");
    assert!(svg.contains(&box_of), "an SVG states its view box");
    svg
}

pub(super) fn label(size: u32) -> TextStyle<'static> {
    TextStyle::from(("sans-serif", size).into_font()).color(&GREY)
}

/// Grey axes and labels, and lines across only: they read in light and dark.
pub(super) fn quiet<'mesh, 'a, 'b, 'svg>(
    mesh: &'mesh mut Mesh<'a, 'b, 'svg>,
) -> &'mesh mut Mesh<'a, 'b, 'svg> {
    mesh.disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GREY.mix(0.3))
        .axis_style(GREY)
        .label_style(label(14))
}

/// One stacked bar over the full width, with a legend below.
fn stacked(parts: &[(String, f64, RGBColor)]) -> String {
    let rows = u32::try_from(parts.len().div_ceil(3)).unwrap_or(1);
    canvas(64 + 24 * rows, |area| {
        let total: f64 = parts.iter().map(|part| part.1).sum();
        if total <= 0.0 {
            return Ok(());
        }
        let full = f64::from(WIDTH);
        let mut left = 0.0;
        for (at, (name, value, colour)) in parts.iter().enumerate() {
            let right = left + value / total * full;
            area.draw(&Rectangle::new(
                [(pixel(left), 8), (pixel(right), 48)],
                colour.filled(),
            ))?;
            left = right;
            let (column, line) = (at % 3, at / 3);
            let x = pixel(full / 3.0 * number(column));
            let y = pixel(64.0 + 24.0 * number(line));
            area.draw(&Rectangle::new([(x, y), (x + 12, y + 12)], colour.filled()))?;
            let text = format!("{name} {}", super::percent(value / total));
            area.draw(&Text::new(text, (x + 18, y - 1), label(15)))?;
        }
        Ok(())
    })
}

#[expect(clippy::cast_possible_truncation, reason = "pixels of a picture")]
pub(super) fn pixel(value: f64) -> i32 {
    value.round() as i32
}

#[expect(clippy::cast_precision_loss, reason = "positions of a picture")]
pub(super) fn number(at: usize) -> f64 {
    at as f64
}

/// The mean step by state.
pub(super) fn step(report: &Report) -> String {
    let parts: Vec<_> = State::ALL
        .into_iter()
        .enumerate()
        .filter(|&(_, state)| report.breakdown.picos(state) > 0)
        .map(|(at, state)| {
            (
                state.title().to_owned(),
                report.breakdown.share(state),
                colour(at),
            )
        })
        .collect();
    stacked(&parts)
}

/// Shares of time by evidence.
pub(super) fn provenance(shares: [f64; 4]) -> String {
    let colours = [2, 0, 1, 5];
    let parts: Vec<_> = Evidence::ALL
        .into_iter()
        .zip(shares)
        .zip(colours)
        .filter(|((_, share), _)| *share > 0.0)
        .map(|((evidence, share), at)| (evidence.name().to_owned(), share, colour(at)))
        .collect();
    stacked(&parts)
}

/// Peak memory of every stage by cause, against the device's.
pub(super) fn memory(report: &Report) -> String {
    let memory = &report.memory;
    let capacity = memory.capacity.as_gib();
    let most = memory
        .stages
        .iter()
        .map(|stage| stage.bytes.as_gib())
        .fold(capacity, f64::max);
    canvas(360, |area| {
        let stages = &memory.stages;
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .margin_right(LEGEND)
            .x_label_area_size(34)
            .y_label_area_size(56)
            .build_cartesian_2d(-0.5..number(stages.len()) - 0.5, 0.0..most * 1.06)?;
        quiet(&mut chart.configure_mesh())
            .x_labels(stages.len().min(24))
            .x_label_formatter(&|x| stage_label(stages.iter().map(|s| s.stage.as_str()), *x))
            .y_desc("GiB")
            .draw()?;
        for (cause, name) in memory.causes.iter().enumerate() {
            let bars = stages.iter().enumerate().map(|(at, stage)| {
                let base: f64 = stage.by_cause[..cause].iter().map(|b| b.as_gib()).sum();
                let top = base + stage.by_cause[cause].as_gib();
                let x = number(at);
                Rectangle::new([(x - 0.36, base), (x + 0.36, top)], colour(cause).filled())
            });
            chart.draw_series(bars)?;
            key(area, cause, name, colour(cause))?;
        }
        let limit = [(-0.5, capacity), (number(stages.len()) - 0.5, capacity)];
        chart.draw_series(LineSeries::new(limit, LIMIT.stroke_width(2)))?;
        key(area, memory.causes.len(), "device memory", LIMIT)?;
        Ok(())
    })
}

/// Line `line` of the legend beside a chart.
pub(super) fn key(area: &Area<'_>, line: usize, name: &str, colour: RGBColor) -> Drawn {
    let (x, y) = (858, pixel(14.0 + 20.0 * number(line)));
    area.draw(&Rectangle::new([(x, y), (x + 12, y + 12)], colour.filled()))?;
    area.draw(&Text::new(name.to_owned(), (x + 18, y), label(14)))?;
    Ok(())
}

/// The label of the bar at `x`, if one stands there.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be a position"
)]
fn stage_label<'a>(mut names: impl Iterator<Item = &'a str>, x: f64) -> String {
    if x < -0.01 || (x - x.round()).abs() > 0.01 {
        return String::new();
    }
    let name = names.nth(x.round() as usize).unwrap_or_default();
    name.trim_start_matches("stage ").to_owned()
}

/// Compute and waiting of every rank.
pub(super) fn ranks(report: &Report) -> String {
    let loads = &report.ranks.loads;
    let per_column = loads.len().div_ceil(MOST_COLUMNS).max(1);
    let columns: Vec<(f64, f64)> = loads
        .chunks(per_column)
        .map(|chunk| {
            let most = |value: fn(&crate::RankLoad) -> f64| chunk.iter().map(value).fold(0.0, f64::max);
            (most(|rank| rank.compute), most(|rank| rank.imbalance_wait))
        })
        .collect();
    let top = columns.iter().map(|c| c.0.max(c.1)).fold(1e-12, f64::max);
    canvas(280, |area| {
        let width = number(per_column);
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .margin_right(LEGEND)
            .x_label_area_size(34)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..number(loads.len()), 0.0..top * 1.08)?;
        quiet(&mut chart.configure_mesh())
            .x_labels((loads.len() + 1).min(11))
            .x_desc("rank")
            .y_desc("seconds a step")
            .x_label_formatter(&|x| format!("{x:.0}"))
            .draw()?;
        for (line, (at, name)) in [(0, "compute"), (7, "imbalance wait")].into_iter().enumerate() {
            let bars = columns.iter().enumerate().map(|(column, values)| {
                let x = number(column) * width;
                let height = if at == 0 { values.0 } else { values.1 };
                Rectangle::new([(x, 0.0), (x + width, height)], colour(at).mix(0.85).filled())
            });
            chart.draw_series(bars)?;
            key(area, line, name, colour(at))?;
        }
        Ok(())
    })
}
