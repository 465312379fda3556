//! Quantisation, alone and after the activation.

use orrery_kernels::Bf16;
use orrery_kernels::catalog::Kernel;
use orrery_kernels::reference::{self, Quantized};

use crate::machine::{Emulator, Extent, bfloats, bits, int, read, write};

/// Numbers of every size that bfloats have, zeros among them.
fn wild(count: usize) -> Vec<Bf16> {
    let values = bfloats("wild", count);
    let scaled = values.iter().enumerate().map(|(at, value)| {
        let power = i32::try_from(at % 23).expect("it is small") - 11;
        if at % 17 == 3 {
            0.0
        } else {
            value.to_f32() * 2_f32.powi(power)
        }
    });
    scaled.map(Bf16::from_f32).collect()
}

fn check(said: &str, numbers: &[u8], scales: &[f32], expected: &Quantized) {
    assert_eq!(scales, expected.scales, "{said}");
    assert_eq!(numbers, bits(&expected.numbers), "{said}");
}

#[test]
fn rows_and_tiles_are_quantised_to_the_bit() {
    let Some(emulator) = Emulator::of(Kernel::QuantizeRows.source()) else {
        return;
    };
    for columns in [256, 132, 128, 40, 7] {
        let rows = 5;
        let mut values = wild(rows * columns);
        values[..columns].fill(Bf16::ZERO);
        let (mut numbers, mut scales) = (
            vec![0x55_u8; rows * columns],
            vec![f32::NAN; rows * columns.div_ceil(128)],
        );
        let mut arguments = vec![read(&values), write(&mut numbers), write(&mut scales)];
        arguments.extend([int(rows), int(columns)]);
        emulator.run(Kernel::QuantizeRows, (Extent(6, 1, 1), 256, 0), 1, arguments);
        check(
            &format!("{columns} wide"),
            &numbers,
            &scales,
            &reference::quantize_rows(&values, columns),
        );
    }
    for (rows, columns) in [(130, 200), (64, 129), (128, 128)] {
        let matrices = 2;
        let values = wild(matrices * rows * columns);
        let blocks = (columns.div_ceil(128), rows.div_ceil(128));
        let mut numbers = vec![0x55_u8; values.len()];
        let mut scales = vec![f32::NAN; matrices * blocks.0 * blocks.1];
        let mut arguments = vec![read(&values), write(&mut numbers), write(&mut scales)];
        arguments.extend([int(rows), int(columns)]);
        let grid = Extent(blocks.0 as u32, blocks.1 as u32, matrices as u32);
        emulator.run(Kernel::QuantizeTiles, (grid, 256, 0), 1, arguments);
        let expected = reference::quantize_tiles(&values, rows, columns);
        check(&format!("{rows} x {columns}"), &numbers, &scales, &expected);
    }
}

/// One kernel gives what two give.
#[test]
fn activation_with_quantisation_is_both_in_turn() {
    let Some(emulator) = Emulator::of(Kernel::SwigluFp8.source()) else {
        return;
    };
    for inner in [256, 136] {
        let rows = 4;
        let gate_and_up = bfloats("gate and up", rows * 2 * inner);
        let starts = [0, rows as i32];
        let mut numbers = vec![0x55_u8; rows * inner];
        let mut scales = vec![f32::NAN; rows * inner.div_ceil(128)];
        let mut arguments = vec![
            read(&gate_and_up),
            read(&starts),
            write(&mut numbers),
            write(&mut scales),
        ];
        arguments.extend([int(1), int(inner)]);
        emulator.run(Kernel::SwigluFp8, (Extent(5, 1, 1), 64, 0), 1, arguments);
        let expected = reference::quantize_rows(&reference::swiglu(&gate_and_up, inner), inner);
        check(&format!("{inner} wide"), &numbers, &scales, &expected);
    }
}
