//! The daemon: samplers, board and server, started and stopped together.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use thiserror::Error;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::judging::{self, Clerk, Shared, Trainers};
use crate::metrics::Exporter;
use crate::sampler::{Sampler, StandIn};
use crate::server::{self, Clients, Followed, Identity, Prepared, Server};
use crate::store::Store;
use crate::threads::{Stop, Threads};
use crate::{
    Board, JudgingError, OpenSource, ServingError, Settings, SettingsError, SourceError, SourceKind, source,
};

/// Samples that wait for the board before a sampler drops one.
const SAMPLES_IN_FLIGHT: usize = 16;
/// How long a daemon waits for its threads when it is dropped.
const SHUTDOWN: Duration = Duration::from_secs(2);

/// A running daemon; stops when it is dropped.
#[derive(Debug)]
pub struct Daemon {
    address: SocketAddr,
    identity: Option<Followed<Identity>>,
    board: Arc<Board>,
    /// One for all sources, and one for a stand-in alone.
    stops: Vec<Arc<Stop>>,
    stop_server: Option<oneshot::Sender<()>>,
    threads: Arc<Threads>,
}

/// Why a daemon did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The settings cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Pages cannot be served like that.
    #[error(transparent)]
    Serving(#[from] ServingError),
    /// Rules, jobs or a profile cannot be used.
    #[error(transparent)]
    Judging(#[from] JudgingError),
    /// The address cannot be listened on.
    #[error("cannot listen on `{address}`: {fault}\n{}", listen_remedy(.fault))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        fault: io::Error,
    },
    /// The system gave no thread or no reactor.
    #[error("the system gave no thread or no file for one: {0}\n{RAISE_LIMITS}")]
    Thread(io::Error),
}

const RAISE_LIMITS: &str = "raise the limits on processes and open files (`ulimit -u`, `ulimit -n`, or those of the \
                            container or service), or end what uses them up";
/// `ENFILE` and `EMFILE`: the system, or this process, has no room for another open file.
const NO_FILES: [i32; 2] = [23, 24];

/// What to do when an address cannot be listened on.
fn listen_remedy(fault: &io::Error) -> &'static str {
    if fault.raw_os_error().is_some_and(|code| NO_FILES.contains(&code)) {
        return RAISE_LIMITS;
    }
    match fault.kind() {
        io::ErrorKind::AddrInUse => {
            "another collector may run there: choose another with `--listen`, or port 0 for any free one"
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address: choose one of its own with `--listen`, or 0.0.0.0 for all of them"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need a privilege: choose another with `--listen`, or port 0 for any free one"
        }
        _ => "choose another with `--listen`, or port 0 for any free one",
    }
}

impl Daemon {
    /// Starts a daemon. Takes no time: sources are opened on their own threads.
    ///
    /// # Errors
    /// When the settings cannot be used, a token or a certificate cannot be read, the address cannot be listened on, or there is no thread.
    pub fn start(settings: &Settings) -> Result<Self, StartError> {
        Self::start_with(settings, Vec::new())
    }

