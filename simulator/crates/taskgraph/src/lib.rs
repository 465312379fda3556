//! The waist: tasks, the resources they use, and the driver that hands them over.
//!
//! Above this crate is the domain (layers, experts, devices with names), below it is time. The vocabulary
//! knows neither: a task computes on a lane, flows over a path, or waits; it may meet others first; it may
//! hold memory. What a kind, a tag or a lane stands for is known only to who made it.
//!
//! The nouns:
//!
//! * a **program** is an ordered emitter of tasks (a rank); its tasks are numbered by [`Sequence`];
//! * a **lane** belongs to a program and runs one task at a time, in the order of emission (a stream);
//! * a **device** is what the compute tasks and the occupants on its lanes share;
//! * a **rendezvous** is a group and a number: the task of each party starts when all have arrived;
//! * a **driver** hands tasks over in instalments, by pull, and learns of completions it asked about.
#![warn(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::wildcard_enum_match_arm
)]

mod driver;
mod dump;
mod resource;
mod task;

pub use driver::{Control, Driver, Pulled, Sink, StaticDriver};
pub use dump::dump;
pub use resource::{CapacityChange, Lane, Link, PathUse, Resources};
pub use task::{After, Demand, Meeting, MemoryChange, MemoryChanges, Sequence, Tag, Task, Work};
