//! The clock that keeps devices under a cap of power: found by simulating until power and clock agree.

use orrery_engine::Error as EngineError;
use orrery_report::{Activity, Power};
use orrery_scenario::Plan;
use orrery_scenario::plan::Assumption;
use orrery_units::{FlopsPerSec, significant};

/// Simulations after which the clock is taken as found; each halves what is left of the error, or more.
const ROUNDS: u32 = 5;
/// A change of the clock that does not matter any more.
const CLOSE: f64 = 1e-3;

/// The power of `plan`'s devices at its clock, where it names a cap.
pub(crate) fn of_plan(plan: &Plan) -> Option<Power> {
    let device = &plan.cluster.device;
    let formats = &plan.training.formats;
    let peak = device.peak(formats.gemm).or(device.peak(formats.activations));
    Some(Power {
        limit: device.power_limit,
        cap: device.power_cap?,
        // A device without a peak does no arithmetic; any rate serves.
        peak: peak.unwrap_or_else(|| FlopsPerSec::new(1e15)),
        clock: plan.clock,
        devices_per_node: plan.cluster.node.num_devices,
    })
}

/// `plan` at the clock at which its busiest device keeps to the cap over a step; `step` simulates a plan and tells how its
/// busiest device spent the last step.
///
/// A device is slowed over a window as long as a step by what it drew in the window before; this is where that ends. All
/// devices take the clock of the busiest, which the others wait for.
pub(crate) fn capped(
    plan: &Plan,
    step: impl Fn(&Plan) -> Result<Activity, EngineError>,
) -> Result<Option<Plan>, EngineError> {
    let Some(power) = of_plan(plan).filter(|power| power.cap < power.limit) else {
        return Ok(None);
    };
    let mut found = plan.clone();
    for _ in 0..ROUNDS {
        let power = Power {
            clock: found.clock,
            ..power
        };
        let clock = power.clock_for(step(&found)?);
        let change = (clock - found.clock).abs();
        found.clock = clock;
        if change < CLOSE {
            break;
        }
    }
    found.assumptions.push(Assumption {
        key: "power.clock".to_owned(),
        value: significant(found.clock, 4),
        reason: format!(
            "keeps the busiest device to {} W of {} W; what idling, running and arithmetic draw is assumed, not measured",
            significant(power.cap.0, 4),
            significant(power.limit.0, 4),
        ),
    });
    Ok(Some(found))
}
