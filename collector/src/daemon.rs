//! The daemon: samplers, board and server, started and stopped together.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::sync_channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::oneshot;

use crate::sampler::{Sampler, Stop};
use crate::{Board, Settings, SettingsError, SourceKind, server, source};

/// Samples that wait for the board before a sampler drops one.
const SAMPLES_IN_FLIGHT: usize = 16;
/// How long a request may go on after the wish to stop.
const GRACE: Duration = Duration::from_secs(2);

/// A running daemon; stops when it is dropped.
#[derive(Debug)]
pub struct Daemon {
    address: SocketAddr,
    board: Arc<Board>,
    stop: Arc<Stop>,
    stop_server: Option<oneshot::Sender<()>>,
    server: Option<JoinHandle<()>>,
}

/// Why a daemon did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The settings cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The address cannot be listened on.
    #[error(
        "cannot listen on `{address}`: {fault}\nchoose another with `--listen`, or port 0 for any free one"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        fault: io::Error,
    },
    /// The system gave no thread or no reactor.
    #[error("the system gave no thread: {0}")]
    Thread(#[from] io::Error),
}

impl Daemon {
    /// Starts a daemon.
    ///
    /// # Errors
    /// When the settings cannot be used, the address cannot be listened on, or there is no thread.
    pub fn start(settings: &Settings) -> Result<Self, StartError> {
        settings.check()?;
        let refused = |fault| StartError::Listen {
            address: settings.listen,
            fault,
        };
        let listener = TcpListener::bind(settings.listen).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let board = Arc::new(Board::new(settings.interval));
        let stop = Arc::new(Stop::default());
        let (stop_server, stopped) = oneshot::channel();
        let mut daemon = Self {
            address,
            board,
            stop,
            stop_server: Some(stop_server),
            server: None,
        };
        daemon.start_sources(settings)?;
        let board = daemon.board.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let run = move || runtime.block_on(serve(listener, board, stopped));
        daemon.server = Some(thread::Builder::new().name("server".to_owned()).spawn(run)?);
        Ok(daemon)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it knows.
    #[must_use]
    pub fn board(&self) -> &Board {
        &self.board
    }

    fn start_sources(&self, settings: &Settings) -> io::Result<()> {
        let (out, messages) = sync_channel(SAMPLES_IN_FLIGHT);
        for kind in [SourceKind::Nvml, SourceKind::Demo, SourceKind::Fake] {
            let dropped = Arc::new(AtomicU64::new(0));
            if !settings.sources.contains(&kind) {
                // The fake is for tests; nobody misses it.
                if kind != SourceKind::Fake {
                    let reason = format!("not asked for (--source {})", kind.name());
                    self.board.add_source(kind.name(), &reason, dropped);
                }
                continue;
            }
            self.board
                .add_source(kind.name(), "not read yet", dropped.clone());
            let library = settings.nvml_library.clone();
            let sampler = Sampler {
                name: kind.name(),
                open: Box::new(move || source::open(kind, library.as_deref())),
                interval: settings.interval,
                dropped,
                out: out.clone(),
                stop: self.stop.clone(),
            };
            // Not waited for at the end: it may hang in the driver for good.
            drop(sampler.start()?);
        }
        let board = self.board.clone();
        let receive = move || board.receive(&messages);
        drop(thread::Builder::new().name("board".to_owned()).spawn(receive)?);
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop.wish();
        self.board.close();
        if let Some(stop_server) = self.stop_server.take() {
            // A server that is gone needs no telling.
            let _gone = stop_server.send(());
        }
        if let Some(server) = self.server.take() {
            // A panic of the server was reported by its own thread.
            let _panicked = server.join();
        }
    }
}

/// Serves until `stopped`, then gives open requests their grace.
async fn serve(listener: TcpListener, board: Arc<Board>, stopped: oneshot::Receiver<()>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    let (last_call, mut called) = tokio::sync::watch::channel(false);
    let wait = async move {
        // A dropped sender is a wish to stop as well.
        let _wished = stopped.await;
        last_call.send_replace(true);
        // The sender lives as long as this future, which the server keeps.
        std::future::pending::<()>().await;
    };
    let mut called_too = called.clone();
    let serve = axum::serve(listener, server::router(board)).with_graceful_shutdown(async move {
        let _wished = called.wait_for(|&called| called).await;
    });
    let grace = async move {
        let _wished = called_too.wait_for(|&called| called).await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        _ended = serve.into_future() => {}
        () = grace => {}
        () = wait => {}
    }
}
