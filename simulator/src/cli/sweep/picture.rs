//! The picture of a search: memory over step time, with what fits, the front and what was simulated.

use plotters::coord::Shift;
use plotters::prelude::*;

use orrery_units::significant;

use crate::picture::Drawing;

/// Steps beyond so many times the fastest are not drawn: nobody wants them, and they squeeze the rest.
const SLOWEST: f64 = 4.0;
/// Memory beyond so many times that of the device is not drawn.
const LARGEST: f64 = 3.0;

/// Points under a name: seconds and GiB.
pub(super) struct Cloud {
    pub(super) name: &'static str,
    pub(super) points: Vec<(f64, f64)>,
}

/// Layouts by step and memory.
pub(super) struct Map {
    pub(super) title: String,
    pub(super) fitting: Cloud,
    pub(super) too_large: Cloud,
    pub(super) front: Cloud,
    pub(super) confirmed: Cloud,
    /// Of the device, GiB.
    pub(super) memory: f64,
}

impl Drawing for Map {
    fn on<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>>
    where
        B::ErrorType: 'static,
    {
        let all = || self.fitting.points.iter().chain(&self.too_large.points);
        let fastest = all().map(|point| point.0).fold(f64::MAX, f64::min).min(1e9);
        let slowest = all()
            .map(|point| point.0)
            .fold(fastest, f64::max)
            .min(SLOWEST * fastest);
        let largest = all()
            .map(|point| point.1)
            .fold(self.memory, f64::max)
            .min(LARGEST * self.memory);
        let (left, right, top) = (fastest * 0.9, slowest * 1.02, largest * 1.05);
        let mut chart = ChartBuilder::on(area)
            .caption(&self.title, ("sans-serif", 20))
            .margin(16)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(left..right, 0.0..top)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_desc("step, s")
            .y_desc("memory of the fullest device, GiB")
            .x_label_formatter(&|value| significant(*value, 3))
            .y_label_formatter(&|value| significant(*value, 3))
            .draw()?;
        let inside = |point: &&(f64, f64)| point.0 <= right && point.1 <= top;
        for (cloud, colour) in [
            (&self.too_large, RGBColor(200, 120, 110).mix(0.35)),
            (&self.fitting, RGBColor(70, 110, 170).mix(0.45)),
        ] {
            let dots = cloud.points.iter().filter(inside);
            let dots = dots.map(|&point| Circle::new(point, 2, colour.filled()));
            chart
                .draw_series(dots)?
                .label(format!("{} {}", cloud.points.len(), cloud.name))
                .legend(move |(x, y)| Circle::new((x + 9, y), 3, colour.filled()));
        }
        let limit = [(left, self.memory), (right, self.memory)];
        let style = BLACK.mix(0.6);
        chart
            .draw_series(DashedLineSeries::new(limit, 6, 4, style.into()))?
            .label("memory of the device")
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], style));
        let line = self.front.points.iter().filter(inside).copied();
        let colour = RGBColor(20, 60, 120).stroke_width(2);
        chart
            .draw_series(LineSeries::new(line, colour))?
            .label(self.front.name)
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], colour));
        if !self.confirmed.points.is_empty() {
            let colour = RGBColor(210, 100, 0);
            let crosses = self
                .confirmed
                .points
                .iter()
                .map(|&point| Cross::new(point, 5, colour.stroke_width(2)));
            chart
                .draw_series(crosses)?
                .label(format!("{} {}", self.confirmed.points.len(), self.confirmed.name))
                .legend(move |(x, y)| Cross::new((x + 9, y), 4, colour.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.3))
            .label_font(("sans-serif", 14))
            .draw()
    }
}
