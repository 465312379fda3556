//! Worked numbers of the laws.

use super::super::nccl::Architecture;
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

/// Rings of 100 GB/s: two channels of 50.
const MACHINE: Machine = Machine {
    architecture: Architecture::Hopper,
    scale_up: 122.0,
    nvlink: true,
    num_nics: 8,
    network: 400.0,
};

#[test]
fn a_ring_of_eight_worked() {
    let law = law(&[
        (Parameter::Host, 0.001),
        (Parameter::Launch, 8.0),
        (Parameter::LowLatency128Step, 50.0),
        (Parameter::SimpleStep, 50.0),
    ]);
    let best = candidates(
        &law,
        &MACHINE,
        &call(CollectiveOp::AllGather, 8.0, 1.0, 1_000_000),
    )[0];
    assert_eq!(best.0.name, "ring/ll");
    assert!((best.1.as_secs() * 1e6 - 25.0).abs() < 0.01, "{best:?}");
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
    let all = candidates(&law, &MACHINE, &asked);
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
    let all = candidates(&law, &MACHINE, &asked);
    let names: Vec<&str> = all.iter().map(|(candidate, _)| candidate.name).collect();
    assert_eq!(names, ["ring/ll128"]);
}

/// The tuner takes LL up to 1 MiB and NVLS from 2 MiB on 8 H200, as the log of ml-engineering has it.
#[test]
fn the_choice_is_the_tuners_not_the_least_time() {
    let h200 = Machine {
        scale_up: 450.0,
        ..MACHINE
    };
    let slow = law(&[(Parameter::NvlsLatency, 1e4)]);
    let name = |bytes: u64| {
        let asked = call(CollectiveOp::AllReduce, 8.0, 1.0, bytes);
        candidates(&slow, &h200, &asked)[0].0.name
    };
    assert_eq!([name(1 << 20), name(2 << 20)], ["ring/ll", "nvls/simple"]);
    let asked = call(CollectiveOp::AllReduce, 16.0, 2.0, 1 << 30);
    assert_eq!(candidates(&slow, &h200, &asked)[0].0.name, "nvls_tree/simple");
}

/// What fits see is the time of the first candidate.
#[test]
fn fits_see_the_chosen_candidate() {
    let law = law(&[(Parameter::Host, 3.0), (Parameter::SimpleStep, 9.0)]);
    for op in [
        CollectiveOp::AllReduce,
        CollectiveOp::AllGather,
        CollectiveOp::AllToAll,
        CollectiveOp::SendRecv,
    ] {
        for power in 3..34 {
            let asked = call(op, 16.0, 2.0, 1 << power);
            let first = candidates(&law, &MACHINE, &asked)[0].1.as_secs();
            let fast = Prepared::new(&MACHINE, &asked).seconds(&law);
            assert!(
                (first / fast - 1.0).abs() < 1e-5,
                "{op:?} 2^{power}: {first} {fast}"
            );
        }
    }
}

#[test]
fn boxes_without_nvlink_share_their_host() {
    let law = law(&[(Parameter::FarShare, 0.5), (Parameter::FartherShare, 0.25)]);
    let pcie = Machine {
        nvlink: false,
        ..MACHINE
    };
    let far = |ranks: f64| {
        let asked = call(CollectiveOp::AllGather, ranks, 1.0, 1);
        Prepared::new(&pcie, &asked).asked(&law).far()
    };
    for (ranks, share) in [(2.0, 1.0), (4.0, 0.5), (8.0, 0.125)] {
        assert!((far(ranks) - share).abs() < 1e-12, "{ranks}: {}", far(ranks));
    }
}
