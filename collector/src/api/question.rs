//! What is asked of the history, read from the parameters of a request.

use std::collections::BTreeMap;

use orrery_units::{Dimension, parse_quantity};

use super::ApiError;

/// Points of one series in an answer: as many as Prometheus gives.
pub(super) const MOST_POINTS: u64 = 11_000;
/// How many points an answer has when nobody says how far apart they are.
const USUAL_POINTS: u64 = 1_000;
/// The steps that are chosen from when nobody names one, in milliseconds; 0 is every value.
const STEPS: [u64; 10] = [
    0, 10_000, 30_000, 60_000, 300_000, 900_000, 3_600_000, 10_800_000, 43_200_000, 86_400_000,
];
/// The time between two values that is assumed when the step is chosen, in milliseconds.
const USUAL_INTERVAL: u64 = 1_000;
/// The range that is meant when nobody says from when, in milliseconds.
const USUAL_RANGE: u64 = 3_600_000;

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Question {
    pub(super) metric: String,
    /// Labels that a series must have.
    pub(super) labels: BTreeMap<String, String>,
    /// In milliseconds since the Unix epoch.
    pub(super) from: u64,
    /// In milliseconds since the Unix epoch; not part of the range itself.
    pub(super) to: u64,
    /// In milliseconds; 0 for every value.
    pub(super) step: u64,
}

impl Question {
    /// The question that `parameters` ask at `now`, in milliseconds since the Unix epoch. A parameter of another
    /// name is a label.
    ///
    /// # Errors
    /// When one is missing, twice there or makes no sense, or the answer would be too large.
    pub(super) fn new(parameters: Vec<(String, String)>, now: u64) -> Result<Self, ApiError> {
        let mut labels = BTreeMap::new();
        for (name, value) in parameters {
            if labels.insert(name.clone(), value).is_some() {
                return Err(ApiError::bad(
                    format!("`{name}` is there twice"),
                    "ask once for each value, or without it for all",
                ));
            }
        }
        let metric = labels.remove("metric").ok_or_else(|| {
            ApiError::bad(
                "no `metric`",
                "add `metric=NAME`; `/v1/series` lists what there is",
            )
        })?;
        let mut time = |name: &str, usual: u64| {
            labels
                .remove(name)
                .map_or(Ok(usual), |text| parse_instant(name, &text, now))
        };
        let to = time("to", now)?;
        let from = time("from", to.saturating_sub(USUAL_RANGE))?;
        if from >= to {
            return Err(ApiError::bad(
                format!("`from` ({from} ms) is not before `to` ({to} ms)"),
                "give `from=-1h`, or leave `to` out for now",
            ));
        }
        let step = match labels.remove("step") {
            Some(text) => parse_step(&text)?,
            None => usual_step(to - from),
        };
        if step > 0 && (to - from) / step > MOST_POINTS {
            return Err(too_many(to - from));
        }
        Ok(Self {
            metric,
            labels,
            from,
            to,
            step,
        })
    }
}

/// The finest step that gives a usual number of points over `range`.
fn usual_step(range: u64) -> u64 {
    let fits = |step: u64| range / step.max(USUAL_INTERVAL) <= USUAL_POINTS;
    let last = STEPS[STEPS.len() - 1];
    STEPS
        .into_iter()
        .find(|&step| fits(step))
        .unwrap_or(last.max(range / USUAL_POINTS))
}

/// Why `range` has more points than an answer may have, with a step that has fewer.
pub(super) fn too_many(range: u64) -> ApiError {
    let least = range.div_ceil(MOST_POINTS);
    let step = STEPS.into_iter().find(|&step| step >= least).unwrap_or(least);
    ApiError::bad(
        format!("that is more than {MOST_POINTS} points of one series"),
        format!(
            "ask with `step={}s` or more, or for a shorter range",
            step.div_ceil(1000)
        ),
    )
}

