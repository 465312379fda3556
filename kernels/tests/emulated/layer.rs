//! The forward path but its products: gates, permutation, activation, combination.

use orrery_kernels::Bf16;
use orrery_kernels::catalog::Kernel;
use orrery_kernels::reference::{self, GateRule, GroupLimit, Permutation, Routing, Scoring};
use orrery_kernels::verify;

use crate::machine::{
    Argument, Emulator, Extent, NULL, bfloats, floats, int, ints, near, poison, read, write,
};

const TOKENS: usize = 13;
const EXPERTS: usize = 24;

fn rule(scoring: Scoring) -> GateRule {
    GateRule {
        scoring,
        top_k: 4,
        normalize: true,
        scale: 2.5,
    }
}

fn check_routing(said: &str, chosen: &[i32], weights: &[f32], expected: &Routing) {
    assert_eq!(chosen, ints(&expected.experts), "{said}");
    for (got, expected) in weights.iter().zip(&expected.weights) {
        assert!(
            (got - expected).abs() <= 1e-5 * expected.abs(),
            "{said}: {got}, {expected}"
        );
    }
}

#[test]
fn gates_choose_as_the_reference_does() {
    let Some(emulator) = Emulator::of(Kernel::GateSoftmax.source()) else {
        return;
    };
    let logits = floats("logits", TOKENS * EXPERTS, 3.0);
    let bias = floats("bias", EXPERTS, 0.4);
    let grid = (Extent(TOKENS.div_ceil(4) as u32, 1, 1), 128, 0);
    let run = |kernel: Kernel, bias: Option<&[f32]>, groups: Option<GroupLimit>, rule: &GateRule| {
        let (mut chosen, mut weights) = (vec![-1; TOKENS * rule.top_k], vec![f32::NAN; TOKENS * rule.top_k]);
        let mut arguments = vec![read(&logits)];
        if kernel != Kernel::GateSoftmax {
            arguments.push(bias.map_or(NULL, read));
        }
        arguments.extend([write(&mut chosen), write(&mut weights), int(TOKENS), int(EXPERTS)]);
        if let Some(limit) = groups {
            arguments.extend([int(limit.groups), int(limit.kept)]);
        }
        arguments.extend([
            int(rule.top_k),
            int(rule.normalize.into()),
            Argument::Float(rule.scale),
        ]);
        emulator.run(kernel, grid, 1, arguments);
        (chosen, weights)
    };
    let softmax = rule(Scoring::Softmax);
    let (chosen, weights) = run(Kernel::GateSoftmax, None, None, &softmax);
    check_routing(
        "softmax",
        &chosen,
        &weights,
        &reference::gate(&logits, EXPERTS, &softmax),
    );
    let sigmoid = rule(Scoring::Sigmoid { bias: bias.clone() });
    let (chosen, weights) = run(Kernel::GateSigmoid, Some(&bias), None, &sigmoid);
    check_routing(
        "sigmoid",
        &chosen,
        &weights,
        &reference::gate(&logits, EXPERTS, &sigmoid),
    );
    let plain = rule(Scoring::Sigmoid {
        bias: vec![0.0; EXPERTS],
    });
    let (chosen, weights) = run(Kernel::GateSigmoid, None, None, &plain);
    check_routing(
        "without bias",
        &chosen,
        &weights,
        &reference::gate(&logits, EXPERTS, &plain),
    );
    for limit in [(8, 3), (4, 2), (12, 12), (2, 1)].map(|(groups, kept)| GroupLimit { groups, kept }) {
        let (chosen, weights) = run(Kernel::GateGroups, Some(&bias), Some(limit), &sigmoid);
        let expected = reference::gate_groups(&logits, EXPERTS, &sigmoid, limit);
        check_routing(&format!("{limit:?}"), &chosen, &weights, &expected);
    }
}

