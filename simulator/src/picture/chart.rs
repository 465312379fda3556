//! A chart of horizontal bars: waterfalls, tornados, differences, parts beside published ones.
//!
//! Every row is a label, bars from one value to another, and a text behind them; the chart is as high as its rows.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::Drawing;

/// Twice the pixels of a page, so that glyphs keep their distances.
const WIDTH: u32 = 2160;
const ROW: i32 = 60;
const LINE: i32 = 38;
const MARGIN: i32 = 48;
const SMALL: i32 = 26;
const MEDIUM: i32 = 28;
const LARGE: i32 = 42;
pub(crate) const INK: RGBColor = RGBColor(0x22, 0x2a, 0x35);
pub(crate) const SOFT: RGBColor = RGBColor(0x6b, 0x74, 0x80);
const GRID: RGBColor = RGBColor(0xe3, 0xe7, 0xec);

/// A bar of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bar {
    /// Where it begins and ends, in the unit of the chart.
    pub(crate) from: f64,
    pub(crate) to: f64,
    pub(crate) colour: RGBColor,
    /// Whether it is a thin line, such as a range.
    pub(crate) thin: bool,
}

/// A row; its bars lie below each other, but a thin one upon the bar before it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) label: String,
    pub(crate) bars: Vec<Bar>,
    pub(crate) text: String,
    /// Whether it is a sum, set apart.
    pub(crate) total: bool,
}

/// A chart.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chart {
    pub(crate) title: String,
    /// Lines below the title: what it is, seed, evidence.
    pub(crate) notes: Vec<String>,
    /// What the axis counts.
    pub(crate) axis: String,
    pub(crate) rows: Vec<Row>,
    pub(crate) legend: Vec<(String, RGBColor)>,
    /// Whether the axis may begin beyond zero, where bars are small beside their sums.
    pub(crate) zoomed: bool,
    /// A vertical line at this value.
    pub(crate) mark: Option<f64>,
}

impl Bar {
    pub(crate) const fn new(from: f64, to: f64, colour: RGBColor) -> Self {
        Self {
            from,
            to,
            colour,
            thin: false,
        }
    }
}

/// The colour of sums.
pub(crate) const TOTAL: RGBColor = RGBColor(0x3d, 0x47, 0x55);

impl Chart {
    /// Rows in which every part begins where the one before ended, between a first and a last sum.
    pub(crate) fn running(
        first: Option<(String, f64, String)>,
        parts: impl IntoIterator<Item = (String, f64, RGBColor, String)>,
        last: (String, f64, String),
    ) -> Vec<Row> {
        let total = |(label, value, text): (String, f64, String)| Row {
            label,
            bars: vec![Bar::new(0.0, value, TOTAL)],
            text,
            total: true,
        };
        let mut at = first.as_ref().map_or(0.0, |first| first.1);
        let mut rows: Vec<Row> = first.into_iter().map(total).collect();
        for (label, value, colour, text) in parts {
            rows.push(Row {
                label,
                bars: vec![Bar::new(at, at + value, colour)],
                text,
                total: false,
            });
            at += value;
        }
        rows.push(total(last));
        rows
    }

    /// The least and the greatest value that is drawn.
    fn range(&self) -> (f64, f64) {
        let of = |rows: &mut dyn Iterator<Item = &Row>| {
            rows.flat_map(|row| row.bars.iter().flat_map(|bar| [bar.from, bar.to]))
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                    (low.min(value), high.max(value))
                })
        };
        let (low, high) = of(&mut self.rows.iter());
        let (low, high) = (low.min(0.0), high.max(0.0));
        if self.zoomed {
            let (least, most) = of(&mut self.rows.iter().filter(|row| !row.total));
            let ends = self.rows.iter().filter(|row| row.total).map(|row| row.bars[0].to);
            let (least, most) = ends.fold((least, most), |(low, high), end| (low.min(end), high.max(end)));
            let pad = (most - least) * 0.15;
            if least.is_finite() && least - pad > 0.0 {
                return (least - pad, most + pad * 0.2);
            }
        }
        if high > low { (low, high) } else { (0.0, 1.0) }
    }

    fn top(&self) -> i32 {
        let notes = i32::try_from(self.notes.len()).unwrap_or(0);
        let legend = if self.legend.is_empty() { 0 } else { 56 };
        MARGIN + 64 + notes * LINE + legend + 28
    }
}

