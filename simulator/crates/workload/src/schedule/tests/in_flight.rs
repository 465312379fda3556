//! Microbatches whose activations a rank holds, against the counts of the papers: from the start of a forward to the
//! end of its weight gradients.

use super::super::*;
use super::cases;

/// The most chunks' activations that `rank` holds at once.
fn peak(schedule: Schedule, pp: u32, rank: u32, n: u32) -> u32 {
    let (mut held, mut most) = (0, 0);
    for action in order(schedule, pp, rank, n) {
        held += u32::from(action.forward().is_some());
        most = most.max(held);
        held -= u32::from(action.weight_gradient().is_some());
    }
    assert_eq!(held, 0, "everything is given back");
    most
}

/// Each as published, in chunks:
///
/// * GPipe (Huang et al. 2019): all `m`.
/// * 1F1B (Narayanan et al. 2021): `p − r` on rank `r`, `p` on the first.
/// * Interleaved (Korthikanti et al. 2022, section 4.2.3: `L (1 + (p − 1) / (p v))` layers on the first rank):
///   `p v + p − 1` chunks there, two fewer on each rank after it.
/// * ZB-H1 (Qi et al. 2023, section 2: `p M_B`): `p` on every rank.
/// * ZB-V (Qi et al. 2023, section 6: `p M_B`): `2 p` chunks of half a stage on every rank.
/// * DualPipe (its README: `PP + 1`), and DualPipeV the same, of `PP = 2 p` stages.
#[test]
fn activations_in_flight_equal_the_published() {
    for (schedule, p, m) in cases() {
        for rank in 0..p {
            let expected = match schedule.kind {
                ScheduleKind::GPipe => m,
                ScheduleKind::OneFOneB => p - rank,
                ScheduleKind::Interleaved => p * schedule.chunks + p - 1 - 2 * rank,
                ScheduleKind::ZeroBubbleH1 => p,
                ScheduleKind::ZeroBubbleV => 2 * p,
                ScheduleKind::DualPipe => p + 1,
                ScheduleKind::DualPipeV => 2 * p + 1,
            };
            assert_eq!(
                peak(schedule, p, rank, m),
                expected,
                "{schedule:?} pp {p} rank {rank} m {m}"
            );
        }
    }
}

/// ZB-H1 never holds more than the first rank of 1F1B, whatever the number of microbatches.
#[test]
fn zero_bubble_h1_fits_where_1f1b_does() {
    let [h1, usual] =
        [ScheduleKind::ZeroBubbleH1, ScheduleKind::OneFOneB].map(|kind| Schedule { kind, chunks: 1 });
    for (pp, m) in (1..12).flat_map(|pp| (1..30).map(move |m| (pp, m))) {
        for rank in 0..pp {
            assert_eq!(
                peak(h1, pp, rank, m),
                peak(usual, pp, 0, m),
                "pp {pp} rank {rank} m {m}"
            );
        }
    }
}
