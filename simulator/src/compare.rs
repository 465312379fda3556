//! Two runs held against each other: figures, the step by cause, the critical path, the configuration.
//!
//! It reads stored runs (`result/1`) and nothing else, so that a run of yesterday compares as one of today does.

use std::collections::BTreeMap;

use orrery_report::{Cause, Waterfall, quantity};
use orrery_timeline::find_metric;
use orrery_units::SimDuration;
use serde_json::{Value, json};

/// Figures that are compared, in the order of tables.
const FIGURES: [(&str, &str); 12] = [
    ("step time", "train.step_time.mean"),
    ("throughput per GPU", "train.tokens_per_gpu_s.mean"),
    ("throughput", "train.tokens_per_s.mean"),
    ("model FLOP/s/GPU, causal attention", "train.tflops_per_gpu.mean"),
    ("MFU, causal attention, BF16 peak", "train.mfu.mean"),
    ("HFU (with recompute)", "train.hfu.mean"),
    ("pipeline bubble", "train.bubble_ratio.mean"),
    ("exposed communication, all", "train.exposed_comm_ratio.mean"),
    ("imbalance wait", "train.imbalance_wait_ratio.mean"),
    ("peak memory, worst rank", "mem.hbm_peak.max"),
    ("cost per million tokens", "cost.per_mtok.mean"),
    ("cost per day", "cost.per_day.mean"),
];

/// Characters of a value that are shown.
const LONGEST: usize = 48;

/// Shares by which tokens of a step and numbers of devices may differ before a comparison says so: means of steps that
/// vary are no whole numbers.
const SAME_WORK: f64 = 0.005;

/// What is so many times less than the largest cause is not named.
const DUST: u64 = 1_000_000;

/// What two runs do, where that is not the same: then a shorter step alone says little.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    /// Tokens of a step.
    pub tokens: [f64; 2],
    /// Tokens per second of the whole job.
    pub throughput: [f64; 2],
    /// Devices of the job; one of each where nobody says.
    pub devices: [f64; 2],
}

impl Work {
    /// `B does not do the same work: 0.25 x the tokens a step. Its throughput is 29 % lower (229.8 k -> 162.4 k tokens/s). `
    fn sentence(&self, name: &str) -> String {
        let times = |[a, b]: [f64; 2]| b / a;
        let differs = |pair: [f64; 2]| (times(pair) - 1.0).abs() > SAME_WORK;
        let mut parts = Vec::new();
        for (pair, what) in [(self.tokens, "the tokens a step"), (self.devices, "the devices")] {
            if differs(pair) {
                parts.push(format!("{} x {what}", orrery_units::significant(times(pair), 3)));
            }
        }
        let compared = |pair: [f64; 2], unit: &str| {
            let change = times(pair) - 1.0;
            let word = if change < 0.0 { "lower" } else { "higher" };
            let share = orrery_units::significant(change.abs() * 100.0, 3);
            let [a, b] = pair.map(|value| quantity(value, unit));
            format!("{share} % {word} ({a} -> {b})")
        };
        let mut sentence = format!(
            "{name} does not do the same work: {}. Its throughput is {}",
            parts.join(" on "),
            compared(self.throughput, "tokens/s")
        );
        if differs(self.devices) {
            let each = [0, 1].map(|side| self.throughput[side] / self.devices[side]);
            sentence = format!("{sentence}, a device's {}", compared(each, "tokens/s"));
        }
        format!("{sentence}. ")
    }
}

/// Why two runs cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// A run of an older version, or one that ended before its first measured step.
    #[error(
        "`{name}` has no step by cause, so no difference can be explained\n  = help: run it again with this version, \
         to its end"
    )]
    NoWaterfall {
        /// Name of the scenario.
        name: String,
    },
    /// A run that ended early, or a recording that is not whole.
    #[error("`{name}` is a part of a run and proves nothing: {reason}\n  = help: {remedy}")]
    Partial {
        /// Name of the scenario.
        name: String,
        /// Why it ended early.
        reason: String,
        /// How to get all of it.
        remedy: &'static str,
    },
}

/// One figure of both runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// What it is.
    pub label: &'static str,
    /// Its key in the metrics.
    pub key: &'static str,
    /// Its unit for people.
    pub unit: &'static str,
    /// Its value in either, where it has one.
    pub values: [Option<f64>; 2],
    /// What money is counted in, in either; empty where nobody says.
    currencies: [String; 2],
}

