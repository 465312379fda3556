//! What the panel reads of a balancing run, and what is computed of it once. No widget is known here.

use std::ops::Range;

use orrery::balancing::{Tables, placement_json};
use orrery_report::{BalancingReport, LoadFrame, PolicyReport, SweepReport, Worth};
use orrery_units::significant;

use crate::document::{Facts, Footing, Load};

/// A balancing run: policies, their series over steps, and loads in stretches of steps.
#[derive(Debug)]
pub struct ExpertsModel {
    report: BalancingReport,
    placements: Vec<(String, Tables)>,
}

/// What is drawn over steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Series {
    /// Largest over mean rows of a device.
    #[default]
    Imbalance,
    /// Time of a layer.
    LayerTime,
}

impl Series {
    pub(super) const ALL: [Self; 2] = [Self::Imbalance, Self::LayerTime];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Imbalance => "imbalance, largest / mean",
            Self::LayerTime => "time of a layer, µs",
        }
    }

    fn of(self, policy: &PolicyReport) -> &[f32] {
        match self {
            Self::Imbalance => &policy.imbalance,
            Self::LayerTime => &policy.layer_time,
        }
    }

    /// Where the picture begins: nothing is less.
    pub(super) const fn foot(self) -> f64 {
        match self {
            Self::Imbalance => 1.0,
            Self::LayerTime => 0.0,
        }
    }

    const fn scale(self) -> f64 {
        match self {
            Self::Imbalance => 1.0,
            Self::LayerTime => 1e6,
        }
    }
}

impl ExpertsModel {
    /// The model of `report`, with the placement that each policy ended with.
    #[must_use]
    pub const fn new(report: BalancingReport, placements: Vec<(String, Tables)>) -> Self {
        Self { report, placements }
    }

    /// The policies; the first is what others are compared with.
    #[must_use]
    pub fn policies(&self) -> &[PolicyReport] {
        &self.report.policies
    }

    /// Loads in stretches of steps, in order.
    #[must_use]
    pub fn frames(&self) -> &[LoadFrame] {
        &self.report.frames
    }

    pub(super) fn sweeps(&self) -> &[SweepReport] {
        &self.report.sweeps
    }

    pub(super) fn phases(&self) -> &[(String, u64)] {
        &self.report.phases
    }

    pub(super) fn notes(&self) -> &[String] {
        &self.report.notes
    }

    pub(super) fn recorded(&self) -> &[(String, Vec<f64>)] {
        &self.report.recorded
    }

    /// What was said of the scenario, and of what it assumes.
    pub(super) fn about(&self) -> &str {
        &self.report.identity.notes
    }

    /// What every policy but the first is worth beside the first.
    pub(super) fn worth(&self) -> Vec<Worth> {
        self.report.worth()
    }

    /// Memory of a device in bytes; zero where nobody knows.
    pub(super) const fn device_memory(&self) -> f64 {
        self.report.device_memory
    }

    /// What their worth rests on, a sentence each.
    pub(super) fn grounds(&self) -> Vec<String> {
        self.report.grounds()
    }

    /// `verdict` with what each policy is worth and what the run rests on, a line each.
    pub(super) fn verdict(&self, verdict: &str) -> String {
        let worth = self.worth().into_iter().map(|worth| worth.sentence());
        let rests = [self.about()]
            .into_iter()
            .chain(self.notes().iter().map(String::as_str));
        let rests = rests.filter(|words| !words.is_empty()).map(str::to_owned);
        let lines: Vec<String> = [verdict.to_owned()]
            .into_iter()
            .chain(worth)
            .chain(self.grounds())
            .chain(rests)
            .collect();
        lines.join("\n")
    }

    /// Seconds of all steps of each policy, and the seconds that it saves beside the first.
    pub(super) fn totals(&self) -> Vec<(&str, f64, f64)> {
        self.report.totals()
    }

