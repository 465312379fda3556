//! `/metrics`, `/stream` and `/healthz`.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use futures_core::Stream;
use tokio::sync::mpsc::{Receiver, channel};

use crate::board::{LINES_PER_READER, MOST_READERS};
use crate::{Board, metrics};

/// When a reader that found no place may ask again: as often as a reader hears at least.
const RETRY_AFTER_SECONDS: &str = "5";

/// The pages that read `board`.
pub(crate) fn router(board: Arc<Board>) -> Router {
    Router::new()
        .route("/metrics", get(serve_metrics))
        .route("/stream", get(serve_stream))
        .route("/healthz", get(serve_health))
        .route("/", get(|| async { pages("Orrery collector") }))
        .fallback(async |page: Uri| {
            (
                StatusCode::NOT_FOUND,
                pages(&format!("there is no page `{}`", page.path())),
            )
        })
        .with_state(board)
}

/// What there is, after `words`.
fn pages(words: &str) -> String {
    format!(
        "{words}\n/metrics  OpenMetrics text, for Prometheus\n/stream   one JSON object a line, live\n\
         /healthz  how each source does\n"
    )
}

async fn serve_metrics(State(board): State<Arc<Board>>) -> Response {
    match metrics::render(&board) {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::MEDIA_TYPE)], text).into_response(),
        Err(fault) => (StatusCode::INTERNAL_SERVER_ERROR, fault.to_string()).into_response(),
    }
}

async fn serve_stream(State(board): State<Arc<Board>>) -> Response {
    let (lines, reader) = channel(LINES_PER_READER);
    if !board.subscribe(lines) {
        return refuse_reader();
    }
    let body = Body::from_stream(Lines(reader));
    ([(header::CONTENT_TYPE, "application/jsonl")], body).into_response()
}

fn refuse_reader() -> Response {
    let words = format!(
        "the stream has {MOST_READERS} readers, and there is no place for more\nclose one and try again, or read \
         /metrics, which any number may do\n"
    );
    let after = [(header::RETRY_AFTER, RETRY_AFTER_SECONDS)];
    (StatusCode::SERVICE_UNAVAILABLE, after, words).into_response()
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
struct Lines(Receiver<Arc<str>>);

impl Stream for Lines {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let line = self.0.poll_recv(context);
        line.map(|line| line.map(|line| Ok(Bytes::copy_from_slice(line.as_bytes()))))
    }
}