/// What a kernel left passes the check before its time is taken, and with its last number changed it does not.
fn is_checked(left: &mut [Bf16], check: impl Fn(&[Bf16]) -> Result<f64, verify::Wrong>) {
    let error = check(left).expect("it is right");
    assert!(error <= verify::ALLOWED_OF_PASSES, "{error}");
    let last = left.last_mut().expect("there are numbers");
    let was = std::mem::replace(last, Bf16::from_f32(last.to_f32() + 10.0));
    let wrong = check(left).expect_err("it is wrong");
    assert!(wrong.error > wrong.allowed, "{wrong}");
    *left.last_mut().expect("there are numbers") = was;
}

#[test]
fn gumbel_noise_is_keyed() {
    let Some(emulator) = Emulator::of(Kernel::Gumbel.source()) else {
        return;
    };
    let logits = floats("logits", TOKENS * EXPERTS, 3.0);
    let mut noisy = vec![f32::NAN; logits.len()];
    let arguments = vec![
        read(&logits),
        write(&mut noisy),
        int(TOKENS),
        int(EXPERTS),
        Argument::Float(0.7),
        Argument::UnsignedLong(99),
    ];
    emulator.run(Kernel::Gumbel, (Extent(2, 1, 1), 64, 0), 1, arguments);
    for (got, expected) in noisy.iter().zip(reference::gumbel(&logits, EXPERTS, 0.7, 99)) {
        assert!((got - expected).abs() < 1e-4, "{got}, {expected}");
    }
}

/// Counts, offsets, rows and copies; widths with and without pieces of 16 bytes.
#[test]
fn slots_are_sorted_and_rows_copied() {
    let Some(emulator) = Emulator::of(Kernel::Count.source()) else {
        return;
    };
    // More than two blocks of 256 slots, and an expert that overflows.
    let (tokens, experts, top_k) = (150, 5, 4);
    let slots = tokens * top_k;
    let chosen: Vec<usize> = (0..slots).map(|slot| slot * slot % 7 % experts).collect();
    let chosen_ints = ints(&chosen);
    let blocks = slots.div_ceil(256);
    for capacity in [usize::MAX, 100, 0] {
        let expected = reference::permute(&chosen, experts, capacity);
        let capacity = capacity.min(1 << 20);
        let mut counts = vec![-1; blocks * experts];
        let mut starts = vec![-1; experts + 1];
        let (mut row_of_slot, mut slot_of_row) = (vec![-9; slots], vec![-9; slots]);
        let grid = (Extent(blocks as u32, 1, 1), 256, 0);
        let count = vec![read(&chosen_ints), write(&mut counts), int(slots), int(experts)];
        emulator.run(Kernel::Count, grid, 2, count);
        let offsets = vec![
            write(&mut counts),
            write(&mut starts),
            int(blocks),
            int(experts),
            int(capacity),
        ];
        emulator.run(Kernel::Offsets, (Extent(1, 1, 1), 256, 0), 2, offsets);
        let scatter = vec![
            read(&chosen_ints),
            read(&counts),
            read(&starts),
            write(&mut row_of_slot),
            write(&mut slot_of_row),
            int(slots),
            int(experts),
            int(capacity),
        ];
        emulator.run(Kernel::Scatter, grid, 2, scatter);
        check_permutation(&expected, &starts, &row_of_slot, &slot_of_row);
        for hidden in [16, 10] {
            let activations = bfloats("activations", tokens * hidden);
            let mut rows = vec![poison(); slots * hidden];
            let gather = vec![
                read(&activations),
                read(&slot_of_row),
                read(&starts),
                write(&mut rows),
                int(experts),
                int(top_k),
                int(hidden),
            ];
            emulator.run(Kernel::Gather, (Extent(slots as u32, 1, 1), 256, 0), 2, gather);
            let copied = reference::gather(&activations, &expected, top_k, hidden);
            assert_eq!(&rows[..copied.len()], copied, "{hidden} wide");
            if !copied.is_empty() {
                let check = |rows: &[Bf16]| verify::gather(&activations, &slot_of_row, rows, (top_k, hidden));
                is_checked(&mut rows[..copied.len()], check);
            }
            assert!(
                rows[copied.len()..].iter().all(|row| *row == poison()),
                "no row beyond the last"
            );
        }
    }
}

