//! What measures a device, and what its figures are held against.

use std::time::Duration;

use orrery_profile::{Law, Profile};
use orrery_telemetry::DeviceIdentity;

/// What is measured of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Probe {
    /// A large dense product in BF16, back to back.
    Gemm,
    /// A copy within device memory; bytes read and written.
    MemoryCopy,
    /// A copy to another device of the node.
    NvLink,
    /// A copy out of and back into the node's own port beside the device.
    NicLoopback,
}

/// Why something was not measured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotMeasured(String);

/// Measures devices. Whoever implements it keeps what may hang or die in a process of its own.
pub trait Bench {
    /// Measures `probe` on the device, in `budget` or less; the rate, in [`Probe::unit`].
    ///
    /// # Errors
    /// When it cannot be measured, with the reason: a device that is in use, a library that is missing, time that is
    /// too short.
    fn measure(
        &mut self,
        device: &DeviceIdentity,
        probe: Probe,
        budget: Duration,
    ) -> Result<f64, NotMeasured>;
}

/// Where nothing can measure.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoBench;

impl Bench for NoBench {
    fn measure(&mut self, _: &DeviceIdentity, _: Probe, _: Duration) -> Result<f64, NotMeasured> {
        Err(NotMeasured::new("no worker to measure with"))
    }
}

impl NotMeasured {
    /// Because of `reason`.
    #[must_use]
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
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
}

/// What `probe` gave on this model of device when it was calibrated, where the profile tells.
///
/// A large product reaches `peak · efficiency · sustained`, a copy `bandwidth · efficiency`, of the first curve of
/// each. Links and ports have no entry of one device in profiles of version 1: those are held against the node's
/// other devices alone.
#[must_use]
pub fn reference(profile: &Profile, probe: Probe) -> Option<f64> {
    let curves = |op: &'static str| profile.kernels.iter().filter(move |curve| curve.op.name() == op);
    match probe {
        Probe::Gemm => {
            let of_format = |name: &str| name == "bf16" || name == "fp16";
            let mut products =
                curves("gemm").filter(|curve| curve.precision.is_some_and(|p| of_format(p.name())));
            products.find_map(|curve| match &curve.law {
                Law::Tiled(law) => Some(law.peak.get() * law.efficiency * law.sustained),
                Law::Attention(_) | Law::Unfused(_) | Law::Pass(_) => None,
            })
        }
        Probe::MemoryCopy => curves("memory_pass").find_map(|curve| match &curve.law {
            Law::Pass(law) => Some(law.bandwidth.get() * law.memory_efficiency),
            Law::Attention(_) | Law::Unfused(_) | Law::Tiled(_) => None,
        }),
        Probe::NvLink | Probe::NicLoopback => None,
    }
}
