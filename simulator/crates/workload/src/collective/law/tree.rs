//! Double binary trees between nodes, chains inside.

use orrery_operation::CollectiveOp;
use orrery_profile::Parameter;

use super::{Asked, Candidate, Forced, micros};

/// A hop of a tree over a hop of a ring: each level waits for two children (the tuner's network latencies are 5.0 over
/// 2.7 us for LL and 8.5 over 4.0 for LL128; half of that excess is the larger message, assumption).
const LEVEL: f64 = 1.5;

/// Double binary trees with each protocol, all-reduce over several nodes.
///
/// `t = launch + 2 ((g − 1) step + ⌊log₂ N⌋ level) + k S / (share · bus)`: up and down the chain of `g` ranks and the
/// tree of `N` nodes (`tuning.cc` 285-455). Over two nodes each byte crosses once each way, `k = 1`; beyond, a node
/// passes on what two children send, `k = 2` (Sanders, Speck and Träff 2009). Of the plain protocol's bandwidth LL moves
/// `1 / 3.8` and LL128 `120 / 128` (`tuning.cc` 285-455, between nodes).
pub(super) fn candidates(asked: &Asked<'_>) -> Vec<Candidate> {
    let call = asked.call;
    let offered = matches!(call.forced, Forced::None | Forced::Sharp);
    if call.op != CollectiveOp::AllReduce || !asked.across() || !offered {
        return Vec::new();
    }
    let bus = asked.ring_bandwidth() * asked.get(Parameter::TreeShare);
    let crossings = if call.nodes > 2.0 { 2.0 } else { 1.0 };
    let time = |step: Parameter, level: f64, share: f64| {
        let inside = (call.ranks_per_node() - 1.0) * asked.get(step);
        let between = call.nodes.log2().floor() * level;
        asked.get(Parameter::Launch)
            + 2.0 * (inside + between)
            + micros(asked.size() * crossings, bus * share)
    };
    let low = asked.get(Parameter::LowLatencyHop) * LEVEL;
    let low_128 = asked.get(Parameter::LowLatency128Hop) * LEVEL;
    vec![
        Candidate {
            name: "tree/ll",
            micros: time(Parameter::LowLatencyStep, low, 1.0 / 3.8),
        },
        Candidate {
            name: "tree/ll128",
            micros: time(Parameter::LowLatency128Step, low_128, 120.0 / 128.0),
        },
        Candidate {
            name: "tree/simple",
            micros: time(Parameter::SimpleStep, asked.get(Parameter::SimpleHop), 1.0),
        },
    ]
}
