//! Rings.

use orrery_operation::CollectiveOp;
use orrery_profile::Parameter;

use super::super::nccl::NcclPreset;
use super::{Asked, Candidate, Forced, micros};

/// Rings with each protocol.
///
/// `t = launch + inside · step + between · hop + S · f / bus + own + fill`, with `2 (n − 1)` steps for an all-reduce and
/// `n − 1` for the others, of which `2 (N − 1)` or `N − 1` pass the network (`tuning.cc` 285-455), and `f` the bus
/// factor. LL: `bus = min(share · B, cap)`. A broadcast passes data on in slices, so that a step costs half.
/// `own = (S / n) / copy` is a rank's own part when the result has its own buffer: an all-gather of two H100 reaches
/// 258 GB/s of bus bandwidth and one of eight 335, which one copy rate explains. `fill = d · S / (S + s₁)`, plain only.
/// Worked: 8 ranks, 8 us of launch, 1 us a step, LL at 100 GB/s, all-gather of 1 MB: 8 + 7 + 8.75 = 23.75 us.
pub(super) fn candidates(asked: &Asked<'_>) -> Vec<Candidate> {
    let call = asked.call;
    let one_way = matches!(call.op, CollectiveOp::Broadcast | CollectiveOp::Reduce);
    let reduces = call.op == CollectiveOp::AllReduce;
    let rounds = if reduces { 2.0 } else { 1.0 };
    let between = rounds * (call.nodes - 1.0);
    let inside = rounds * (call.ranks - 1.0) - between;
    let full = asked.ring_bandwidth();
    let own = if one_way { 0.0 } else { own_part(asked) };
    let slices = if one_way { 0.5 } else { 1.0 };
    let time = |step: Parameter, hop: Parameter, bus: f64| {
        let steps = (inside * asked.get(step) + between * asked.get(hop)) * slices;
        asked.get(Parameter::Launch) + steps + micros(asked.size() * asked.bus_factor(), bus) + own
    };
    let fill =
        asked.get(Parameter::RingFill) * asked.size() / (asked.size() + asked.get(Parameter::RingFillBytes));
    let cap = NcclPreset::V2_30_7.low_latency_cap(asked.machine.architecture, nodes(call.nodes))
        * asked.get(Parameter::LowLatencyCap);
    let low = (full * asked.get(Parameter::LowLatencyShare)).min(cap);
    let all = [
        Candidate {
            name: "ring/ll",
            micros: time(Parameter::LowLatencyStep, Parameter::LowLatencyHop, low),
        },
        Candidate {
            name: "ring/ll128",
            micros: time(
                Parameter::LowLatency128Step,
                Parameter::LowLatency128Hop,
                full * asked.get(Parameter::LowLatency128Share),
            ),
        },
        Candidate {
            name: "ring/simple",
            micros: time(Parameter::SimpleStep, Parameter::SimpleHop, full) + fill,
        },
    ];
    match call.forced {
        Forced::RingLowLatency128 => vec![all[1]],
        Forced::None | Forced::Ring | Forced::Sharp => all.to_vec(),
    }
}

/// The tuner's tables tell one node, two, and more apart.
const fn nodes(count: f64) -> u32 {
    if count > 2.0 {
        3
    } else if count > 1.0 {
        2
    } else {
        1
    }
}

fn own_part(asked: &Asked<'_>) -> f64 {
    if !asked.call.out_of_place {
        return 0.0;
    }
    let rate = if asked.call.op == CollectiveOp::AllReduce {
        Parameter::OwnCopyReduced
    } else {
        Parameter::OwnCopy
    };
    micros(
        asked.size() / asked.call.ranks,
        asked.machine.ring * asked.get(rate),
    )
}
