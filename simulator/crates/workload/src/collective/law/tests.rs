//! Worked numbers of the laws.

use super::*;

fn law(settings: &[(Parameter, f64)]) -> PlatformLaw {
    PlatformLaw::from_fn(|parameter| {
        settings
            .iter()
            .find(|(named, _)| *named == parameter)
            .map_or(1.0, |&(_, value)| value)
    })
}

fn call(op: CollectiveOp, ranks: f64, nodes: f64, bytes: u64) -> Call {
    Call {
        op,
        ranks,
        nodes,
        bytes: Bytes::new(bytes),
        out_of_place: false,
        forced: Forced::None,
        tuned: false,
    }
}

const H100: Machine = Machine {
    architecture: Architecture::Hopper,
    ring: 100.0,
    network: 400.0,
    nvlink: true,
};

#[test]
fn a_ring_of_eight_worked() {
    let law = law(&[
        (Parameter::Host, 0.001),
        (Parameter::Launch, 8.0),
        (Parameter::LowLatency128Step, 50.0),
        (Parameter::SimpleStep, 50.0),
    ]);
    let best = candidates(&law, &H100, &call(CollectiveOp::AllGather, 8.0, 1.0, 1_000_000))[0];
    assert_eq!(best.0.name, "ring/ll");
    assert!((best.1.as_secs() * 1e6 - 23.75).abs() < 0.01, "{best:?}");
}

#[test]
fn a_short_kernel_waits_for_its_launch() {
    let law = law(&[(Parameter::Host, 40.0)]);
    assert!((seen(&law, 40.0) - 44.898).abs() < 0.001, "{}", seen(&law, 40.0));
}

#[test]
fn sharp_worked() {
    let law = law(&[(Parameter::Host, 0.001)]);
    let mut asked = call(CollectiveOp::AllReduce, 16.0, 2.0, 1_000_000_000);
    asked.forced = Forced::Sharp;
    let all = candidates(&law, &H100, &asked);
    let sharp = all
        .iter()
        .find(|(candidate, _)| candidate.name == "collnet/simple");
    let (_, time) = sharp.expect("it is offered");
    assert!((time.as_secs() - 4.69e-3).abs() < 1e-5, "{time}");
}

#[test]
fn forced_rings_offer_nothing_else() {
    let law = law(&[]);
    let mut asked = call(CollectiveOp::AllReduce, 16.0, 2.0, 1 << 20);
    asked.forced = Forced::RingLowLatency128;
    let all = candidates(&law, &H100, &asked);
    let names: Vec<&str> = all.iter().map(|(candidate, _)| candidate.name).collect();
    assert_eq!(names, ["ring/ll128"]);
}
