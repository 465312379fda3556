//! The critical path as a route: over time, from stage to stage, coloured by what it passes through.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::Drawing;
use super::chart::{INK, SOFT, Scale, axis, head, legend, styled};

const WIDTH: u32 = 2560;
const LANE: i32 = 48;
const TOP: i32 = 280;

/// A stretch of the route.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    /// Seconds from the beginning of the step.
    pub(crate) from: f64,
    pub(crate) to: f64,
    pub(crate) stage: u32,
    pub(crate) colour: RGBColor,
}

/// The route.
#[derive(Clone, Debug, Default)]
pub(crate) struct Route {
    pub(crate) title: String,
    pub(crate) notes: Vec<String>,
    pub(crate) legend: Vec<(String, RGBColor)>,
    pub(crate) stretches: Vec<Stretch>,
    pub(crate) stages: u32,
}

impl Drawing for Route {
    fn size(&self) -> (u32, u32) {
        let lanes = i32::try_from(self.stages.clamp(1, 128)).unwrap_or(1);
        (WIDTH, u32::try_from(TOP + lanes * LANE + 120).unwrap_or(1200))
    }

    fn on<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>>
    where
        B::ErrorType: 'static,
    {
        head(area, &self.title, &self.notes)?;
        legend(area, &self.legend, TOP - 52)?;
        let high = self.stretches.last().map_or(1.0, |last| last.to);
        let scale = Scale {
            low: 0.0,
            high,
            left: 220,
            right: i32::try_from(WIDTH).unwrap_or(2560) - 60,
        };
        let lanes = i32::try_from(self.stages.max(1)).unwrap_or(1);
        let bottom = TOP + lanes * LANE + 8;
        axis(
            area,
            &scale,
            (TOP - 12, bottom),
            "s from the beginning of the step",
        )?;
        let middle = |stage: u32| TOP + i32::try_from(stage).unwrap_or(0) * LANE + LANE / 2;
        let name = styled(26, SOFT, HPos::Right, VPos::Center);
        for stage in 0..self.stages {
            area.draw_text(&format!("stage {stage}"), &name, (200, middle(stage)))?;
        }
        for pair in self.stretches.windows(2) {
            if pair[0].stage != pair[1].stage {
                let x = scale.at(pair[1].from);
                let line = INK.mix(0.35).stroke_width(2);
                area.draw(&PathElement::new(
                    [(x, middle(pair[0].stage)), (x, middle(pair[1].stage))],
                    line,
                ))?;
            }
        }
        for stretch in &self.stretches {
            let (from, to) = (scale.at(stretch.from), scale.at(stretch.to));
            let y = middle(stretch.stage);
            area.draw(&Rectangle::new(
                [(from, y - LANE / 2 + 6), (to.max(from + 1), y + LANE / 2 - 6)],
                stretch.colour.filled(),
            ))?;
        }
        Ok(())
    }
}
