//! Follows the stream of one collector on a thread of its own, and comes back when it is lost.

use std::io::{self, BufRead, BufReader, Read as _};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread;
use std::time::Duration;

use orrery_telemetry::{Event, read_line};
use orrery_units::Bytes;
use ureq::http::Uri;

use super::{Access, Wake};

/// The port of a collector whose address names none; `orrery-collector serve` listens there.
const DEFAULT_PORT: u16 = 9477;
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a connection may be silent: three of the longest pauses between two heartbeats.
const SILENCE: Duration = Duration::from_secs(15);
/// The pause after the first failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The longest line that is taken, in bytes: some ten thousand devices. More is no stream of a collector.
const LONGEST_LINE: u64 = 32 << 20;
/// What is said of a fault at most, in characters: a line of the window and its hover text.
const LONGEST_REASON: usize = 240;

/// What a feed says of its collector.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// An attempt to connect begins.
    Connecting,
    /// The collector answered.
    Connected,
    /// A line of the stream.
    Heard(Event),
    /// The collector is lost.
    Lost {
        /// Why, for people.
        why: String,
        /// The next attempt comes after this time.
        retry_in: Duration,
    },
}

/// News of one collector.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetEvent {
    /// The id of the collector, as in [`Fleet::collectors`](super::Fleet).
    pub collector: usize,
    /// What is new.
    pub news: News,
}

/// A thread that follows a collector; it ends soon after this is dropped.
#[derive(Debug)]
pub(crate) struct Feed {
    again: Sender<()>,
}

impl Feed {
    /// Follows the collector at `url`, which has the id `collector`.
    pub(crate) fn follow(
        collector: usize,
        url: &str,
        access: &Access,
        (out, wake): (Sender<FleetEvent>, Wake),
    ) -> Self {
        let (again, asked) = channel();
        let follower = Follower {
            stream: format!("{url}/stream"),
            access: access.clone(),
            collector,
            out,
            wake,
            asked,
        };
        thread::spawn(move || follower.run());
        Self { again }
    }

    /// Tries again now, without waiting for the end of the pause.
    pub(crate) fn try_now(&self) {
        // A thread that ended wants nothing more.
        let _ended = self.again.send(());
    }
}

/// Nobody listens any more.
struct Unheard;

struct Follower {
    stream: String,
    access: Access,
    collector: usize,
    out: Sender<FleetEvent>,
    wake: Wake,
    asked: Receiver<()>,
}

