//! What trainers record of a run, read into one form: a [`Recording`].
//!
//! Readers take bytes and give operations with their lanes, what they waited for and whom they met. Nothing is inferred
//! that a file does not hold: a damaged file is read to where it is damaged, a sampled one says that it is a sample, and
//! a collective whose parties are not all there is no meeting.

pub mod kineto;
pub mod pipeline;
mod recording;

pub use recording::{Alike, MeetingId, NO_STEP, Operation, Program, RecordedLane, RecordedStep, Recording};
