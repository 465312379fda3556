//! What a daemon is told.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use orrery_units::{Dimension, parse_quantity};
use thiserror::Error;

use crate::{Judging, Serving, ServingError, StoreSettings};

/// Where the daemon listens when it is told nothing.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9477);

/// The intervals that can be kept, in seconds. 100 ms is the shortest: nvml.h asks for more than that between two
/// samples of unit activity.
const INTERVALS: RangeInclusive<f64> = 0.1..=3600.0;

/// Which source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum SourceKind {
    /// The devices of this machine, through the driver's library.
    Nvml,
    /// The machine itself: processors, memory, disks, network and RDMA ports.
    Host,
    /// The devices that a dcgm-exporter tells of.
    Dcgm,
    /// Collectives, from the files of NCCL's inspector plugin.
    Nccl,
    /// A made-up cluster, marked as such.
    Demo,
    /// A recording, played.
    Replay,
    /// A stand-in for the driver's library that plays a script; for tests.
    Fake,
}

/// What a daemon is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Whether `listen` may be reachable from other machines although clients have nothing to show; then
    /// `/healthz` alone is answered.
    pub allow_remote: bool,
    /// How pages are served.
    pub serving: Serving,
    /// Where metrics are pushed to, if anywhere.
    #[cfg(feature = "otlp")]
    pub otlp: Option<crate::Otlp>,
    /// The folder of what is kept, such as a certificate that was made.
    pub data_dir: Option<PathBuf>,
    /// The sources to run.
    pub sources: Vec<SourceKind>,
    /// Time between two samples of a source.
    pub interval: Duration,
    /// The driver's library, where it is not the system's.
    pub nvml_library: Option<PathBuf>,
    /// The recording that is played.
    pub recording: Option<PathBuf>,
    /// What alerts are raised by, and where jobs tell how they go.
    pub judging: Judging,
    /// Where a dcgm-exporter answers, where that is not its own default.
    pub dcgm_url: Option<String>,
    /// The folder into which NCCL's inspector plugin writes.
    pub nccl_inspector: Option<PathBuf>,
    /// Whether the demonstration stands in where the driver cannot be opened. It ends for good with the first
    /// sample of a device.
    pub demo_without_devices: bool,
    /// The local history, if one is to be kept.
    pub store: Option<StoreSettings>,
}

/// Why settings cannot be used.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// Pages cannot be served like that.
    #[error(transparent)]
    Serving(#[from] ServingError),
    /// The interval is not a time.
    #[error("`{text}` is no interval: {fault}\nuse a time between 100 ms and 1 h, such as `1s`")]
    NoTime {
        /// What was written.
        text: String,
        /// What is wrong with it.
        fault: String,
    },
    /// What is coarser is to be kept for a shorter time.
    #[error(
        "a coarser tier of the history is kept for a shorter time than a finer one\n\
         let `--keep-raw` be at most `--keep-10s`, and that at most `--keep-5min`"
    )]
    Retention,
    /// There is nothing to play, or nobody plays it.
    #[error("a recording and what plays it come together: `--source replay --recording FILE`")]
    Replay,
    /// The fake has no library to load.
    #[error("`--source fake` needs a library to load\nname it with `--nvml-library PATH`")]
    FakeWithoutLibrary,
}

impl SourceKind {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 7] = [
        Self::Nvml,
        Self::Host,
        Self::Dcgm,
        Self::Nccl,
        Self::Demo,
        Self::Replay,
        Self::Fake,
    ];

    /// Its name in exports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nvml => "nvml",
            Self::Host => "host",
            Self::Dcgm => "dcgm",
            Self::Nccl => "nccl",
            Self::Demo => "demo",
            Self::Replay => "replay",
            Self::Fake => "fake",
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: DEFAULT_LISTEN,
            allow_remote: false,
            serving: Serving::default(),
            #[cfg(feature = "otlp")]
            otlp: None,
            data_dir: None,
            sources: vec![SourceKind::Nvml],
            interval: Duration::from_secs(1),
            nvml_library: None,
            recording: None,
            judging: Judging::default(),
            dcgm_url: None,
            nccl_inspector: None,
            demo_without_devices: false,
            store: None,
        }
    }
}