impl Figure {
    /// The value of A (0) or B (1) with its unit; `n/a` where it has none.
    #[must_use]
    pub fn shown(&self, side: usize) -> String {
        self.values.get(side).copied().flatten().map_or_else(
            || "n/a".to_owned(),
            |value| match self.unit {
                "ratio" => format!("{} %", orrery_units::significant(value * 100.0, 3)),
                "currency" => {
                    let currency = self.currencies.get(side).map_or("", String::as_str);
                    format!("{} {currency}", orrery_units::significant(value, 4))
                }
                unit => quantity(value, unit),
            },
        )
    }

    /// How B differs from A, where both have a value: shares by points, all else by a share of A.
    #[must_use]
    pub fn change(&self) -> String {
        let [Some(a), Some(b)] = self.values else {
            return String::new();
        };
        let sign = if b > a { "+" } else { "" };
        match self.unit {
            "ratio" => format!("{sign}{} points", orrery_units::significant((b - a) * 100.0, 3)),
            _ if a.abs() > 0.0 => {
                format!("{sign}{} %", orrery_units::significant((b / a - 1.0) * 100.0, 3))
            }
            _ => String::new(),
        }
    }
}

/// Activities of one kind on the critical paths of both runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindChange {
    /// The kind.
    pub kind: String,
    /// Picoseconds on the path of A and of B.
    pub picos: [i64; 2],
}

/// A key that the two differ in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The key.
    pub key: String,
    /// Its value in either, where it has one; what was filled in says so.
    pub values: [Option<String>; 2],
}

/// What differs between two runs.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Names for people: scenario and seed.
    pub names: [String; 2],
    /// Figures that either has.
    pub figures: Vec<Figure>,
    /// The mean step of either by cause.
    pub waterfalls: [Waterfall; 2],
    /// Kinds on the critical paths, the largest change first; none unless both know theirs.
    pub kinds: Vec<KindChange>,
    /// Keys that differ, what was filled in included.
    pub settings: Vec<Setting>,
}

impl Comparison {
    /// Compares stored run `a` with `b`.
    ///
    /// # Errors
    /// When one of them ended early or does not know its step by cause.
    pub fn of(a: &Value, b: &Value) -> Result<Self, CompareError> {
        for run in [a, b] {
            if let Some(reason) = run["partial"].as_str() {
                return Err(CompareError::Partial {
                    name: text(run, "scenario"),
                    reason: reason.to_owned(),
                    remedy: match is_recorded(run) {
                        true => "import the traces of all ranks, each of them whole",
                        false => "run it again, to its end",
                    },
                });
            }
        }
        Ok(Self {
            names: names(a, b),
            figures: figures(a, b),
            waterfalls: [waterfall(a)?, waterfall(b)?],
            kinds: kinds(a, b),
            settings: settings(a, b),
        })
    }

    /// Picoseconds that the mean step of B takes longer than that of A.
    #[must_use]
    pub fn difference(&self) -> i64 {
        let [a, b] = self
            .waterfalls
            .each_ref()
            .map(|waterfall| signed(waterfall.step()));
        b - a
    }

    /// The difference as a share of the step of A; zero where A took no time.
    #[must_use]
    pub fn relative(&self) -> f64 {
        let step = self.waterfalls[0].step().as_secs();
        if step > 0.0 {
            seconds(self.difference()) / step
        } else {
            0.0
        }
    }

    /// Causes that differ, in the order of legends, in picoseconds; they sum to [`difference`](Self::difference).
    #[must_use]
    pub fn bars(&self) -> Vec<(Cause, i64)> {
        let [a, b] = &self.waterfalls;
        let mut bars = a.difference(b);
        bars.retain(|bar| bar.1 != 0);
        let sum: i64 = bars.iter().map(|bar| bar.1).sum();
        assert!(
            sum == self.difference(),
            "the bars of a comparison sum to the difference"
        );
        bars
    }

    /// One sentence: how much, and the three causes that changed most; where the two do not do the same work in a step, by
    /// how much their throughput differs before that.
    #[must_use]
    pub fn verdict(&self) -> String {
        self.verdict_of("B")
    }

    /// The same, with B called `name`.
    #[must_use]
    pub fn verdict_of(&self, name: &str) -> String {
        let work = self.work().map_or_else(String::new, |work| work.sentence(name));
        format!("{work}{}", self.of_steps(name))
    }

    /// What the two do in a step and a second, where they do not do the same.
    #[must_use]
    pub fn work(&self) -> Option<Work> {
        let of = |key: &str| {
            let figure = self.figures.iter().find(|figure| figure.key == key)?;
            let [a, b] = figure.values;
            Some([a?, b?]).filter(|values| values.iter().all(|value| *value > 0.0))
        };
        let (throughput, steps) = (of("train.tokens_per_s.mean")?, of("train.step_time.mean")?);
        let tokens = [0, 1].map(|side| throughput[side] * steps[side]);
        let devices =
            of("train.tokens_per_gpu_s.mean").map(|each| [0, 1].map(|side| throughput[side] / each[side]));
        let work = Work {
            tokens,
            throughput,
            devices: devices.unwrap_or([1.0; 2]),
        };
        let differ = |[a, b]: [f64; 2]| (b / a - 1.0).abs() > SAME_WORK;
        (differ(work.tokens) || differ(work.devices)).then_some(work)
    }

