//! Colours of kinds: the hue of the class, told apart within it by lightness.

use eframe::egui::Color32;

use super::layout::Bar;
use super::model::TimelineModel;
use crate::theme;

/// How far the kinds of a class stray from its colour: to white if positive, to black if negative. The
/// longest kind has the colour of the class.
const SHADES: [f32; 5] = [0.0, 0.25, -0.25, 0.42, -0.42];

/// A colour for each kind of `model`, by number of the kind.
pub(super) fn of_kinds(model: &TimelineModel) -> Vec<Color32> {
    let mut colors = vec![Color32::GRAY; model.kinds.len()];
    let mut before = None;
    let mut number = 0;
    for &kind in model.kinds_in_order() {
        let class = model.kind(kind).class;
        number = if before == Some(class) { number + 1 } else { 0 };
        before = Some(class);
        let shade = SHADES[number % SHADES.len()];
        let towards = if shade < 0.0 {
            Color32::BLACK
        } else {
            Color32::WHITE
        };
        colors[kind.index()] = theme::of_class(class).lerp_to_gamma(towards, shade.abs());
    }
    colors
}

/// The colour of `bar`: paler the less of it spans fill, and nearly gone when a search found others.
pub(super) fn of_bar(bar: &Bar, colors: &[Color32], searching: bool, background: Color32) -> Color32 {
    let color = colors[bar.kind.index()];
    let empty = if bar.count == 1 {
        0.0
    } else {
        1.0 - bar.fill.clamp(0.0, 1.0)
    };
    // A found bar must be seen, however little of its time it fills.
    let pale = if searching && !bar.found {
        0.82
    } else if bar.found {
        0.0
    } else {
        0.65 * empty
    };
    color.lerp_to_gamma(background, pale)
}
