//! Results against the CPU on sampled rows: what must hold before a time is published. No device here.
//!
//! Each check takes what a kernel was given and what it left, and computes a few rows again by the
//! [`reference`](mod@crate::reference). A result that is wrong has no time.

use orrery_operation::CollectiveOp;

use crate::Bf16;
use crate::reference::{self, Permutation};

/// Rows of which every number is computed again.
pub const SAMPLED_ROWS: usize = 4;

/// Most relative error of a product: of bfloats, and of 8-bit numbers.
pub const ALLOWED: (f64, f64) = (1e-2, 4e-2);

/// Most relative error of a pass that computes: its result is rounded to a bfloat once, by half of 2^-8 at most, and its
/// exponential is the device's own.
pub const ALLOWED_OF_PASSES: f64 = 5e-3;

/// A result that is not what the CPU computes.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "`{what}` is wrong: relative error {error:.2e}, at most {allowed:.0e} is allowed\n  = help: this is a fault of the kernel or of the device; no number of it is kept"
)]
pub struct Wrong {
    /// What was computed.
    pub what: &'static str,
    /// Frobenius norm of the difference over that of the truth, on sampled rows; of copies the share that differs.
    pub error: f64,
    /// The most.
    pub allowed: f64,
}

/// The sampled ones of `rows` rows: the first, the last, and evenly between; all of them where there are few.
pub fn sampled(rows: usize) -> impl Iterator<Item = usize> {
    let count = rows.min(SAMPLED_ROWS);
    (0..count).map(move |sample| sample * (rows - 1) / (count - 1).max(1))
}

/// Frobenius norm of the difference over that of the truth, of pairs of what came and what is true, if it is no more than
/// allowed.
///
/// # Errors
/// When it is more, or no number.
pub fn within(
    what: &'static str,
    pairs: impl Iterator<Item = (f64, f64)>,
    allowed: f64,
) -> Result<f64, Wrong> {
    let (mut difference, mut norm) = (0.0, 0.0);
    for (got, truth) in pairs {
        difference += (got - truth) * (got - truth);
        norm += truth * truth;
    }
    let error = (difference / norm.max(f64::MIN_POSITIVE)).sqrt();
    if error <= allowed {
        Ok(error)
    } else {
        Err(Wrong { what, error, allowed })
    }
}

/// Zero, if both are the same bits.
///
/// # Errors
/// When they are not: the error is the share that differs.
pub fn same<T: PartialEq>(what: &'static str, got: &[T], truth: &[T]) -> Result<f64, Wrong> {
    if got == truth {
        return Ok(0.0);
    }
    let differ = got.iter().zip(truth).filter(|(got, truth)| got != truth).count();
    let count = got.len().max(truth.len());
    #[expect(clippy::cast_precision_loss, reason = "buffers are far below 2^53")]
    let error = (differ + got.len().abs_diff(truth.len())) as f64 / count.max(1) as f64;
    Err(Wrong {
        what,
        error,
        allowed: 0.0,
    })
}

/// `bandwidth_read`: what sampled blocks of `threads` threads left, the exclusive-or of every word that they read.
///
/// # Errors
/// When a block left something else.
pub fn read(words: &[u32], of_block: &[u32], threads: usize) -> Result<f64, Wrong> {
    let blocks = of_block.len();
    let (got, truth): (Vec<u32>, Vec<u32>) = sampled(blocks)
        .map(|block| (of_block[block], mixed(words, block, blocks, threads)))
        .unzip();
    same("read", &got, &truth)
}

/// Exclusive-or of the words of every piece (of 4 words) that `block` reads: each thread takes every so many pieces.
fn mixed(words: &[u32], block: usize, blocks: usize, threads: usize) -> u32 {
    let rounds = words.chunks(4 * blocks * threads);
    let own = rounds.map(|round| {
        let from = (4 * block * threads).min(round.len());
        &round[from..(4 * (block + 1) * threads).min(round.len())]
    });
    own.flatten().fold(0, |mixed, word| mixed ^ word)
}

/// `moe_swiglu` of rows `[rows, 2 inner]`.
///
/// # Errors
/// When a sampled row is wrong.
pub fn swiglu(gate_and_up: &[Bf16], activated: &[Bf16], inner: usize) -> Result<f64, Wrong> {
    let pairs = sampled(activated.len() / inner).flat_map(|row| {
        let truth = reference::swiglu(&gate_and_up[2 * row * inner..2 * (row + 1) * inner], inner);
        paired(&activated[row * inner..(row + 1) * inner], truth)
    });
    within("SwiGLU", pairs, ALLOWED_OF_PASSES)
}

/// `moe_gather` of activations `[tokens, hidden]`: sampled rows are the same bits.
///
/// # Errors
/// When a sampled row is wrong.
pub fn gather(
    activations: &[Bf16],
    slot_of_row: &[i32],
    permuted: &[Bf16],
    (top_k, hidden): (usize, usize),
) -> Result<f64, Wrong> {
    let (mut got, mut truth) = (Vec::new(), Vec::new());
    for row in sampled(permuted.len() / hidden) {
        let slot = usize::try_from(slot_of_row[row]).expect("every row has a slot");
        let of_row = Permutation {
            slot_of_row: vec![slot],
            row_of_slot: Vec::new(),
            expert_start: Vec::new(),
        };
        got.extend_from_slice(&permuted[row * hidden..(row + 1) * hidden]);
        truth.extend(reference::gather(activations, &of_row, top_k, hidden));
    }
    same("permutation", &got, &truth)
}

