//! The discrete-event engine: a driver's tasks in, totals and a timeline out.
//!
//! The engine knows programs, lanes, devices, links, meetings and time. It knows no layer, no collective and
//! no accelerator, reads no file and no clock, draws no random number and starts no thread: the same driver
//! gives the same bytes.
//!
//! # How a run goes
//!
//! Programs are pulled while they have fewer than [`Options::lookahead`] live tasks. Only the head of a lane
//! can start; it starts when its lane is free, what it waits for has completed, the host has issued it, and
//! everybody it meets has arrived. Every lane owns one entry of the event queue (the end of what it runs, or
//! the instant at which its head is issued), so that no event is ever stale and the queue is as long as there
//! are busy lanes, however many tasks a run has.
//!
//! # What happens at equal times
//!
//! All ends (first those over shared links), then issues, then alarms of an instant are handled before anything starts; then compute tasks
//! and delays start, then flows, so that all that start together see each other, whoever came first. Within a
//! class, first in, first out. Driver callbacks and pulls happen between two events.
//!
//! ```
//! use orrery_engine::{Options, RunControl, run};
//! use orrery_taskgraph::{Resources, StaticDriver, Task, Work};
//! use orrery_units::{KindId, SimDuration};
//!
//! let mut resources = Resources::new();
//! let program = resources.add_program("rank 0");
//! let device = resources.add_device();
//! let lane = resources.add_lane(program, device, "compute");
//! let mut driver = StaticDriver::new(resources);
//! driver.push(Task::new(lane, KindId::new(0), Work::Delay(SimDuration::from_micros(3))));
//! let outcome = run(&mut driver, &Options::default(), &RunControl::default()).expect("nothing can block");
//! assert_eq!(outcome.totals.steps[0].duration(), SimDuration::from_micros(3));
//! ```
#![warn(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::wildcard_enum_match_arm
)]

mod complete;
mod contention;
mod control;
mod device;
mod error;
pub mod exact;
mod fetch;
pub mod fluid;
mod indexed_heap;
mod lane;
mod meeting;
mod memory;
mod network;
mod options;
mod program;
mod queue;
mod record;
mod recorder;
mod run;
mod series;
mod start;
mod tally;

pub use control::{Progress, RunControl};
pub use error::{Blocked, Error, WaitsFor};
pub use options::{Options, RecordPolicy};
pub use run::{Outcome, run};
pub use series::LinkSeries;
