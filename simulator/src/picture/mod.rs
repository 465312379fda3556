//! Pictures as SVG or PNG: the same drawing on either.

pub(crate) mod chart;
pub(crate) mod route;
pub(crate) mod why;

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

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
    match path.extension().and_then(|end| end.to_str()) {
        Some("svg") => finish(drawing, SVGBackend::new(path, drawing.size())),
        Some("png") => finish(drawing, BitMapBackend::new(path, drawing.size())),
        _ => Err(format!(
            "a picture is an SVG or a PNG\n  = help: end the name in `.svg` or `.png`: {}",
            path.display()
        )),
    }
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
    drawn.map_err(|fault| format!("cannot draw: {fault}"))
}
