//! Every colour, once.

use eframe::egui::Color32;
use orrery_timeline::OpClass;

/// The colour of an operation class. The hues are those of Okabe and Ito, chosen to be told apart by
/// colour-blind readers, and neutral tones for what is left.
pub(crate) const fn of_class(class: OpClass) -> Color32 {
    match class {
        OpClass::Compute => Color32::from_rgb(0x00, 0x72, 0xb2),
        OpClass::Dispatch => Color32::from_rgb(0xe6, 0x9f, 0x00),
        OpClass::Combine => Color32::from_rgb(0xd5, 0x5e, 0x00),
        OpClass::Tensor => Color32::from_rgb(0x00, 0x9e, 0x73),
        OpClass::Context => Color32::from_rgb(0x56, 0xb4, 0xe9),
        OpClass::Pipeline => Color32::from_rgb(0xcc, 0x79, 0xa7),
        OpClass::Data => Color32::from_rgb(0xf0, 0xe4, 0x42),
        OpClass::Optimizer => Color32::from_rgb(0x8c, 0x6b, 0xb1),
        OpClass::Host => Color32::from_rgb(0x8d, 0x6e, 0x63),
        OpClass::Other => Color32::from_rgb(0x90, 0x90, 0x90),
    }
}

/// Black or white, whichever is read better on `background`: by its luma (ITU-R BT.601 weights).
pub(crate) fn ink_on(background: Color32) -> Color32 {
    let [red, green, blue, _] = background.to_array().map(u32::from);
    if 299 * red + 587 * green + 114 * blue > 128_000 {
        Color32::BLACK
    } else {
        Color32::WHITE
    }
}

/// The colour of `share` of a scale, 0 to 1: six anchors of viridis, mixed linearly.
pub(crate) fn sequential(share: f64) -> Color32 {
    const ANCHORS: [[u8; 3]; 6] = [
        [68, 1, 84],
        [65, 68, 135],
        [42, 120, 142],
        [34, 168, 132],
        [122, 209, 81],
        [253, 231, 37],
    ];
    let place = share.clamp(0.0, 1.0) * 5.0;
    let at = (place.floor() as usize).min(4);
    let part = place - at as f64;
    let mix = |channel: usize| {
        let (low, high) = (
            f64::from(ANCHORS[at][channel]),
            f64::from(ANCHORS[at + 1][channel]),
        );
        (low + (high - low) * part).round() as u8
    };
    Color32::from_rgb(mix(0), mix(1), mix(2))
}

/// A cell without a value.
pub(crate) const ABSENT: Color32 = Color32::from_rgb(0x45, 0x45, 0x4a);
/// Strings in the text of a scenario.
pub(crate) const STRING: Color32 = Color32::from_rgb(0x8f, 0xc7, 0xa8);
/// What failed.
pub(crate) const BAD: Color32 = Color32::from_rgb(0xe5, 0x57, 0x4d);
/// What holds.
pub(crate) const GOOD: Color32 = Color32::from_rgb(0x4c, 0xb0, 0x7a);
/// What wants a look, and the demo mark.
pub(crate) const WARN: Color32 = Color32::from_rgb(0xe6, 0xb0, 0x3c);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_differ_and_the_scale_ends_where_viridis_does() {
        for (at, class) in OpClass::ALL.iter().enumerate() {
            for other in &OpClass::ALL[..at] {
                assert_ne!(of_class(*class), of_class(*other));
            }
        }
        assert_eq!(sequential(-1.0), Color32::from_rgb(68, 1, 84));
        assert_eq!(sequential(1.0), Color32::from_rgb(253, 231, 37));
        assert_eq!(ink_on(sequential(1.0)), Color32::BLACK);
        assert_eq!(ink_on(sequential(0.0)), Color32::WHITE);
    }
}
