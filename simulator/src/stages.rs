//! Memory by stage as a figure, for whoever draws it: which stages, where each cause begins and ends, and where the memory
//! of a device does.

use orrery_units::Bytes;

use crate::outline::Outline;
use crate::sheet::Sheet;

/// Stages that are drawn at most; of more, the fullest.
const MOST_STAGES: usize = 16;

/// Memory by stage.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StagesFigure {
    /// What memory is held for, the largest of all stages first.
    pub causes: Vec<String>,
    /// The stages that are drawn, in their own order.
    pub bars: Vec<StageBar>,
    /// How many there are in all.
    pub num_stages: usize,
    /// Memory of a device in bytes; zero where nobody knows.
    pub capacity: f64,
    /// Bytes at the end of the axis: what the fullest stage holds, or a device if that is more.
    pub most: f64,
}

/// A stage.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StageBar {
    /// Its name.
    pub label: String,
    /// What it holds at its peak, in bytes.
    pub bytes: f64,
    /// What lies behind what, in the order of the causes.
    pub parts: Vec<StagePart>,
}

/// What one cause takes of a bar.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StagePart {
    /// The place of the cause.
    pub cause: usize,
    /// Where it begins, in bytes.
    pub from: f64,
    /// Where it ends.
    pub to: f64,
}

/// A stage as it comes: its name, what it holds in bytes, and by cause.
type Given<'a> = (String, f64, Vec<(&'a str, f64)>);

impl StagesFigure {
    /// The figure of a decision sheet.
    #[must_use]
    pub fn of_sheet(sheet: &Sheet) -> Self {
        let stages = sheet.memory.iter().map(|stage| {
            let parts = stage.parts.iter().map(|part| (part.label.as_str(), part.value));
            (stage.label.clone(), stage.bytes, parts.collect())
        });
        Self::new(stages.collect(), sheet.capacity)
    }

    /// The figure of a plan before it is run.
    #[must_use]
    pub fn of_outline(outline: &Outline) -> Self {
        let stages = outline.memory.iter().enumerate().map(|(stage, parts)| {
            let parts: Vec<(&str, f64)> = parts
                .iter()
                .map(|(cause, bytes)| (*cause, bytes.as_f64()))
                .collect();
            let bytes = parts.iter().map(|(_, bytes)| bytes).sum();
            (format!("stage {stage}"), bytes, parts)
        });
        Self::new(stages.collect(), outline.device.memory.as_f64())
    }

    fn new(stages: Vec<Given<'_>>, capacity: f64) -> Self {
        let causes = causes(&stages);
        let num_stages = stages.len();
        let bars = fullest(stages).into_iter().map(|(label, bytes, parts)| {
            let mut from = 0.0;
            let in_order = causes.iter().enumerate().filter_map(|(cause, name)| {
                let (_, bytes) = parts.iter().find(|(known, _)| known == name)?;
                let to = from + bytes;
                let part = StagePart { cause, from, to };
                from = to;
                Some(part)
            });
            StageBar {
                label,
                bytes,
                parts: in_order.collect(),
            }
        });
        let bars: Vec<StageBar> = bars.collect();
        Self {
            most: bars.iter().map(|bar| bar.bytes).fold(capacity, f64::max).max(1.0),
            causes,
            bars,
            num_stages,
            capacity,
        }
    }

    /// Where so many `bytes` lie on the axis, 0 to 1.
    #[must_use]
    pub fn share(&self, bytes: f64) -> f64 {
        bytes / self.most
    }

    /// Whether `bar` fits in the memory of a device, as far as anybody knows.
    #[must_use]
    pub fn fits(&self, bar: &StageBar) -> bool {
        self.capacity <= 0.0 || bar.bytes <= self.capacity
    }

    /// `bar` in words: what it holds of how much, and of what.
    #[must_use]
    pub fn words(&self, bar: &StageBar) -> String {
        let total = Bytes::from_f64(bar.bytes);
        let limit = match (self.capacity > 0.0, self.fits(bar)) {
            (false, _) => String::new(),
            (true, true) => format!(" of {}", Bytes::from_f64(self.capacity)),
            (true, false) => format!(" does not fit in {}", Bytes::from_f64(self.capacity)),
        };
        let parts = bar.parts.iter();
        let parts: Vec<String> = parts
            .map(|part| {
                format!(
                    "{} {}",
                    self.causes[part.cause],
                    Bytes::from_f64(part.to - part.from)
                )
            })
            .collect();
        format!("{}: {total}{limit}: {}", bar.label, parts.join(", "))
    }

