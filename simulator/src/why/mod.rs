//! Why a step takes as long as it does: what compute consists of, the critical path, the phases of the schedule,
//! and what 10 % more of each resource would change.
//!
//! It looks at a run from outside: a driver that passes tasks on and hears of their completions, and plans that
//! differ in one resource. The engine knows nothing of it.

mod kept;
pub(crate) mod pairs;
mod path;
mod phases;
pub mod sensitivity;
mod shares;
#[cfg(test)]
mod tests;
mod witness;

use std::sync::{Arc, OnceLock};

use orrery_report::Why;
use orrery_scenario::Plan;
use orrery_taskgraph::Driver;

use path::PathBuilder;
use phases::PhasesBuilder;
pub(crate) use shares::work_shares;
use witness::{Completed, Listener, Witness};

/// Where a witness puts what it found, once its run has come to its end.
pub(crate) type Found = Arc<OnceLock<Why>>;

/// `driver`, which lowers `plan` and whose programs are of these pipeline `stages`, watched over its last step; what is
/// found goes to `found`.
pub(crate) fn watched<'p, D: Driver + 'p>(
    plan: &'p Plan,
    stages: &[u32],
    driver: D,
    found: &Found,
) -> impl Driver + use<'p, D> {
    let step = u16::try_from(plan.training.steps.saturating_sub(1)).expect("validated");
    let phases = PhasesBuilder::new(plan, driver.resources(), stages, step);
    let finder = Finder {
        path: PathBuilder::new(step),
        phases,
        found: Arc::clone(found),
    };
    Witness::new(driver, finder)
}

/// Hears of completions and finds out why.
#[derive(Debug)]
struct Finder {
    path: PathBuilder,
    phases: PhasesBuilder,
    found: Found,
}

impl Listener for Finder {
    fn completed(&mut self, completed: &Completed<'_>) -> u32 {
        self.phases.completed(completed);
        self.path.completed(completed)
    }

    fn keep(&mut self, name: u32) {
        self.path.keep(name);
    }

    fn forgotten(&mut self, name: u32) {
        self.path.forget(name);
    }

    fn finished(&mut self) {
        let why = Why {
            critical_path: self.path.path(),
            phases: self.phases.finish(),
        };
        // A run ends once; should it say so twice, the first is as good.
        let _known = self.found.set(why);
    }
}
