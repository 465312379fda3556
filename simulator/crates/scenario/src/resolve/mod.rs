//! From what the file says to the plan: catalogue entries looked up, defaults filled in and named.

pub(crate) mod balancing;
pub(crate) mod cluster;
mod contender;
mod experts;
pub(crate) mod fabric;
mod gate;
pub(crate) mod layout;
mod load;
pub(crate) mod model;
mod points;
mod popularity;
pub(crate) mod profile;
pub(crate) mod routing;
pub(crate) mod stack;
pub(crate) mod stages;
pub(crate) mod training;
pub(crate) mod tuning;

use std::fmt;

pub(crate) use layout::interleaves;

use crate::plan::Assumption;
use crate::raw::Given;

/// What was filled in so far.
#[derive(Debug, Default)]
pub(crate) struct Assumptions(Vec<Assumption>);

impl Assumptions {
    /// Notes that `key` was taken as `value`.
    pub(crate) fn note(&mut self, key: &str, value: impl fmt::Display, reason: &str) {
        self.0.push(Assumption {
            key: key.to_owned(),
            value: value.to_string(),
            reason: reason.to_owned(),
        });
    }

    /// What the file says, or `default`, noted.
    pub(crate) fn or<T: Clone + fmt::Display>(
        &mut self,
        given: Option<&Given<T>>,
        key: &str,
        default: T,
        reason: &str,
    ) -> T {
        given.map_or_else(
            || {
                self.note(key, &default, reason);
                default
            },
            |given| given.value.clone(),
        )
    }

    /// All of them, in order of key.
    pub(crate) fn into_sorted(mut self) -> Vec<Assumption> {
        self.0.sort_by(|a, b| a.key.cmp(&b.key));
        self.0
    }
}

/// A degree or count of the file as the plan's `u32`; larger ones have no meaning and are capped.
pub(crate) fn narrow(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