impl Follower {
    fn run(&self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let mut heard = false;
            let Ok(why) = self.listen(&mut heard) else { return };
            if heard {
                pause = FIRST_PAUSE;
            }
            let lost = News::Lost { why, retry_in: pause };
            if self.tell(lost).is_err() {
                return;
            }
            match self.asked.recv_timeout(pause) {
                Err(RecvTimeoutError::Disconnected) => return,
                Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Connects and tells what comes until the stream ends; says why it did.
    fn listen(&self, heard: &mut bool) -> Result<String, Unheard> {
        self.tell(News::Connecting)?;
        let mut lines = match connect(&self.stream, &self.access) {
            Ok(lines) => lines,
            Err(fault) => return Ok(phrase(&fault)),
        };
        self.tell(News::Connected)?;
        let mut line = String::new();
        loop {
            match next_line(&mut lines, &mut line, LONGEST_LINE) {
                Ok(0) => return Ok("the collector closed the stream".to_owned()),
                Ok(_) if line.trim().is_empty() => continue,
                Ok(_) => {}
                Err(why) => return Ok(why),
            }
            match read_line(&line) {
                Ok(event) => self.tell(News::Heard(event))?,
                Err(fault) => return Ok(bounded(&fault.to_string())),
            }
            *heard = true;
        }
    }

    fn tell(&self, news: News) -> Result<(), Unheard> {
        if matches!(self.asked.try_recv(), Err(TryRecvError::Disconnected)) {
            return Err(Unheard);
        }
        let collector = self.collector;
        let told = self.out.send(FleetEvent { collector, news });
        told.map_err(|_window_is_gone| Unheard)?;
        (self.wake)();
        Ok(())
    }
}

fn connect(stream: &str, access: &Access) -> Result<impl BufRead, ureq::Error> {
    let agent = agent(access, CONNECT, true);
    let answer = request(&agent, stream, access).call()?;
    Ok(BufReader::new(answer.into_body().into_reader()))
}

/// What speaks to collectors; an answer begins within `patience`, and is a fault when its status is, if that is said.
pub(super) fn agent(access: &Access, patience: Duration, status_is_fault: bool) -> ureq::Agent {
    let configuration = ureq::Agent::config_builder()
        // Collectors are machines of the cluster and are reached directly.
        .proxy(None)
        .timeout_connect(Some(CONNECT))
        .timeout_recv_response(Some(patience))
        .timeout_per_read(Some(SILENCE))
        // A token is for whom it was given to.
        .max_redirects(0)
        .http_status_as_error(status_is_fault)
        .tls_config(access.tls())
        .build();
    ureq::Agent::new_with_config(configuration)
}

/// A request for the page at `url`, with the token that collectors gave out.
pub(super) fn request(
    agent: &ureq::Agent,
    url: &str,
    access: &Access,
) -> ureq::RequestBuilder<ureq::typestate::WithoutBody> {
    let request = agent.get(url);
    match access.authorization() {
        Some(authorization) => request.header("Authorization", authorization),
        None => request,
    }
}

/// Reads the next line into `line` and returns its length, zero at the end of the stream.
///
/// # Errors
/// Why there is none, for people; a line of more than `longest` bytes is none.
fn next_line(lines: &mut impl BufRead, line: &mut String, longest: u64) -> Result<usize, String> {
    line.clear();
    // A byte more than is taken tells a line that just fits from one that does not.
    let read = lines.take(longest + 1).read_line(line);
    let length = match read {
        Ok(length) => length,
        Err(fault) => return Err(phrase_of_stream(&fault)),
    };
    if length as u64 > longest {
        let limit = Bytes::new(longest);
        return Err(format!(
            "a line of its stream is longer than {limit}: no collector sends that"
        ));
    }
    Ok(length)
}

/// `words` in one line and short enough to be read.
fn bounded(words: &str) -> String {
    let mut line = words.split_whitespace().collect::<Vec<&str>>().join(" ");
    if let Some((at, _)) = line.char_indices().nth(LONGEST_REASON) {
        line.truncate(at);
        line.push('…');
    }
    line
}

/// What went wrong, for people.
pub(super) fn phrase(fault: &ureq::Error) -> String {
    match fault {
        ureq::Error::Io(fault) => phrase_of_stream(fault),
        ureq::Error::StatusCode(401 | 403) => {
            "the collector wants to know who asks: `--collector-token FILE` names what it gave out".to_owned()
        }
        ureq::Error::Tls(fault) => bounded(&format!(
            "no trust: {fault}; `--collector-ca FILE` names who vouches"
        )),
        ureq::Error::Rustls(fault) => bounded(&format!(
            "no trust: {fault}; `--collector-ca FILE` names who vouches"
        )),
        ureq::Error::StatusCode(code) => {
            format!("the address answers with HTTP status {code}: no collector?")
        }
        ureq::Error::HostNotFound => "no host of this name".to_owned(),
        ureq::Error::Timeout(_) => "no answer in time".to_owned(),
        fault => bounded(&fault.to_string()),
    }
}

fn phrase_of_stream(fault: &io::Error) -> String {
    match fault.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof => "the connection broke".to_owned(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
            format!("no sign of life for {} s", SILENCE.as_secs())
        }
        io::ErrorKind::InvalidData => "what it sends is no text: no collector?".to_owned(),
        _ => bounded(&fault.to_string()),
    }
}

/// The address of a collector as a URL without a path: `node`, `node:9477` and `http://node:9477/` are the same.
///
/// # Errors
/// Why the text is no such address, with one that is.
pub fn collector_url(text: &str) -> Result<String, String> {
    let fault = |why: &str| format!("`{text}` {why}; write it like `http://node:{DEFAULT_PORT}`");
    let (scheme, whole) = match text.trim().split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) => (scheme, rest),
        Some((scheme, _)) => {
            return Err(fault(&format!(
                "asks for `{scheme}`, and collectors speak http and https"
            )));
        }
        None => ("http", text.trim()),
    };
    let uri: Uri = format!("{scheme}://{}", whole.trim_end_matches('/'))
        .parse()
        .map_err(|_no_uri| fault("is no address"))?;
    let host = uri.host().filter(|host| !host.is_empty());
    let host = host.ok_or_else(|| fault("names no machine"))?;
    if !matches!(uri.path(), "" | "/" | "/stream" | "/metrics") || uri.query().is_some() {
        return Err(fault("has a path that collectors do not have"));
    }
    let port = uri.port_u16().unwrap_or(DEFAULT_PORT);
    Ok(format!("{scheme}://{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_as_people_write_them() {
        for text in [
            "node",
            "node:9477",
            "http://node:9477/",
            " http://node ",
            "node/stream",
            "http://node:9477/metrics",
        ] {
            assert_eq!(collector_url(text).as_deref(), Ok("http://node:9477"), "{text}");
        }
        assert_eq!(
            collector_url("[::1]:80").as_deref(),
            Ok("http://[::1]:80"),
            "an address of six parts keeps its brackets"
        );
        assert_eq!(collector_url("https://node/").as_deref(), Ok("https://node:9477"));
        for text in ["ftp://node", "", "http://", "node/other", "two words"] {
            let fault = collector_url(text).unwrap_err();
            assert!(fault.contains("http://node:9477"), "{fault}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_said_in_a_few_words() {
        let mut line = String::new();
        let mut next = |mut text: &[u8]| next_line(&mut text, &mut line, 16);
        assert_eq!(next(b"0123456789abcde\nmore"), Ok(16), "it just fits");
        assert_eq!(next(b""), Ok(0));
        let why = next(&[b'x'; 4000]).unwrap_err();
        assert_eq!(
            why,
            "a line of its stream is longer than 16 B: no collector sends that"
        );
        let no_text = next(&[0xff, 0xfe, b'\n']).unwrap_err();
        assert_eq!(no_text, "what it sends is no text: no collector?");
    }

    #[test]
    fn no_reason_is_longer_than_a_person_reads() {
        assert_eq!(bounded("a\n  b"), "a b");
        let words = bounded(&"µ".repeat(10_000));
        assert_eq!(words.chars().count(), LONGEST_REASON + 1);
        assert!(words.ends_with('…'), "it is said that there is more");
    }

    #[test]
    fn nobody_at_the_address_is_lost_with_a_reason_and_tried_again() {
        // A port that was free a moment ago.
        let address = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|free| free.local_addr())
            .unwrap();
        let (out, news) = channel();
        let feed = Feed::follow(
            3,
            &format!("http://{address}"),
            &Access::default(),
            (out, std::sync::Arc::new(|| ())),
        );
        let mut pauses = Vec::new();
        while pauses.len() < 3 {
            let event = news.recv_timeout(Duration::from_secs(30)).unwrap();
            assert_eq!(event.collector, 3);
            if let News::Lost { why, retry_in } = event.news {
                assert_eq!(why, "connection refused");
                pauses.push(retry_in);
                feed.try_now();
            }
        }
        assert_eq!(pauses, [500, 1000, 2000].map(Duration::from_millis));
        drop(feed);
        while news.recv_timeout(Duration::from_secs(30)).is_ok() {}
    }
}
