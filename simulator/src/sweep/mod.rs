//! Many plans of one job: layouts that are searched, keys that are varied.
//!
//! The closed form looks at all of them and the event simulation confirms the best: two tiers of one model, on the same
//! costs. Threads are this crate's affair; results come in the order asked, whoever finished first.

mod axes;
mod confirm;
mod found;
pub mod points;
mod search;
mod sizing;
mod target;

pub use axes::{Axes, Degree};
pub use confirm::{Confirmed, Confirming, confirm, front, regret};
pub use found::Found;
pub use search::{Candidate, Estimated, Infeasible, Progress, estimate, too_large};
pub use sizing::{Best, Sizing, least_device_days, size, sizes_around};
pub use target::{Answer, Takes, Target};
