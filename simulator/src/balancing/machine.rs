//! Devices and wires of a plan, as the laboratory needs them.

use orrery_balance::lab::{self, Exchange, ExpertTime, Machine, Passes, Routed, Update};
use orrery_operation::Precision;
use orrery_profile::library::{LibraryExperts, LibraryKernel as _, LocalLoad, Peaks, Widths};
use orrery_scenario::catalog::ExpertLaw;
use orrery_scenario::plan::{Dispatcher, ExpertGroup, GroupShape, expert_format};
use orrery_units::{Bytes, BytesPerSec, Evidence, SimDuration};
use orrery_workload::collective::port_bound;
use orrery_workload::routing::token_bytes;

/// Bytes that an optimizer keeps of a parameter: its master copy and both moments, in FP32 (Adam).
const OPTIMIZER_BYTES: u64 = 12;
/// Bytes of a gradient, which is summed in FP32.
const GRADIENT_BYTES: u64 = 4;

/// A machine, and where its times come from in words.
pub(super) struct Described {
    pub(super) machine: Machine,
    pub(super) about: Vec<String>,
    pub(super) backing: Backing,
}

/// What the times of a machine rest on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backing {
    /// Those of experts: between measured layers by the law that was fitted to them, or beyond them, or no measurement.
    pub(super) experts: Evidence,
    /// Those of exchanges: between measured points, or shares of the data sheet's rates.
    pub(super) exchanges: Evidence,
}

/// The machine of a group: experts by the fitted law of its stack, or the law at its priors; wires by what the profile's
/// library makes of its ports.
pub(super) fn of_group(group: &ExpertGroup) -> Described {
    let experts = group.experts;
    let weights = 3 * u64::from(experts.hidden) * u64::from(experts.inner);
    let hidden = u64::from(experts.hidden);
    let parameters = group.precision.bytes_of(weights);
    let (wires, about_wires) = wires(group);
    Described {
        machine: Machine {
            experts: ExpertTime::new(&shape(group), &parameters_of_law(group)),
            exchange: exchange(group),
            dispatch_token: token_bytes(hidden, on_the_way(group.precision)),
            combine_token: token_bytes(hidden, Precision::Bf16),
            network: wires.network,
            node: wires.node,
            latency: wires.latency,
            first_dispatch: wires.first_dispatch,
            expert_bytes: match group.training {
                Some(_) => parameters + Bytes::new(OPTIMIZER_BYTES * weights),
                None => parameters,
            },
            training: group.training.map(|training| Update {
                steps: training.steps_per_update,
                gradients: Bytes::new(GRADIENT_BYTES * weights),
            }),
            passes: match group.training {
                // Forward, gradients of inputs, gradients of weights; dispatch and combine there and back.
                Some(_) => Passes {
                    products: 3.0,
                    exchanges: 2.0,
                },
                None => Passes {
                    products: 1.0,
                    exchanges: 1.0,
                },
            },
        },
        about: vec![about_experts(group), about_wires],
        backing: Backing {
            experts: match &group.law {
                Some(law) if beyond(group, law).is_empty() => Evidence::Interpolated,
                Some(_) => Evidence::Extrapolated,
                None => Evidence::Analytic,
            },
            exchanges: wires.evidence,
        },
    }
}

/// The format of tokens on their way to experts: that of the weights, and FP8 where that is narrower still.
const fn on_the_way(weights: Precision) -> Precision {
    match weights {
        Precision::Fp4 => Precision::Fp8,
        other => other,
    }
}

/// How tokens travel.
fn exchange(group: &ExpertGroup) -> Exchange {
    #[expect(clippy::cast_precision_loss, reason = "tokens are far below 2^53")]
    let tokens = group.load.tokens as f64;
    let dispatcher = match group.exchange.dispatcher {
        Dispatcher::AllToAll | Dispatcher::AllGather => lab::Dispatcher::AllToAll,
        Dispatcher::DeepEp | Dispatcher::HybridEp => lab::Dispatcher::OncePerNode,
    };
    let routed = Routed {
        tokens,
        top_k: group.experts.top_k,
        experts: f64::from(group.experts.experts),
    };
    let per_node = group.exchange.devices_per_domain as usize;
    Exchange::new(dispatcher, per_node, group.exchange.max_nodes, routed)
}

