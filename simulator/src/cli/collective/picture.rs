//! The picture: bus bandwidth of every algorithm over size, as SVG or PNG.

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::picture::Drawing;

/// One algorithm.
pub(super) struct Line {
    /// Its name.
    pub(super) name: &'static str,
    /// Bytes and GB/s.
    pub(super) points: Vec<(f64, f64)>,
}

/// Every algorithm under a title.
pub(super) struct Lines<'l> {
    /// What was asked.
    pub(super) title: &'l str,
    /// The algorithms.
    pub(super) lines: &'l [Line],
}

impl Drawing for Lines<'_> {
    fn on<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>>
    where
        B::ErrorType: 'static,
    {
        let Self { title, lines } = *self;
        let all = || lines.iter().flat_map(|line| &line.points);
        let (least, most) = all().fold((f64::MAX, 1.0_f64), |(low, high), p| {
            (low.min(p.0), high.max(p.0))
        });
        let top = all().fold(1.0_f64, |high, p| high.max(p.1)) * 1.1;
        let mut chart = ChartBuilder::on(area)
            .caption(title, ("sans-serif", 20))
            .margin(16)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d((least..most).log_scale(), 0.0..top)?;
        chart
            .configure_mesh()
            .x_desc("size")
            .y_desc("bus bandwidth, GB/s")
            .x_label_formatter(&|bytes| binary(*bytes))
            .draw()?;
        for (at, line) in lines.iter().enumerate() {
            let colour = Palette99::pick(at).stroke_width(2);
            let series = LineSeries::new(line.points.iter().copied(), colour);
            chart
                .draw_series(series)?
                .label(line.name)
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], colour));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .label_font(("sans-serif", 14))
            .draw()
    }
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
