//! Where samples come from: one trait, and one file for each source; no source knows another.

pub(crate) mod dcgm;
pub(crate) mod demo;
mod host;
pub(crate) mod job;
mod nccl;
pub(crate) mod nvml;
mod replay;

use std::sync::Arc;

use orrery_telemetry::{Collective, DeviceIdentity, DeviceSample, HostSample, Origin};
use orrery_units::Seed;
use thiserror::Error;

use crate::{Settings, SourceKind};

/// Something that can be read again and again, on a thread of its own.
pub trait Source {
    /// What its numbers are.
    fn origin(&self) -> Origin;

    /// Reads every device, for the `sequence`-th time. A device that cannot be read is a device with absent
    /// readings; one that reads as lost makes the source be opened again.
    ///
    /// # Errors
    /// When the source as a whole gave nothing; then it is closed and opened again.
    fn read(&mut self, sequence: u64) -> Result<Vec<DeviceSample>, SourceError>;

    /// Reads all that it gives, for the `sequence`-th time; for most sources that is devices alone.
    ///
    /// # Errors
    /// As [`Source::read`].
    fn take(&mut self, sequence: u64) -> Result<Taken, SourceError> {
        Ok(Taken {
            devices: self.read(sequence)?,
            ..Taken::default()
        })
    }

    /// Takes over the names of the `devices` that were read before the source was opened again: one that is lost
    /// cannot tell its own.
    fn recall(&mut self, _devices: &[DeviceIdentity]) {}

    /// Takes now what the next reading, 100 ms later or more, counts from.
    fn prepare(&mut self) {}

    /// Whether a call into a driver has not returned, so that closing the source would not close the driver.
    fn is_stuck(&self) -> bool {
        false
    }
}

/// What a source read at one time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Taken {
    /// The devices.
    pub devices: Vec<DeviceSample>,
    /// The machine.
    pub host: Option<Box<HostSample>>,
    /// Collectives that ended since the reading before.
    pub collectives: Vec<Collective>,
    /// What the source left out because there was too much of it.
    pub dropped: u64,
}

/// Opens a source on the thread that will read it, or says why not; called again after each failure.
pub type OpenSource = Box<dyn FnMut() -> Result<Box<dyn Source>, SourceError> + Send>;

/// What to do about a device that is lost.
pub(crate) const LOST_REMEDY: &str = "reset the device (`nvidia-smi --gpu-reset`, with nothing that uses it, this \
                                      collector included) or reboot; `dmesg` says why it was lost";

/// Why a source gives nothing, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct SourceError {
    /// Why, in one line. It becomes a label, so it holds no number that changes by itself.
    pub reason: String,
    /// What to do; empty when there is nothing to say.
    pub remedy: String,
}

impl SourceError {
    /// The reason `reason` with a remedy.
    pub fn new(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            remedy: remedy.into(),
        }
    }
}

impl From<String> for SourceError {
    fn from(reason: String) -> Self {
        Self::new(reason, "")
    }
}

impl From<&str> for SourceError {
    fn from(reason: &str) -> Self {
        Self::new(reason, "")
    }
}

/// What outlives the closing of sources: whoever opens one again and again keeps it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    nvml: Arc<nvml::Memory>,
    replay: Arc<replay::Place>,
}

/// Opens the source `kind`, or says why not.
pub(crate) fn open(
    kind: SourceKind,
    settings: &Settings,
    kept: &Kept,
) -> Result<Box<dyn Source>, SourceError> {
    let open_nvml = || {
        let library = settings.nvml_library.as_deref();
        nvml::NvmlSource::open(library, settings.interval, kept.nvml.clone())
    };
    match kind {
        SourceKind::Demo => Ok(Box::new(
            demo::DemoSource::new(Seed::new(1)).paced(settings.interval),
        )),
        SourceKind::Replay => {
            let recording = settings.recording.as_deref();
            Ok(Box::new(replay::ReplaySource::open(
                recording,
                kept.replay.clone(),
            )?))
        }
        SourceKind::Nvml => Ok(Box::new(open_nvml()?)),
        SourceKind::Host => Ok(Box::new(host::HostSource::open()?)),
        SourceKind::Dcgm => {
            let url = settings.dcgm_url.as_deref().unwrap_or(dcgm::DEFAULT_URL);
            Ok(Box::new(dcgm::DcgmSource::open(url)?))
        }
        SourceKind::Nccl => match &settings.nccl_inspector {
            Some(folder) => Ok(Box::new(nccl::NcclSource::open(folder)?)),
            None => Err(SourceError::new(
                "no folder of NCCL's inspector was named",
                "name it with `--nccl-inspector DIR`",
            )),
        },
        SourceKind::Fake => {
            let source = open_nvml()?;
            if source.origin() != Origin::Fake {
                return Err(SourceError::new(
                    "the library is a real driver, not the fake",
                    "read a real driver with `--source nvml`",
                ));
            }
            Ok(Box::new(source))
        }
    }
}

/// The name of this machine, as the kernel has it.
pub(crate) fn node_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_fault| "localhost".to_owned(), |name| name.trim().to_owned())
}

/// Whether this process runs as root: who it runs as is who owns its folder in `/proc`.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}
