//! The sheet as a picture: what a page of the HTML holds, on one side, which is as long as it has to be.

mod memory;
mod rests;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::{Sheet, Swing};
use crate::picture::Drawing;
use crate::picture::chart::{INK, SOFT, styled};

/// A page of A4 at about 200 dots an inch; more text makes it longer.
const SIZE: (u32, u32) = (1654, 2339);
const MARGIN: i32 = 70;
const RIGHT: i32 = 1654 - MARGIN;
const ROW: i32 = 34;
const BODY: i32 = 24;
const SMALL: i32 = 20;
/// Figures in a line.
const COLUMNS: i32 = 4;
/// Letters of a line of text.
const LETTERS: usize = 146;
const HUES: [RGBColor; 8] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0x8c, 0x6b, 0xb1),
    RGBColor(0x90, 0x90, 0x90),
];
const LINE: RGBColor = RGBColor(0xd9, 0xdd, 0xe3);
const BAD: RGBColor = RGBColor(0xc0, 0x39, 0x2b);

/// A sheet that is drawn.
pub(super) struct Page<'a>(pub(super) &'a Sheet);

type Fault<B> = DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>;

/// Where the next line goes.
struct Pen<'a, 'b, B: DrawingBackend> {
    area: &'a DrawingArea<B, Shift>,
    y: i32,
    sheet: &'b Sheet,
}

impl Drawing for Page<'_> {
    fn size(&self) -> (u32, u32) {
        // Where it ends is known once it was drawn: into a text that nobody reads.
        let mut nowhere = String::new();
        let area = SVGBackend::with_string(&mut nowhere, SIZE).into_drawing_area();
        let end = self.draw_to_its_end(&area).unwrap_or_default();
        let height = u32::try_from(end + MARGIN).unwrap_or_default();
        (SIZE.0, SIZE.1.max(height))
    }

    fn on<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<(), Fault<B>>
    where
        B::ErrorType: 'static,
    {
        self.draw_to_its_end(area).map(|_end| ())
    }
}

impl Page<'_> {
    /// Draws everything, and says where it ends.
    fn draw_to_its_end<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<i32, Fault<B>>
    where
        B::ErrorType: 'static,
    {
        let mut pen = Pen {
            area,
            y: MARGIN,
            sheet: self.0,
        };
        pen.head()?;
        pen.figures()?;
        pen.causes()?;
        pen.swings()?;
        pen.memory()?;
        pen.expected()?;
        pen.foot()?;
        pen.assumptions()?;
        Ok(pen.y)
    }
}

impl<B: DrawingBackend> Pen<'_, '_, B> {
    fn text(&self, words: &str, size: i32, colour: RGBColor, (x, y): (i32, i32)) -> Result<(), Fault<B>> {
        self.area
            .draw_text(words, &styled(size, colour, HPos::Left, VPos::Center), (x, y))
    }

    /// `words` in as many lines as they need.
    fn paragraph(&mut self, words: &str, size: i32, colour: RGBColor) -> Result<(), Fault<B>> {
        if words.trim().is_empty() {
            return Ok(());
        }
        for line in wrapped(
            words,
            LETTERS * usize::try_from(BODY).unwrap_or(1) / usize::try_from(size).unwrap_or(1),
        ) {
            self.text(&line, size, colour, (MARGIN, self.y))?;
            self.y += size + 10;
        }
        Ok(())
    }

    fn heading(&mut self, words: &str) -> Result<(), Fault<B>> {
        self.y += 26;
        self.text(words, BODY + 4, INK, (MARGIN, self.y))?;
        self.y += 22;
        self.area.draw(&PathElement::new(
            [(MARGIN, self.y), (RIGHT, self.y)],
            LINE.stroke_width(2),
        ))?;
        self.y += 24;
        Ok(())
    }

    fn head(&mut self) -> Result<(), Fault<B>> {
        let sheet = self.sheet;
        self.text(&sheet.mark().to_uppercase(), SMALL, SOFT, (MARGIN, self.y))?;
        self.y += 50;
        self.paragraph(&sheet.title, 40, INK)?;
        self.y += 8;
        for (name, words) in &sheet.subject {
            self.paragraph(&format!("{name}: {words}"), BODY, SOFT)?;
        }
        self.y += 12;
        if let Some(words) = sheet.partial_note() {
            self.paragraph(&words, BODY, BAD)?;
        }
        self.paragraph(&sheet.verdict, BODY + 4, INK)?;
        self.paragraph(&sheet.waiting, BODY, INK)?;
        for line in sheet.memo.lines() {
            self.paragraph(line, BODY, INK)?;
        }
        Ok(())
    }

