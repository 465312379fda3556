//! The devices that a dcgm-exporter tells of: for nodes where DCGM runs already, and nothing else may open NVML.

use std::collections::BTreeMap;
use std::time::Duration;

use orrery_telemetry::{DeviceSample, Origin, Reading, UnixTime, Xids};

use super::{Source, SourceError};
use crate::board::wall_clock;
use crate::import::{DcgmDevice, parse_dcgm};

/// Where dcgm-exporter listens when it is told nothing.
pub(crate) const DEFAULT_URL: &str = "http://127.0.0.1:9400/metrics";
/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most that is read of an answer; eight devices with all fields have some 100 KiB.
const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// A dcgm-exporter.
pub(crate) struct DcgmSource {
    url: String,
    agent: ureq::Agent,
    /// By device: the errors seen, and the code that the exporter told last.
    errors: BTreeMap<String, (Xids, u64)>,
}

impl DcgmSource {
    /// The exporter at `url`, which is asked once.
    pub(crate) fn open(url: &str) -> Result<Self, SourceError> {
        if !url.starts_with("http://") {
            return Err(SourceError::new(
                format!("`{url}` is no address of a dcgm-exporter"),
                format!("use one of plain HTTP, such as `{DEFAULT_URL}`"),
            ));
        }
        let configuration = ureq::Agent::config_builder()
            .proxy(None)
            .timeout_global(Some(PATIENCE))
            .max_redirects(0)
            .build();
        let source = Self {
            url: url.to_owned(),
            agent: ureq::Agent::new_with_config(configuration),
            errors: BTreeMap::new(),
        };
        source.ask()?;
        Ok(source)
    }

    fn ask(&self) -> Result<Vec<DcgmDevice>, SourceError> {
        let remedy = "start dcgm-exporter, or name its address with `--dcgm-url URL`";
        let fault = |fault: ureq::Error| {
            SourceError::new(
                format!("no dcgm-exporter at `{}`: {}", self.url, words(&fault)),
                remedy,
            )
        };
        let mut answer = self.agent.get(&self.url).call().map_err(fault)?;
        let text = answer
            .body_mut()
            .with_config()
            .limit(MOST_BYTES)
            .read_to_string()
            .map_err(fault)?;
        parse_dcgm(&text).map_err(|fault| {
            let words = fault.to_string();
            let (reason, more) = words.split_once('\n').unwrap_or((&words, remedy));
            SourceError::new(format!("`{}` is no dcgm-exporter: {reason}", self.url), more)
        })
    }

    /// The errors of a device whose last one has the code `last`: a code that changed is one more of it. Two of the
    /// same code in a row look like one.
    fn errors(&mut self, uuid: &str, last: u64, now: UnixTime) -> Xids {
        let known = self.errors.entry(uuid.to_owned());
        // What is told at first may be from long ago.
        let (xids, before) = known.or_insert_with(|| {
            let xids = Xids {
                since: now,
                ..Xids::default()
            };
            (xids, last)
        });
        if last != *before && last != 0 {
            xids.count(last, now);
        }
        *before = last;
        xids.clone()
    }
}

/// What went wrong, in words that do not change by themselves.
fn words(fault: &ureq::Error) -> String {
    match fault {
        ureq::Error::StatusCode(code) => format!("it answers with HTTP status {code}"),
        ureq::Error::Timeout(_) => "no answer in time".to_owned(),
        ureq::Error::Io(fault) => fault.kind().to_string(),
        ureq::Error::HostNotFound => "no host of this name".to_owned(),
        other => other.to_string(),
    }
}

impl Source for DcgmSource {
    fn origin(&self) -> Origin {
        Origin::Live
    }

    fn read(&mut self, _sequence: u64) -> Result<Vec<DeviceSample>, SourceError> {
        let now = wall_clock();
        let devices = self
            .ask()?
            .into_iter()
            .map(|DcgmDevice { mut sample, last_xid }| {
                if let Some(last) = last_xid {
                    sample.xids = Reading::Value(self.errors(&sample.identity.uuid, last, now));
                }
                sample
            });
        Ok(devices.collect())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread::{self, JoinHandle};

    use super::*;

    const TEXT: &str = include_str!("../../tests/imports/dcgm-exporter.txt");

    /// An exporter that gives `answers`, one to each who asks, and ends.
    fn exporter(answers: Vec<(&'static str, String)>) -> (String, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/metrics", listener.local_addr().unwrap());
        let serve = move || {
            for (status, body) in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut head = [0; 1024];
                let _asked = stream.read(&mut head).unwrap();
                let length = body.len();
                write!(
                    stream,
                    "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                )
                .unwrap();
            }
        };
        (url, thread::spawn(serve))
    }

    #[test]
    fn devices_are_scraped_and_a_new_code_is_counted() {
        let later = TEXT.replace("err_msg=\"No Error\"} 0", "err_msg=\"No Error\"} 31");
        assert_ne!(later, TEXT);
        let ok = |text: &str| ("200 OK", text.to_owned());
        let (url, served) = exporter(vec![ok(TEXT), ok(TEXT), ok(&later), ok(&later)]);
        let mut source = DcgmSource::open(&url).unwrap();
        let first = source.read(0).unwrap();
        assert_eq!(first.len(), 2);
        assert_eq!(
            first[1].xids.value().unwrap().counts,
            [],
            "79 may be from long ago"
        );
        source.read(1).unwrap();
        let last = source.read(2).unwrap();
        let counts = &last[0].xids.value().unwrap().counts;
        assert_eq!((counts.len(), counts[0].code, counts[0].count), (1, 31, 1));
        served.join().unwrap();
    }

    #[test]
    fn an_exporter_that_is_not_there_or_is_another_is_told_with_what_to_do() {
        let fault = |url: &str| DcgmSource::open(url).err().expect("there is none");
        let refused = fault("http://127.0.0.1:9/metrics");
        assert!(
            refused.reason.contains("refused") && refused.remedy.contains("--dcgm-url"),
            "{refused:?}"
        );
        let other = fault("https://127.0.0.1/metrics");
        assert!(other.remedy.contains(DEFAULT_URL), "{other:?}");
        let (url, _served) = exporter(vec![("200 OK", "node_load1 0.5\n".to_owned())]);
        let node = fault(&url);
        assert!(
            node.reason.contains("no field `DCGM_FI_") && node.remedy.contains("9400"),
            "{node:?}"
        );
        let (url, _served) = exporter(vec![("503 Service Unavailable", String::new())]);
        assert!(fault(&url).reason.contains("503"));
    }
}
