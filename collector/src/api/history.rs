//! `/v1/series` and `/v1/history`: what the local history has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde::Serialize;
use tokio::sync::Semaphore;

use super::question::{MOST_POINTS, Question, too_many};
use super::{ApiError, json};
use crate::Board;
use crate::board::wall_clock;
use crate::server::Sources;
use crate::store::{Bucket, SeriesKey, View};

/// The version of the answers.
const SCHEMA: &str = "history/1";
/// Series in one answer.
const MOST_SERIES: usize = 512;
/// Points in one answer, over all series.
const MOST_POINTS_IN_ALL: usize = 500_000;
/// Questions that are answered at one time, on threads of their own; the others wait for their turn.
const AT_ONE_TIME: usize = 2;

/// Turns of the questions.
static TURNS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(AT_ONE_TIME));

pub(super) fn router() -> Router<Sources> {
    Router::new()
        .route("/v1/series", get(serve_series))
        .route("/v1/history", get(serve_history))
}

#[derive(Serialize)]
struct SeriesList<'a> {
    schema: &'static str,
    series: Vec<SeriesName<'a>>,
}

#[derive(Serialize)]
struct SeriesName<'a> {
    metric: &'a str,
    labels: &'a BTreeMap<String, String>,
}

/// Times are seconds since the Unix epoch.
#[derive(Serialize)]
struct Answer {
    schema: &'static str,
    metric: String,
    from: f64,
    to: f64,
    /// In seconds; 0 for every value.
    step: f64,
    series: Vec<AnswerSeries>,
    /// Rows of the file that did not check and were left out.
    damaged_rows: u64,
}

