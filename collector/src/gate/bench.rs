//! What measures a device, and what its figures are held against.

use std::time::Duration;

use orrery_kernels::measure::Subject;
use orrery_profile::{Law, Link, Profile};
use orrery_telemetry::DeviceSample;
use orrery_units::{BytesPerSec, SimDuration};

/// Side of the square product.
const SIDE: u64 = 8192;
/// What is copied at once: several times any cache.
const COPIED: u64 = 128 << 20;

/// What is measured of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Probe {
    /// A large dense product in BF16, back to back.
    Gemm,
    /// A copy within device memory; bytes read and written.
    MemoryCopy,
    /// A copy to another device of the node, while that one copies to the next.
    NvLink,
    /// A copy out of and back into the node's own port beside the device.
    NicLoopback,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Rate {
    /// The rate, in [`Probe::unit`].
    pub value: f64,
    /// What it went through, where that is not the device alone: a port with its line rate.
    pub through: Option<String>,
}

/// Why something was not measured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NotMeasured {
    reason: String,
    is_wrong: bool,
}

/// Measures devices. Whoever implements it keeps what may hang or die in a process of its own.
pub trait Bench {
    /// Measures `probe` on all `devices` at once, in `budget` or less; the rates, in the order of the
    /// devices. Why there is no rate: a device that is in use, a library that is missing, time that is too short.
    fn measure(
        &mut self,
        devices: &[&DeviceSample],
        probe: Probe,
        budget: Duration,
    ) -> Vec<Result<Rate, NotMeasured>>;
}

impl From<f64> for Rate {
    fn from(value: f64) -> Self {
        Self { value, through: None }
    }
}

impl NotMeasured {
    /// Because of `reason`; what it says over several lines stands on one.
    #[must_use]
    pub fn new(reason: &str) -> Self {
        let lines: Vec<&str> = reason
            .lines()
            .map(|line| line.trim_start_matches([' ', '=']))
            .collect();
        Self {
            reason: lines.join("; "),
            is_wrong: false,
        }
    }

    /// Because the device computed what is not true, as `reason` says: no job should run on it.
    #[must_use]
    pub fn wrong(reason: &str) -> Self {
        Self {
            is_wrong: true,
            ..Self::new(reason)
        }
    }

    /// Whether the device computed what is not true.
    #[must_use]
    pub const fn is_wrong(&self) -> bool {
        self.is_wrong
    }
}

impl Probe {
    /// All of them, in the order in which they are measured: what is left out when time runs short comes last.
    pub const ALL: [Self; 4] = [Self::Gemm, Self::MemoryCopy, Self::NvLink, Self::NicLoopback];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gemm => "gemm bf16",
            Self::MemoryCopy => "memory copy",
            Self::NvLink => "nvlink",
            Self::NicLoopback => "nic loopback",
        }
    }

    /// The unit of its rate.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Gemm => "FLOP/s",
            Self::MemoryCopy | Self::NvLink | Self::NicLoopback => "B/s",
        }
    }

    /// What runs for it; `peer` is the device that is copied to. Nothing of a device runs for a port.
    pub(super) const fn subject(self, peer: Option<usize>) -> Option<Subject> {
        match (self, peer) {
            (Self::Gemm, _) => Some(Subject::Dense {
                m: SIDE,
                n: SIDE,
                k: SIDE,
            }),
            (Self::MemoryCopy, _) => Some(Subject::Copy { bytes: COPIED }),
            (Self::NvLink, Some(peer)) => Some(Subject::PeerCopy { bytes: COPIED, peer }),
            (Self::NvLink, None) | (Self::NicLoopback, _) => None,
        }
    }

    /// The rate of `subject` that takes `time`, in [`Probe::unit`].
    pub(super) fn rate(self, subject: &Subject, time: SimDuration) -> f64 {
        let work = match self {
            Self::Gemm => subject.flops().get(),
            Self::MemoryCopy | Self::NvLink | Self::NicLoopback => subject.bytes().as_f64(),
        };
        work / time.as_secs()
    }
}

/// What `probe` gives on this model of device by the profile's law of it, where the profile has one: the first curve of
/// products of bfloats, and of passes over memory, at the very shape that is measured.
///
/// A law that was fitted to long runs holds the power limit; a gate is too short for it, so that its device is measured a
/// little fast, never slow. A copy to another device is held against what the profile says of that link, which was alone on
/// it; those of the gate meet others that come the other way. Profiles from before links stood in them, and such of devices
/// that were alone, have none. Of ports [`port_reference`] tells.
#[must_use]
pub fn reference(profile: &Profile, probe: Probe) -> Option<f64> {
    if probe == Probe::NvLink {
        return profile.link(&Link::Peer).map(BytesPerSec::get);
    }
    let subject = probe.subject(None)?;
    let time = |law: &Law| match (probe, law) {
        (Probe::Gemm, Law::Tiled(law)) => Some(law.gemm(&subject.dense()?).alone()),
        (Probe::MemoryCopy, Law::Pass(law)) => Some(law.pass(&subject.pass()?).alone()),
        _ => None,
    };
    let op = match probe {
        Probe::Gemm => "gemm",
        Probe::MemoryCopy | Probe::NvLink | Probe::NicLoopback => "memory_pass",
    };
    let is_of_format = |name: &str| name == "bf16" || name == "fp16";
    let mut curves = profile.kernels.iter().filter(|curve| {
        let format = curve
            .precision
            .is_none_or(|precision| is_of_format(precision.name()));
        curve.op.name() == op && format
    });
    curves.find_map(|curve| Some(probe.rate(&subject, time(&curve.law)?)))
}

/// What the profile says of a port like the one that was written `through`, such as `mlx5_3/1, 400 Gbit/s`: one of that line
/// rate, where the profile has one.
#[must_use]
pub fn port_reference(profile: &Profile, through: &str) -> Option<f64> {
    let line = line_rate(through)?;
    profile.link(&Link::Port(line.to_owned())).map(BytesPerSec::get)
}

/// The line rate of a port that is called as [`Rate::through`] says.
pub(crate) fn line_rate(through: &str) -> Option<&str> {
    through.rsplit_once(", ").map(|(_, line)| line)
}
