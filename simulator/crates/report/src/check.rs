//! The outcome of an expectation, as reports show it.

/// How much a failed expectation matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Fails the run.
    Error,
    /// Reported only.
    Warn,
    /// Reported only, without a mark.
    Info,
}

/// How an expectation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Pass,
    /// It does not.
    Fail,
    /// A metric it names has no samples: counts as failed.
    NoData,
    /// It compares with a baseline and there is none: counts as failed.
    NoBaseline,
    /// The check it depends on did not pass.
    Skipped,
}

/// One evaluated expectation.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// Its name in the scenario.
    pub id: String,
    /// The check as written.
    pub text: String,
    /// Why it is there.
    pub why: Option<String>,
    /// How much it matters.
    pub level: Level,
    /// How it ended.
    pub verdict: Verdict,
    /// What the left side came to, in base units.
    pub value: Option<f64>,
    /// The least and the most that the value may be, in base units, where there is such a bound.
    pub bounds: (Option<f64>, Option<f64>),
    /// Unit of both for people, such as `s`.
    pub unit: String,
    /// The file.
    pub file: String,
    /// The line of the check in it, from 1.
    pub line: u32,
}

impl Level {
    /// The name in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
        }
    }
}

impl Verdict {
    /// The name in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::NoData => "no_data",
            Self::NoBaseline => "no_baseline",
            Self::Skipped => "skipped",
        }
    }
}

impl Check {
    /// Whether it did not hold.
    #[must_use]
    pub const fn failed(&self) -> bool {
        matches!(
            self.verdict,
            Verdict::Fail | Verdict::NoData | Verdict::NoBaseline
        )
    }

    /// Whether it fails the whole run.
    #[must_use]
    pub const fn fails_run(&self) -> bool {
        self.failed() && matches!(self.level, Level::Error)
    }

    /// The bound that the value lies beyond; the nearer one when it lies within.
    #[must_use]
    pub fn bound(&self) -> Option<f64> {
        let (low, high) = self.bounds;
        let Some(value) = self.value else {
            return high.or(low);
        };
        match (low, high) {
            (Some(low), Some(high)) if (value - low).abs() < (high - value).abs() => Some(low),
            (low, high) => high.or(low),
        }
    }

    /// How far the value lies from its bound, as a share of the bound.
    #[must_use]
    pub fn excess(&self) -> Option<f64> {
        let (value, bound) = (self.value?, self.bound()?);
        (bound != 0.0).then(|| value / bound - 1.0)
    }

    /// `got 2.41 s, bound 2 s (+20.5 %)`, or `no data`.
    #[must_use]
    pub fn outcome(&self) -> String {
        match self.verdict {
            Verdict::Skipped => return "skipped: the check it depends on did not hold".to_owned(),
            Verdict::NoBaseline => return "no baseline: there is no stored value to compare with".to_owned(),
            Verdict::Pass | Verdict::Fail | Verdict::NoData => {}
        }
        let (Some(value), true) = (self.value, self.verdict != Verdict::NoData) else {
            return "no data: the metric has no samples".to_owned();
        };
        let got = format!("got {}", crate::quantity(value, &self.unit));
        match (self.bound(), self.excess()) {
            (Some(bound), Some(excess)) if self.failed() => {
                let bound = crate::quantity(bound, &self.unit);
                format!("{got}, bound {bound} ({:+.1} %)", excess * 100.0)
            }
            _ => got,
        }
    }
}
