//! Reduction in the network's switches (CollNet over SHARP).

use orrery_operation::CollectiveOp;
use orrery_profile::Parameter;

use super::{Asked, Candidate, Forced, micros};

/// What reports call it.
pub(super) const NAME: &str = "collnet/simple";

/// SHARP, all-reduce where it is offered.
///
/// `t = launch + latency + 2 hop + S · f / (share · NICs)`: up to the switches and back, whatever the number of nodes.
/// The share refers to bus bandwidth: 385 GB/s over eight NICs of 400 Gbit/s, 96 H100, is 0.96. Worked: share 1,
/// 400 GB/s, 16 ranks, 1 GB: 4.69 ms after the latency.
pub(super) fn candidate(asked: &Asked<'_>) -> Option<Candidate> {
    let offered = asked.call.forced == Forced::Sharp && asked.call.op == CollectiveOp::AllReduce;
    if !offered || !asked.across() {
        return None;
    }
    let bus = asked.machine.network * asked.get(Parameter::SharpShare);
    Some(Candidate {
        name: NAME,
        micros: asked.get(Parameter::Launch)
            + asked.get(Parameter::NvlsLatency)
            + 2.0 * asked.get(Parameter::SimpleHop)
            + micros(asked.size() * asked.bus_factor(), bus),
    })
}
