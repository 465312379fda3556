//! Numbers of 8 bits on the CPU: quantisation with a scale per block, and products of what was quantised.

use crate::{Bf16, E4m3};

/// Numbers that share a scale.
const BLOCK: usize = 128;

/// A matrix of 8-bit numbers, row by row, with its scales.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantized {
    /// The numbers.
    pub numbers: Vec<E4m3>,
    /// What a block's numbers are multiplied by, in the order of blocks.
    pub scales: Vec<f32>,
}

/// Largest magnitude over 448, or 1 where all are zero.
fn scale_of(block: impl Iterator<Item = f32>) -> f32 {
    let largest = block.fold(0.0_f32, |largest, value| largest.max(value.abs()));
    if largest > 0.0 { largest / E4m3::MAX } else { 1.0 }
}

/// `fp8_quantize_rows`: a scale per 128 numbers of a row, the last block of a row shorter.
/// Worked: 1 and 2 in a row: the scale is 2/448, the numbers are 224 and 448.
#[must_use]
pub fn quantize_rows(values: &[Bf16], columns: usize) -> Quantized {
    let mut out = Quantized {
        numbers: Vec::with_capacity(values.len()),
        scales: Vec::new(),
    };
    for block in values.chunks_exact(columns).flat_map(|row| row.chunks(BLOCK)) {
        let scale = scale_of(block.iter().map(|value| value.to_f32()));
        out.scales.push(scale);
        out.numbers
            .extend(block.iter().map(|value| E4m3::from_f32(value.to_f32() / scale)));
    }
    out
}

/// `fp8_quantize_tiles`: matrices of `rows` x `columns`, one after the other, with a scale per 128 x 128.
#[must_use]
pub fn quantize_tiles(values: &[Bf16], rows: usize, columns: usize) -> Quantized {
    let mut out = Quantized {
        numbers: vec![E4m3::default(); values.len()],
        scales: Vec::new(),
    };
    for matrix in 0..values.len() / (rows * columns) {
        for (first_row, first_column) in blocks(rows).flat_map(|row| blocks(columns).map(move |c| (row, c))) {
            let inside = (first_row..rows.min(first_row + BLOCK)).flat_map(|row| {
                let line = (matrix * rows + row) * columns;
                line + first_column..line + columns.min(first_column + BLOCK)
            });
            let inside: Vec<usize> = inside.collect();
            let scale = scale_of(inside.iter().map(|&at| values[at].to_f32()));
            out.scales.push(scale);
            for at in inside {
                out.numbers[at] = E4m3::from_f32(values[at].to_f32() / scale);
            }
        }
    }
    out
}

fn blocks(length: usize) -> impl Iterator<Item = usize> {
    (0..length).step_by(BLOCK)
}

/// `moe_gemm_fp8` and its faster kin: 8-bit rows of each expert times its 8-bit weights, summed apart over each block of
/// depth, then scaled. Weights `[experts, columns, depth]` with a scale per 128 x 128.
#[must_use]
pub fn grouped_gemm_fp8(
    input: &Quantized,
    weights: &Quantized,
    expert_start: &[usize],
    columns: usize,
    depth: usize,
) -> Vec<Bf16> {
    let (blocks, column_blocks) = (depth.div_ceil(BLOCK), columns.div_ceil(BLOCK));
    let mut result = Vec::new();
    for (expert, range) in expert_start.windows(2).enumerate() {
        for row in range[0]..range[1] {
            for column in 0..columns {
                let left = &input.numbers[row * depth..(row + 1) * depth];
                let from = (expert * columns + column) * depth;
                let right = &weights.numbers[from..from + depth];
                let sum = (left.chunks(BLOCK).zip(right.chunks(BLOCK)).enumerate()).map(|(block, (a, b))| {
                    let products = a.iter().zip(b).map(|(a, b)| a.to_f32() * b.to_f32());
                    let of_weights = (expert * column_blocks + column / BLOCK) * blocks + block;
                    products.sum::<f32>() * (input.scales[row * blocks + block] * weights.scales[of_weights])
                });
                result.push(Bf16::from_f32(sum.sum()));
            }
        }
    }
    result
}

/// What the numbers stand for, for matrices of `rows` x `columns` with a scale per 128 x 128.
#[must_use]
pub fn dequantize_tiles(quantized: &Quantized, rows: usize, columns: usize) -> Vec<f32> {
    let (row_blocks, column_blocks) = (rows.div_ceil(BLOCK), columns.div_ceil(BLOCK));
    let scale_at = |at: usize| {
        let (matrix, row, column) = (at / (rows * columns), at / columns % rows, at % columns);
        (matrix * row_blocks + row / BLOCK) * column_blocks + column / BLOCK
    };
    let numbers = quantized.numbers.iter().enumerate();
    numbers
        .map(|(at, number)| number.to_f32() * quantized.scales[scale_at(at)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worked_numbers() {
        let values = [1.0, 2.0, 0.0, 0.0].map(Bf16::from_f32);
        let quantized = quantize_rows(&values, 2);
        let numbers: Vec<f32> = quantized.numbers.iter().map(|number| number.to_f32()).collect();
        assert_eq!(numbers, [224.0, 448.0, 0.0, 0.0]);
        assert_eq!(quantized.scales, [2.0 / 448.0, 1.0]);
    }
}
