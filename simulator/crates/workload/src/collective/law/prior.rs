//! What is known of a platform before it is measured.

use orrery_profile::Parameter;
use orrery_profile::fit::Prior;

use super::super::nccl::Architecture;
use super::Machine;

/// Who launches the collective.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Launcher {
    /// One process or thread per device: launches overlap.
    PerDevice,
    /// One process drives every device of a node, or a framework stands between: launches add up.
    OneProcess,
}

/// Value and uncertainty of each parameter, as logarithms.
///
/// Values: steps inside a node by architecture (tests/truth/nccl/aic_*.csv, 1-4 KiB); the tuner's latencies and shares
/// (`tuning.cc` of NCCL 2.30.7); rings and NVLS at the peaks of `nccl::efficiency`; the rest are assumptions with
/// a wide spread, which the first measured row overrules.
#[must_use]
pub fn priors(machine: &Machine, launcher: Launcher) -> Vec<Prior> {
    Parameter::ALL
        .into_iter()
        .map(|parameter| {
            let (value, spread) = prior(parameter, machine, launcher);
            Prior {
                centre: value.ln(),
                spread,
            }
        })
        .collect()
}

fn prior(parameter: Parameter, machine: &Machine, launcher: Launcher) -> (f64, f64) {
    let hopper = machine.architecture == Architecture::Hopper;
    let step = match machine.architecture {
        Architecture::Volta => 1.0,
        Architecture::Ampere => 0.95,
        Architecture::Hopper => 0.82,
        Architecture::Blackwell => 1.3,
    };
    let box_of_pcie = !machine.nvlink;
    match parameter {
        Parameter::Host if launcher == Launcher::PerDevice => (4.0, 1.0),
        Parameter::Host => (40.0, 1.0),
        Parameter::Launch => (if hopper { 4.5 } else { 7.5 }, 0.5),
        Parameter::LowLatencyStep => (step, 0.5),
        Parameter::LowLatencyHop => (4.0, 0.5),
        Parameter::LowLatency128Step => (step * 1.7, 0.5),
        Parameter::LowLatency128Hop => (5.0, 0.5),
        Parameter::SimpleStep => (step * 3.0, 0.7),
        Parameter::SimpleHop => (9.0, 0.7),
        Parameter::LowLatencyShare => (0.5, 0.4),
        Parameter::LowLatency128Share => (0.9, 0.2),
        Parameter::LowLatencyCap => (1.0, 0.3),
        Parameter::RingShare => (1.0, if box_of_pcie { 1.5 } else { 0.05 }),
        Parameter::NetworkShare => (0.97, 0.15),
        Parameter::NvlsLatency => (25.0, 0.4),
        Parameter::NvlsChunk => (10.0, 0.6),
        Parameter::NvlsShare => (1.2, 0.1),
        Parameter::NvlsTreeHop => (18.0, 0.6),
        Parameter::NvlsTreeChunk => (10.0, 0.8),
        Parameter::NvlsTreeShare => (1.0, 0.15),
        Parameter::DepthShare => (1.0, 0.3),
        Parameter::TreeShare => (1.0, 0.3),
        Parameter::PeerLatency => (8.0, 0.6),
        Parameter::PeerNetworkLatency => (25.0, 0.6),
        Parameter::PeerShare => (0.93, if box_of_pcie { 1.0 } else { 0.15 }),
        Parameter::PeerNetworkShare => (0.6, 0.3),
        Parameter::PeerFill => (10.0, 0.8),
        Parameter::PeerFillBytes => (3e4, 1.0),
        Parameter::ChannelRate if machine.architecture == Architecture::Ampere => (12.0, 0.3),
        Parameter::ChannelRate => (20.0, 0.3),
        Parameter::Tuned => (1.1, 0.1),
        Parameter::OwnCopy | Parameter::OwnCopyReduced => (2.7, 0.5),
        Parameter::RingFill => (20.0, 0.7),
        Parameter::RingFillBytes => (2e7, 0.7),
        Parameter::FarShare => (1.0, 2.0),
        Parameter::SharpShare => (1.0, 0.3),
    }
}
