//! What a few measurements of one's own are worth: every stack and every device left out in turn.

use std::collections::BTreeSet;

use orrery_profile::Term;

use super::folds::hash;
use super::{Step, anchored, fit};
use crate::pipeline;

/// Measurements that are given.
pub const COUNTS: [usize; 4] = [0, 1, 3, 10];

/// Choices of which steps are measured, whose errors are averaged.
const DRAWS: usize = 5;

/// Errors on one platform that nothing was fitted to, by the number of its steps that were measured first.
#[derive(Clone, Debug, PartialEq)]
pub struct Worth {
    /// `stack nemo`, `device H100-SXM5-80GB`.
    pub platform: String,
    /// Its rows.
    pub rows: usize,
    /// Mean absolute error for each of [`COUNTS`]; none where it has too few rows to measure so many and be judged.
    pub mape: [Option<f64>; COUNTS.len()],
}

/// The worth of measurements on every stack and every device of `steps`.
#[must_use]
pub fn worth(steps: &[Step]) -> Vec<Worth> {
    let names = |of: fn(&Step) -> String| -> BTreeSet<String> { steps.iter().map(of).collect() };
    let platforms: Vec<String> = names(stack).into_iter().chain(names(device)).collect();
    let count = u32::try_from(platforms.len()).unwrap_or(u32::MAX);
    let answers = pipeline::in_parallel(count, |at| of_platform(steps, &platforms[at as usize]));
    answers.into_iter().flatten().collect()
}

fn stack(step: &Step) -> String {
    format!("stack {}", step.stack)
}

fn device(step: &Step) -> String {
    let scopes = &step.scopes[Term::Products as usize];
    format!("device {}", scopes.get(1).map_or("", String::as_str))
}

fn of_platform(steps: &[Step], platform: &str) -> Option<Worth> {
    let is_mine = |step: &&Step| stack(step) == platform || device(step) == platform;
    let mut mine: Vec<&Step> = steps.iter().filter(is_mine).collect();
    let rest: Vec<&Step> = steps.iter().filter(|step| !is_mine(step)).collect();
    if mine.len() < 2 || rest.is_empty() {
        return None;
    }
    let set = fit(&rest);
    // By a hash, so that tables that list one model after the other give anchors of several.
    mine.sort_by_key(|step| (hash(step.fact("id")), step.fact("id").to_owned()));
    let most = COUNTS[COUNTS.len() - 1].min(mine.len() / 2);
    let of_count = |count: usize| {
        let draws: Vec<f64> = (0..DRAWS)
            .map(|draw| {
                let mut order = mine.clone();
                order.rotate_left(draw * mine.len() / DRAWS);
                let (anchors, judged) = order.split_at(most);
                let own = anchored(&set, judged, &anchors[..count], &[]);
                mean_error(judged, |step| step.residual(&step.tuning(&own)).exp_m1())
            })
            .collect();
        draws.iter().sum::<f64>() / f64::from(u32::try_from(DRAWS).unwrap_or(1))
    };
    Some(Worth {
        platform: platform.to_owned(),
        rows: mine.len(),
        mape: COUNTS.map(|count| (count <= most).then(|| of_count(count))),
    })
}

fn mean_error(steps: &[&Step], error: impl Fn(&Step) -> f64) -> f64 {
    let count = f64::from(u32::try_from(steps.len().max(1)).unwrap_or(u32::MAX));
    steps.iter().map(|step| error(step).abs()).sum::<f64>() / count
}
