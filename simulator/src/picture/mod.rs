//! Pictures as SVG or PNG: the same drawing on either.

pub(crate) mod chart;
pub(crate) mod route;
pub(crate) mod why;

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::files;

const SIZE: (u32, u32) = (960, 600);

/// Something that can be drawn on any backend.
pub(crate) trait Drawing {
    /// Width and height in pixels.
    fn size(&self) -> (u32, u32) {
        SIZE
    }

    /// Draws itself on `area`, white when it comes.
    fn on<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>>
    where
        B::ErrorType: 'static;
}

/// Draws to `path`, whose ending says the format.
pub(crate) fn draw(drawing: &impl Drawing, path: &Path) -> Result<(), String> {
    // Text is measured, and in a PNG drawn, with the embedded font; one that is there already is as good.
    let _registered = plotters::style::register_font(
        "sans-serif",
        FontStyle::Normal,
        epaint_default_fonts::UBUNTU_LIGHT,
    );
    let ending = path.extension().and_then(|end| end.to_str());
    let Some(ending) = ending.filter(|ending| matches!(*ending, "svg" | "png")) else {
        return Err(format!(
            "a picture is an SVG or a PNG\n  = help: end the name in `.svg` or `.png`: {}",
            path.display()
        ));
    };
    // Drawn beside it and then put in its place, so that an older picture stays whole when this one fails.
    let part = path.with_extension(format!("part.{ending}"));
    let drawn = files::folder_of(path).and_then(|()| match ending {
        "svg" => finish(drawing, SVGBackend::new(&part, drawing.size())),
        _ => finish(drawing, BitMapBackend::new(&part, drawing.size())),
    });
    let put = drawn.and_then(|()| std::fs::rename(&part, path).map_err(|fault| fault.to_string()));
    put.map_err(|why| format!("cannot write: {why}: {}", path.display()))
}

fn finish<B: DrawingBackend>(drawing: &impl Drawing, backend: B) -> Result<(), String>
where
    B::ErrorType: 'static,
{
    let area = backend.into_drawing_area();
    let drawn = area
        .fill(&WHITE)
        .and_then(|()| drawing.on(&area))
        .and_then(|()| area.present());
    drawn.map_err(|fault| fault.to_string())
}