    /// What `bar` holds of each cause, in the order of the causes; empty words for nothing.
    #[must_use]
    pub fn cells(&self, bar: &StageBar) -> Vec<String> {
        let words = |cause: usize| {
            let part = bar.parts.iter().find(|part| part.cause == cause);
            part.map_or_else(String::new, |part| {
                Bytes::from_f64(part.to - part.from).to_string()
            })
        };
        (0..self.causes.len()).map(words).collect()
    }

    /// Which stages are drawn, where that is not all of them.
    #[must_use]
    pub fn left_out(&self) -> Option<String> {
        let (drawn, all) = (self.bars.len(), self.num_stages);
        (drawn < all).then(|| format!("the {drawn} fullest of {all} stages"))
    }
}

/// Every cause, the largest of all stages first.
fn causes(stages: &[Given<'_>]) -> Vec<String> {
    let mut sums: Vec<(&str, f64)> = Vec::new();
    for &(cause, bytes) in stages.iter().flat_map(|(_, _, parts)| parts) {
        match sums.iter_mut().find(|(known, _)| *known == cause) {
            Some((_, sum)) => *sum += bytes,
            None => sums.push((cause, bytes)),
        }
    }
    sums.sort_by(|a, b| b.1.total_cmp(&a.1));
    sums.into_iter().map(|(cause, _)| cause.to_owned()).collect()
}

/// The stages that are drawn.
fn fullest(stages: Vec<Given<'_>>) -> Vec<Given<'_>> {
    let mut stages: Vec<(usize, Given<'_>)> = stages.into_iter().enumerate().collect();
    if stages.len() > MOST_STAGES {
        stages.sort_by(|(a, one), (b, other)| other.1.total_cmp(&one.1).then(a.cmp(b)));
        stages.truncate(MOST_STAGES);
        stages.sort_by_key(|(at, _)| *at);
    }
    stages.into_iter().map(|(_, stage)| stage).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_stand_in_one_order_in_every_bar_and_parts_follow_each_other() {
        let stages = vec![
            (
                "stage 0".to_owned(),
                30.0,
                vec![("weights", 10.0), ("activations", 20.0)],
            ),
            (
                "stage 1".to_owned(),
                90.0,
                vec![("activations", 50.0), ("weights", 40.0)],
            ),
        ];
        let figure = StagesFigure::new(stages, 80.0);
        assert_eq!(figure.causes, ["activations", "weights"]);
        let ends = |bar: &StageBar| {
            bar.parts
                .iter()
                .map(|part| (part.cause, part.from, part.to))
                .collect::<Vec<_>>()
        };
        assert_eq!(ends(&figure.bars[0]), [(0, 0.0, 20.0), (1, 20.0, 30.0)]);
        assert_eq!(ends(&figure.bars[1]), [(0, 0.0, 50.0), (1, 50.0, 90.0)]);
        assert!(figure.fits(&figure.bars[0]) && !figure.fits(&figure.bars[1]));
        assert!(
            (figure.share(45.0) - 0.5).abs() < 1e-12,
            "the fullest stage is the end of the axis"
        );
        let words = figure.words(&figure.bars[1]);
        assert_eq!(
            words,
            "stage 1: 90 B does not fit in 80 B: activations 50 B, weights 40 B"
        );
        assert_eq!(figure.left_out(), None);
    }

    #[test]
    fn of_many_stages_the_fullest_are_drawn_in_their_own_order() {
        let stages = (0..40_u32).map(|stage| (format!("stage {stage}"), f64::from(stage % 20), Vec::new()));
        let figure = StagesFigure::new(stages.collect(), 0.0);
        let labels: Vec<&str> = figure.bars.iter().map(|bar| bar.label.as_str()).collect();
        assert_eq!(labels[..2], ["stage 12", "stage 13"]);
        assert_eq!(labels.last(), Some(&"stage 39"));
        assert_eq!(figure.left_out().as_deref(), Some("the 16 fullest of 40 stages"));
        assert!(
            figure.fits(&figure.bars[0]),
            "nobody knows the memory of a device"
        );
    }
}