/// What a library makes of the ports of devices.
struct Wires {
    network: BytesPerSec,
    node: BytesPerSec,
    latency: SimDuration,
    first_dispatch: f64,
    evidence: Evidence,
}

/// The wires of a group, and where their rates come from.
fn wires(group: &ExpertGroup) -> (Wires, String) {
    let library = match group.exchange.dispatcher {
        Dispatcher::DeepEp => "deepep",
        Dispatcher::HybridEp => "hybrid-ep",
        Dispatcher::AllToAll | Dispatcher::AllGather => "nccl",
    };
    let devices = u32::try_from(group.shape.devices).unwrap_or(u32::MAX);
    let per_node = group.exchange.devices_per_domain.min(devices);
    let shape = GroupShape {
        ranks: devices,
        ranks_per_node: per_node,
        nodes: devices.div_ceil(per_node),
    };
    let ports = port_bound::Exchange::new(&group.cluster, &group.profile, library);
    let [node, network] = ports.rates(shape).map(BytesPerSec::new);
    let curve = group.profile.exchange(library);
    let about = match curve {
        Some(_) => format!(
            "exchanges by {library} as profile {} measured it: {node} and {network} a device within a node and between \
             nodes",
            group.profile.name
        ),
        None => format!(
            "no profile of {} measured {library}: exchanges reach the shares of the data sheet's rates that grouped \
             sends do, {node} and {network} a device within a node and between nodes",
            group.cluster.device.name
        ),
    };
    let wires = Wires {
        network,
        node,
        latency: ports.latency(shape),
        first_dispatch: curve.map_or(1.0, |curve| curve.first_dispatch),
        evidence: match curve {
            Some(_) => Evidence::Interpolated,
            None => Evidence::Analytic,
        },
    };
    (wires, about)
}

/// The layer whose load is yet to come.
fn shape(group: &ExpertGroup) -> LibraryExperts {
    let device = &group.cluster.device;
    let rate = device
        .peak(group.precision)
        .or_else(|| device.peak(Precision::Bf16));
    let narrow = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    LibraryExperts {
        peaks: Peaks {
            rate: rate.expect("a device of the catalogue multiplies in BF16"),
            bandwidth: device.memory_bandwidth,
            num_units: device.num_units,
            cache: Bytes::ZERO,
        },
        widths: Widths::named(expert_format(group.precision)).expect("every format of experts has widths"),
        load: LocalLoad {
            rows: 1.0,
            active: 1.0,
            padded: 1.0,
            largest: 1.0,
        },
        tokens: narrow(group.load.tokens),
        chosen: group.experts.top_k,
        hidden: group.experts.hidden,
        inner: group.experts.inner,
        experts: narrow(group.shape.slots as u64),
        ranks: narrow(group.shape.devices as u64),
        skew: 0.0,
    }
}

/// Parameters of the law of experts: those that were fitted, else its priors.
fn parameters_of_law(group: &ExpertGroup) -> Vec<f64> {
    match &group.law {
        Some(law) => law.parameters.clone(),
        None => LibraryExperts::priors()
            .iter()
            .map(|prior| prior.centre.exp())
            .collect(),
    }
}

/// What of the group lies beyond the layers that `law` was fitted to, in words.
fn beyond(group: &ExpertGroup, law: &ExpertLaw) -> Vec<String> {
    law.beyond(group.load.tokens, group.shape.devices as u64, group.experts)
}

/// Whose times experts take, in words.
fn about_experts(group: &ExpertGroup) -> String {
    let Some(law) = &group.law else {
        return "experts take the time of their law at its priors: nothing measured is named".to_owned();
    };
    let device = &group.cluster.device;
    let twin = if law.device == device.name {
        String::new()
    } else {
        format!(", its twin in units; peaks are those of {}", device.name)
    };
    let beyond = beyond(group, law);
    let beyond = if beyond.is_empty() {
        String::new()
    } else {
        format!("; extrapolated: {}", beyond.join(", "))
    };
    format!(
        "experts by the law of {} fitted to {} measured layers on {}{twin}; median error of the law alone {:.1} %{beyond}",
        law.stack,
        law.rows,
        law.device,
        law.median_error * 100.0
    )
}