impl Settings {
    /// Settings for a window on this machine: any free loopback port, the machine's devices, and the
    /// demonstration in their place if there are none. Looks at nothing and so takes no time: whether there are
    /// devices is found on the source's own thread.
    #[must_use]
    pub fn for_window() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            demo_without_devices: true,
            ..Self::default()
        }
    }

    /// The sources to run, each once, in the order in which they were named.
    pub(crate) fn kinds(&self) -> Vec<SourceKind> {
        let mut kinds = Vec::new();
        for &kind in &self.sources {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        kinds
    }

    /// Whether the demonstration stands in for devices.
    pub(crate) fn stands_in(&self) -> bool {
        let asked = |kind| self.sources.contains(&kind);
        self.demo_without_devices && asked(SourceKind::Nvml) && !asked(SourceKind::Demo)
    }

    /// Whether these settings can be used.
    ///
    /// # Errors
    /// When pages cannot be served like that ([`Serving::check`]), the interval is out of range, the history keeps
    /// what is coarse for a shorter time than what is fine, or a source lacks what it reads.
    pub fn check(&self) -> Result<(), SettingsError> {
        self.serving.check(self.listen, self.allow_remote)?;
        if !INTERVALS.contains(&self.interval.as_secs_f64()) {
            return Err(SettingsError::NoTime {
                text: format!("{} s", self.interval.as_secs_f64()),
                fault: "it is out of range".to_owned(),
            });
        }
        let keep = self.store.as_ref().map(|store| store.retention);
        if keep.is_some_and(|keep| keep.raw > keep.ten_seconds || keep.ten_seconds > keep.five_minutes) {
            return Err(SettingsError::Retention);
        }
        if self.sources.contains(&SourceKind::Replay) != self.recording.is_some() {
            return Err(SettingsError::Replay);
        }
        if self.sources.contains(&SourceKind::Fake) && self.nvml_library.is_none() {
            return Err(SettingsError::FakeWithoutLibrary);
        }
        Ok(())
    }
}

/// Reads an interval such as `1s`.
///
/// # Errors
/// When the text is no time between 100 ms and 1 h.
pub(crate) fn parse_interval(text: &str) -> Result<Duration, SettingsError> {
    let fault = |fault: String| SettingsError::NoTime {
        text: text.to_owned(),
        fault,
    };
    let quantity = parse_quantity(text, Dimension::Time).map_err(|words| fault(words.to_string()))?;
    if !INTERVALS.contains(&quantity.value) {
        return Err(fault("it is out of range".to_owned()));
    }
    Ok(Duration::from_secs_f64(quantity.value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_a_time_in_range() {
        assert_eq!(parse_interval("1s").unwrap(), Duration::from_secs(1));
        assert_eq!(parse_interval("250 ms").unwrap(), Duration::from_millis(250));
        for text in ["1", "50 ms", "2 h", "1 GiB", "NaN s"] {
            assert!(parse_interval(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_remote_address_needs_credentials_or_permission() {
        let mut settings = Settings {
            listen: "0.0.0.0:9477".parse().unwrap(),
            ..Settings::default()
        };
        let fault = settings.check().unwrap_err().to_string();
        assert!(
            fault.contains("--token-file") && fault.contains("--allow-remote"),
            "{fault}"
        );
        settings.allow_remote = true;
        assert!(settings.check().is_ok());
        settings.allow_remote = false;
        settings.serving.token_file = Some("token".into());
        assert!(settings.check().is_ok());
        settings.serving.client_ca = Some("ca.pem".into());
        let fault = settings.check().unwrap_err().to_string();
        assert!(fault.contains("--tls"), "{fault}");
    }
}
