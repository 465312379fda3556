//! What the step would be with 10 % more and 10 % less of each resource.
//!
//! The plan is changed in one resource and simulated again, with the same random numbers. A rate is multiplied; a
//! time, such as a latency, is 10 % shorter where there is 10 % more of the resource. What was measured moves along:
//! curves of the profile keep their shape and scale with the rate that limits them.
//!
//! A faster resource may lengthen a step a little, for order among shared devices changes with times (a scheduling
//! anomaly); and NCCL searches for rings at certain speeds of links only, so that 10 % more of a link may change
//! nothing of its collectives. Floors of collectives are constants of the library and no resource.

use std::sync::Arc;

use orrery_engine::Error as EngineError;
use orrery_profile::{Law, Profile, Term};
use orrery_scenario::Plan;
use orrery_timeline::Statistic;
use orrery_units::{BytesPerSec, FlopsPerSec, SimDuration};
use orrery_workload::estimate::Parts;

use crate::pipeline::{self, Watch};

/// How much more or less of a resource there is.
pub const CHANGE: f64 = 0.1;

/// Something that a step needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// Rate of products and attention cores.
    TensorCores,
    /// Bandwidth of device memory.
    MemoryBandwidth,
    /// Bandwidth of a device into the network of its node.
    ScaleUp,
    /// Bandwidth of the NICs.
    Network,
    /// Latency between nodes.
    NetworkLatency,
    /// Time of the host to issue a kernel.
    HostLaunch,
    /// Time between kernels of a busy stream.
    KernelGap,
}

/// The step with more and with less of a resource.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sensitivity {
    /// Which.
    pub resource: Resource,
    /// The step with 10 % more of it.
    pub more: SimDuration,
    /// The step with 10 % less of it.
    pub less: SimDuration,
}

/// The step as it is, and by resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Tornado {
    /// The step as it is.
    pub step: SimDuration,
    /// Resources, the one that decides most first.
    pub resources: Vec<Sensitivity>,
    /// Resources that cannot be changed in this plan, and why.
    pub left_out: Vec<(Resource, &'static str)>,
}

impl Resource {
    /// Every resource.
    pub const ALL: [Self; 7] = [
        Self::TensorCores,
        Self::MemoryBandwidth,
        Self::ScaleUp,
        Self::Network,
        Self::NetworkLatency,
        Self::HostLaunch,
        Self::KernelGap,
    ];

