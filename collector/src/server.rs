//! The pages, and who may read them.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, FromRef, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Extension, Router};
use bytes::Bytes;
use futures_core::Stream;
use tokio::sync::mpsc::{Receiver, channel};

use crate::Board;
use crate::api;
use crate::board::{LINES_PER_READER, Line, MOST_READERS};
use crate::metrics::{Coding, Exporter, Format, Page};

mod access;
mod alerts;
mod clients;
mod followed;
mod limits;
mod listen;
mod patient;
mod serving;
mod tls;

pub use access::TokenError;
pub(crate) use access::{MAKE_TOKEN, SHORTEST, Token, read_secret, read_token};
pub(crate) use clients::Clients;
use clients::StreamPlace;
pub(crate) use followed::Followed;
pub use limits::Limits;
use listen::Peer;
pub(crate) use listen::Server;
pub(crate) use serving::Prepared;
pub use serving::{Serving, ServingError};
pub(crate) use tls::Identity;
pub use tls::{Tls, TlsError};

/// When a reader that found no place may ask again: as often as a reader hears at least.
const RETRY_AFTER_SECONDS: &str = "5";
/// The longest body that a page reads, in bytes, if it reads any.
const BODY_BYTES: usize = 8 << 10;
const EVENT_STREAM: &str = "text/event-stream";

/// What pages are made from.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    pub(crate) board: Arc<Board>,
    pub(crate) exporter: Arc<Exporter>,
    pub(crate) clients: Arc<Clients>,
}

impl FromRef<Sources> for Arc<Board> {
    fn from_ref(sources: &Sources) -> Self {
        sources.board.clone()
    }
}

impl FromRef<Sources> for Arc<Exporter> {
    fn from_ref(sources: &Sources) -> Self {
        sources.exporter.clone()
    }
}

/// The pages.
pub(crate) fn router(sources: Sources) -> Router {
    Router::new()
        .route("/metrics", get(serve_metrics))
        .route("/metrics/dcgm", get(serve_dcgm))
        .route("/stream", get(serve_stream))
        .route("/v1/alerts", get(alerts::serve))
        .route("/healthz", get(serve_health))
        .route("/-/ready", get(serve_readiness))
        .merge(api::router())
        .route("/", get(|| async { pages("Orrery collector") }))
        .fallback(async |page: Uri| {
            (
                StatusCode::NOT_FOUND,
                pages(&format!("there is no page `{}`", page.path())),
            )
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .with_state(sources)
}

/// What there is, after `words`.
fn pages(words: &str) -> String {
    format!(
        "{words}\n/metrics       for Prometheus: OpenMetrics if asked for, else text 0.0.4\n\
         /metrics/dcgm  the same readings under the names of dcgm-exporter\n\
         /stream        one JSON object a line, live; server-sent events if asked for\n\
         /v1/alerts     what is wrong, by which numbers, and what to do\n\
         /healthz       whether it lives, and how each source does\n\
         /-/ready       whether the first cycle is over\n\
         /v1/now        the last samples, JSON\n\
         /v1/series     what the local history has, JSON\n\
         /v1/history    the local history: ?metric=NAME&gpu=0&from=-1h&step=10s, JSON\n"
    )
}

/// The values of the headers called `name`.
fn values(headers: &HeaderMap, name: HeaderName) -> Vec<&str> {
    let values = headers.get_all(name).iter();
    values.filter_map(|value| value.to_str().ok()).collect()
}

async fn serve_metrics(State(exporter): State<Arc<Exporter>>, headers: HeaderMap) -> Response {
    let format = Format::accepted(&values(&headers, header::ACCEPT));
    page(&exporter, Page::Own(format), format, &headers)
}

async fn serve_dcgm(State(exporter): State<Arc<Exporter>>, headers: HeaderMap) -> Response {
    page(&exporter, Page::Dcgm, Format::Plain, &headers)
}

fn page(exporter: &Exporter, page: Page, format: Format, headers: &HeaderMap) -> Response {
    let coding = Coding::accepted(&values(headers, header::ACCEPT_ENCODING));
    let text = match exporter.text(page, coding) {
        Ok(text) => text,
        Err(fault) => return (StatusCode::INTERNAL_SERVER_ERROR, fault.to_string()).into_response(),
    };
    let head = [
        (header::CONTENT_TYPE, format.media_type()),
        (header::VARY, "accept, accept-encoding"),
    ];
    match coding {
        Coding::Identity => (head, text).into_response(),
        Coding::Gzip => (head, [(header::CONTENT_ENCODING, "gzip")], text).into_response(),
    }
}

async fn serve_stream(
    State(sources): State<Sources>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Response {
    let Some(place) = sources.clients.open_stream(peer.address) else {
        return refuse_reader("this address has as many streams as it may");
    };
    let (lines, reader) = channel(LINES_PER_READER);
    if !sources.board.subscribe(lines) {
        return refuse_reader(&format!("the stream has {MOST_READERS} readers"));
    }
    let as_events = values(&headers, header::ACCEPT)
        .iter()
        .any(|accepted| accepted.contains(EVENT_STREAM));
    let media_type = if as_events {
        EVENT_STREAM
    } else {
        "application/jsonl"
    };
    let body = Body::from_stream(Lines {
        reader,
        as_events,
        _place: place,
    });
    let head = [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (head, body).into_response()
}

fn refuse_reader(reason: &str) -> Response {
    let words = format!(
        "{reason}, and there is no place for more\nclose one and try again, or read /metrics, which any number may \
         do\n"
    );
    let after = [(header::RETRY_AFTER, RETRY_AFTER_SECONDS)];
    (StatusCode::SERVICE_UNAVAILABLE, after, words).into_response()
}

/// That it lives is told to everybody, how it does only to those who may ask.
async fn serve_health(State(board): State<Arc<Board>>, Extension(peer): Extension<Peer>) -> Response {
    let mut health = serde_json::json!({ "status": "ok" });
    if peer.is_admitted {
        health["version"] = env!("CARGO_PKG_VERSION").into();
        health["sources"] = serde_json::json!(board.statuses());
        health["store"] = serde_json::json!(board.store().map(|store| store.status()));
    }
    ([(header::CONTENT_TYPE, "application/json")], health.to_string()).into_response()
}

async fn serve_readiness(State(board): State<Arc<Board>>) -> (StatusCode, &'static str) {
    if board.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "the first cycle is not over: a source has neither given a sample nor said why not\n",
        )
    }
}

/// The lines of one reader; ends when the board lets the reader go.
struct Lines {
    reader: Receiver<Line>,
    /// Whether they are wrapped as server-sent events.
    as_events: bool,
    _place: StreamPlace,
}

impl Stream for Lines {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let as_events = self.as_events;
        let wrapped = |line: Line| {
            if as_events {
                // A line has its end already; an empty line ends the event.
                Bytes::from([b"data: ", &line[..], b"\n"].concat())
            } else {
                line
            }
        };
        let line = self.reader.poll_recv(context);
        line.map(|line| line.map(|line| Ok(wrapped(line))))
    }
}