fn check_permutation(expected: &Permutation, starts: &[i32], row_of_slot: &[i32], slot_of_row: &[i32]) {
    assert_eq!(starts, ints(&expected.expert_start), "starts");
    let rows: Vec<i32> = (expected.row_of_slot.iter())
        .map(|row| row.map_or(-1, |row| i32::try_from(row).expect("tests are small")))
        .collect();
    assert_eq!(row_of_slot, rows, "rows");
    assert_eq!(
        &slot_of_row[..expected.slot_of_row.len()],
        ints(&expected.slot_of_row),
        "slots"
    );
}

#[test]
fn histogram_and_scan() {
    let Some(emulator) = Emulator::of(Kernel::Histogram.source()) else {
        return;
    };
    let experts = 40;
    let chosen: Vec<usize> = (0..777_usize).map(|slot| slot * slot % 61 % experts).collect();
    let expected = reference::histogram(&chosen, experts);
    let chosen = ints(&chosen);
    let (mut counts, mut starts) = (vec![0; experts], vec![-1; experts + 1]);
    let histogram = vec![read(&chosen), write(&mut counts), int(chosen.len()), int(experts)];
    emulator.run(
        Kernel::Histogram,
        (Extent(3, 1, 1), 64, 4 * experts),
        3,
        histogram,
    );
    assert_eq!(counts, ints(&expected));
    for alignment in [1, 128] {
        let scan = vec![read(&counts), write(&mut starts), int(experts), int(alignment)];
        emulator.run(Kernel::Scan, (Extent(1, 1, 1), 1024, 0), 3, scan);
        assert_eq!(starts, ints(&reference::scan(&expected, alignment)));
    }
}

#[test]
fn swiglu_and_combine_in_pieces_and_one_by_one() {
    let Some(emulator) = Emulator::of(Kernel::Swiglu.source()) else {
        return;
    };
    for inner in [24, 9] {
        let rows = 5;
        let gate_and_up = bfloats("gate and up", rows * 2 * inner);
        let mut activated = vec![poison(); (rows + 1) * inner];
        let starts = [0, 2, rows as i32];
        let arguments = vec![
            read(&gate_and_up),
            read(&starts),
            write(&mut activated),
            int(2),
            int(inner),
        ];
        emulator.run(Kernel::Swiglu, (Extent(6, 1, 1), 32, 0), 4, arguments);
        near(
            "swiglu",
            &activated[..rows * inner],
            &reference::swiglu(&gate_and_up, inner),
            0.005,
        );
        assert!(
            activated[rows * inner..].iter().all(|value| *value == poison()),
            "nothing beyond"
        );
        is_checked(&mut activated[..rows * inner], |activated| {
            verify::swiglu(&gate_and_up, activated, inner)
        });
    }
    let Some(emulator) = Emulator::of(Kernel::Combine.source()) else {
        return;
    };
    for hidden in [40, 11] {
        let (tokens, top_k) = (7, 3);
        let chosen: Vec<usize> = (0..tokens * top_k).map(|slot| slot % 5).collect();
        let permutation = reference::permute(&chosen, 5, 3);
        let rows: Vec<Bf16> = bfloats("rows", permutation.slot_of_row.len() * hidden);
        let weights = floats("weights", tokens * top_k, 1.0);
        let row_of_slot: Vec<i32> = (permutation.row_of_slot.iter())
            .map(|row| row.map_or(-1, |row| i32::try_from(row).expect("tests are small")))
            .collect();
        let mut combined = vec![poison(); tokens * hidden];
        let arguments = vec![
            read(&rows),
            read(&row_of_slot),
            read(&weights),
            write(&mut combined),
            int(top_k),
            int(hidden),
        ];
        emulator.run(
            Kernel::Combine,
            (Extent(tokens as u32, 1, 1), 32, 0),
            5,
            arguments,
        );
        let expected = reference::combine(&rows, &permutation, &weights, top_k, hidden);
        near("combine", &combined, &expected, 0.005);
        is_checked(&mut combined, |combined| {
            verify::combine(&rows, &row_of_slot, &weights, combined, (top_k, hidden))
        });
    }
}
