//! A step in closed form, from the costs that the event simulation runs on.
//!
//! [`Parts`] are the times of one device of every pipeline rank, by cause; [`Parts::step`] puts them together as the
//! schedule does. Nothing waits, meets or contends here: what that adds is the event simulation's to say.

mod in_flight;
mod memory;
mod overlapped;
mod parts;
mod step;
mod survey;
#[cfg(test)]
mod tests;

pub use memory::{memory_parts, memory_peaks};
pub use parts::{Order, Parts, Pass, RankParts, Ring};
pub use step::Estimate;
pub use survey::{Survey, Surveyor};
