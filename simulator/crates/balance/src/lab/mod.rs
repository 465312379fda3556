//! The laboratory: balancers at work on loads that change, compared on the same random numbers.
//!
//! A layer's time is a closed form: exchanges by their busiest port, and between them the experts of the slowest device,
//! for whom the others wait at combine. [`Question::layer`] gives every term of one layer at one step, so that the
//! engine can be asked the same.

mod compiled;
mod control;
mod estimate;
mod exchange;
mod layer;
mod loads;
mod machine;
mod migration;
mod outcome;
mod player;
mod run;
#[cfg(test)]
mod tests;
mod upkeep;

pub use compiled::Compiled;
pub use control::{Contender, Control, Estimator, Migration};
pub use exchange::{Dispatcher, Exchange, Routed, TokenSources};
pub use layer::{LayerTime, LayerTimes};
pub use loads::{DeviceLoad, Loads};
pub use machine::{ExpertTime, Machine, Passes, Update};
pub use migration::{Move, Traffic, traffic};
pub use outcome::{HeatMap, Outcome, Phase, Rebalance, Track};
pub use run::{Question, Stop};