#[derive(Serialize)]
struct AnswerSeries {
    labels: BTreeMap<String, String>,
    /// Points that are wider than the step, where nothing finer is kept, by their width in seconds.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    wider: BTreeSet<u64>,
    /// `[time, value]` for every value, else `[time, least, mean, largest]`.
    points: Vec<Point>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Point {
    Value([f64; 2]),
    Bucket([f64; 4]),
}

async fn serve_series(State(board): State<Arc<Board>>) -> Response {
    answer(board, |view| {
        let series = view.series().values();
        let series = series.map(|SeriesKey { metric, labels, .. }| SeriesName { metric, labels });
        let list = SeriesList {
            schema: SCHEMA,
            series: series.collect(),
        };
        Ok(json(&list))
    })
    .await
}

async fn serve_history(
    State(board): State<Arc<Board>>,
    Query(parameters): Query<Vec<(String, String)>>,
) -> Response {
    match Question::new(parameters, wall_clock().as_millis()) {
        Ok(question) => answer(board, move |view| Ok(json(&look_up(view, question)?))).await,
        Err(fault) => fault.into_response(),
    }
}

/// Answers out of the history on a thread that may wait for the disk.
async fn answer(
    board: Arc<Board>,
    ask: impl FnOnce(&mut View) -> Result<Response, ApiError> + Send + 'static,
) -> Response {
    let Some(store) = board.store().cloned() else {
        return ApiError {
            status: StatusCode::NOT_FOUND,
            error: "this collector keeps no history".to_owned(),
            fix: "start it with `--data-dir DIR`".to_owned(),
        }
        .into_response();
    };
    let _turn = TURNS.acquire().await;
    let work = tokio::task::spawn_blocking(move || {
        let mut view = store.view().map_err(|(error, fix)| unavailable(error, fix))?;
        ask(&mut view)
    });
    let done = work.await.unwrap_or_else(|fault| {
        let fix = "see the log of the collector; the file may be damaged";
        Err(unavailable(
            format!("the history cannot be read: {fault}"),
            fix.to_owned(),
        ))
    });
    done.unwrap_or_else(ApiError::into_response)
}

fn unavailable(error: String, fix: String) -> ApiError {
    ApiError {
        status: StatusCode::SERVICE_UNAVAILABLE,
        error,
        fix,
    }
}

fn look_up(view: &mut View, question: Question) -> Result<Answer, ApiError> {
    let chosen = choose(view.series(), &question)?;
    let range = question.to - question.from;
    let mut num_points = 0;
    let mut series = Vec::new();
    for (number, labels) in chosen {
        let found = view.read(number, question.from..question.to, question.step);
        let found = found.map_err(|fault| unavailable(fault.to_string(), fault.remedy().to_owned()))?;
        num_points += found.len();
        if found.len() as u64 > MOST_POINTS {
            return Err(too_many(range));
        }
        if num_points > MOST_POINTS_IN_ALL {
            return Err(ApiError::bad(
                format!("that is more than {MOST_POINTS_IN_ALL} points"),
                "ask for fewer series by a label, such as `gpu=0`, for a larger `step` or a shorter range",
            ));
        }
        let wider = found.iter().filter(|bucket| bucket.width > question.step);
        series.push(AnswerSeries {
            labels,
            wider: wider.map(|bucket| bucket.width / 1000).collect(),
            points: found.iter().map(point).collect(),
        });
    }
    Ok(Answer {
        schema: SCHEMA,
        metric: question.metric,
        from: seconds(question.from),
        to: seconds(question.to),
        step: seconds(question.step),
        series,
        damaged_rows: view.num_damaged(),
    })
}

/// The number of a series, and its labels.
type Chosen = (u32, BTreeMap<String, String>);

/// The series that are asked for.
fn choose(series: &BTreeMap<u32, SeriesKey>, question: &Question) -> Result<Vec<Chosen>, ApiError> {
    let of_metric = || series.iter().filter(|(_, key)| key.metric == question.metric);
    if of_metric().next().is_none() {
        let metric = &question.metric;
        let known: BTreeSet<&str> = series.values().map(|key| key.metric.as_str()).collect();
        let near = known
            .into_iter()
            .filter(|name| name.contains(metric.as_str()) || metric.contains(name));
        let near: Vec<String> = near.map(|name| format!("`{name}`")).collect();
        let fix = match near.as_slice() {
            [] => "`/v1/series` lists what there is".to_owned(),
            near => format!("ask for {}", near.join(" or ")),
        };
        return Err(ApiError {
            status: StatusCode::NOT_FOUND,
            error: format!("the history has no metric `{metric}`"),
            fix,
        });
    }
    for name in question.labels.keys() {
        let mut known = BTreeSet::new();
        known.extend(of_metric().flat_map(|(_, key)| key.labels.keys()));
        if !known.contains(name) {
            let known: Vec<String> = known.into_iter().map(|name| format!("`{name}`")).collect();
            let fix = format!(
                "its labels are {}; other parameters are `from`, `to`, `step`",
                known.join(", ")
            );
            return Err(ApiError::bad(
                format!("`{}` has no label `{name}`", question.metric),
                fix,
            ));
        }
    }
    let has_all = |key: &SeriesKey| {
        let mut asked = question.labels.iter();
        asked.all(|(name, value)| key.labels.get(name) == Some(value))
    };
    let chosen = of_metric().filter(|(_, key)| has_all(key));
    let chosen: Vec<Chosen> = chosen
        .map(|(&number, key)| (number, key.labels.clone()))
        .collect();
    if chosen.len() > MOST_SERIES {
        return Err(ApiError::bad(
            format!(
                "those are {} series, and an answer has at most {MOST_SERIES}",
                chosen.len()
            ),
            "ask for fewer by a label, such as `node=NAME` or `gpu=0`",
        ));
    }
    Ok(chosen)
}

fn point(bucket: &Bucket) -> Point {
    let at = seconds(bucket.start);
    if bucket.width == 0 {
        Point::Value([at, bucket.mean])
    } else {
        Point::Bucket([at, bucket.min, bucket.mean, bucket.max])
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds since 1970 are below 2^53"
)]
fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}