    /// The name in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TensorCores => "tensor_cores",
            Self::MemoryBandwidth => "memory_bandwidth",
            Self::ScaleUp => "scale_up",
            Self::Network => "network",
            Self::NetworkLatency => "network_latency",
            Self::HostLaunch => "host_launch",
            Self::KernelGap => "kernel_gap",
        }
    }

    /// The name for people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::TensorCores => "tensor-core rate",
            Self::MemoryBandwidth => "memory bandwidth",
            Self::ScaleUp => "NVLink bandwidth",
            Self::Network => "network bandwidth",
            Self::NetworkLatency => "network latency",
            Self::HostLaunch => "host launch time",
            Self::KernelGap => "gap between kernels",
        }
    }

    /// Whether it is a time, of which less is better.
    #[must_use]
    pub const fn is_time(self) -> bool {
        matches!(self, Self::NetworkLatency | Self::HostLaunch | Self::KernelGap)
    }

    /// Why it cannot be changed in `plan`, if it cannot.
    #[must_use]
    pub fn missing(self, plan: &Plan) -> Option<&'static str> {
        let shared = plan.cluster.fabric.contention.is_some();
        match self {
            Self::ScaleUp | Self::Network | Self::NetworkLatency if shared => {
                Some("the links of this cluster were laid when the scenario was read; set their rates there")
            }
            Self::ScaleUp if plan.cluster.node.num_devices == 1 => Some("a node has one device"),
            Self::Network | Self::NetworkLatency if plan.cluster.num_nodes == 1 => Some("there is one node"),
            Self::HostLaunch if launch(plan).0.is_zero() => Some("nothing says how long the host takes"),
            Self::KernelGap if plan.tuning.get(Term::Gap) <= 0.0 => {
                Some("the profile's curves hold the gaps")
            }
            _ => None,
        }
    }

    /// `plan` with `factor` times as much of it; times are divided so that 1.1 is 0.9 of them.
    #[must_use]
    pub fn scaled(self, plan: &Plan, factor: f64) -> Plan {
        let mut plan = plan.clone();
        let time = 2.0 - factor;
        match self {
            Self::TensorCores => tensor_cores(&mut plan, factor),
            Self::MemoryBandwidth => memory_bandwidth(&mut plan, factor),
            Self::ScaleUp => {
                let node = &mut plan.cluster.node;
                node.scale_up = node.scale_up.scaled(factor);
                links(&mut plan.profile, false, factor);
            }
            Self::Network => {
                let node = &mut plan.cluster.node;
                node.nic = node.nic.scaled(factor);
                links(&mut plan.profile, true, factor);
            }
            Self::NetworkLatency => network_latency(&mut plan, time),
            Self::HostLaunch => {
                let (launch, tuned) = launch(&plan);
                if tuned {
                    plan.tuning = plan.tuning.with(Term::Launch, launch.as_secs() * time);
                } else {
                    plan.training.stack.launch = launch.scaled(time);
                }
            }
            Self::KernelGap => {
                let gap = plan.tuning.get(Term::Gap);
                plan.tuning = plan.tuning.with(Term::Gap, gap * time);
            }
        }
        plan
    }
}

/// The host's time to issue a kernel, and whether measured steps say it.
fn launch(plan: &Plan) -> (SimDuration, bool) {
    let tuned = plan.tuning.get(Term::Launch);
    if tuned > 0.0 {
        (SimDuration::from_secs(tuned), true)
    } else {
        (plan.training.stack.launch, false)
    }
}

fn tensor_cores(plan: &mut Plan, factor: f64) {
    let scaled = |rate: FlopsPerSec| FlopsPerSec::new(rate.get() * factor);
    for (_, peak) in &mut plan.cluster.device.peaks {
        *peak = scaled(*peak);
    }
    for curve in &mut Arc::make_mut(&mut plan.profile).kernels {
        match &mut curve.law {
            Law::Tiled(law) => law.peak = scaled(law.peak),
            Law::Attention(law) => law.peak = scaled(law.peak),
            Law::Unfused(law) => law.unaligned_rate = law.unaligned_rate.map(scaled),
            Law::Pass(_) => {}
        }
    }
}

fn memory_bandwidth(plan: &mut Plan, factor: f64) {
    let device = &mut plan.cluster.device;
    device.memory_bandwidth = device.memory_bandwidth.scaled(factor);
    for curve in &mut Arc::make_mut(&mut plan.profile).kernels {
        let bandwidth: &mut BytesPerSec = match &mut curve.law {
            Law::Tiled(law) => &mut law.bandwidth,
            Law::Attention(law) => &mut law.bandwidth,
            Law::Unfused(law) => &mut law.bandwidth,
            Law::Pass(law) => &mut law.bandwidth,
        };
        *bandwidth = bandwidth.scaled(factor);
    }
}

/// Scales the measured collectives that cross nodes, or that do not.
fn links(profile: &mut Arc<Profile>, across: bool, factor: f64) {
    let measured = profile
        .collectives
        .iter()
        .any(|curve| (curve.nodes > 1) == across);
    if !measured {
        return;
    }
    for curve in &mut Arc::make_mut(profile).collectives {
        if (curve.nodes > 1) == across {
            curve.law.bandwidth = curve.law.bandwidth.scaled(factor);
        }
    }
}

