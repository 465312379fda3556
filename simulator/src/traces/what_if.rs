//! A recording with something changed: how long its step would take.

use std::str::FromStr;

use orrery_operation::{Gemm, MemoryPass, Precision};
use orrery_profile::{Law, OpClass as Kernels, Profile};
use orrery_replay::{Graph, Timing};
use orrery_scenario::catalog;
use orrery_timeline::OpClass;
use orrery_trace::{Alike, KernelWork, Recording};
use orrery_units::{Bytes, SimDuration};

use super::{Phase, TraceFault, Watch};

/// Dimensions of the square product that two devices are compared by: one that fills either.
const SIDE: u64 = 8192;
/// Bytes read and written by the pass over memory that two devices are compared by.
const PASS: Bytes = Bytes::new(256 << 20);

/// Something about a recording that is changed.
#[derive(Clone, Debug, PartialEq)]
pub enum WhatIf {
    /// Ranks that compute longer than others at their median.
    SlowRank,
    /// Computation balanced perfectly.
    Balance,
    /// A network so many times as fast.
    Network(f64),
    /// Another device: profiles of the one that was recorded and of the other.
    Gpu {
        /// The recorded one.
        from: String,
        /// The other one.
        to: String,
    },
}

/// How long the step would take.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// What was changed, in words.
    pub change: String,
    /// The mean step.
    pub step: SimDuration,
}

impl FromStr for WhatIf {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        let unknown = || {
            format!(
                "`{text}` is no change\n  = help: `slow-rank`, `balance`, `network=FACTOR` such as `network=2`, or \
                 `gpu=FROM:TO` with names of profiles"
            )
        };
        match (name, value) {
            ("slow-rank", "") => Ok(Self::SlowRank),
            ("balance", "") => Ok(Self::Balance),
            ("network", factor) => {
                let factor: f64 = factor.parse().map_err(|_not_one| unknown())?;
                let is_speed = factor.is_finite() && factor > 0.0;
                is_speed.then_some(Self::Network(factor)).ok_or_else(unknown)
            }
            ("gpu", pair) => {
                let (from, to) = pair.split_once(':').ok_or_else(unknown)?;
                let [from, to] = [from, to].map(str::to_owned);
                Ok(Self::Gpu { from, to })
            }
            _ => Err(unknown()),
        }
    }
}

/// The step of `recording` under each change by itself, without late launches: what a device waited for while another one
/// was slow would else stand as a delay of its own, and stay.
///
/// # Errors
/// When somebody asked to stop, operations have no order, a profile is not known, or the recording does not say what ran.
pub fn what_if(recording: &Recording, changes: &[WhatIf], watch: &Watch) -> Result<Vec<Outcome>, TraceFault> {
    watch.begin(Phase::Attribute, changes.len() as u64)?;
    let graph = Graph::new(recording).map_err(|fault| fault.to_string())?;
    let timing = Timing::measured(&graph).without_delays(&graph);
    let mut outcomes = Vec::new();
    for (at, change) in changes.iter().enumerate() {
        let (change, timing) = changed(change, &timing, &graph)?;
        let steps = graph.step_times(&graph.evaluate(&timing));
        outcomes.push(Outcome {
            change,
            step: mean(&steps),
        });
        if !watch.at(at + 1, changes.len()) {
            return Err(super::Cancelled.into());
        }
    }
    Ok(outcomes)
}

fn mean(steps: &[SimDuration]) -> SimDuration {
    let sum: u128 = steps.iter().map(|step| u128::from(step.as_picos())).sum();
    let mean = sum / (steps.len() as u128).max(1);
    SimDuration::from_picos(u64::try_from(mean).expect("a mean is no more than the longest"))
}

fn changed(change: &WhatIf, timing: &Timing, graph: &Graph<'_>) -> Result<(String, Timing), String> {
    Ok(match change {
        WhatIf::SlowRank => (
            "slow ranks at the median of their stage".to_owned(),
            timing.with_slow_ranks_at_median(graph),
        ),
        WhatIf::Balance => (
            "computation balanced perfectly".to_owned(),
            timing.with_even_computation(graph),
        ),
        WhatIf::Network(factor) => (
            format!("a network {factor} x as fast"),
            timing.with_network(graph, *factor),
        ),
        WhatIf::Gpu { from, to } => other_device((from, to), timing, graph)?,
    })
}

