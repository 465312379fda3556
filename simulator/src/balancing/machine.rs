//! Devices and wires of a plan, as the laboratory needs them.

use orrery_balance::lab::{ExpertTime, Machine, Passes};
use orrery_operation::Precision;
use orrery_profile::library::{LibraryExperts, LocalLoad, Peaks, Widths};
use orrery_scenario::catalog;
use orrery_scenario::plan::ExpertGroup;
use orrery_units::Bytes;
use orrery_workload::routing::token_bytes;

use super::laws::{prior_parameters, shipped_laws};

/// A machine, and where its times come from in words.
pub(super) struct Described {
    pub(super) machine: Machine,
    pub(super) about: String,
}

/// The machine of a group: experts by the fitted law of its stack, or the law at its priors; wires at the data sheet's
/// rates.
pub(super) fn of_group(group: &ExpertGroup) -> Described {
    let (parameters, about) = parameters(group);
    let experts = group.experts;
    let weights = 3 * u64::from(experts.hidden) * u64::from(experts.inner);
    let node = &group.cluster.node;
    let hidden = u64::from(experts.hidden);
    Described {
        machine: Machine {
            devices_per_node: node.num_devices as usize,
            experts: ExpertTime::new(&shape(group), &parameters),
            dispatch_token: token_bytes(hidden, group.precision),
            combine_token: token_bytes(hidden, Precision::Bf16),
            network: group.cluster.nic_per_device(),
            node: node.scale_up,
            latency: if group.shape.nodes > 1 {
                node.nic_latency
            } else {
                node.scale_up_latency
            },
            expert_bytes: group.precision.bytes_of(weights),
            passes: if group.is_training {
                // Forward, gradients of inputs, gradients of weights; dispatch and combine there and back.
                Passes {
                    products: 3.0,
                    exchanges: 2.0,
                }
            } else {
                Passes {
                    products: 1.0,
                    exchanges: 1.0,
                }
            },
        },
        about,
    }
}

/// The layer whose load is yet to come.
fn shape(group: &ExpertGroup) -> LibraryExperts {
    let device = &group.cluster.device;
    let format = format_name(group.precision);
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
        widths: Widths::named(format).expect("both formats have widths"),
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

const fn format_name(precision: Precision) -> &'static str {
    match precision {
        Precision::Fp8 => "fp8_block",
        _ => "bfloat16",
    }
}

/// Parameters of the law of experts, and whose they are.
fn parameters(group: &ExpertGroup) -> (Vec<f64>, String) {
    let device = &group.cluster.device;
    let analytic = || {
        let about = "experts take the time of their law at its priors: nothing measured is named";
        (prior_parameters(), about.to_owned())
    };
    let Some(stack) = &group.law else {
        return analytic();
    };
    let laws = shipped_laws();
    let twin = |name: &str| {
        catalog::hardware(name).is_ok_and(|entry| {
            entry.device.architecture == device.architecture && entry.device.num_units == device.num_units
        })
    };
    match laws.find(stack, &device.name, twin) {
        Some(law) => {
            let own = if law.device == device.name {
                String::new()
            } else {
                format!(", its twin in units; peaks are those of {}", device.name)
            };
            let about = format!(
                "experts by the law of {} fitted to {} measured layers on {}{own}; median error of the law alone {:.1} %",
                law.stack,
                law.rows,
                law.device,
                law.median_error * 100.0
            );
            (law.parameters.clone(), about)
        }
        None => {
            let (parameters, _) = analytic();
            let about = format!(
                "no law of {stack} was fitted on {} or a twin of it: experts take the time of the law at its priors; \
                 stacks that were: {}",
                device.name,
                laws.stacks().join(", ")
            );
            (parameters, about)
        }
    }
}