    /// Starts a daemon that reads `more` sources, by their names, beside those of `settings`.
    ///
    /// # Errors
    /// As [`Daemon::start`].
    pub fn start_with(
        settings: &Settings,
        more: Vec<(&'static str, OpenSource)>,
    ) -> Result<Self, StartError> {
        settings.check()?;
        let serving = settings
            .serving
            .prepare(settings.listen.ip(), settings.data_dir.as_deref())?;
        let refused = |fault| StartError::Listen {
            address: settings.listen,
            fault,
        };
        let listener = TcpListener::bind(settings.listen).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let (stop_server, stopped) = oneshot::channel();
        let mut daemon = Self::begin(settings, more, address)?;
        daemon.identity.clone_from(&serving.identity);
        daemon.stop_server = Some(stop_server);
        let server = daemon.server(settings, &serving);
        if serving.has_files() {
            let stop = daemon.new_stop();
            daemon
                .threads
                .start("credentials".to_owned(), move || serving.follow(&stop))
                .map_err(StartError::Thread)?;
        }
        let reactor = Reactor::new().map_err(StartError::Thread)?;
        let listener = reactor.register(listener).map_err(refused)?;
        let run = move || reactor.run(server.run(listener, stopped));
        daemon
            .threads
            .start("server".to_owned(), run)
            .map_err(StartError::Thread)?;
        Ok(daemon)
    }

    /// Starts a daemon that reads and serves nothing; where it would listen is what `settings` say.
    ///
    /// # Errors
    /// When the settings cannot be used, or there is no thread.
    pub(crate) fn start_without_server(settings: &Settings) -> Result<Self, StartError> {
        settings.check()?;
        Self::begin(settings, Vec::new(), settings.listen)
    }

    /// Starts what reads and what keeps.
    fn begin(
        settings: &Settings,
        more: Vec<(&'static str, OpenSource)>,
        address: SocketAddr,
    ) -> Result<Self, StartError> {
        let store = settings.store.as_ref().map(Store::new);
        let (feed, store) = store.map(|(store, feed, queue)| (feed, (store, queue))).unzip();
        let judging = settings.judging.prepare()?;
        let mut daemon = Self {
            address,
            identity: None,
            board: Arc::new(Board::new(settings.interval).feeding(feed)),
            stops: Vec::new(),
            stop_server: None,
            threads: Arc::default(),
        };
        if let Some((store, queue)) = store {
            let stop = daemon.new_stop();
            let run = move || store.run(queue, &stop);
            daemon
                .threads
                .start("store".to_owned(), run)
                .map_err(StartError::Thread)?;
        }
        daemon.start_sources(settings, more).map_err(StartError::Thread)?;
        #[cfg(feature = "otlp")]
        daemon.start_push(settings).map_err(StartError::Thread)?;
        daemon.start_judging(judging, settings.interval)?;
        Ok(daemon)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// SHA-256 of the certificate that it shows now, if it speaks TLS.
    #[must_use]
    pub fn fingerprint(&self) -> Option<String> {
        self.identity.as_ref().map(|identity| identity.now().fingerprint)
    }

    /// What it knows.
    #[must_use]
    pub fn board(&self) -> &Board {
        &self.board
    }

    #[cfg(feature = "otlp")]
    fn start_push(&mut self, settings: &Settings) -> io::Result<()> {
        let Some(otlp) = settings.otlp.clone() else {
            return Ok(());
        };
        let (board, stop) = (self.board.clone(), self.new_stop());
        self.threads
            .start("otlp".to_owned(), move || otlp.run(&board, &stop))
    }

    fn server(&self, settings: &Settings, prepared: &Prepared) -> Server {
        let limits = &settings.serving.limits;
        let clients = Arc::new(Clients::new(limits));
        let board = self.board.clone();
        let pages = server::router(server::Sources {
            exporter: Arc::new(Exporter::new(board.clone(), settings.serving.dcgm_hostname)),
            clients: clients.clone(),
            board,
        });
        Server::new(
            pages,
            prepared.access.clone(),
            clients,
            limits,
            prepared.identity.clone(),
        )
    }

    fn start_sources(
        &mut self,
        settings: &Settings,
        more: Vec<(&'static str, OpenSource)>,
    ) -> io::Result<()> {
        let (out, messages) = sync_channel(SAMPLES_IN_FLIGHT);
        let stop = self.new_stop();
        let sampler = |name, open, stop: &Arc<Stop>| Sampler {
            name,
            open,
            interval: settings.interval,
            dropped: Arc::default(),
            out: out.clone(),
            stop: stop.clone(),
            threads: self.threads.clone(),
            stand_in: None,
            farewell: "stopped",
        };
        let shown = |name, open| {
            let sampler = sampler(name, open, &stop);
            self.board.add_source(name, sampler.dropped.clone());
            sampler
        };
        let mut samplers = Vec::new();
        let mut stand_in = None;
        for kind in SourceKind::ALL {
            let name = kind.name();
            let (theirs, kept) = (settings.clone(), source::Kept::default());
            let open: OpenSource = Box::new(move || source::open(kind, &theirs, &kept));
            if settings.sources.contains(&kind) {
                samplers.push(shown(name, open));
            } else if kind == SourceKind::Demo && settings.stands_in() {
                let own_stop = Arc::new(Stop::default());
                let waiting = Sampler {
                    farewell: "this machine has devices of its own",
                    ..sampler(name, open, &own_stop)
                };
                let reason = "stands in only where the driver cannot be opened";
                self.board.add_idle(name, reason.into(), waiting.dropped.clone());
                stand_in = Some(StandIn {
                    sampler: Some(Box::new(waiting)),
                    stop: own_stop,
                });
            } else if !matches!(kind, SourceKind::Fake | SourceKind::Replay) {
                // The fake is for tests, and a recording is asked for; nobody misses them.
                let remedy = format!("ask for it with `--source {name}`");
                let reason = SourceError::new("not asked for", remedy);
                self.board.add_idle(name, reason, Arc::default());
            }
        }
        samplers.extend(more.into_iter().map(|(name, open)| shown(name, open)));
        if let Some(stand_in) = stand_in {
            self.stops.push(stand_in.stop.clone());
            let nvml = samplers
                .iter_mut()
                .find(|sampler| sampler.name == SourceKind::Nvml.name());
            nvml.expect("a stand-in has somebody to stand in for").stand_in = Some(stand_in);
        }
        for sampler in samplers {
            sampler.start()?;
        }
        let board = self.board.clone();
        self.threads
            .start("board".to_owned(), move || board.receive(&messages))
    }

    fn start_judging(&mut self, prepared: judging::Prepared, interval: Duration) -> Result<(), StartError> {
        let stop = self.new_stop();
        let shared = Shared::default();
        let trainers = Trainers::new(&prepared, shared.jobs.clone())?;
        let start = |name: &str, run: Box<dyn FnOnce() + Send>| {
            self.threads
                .start(name.to_owned(), run)
                .map_err(StartError::Thread)
        };
        if !trainers.is_idle() {
            let stop = stop.clone();
            start("trainers", Box::new(move || trainers.run(&stop)))?;
        }
        let clerk = Clerk::new(self.board.clone(), shared, prepared, interval);
        start("judge", Box::new(move || clerk.run(&stop)))
    }

    fn new_stop(&mut self) -> Arc<Stop> {
        let stop = Arc::new(Stop::default());
        self.stops.push(stop.clone());
        stop
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // The board first: that its sources end now is news to nobody.
        self.board.close();
        for stop in &self.stops {
            stop.wish();
        }
        if let Some(stop_server) = self.stop_server.take() {
            // A server that is gone needs no telling.
            let _gone = stop_server.send(());
        }
        for thread in self.threads.wait(SHUTDOWN) {
            tracing::warn!("thread `{thread}` does not end and is left behind; its driver may hang");
        }
    }
}

/// What the server runs on. It may be dropped anywhere: a bare runtime panics where it is dropped inside another,
/// which is where a daemon may be started, and fail to.
struct Reactor(Option<Runtime>);

impl Reactor {
    fn new() -> io::Result<Self> {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        Ok(Self(Some(builder.enable_all().build()?)))
    }

    fn runtime(&self) -> &Runtime {
        self.0.as_ref().expect("it is taken out only in drop")
    }

    fn register(&self, listener: TcpListener) -> io::Result<tokio::net::TcpListener> {
        let _entered = self.runtime().enter();
        tokio::net::TcpListener::from_std(listener)
    }

    fn run(&self, serve: impl Future<Output = ()>) {
        self.runtime().block_on(serve);
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_not_listened_on_is_told_with_what_to_do_about_it() {
        let address = crate::DEFAULT_LISTEN;
        // EADDRINUSE, EADDRNOTAVAIL, EACCES, EMFILE and EINVAL of Linux.
        for (code, remedy) in [
            (98, "another collector may run there"),
            (99, "this machine has no such address"),
            (13, "ports below 1024"),
            (24, "ulimit -n"),
            (22, "choose another with `--listen`"),
        ] {
            let fault = io::Error::from_raw_os_error(code);
            let words = StartError::Listen { address, fault }.to_string();
            assert!(words.contains(remedy), "{code}: {words}");
        }
    }

    #[test]
    fn a_reactor_may_be_dropped_inside_another() {
        let outer = Reactor::new().unwrap();
        outer.run(async { drop(Reactor::new().unwrap()) });
    }

    #[test]
    fn a_system_without_threads_is_told_once() {
        let fault = anyhow::Error::from(StartError::Thread(io::ErrorKind::WouldBlock.into()));
        assert_eq!(format!("{fault:#}"), fault.to_string());
    }

    #[test]
    fn a_system_without_threads_is_told_with_what_to_do() {
        let words = StartError::Thread(io::ErrorKind::WouldBlock.into()).to_string();
        assert!(
            words.contains("ulimit -u") && words.contains("ulimit -n"),
            "{words}"
        );
    }
}
