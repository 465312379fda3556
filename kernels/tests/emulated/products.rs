//! Products of experts, of every architecture but the newest, in bfloats and 8-bit numbers.

use orrery_kernels::Bf16;
use orrery_kernels::catalog::Kernel;
use orrery_kernels::reference::{self, Quantized, quantize_rows, quantize_tiles};

use crate::machine::{Argument, Emulator, Extent, bfloats, bits, int, ints, map, near, poison, read, write};

/// Rows of a box of weights for Hopper.
const WEIGHT_BOX: u32 = 256;
/// Dynamic shared memory of each kind.
const WARP_MEMORY: usize = 98_304;
const HOPPER_MEMORY: usize = 197_120;

/// Experts with rows of all kinds of number: none, one, a tile and some, several tiles.
struct Case {
    rows: Vec<usize>,
    columns: usize,
    depth: usize,
}

impl Case {
    fn starts(&self) -> Vec<usize> {
        reference::scan(&self.rows, 1)
    }

    fn input(&self) -> Vec<Bf16> {
        bfloats("input", self.rows.iter().sum::<usize>() * self.depth)
    }

    fn weights(&self) -> Vec<Bf16> {
        bfloats("weights", self.rows.len() * self.columns * self.depth)
    }
}

/// Rows of a contiguous matrix, each expert's in its own `max_rows` places; the rest is `filling`.
fn spread<T: Clone>(values: &[T], rows: &[usize], max_rows: usize, width: usize, filling: &T) -> Vec<T> {
    let mut spread = vec![filling.clone(); rows.len() * max_rows * width];
    let mut from = 0;
    for (expert, &count) in rows.iter().enumerate() {
        let to = expert * max_rows * width;
        spread[to..to + count * width].clone_from_slice(&values[from..from + count * width]);
        from += count * width;
    }
    spread
}

/// Runs `kernel` over contiguous and over masked rows, and holds both against `expected`.
fn check(emulator: &Emulator, kernel: Kernel, case: &Case, expected: &[Bf16], operands: &Operands<'_>) {
    let width = case.columns;
    let shape = (Extent(3, 1, 1), operands.threads, operands.memory);
    let starts = ints(&case.starts());
    for seed in [1, 2] {
        let mut result = vec![poison(); expected.len()];
        let arguments = operands.arguments(case, &starts, 0, &mut result);
        emulator.run(kernel, shape, seed, arguments);
        near(&format!("{} contiguous", kernel.name()), &result, expected, 0.01);
    }
    let max_rows = case.rows.iter().max().copied().unwrap_or(0) + 3;
    let counts = ints(&case.rows);
    let masked = operands.spread(case, max_rows);
    let mut result = vec![poison(); case.rows.len() * max_rows * width];
    let arguments = masked
        .borrow(operands)
        .arguments(case, &counts, max_rows, &mut result);
    emulator.run(kernel, shape, 3, arguments);
    let expected = spread(expected, &case.rows, max_rows, width, &poison());
    for (at, (got, expected)) in result.iter().zip(&expected).enumerate() {
        assert_eq!(
            *got == poison(),
            *expected == poison(),
            "{} masked, number {at}",
            kernel.name()
        );
    }
    let real = |values: &[Bf16]| -> Vec<Bf16> {
        let kept = values
            .iter()
            .zip(&expected)
            .filter(|(_, expected)| **expected != poison());
        kept.map(|(value, _)| *value).collect()
    };
    near(
        &format!("{} masked", kernel.name()),
        &real(&result),
        &real(&expected),
        0.01,
    );
}

/// What a product takes, in 16 or 8 bits.
enum Values<'a> {
    Bfloats(&'a [Bf16], &'a [Bf16]),
    Quantized(&'a Quantized, &'a Quantized),
}

struct Operands<'a> {
    values: Values<'a>,
    is_hopper: bool,
    threads: u32,
    memory: usize,
}

/// Operands whose rows have been spread over places.
enum Spread {
    Bfloats(Vec<Bf16>),
    Quantized(Quantized),
}

impl Spread {
    const fn borrow<'a>(&'a self, of: &'a Operands<'_>) -> Operands<'a> {
        let values = match (self, &of.values) {
            (Self::Bfloats(input), Values::Bfloats(_, weights)) => Values::Bfloats(input.as_slice(), weights),
            (Self::Quantized(input), Values::Quantized(_, weights)) => Values::Quantized(input, weights),
            _ => panic!("both are of one kind"),
        };
        Operands { values, ..*of }
    }
}

impl Operands<'_> {
    fn spread(&self, case: &Case, max_rows: usize) -> Spread {
        let of = |width: usize| (&case.rows[..], max_rows, width);
        match &self.values {
            Values::Bfloats(input, _) => {
                let (rows, max, width) = of(case.depth);
                Spread::Bfloats(spread(input, rows, max, width, &Bf16::from_f32(7.0)))
            }
            Values::Quantized(input, _) => {
                let (rows, max, width) = of(case.depth);
                let numbers = spread(
                    &input.numbers,
                    rows,
                    max,
                    width,
                    &orrery_kernels::E4m3::from_f32(7.0),
                );
                let scales = spread(&input.scales, rows, max, case.depth.div_ceil(128), &7.0);
                Spread::Quantized(Quantized { numbers, scales })
            }
        }
    }

    fn arguments(&self, case: &Case, rows: &[i32], max_rows: usize, result: &mut [Bf16]) -> Vec<Argument> {
        let operand = |values: &[Bf16], box_rows| match self.is_hopper {
            true => map(values, case.depth, box_rows),
            false => read(values),
        };
        // Leaked: the kernel reads it after this function has returned, and tests are short.
        let eight = |values: &Quantized, box_rows| {
            let bytes: &'static [u8] = Box::leak(bits(&values.numbers).into_boxed_slice());
            match self.is_hopper {
                true => map(bytes, case.depth, box_rows),
                false => read(bytes),
            }
        };
        let mut arguments = match &self.values {
            Values::Bfloats(input, weights) => vec![operand(input, 128), operand(weights, WEIGHT_BOX)],
            Values::Quantized(input, weights) => vec![
                eight(input, 128),
                read(&input.scales),
                eight(weights, WEIGHT_BOX),
                read(&weights.scales),
            ],
        };
        let (experts, columns, depth) = (int(case.rows.len()), int(case.columns), int(case.depth));
        arguments.extend([read(rows), write(result), experts, int(max_rows), columns, depth]);
        arguments
    }
}

