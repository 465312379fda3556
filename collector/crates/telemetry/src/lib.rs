//! Telemetry: what was read, what follows from it, and its wire form.
//!
//! A [`Sample`] is raw: what a source read of its devices at one instant, each reading a value or the reason
//! why there is none. [`Rates`] follow from two samples. This crate does not know how samples are taken, and
//! refuses to turn an absent reading into a number.

mod activity;
mod collective;
mod counter;
mod counters;
pub mod demo;
mod facts;
mod host;
mod host_rates;
mod hosts;
mod job;
pub mod judge;
mod links;
mod promql;
mod quantity;
mod rates;
mod reading;
mod readings;
mod recording;
mod sample;
mod status;
mod throttle;
mod to_timeline;
pub mod trainer;
mod wire;

pub use activity::Activity;
pub use collective::Collective;
pub use counter::{CounterError, CounterWidth, advance};
pub use counters::{Ecc, NvLink, Pcie, RemappedRows, ThrottleTimes, XidCount, Xids};
pub use facts::{DeviceState, Facts, Mig, MigInstance, PerformanceState, Presence, Process, RecoveryAction};
pub use host::{Cpu, Disk, HostMemory, HostSample, Interface, NumaNode, RdmaPort};
pub use host_rates::{DiskRates, HostRates, PortRates};
pub use hosts::{DEFAULT_PORT, HostAddress, HostSpec, HostsError, MOST_HOSTS, parse_hosts, shorten_hosts};
pub use job::JobContext;
pub use links::{Link, LinkErrors, Links};
pub use promql::{QUERY_RANGE, RangeError, RangeQuery, RangeSeries, read_range};
pub use quantity::{Celsius, Hertz, Nanoseconds, UnixTime};
pub use rates::{Rates, RatesError, ThrottleShares, Traffic};
pub use reading::{Absence, Reading};
pub use recording::{RECORDING_SCHEMA, RecordingError, RecordingHeader, RecordingReader, RecordingWriter};
pub use sample::{DeviceIdentity, DeviceSample, Sample};
pub use status::{Origin, SourceState, SourceStatus};
pub use throttle::Throttle;
pub use to_timeline::timeline_of_samples;
pub use wire::{
    Event, Heartbeat, SCHEMA, StreamError, WireError, read_events, read_line, write_line, write_sample,
};