fn network_latency(plan: &mut Plan, factor: f64) {
    let node = &mut plan.cluster.node;
    node.nic_latency = node.nic_latency.scaled(factor);
    let fabric = &mut plan.cluster.fabric;
    fabric.switch_latency = fabric.switch_latency.scaled(factor);
    let profile = Arc::make_mut(&mut plan.profile);
    for curve in &mut profile.exchanges {
        curve.network_latency_picos = curve.network_latency_picos.scaled(factor);
    }
    for curve in &mut profile.collectives {
        if curve.nodes > 1 {
            curve.law.latency_picos = curve.law.latency_picos.scaled(factor);
        }
    }
}

/// Runs that a tornado of `plan` takes: the plan itself, and two for each resource that can be changed.
#[must_use]
pub fn num_runs(plan: &Plan) -> u32 {
    let resources = Resource::ALL
        .into_iter()
        .filter(|resource| resource.missing(plan).is_none());
    1 + 2 * u32::try_from(resources.count()).unwrap_or(0)
}

/// The tornado of `plan` by simulation, several runs at a time; none when it was cancelled.
///
/// # Errors
/// When the tasks of a run deadlock: a bug in the lowering.
///
/// # Panics
/// When the watch is for another number of runs than [`num_runs`] times the replications of the plan.
pub fn simulated(plan: &Plan, watch: &Watch) -> Result<Option<Tornado>, EngineError> {
    let plans = plans(plan);
    let watches = watch.split(plan.run.replications);
    assert!(watches.len() == plans.len(), "a watch watches every run");
    let count = u32::try_from(plans.len()).unwrap_or(u32::MAX);
    let results = pipeline::in_parallel(count, |number| {
        let at = number as usize;
        let simulation = pipeline::simulate(&plans[at], &watches[at])?;
        let step = simulation
            .report
            .metrics
            .get(&format!("train.step_time.{}", Statistic::Mean.name()));
        Ok(step
            .filter(|_| simulation.stopped.is_none())
            .map(SimDuration::from_secs))
    });
    let steps: Result<Vec<Option<SimDuration>>, EngineError> = results.into_iter().collect();
    let steps: Option<Vec<SimDuration>> = steps?.into_iter().collect();
    Ok(steps.map(|steps| tornado(plan, &steps)))
}

/// The tornado of `plan` in closed form.
#[must_use]
pub fn estimated(plan: &Plan) -> Tornado {
    let step = |plan: &Plan| SimDuration::from_secs(Parts::of(plan).step(&plan.tuning).step);
    let steps: Vec<SimDuration> = plans(plan).iter().map(step).collect();
    tornado(plan, &steps)
}

/// The plan, and with more and with less of each resource.
fn plans(plan: &Plan) -> Vec<Plan> {
    let mut plain = plan.clone();
    plain.run.timeline = false;
    let mut plans = vec![plain.clone()];
    for resource in Resource::ALL {
        if resource.missing(plan).is_none() {
            plans.push(resource.scaled(&plain, 1.0 + CHANGE));
            plans.push(resource.scaled(&plain, 1.0 - CHANGE));
        }
    }
    plans
}

fn tornado(plan: &Plan, steps: &[SimDuration]) -> Tornado {
    let there = Resource::ALL
        .into_iter()
        .filter(|resource| resource.missing(plan).is_none());
    let mut resources: Vec<Sensitivity> = there
        .zip(steps[1..].chunks(2))
        .map(|(resource, pair)| Sensitivity {
            resource,
            more: pair[0],
            less: pair[1],
        })
        .collect();
    let swing = |entry: &Sensitivity| entry.more.as_picos().abs_diff(entry.less.as_picos());
    resources.sort_by_key(|entry| (std::cmp::Reverse(swing(entry)), entry.resource));
    let left_out = Resource::ALL
        .into_iter()
        .filter_map(|resource| Some((resource, resource.missing(plan)?)));
    Tornado {
        step: steps[0],
        resources,
        left_out: left_out.collect(),
    }
}