    fn of_steps(&self, name: &str) -> String {
        let [a, b] = &self.waterfalls;
        if self.difference() == 0 && self.bars().is_empty() {
            return format!("Both steps take {}, of the same parts.", a.step());
        }
        let mut bars = self.bars();
        bars.sort_by_key(|bar| std::cmp::Reverse(bar.1.unsigned_abs()));
        // Picoseconds by which sums are rounded are no cause of anything.
        let largest = bars.first().map_or(0, |bar| bar.1.unsigned_abs());
        bars.retain(|bar| bar.1.unsigned_abs() > largest / DUST);
        let parts: Vec<String> = bars
            .iter()
            .take(3)
            .map(|&(cause, picos)| format!("{} {}", shown(picos), cause.title()))
            .collect();
        format!(
            "{} ({a} -> {b}): {}.",
            self.pace(name),
            parts.join(", "),
            a = a.step(),
            b = b.step()
        )
    }

    /// `B's step is 69.9 % shorter, 3.32 times as fast`; where a share says little, `B's step takes 12 times as long`. A step
    /// that is a share `r` shorter is `1 / (1 − r)` times as fast, which is said where the two differ to the eye.
    fn pace(&self, name: &str) -> String {
        let significant = orrery_units::significant;
        let relative = self.relative();
        let times = 1.0 + relative;
        if relative > 9.0 {
            return format!("{name}'s step takes {} times as long", significant(times, 3));
        }
        let share = significant(relative.abs() * 100.0, 3);
        if self.difference() >= 0 {
            return format!("{name}'s step is {share} % longer");
        }
        if relative > -0.1 {
            return format!("{name}'s step is {share} % shorter");
        }
        let times = significant(1.0 / times, 3);
        format!("{name}'s step is {share} % shorter, {times} times as fast")
    }

    /// The comparison as a `compare/1` object.
    #[must_use]
    pub fn json(&self) -> Value {
        let figures = self.figures.iter().map(|figure| {
            let [a, b] = figure.values;
            json!({"metric": figure.key, "a": a, "b": b, "difference": a.zip(b).map(|(a, b)| b - a), "unit": figure.unit})
        });
        let bars = self
            .bars()
            .into_iter()
            .map(|(cause, picos)| (cause.name().to_owned(), json!(picos)));
        let kinds = self.kinds.iter().map(|kind| {
            let [a, b] = kind.picos;
            json!({"kind": kind.kind, "a_ps": a, "b_ps": b, "difference_ps": b - a})
        });
        let settings = self.settings.iter().map(|setting| {
            let [a, b] = &setting.values;
            json!({"key": setting.key, "a": a, "b": b})
        });
        let [a, b] = self.waterfalls.each_ref();
        json!({
            "schema": "compare/1",
            "a": self.names[0],
            "b": self.names[1],
            "verdict": self.verdict(),
            "step_ps": {"a": a.step().as_picos(), "b": b.step().as_picos(), "difference": self.difference()},
            "relative": self.relative(),
            "causes_ps": Value::Object(bars.collect()),
            "metrics": figures.collect::<Value>(),
            "critical_path": kinds.collect::<Value>(),
            "settings": settings.collect::<Value>(),
        })
    }
}

/// `+1.02 s`, of picoseconds.
#[must_use]
pub fn shown(picos: i64) -> String {
    let sign = match picos {
        0 => "",
        picos if picos < 0 => "−",
        _ => "+",
    };
    format!("{sign}{}", SimDuration::from_picos(picos.unsigned_abs()))
}

/// Seconds of a signed number of picoseconds.
#[must_use]
pub fn seconds(picos: i64) -> f64 {
    let time = SimDuration::from_picos(picos.unsigned_abs()).as_secs();
    if picos < 0 { -time } else { time }
}

fn signed(time: SimDuration) -> i64 {
    i64::try_from(time.as_picos()).expect("a step is shorter than 106 days")
}

fn text(run: &Value, key: &str) -> String {
    run[key].as_str().unwrap_or_default().to_owned()
}

/// Whether a stored run was recorded rather than simulated.
#[must_use]
pub fn is_recorded(run: &Value) -> bool {
    run["origin"] == "recorded"
}

/// What the money of a stored run is counted in; runs from before results said so say it among their settings.
pub(crate) fn currency(run: &Value) -> &str {
    let said = run["currency"].as_str();
    said.or_else(|| run["settings"]["cost.currency"].as_str())
        .unwrap_or_default()
}