    /// The number of steps.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.report.steps
    }

    /// Cells of the pictures of one frame: layers by experts, and by devices under each policy.
    #[must_use]
    pub fn cells(&self) -> usize {
        let cells = |picture: &[Vec<f64>]| picture.iter().map(Vec::len).sum::<usize>();
        let frame = self.frames().first();
        let devices = |frame: &LoadFrame| frame.devices.iter().map(|picture| cells(picture)).sum::<usize>();
        frame.map_or(0, |frame| cells(&frame.experts) + devices(frame))
    }

    /// The frame nearest to the middle of `steps`.
    pub(super) fn frame_of(&self, steps: &Range<u64>) -> Option<usize> {
        let middle = |steps: &Range<u64>| steps.start + steps.end;
        let frames = self.frames().iter().enumerate();
        frames
            .min_by_key(|(_, frame)| middle(&frame.steps).abs_diff(middle(steps)))
            .map(|(at, _)| at)
    }

    /// The expert that is `place`-th by load, the heaviest first, in `layer` of the stretch at `frame`.
    pub(super) fn expert_at(&self, frame: usize, layer: usize, place: usize) -> Option<usize> {
        let row = self.frames().get(frame)?.experts.get(layer)?;
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by(|&one, &other| row[other].total_cmp(&row[one]));
        order.get(place).copied()
    }

    /// What is known of the load of an expert, or of a device.
    #[must_use]
    pub fn facts(&self, load: Load) -> Option<Facts> {
        let frame = self.frames().get(load.frame)?;
        let (what, rows) = match load.policy {
            None => ("expert", &frame.experts),
            Some(policy) => ("device", frame.devices.get(policy)?),
        };
        let row = rows.get(load.layer)?;
        let &own = row.get(load.column)?;
        let title = format!("{what} {} of layer {}", load.column, load.layer);
        let mut facts = Facts::new("load", title, Footing::Estimated);
        if let Some(policy) = load.policy {
            facts.put("policy", &self.policies().get(policy)?.id);
        }
        facts.put("load", format!("{} x the mean of its layer", significant(own, 4)));
        let heavier = row.iter().filter(|&&other| other > own).count();
        facts.put(
            "by load",
            format!("{} of {}, the heaviest first", heavier + 1, row.len()),
        );
        let most = row.iter().copied().fold(0.0, f64::max);
        facts.put(
            format!("heaviest {what} of the layer"),
            format!("{} x the mean", significant(most, 4)),
        );
        facts.basis.push(format!(
            "mean of steps {} to {}",
            frame.steps.start, frame.steps.end
        ));
        facts.basis.extend(self.notes().iter().cloned());
        Some(facts)
    }

    /// `series` of policy `policy` in `steps` as points: means of equally many steps, `most` points at most.
    pub(super) fn points(
        &self,
        policy: usize,
        series: Series,
        steps: Range<u64>,
        most: usize,
    ) -> Vec<[f64; 2]> {
        let values = series.of(&self.policies()[policy]);
        let place = |step: u64| usize::try_from(step).unwrap_or(usize::MAX).min(values.len());
        let (from, to) = (place(steps.start), place(steps.end));
        let each = (to.saturating_sub(from)).div_ceil(most.max(1)).max(1);
        // Cut at multiples of their length, so that points stay where they are while the view moves.
        let first = from / each * each;
        let chunks = values.get(first..to).unwrap_or_default().chunks(each).enumerate();
        let point = |(at, chunk): (usize, &[f32])| {
            let mean = chunk.iter().map(|&value| f64::from(value)).sum::<f64>() / chunk.len() as f64;
            let middle = (first + at * each) as f64 + chunk.len() as f64 / 2.0;
            [middle, mean * series.scale()]
        };
        chunks.map(point).collect()
    }

    /// The placement that policy `policy` ended with, as SGLang and vLLM read it.
    pub(super) fn placement(&self, policy: usize) -> Option<String> {
        let id = &self.policies().get(policy)?.id;
        let (_, tables) = self.placements.iter().find(|(other, _)| other == id)?;
        Some(placement_json(tables).to_string())
    }
}

