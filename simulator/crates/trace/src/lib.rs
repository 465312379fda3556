//! What trainers record of a run, read into one form: a [`Recording`].
//!
//! Readers take bytes and give operations with their lanes, what they waited for and whom they met. Nothing is inferred
//! that a file does not hold: a damaged file is read to where it is damaged, a sampled one says that it is a sample, and
//! a collective whose parties are not all there is no meeting. What other programs read of a timeline is written here as
//! well.

pub mod inspector;
mod kernels;
pub mod kineto;
pub mod nsys;
mod perfetto;
pub mod pipeline;
mod recording;
mod table;

pub use kernels::KernelWork;
pub use perfetto::write_perfetto;
pub use table::write_spans;

pub use recording::{Alike, MeetingId, NO_STEP, Operation, Program, RecordedLane, RecordedStep, Recording};
