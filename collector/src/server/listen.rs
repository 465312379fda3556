//! Connections: taken in, bounded, asked for credentials, answered, and let go.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::http::{Request, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::access::{Access, Refusal};
use super::clients::{Answer, Clients, Place};
use super::followed::Followed;
use super::limits::{Limits, Pace};
use super::patient::Patient;
use super::tls::Identity;

/// How long a request may go on after the wish to stop.
const GRACE: Duration = Duration::from_secs(1);
/// What is waited for when the system gives no connection, as when there is no room for another file.
const RESPITE: Duration = Duration::from_millis(100);
/// Kept small, so that what a client does not take costs the system little: a page in flight, not megabytes.
const SEND_BUFFER_BYTES: usize = 128 << 10;
/// What one connection may hold of what it reads and of what it has to write.
const BUFFER_BYTES: usize = 16 << 10;
const MOST_HEADERS: usize = 64;
/// The page that answers without credentials.
const HEALTH: &str = "/healthz";

/// Who asks, for pages that want to know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// The address of the client.
    pub(crate) address: IpAddr,
    /// Whether it showed what it has to show.
    pub(crate) is_admitted: bool,
}

/// What all connections share.
pub(crate) struct Server {
    pages: Router,
    access: Access,
    clients: Arc<Clients>,
    pace: Pace,
    limits: Limits,
    tls: Option<Followed<Identity>>,
}

impl Server {
    /// A server of `pages`.
    pub(crate) fn new(
        pages: Router,
        access: Access,
        clients: Arc<Clients>,
        limits: &Limits,
        tls: Option<Followed<Identity>>,
    ) -> Self {
        Self {
            pages,
            access,
            clients,
            pace: Pace::new(limits.requests_per_second),
            limits: limits.clone(),
            tls,
        }
    }

    /// Serves until `stopped`, then gives open requests their grace.
    pub(crate) async fn run(self, listener: TcpListener, mut stopped: oneshot::Receiver<()>) {
        if let Err(fault) = socket2::SockRef::from(&listener).set_send_buffer_size(SEND_BUFFER_BYTES) {
            tracing::debug!("the system keeps its own size of send buffers: {fault}");
        }
        let server = Arc::new(self);
        let (last_call, called) = watch::channel(false);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                // A dropped sender is a wish to stop as well.
                _wished = &mut stopped => break,
                Some(_ended) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        if let Some((place, given_up)) = server.clients.admit(peer.ip(), Instant::now()) {
                            let connection = server.clone().connection(stream, peer.ip(), place, called.clone());
                            connections.spawn(async move {
                                tokio::select! {
                                    () = connection => {}
                                    _gone = given_up => {}
                                }
                            });
                        }
                    }
                    Err(fault) => {
                        tracing::debug!("no connection: {fault}");
                        tokio::time::sleep(RESPITE).await;
                    }
                },
            }
        }
        drop(listener);
        last_call.send_replace(true);
        let all_ended = async { while connections.join_next().await.is_some() {} };
        // Whatever is left is dropped with the set.
        let _in_time = tokio::time::timeout(GRACE, all_ended).await;
    }

    /// One connection, to its end.
    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        peer: IpAddr,
        place: Place,
        called: watch::Receiver<bool>,
    ) {
        // Lines of a stream are small and wanted now; a connection that is gone already ends by itself.
        let _gone = stream.set_nodelay(true);
        let stream = Patient::new(stream, self.limits.stall);
        let Some(identity) = &self.tls else {
            return self.clone().speak(stream, peer, false, place, called).await;
        };
        // A handshake costs more than a request.
        if !self.pace.take(peer, Instant::now()) {
            return;
        }
        let acceptor = TlsAcceptor::from(identity.now().config);
        let shaken = tokio::time::timeout(self.limits.patience, acceptor.accept(stream)).await;
        match shaken {
            Ok(Ok(stream)) => {
                let has_certificate = stream.get_ref().1.peer_certificates().is_some();
                self.clone()
                    .speak(stream, peer, has_certificate, place, called)
                    .await;
            }
            Ok(Err(fault)) => tracing::debug!("{peer}: no TLS: {fault}"),
            Err(_late) => tracing::debug!("{peer}: no TLS in time"),
        }
    }

    /// HTTP/1 over `stream`, to its end.
    async fn speak(
        self: Arc<Self>,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        peer: IpAddr,
        has_certificate: bool,
        place: Place,
        mut called: watch::Receiver<bool>,
    ) {
        let mut protocol = http1::Builder::new();
        protocol
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.patience)
            .max_header_size(self.limits.head_bytes)
            .max_headers(MOST_HEADERS)
            .max_buf_size(BUFFER_BYTES.max(self.limits.head_bytes));
        let place = Arc::new(place);
        let service = service_fn(move |request| {
            let answer = self
                .clone()
                .answer(request, peer, has_certificate, place.answer());
            async move { Ok::<_, Infallible>(answer.await) }
        });
        let mut connection = std::pin::pin!(protocol.serve_connection(TokioIo::new(stream), service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = wished(&mut called) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(fault) = ended {
            tracing::debug!("{peer}: {fault}");
        }
    }

    /// The answer to `request`, which holds its place until it is given.
    async fn answer(
        self: Arc<Self>,
        mut request: Request<Incoming>,
        peer: IpAddr,
        has_certificate: bool,
        place: Answer,
    ) -> Response<Body> {
        let admission = self.access.check(request.headers(), has_certificate);
        request.extensions_mut().insert(Peer {
            address: peer,
            is_admitted: admission.is_ok(),
        });
        let response = if !self.pace.take(peer, Instant::now()) {
            too_many()
        } else if request.body().size_hint().lower() > self.limits.body_bytes as u64 {
            too_large()
        } else if let Err(refusal) = admission
            && request.uri().path() != HEALTH
        {
            refuse(refusal)
        } else {
            let pages = TowerToHyperService::new(self.pages.clone());
            match tokio::time::timeout(self.limits.answer, pages.call(request)).await {
                Ok(Ok(response)) => response,
                Err(_late) => too_slow(),
            }
        };
        response.map(|body| Body::new(Held { body, _place: place }))
    }
}

