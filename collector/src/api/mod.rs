//! `/v1/…`: what programs ask for, in JSON. An error is `{"error": what, "fix": what would do}`.

mod history;
mod question;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use orrery_telemetry::Sample;
use serde::Serialize;

use crate::board::wall_clock;
use crate::server::Sources;
use crate::{Board, Snapshot};

/// The pages under `/v1`.
pub(crate) fn router() -> Router<Sources> {
    Router::new()
        .route("/v1/now", get(serve_now))
        .merge(history::router())
}

/// Why a question has no answer, and what would do.
#[derive(Debug, PartialEq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) error: String,
    pub(crate) fix: String,
}

impl ApiError {
    /// A question that cannot be answered as it is.
    pub(crate) fn bad(error: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            error: error.into(),
            fix: fix.into(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = serde_json::json!({ "error": self.error, "fix": self.fix });
        let head = [(header::CONTENT_TYPE, "application/json")];
        (self.status, head, body.to_string()).into_response()
    }
}

/// `answer` as JSON.
fn json(answer: &impl Serialize) -> Response {
    match serde_json::to_string(answer) {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Err(fault) => ApiError {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            error: fault.to_string(),
            fix: "report it: this is a bug of the collector".to_owned(),
        }
        .into_response(),
    }
}

/// How every source does and the last sample of each, with the collector's own time, by which their age is told.
async fn serve_now(State(board): State<Arc<Board>>) -> Response {
    let Snapshot {
        statuses, samples, ..
    } = board.snapshot();
    let samples: Vec<&Sample> = samples.iter().map(AsRef::as_ref).collect();
    json(&serde_json::json!({
        "schema": "now/1",
        "now": wall_clock(),
        "sources": statuses,
        "samples": samples,
    }))
}
