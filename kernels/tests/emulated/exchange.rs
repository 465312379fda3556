//! Memory alone, and all-reduces whose ranks run together and wait for each other.

use std::ffi::c_void;

use orrery_kernels::Bf16;
use orrery_kernels::catalog::Kernel;
use orrery_kernels::reference::sum_of_ranks;

use crate::machine::{Argument, Emulator, Extent, Peers, bfloats, int, near, poison, read, write};

const BLOCKS: u32 = 2;
const THREADS: u32 = 32;

/// Every rank's data and flags, and the tables that all of them get.
struct Ranks {
    data: Vec<Vec<Bf16>>,
    flags: Vec<Vec<u32>>,
}

impl Ranks {
    fn new(ranks: usize, pieces: usize) -> Self {
        let data = (0..ranks)
            .map(|rank| bfloats(&format!("rank {rank}"), pieces * 8))
            .collect();
        let flags = vec![vec![0; ranks * BLOCKS as usize]; ranks];
        Self { data, flags }
    }

    fn peers(&mut self) -> Peers {
        let mut peers = Peers {
            data: [std::ptr::null_mut(); 8],
            flags: [std::ptr::null_mut(); 8],
        };
        for (to, from) in peers.data.iter_mut().zip(&mut self.data) {
            *to = from.as_mut_ptr().cast::<c_void>();
        }
        for (to, from) in peers.flags.iter_mut().zip(&mut self.flags) {
            *to = from.as_mut_ptr().cast::<c_void>();
        }
        peers
    }
}

fn numbers(rank: usize, ranks: usize, epoch: u32) -> [Argument; 3] {
    [int(rank), int(ranks), Argument::Unsigned(epoch)]
}

#[test]
fn every_rank_gets_the_same_sum_at_one_shot() {
    let Some(emulator) = Emulator::of(Kernel::AllReduceOneShot.source()) else {
        return;
    };
    for (ranks, pieces) in [(2, 1), (3, 70), (4, 5)] {
        let mut all = Ranks::new(ranks, pieces);
        let expected = sum_of_ranks(&all.data);
        let peers = all.peers();
        for epoch in 1..=3 {
            let mut results = vec![vec![poison(); pieces * 8]; ranks];
            let launches = results.iter_mut().enumerate().map(|(rank, result)| {
                let mut arguments = vec![
                    Argument::Peers(peers),
                    write(result),
                    Argument::Long(pieces as i64),
                ];
                arguments.extend(numbers(rank, ranks, epoch));
                arguments
            });
            let shape = (Extent(BLOCKS, 1, 1), THREADS, 0);
            let launches = launches.collect();
            emulator.run_together(Kernel::AllReduceOneShot, shape, epoch, launches);
            for result in &results {
                assert_eq!(result, &expected, "{ranks} ranks, launch {epoch}");
            }
        }
    }
}

#[test]
fn a_ring_sums_in_place_launch_after_launch() {
    let Some(emulator) = Emulator::of(Kernel::AllReduceRing.source()) else {
        return;
    };
    for (ranks, pieces) in [(2, 3), (3, 100), (4, 64), (5, 2)] {
        let mut all = Ranks::new(ranks, pieces);
        let peers = all.peers();
        for epoch in 1..=3 {
            let expected = sum_of_ranks(&all.data);
            let launches = (0..ranks).map(|rank| {
                let mut arguments = vec![Argument::Peers(peers), Argument::Long(pieces as i64)];
                arguments.extend(numbers(rank, ranks, epoch));
                arguments
            });
            let shape = (Extent(BLOCKS, 1, 1), THREADS, 0);
            let launches = launches.collect();
            emulator.run_together(Kernel::AllReduceRing, shape, epoch * 7, launches);
            for data in &all.data {
                assert_eq!(data, &all.data[0], "every rank has the same bits");
            }
            // Partial sums are rounded at every step.
            near(&format!("{ranks} ranks"), &all.data[0], &expected, 0.03);
        }
    }
}

#[test]
fn copies_reads_writes_and_reductions() {
    let Some(emulator) = Emulator::of(Kernel::Copy.source()) else {
        return;
    };
    let pieces = 333;
    let from = bfloats("from", pieces * 8);
    let shape = (Extent(3, 1, 1), 64, 0);
    let length = || Argument::Long(pieces as i64);
    let mut to = vec![poison(); pieces * 8];
    emulator.run(
        Kernel::Copy,
        shape,
        1,
        vec![read(&from), write(&mut to), length()],
    );
    assert_eq!(to, from);
    let mut mixed = [0_u32; 3];
    emulator.run(
        Kernel::Read,
        shape,
        1,
        vec![read(&from), write(&mut mixed), length()],
    );
    let words = from.chunks_exact(2);
    let expected = words.fold(0, |all, pair| {
        all ^ (u32::from(pair[0].to_bits()) | u32::from(pair[1].to_bits()) << 16)
    });
    assert_eq!(mixed.iter().fold(0, |all, each| all ^ each), expected);
    let mut filled = vec![0_u32; pieces * 4];
    emulator.run(
        Kernel::Write,
        shape,
        1,
        vec![write(&mut filled), length(), Argument::Unsigned(7)],
    );
    assert!(filled.iter().all(|&word| word == 7), "every word is written");
    let rows: Vec<Vec<Bf16>> = (0..3)
        .map(|row| bfloats(&format!("row {row}"), pieces * 8))
        .collect();
    let all: Vec<Bf16> = rows.concat();
    emulator.run(
        Kernel::Reduce,
        shape,
        1,
        vec![read(&all), write(&mut to), int(3), length()],
    );
    assert_eq!(to, sum_of_ranks(&rows));
}

/// The mover counts what it moves and stops by itself where nobody stops it.
#[test]
fn instruments_end_by_themselves() {
    let Some(emulator) = Emulator::of(Kernel::Mover.source()) else {
        return;
    };
    let mut pieces = bfloats("pieces", 100 * 8);
    let half = pieces.len() / 2;
    let stopped = [0_i32];
    let mut moved = [0_u64; 2];
    let mut arguments = vec![write(&mut pieces), Argument::Long(100), read(&stopped)];
    arguments.extend([Argument::UnsignedLong(50), write(&mut moved)]);
    emulator.run(Kernel::Mover, (Extent(2, 1, 1), 32, 0), 1, arguments);
    assert_eq!(pieces[..half], pieces[half..]);
    assert!(
        moved[0] >= 32 && moved[0] % 32 == 0 && moved[1] % 18 == 0,
        "{moved:?}"
    );
    let released = [0_i32];
    emulator.run(
        Kernel::HoldStream,
        (Extent(1, 1, 1), 1, 0),
        1,
        vec![read(&released), Argument::UnsignedLong(20)],
    );
    let mut readings = vec![0_u64; 8];
    emulator.run(
        Kernel::Clock,
        (Extent(4, 1, 1), 32, 0),
        1,
        vec![write(&mut readings)],
    );
    assert!(readings.iter().all(|&reading| reading > 0), "{readings:?}");
    let mut words = vec![0_u32; 500];
    let arguments = vec![write(&mut words), Argument::Long(500), Argument::Unsigned(3)];
    emulator.run(Kernel::Flush, (Extent(2, 1, 1), 64, 0), 1, arguments);
    words.sort_unstable();
    words.dedup();
    assert!(words.len() > 490, "numbers differ: {}", words.len());
}
