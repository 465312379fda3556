//! Whether rates are fair: the definition, checked.
//!
//! Rates are weighted max-min fair exactly when no link is overloaded, no bound broken, and every activity
//! is at its bound or crosses a full link on which nobody has a higher level (rate over share): Bertsekas and
//! Gallager, Data Networks, §6.5.2.

use orrery_units::{BytesPerSec, LinkId, Ratio};

use super::activity::Activity;

/// An activity and its rate.
#[derive(Clone, Copy, Debug)]
pub struct Rated<'a> {
    /// The activity.
    pub activity: Activity<'a>,
    /// The rate it got.
    pub rate: BytesPerSec,
}

/// What is wrong with rates.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Unfair {
    /// A link carries more than it can.
    #[error("link {} carries {load} B/s of {capacity}", .link.get())]
    Overloaded {
        /// The link.
        link: LinkId,
        /// What it carries, in bytes per second.
        load: f64,
        /// What it can carry.
        capacity: BytesPerSec,
    },
    /// An activity is faster than its bound.
    #[error("the activity of {owner} breaks its bound")]
    BoundBroken {
        /// Whose activity.
        owner: u32,
    },
    /// An activity could be faster at nobody's cost but that of faster ones.
    #[error("the activity of {owner} could be faster")]
    CouldBeFaster {
        /// Whose activity.
        owner: u32,
    },
}

/// Checks that rates are weighted max-min fair, each comparison within `tolerance`.
///
/// # Errors
/// The first thing that is wrong, links first.
pub fn check_fair(
    capacities: &[BytesPerSec],
    activities: &[Rated<'_>],
    tolerance: Ratio,
) -> Result<(), Unfair> {
    let slack = tolerance.get();
    let mut loads = vec![0.0; capacities.len()];
    let mut fastest = vec![0.0f64; capacities.len()];
    for rated in activities {
        for usage in rated.activity.crossings {
            let level = rated.level();
            loads[usage.link.index()] += level * rated.activity.load(usage.weight);
            fastest[usage.link.index()] = fastest[usage.link.index()].max(level);
        }
    }
    for ((number, &capacity), &load) in (0u32..).zip(capacities).zip(&loads) {
        if load > capacity.get() * (1.0 + slack) {
            let link = LinkId::new(number);
            return Err(Unfair::Overloaded { link, load, capacity });
        }
    }
    for rated in activities {
        let (owner, level, bound) = (
            rated.activity.owner,
            rated.level(),
            rated.activity.highest_level(),
        );
        if level > bound * (1.0 + slack) {
            return Err(Unfair::BoundBroken { owner });
        }
        let held_back = rated.activity.crossings.iter().any(|usage| {
            let link = usage.link.index();
            loads[link] >= capacities[link].get() * (1.0 - slack) && fastest[link] <= level * (1.0 + slack)
        });
        if level < bound * (1.0 - slack) && !held_back {
            return Err(Unfair::CouldBeFaster { owner });
        }
    }
    Ok(())
}

impl Rated<'_> {
    fn level(&self) -> f64 {
        self.rate.get() / self.activity.share.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orrery_taskgraph::PathUse;
    use orrery_units::Bytes;

    #[test]
    fn it_tells_what_is_wrong() {
        let crossings = [PathUse {
            link: LinkId::new(0),
            weight: 1.0,
        }];
        let capacities = [BytesPerSec::new(10.0)];
        let check = |first: f64, second: f64| {
            let activity = |owner| Activity::new(owner, Bytes::new(1), &crossings);
            let rated = |owner, rate| Rated {
                activity: activity(owner).bounded(BytesPerSec::new(7.0)),
                rate: BytesPerSec::new(rate),
            };
            check_fair(&capacities, &[rated(0, first), rated(1, second)], Ratio::ZERO)
        };
        assert_eq!(check(5.0, 5.0), Ok(()));
        assert_eq!(check(4.0, 6.0), Err(Unfair::CouldBeFaster { owner: 0 }));
        assert_eq!(check(8.0, 1.0), Err(Unfair::BoundBroken { owner: 0 }));
        assert!(
            matches!(check(6.0, 6.0), Err(Unfair::Overloaded { .. })),
            "12 on a link of 10"
        );
    }
}
