//! Rings.

use orrery_operation::CollectiveOp;
use orrery_profile::Parameter;

use super::{Asked, Candidate, Forced, micros};

/// Rings with each protocol.
///
/// An all-reduce has `2 (n − 1)` steps and the others `n − 1`, of which `2 (N − 1)` or `N − 1` pass the network
/// (`tuning.cc` 285-455). A broadcast passes data on in slices, so that a step costs half.
///
/// LL and LL128: `t = launch + latency + S (steps + 1) / n / rate` with `rate = share · B`, of LL at most the cap. A kernel
/// handles every part once more than its links do, as it sends its own before it receives any, and with these
/// protocols it is what limits: between 1 and 2 MiB an all-gather among 2, 4 and 8 H100 moves 198, 190 and 205 GB/s of the
/// whole (aic_h100_sxm_nccl2.29.2.csv), not of the part that crosses links.
///
/// Plain: `t = launch + (latency^p + (S f / B)^p)^(1/p) + own + d S / (S + s₁)` with `f` the bus factor: steps of large parts
/// hide behind their bytes, as 8 B200 show, whose all-gather takes 104 us at 16 MiB and only 137 at 64.
/// `own = (S / n) / copy` is a rank's own part when the result has its own buffer: at 512 MiB an all-gather of two H100
/// reaches 258 GB/s of bus bandwidth and one of eight 335.
///
/// Worked: 8 ranks, 8 us of launch, 1 us a step, LL at 100 GB/s, all-gather of 1 MB: 8 + 7 + 10 = 25 us.
pub(super) fn candidates(asked: &Asked<'_>) -> Vec<Candidate> {
    let call = asked.call;
    let one_way = matches!(call.op, CollectiveOp::Broadcast | CollectiveOp::Reduce);
    let rounds = if call.op == CollectiveOp::AllReduce {
        2.0
    } else {
        1.0
    };
    let between = rounds * (call.nodes - 1.0);
    let inside = rounds * (call.ranks - 1.0) - between;
    let slices = if one_way { 0.5 } else { 1.0 };
    let latency =
        |step: Parameter, hop: Parameter| (inside * asked.get(step) + between * asked.get(hop)) * slices;
    let full = asked.ring_bandwidth();
    let handled = if one_way {
        asked.size()
    } else {
        asked.size() * (inside + between + 1.0) / call.ranks
    };
    let cap = asked.known.low_latency_cap * asked.get(Parameter::LowLatencyCap);
    let low = (full * asked.get(Parameter::LowLatencyShare)).min(cap);
    let low_128 = full * asked.get(Parameter::LowLatency128Share);
    let plain = both(
        latency(Parameter::SimpleStep, Parameter::SimpleHop),
        micros(asked.size() * asked.bus_factor(), full),
        asked.get(Parameter::SimpleOverlap),
    );
    let launch = asked.get(Parameter::Launch);
    let all = [
        Candidate {
            name: "ring/ll",
            micros: launch
                + latency(Parameter::LowLatencyStep, Parameter::LowLatencyHop)
                + micros(handled, low),
        },
        Candidate {
            name: "ring/ll128",
            micros: launch
                + latency(Parameter::LowLatency128Step, Parameter::LowLatency128Hop)
                + micros(handled, low_128),
        },
        Candidate {
            name: "ring/simple",
            micros: launch + plain + own_part(asked, one_way) + fill(asked),
        },
    ];
    match call.forced {
        Forced::RingLowLatency128 => vec![all[1]],
        Forced::None | Forced::Ring | Forced::Sharp => all.to_vec(),
    }
}

/// Two times of which a part of the shorter hides behind the longer: `(a^p + b^p)^(1/p)`, `p` at least 1.
/// Worked: 3 and 4 with `p = 2`: 5.
fn both(a: f64, b: f64, overlap: f64) -> f64 {
    let power = overlap.max(1.0);
    (a.powf(power) + b.powf(power)).powf(1.0 / power)
}

fn fill(asked: &Asked<'_>) -> f64 {
    asked.get(Parameter::RingFill) * asked.size() / (asked.size() + asked.get(Parameter::RingFillBytes))
}

fn own_part(asked: &Asked<'_>, one_way: bool) -> f64 {
    if one_way || !asked.call.out_of_place {
        return 0.0;
    }
    let rate = if asked.call.op == CollectiveOp::AllReduce {
        Parameter::OwnCopyReduced
    } else {
        Parameter::OwnCopy
    };
    micros(
        asked.size() / asked.call.ranks,
        asked.known.ring * asked.get(rate),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_hide_behind_each_other() {
        assert!((both(3.0, 4.0, 2.0) - 5.0).abs() < 1e-12);
        assert!((both(3.0, 4.0, 0.5) - 7.0).abs() < 1e-12);
    }
}