/// `rows` with the cells of each row from the largest to the smallest.
pub(super) fn sorted(rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let sorted = |row: &Vec<f64>| {
        let mut row = row.clone();
        row.sort_by(|a, b| b.total_cmp(a));
        row
    };
    rows.iter().map(sorted).collect()
}

/// The largest cell of all `maps`.
pub(super) fn largest<'a>(maps: impl IntoIterator<Item = &'a Vec<Vec<f64>>>) -> f64 {
    maps.into_iter().flatten().flatten().copied().fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(imbalance: Vec<f32>) -> ExpertsModel {
        let steps = imbalance.len() as u64;
        let frame = |steps: Range<u64>| LoadFrame {
            steps,
            ..LoadFrame::default()
        };
        let report = BalancingReport {
            steps,
            policies: vec![PolicyReport {
                id: "a".to_owned(),
                layer_time: imbalance.iter().map(|value| value * 1e-6).collect(),
                imbalance,
                ..PolicyReport::default()
            }],
            frames: vec![frame(0..10), frame(40..60), frame(90..100)],
            ..BalancingReport::default()
        };
        ExpertsModel::new(report, Vec::new())
    }

    #[test]
    fn points_are_means_and_do_not_move_while_the_view_does() {
        let model = model((0..100_u8).map(f32::from).collect());
        let all = model.points(0, Series::Imbalance, 0..100, 10);
        assert_eq!(all.len(), 10);
        assert_eq!(all[1..2], [[15.0, 14.5]]);
        let moved = model.points(0, Series::Imbalance, 13..93, 8);
        assert_eq!(moved[..1], [[15.0, 14.5]], "the one of 10 to 20");
        let each = model.points(0, Series::Imbalance, 5..8, 100);
        assert_eq!(each, [[5.5, 5.0], [6.5, 6.0], [7.5, 7.0]]);
        assert_eq!(
            model.points(0, Series::Imbalance, 200..300, 10),
            Vec::<[f64; 2]>::new()
        );
        let micros = model.points(0, Series::LayerTime, 2..3, 1)[0][1];
        assert!((micros - 2.0).abs() < 1e-6, "{micros}");
    }

    #[test]
    fn a_stretch_has_the_frame_that_lies_nearest() {
        let model = model(vec![1.0; 100]);
        assert_eq!(model.frame_of(&(0..100)), Some(1));
        assert_eq!(model.frame_of(&(0..5)), Some(0));
        assert_eq!(model.frame_of(&(80..99)), Some(2));
    }

    #[test]
    fn a_cell_says_how_heavy_it_is_among_those_of_its_layer() {
        let mut model = model(vec![1.0; 100]);
        model.report.frames[1].experts = vec![vec![0.5, 2.0, 0.5]];
        let load = |column| Load {
            frame: 1,
            layer: 0,
            column,
            policy: None,
        };
        let text = model.facts(load(1)).unwrap().text();
        assert!(text.contains("load: 2 x the mean of its layer"), "{text}");
        assert!(text.contains("by load: 1 of 3"), "{text}");
        assert!(text.contains("mean of steps 40 to 60"), "{text}");
        assert_eq!(model.expert_at(1, 0, 0), Some(1), "sorted by load it comes first");
        assert_eq!(model.facts(load(3)), None, "there is no such expert");
    }

    #[test]
    fn cells_are_sorted_by_layer() {
        let rows = vec![vec![1.0, 3.0, 2.0], vec![0.0, 0.5, 0.1]];
        assert_eq!(sorted(&rows), [vec![3.0, 2.0, 1.0], vec![0.5, 0.1, 0.0]]);
        assert!((largest([&rows]) - 3.0).abs() < 1e-12);
    }
}