/// Scenario and seed, the file too where these do not tell them apart.
fn names(a: &Value, b: &Value) -> [String; 2] {
    let short = |run: &Value| match is_recorded(run) {
        true => format!("{}, recorded", text(run, "scenario")),
        false => format!("{}, seed {}", text(run, "scenario"), run["seed"]),
    };
    let [short_a, short_b] = [short(a), short(b)];
    if short_a == short_b && a["file"] != b["file"] {
        return [a, b].map(|run| format!("{} ({})", short(run), text(run, "file")));
    }
    if short_a == short_b && a["hash"] != b["hash"] {
        let hash = |run: &Value| text(run, "hash").chars().take(8).collect::<String>();
        return [a, b].map(|run| format!("{} ({})", short(run), hash(run)));
    }
    [short_a, short_b]
}

/// The step by cause that a stored run holds.
///
/// # Errors
/// When it holds none.
pub fn waterfall(run: &Value) -> Result<Waterfall, CompareError> {
    let causes = run["waterfall"]["causes_ps"].as_object();
    let parts = causes
        .into_iter()
        .flatten()
        .filter_map(|(name, picos)| Some((Cause::parse(name)?, SimDuration::from_picos(picos.as_u64()?))));
    let waterfall = Waterfall::of_parts(parts);
    let whole = run["waterfall"]["step_ps"].as_u64() == Some(waterfall.step().as_picos());
    if !whole || waterfall.step().is_zero() {
        return Err(CompareError::NoWaterfall {
            name: text(run, "scenario"),
        });
    }
    Ok(waterfall)
}

fn figures(a: &Value, b: &Value) -> Vec<Figure> {
    FIGURES
        .iter()
        .map(|&(label, key)| {
            let name = key.rsplit_once('.').map_or(key, |(name, _)| name);
            Figure {
                label,
                key,
                unit: find_metric(name).map_or("", |metric| metric.unit),
                values: [a, b].map(|run| run["metrics"][key].as_f64()),
                currencies: [a, b].map(|run| currency(run).to_owned()),
            }
        })
        .filter(|figure| figure.values.iter().any(Option::is_some))
        .collect()
}

/// Kinds on both critical paths that changed, the most first.
fn kinds(a: &Value, b: &Value) -> Vec<KindChange> {
    let mut times: BTreeMap<String, [i64; 2]> = BTreeMap::new();
    for (at, run) in [a, b].into_iter().enumerate() {
        let Some(kinds) = run["why"]["critical_path"]["by_kind"].as_array() else {
            return Vec::new();
        };
        for kind in kinds {
            times.entry(text(kind, "kind")).or_default()[at] += kind["ps"].as_i64().unwrap_or_default();
        }
    }
    let mut changes: Vec<KindChange> = times
        .into_iter()
        .map(|(kind, picos)| KindChange { kind, picos })
        .filter(|change| change.picos[0] != change.picos[1])
        .collect();
    changes.sort_by_key(|change| std::cmp::Reverse((change.picos[1] - change.picos[0]).unsigned_abs()));
    changes
}

/// Keys of the resolved scenario and what was filled in, where the two differ.
fn settings(a: &Value, b: &Value) -> Vec<Setting> {
    let mut all: BTreeMap<String, [Option<String>; 2]> = BTreeMap::new();
    for (at, run) in [a, b].into_iter().enumerate() {
        for (key, value) in run["settings"].as_object().into_iter().flatten() {
            all.entry(key.clone()).or_default()[at] = value.as_str().map(str::to_owned);
        }
        for assumption in run["assumptions"].as_array().into_iter().flatten() {
            let value = format!("{} (filled in)", text(assumption, "value"));
            all.entry(text(assumption, "key")).or_default()[at].get_or_insert(value);
        }
        for key in ["profile", "version"] {
            all.entry(key.to_owned()).or_default()[at] = Some(text(run, key));
        }
        // Given or not, a seed decides.
        let seed = (!is_recorded(run)).then(|| run["seed"].to_string());
        all.entry("run.seed".to_owned()).or_default()[at] = seed;
    }
    all.into_iter()
        .filter(|(_, [a, b])| a != b)
        .map(|(key, values)| Setting { key, values })
        .collect()
}
/// What stands in either, cut where it is long.
pub(crate) fn short(value: Option<&str>) -> String {
    let value = value.unwrap_or("not given");
    if value.chars().count() <= LONGEST {
        return value.to_owned();
    }
    let beginning: String = value.chars().take(LONGEST).collect();
    format!("{beginning} …")
}

#[cfg(test)]
mod tests;
