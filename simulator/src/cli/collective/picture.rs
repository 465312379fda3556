//! The picture: bus bandwidth of every algorithm over size, as SVG or PNG.

use std::path::Path;

use plotters::prelude::*;

/// One algorithm.
pub(super) struct Line {
    /// Its name.
    pub(super) name: &'static str,
    /// Bytes and GB/s.
    pub(super) points: Vec<(f64, f64)>,
}

const SIZE: (u32, u32) = (960, 600);

/// Draws `lines` to `path`, whose ending says the format.
pub(super) fn draw(title: &str, lines: &[Line], path: &Path) -> Result<(), String> {
    font();
    match path.extension().and_then(|end| end.to_str()) {
        Some("svg") => on(SVGBackend::new(path, SIZE), title, lines),
        Some("png") => on(BitMapBackend::new(path, SIZE), title, lines),
        _ => Err(format!(
            "a picture is an SVG or a PNG\n  = help: end the name in `.svg` or `.png`: {}",
            path.display()
        )),
    }
}

/// Text is measured, and in a PNG drawn, with the embedded font.
fn font() {
    // A font that is there already is as good.
    let _registered = plotters::style::register_font(
        "sans-serif",
        FontStyle::Normal,
        epaint_default_fonts::UBUNTU_LIGHT,
    );
}

fn on<B: DrawingBackend>(backend: B, title: &str, lines: &[Line]) -> Result<(), String>
where
    B::ErrorType: 'static,
{
    let fail = |fault: DrawingAreaErrorKind<B::ErrorType>| format!("cannot draw: {fault}");
    let area = backend.into_drawing_area();
    area.fill(&WHITE).map_err(fail)?;
    let all = || lines.iter().flat_map(|line| &line.points);
    let (least, most) = all().fold((f64::MAX, 1.0_f64), |(low, high), p| {
        (low.min(p.0), high.max(p.0))
    });
    let top = all().fold(1.0_f64, |high, p| high.max(p.1)) * 1.1;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 20))
        .margin(16)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d((least..most).log_scale(), 0.0..top)
        .map_err(fail)?;
    chart
        .configure_mesh()
        .x_desc("size")
        .y_desc("bus bandwidth, GB/s")
        .x_label_formatter(&|bytes| binary(*bytes))
        .draw()
        .map_err(fail)?;
    for (at, line) in lines.iter().enumerate() {
        let colour = Palette99::pick(at).stroke_width(2);
        let series = LineSeries::new(line.points.iter().copied(), colour);
        chart
            .draw_series(series)
            .map_err(fail)?
            .label(line.name)
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], colour));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .label_font(("sans-serif", 14))
        .draw()
        .map_err(fail)?;
    area.present().map_err(fail)
}

/// A size in the largest binary unit that it reaches.
fn binary(bytes: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes;
    let mut at = 0;
    while value >= 1024.0 && at + 1 < units.len() {
        value /= 1024.0;
        at += 1;
    }
    format!("{value:.0} {}", units[at])
}
