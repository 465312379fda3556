//! A recording back into tasks: what its operations waited for, the same with other times, and why it was slow.
//!
//! A [`Graph`] orders the operations of a recording. A [`Timing`] says how long each would take by itself and how late it
//! began after all that it waits for had ended; together they give every start and end again, in closed form
//! ([`Graph::evaluate`]) or as tasks for the engine ([`Graph::driver`]). Causes are removed from a timing and what is left
//! is timed anew.
//!
//! ```text
//! start = latest end of what it waits for + delay        end = start + own, of a meeting: latest start of its parties + own
//! ```

mod attribute;
mod causes;
mod driver;
mod graph;
mod path;
mod timing;
mod totals;
mod waits;
mod what_if;

pub use attribute::{Attribution, Slowdown, attribute};
pub use causes::{Cause, CauseKind};
pub use graph::{Ends, Graph, GraphError};
pub use path::{Stretch, critical_path};
pub use timing::Timing;
pub use totals::totals;
pub use waits::{Waits, waits};
