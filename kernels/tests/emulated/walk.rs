//! Tiles and the places of shared memory: the functions of `grouping.cuh` against an obvious model.

use std::collections::BTreeMap;
use std::path::Path;

use crate::machine::{Emulator, ints};

const TEXT: &str = r#"#include "emulator.hpp"
#include "grouping.cuh"
extern "C" int walk(const int *rows, int max_rows, int experts, int columns, int first, int stride, int *tiles) {
    TileWalk<128, 256, 8> walk;
    walk.start(rows, max_rows, experts, columns, first, stride);
    Tile tile;
    int count = 0;
    for (; walk.next(tile); ++count) {
        int fields[4] = {tile.expert, tile.first_row, tile.end_row, tile.first_column};
        std::memcpy(tiles + 4 * count, fields, sizeof fields);
    }
    return count;
}
extern "C" int place(int row, int byte) { return swizzled(row, byte); }
"#;

type Walk = unsafe extern "C" fn(*const i32, i32, i32, i32, i32, i32, *mut i32) -> i32;
type Place = unsafe extern "C" fn(i32, i32) -> i32;

fn emulator() -> Option<Emulator> {
    Emulator::build(Path::new(env!("CARGO_MANIFEST_DIR")), TEXT, "walk", "")
}

fn tiles(
    walk: Walk,
    rows: &[i32],
    max_rows: i32,
    experts: usize,
    columns: i32,
    blocks: i32,
) -> Vec<[i32; 4]> {
    let mut all = Vec::new();
    for first in 0..blocks {
        let mut found = vec![0; 4 * 4096];
        let experts = i32::try_from(experts).expect("there are few");
        // SAFETY: the tables are as long as the layout says, and no case has more tiles than fit.
        let count = unsafe {
            walk(
                rows.as_ptr(),
                max_rows,
                experts,
                columns,
                first,
                blocks,
                found.as_mut_ptr(),
            )
        };
        all.extend(
            found[..4 * usize::try_from(count).expect("a count")]
                .as_chunks::<4>()
                .0,
        );
    }
    all
}

/// Every row and column of every expert is in one tile, whatever the number of blocks.
#[test]
fn tiles_cover_every_expert_once() {
    let Some(emulator) = emulator() else { return };
    let walk: Walk = emulator.function("walk");
    for (rows, columns) in [
        (vec![0, 5, 0, 1300, 128, 129, 0], 600),
        (vec![1], 8),
        (vec![0, 0], 256),
        (vec![4096; 3], 4096),
    ] {
        let starts = orrery_kernels::reference::scan(&rows, 1);
        for (table, max_rows) in [(ints(&starts), 0), (ints(&rows), 5000)] {
            for blocks in [1, 7, 132] {
                let mut seen: BTreeMap<(i32, i32), i32> = BTreeMap::new();
                for [expert, first, end, column] in tiles(walk, &table, max_rows, rows.len(), columns, blocks)
                {
                    assert!(
                        column % 256 == 0 && column < columns && end - first <= 128,
                        "{expert} {first}"
                    );
                    for row in first..end {
                        *seen.entry((row, column)).or_default() += 1;
                        let expert = usize::try_from(expert).unwrap();
                        let own = if max_rows > 0 {
                            expert * 5000
                        } else {
                            starts[expert]
                        };
                        let row = usize::try_from(row).unwrap();
                        assert!((own..own + rows[expert]).contains(&row), "row {row} of {expert}");
                    }
                }
                let expected = rows.iter().sum::<usize>() * (columns as usize).div_ceil(256);
                assert_eq!(seen.len(), expected, "{rows:?}, {blocks} blocks");
                assert!(seen.values().all(|&times| times == 1), "no tile twice");
            }
        }
    }
}

/// Blocks that run together share their columns of weights: a band of 8 row tiles comes before the next column.
#[test]
fn rows_vary_fastest_within_a_band() {
    let Some(emulator) = emulator() else { return };
    let order = tiles(emulator.function("walk"), &[0, 1280], 0, 1, 512, 1);
    let firsts: Vec<(i32, i32)> = order.iter().map(|tile| (tile[1] / 128, tile[3] / 256)).collect();
    let band = |rows: std::ops::Range<i32>| {
        (0..2).flat_map(move |column| rows.clone().map(move |row| (row, column)))
    };
    let expected: Vec<(i32, i32)> = band(0..8).chain(band(8..10)).collect();
    assert_eq!(firsts, expected);
}

/// No two rows of an eight share a bank for the same 16 bytes, and every byte has its own place.
#[test]
fn swizzling_moves_pieces_within_their_row() {
    let Some(emulator) = emulator() else { return };
    let place: Place = emulator.function("place");
    let mut taken = [false; 16 * 128];
    for row in 0..16 {
        for byte in 0..128 {
            // SAFETY: a function of two integers.
            let at = usize::try_from(unsafe { place(row, byte) }).unwrap();
            assert_eq!(at / 128, usize::try_from(row).unwrap());
            assert_eq!(at % 16, usize::try_from(byte % 16).unwrap());
            assert!(!std::mem::replace(&mut taken[at], true), "row {row}, byte {byte}");
        }
    }
    for byte in (0..128).step_by(16) {
        // SAFETY: as above.
        let mut banks: Vec<i32> = (0..8).map(|row| unsafe { place(row, byte) } % 128).collect();
        banks.sort_unstable();
        banks.dedup();
        assert_eq!(banks.len(), 8, "byte {byte}");
    }
}
