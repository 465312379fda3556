//! The JSON lines of the collector's Unix socket: one object a line, `{"schema":"trainer/1","job":NAME, …}`.
//!
//! A trainer says once what it trains (`description`, see [`Description`]), and then after each step, or every few,
//! how it went (`step`). Both may stand in one line; everything but the job and a step's number and time may be left
//! out. Times are in seconds, amounts in bytes and tokens.
//!
//! ```text
//! {"schema":"trainer/1","job":"pretrain","description":{"gpus":16,"peak":"989 TFLOP/s","sequence_length":8192,"global_batch":128,"model":{…}}}
//! {"schema":"trainer/1","job":"pretrain","step":{"number":120,"time":7.4,"tokens":1048576,"expert_loads":[[310,290,…],…],"waits":[0.4,0.1,…]}}
//! ```

use std::collections::BTreeMap;

use orrery_units::{Bytes, SimDuration};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Description;
use crate::judge::{Allocator, LastCollective};

/// The version of the lines.
const SCHEMA: &str = "trainer/1";
/// Ranks, layers and experts of which a line may tell; more are a fault of the sender.
const MOST: usize = 1 << 17;

/// What one line of the socket tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// The version of the line: `trainer/1`.
    pub schema: String,
    /// The job.
    pub job: String,
    /// What it trains, and on what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Description>,
    /// A step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<ToldStep>,
    /// The collective that was begun last, whether or not a step ended: what a flight recorder sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_collective: Option<LastCollective>,
}

/// A step, as a trainer tells it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ToldStep {
    /// Its number.
    pub number: u64,
    /// How long it took, in seconds.
    pub time: f64,
    /// Tokens over all ranks; from the description unless told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Tokens of each expert, for each layer that has any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expert_loads: Vec<Vec<u64>>,
    /// Seconds for which each rank waited in collectives, in the order of ranks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waits: Vec<f64>,
    /// What the allocator of the fullest rank holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocator: Option<Allocator>,
    /// Collectives of the step that were timed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub collectives: Vec<TimedCollective>,
}

/// A collective that was timed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimedCollective {
    /// The operation, such as `all_reduce`.
    pub op: String,
    /// Its bytes.
    pub bytes: Bytes,
    /// Its ranks.
    pub ranks: u32,
    /// Its nodes.
    pub nodes: u32,
    /// How long it took, in seconds.
    pub time: f64,
}

/// Why a line of the socket tells nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MessageError {
    /// It is not JSON, or not of this shape.
    #[error("no `trainer/1` line: {0}")]
    Malformed(String),
    /// It is of another version.
    #[error("the trainer speaks `{0}`, this collector `trainer/1`\nuse the same release on both sides")]
    OtherVersion(String),
    /// A number that cannot be.
    #[error("`{0}` of step {1} is no time: use seconds, above zero and below a day")]
    NoTime(&'static str, u64),
    /// More than anybody has.
    #[error("`{0}` has more than {MOST} entries")]
    TooMany(&'static str),
    /// It has no name.
    #[error("`job` is empty or longer than 128 characters: give the job a name")]
    NoName,
}

#[derive(Deserialize)]
struct Head {
    schema: String,
}

impl Message {
    /// What `line` tells.
    ///
    /// # Errors
    /// When it is of another version, malformed, or holds what cannot be.
    pub fn parse(line: &str) -> Result<Self, MessageError> {
        let malformed = |fault: serde_json::Error| MessageError::Malformed(fault.to_string());
        let head: Head = serde_json::from_str(line).map_err(malformed)?;
        if head.schema != SCHEMA {
            return Err(MessageError::OtherVersion(head.schema));
        }
        let message: Self = serde_json::from_str(line).map_err(malformed)?;
        if message.job.is_empty() || message.job.chars().count() > 128 {
            return Err(MessageError::NoName);
        }
        if let Some(step) = &message.step {
            step.check()?;
        }
        Ok(message)
    }
}

impl ToldStep {
    fn check(&self) -> Result<(), MessageError> {
        const DAY: f64 = 86_400.0;
        if !(self.time > 0.0 && self.time < DAY) {
            return Err(MessageError::NoTime("time", self.number));
        }
        if !self.waits.iter().all(|wait| (0.0..DAY).contains(wait)) {
            return Err(MessageError::NoTime("waits", self.number));
        }
        let times = self.collectives.iter().map(|collective| collective.time);
        if !times.into_iter().all(|time| time > 0.0 && time < DAY) {
            return Err(MessageError::NoTime("collectives", self.number));
        }
        let loads: usize = self.expert_loads.iter().map(Vec::len).sum();
        for (name, number) in [
            ("waits", self.waits.len()),
            ("expert_loads", loads),
            ("collectives", self.collectives.len()),
        ] {
            if number > MOST {
                return Err(MessageError::TooMany(name));
            }
        }
        Ok(())
    }

    /// Load of the fullest expert over that of the mean one, in the worst layer. Worked: 30, 10, 10, 10 have a mean of
    /// 15 and so 2.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "tokens of a step are far below 2^53")]
    pub fn imbalance(&self) -> Option<f64> {
        let of_layer = |loads: &Vec<u64>| {
            let sum: u64 = loads.iter().fold(0, |sum, &load| sum.saturating_add(load));
            let largest = *loads.iter().max()?;
            (sum > 0).then(|| largest as f64 * loads.len() as f64 / sum as f64)
        };
        self.expert_loads
            .iter()
            .filter_map(of_layer)
            .max_by(f64::total_cmp)
    }

    /// The waits as times, by rank.
    #[must_use]
    pub(super) fn waited(&self) -> BTreeMap<u32, SimDuration> {
        let waits = self.waits.iter().copied().map(SimDuration::from_secs);
        (0..).zip(waits).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_a_step_and_what_it_lacks_is_left_out() {
        let line = r#"{"schema":"trainer/1","job":"a","step":{"number":7,"time":1.5,"expert_loads":[[10,10],[30,10,10,10]]}}"#;
        let message = Message::parse(line).unwrap();
        let step = message.step.clone().unwrap();
        assert!((step.imbalance().unwrap() - 2.0).abs() < 1e-12);
        assert_eq!((step.number, step.tokens), (7, None));
        assert_eq!(
            Message::parse(&serde_json::to_string(&message).unwrap()),
            Ok(message)
        );
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        for (line, words) in [
            ("", "no `trainer/1` line"),
            ("[]", "no `trainer/1` line"),
            (r#"{"schema":"trainer/2","job":"a"}"#, "`trainer/2`"),
            (r#"{"schema":"trainer/1","job":""}"#, "give the job a name"),
            (
                r#"{"schema":"trainer/1","job":"a","stp":1}"#,
                "unknown field `stp`",
            ),
            (
                r#"{"schema":"trainer/1","job":"a","step":{"number":7,"time":-1}}"#,
                "`time` of step 7",
            ),
            (
                r#"{"schema":"trainer/1","job":"a","step":{"number":7,"time":1,"waits":[1,-2]}}"#,
                "`waits` of step 7",
            ),
            (
                r#"{"schema":"trainer/1","job":"a","description":{"peak":"989"}}"#,
                "needs a unit",
            ),
        ] {
            let fault = Message::parse(line).unwrap_err().to_string();
            assert!(fault.contains(words), "{line}: {fault}");
        }
    }
}