/// `moe_combine` into `[tokens, hidden]`; a slot whose row is negative has none.
///
/// # Errors
/// When a sampled token is wrong.
pub fn combine(
    rows: &[Bf16],
    row_of_slot: &[i32],
    weights: &[f32],
    combined: &[Bf16],
    (top_k, hidden): (usize, usize),
) -> Result<f64, Wrong> {
    let pairs = sampled(combined.len() / hidden).flat_map(|token| {
        let slots = token * top_k..(token + 1) * top_k;
        let of_token = Permutation {
            row_of_slot: (row_of_slot[slots.clone()].iter())
                .map(|&row| usize::try_from(row).ok())
                .collect(),
            slot_of_row: Vec::new(),
            expert_start: Vec::new(),
        };
        let truth = reference::combine(rows, &of_token, &weights[slots], top_k, hidden);
        paired(&combined[token * hidden..(token + 1) * hidden], truth)
    });
    within("combination", pairs, ALLOWED_OF_PASSES)
}

/// The number at `at` of what `rank` of `ranks` ends with, where rank `r` gives `input(r, i)` at `i` and a call counts
/// `count` numbers: the whole buffer, or a rank's part of it. A message goes to the next rank; the root is rank 0.
#[must_use]
pub fn exchanged(
    op: CollectiveOp,
    (rank, ranks): (usize, usize),
    count: usize,
    at: usize,
    input: &dyn Fn(usize, usize) -> f64,
) -> f64 {
    let sum = |at: usize| (0..ranks).map(|each| input(each, at)).sum();
    match op {
        CollectiveOp::AllReduce | CollectiveOp::Reduce => sum(at),
        CollectiveOp::ReduceScatter => sum(rank * count + at),
        CollectiveOp::AllGather => input(at / count, at % count),
        CollectiveOp::AllToAll => input(at / count, rank * count + at % count),
        CollectiveOp::SendRecv => input((rank + ranks - 1) % ranks, at),
        CollectiveOp::Broadcast => input(0, at),
    }
}

fn paired(got: &[Bf16], truth: Vec<Bf16>) -> impl Iterator<Item = (f64, f64)> {
    let number = |value: Bf16| f64::from(value.to_f32());
    let got: Vec<f64> = got.iter().map(|&got| number(got)).collect();
    got.into_iter().zip(truth.into_iter().map(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_row_are_sampled() {
        let of = |rows| sampled(rows).collect::<Vec<usize>>();
        assert_eq!(of(0), Vec::<usize>::new());
        assert_eq!(of(1), [0]);
        assert_eq!(of(3), [0, 1, 2]);
        assert_eq!(of(100), [0, 33, 66, 99]);
    }

    #[test]
    fn an_error_beyond_what_is_allowed_is_told_and_no_number_is_wrong() {
        let pairs = |got: f64| [(1.0, 1.0), (got, 2.0)].into_iter();
        assert_eq!(within("it", pairs(2.0), 0.0), Ok(0.0));
        let error = within("it", pairs(2.1), 0.05).unwrap();
        assert!((error - 0.1 / 5.0_f64.sqrt()).abs() < 1e-12, "{error}");
        let wrong = within("it", pairs(2.2), 0.05).unwrap_err().to_string();
        assert!(
            wrong.starts_with("`it` is wrong: relative error 8.94e-2, at most 5e-2"),
            "{wrong}"
        );
        assert!(within("it", pairs(f64::NAN), 1.0).is_err());
    }

    /// Three ranks of two numbers each, `10 rank + index`, by hand.
    #[test]
    fn exchanges_worked_by_hand() {
        let input = |rank: usize, at: usize| (10 * rank + at) as f64;
        let ends = |op, rank, count, length: usize| -> Vec<f64> {
            (0..length)
                .map(|at| exchanged(op, (rank, 3), count, at, &input))
                .collect()
        };
        assert_eq!(ends(CollectiveOp::AllReduce, 1, 2, 2), [30.0, 33.0]);
        assert_eq!(
            ends(CollectiveOp::AllGather, 1, 2, 6),
            [0.0, 1.0, 10.0, 11.0, 20.0, 21.0]
        );
        // Inputs of six numbers each.
        assert_eq!(ends(CollectiveOp::ReduceScatter, 1, 2, 2), [36.0, 39.0]);
        assert_eq!(
            ends(CollectiveOp::AllToAll, 1, 2, 6),
            [2.0, 3.0, 12.0, 13.0, 22.0, 23.0]
        );
        assert_eq!(ends(CollectiveOp::SendRecv, 0, 2, 2), [20.0, 21.0]);
    }

    /// The slow twin walks every piece as the kernel does.
    #[test]
    fn blocks_mix_what_they_read() {
        let words: Vec<u32> = (0..4 * 50_u32)
            .map(|word| word.wrapping_mul(2_654_435_761))
            .collect();
        let (blocks, threads) = (3, 7);
        let mut of_block = vec![0; blocks];
        for piece in 0..words.len() / 4 {
            let block = piece % (blocks * threads) / threads;
            for word in &words[4 * piece..4 * piece + 4] {
                of_block[block] ^= word;
            }
        }
        assert_eq!(read(&words, &of_block, threads), Ok(0.0));
        of_block[1] ^= 1;
        let wrong = read(&words, &of_block, threads).unwrap_err();
        assert!((wrong.error - 1.0 / 3.0).abs() < 1e-12, "{wrong}");
        assert!(read(&words, &[0; 3], threads).is_err(), "nothing was read");
    }
}
