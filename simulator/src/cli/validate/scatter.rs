//! The picture: every prediction over its measurement, both in logarithms, by group.

use std::collections::BTreeMap;

use plotters::coord::Shift;
use plotters::prelude::*;

use orrery_units::significant;

use crate::picture::Drawing;
use crate::validate::{Outcome, summary};

/// Groups that have a colour and a name of their own; the rest are grey.
const NAMED: usize = 8;

/// Measured and predicted figures of a group.
struct Cloud {
    name: String,
    points: Vec<(f64, f64)>,
}

/// Every compared row.
pub(super) struct Scatter {
    title: String,
    clouds: Vec<Cloud>,
}

impl Scatter {
    /// The rows of `outcome` by the last group that each counts in, which is that of `--by`; largest first.
    pub(super) fn of(outcome: &Outcome) -> Self {
        let mut groups: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
        for row in &outcome.rows {
            if let Ok(compared) = &row.result {
                let group = row.groups.last().map_or("", String::as_str);
                groups
                    .entry(group)
                    .or_default()
                    .push((compared.measured, compared.predicted));
            }
        }
        let cloud = |(name, points): (&str, Vec<(f64, f64)>)| Cloud {
            name: name.to_owned(),
            points,
        };
        let mut clouds: Vec<Cloud> = groups.into_iter().map(cloud).collect();
        clouds.sort_by(|a, b| {
            b.points
                .len()
                .cmp(&a.points.len())
                .then_with(|| a.name.cmp(&b.name))
        });
        let rest: Vec<(f64, f64)> = clouds
            .iter()
            .skip(NAMED)
            .flat_map(|cloud| cloud.points.clone())
            .collect();
        clouds.truncate(NAMED);
        if !rest.is_empty() {
            clouds.push(Cloud {
                name: "others".to_owned(),
                points: rest,
            });
        }
        let all = summary(outcome.rows.iter());
        Self {
            title: format!(
                "{} rows: {:.1} % off on average, {:.1} % in the median; dashed 10 %",
                all.n,
                all.mape * 100.0,
                all.median * 100.0
            ),
            clouds,
        }
    }
}

impl Drawing for Scatter {
    fn on<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>>
    where
        B::ErrorType: 'static,
    {
        let all = || self.clouds.iter().flat_map(|cloud| &cloud.points);
        let ends = all()
            .flat_map(|&(x, y)| [x, y])
            .fold((f64::MAX, f64::MIN_POSITIVE), |(low, high), value| {
                (low.min(value), high.max(value))
            });
        let (least, most) = (ends.0 / 1.5, ends.1 * 1.5);
        let mut chart = ChartBuilder::on(area)
            .caption(&self.title, ("sans-serif", 20))
            .margin(16)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d((least..most).log_scale(), (least..most).log_scale())?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_desc("measured")
            .y_desc("predicted")
            .x_label_formatter(&|value| significant(*value, 2))
            .y_label_formatter(&|value| significant(*value, 2))
            .draw()?;
        for (factor, alpha) in [(1.0, 0.8), (1.1, 0.3), (1.0 / 1.1, 0.3)] {
            let line = [(least, least * factor), (most, most * factor)];
            let style = BLACK.mix(alpha);
            if alpha > 0.5 {
                chart.draw_series(LineSeries::new(line, style))?;
            } else {
                chart.draw_series(DashedLineSeries::new(line, 6, 4, style.into()))?;
            }
        }
        for (at, cloud) in self.clouds.iter().enumerate() {
            let colour = if at < NAMED {
                Palette99::pick(at).to_rgba()
            } else {
                RGBColor(150, 150, 150).to_rgba()
            };
            let dots = cloud
                .points
                .iter()
                .map(|&point| Circle::new(point, 3, colour.mix(0.6).filled()));
            chart
                .draw_series(dots)?
                .label(cloud.name.as_str())
                .legend(move |(x, y)| Circle::new((x + 9, y), 4, colour.filled()));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .label_font(("sans-serif", 13))
            .draw()
    }
}
