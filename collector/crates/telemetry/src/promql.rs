//! Answers of `/api/v1/query_range`, which Prometheus and whatever speaks its API give.
//!
//! Only the form is known here: how a question becomes parameters, and an answer series. Who asks is elsewhere.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::UnixTime;

/// The page that is asked.
pub const QUERY_RANGE: &str = "/api/v1/query_range";

/// A question about a range of time.
#[derive(Clone, Debug, PartialEq)]
pub struct RangeQuery {
    /// The expression, in PromQL.
    pub expression: String,
    /// From when.
    pub start: UnixTime,
    /// To when; this instant belongs to the range.
    pub end: UnixTime,
    /// Seconds between two points.
    pub step_seconds: f64,
}

/// One series of an answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RangeSeries {
    /// Its labels; the name of the metric, where it has one, is `__name__`.
    pub labels: BTreeMap<String, String>,
    /// Seconds since the Unix epoch, and the value; a value may be no number (NaN), where PromQL says so.
    pub points: Vec<(f64, f64)>,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum RangeError {
    /// The server does not answer this.
    #[error("the server refuses the question ({kind}): {words}")]
    Refused {
        /// Of what kind its refusal is, such as `bad_data`.
        kind: String,
        /// In its words.
        words: String,
    },
    /// It answers something else.
    #[error(
        "this is no answer of `/api/v1/query_range`: {0}\nname the address of a server that speaks the API of \
         Prometheus, such as `http://prometheus:9090`"
    )]
    Malformed(String),
}

#[derive(Deserialize)]
struct Answer {
    status: String,
    #[serde(rename = "errorType", default)]
    kind: String,
    #[serde(default)]
    error: String,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    kind: String,
    result: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    values: Vec<(f64, String)>,
}

impl RangeQuery {
    /// The parameters of the request, by name.
    #[must_use]
    pub fn parameters(&self) -> [(&'static str, String); 4] {
        [
            ("query", self.expression.clone()),
            ("start", self.start.as_secs().to_string()),
            ("end", self.end.as_secs().to_string()),
            ("step", self.step_seconds.to_string()),
        ]
    }
}

/// The series of an answer, in its order.
///
/// # Errors
/// When the server refused, or `text` is no such answer.
pub fn read_range(text: &str) -> Result<Vec<RangeSeries>, RangeError> {
    let malformed = |fault: &dyn std::fmt::Display| RangeError::Malformed(fault.to_string());
    let answer: Answer = serde_json::from_str(text).map_err(|fault| malformed(&fault))?;
    if answer.status != "success" {
        return Err(RangeError::Refused {
            kind: answer.kind,
            words: answer.error,
        });
    }
    let data = answer.data.ok_or_else(|| malformed(&"it has no data"))?;
    if data.kind != "matrix" {
        return Err(malformed(&format!("it is a `{}`", data.kind)));
    }
    let series = data.result.into_iter().map(|series| {
        let points = series
            .values
            .into_iter()
            .map(|(at, value)| Some((at, number(&value)?)));
        let points = points.collect::<Option<Vec<_>>>();
        Ok(RangeSeries {
            labels: series.metric,
            points: points.ok_or_else(|| malformed(&"a value is no number"))?,
        })
    });
    series.collect()
}

/// A number as Prometheus writes it.
fn number(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        _ => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_as_the_documentation_of_prometheus_has_it_is_read() {
        let text = r#"{"status":"success","data":{"resultType":"matrix","result":[
            {"metric":{"__name__":"up","job":"prometheus"},"values":[[1435781430.781,"1"],[1435781445.781,"NaN"]]},
            {"metric":{},"values":[[1435781430.781,"+Inf"]]}]},"warnings":["one"]}"#;
        let series = read_range(text).unwrap();
        assert_eq!(series[0].labels["job"], "prometheus");
        assert_eq!(series[0].points[0], (1_435_781_430.781, 1.0));
        assert!(series[0].points[1].1.is_nan(), "{series:?}");
        assert_eq!(series[1].points, [(1_435_781_430.781, f64::INFINITY)]);
    }

    #[test]
    fn a_refusal_is_told_in_the_words_of_the_server_and_anything_else_with_what_would_do() {
        let refused = r#"{"status":"error","errorType":"bad_data","error":"parse error: unexpected end"}"#;
        let fault = read_range(refused).unwrap_err().to_string();
        assert!(
            fault.contains("bad_data") && fault.contains("unexpected end"),
            "{fault}"
        );
        for text in [
            "<html>",
            r#"{"status":"success"}"#,
            r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#,
            r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"x"]]}]}}"#,
        ] {
            let fault = read_range(text).unwrap_err().to_string();
            assert!(fault.contains("http://prometheus:9090"), "{text}: {fault}");
        }
    }

    #[test]
    fn a_question_has_seconds() {
        let query = RangeQuery {
            expression: "up".to_owned(),
            start: UnixTime::from_millis(1_500),
            end: UnixTime::from_millis(3_000),
            step_seconds: 0.5,
        };
        let parameters = query.parameters();
        assert_eq!(parameters.map(|(_, value)| value), ["up", "1.5", "3", "0.5"]);
    }
}
