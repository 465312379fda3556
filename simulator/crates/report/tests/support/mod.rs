//! What every test of this crate needs: a link.

use orrery_report::LinkLoad;
use orrery_units::{Bytes, BytesPerSec, SimDuration};

/// A link of 1 GB/s that was busy for a microsecond.
pub(crate) fn link(name: &str, kind: &'static str, bytes: u64, series: usize) -> LinkLoad {
    LinkLoad {
        name: name.to_owned(),
        kind,
        title: kind,
        capacity: BytesPerSec::new(1e9),
        bytes: Bytes::new(bytes),
        busy: SimDuration::from_micros(1),
        series,
    }
}
