//! `/metrics`, `/stream` and `/healthz`.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use futures_core::Stream;
use tokio::sync::mpsc::{Receiver, channel};

use crate::board::LINES_PER_READER;
use crate::{Board, metrics};

/// The pages that read `board`.
pub(crate) fn router(board: Arc<Board>) -> Router {
    Router::new()
        .route("/metrics", get(serve_metrics))
        .route("/stream", get(serve_stream))
        .route("/healthz", get(serve_health))
        .with_state(board)
}

async fn serve_metrics(State(board): State<Arc<Board>>) -> Response {
    match metrics::render(&board) {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::MEDIA_TYPE)], text).into_response(),
        Err(fault) => (StatusCode::INTERNAL_SERVER_ERROR, fault.to_string()).into_response(),
    }
}

async fn serve_stream(State(board): State<Arc<Board>>) -> Response {
    let (lines, reader) = channel(LINES_PER_READER);
    board.subscribe(lines);
    let body = Body::from_stream(Lines(reader));
    ([(header::CONTENT_TYPE, "application/jsonl")], body).into_response()
}

async fn serve_health(State(board): State<Arc<Board>>) -> Response {
    let health = serde_json::json!({
        "status": "ok",
        "version": env!("CARGO_PKG_VERSION"),
        "sources": board.statuses(),
    });
    ([(header::CONTENT_TYPE, "application/json")], health.to_string()).into_response()
}

/// The lines of one reader; ends when the board lets the reader go.
struct Lines(Receiver<String>);

impl Stream for Lines {
    type Item = Result<String, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|line| line.map(Ok))
    }
}