/// Text of `size` in `colour`.
pub(crate) fn styled<'a>(size: i32, colour: RGBColor, horizontal: HPos, vertical: VPos) -> TextStyle<'a> {
    ("sans-serif", size)
        .into_font()
        .color(&colour)
        .pos(Pos::new(horizontal, vertical))
}

/// The title, and notes below it.
pub(crate) fn head<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    title: &str,
    notes: &[String],
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    area.draw_text(
        title,
        &styled(LARGE, INK, HPos::Left, VPos::Top),
        (MARGIN, MARGIN - 12),
    )?;
    let mut y = MARGIN + 48;
    for note in notes {
        area.draw_text(note, &styled(SMALL, SOFT, HPos::Left, VPos::Top), (MARGIN, y))?;
        y += LINE;
    }
    Ok(())
}

/// Squares and names in one line.
pub(crate) fn legend<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    entries: &[(String, RGBColor)],
    y: i32,
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    let style = styled(SMALL, INK, HPos::Left, VPos::Center);
    let mut x = MARGIN;
    for (name, colour) in entries {
        area.draw(&Rectangle::new([(x, y - 12), (x + 24, y + 12)], colour.filled()))?;
        area.draw_text(name, &style, (x + 36, y))?;
        x += 36 + width(area, name, &style) + 44;
    }
    Ok(())
}

/// Pixels that `text` is wide.
pub(crate) fn width<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    text: &str,
    style: &TextStyle<'_>,
) -> i32 {
    area.estimate_text_size(text, style)
        .ok()
        .and_then(|(width, _)| i32::try_from(width).ok())
        .unwrap_or(0)
}

/// Round values between `low` and `high`, about six.
///
/// Worked: 0 to 19.1: 0, 5, 10, 15.
pub(crate) fn ticks(low: f64, high: f64) -> Vec<f64> {
    let rough = (high - low).max(f64::MIN_POSITIVE) / 6.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|&step| step >= rough)
        .unwrap_or(10.0 * power);
    let first = (low / step).ceil();
    (0..16)
        .map(|number| (first + f64::from(number)) * step)
        .take_while(|&value| value <= high + step * 1e-9)
        .collect()
}

/// A number of the axis: as many digits as its step needs.
pub(crate) fn tick_text(value: f64) -> String {
    if value.abs() < 1e-12 {
        "0".to_owned()
    } else {
        orrery_units::significant(value, 4)
    }
}

/// Where a value lies between the edges of a chart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) left: i32,
    pub(crate) right: i32,
}

impl Scale {
    #[expect(clippy::cast_possible_truncation, reason = "pixels of a picture")]
    pub(crate) fn at(&self, value: f64) -> i32 {
        let share = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        self.left + (share * f64::from(self.right - self.left)).round() as i32
    }
}

impl Drawing for Chart {
    fn size(&self) -> (u32, u32) {
        let rows = i32::try_from(self.rows.len()).unwrap_or(1).max(1);
        let height = self.top() + rows * ROW + 112;
        (WIDTH, u32::try_from(height).unwrap_or(1200))
    }