/// Kernels scaled as the profiles of two devices differ: products and attention as a large product, others as a pass over
/// memory. Hosts and transfers stay.
fn other_device(
    (from, to): (&str, &str),
    timing: &Timing,
    graph: &Graph<'_>,
) -> Result<(String, Timing), String> {
    let recording = graph.recording();
    if recording.alike == Alike::Kind {
        return Err(
            "this recording names passes, not kernels: how another device would run them is unknown\n  = help: record with \
             PyTorch's profiler"
                .to_owned(),
        );
    }
    let [(product, pass), (other_product, other_pass)] = [rates(from)?, rates(to)?];
    let (product, pass) = (other_product / product, other_pass / pass);
    let timing = timing.with_times(graph, |kind| {
        let kind = recording.kinds.kind(kind);
        match kind.class {
            OpClass::Compute | OpClass::Optimizer => match KernelWork::of(&kind.name) {
                KernelWork::Product | KernelWork::GroupedProduct | KernelWork::Attention => product,
                KernelWork::Pass => pass,
            },
            _ => 1.0,
        }
    });
    let words = format!(
        "{to} for {from}: products in {product:.3} x the time, passes over memory in {pass:.3} x, hosts and transfers as \
         they are"
    );
    Ok((words, timing))
}

/// Seconds of the product and of the pass that devices are compared by, by the profile of that name.
fn rates(name: &str) -> Result<(f64, f64), String> {
    let text = catalog::profile(name)
        .ok_or_else(|| format!("there is no profile `{name}`\n  = help: those of scenarios/profiles ship"))?;
    let profile = Profile::from_json(text).map_err(|fault| fault.to_string())?;
    let lacks =
        |what: &str| format!("the profile `{name}` has no {what}\n  = help: name another one of that device");
    let law = |kernels: Kernels, what: &str| {
        let curve = profile.kernel(kernels, Precision::Bf16);
        curve.map(|curve| curve.law).ok_or_else(|| lacks(what))
    };
    let Law::Tiled(product) = law(Kernels::Gemm, "product in BF16")? else {
        return Err(lacks("product in BF16"));
    };
    let Law::Pass(pass) = law(Kernels::MemoryPass, "pass over memory")? else {
        return Err(lacks("pass over memory"));
    };
    let square = Gemm {
        m: SIDE,
        n: SIDE,
        k: SIDE,
        precision: Precision::Bf16,
        output: Precision::Bf16,
    };
    let product = product.gemm(&square).alone().as_secs();
    let pass = pass.pass(&MemoryPass::new(PASS, PASS, 1)).alone().as_secs();
    Ok((product, pass))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read() {
        assert_eq!("slow-rank".parse(), Ok(WhatIf::SlowRank));
        assert_eq!("network=2".parse(), Ok(WhatIf::Network(2.0)));
        let pair = "gpu=a:b".parse::<WhatIf>();
        let [from, to] = ["a", "b"].map(str::to_owned);
        assert_eq!(pair, Ok(WhatIf::Gpu { from, to }));
        for text in [
            "network",
            "network=0",
            "network=fast",
            "gpu=a",
            "balance=2",
            "noise",
        ] {
            let fault = text.parse::<WhatIf>().expect_err("no change");
            assert!(fault.contains("= help:"), "{fault}");
        }
    }

    /// An H100 multiplies 2.4 to 3.2 times as fast as an A100 (312 and 989 TFLOP/s by data sheet, of which either reaches its
    /// share), and passes over memory as their bandwidths differ (2039 and 3350 GB/s).
    #[test]
    fn devices_differ_as_their_profiles_do() {
        let [a100, h100] = ["a100-megatron-2025-09", "h100-megatron-core-2025-09"]
            .map(|name| rates(name).expect("it ships"));
        let (product, pass) = (a100.0 / h100.0, a100.1 / h100.1);
        assert!((2.0..3.2).contains(&product), "{product}");
        assert!((1.3..2.0).contains(&pass), "{pass}");
        assert!(rates("abacus").expect_err("none").contains("= help:"), "a remedy");
    }
}
