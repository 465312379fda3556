//! One layer of one policy through the engine: every device's port, kernel and waiting as tasks of its own.

use orrery_balance::lab::{Compiled, DeviceLoad, Machine, Question};
use orrery_engine::{Error, Options, RunControl};
use orrery_experts::load::StepLayer;
use orrery_taskgraph::{Demand, Resources, StaticDriver, Task, Work};
use orrery_timeline::{KindTable, OpClass};
use orrery_units::{Bytes, BytesPerSec, Flops, LaneId, SimDuration};

/// What the engine and the closed form say of a layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EngineLayer {
    /// From the start of dispatch to the end of combine, by the engine.
    pub engine: SimDuration,
    /// The same by the closed form.
    pub closed_form: SimDuration,
}

/// Runs the layer `at` of `question` under `compiled` through the engine: devices meet at dispatch, compute each for
/// itself, and meet again at combine.
///
/// # Errors
/// When the tasks deadlock: a bug.
pub fn layer_by_engine(
    question: &Question<'_>,
    at: StepLayer,
    compiled: &Compiled,
) -> Result<EngineLayer, Error> {
    let (time, devices) = question.layer(at, compiled);
    let mut driver = driver(question.machine, &devices);
    let outcome = orrery_engine::run(&mut driver, &Options::default(), &RunControl::default())?;
    let engine = outcome
        .totals
        .steps
        .first()
        .map_or(SimDuration::ZERO, |step| step.duration());
    Ok(EngineLayer {
        engine,
        closed_form: time.duration(),
    })
}

/// The tasks of a layer: a program and a lane per device.
fn driver(machine: &Machine, devices: &[DeviceLoad]) -> StaticDriver {
    let mut kinds = KindTable::new();
    let dispatch_kind = kinds.intern("dispatch", OpClass::Dispatch);
    let experts_kind = kinds.intern("experts", OpClass::Compute);
    let combine_kind = kinds.intern("combine", OpClass::Combine);
    let mut resources = Resources::new();
    let lanes: Vec<LaneId> = (0..devices.len())
        .map(|number| {
            let program = resources.add_program(format!("device {number}"));
            let device = resources.add_device();
            resources.add_lane(program, device, "compute")
        })
        .collect();
    let parties = u32::try_from(devices.len()).expect("a group has few devices");
    let everybody = resources.add_group(parties);
    let mut driver = StaticDriver::new(resources);
    for (&lane, device) in lanes.iter().zip(devices) {
        let dispatch = flow(
            machine,
            device,
            machine.dispatch_token,
            machine.first_dispatch - 1.0,
        );
        driver.push(Task::new(lane, dispatch_kind, dispatch).meeting(everybody, 0));
        let compute = Work::Compute {
            alone: SimDuration::from_secs(machine.device_seconds(device)),
            demand: Demand {
                units: 1.0,
                bandwidth: 1.0,
            },
            flops: Flops::ZERO,
        };
        driver.push(Task::new(lane, experts_kind, compute));
        let combine = flow(machine, device, machine.combine_token, 0.0);
        driver.push(Task::new(lane, combine_kind, combine).meeting(everybody, 1));
    }
    driver
}

/// What a device's slower port carries, in all passes and so much of one more.
fn flow(machine: &Machine, device: &DeviceLoad, token: Bytes, more: f64) -> Work {
    let passes = machine.passes.exchanges;
    let bytes = |rows: f64| rows * token.as_f64() * (passes + more);
    let (network, node) = (bytes(device.network), bytes(device.node));
    let by_network = network / machine.network.get() >= node / machine.node.get();
    let (bytes, bound): (f64, BytesPerSec) = if by_network {
        (network, machine.network)
    } else {
        (node, machine.node)
    };
    Work::Flow {
        latency: SimDuration::from_secs(machine.latency.as_secs() * passes),
        bytes: Bytes::from_f64(bytes),
        bound,
        path: Resources::PRIVATE,
        occupancy: Demand::default(),
    }
}
