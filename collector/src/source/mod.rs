//! Where samples come from: one trait, and one file for each source; no source knows another.

pub(crate) mod demo;
mod nvml;

use std::path::Path;

use orrery_telemetry::{DeviceSample, Origin};
use orrery_units::Seed;

use crate::SourceKind;

/// Something that can be read again and again, on a thread of its own.
pub trait Source {
    /// What its numbers are.
    fn origin(&self) -> Origin;

    /// Reads every device, for the `sequence`-th time. A device that cannot be read is a device with absent
    /// readings.
    ///
    /// # Errors
    /// When the source as a whole gave nothing, with the reason.
    fn read(&mut self, sequence: u64) -> Result<Vec<DeviceSample>, String>;
}

/// Opens a source on the thread that will read it, or says why not.
pub type OpenSource = Box<dyn Fn() -> Result<Box<dyn Source>, String> + Send>;

/// Opens the source `kind`, or says why not.
pub(crate) fn open(kind: SourceKind, library: Option<&Path>) -> Result<Box<dyn Source>, String> {
    match kind {
        SourceKind::Demo => Ok(Box::new(demo::DemoSource::new(Seed::new(1)))),
        SourceKind::Nvml => Ok(Box::new(nvml::NvmlSource::open(library)?)),
        SourceKind::Fake => {
            let source = nvml::NvmlSource::open(library)?;
            if source.origin() != Origin::Fake {
                return Err("the library is a real driver, not the fake".to_owned());
            }
            Ok(Box::new(source))
        }
    }
}
