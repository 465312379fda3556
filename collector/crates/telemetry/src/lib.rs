//! Telemetry: what was read, what follows from it, and its wire form.
//!
//! A [`Sample`] is raw: what a source read of its devices at one instant, each reading a value or the reason
//! why there is none. [`Rates`] follow from two samples. This crate does not know how samples are taken, and
//! refuses to turn an absent reading into a number.

mod quantity;
mod rates;
mod reading;
mod sample;
mod status;
mod to_timeline;
mod wire;

pub use quantity::{Celsius, Hertz, UnixTime};
pub use rates::{Rates, RatesError};
pub use reading::{Absence, Reading};
pub use sample::{Activity, DeviceIdentity, DeviceSample, Sample, Throttle};
pub use status::{Origin, SourceState, SourceStatus};
pub use to_timeline::timeline_of_samples;
pub use wire::{Event, Heartbeat, SCHEMA, StreamError, WireError, read_events, read_line, write_line};
