//! Every colour, once.

use eframe::egui::{Color32, Context, Theme, Visuals};
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

/// The colour of a side of a comparison, of which there are three.
pub(crate) const fn of_side(side: usize) -> Color32 {
    of_policy(side)
}

/// The colour of a policy, in lines and swatches: hues of Okabe and Ito, one after the other.
pub(crate) const fn of_policy(policy: usize) -> Color32 {
    const HUES: [Color32; 6] = [
        Color32::from_rgb(0x56, 0xb4, 0xe9),
        Color32::from_rgb(0xe6, 0x9f, 0x00),
        Color32::from_rgb(0x00, 0x9e, 0x73),
        Color32::from_rgb(0xcc, 0x79, 0xa7),
        Color32::from_rgb(0xd5, 0x5e, 0x00),
        Color32::from_rgb(0x00, 0x72, 0xb2),
    ];
    HUES[policy % HUES.len()]
}

/// The colour of a part of a stack: after six hues the same ones again, weaker.
pub(crate) fn of_part(part: usize) -> Color32 {
    of_policy(part).gamma_multiply(if part < 6 { 1.0 } else { 0.55 })
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

/// One colour for light text on dark, and one for dark text on light.
struct Pair {
    on_dark: Color32,
    on_light: Color32,
}

impl Pair {
    const fn of(&self, visuals: &Visuals) -> Color32 {
        if visuals.dark_mode {
            self.on_dark
        } else {
            self.on_light
        }
    }
}

const ABSENT: Pair = Pair {
    on_dark: Color32::from_rgb(0x45, 0x45, 0x4a),
    on_light: Color32::from_rgb(0xc8, 0xc8, 0xce),
};
const FADED: Pair = Pair {
    on_dark: Color32::from_rgb(0xb4, 0xb4, 0xba),
    on_light: Color32::from_rgb(0x4a, 0x4a, 0x50),
};
const COUNTER: Pair = Pair {
    on_dark: Color32::from_gray(0x5c),
    on_light: Color32::from_gray(0xc0),
};
const LINK: Pair = Pair {
    on_dark: Color32::from_rgb(0x6c, 0xb8, 0xff),
    on_light: Color32::from_rgb(0x00, 0x5c, 0xa8),
};
const STRING: Pair = Pair {
    on_dark: Color32::from_rgb(0x8f, 0xc7, 0xa8),
    on_light: Color32::from_rgb(0x1c, 0x66, 0x46),
};
const BAD: Pair = Pair {
    on_dark: Color32::from_rgb(0xf0, 0x70, 0x66),
    on_light: Color32::from_rgb(0xb0, 0x24, 0x1c),
};
const GOOD: Pair = Pair {
    on_dark: Color32::from_rgb(0x4c, 0xb0, 0x7a),
    on_light: Color32::from_rgb(0x1a, 0x6b, 0x40),
};
const WARN: Pair = Pair {
    on_dark: MARK,
    on_light: Color32::from_rgb(0x87, 0x58, 0x00),
};

const TEXT: Pair = Pair {
    on_dark: Color32::from_gray(0xc4),
    on_light: Color32::from_gray(0x38),
};
const WEAK: Pair = Pair {
    on_dark: Color32::from_gray(0x94),
    on_light: Color32::from_gray(0x62),
};

/// Has `context` draw words in colours that are read on its panels; its own are too faint.
pub(crate) fn dress(context: &Context) {
    for theme in [Theme::Dark, Theme::Light] {
        context.set_visuals_of(theme, visuals(theme));
    }
}

fn visuals(theme: Theme) -> Visuals {
    let mut visuals = theme.default_visuals();
    visuals.widgets.noninteractive.fg_stroke.color = TEXT.of(&visuals);
    visuals.weak_text_color = Some(WEAK.of(&visuals));
    visuals.hyperlink_color = line(&visuals);
    visuals
}

/// A line on [`extreme_bg_color`](Visuals::extreme_bg_color).
pub(crate) const fn line(visuals: &Visuals) -> Color32 {
    LINK.of(visuals)
}

/// What a counter holds, as an area with words on it.
pub(crate) const fn counter(visuals: &Visuals) -> Color32 {
    COUNTER.of(visuals)
}

/// A cell without a value.
pub(crate) const fn absent(visuals: &Visuals) -> Color32 {
    ABSENT.of(visuals)
}

/// What is written on [`absent`].
pub(crate) const fn faded(visuals: &Visuals) -> Color32 {
    FADED.of(visuals)
}

/// Strings in the text of a scenario.
pub(crate) const fn string(visuals: &Visuals) -> Color32 {
    STRING.of(visuals)
}

/// What failed.
pub(crate) const fn bad(visuals: &Visuals) -> Color32 {
    BAD.of(visuals)
}

/// What holds.
pub(crate) const fn good(visuals: &Visuals) -> Color32 {
    GOOD.of(visuals)
}

/// What wants a look, as text.
pub(crate) const fn warn(visuals: &Visuals) -> Color32 {
    WARN.of(visuals)
}

/// What wants a look, as a shape with a dark edge or dark words on it, and the demo mark.
pub(crate) const MARK: Color32 = Color32::from_rgb(0xe6, 0xb0, 0x3c);

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

    /// Relative luminance of an opaque colour (WCAG 2.2, "relative luminance").
    fn luminance(color: Color32) -> f64 {
        let [red, green, blue, _] = color.to_array().map(|channel| {
            let share = f64::from(channel) / 255.0;
            if share <= 0.040_45 {
                share / 12.92
            } else {
                ((share + 0.055) / 1.055).powf(2.4)
            }
        });
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    /// Contrast of two colours, 1 to 21 (WCAG 2.2, "contrast ratio"); black on white is 21.
    fn contrast(one: Color32, other: Color32) -> f64 {
        let [one, other] = [one, other].map(luminance);
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    #[test]
    fn words_are_read_on_light_and_on_dark() {
        assert!((contrast(Color32::BLACK, Color32::WHITE) - 21.0).abs() < 1e-9);
        for visuals in [Theme::Dark, Theme::Light].map(visuals) {
            let own = [
                visuals.text_color(),
                visuals.weak_text_color(),
                visuals.hyperlink_color,
            ];
            let ours = [string, bad, good, warn].map(|color| color(&visuals));
            for color in own.into_iter().chain(ours) {
                for under in [visuals.panel_fill, visuals.window_fill, visuals.extreme_bg_color] {
                    let contrast = contrast(color, under);
                    // The least for text (WCAG 2.2, success criterion 1.4.3).
                    assert!(contrast >= 4.5, "{color:?} on {under:?}: {contrast:.2}");
                }
            }
            assert!(contrast(faded(&visuals), absent(&visuals)) >= 4.5);
            assert!(contrast(visuals.strong_text_color(), counter(&visuals)) >= 4.5);
        }
        assert!(contrast(Color32::BLACK, MARK) >= 4.5);
        let light = visuals(Theme::Light);
        assert!(
            contrast(MARK, light.panel_fill) < 4.5,
            "the mark is no colour of words on light: `warn` is"
        );
    }
}
