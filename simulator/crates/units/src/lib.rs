//! Quantities with units, integer time, typed indices and keyed random numbers.
//!
//! Everything that crosses a public signature in Orrery is one of these types: a bare `f64` is never a
//! time, a size or a rate. This crate knows nothing else of the house, and refuses to: no scenario, no
//! engine, no clock.
//!
//! ```
//! use orrery_units::{Bytes, BytesPerSec, SimTime};
//! let took = Bytes::new(1 << 30) / BytesPerSec::new(50e9);
//! assert_eq!((SimTime::ZERO + took).as_picos(), 21_474_836_480);
//! ```
#![warn(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::wildcard_enum_match_arm
)]

mod compute;
mod data;
mod energy;
mod evidence;
mod format;
mod id;
mod index;
mod parse;
mod ratio;
mod seed;
mod time;

pub use compute::{Flops, FlopsPerSec};
pub use data::{Bytes, BytesPerSec};
pub use energy::{Joules, Watts};
pub use evidence::Evidence;
pub use format::{significant, with_si_prefix};
pub use id::{DeviceId, GroupId, KindId, LaneId, LinkId, PathId, ProgramId};
pub use index::IndexVec;
pub use parse::{Dimension, ParseQuantityError, Quantity, parse_quantity};
pub use ratio::{Factor, HALF_WIDTH_80, Ratio};
pub use seed::{Key, Seed};
pub use time::{SimDuration, SimTime};
