//! What is read of the trace, by hand.

use super::super::table::parse;
use super::*;

#[test]
fn phases_span_their_streams() {
    let text =
        "idx,phase,stream,gpu_start_us,gpu_end_us\n0,mlp(W),7,10,30\n0,mlp(W),23,20,50\n1,mlp(W),7,60,80\n";
    let table = parse(text).expect("it is a table");
    let phases = read::phases(&table).expect("it is a table of phases");
    let of = |name: &str| {
        phases
            .iter()
            .find(|(phase, _)| phase == name)
            .map(|(_, seconds)| *seconds)
    };
    assert!(
        (of("mlp(W)").expect("it is there") - 30e-6).abs() < 1e-12,
        "{phases:?}"
    );
    assert!(
        (of(PAIR).expect("it is there") - 70e-6).abs() < 1e-12,
        "{phases:?}"
    );
}

#[test]
fn notifications_hide_nothing() {
    let text = "phase,kernel,sum_us,overlap_frac\n\
                dispatch(F),ep.internode.dispatch<false>,100,0.9\n\
                combine(F),ep.internode.combine<bf16>,300,1.0\n\
                combine(F),ep.internode.cached_notify,500,0.1\n";
    let table = parse(text).expect("it is a table");
    let hidden = read::hidden(&table).expect("it is a table of kernels");
    assert!((hidden[0].1 - 0.975).abs() < 1e-12, "{hidden:?}");
}

#[test]
fn the_embedded_scenario_loads() {
    assert_eq!(trace_plan().layout.world(), 256);
}