/// Ends with the wish to stop.
async fn wished(called: &mut watch::Receiver<bool>) {
    // The server that would wish is gone, or it wished.
    let _either = called.wait_for(|&called| called).await;
}

fn too_many() -> Response<Body> {
    let words = "too many requests from this address\nask less often\n";
    (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "1")], words).into_response()
}

fn too_large() -> Response<Body> {
    // What is not read of a request must not be taken for the next one.
    let close = [(header::CONNECTION, "close")];
    let words = "the body of this request is too long: no page reads one\n";
    (StatusCode::PAYLOAD_TOO_LARGE, close, words).into_response()
}

fn too_slow() -> Response<Body> {
    let words = "the collector takes too long to answer\ntry again later\n";
    (
        StatusCode::SERVICE_UNAVAILABLE,
        [(header::RETRY_AFTER, "5")],
        words,
    )
        .into_response()
}

fn refuse(refusal: Refusal) -> Response<Body> {
    let (challenge, words) = match refusal {
        Refusal::Missing => (
            "Bearer realm=\"orrery-collector\"",
            "this collector wants to know who asks\nsend its token, `Authorization: Bearer TOKEN`, or show a \
             certificate that it trusts; without either it answers /healthz alone\n",
        ),
        Refusal::Wrong => (
            "Bearer realm=\"orrery-collector\", error=\"invalid_token\"",
            "the credentials are wrong\nsend the token of this collector, `Authorization: Bearer TOKEN`\n",
        ),
        Refusal::Closed => {
            let words = "this collector has no credentials to ask for, and answers /healthz alone\nstart it with \
                         `--token-file FILE` or `--client-ca FILE`, or have it listen on 127.0.0.1\n";
            return (StatusCode::FORBIDDEN, words).into_response();
        }
    };
    (
        StatusCode::UNAUTHORIZED,
        [(header::WWW_AUTHENTICATE, challenge)],
        words,
    )
        .into_response()
}

/// A body that holds its connection's place until it is given out.
struct Held {
    body: Body,
    _place: Answer,
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
