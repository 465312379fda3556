//! Memory by stage in the picture: bars, and a table of what they hold.

use orrery_units::Bytes;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::{BAD, Fault, HUES, LINE, MARGIN, Pen, RIGHT, ROW, SMALL, pixels};
use crate::picture::chart::{INK, SOFT, styled, width};
use crate::stages::StagesFigure;

/// Room for the names of stages in the table.
const STAGE: i32 = 150;

const fn hue(cause: usize) -> RGBColor {
    let last = HUES.len() - 1;
    HUES[if cause < last { cause } else { last }]
}

impl<B: DrawingBackend> Pen<'_, '_, B> {
    pub(super) fn memory(&mut self) -> Result<(), Fault<B>> {
        let figure = StagesFigure::of_sheet(self.sheet);
        if figure.bars.is_empty() {
            return Ok(());
        }
        self.heading("Memory at the peak of each stage")?;
        for bar in &figure.bars {
            let (left, right, y) = self.row(&bar.label, &Bytes::from_f64(bar.bytes).to_string())?;
            let x = |bytes: f64| left + pixels(figure.share(bytes), right - left);
            for part in &bar.parts {
                self.bar((x(part.from), x(part.to)), y, hue(part.cause))?;
            }
            if figure.capacity > 0.0 {
                let x = x(figure.capacity);
                self.area
                    .draw(&PathElement::new([(x, y - 15), (x, y + 15)], BAD.stroke_width(4)))?;
            }
        }
        let notes = figure.left_out().into_iter().chain(self.sheet.capacity_note());
        let notes: Vec<String> = notes.collect();
        self.paragraph(&notes.join(" · "), SMALL, SOFT)?;
        self.table(&figure)
    }

    /// Bytes of every cause by stage, the causes with their colours.
    fn table(&mut self, figure: &StagesFigure) -> Result<(), Fault<B>> {
        // More causes than stand beside each other go into further tables.
        const COLUMN: i32 = 225;
        let columns = usize::try_from((RIGHT - MARGIN - STAGE) / COLUMN).unwrap_or(1);
        let right = |at: usize| {
            let place = i32::try_from(at % columns).unwrap_or(0);
            MARGIN + STAGE + (place + 1) * COLUMN
        };
        let style = styled(SMALL, INK, HPos::Right, VPos::Center);
        for from in (0..figure.causes.len()).step_by(columns) {
            let to = (from + columns).min(figure.causes.len());
            self.y += 12;
            for at in from..to {
                let cause = figure.causes[at].as_str();
                self.area.draw_text(cause, &style, (right(at), self.y))?;
                let x = right(at) - width(self.area, cause, &style) - 12;
                let corners = [(x - 14, self.y - 7), (x, self.y + 7)];
                self.area.draw(&Rectangle::new(corners, hue(at).filled()))?;
            }
            self.y += ROW - 14;
            self.area.draw(&PathElement::new(
                [(MARGIN, self.y), (RIGHT, self.y)],
                LINE.stroke_width(1),
            ))?;
            self.y += 18;
            for bar in &figure.bars {
                self.text(&bar.label, SMALL, INK, (MARGIN, self.y))?;
                let cells = figure.cells(bar);
                for (at, words) in cells.iter().enumerate().take(to).skip(from) {
                    self.area.draw_text(words, &style, (right(at), self.y))?;
                }
                self.y += ROW - 6;
            }
        }
        Ok(())
    }
}
