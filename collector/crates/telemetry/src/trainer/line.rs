//! Lines that trainers print, as their sources write them.
//!
//! Megatron-LM (`megatron/training/training.py`, `training_log`), a line every `--log-interval` iterations, whose
//! fields are `name: value` between bars; the time is the mean of one iteration since the line before:
//!
//! ```text
//!  [2025-11-28 18:48:17] iteration       50/    5000 | consumed samples:        51200 | elapsed time per iteration (ms): 61674.3 | throughput per GPU (TFLOP/s/GPU): 68.2 | learning rate: 3.0E-04 | global batch size:  1024 |
//! ```
//!
//! torchtitan (`torchtitan/components/metrics.py`, `MetricsProcessor.log`), a line every `metrics.log_freq` steps, in
//! colours unless they are off; `tps` is tokens a second and device, already divided by the degrees that do not split
//! data:
//!
//! ```text
//! [titan] 2025-02-01 12:00:00,000 - root - INFO - step: 10  loss:  8.0417  grad_norm:  1.8314  memory: 47.92GiB(50.45%)  tps: 5,823  tflops: 336.10  mfu: 33.98%
//! ```

use orrery_units::{Ratio, SimDuration};

/// What one line tells of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Line {
    /// Megatron-LM's.
    Megatron {
        /// The iteration.
        step: u64,
        /// Mean time of an iteration.
        time: SimDuration,
        /// Sequences of an iteration, over all ranks.
        global_batch: Option<u64>,
    },
    /// torchtitan's.
    Torchtitan {
        /// The step.
        step: u64,
        /// Tokens a second and device.
        tokens_per_second: f64,
        /// MFU as torchtitan counts it, where it prints one.
        mfu: Option<Ratio>,
    },
}

impl Line {
    /// What `line` tells, if it is one of a step; whatever stands before, such as a rank or the time, is passed over.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let plain = without_colours(line);
        megatron(&plain).or_else(|| torchtitan(&plain))
    }
}

fn megatron(line: &str) -> Option<Line> {
    let begin = line.find("iteration ")?;
    let mut fields = line[begin + "iteration ".len()..].split('|');
    let (step, _all) = fields.next()?.split_once('/')?;
    let step = step.trim().parse().ok()?;
    let (mut time, mut global_batch) = (None, None);
    for field in fields {
        let Some((name, value)) = field.rsplit_once(':') else {
            continue;
        };
        match name.trim() {
            "elapsed time per iteration (ms)" => time = Some(positive(value)? / 1e3),
            "global batch size" => global_batch = value.trim().parse().ok(),
            _ => {}
        }
    }
    Some(Line::Megatron {
        step,
        time: SimDuration::from_secs(time?),
        global_batch,
    })
}

fn torchtitan(line: &str) -> Option<Line> {
    let begin = line.find("step: ")?;
    // A validation is no step, and its rate is another.
    if line[..begin].trim_end().ends_with("validate") {
        return None;
    }
    let line = &line[begin..];
    let step = after(line, "step:")?.parse().ok()?;
    let tokens_per_second = positive(&after(line, "tps:")?.replace(',', ""))?;
    let mfu = after(line, "mfu:").and_then(|text| positive(text.trim_end_matches('%')));
    Some(Line::Torchtitan {
        step,
        tokens_per_second,
        mfu: mfu.and_then(|percent| Ratio::new(percent / 100.0)),
    })
}

/// The word after `name`.
fn after<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let begin = line.find(name)? + name.len();
    line[begin..].split_whitespace().next()
}

/// A number that is finite and above zero, and no longer than a year where it is a time in milliseconds.
fn positive(text: &str) -> Option<f64> {
    let number: f64 = text.trim().parse().ok()?;
    (number > 0.0 && number < 4e10).then_some(number)
}

/// `line` without the sequences that set colours: `ESC [ … letter`.
fn without_colours(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line.chars();
    while let Some(letter) = rest.next() {
        if letter == '\u{1b}' {
            for letter in rest.by_ref() {
                if letter.is_ascii_alphabetic() {
                    break;
                }
            }
        } else {
            plain.push(letter);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn megatron_of_every_age() {
        let wanted = |step, secs, global_batch| {
            Some(Line::Megatron {
                step,
                time: SimDuration::from_secs(secs),
                global_batch,
            })
        };
        let new = " [2025-11-28 18:48:17] iteration       50/    5000 | consumed samples:        51200 | elapsed time \
                   per iteration (ms): 61674.3 | throughput per GPU (TFLOP/s/GPU): 68.2 | learning rate: 3.000000E-04 \
                   | global batch size:  1024 | lm loss: 6.681113E+00 | loss scale: 1.0 | grad norm: 0.812 | number of \
                   skipped iterations:   0 | number of nan iterations:   0 |";
        assert_eq!(Line::parse(new), wanted(50, 61.6743, Some(1024)));
        let old = "[default7]: iteration        3/     100 | consumed samples:           24 | elapsed time per iteration \
                   (ms): 812.5 | learning rate: 1.0E-05 | global batch size:     8 |";
        assert_eq!(Line::parse(old), wanted(3, 0.8125, Some(8)));
        assert_eq!(
            Line::parse("iteration 3/ 100 | elapsed time per iteration (ms): 10.0 |"),
            wanted(3, 0.01, None)
        );
    }

    #[test]
    fn torchtitan_of_every_age_and_colour() {
        let wanted = |step, tokens_per_second, percent: Option<f64>| {
            Some(Line::Torchtitan {
                step,
                tokens_per_second,
                mfu: percent.and_then(|percent| Ratio::new(percent / 100.0)),
            })
        };
        let new = "[rank0]:[titan] 2025-02-01 12:00:00,000 - root - INFO - \u{1b}[31mstep: 10  \u{1b}[32mloss:  8.0417  \
                   \u{1b}[38;2;180;60;0mgrad_norm:  1.8314  \u{1b}[38;2;54;234;195mmemory: 47.92GiB(50.45%)  \
                   \u{1b}[34mtps: 5,823  \u{1b}[36mtflops: 336.10  \u{1b}[35mmfu: 33.98%\u{1b}[39m";
        assert_eq!(Line::parse(new), wanted(10, 5823.0, Some(33.98)));
        let old = "step:  1  loss: 12.2  memory: 1.07GiB(1.13%)  tps: 57";
        assert_eq!(Line::parse(old), wanted(1, 57.0, None));
    }

    #[test]
    fn what_is_no_step_tells_nothing() {
        for line in [
            "",
            "iteration",
            "iteration 5/",
            "iteration x/ 100 | elapsed time per iteration (ms): 10.0 |",
            "iteration 5/ 100 | consumed samples: 5 |",
            "iteration 5/ 100 | elapsed time per iteration (ms): nan |",
            "iteration 5/ 100 | elapsed time per iteration (ms): -3 |",
            "iteration 5/ 100 | elapsed time per iteration (ms): 1e300 |",
            "validate step: 10  loss: 8.0  memory: 1.0GiB(1%)  tps: 500",
            "step: 10  loss: 8.0",
            "step: ten  tps: 5",
            "step: 10  tps: inf",
            "step: 10  tps: 0",
            "\u{1b}",
            "\u{1b}[",
            "ste\u{1b}[31p: 10 tps: 4",
            "é step: ",
        ] {
            assert_eq!(Line::parse(line), None, "{line:?}");
        }
    }
}