    fn on<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>>
    where
        B::ErrorType: 'static,
    {
        let (wide, _) = self.size();
        let wide = i32::try_from(wide).unwrap_or(2160);
        head(area, &self.title, &self.notes)?;
        let top = self.top();
        legend(area, &self.legend, top - 48)?;
        let label = styled(MEDIUM, INK, HPos::Right, VPos::Center);
        let text = styled(MEDIUM, INK, HPos::Left, VPos::Center);
        let most = |texts: &mut dyn Iterator<Item = &str>, style| {
            texts.map(|text| width(area, text, style)).max().unwrap_or(0)
        };
        let left = MARGIN + most(&mut self.rows.iter().map(|row| row.label.as_str()), &label) + 28;
        let right = wide - MARGIN - most(&mut self.rows.iter().map(|row| row.text.as_str()), &text) - 24;
        let (low, high) = self.range();
        let scale = Scale {
            low,
            high,
            left,
            right,
        };
        let bottom = top + i32::try_from(self.rows.len()).unwrap_or(0) * ROW + 8;
        axis(area, &scale, (top, bottom), &self.axis)?;
        let mut y = top + ROW / 2;
        for row in &self.rows {
            area.draw_text(&row.label, &label, (left - 20, y))?;
            let end = bars(area, &scale, row, y)?;
            area.draw_text(&row.text, &text, (end + 16, y))?;
            y += ROW;
        }
        if let Some(mark) = self.mark {
            let x = scale.at(mark);
            area.draw(&PathElement::new(
                [(x, top - 8), (x, bottom)],
                INK.stroke_width(2),
            ))?;
        }
        Ok(())
    }
}

/// Lines and numbers of the axis below the rows.
pub(crate) fn axis<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    scale: &Scale,
    (top, bottom): (i32, i32),
    name: &str,
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    let number = styled(SMALL, SOFT, HPos::Center, VPos::Top);
    for tick in ticks(scale.low, scale.high) {
        let x = scale.at(tick);
        area.draw(&PathElement::new([(x, top), (x, bottom)], GRID.stroke_width(2)))?;
        area.draw_text(&tick_text(tick), &number, (x, bottom + 12))?;
    }
    let middle = i32::midpoint(scale.left, scale.right);
    area.draw_text(name, &number, (middle, bottom + 48))
}

/// The bars of a row around `y`; where the last of them ends.
fn bars<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    scale: &Scale,
    row: &Row,
    y: i32,
) -> Result<i32, DrawingAreaErrorKind<B::ErrorType>> {
    let solid = i32::try_from(row.bars.iter().filter(|bar| !bar.thin).count()).unwrap_or(1);
    let height = (ROW - 16) / solid.max(1);
    let mut top = y - height * solid / 2;
    let mut end = scale.at(0.0).max(scale.left);
    for bar in &row.bars {
        let (from, to) = (scale.at(bar.from.min(bar.to)), scale.at(bar.from.max(bar.to)));
        end = end.max(to);
        if bar.thin {
            let middle = top - height / 2;
            let line = bar.colour.stroke_width(4);
            area.draw(&PathElement::new([(from, middle), (to, middle)], line))?;
            for x in [from, to] {
                area.draw(&PathElement::new([(x, middle - 8), (x, middle + 8)], line))?;
            }
            continue;
        }
        area.draw(&Rectangle::new(
            [(from, top), (to.max(from + 2), top + height - 2)],
            bar.colour.filled(),
        ))?;
        top += height;
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        assert_eq!(ticks(0.0, 19.1), [0.0, 5.0, 10.0, 15.0]);
        assert_eq!(ticks(18.2, 19.4).len(), 7);
    }

    #[test]
    fn running_rows_end_where_they_should() {
        let part = |value| (String::new(), value, TOTAL, String::new());
        let sum = |value| (String::new(), value, String::new());
        let rows = Chart::running(Some(sum(3.0)), [part(2.0), part(-1.0)], sum(4.0));
        let ends: Vec<f64> = rows.iter().map(|row| row.bars[0].to).collect();
        assert_eq!(ends, [3.0, 5.0, 4.0, 4.0]);
        assert!((rows[2].bars[0].from - 5.0).abs() < 1e-12);
    }
}
