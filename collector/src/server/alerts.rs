//! `/v1/alerts`: what is wrong, by which numbers, and what to do.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};

use crate::Board;

/// The alerts that stand, as JSON: `{"schema":"alerts/1","alerts":[…]}`.
pub(super) async fn serve(State(board): State<Arc<Board>>) -> Response {
    let alerts = serde_json::json!({
        "schema": "alerts/1",
        "alerts": board.snapshot().verdict.alerts,
    });
    ([(header::CONTENT_TYPE, "application/json")], alerts.to_string()).into_response()
}
