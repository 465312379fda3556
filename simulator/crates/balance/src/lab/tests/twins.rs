//! The fast ways of the laboratory against the slow ones: steps one by one, and the narrowest vectors.

use super::*;
use crate::placement::LayerPlacement;

/// The slow twin, step by step, over plans that fall within eight steps, replicas that travel beside the steps, windows
/// that begin in between, estimates that forget, updates of training and batches that are balanced one by one.
#[test]
fn steps_side_by_side_are_those_one_by_one() {
    let process = steady(3, 16_384);
    let machine = Machine {
        training: Some(Update {
            steps: 3,
            gradients: Bytes::new(88_080_384),
        }),
        ..machine()
    };
    let beside = Control {
        window: 11,
        layers_per_chunk: 2,
        ..every(13, Migration::Overlapped { share: 0.25 })
    };
    let forgets = Control {
        estimator: Estimator::Ewma { half_life: 4.0 },
        ..every(7, Migration::Blocking)
    };
    let contenders = [
        contender("static", Algorithm::Contiguous, Control::never()),
        contender("beside", Algorithm::EplbHierarchical, beside),
        contender("forgets", Algorithm::EplbGlobal, forgets),
        contender("variance", Algorithm::FlashLb, every(10, Migration::Blocking)),
    ];
    let near = [Dispatch::Nearest, Dispatch::LinearProgram].map(|dispatch| {
        let control = every(20, Migration::Blocking);
        [Contender {
            dispatch,
            ..contender("near", Algorithm::EplbGlobal, control)
        }]
    });
    for contenders in [&contenders[..], &near[0], &near[1]] {
        let question = Question {
            process: &process,
            steps: 83,
            contenders,
            machine: &machine,
            seed: Seed::new(3),
        };
        let fast = question.run(|_| Ok(())).unwrap();
        let slow = question.side_by_side::<1>(&mut |_| Ok(())).unwrap();
        assert!(fast == slow, "{}", contenders[0].id);
    }
}

/// Wide vectors against those that every processor has.
#[test]
fn times_are_those_of_every_processor() {
    use pulp::{Arch, Scalar, WithSimd as _};
    let (machine, sources) = (machine(), TokenSources::even(32, 8));
    let slots: Vec<usize> = (0..288).map(|slot| slot * 7 % 256).collect();
    let nodes = Sources {
        devices_per_node: 8,
        shares: &[],
    };
    let mut counts = vec![[0.0_f32; 3]; 256];
    for (at, count) in counts.as_flattened_mut().iter_mut().enumerate() {
        *count = f32::from(u16::try_from(at * at % 9973).unwrap());
    }
    for dispatch in [Dispatch::RoundRobin, Dispatch::Nearest] {
        let placement = LayerPlacement::even(slots.clone(), 256, 32);
        let compiled = Compiled::new(placement, dispatch, &[], nodes);
        let (mut wide, mut narrow) = (Loads::default(), Loads::default());
        let timing = |scratch| compiled::Timing {
            compiled: &compiled,
            counts: &counts,
            sources: &sources,
            machine: &machine,
            links: 0.75,
            scratch,
        };
        assert_eq!(
            Arch::new().dispatch(timing(&mut wide)),
            timing(&mut narrow).with_simd(Scalar)
        );
    }
}
