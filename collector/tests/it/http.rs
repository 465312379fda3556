//! A daemon of the test's own, and requests to it.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use orrery_collector::{OpenSource, Settings, Source, SourceError, SourceKind};
use orrery_telemetry::{
    DeviceIdentity, DeviceSample, Event, Heartbeat, Origin, Reading, SourceStatus, read_line,
};
use orrery_units::Watts;

/// The longest a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A free port, ten readings a second, and a driver that is not there.
pub(crate) fn settings(sources: Vec<SourceKind>) -> Settings {
    Settings {
        listen: "127.0.0.1:0".parse().expect("an address"),
        sources,
        interval: Duration::from_millis(100),
        nvml_library: Some("/nonexistent/libnvidia-ml.so.1".into()),
        ..Settings::default()
    }
}

/// Asks for `path`, and for OpenMetrics where there are metrics. HTTP/1.0 has no chunks: the answer is what is
/// served, then the end.
pub(crate) fn connect(address: SocketAddr, path: &str) -> TcpStream {
    connect_with(
        address,
        path,
        "Accept: application/openmetrics-text; version=1.0.0\r\n",
    )
}

/// Asks for `path` with `headers`, each with its line end.
pub(crate) fn connect_with(address: SocketAddr, path: &str, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("the daemon listens");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a time above zero");
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n{headers}\r\n").expect("the request is sent");
    stream
}

/// The answer to a request for `path`: its head and its body.
pub(crate) fn get(address: SocketAddr, path: &str) -> (String, String) {
    answer(connect(address, path))
}

/// The answer to a request for `path` with `headers`.
pub(crate) fn get_with(address: SocketAddr, path: &str, headers: &str) -> (String, String) {
    answer(connect_with(address, path, headers))
}

/// The answer on `stream`: its head and its body.
pub(crate) fn answer(mut stream: impl std::io::Read) -> (String, String) {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer comes");
    let (head, body) = text
        .split_once("\r\n\r\n")
        .expect("a head ends with an empty line");
    (head.to_owned(), body.to_owned())
}

/// The first line of the answer to a request for `path`, which may go on for ever.
pub(crate) fn get_head(address: SocketAddr, path: &str) -> String {
    let mut line = String::new();
    let read = BufReader::new(connect(address, path)).read_line(&mut line);
    read.expect("an answer comes");
    line
}

/// Asks for the metrics until `holds`.
pub(crate) fn metrics_until(address: SocketAddr, what: &str, holds: impl Fn(&str) -> bool) -> String {
    let start = Instant::now();
    loop {
        let (_, text) = get(address, "/metrics");
        if holds(&text) {
            return text;
        }
        assert!(start.elapsed() < PATIENCE, "never came: {what}\n{text}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The open stream of a daemon.
pub(crate) struct Listener(Lines<BufReader<TcpStream>>);

impl Listener {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let mut lines = BufReader::new(connect(address, "/stream")).lines();
        let head = lines.by_ref().map(|line| line.expect("a head comes"));
        let head: Vec<String> = head.take_while(|line| !line.is_empty()).collect();
        assert!(head[0].contains(" 200 "), "{head:?}");
        Self(lines)
    }

    /// The next event, if the stream goes on.
    pub(crate) fn next(&mut self) -> Option<Event> {
        let line = self.0.next()?.expect("a line comes in time");
        Some(read_line(&line).expect("every line is an event"))
    }

    /// The first thing that `pick` finds, within the patience of a test.
    pub(crate) fn find<T>(&mut self, what: &str, mut pick: impl FnMut(Event) -> Option<T>) -> T {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let event = self.next().expect("the stream goes on");
            if let Some(found) = pick(event) {
                return found;
            }
        }
        panic!("never came: {what}");
    }

    /// The first status of `source` that `holds`.
    pub(crate) fn status(&mut self, source: &str, holds: impl Fn(&SourceStatus) -> bool) -> SourceStatus {
        self.find(&format!("a status of `{source}`"), |event| match event {
            Event::Source(status) if status.name == source && holds(&status) => Some(status),
            _ => None,
        })
    }

    pub(crate) fn heartbeat(&mut self) -> Heartbeat {
        self.find("a heartbeat", |event| match event {
            Event::Heartbeat(heartbeat) => Some(heartbeat),
            _ => None,
        })
    }
}

/// A source of one device whose reading waits while the test holds the gate.
pub(crate) struct Gated(Receiver<Duration>);

impl Gated {
    /// The source, and the gate: a time sent there is a time that one reading hangs.
    pub(crate) fn with_gate() -> (OpenSource, std::sync::mpsc::Sender<Duration>) {
        let (gate, hangs) = channel();
        let mut hangs = Some(hangs);
        let open = move || -> Result<Box<dyn Source>, SourceError> {
            let hangs = hangs.take().ok_or("a test opens it once")?;
            Ok(Box::new(Self(hangs)))
        };
        (Box::new(open), gate)
    }
}

impl Source for Gated {
    fn origin(&self) -> Origin {
        Origin::Live
    }

    fn read(&mut self, _sequence: u64) -> Result<Vec<DeviceSample>, SourceError> {
        if let Ok(time) = self.0.try_recv() {
            std::thread::sleep(time);
        }
        let identity = DeviceIdentity {
            node: "node\\0".to_owned(),
            index: 0,
            uuid: "GPU-\"a\"\nb".to_owned(),
            model: "model".to_owned(),
        };
        let mut device = DeviceSample::absent(identity, &orrery_telemetry::Absence::NotSupported);
        device.power = Reading::Value(Watts(512.0));
        Ok(vec![device])
    }
}