/// An instant: `now`, seconds since the Unix epoch, or a time before now such as `-1h`.
fn parse_instant(name: &str, text: &str, now: u64) -> Result<u64, ApiError> {
    let fault = |why: &str| {
        ApiError::bad(
            format!("`{name}={text}` is no instant: {why}"),
            "give seconds since 1970 (`1700000000`), a time before now (`-1h`), or `now`",
        )
    };
    if text == "now" {
        return Ok(now);
    }
    if let Some(before) = text.strip_prefix('-') {
        let before = parse_quantity(before, Dimension::Time).map_err(|why| fault(&why.to_string()))?;
        let before = millis(before.value).ok_or_else(|| fault("it is out of range"))?;
        return Ok(now.saturating_sub(before));
    }
    let seconds: f64 = text.parse().map_err(|_fault| fault("it is no number"))?;
    millis(seconds).ok_or_else(|| fault("it is out of range"))
}

/// A step: `raw`, or a time such as `10s`; a bare number is in seconds, as Prometheus has it.
fn parse_step(text: &str) -> Result<u64, ApiError> {
    if text == "raw" {
        return Ok(0);
    }
    let seconds = text.parse().or_else(|_not_bare| {
        let quantity = parse_quantity(text, Dimension::Time).map_err(|why| why.to_string())?;
        Ok(quantity.value)
    });
    let step = seconds.and_then(|seconds| {
        let step = millis(seconds).filter(|&step| step > 0);
        step.ok_or_else(|| "it is out of range".to_owned())
    });
    step.map_err(|why: String| {
        ApiError::bad(
            format!("`step={text}` is no step: {why}"),
            "give a time such as `10s`, or `raw` for every value",
        )
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number in the range that is asked for"
)]
fn millis(seconds: f64) -> Option<u64> {
    (0.0..1e11)
        .contains(&seconds)
        .then(|| (seconds * 1000.0).round() as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    fn ask(parameters: &[(&str, &str)]) -> Result<Question, ApiError> {
        let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        Question::new(parameters.iter().map(owned).collect(), NOW)
    }

    #[test]
    fn a_bare_question_is_about_the_last_hour() {
        let found = ask(&[("metric", "m"), ("gpu", "0")]).unwrap();
        assert_eq!((found.from, found.to, found.step), (NOW - 3_600_000, NOW, 10_000));
        assert_eq!(found.labels, BTreeMap::from([("gpu".to_owned(), "0".to_owned())]));
    }

    #[test]
    fn instants_and_steps_are_read_in_every_form() {
        let found = ask(&[
            ("metric", "m"),
            ("from", "-10min"),
            ("to", "now"),
            ("step", "raw"),
        ])
        .unwrap();
        assert_eq!((found.from, found.to, found.step), (NOW - 600_000, NOW, 0));
        let found = ask(&[
            ("metric", "m"),
            ("from", "1699999000.5"),
            ("to", "1699999999"),
            ("step", "15"),
        ]);
        let found = found.unwrap();
        assert_eq!(
            (found.from, found.to, found.step),
            (1_699_999_000_500, 1_699_999_999_000, 15_000)
        );
        assert_eq!(ask(&[("metric", "m"), ("step", "1min")]).unwrap().step, 60_000);
    }

    #[test]
    fn every_fault_names_what_would_do() {
        for (parameters, fix) in [
            (&[][..], "metric=NAME"),
            (&[("metric", "m"), ("gpu", "0"), ("gpu", "1")], "once"),
            (&[("metric", "m"), ("from", "yesterday")], "-1h"),
            (&[("metric", "m"), ("from", "-1 GiB")], "-1h"),
            (&[("metric", "m"), ("from", "NaN")], "-1h"),
            (&[("metric", "m"), ("from", "now")], "from=-1h"),
            (&[("metric", "m"), ("step", "0")], "raw"),
            (&[("metric", "m"), ("step", "often")], "raw"),
            (&[("metric", "m"), ("from", "-30d"), ("step", "10s")], "step=300s"),
        ] {
            let fault = ask(parameters).unwrap_err();
            assert!(fault.fix.contains(fix), "{parameters:?}: {fault:?}");
        }
    }

    proptest! {
        #[test]
        fn the_step_that_is_chosen_always_fits(range in 1u64..4_000_000_000_000) {
            let step = usual_step(range);
            prop_assert!(range / step.max(USUAL_INTERVAL) <= USUAL_POINTS);
            if let Some(fix) = too_many(range).fix.strip_prefix("ask with `step=") {
                let seconds: u64 = fix.split('s').next().unwrap().parse().unwrap();
                prop_assert!(seconds == 0 || range / (seconds * 1000) <= MOST_POINTS);
            }
        }
    }
}