/// Depths that end within a stage and that go round the stages; columns that end within a tile.
fn cases(alignment: usize) -> Vec<Case> {
    vec![
        Case {
            rows: vec![3, 0, 131, 1],
            columns: 72,
            depth: 5 * alignment,
        },
        Case {
            rows: vec![140],
            columns: 264,
            depth: 448 + alignment,
        },
    ]
}

fn check_bfloats(kernel: Kernel, is_hopper: bool) {
    let Some(emulator) = Emulator::of(kernel.source()) else {
        return;
    };
    for case in cases(8) {
        let (input, weights) = (case.input(), case.weights());
        let expected = reference::grouped_gemm(&input, &weights, &case.starts(), case.columns, case.depth);
        let operands = Operands {
            values: Values::Bfloats(&input, &weights),
            is_hopper,
            threads: if is_hopper { 384 } else { 256 },
            memory: if is_hopper { HOPPER_MEMORY } else { WARP_MEMORY },
        };
        check(&emulator, kernel, &case, &expected, &operands);
    }
}

fn check_eight_bits(kernel: Kernel, is_hopper: bool) {
    let Some(emulator) = Emulator::of(kernel.source()) else {
        return;
    };
    for case in cases(16) {
        let input = quantize_rows(&case.input(), case.depth);
        let weights = quantize_tiles(&case.weights(), case.columns, case.depth);
        let expected =
            reference::grouped_gemm_fp8(&input, &weights, &case.starts(), case.columns, case.depth);
        let operands = Operands {
            values: Values::Quantized(&input, &weights),
            is_hopper,
            threads: if is_hopper { 384 } else { 256 },
            memory: if is_hopper { HOPPER_MEMORY } else { WARP_MEMORY },
        };
        check(&emulator, kernel, &case, &expected, &operands);
    }
}

#[test]
fn bfloats_on_warps() {
    check_bfloats(Kernel::GemmBf16, false);
}

#[test]
fn eight_bits_on_warps() {
    check_eight_bits(Kernel::GemmFp8, false);
}

#[test]
fn bfloats_on_warpgroups() {
    check_bfloats(Kernel::HopperBf16, true);
}

#[test]
fn eight_bits_on_warpgroups() {
    check_eight_bits(Kernel::HopperFp8, true);
}

#[test]
fn no_rows_at_all_end_at_once() {
    let Some(emulator) = Emulator::of(Kernel::HopperBf16.source()) else {
        return;
    };
    let (values, starts) = (bfloats("values", 64 * 8), [0, 0, 0]);
    let mut result = [poison()];
    let mut arguments = vec![map(&values, 64, 128), map(&values, 64, WEIGHT_BOX), read(&starts)];
    arguments.extend([write(&mut result), int(2), int(0), int(8), int(64)]);
    emulator.run(
        Kernel::HopperBf16,
        (Extent(2, 1, 1), 384, HOPPER_MEMORY),
        1,
        arguments,
    );
    assert_eq!(result[0], poison());
}

#[test]
fn plain_products_and_the_router() {
    let Some(emulator) = Emulator::of(Kernel::GroupedGemm.source()) else {
        return;
    };
    let case = Case {
        rows: vec![70, 0, 5],
        columns: 70,
        depth: 40,
    };
    let (input, weights) = (case.input(), case.weights());
    let starts = ints(&case.starts());
    let expected = reference::grouped_gemm(&input, &weights, &case.starts(), case.columns, case.depth);
    for kernel in [Kernel::GroupedGemm, Kernel::GroupedGemmTensor] {
        let mut result = vec![poison(); expected.len()];
        let mut arguments = vec![read(&input), read(&weights), read(&starts), write(&mut result)];
        arguments.extend([int(3), int(case.columns), int(case.depth)]);
        let tiles = 75_usize.div_ceil(64) + 3;
        emulator.run(kernel, (Extent(2, tiles as u32, 1), 256, 0), 1, arguments);
        near(kernel.name(), &result, &expected, 0.01);
    }
    let Some(emulator) = Emulator::of(Kernel::Router.source()) else {
        return;
    };
    let (tokens, experts, hidden) = (130, 20, 72);
    let (activations, weights) = (
        bfloats("activations", tokens * hidden),
        bfloats("router", experts * hidden),
    );
    let mut logits = vec![f32::NAN; tokens * experts];
    let mut arguments = vec![read(&activations), read(&weights), write(&mut logits)];
    arguments.extend([int(tokens), int(experts), int(hidden)]);
    emulator.run(Kernel::Router, (Extent(1, 2, 1), 256, WARP_MEMORY), 1, arguments);
    for (got, expected) in logits
        .iter()
        .zip(reference::router(&activations, &weights, hidden))
    {
        assert!((got - expected).abs() < 1e-3, "{got}, {expected}");
    }
}