    fn figures(&mut self) -> Result<(), Fault<B>> {
        let sheet = self.sheet;
        self.y += 30;
        let wide = (RIGHT - MARGIN) / COLUMNS;
        let mut column = 0;
        for figure in &sheet.figures {
            let x = MARGIN + column * wide;
            self.text(&figure.label, SMALL, SOFT, (x, self.y))?;
            self.text(&figure.shown, BODY + 4, INK, (x, self.y + 32))?;
            self.text(&figure.interval, SMALL - 2, SOFT, (x, self.y + 60))?;
            column += 1;
            if column == COLUMNS {
                column = 0;
                self.y += 96;
            }
        }
        if column > 0 {
            self.y += 96;
        }
        self.paragraph(sheet.interval_note().unwrap_or_default(), SMALL, SOFT)
    }

    /// A label, an area for bars, and a text behind it.
    fn row(&mut self, label: &str, text: &str) -> Result<(i32, i32, i32), Fault<B>> {
        const LABEL: i32 = 330;
        const TEXT: i32 = 250;
        let y = self.y;
        self.text(label, SMALL + 2, INK, (MARGIN, y))?;
        self.text(text, SMALL + 2, INK, (RIGHT - TEXT + 16, y))?;
        self.y += ROW;
        Ok((MARGIN + LABEL, RIGHT - TEXT, y))
    }

    fn bar(&self, (from, to): (i32, i32), y: i32, colour: RGBColor) -> Result<(), Fault<B>> {
        let corners = [(from, y - 10), (to.max(from + 1), y + 10)];
        self.area.draw(&Rectangle::new(corners, colour.filled()))
    }

    fn causes(&mut self) -> Result<(), Fault<B>> {
        let sheet = self.sheet;
        if sheet.causes.is_empty() {
            return Ok(());
        }
        self.heading("Where the mean step goes")?;
        let most = sheet.causes.iter().map(|part| part.share).fold(0.0, f64::max);
        for part in &sheet.causes {
            let (left, right, y) = self.row(&part.label, &part.words())?;
            self.bar((left, left + pixels(part.share / most, right - left)), y, HUES[0])?;
        }
        Ok(())
    }

    fn swings(&mut self) -> Result<(), Fault<B>> {
        let sheet = self.sheet;
        if sheet.swings.is_empty() {
            return Ok(());
        }
        self.heading("What decides the step")?;
        self.paragraph(&sheet.swings_note, SMALL, SOFT)?;
        let widest = |swing: &Swing| swing.more.abs().max(swing.less.abs());
        let widest = sheet.swings.iter().map(widest).fold(1e-9, f64::max);
        for swing in &sheet.swings {
            let (left, right, y) = self.row(&swing.label, &swing.words())?;
            let middle = i32::midpoint(left, right);
            for (share, colour) in [(swing.more, HUES[2]), (swing.less, HUES[1])] {
                let end = middle + pixels(share / widest, (right - left) / 2);
                self.bar((middle.min(end), middle.max(end)), y, colour)?;
            }
        }
        Ok(())
    }
}

/// `share` of `width`.
#[expect(clippy::cast_possible_truncation, reason = "pixels of a page")]
fn pixels(share: f64, width: i32) -> i32 {
    (share * f64::from(width)).round() as i32
}

/// `words` in lines of at most so many letters, broken between words.
fn wrapped(words: &str, letters: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in words.split_whitespace() {
        let line = lines.last_mut().expect("there is one");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= letters {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::Expected;
    use super::*;

    #[test]
    fn a_long_sheet_is_drawn_to_its_last_line() {
        let expectation = |place: usize| Expected {
            id: format!("bound-{place}"),
            check: "train.mfu.mean >= 0.5".to_owned(),
            pass: place > 0,
            found: "0.4".to_owned(),
            why: String::new(),
        };
        let heights = [1, 90].map(|num| {
            let sheet = Sheet {
                title: "long".to_owned(),
                expected: (0..num).map(expectation).collect(),
                origin: vec![("source", "the last line".to_owned())],
                ..Sheet::default()
            };
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("sheet.svg");
            sheet.write(&path).unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.contains("FAILS bound-0") && text.contains("the last line"));
            let attribute = |line: &str, name: &str| -> Option<f64> {
                let (_, rest) = line.split_once(&format!(" {name}=\""))?;
                rest.split_once('"')?.0.parse().ok()
            };
            let height = attribute(&text, "height").unwrap();
            let texts = text.lines().filter(|line| line.starts_with("<text"));
            let lowest = texts.filter_map(|line| attribute(line, "y")).fold(0.0, f64::max);
            assert!(0.0 < lowest && lowest < height - 20.0, "{lowest} of {height}");
            height
        });
        let enough = (heights[0] - f64::from(SIZE.1)).abs() < 0.5;
        assert!(enough, "a page of A4 where it is enough");
        assert!(heights[1] > heights[0]);
    }
}
