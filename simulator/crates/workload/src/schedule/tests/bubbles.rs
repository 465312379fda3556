//! Bubbles on uniform stages without communication, against the equations of the papers.

use super::super::*;
use super::twin::{Times, UNIT, idle, run};
use super::{cases, every_small_case};

/// Passes of unequal length: F 10, B 12 (input gradients), W 8, and nothing gained by overlap.
const UNEQUAL: Times = Times {
    forward: 10,
    backward: 20,
    weight: 8,
    overlapped: 30,
};
/// Overlap saves a tenth.
const GAINING: Times = Times {
    forward: 10,
    backward: 20,
    weight: 10,
    overlapped: 27,
};

/// Enough microbatches for the equations: some hold for fewer.
fn cases_of(kind: ScheduleKind) -> impl Iterator<Item = (Schedule, u32, u32)> {
    let small = every_small_case().filter(|&(_, pp, n)| n + 1 >= 2 * pp);
    cases()
        .chain(small)
        .filter(move |(schedule, ..)| schedule.kind == kind)
}

/// Every rank idles as long as the equation says.
fn all_idle(kind: ScheduleKind, times: Times, bubble: impl Fn(u64) -> u64) {
    for (schedule, pp, n) in cases_of(kind) {
        assert_eq!(
            idle(schedule, pp, n, times),
            vec![bubble(u64::from(pp)); pp as usize],
            "{schedule:?} {pp} {n}"
        );
    }
}

/// Huang et al. 2019 (O((K − 1) / M)); Narayanan et al. 2021, section 2.2.1: `(p − 1)(t_f + t_b)`.
#[test]
fn gpipe() {
    for t in [UNIT, UNEQUAL] {
        all_idle(ScheduleKind::GPipe, t, |p| (p - 1) * (t.forward + t.backward));
    }
}

/// Narayanan et al. 2021, section 2.2.1: `(p − 1)(t_f + t_b)`.
#[test]
fn one_f_one_b() {
    for t in [UNIT, UNEQUAL] {
        all_idle(ScheduleKind::OneFOneB, t, |p| (p - 1) * (t.forward + t.backward));
    }
}

/// Narayanan et al. 2021, section 2.2.2: `(p − 1)(t_f + t_b) / v`, where a rank's passes are `v` times those of a
/// chunk: `(p − 1)` times those of a chunk.
#[test]
fn interleaved() {
    for t in [UNIT, UNEQUAL] {
        all_idle(ScheduleKind::Interleaved, t, |p| {
            (p - 1) * (t.forward + t.backward)
        });
    }
}

/// Qi et al. 2023, section 2.3: `(p − 1)(T_F + T_B − T_W)`, where `T_B` is of input gradients only. (The README of
/// DualPipe, whose B is both: `(PP − 1)(F + B − 2 W)`.)
#[test]
fn zero_bubble_h1() {
    for t in [UNIT, UNEQUAL] {
        let input = t.backward - t.weight;
        all_idle(ScheduleKind::ZeroBubbleH1, t, |p| {
            (p - 1) * (t.forward + input - t.weight)
        });
    }
}

/// Qi et al. 2023, section 6: none, from the first pass of a rank to its last, where `T_F = T_B = T_W`; bubbles
/// are counted so because the optimiser need not wait for other ranks. Where it does, ranks start one forward
/// after another and end in the same order: `(p − 1) T_F`.
#[test]
fn zero_bubble_v() {
    for (schedule, pp, n) in cases_of(ScheduleKind::ZeroBubbleV) {
        let ran = run(schedule, pp, n, UNIT).expect("no schedule deadlocks");
        for rank in &ran {
            assert_eq!(rank.end - rank.start, rank.busy, "pp {pp} n {n}: {ran:?}");
        }
    }
    all_idle(ScheduleKind::ZeroBubbleV, UNIT, |p| (p - 1) * UNIT.forward);
}

/// DualPipe README: `(PP / 2 − 1)(F&B + B − 3 W)`, exactly when overlapping gains nothing; when it does, of
/// the ranks in the middle, which overlap the most pairs, while ranks nearer the ends idle less.
#[test]
fn dual_pipe() {
    let bubble =
        |times: Times, pp: u64| (pp / 2 - 1) * (times.overlapped + times.backward - 3 * times.weight);
    all_idle(ScheduleKind::DualPipe, UNIT, |pp| bubble(UNIT, pp));
    for (schedule, pp, n) in cases_of(ScheduleKind::DualPipe) {
        let idle = idle(schedule, pp, n, GAINING);
        let expected = bubble(GAINING, pp.into());
        assert_eq!(idle.iter().max(), Some(&expected), "pp {pp} n {n}: {idle:?}");
        assert_eq!(idle[pp as usize / 2], expected, "pp {pp} n {n}: {idle:?}");
    }
}

/// DualPipe README: `(PP / 2 − 1)(F&B + B − 3 W)` with `PP` stages on `PP / 2` devices, so `(p − 1)(F&B + B − 3 W)`
/// on `p`; as above, of the rank at the turn when overlapping gains.
#[test]
fn dual_pipe_v() {
    let bubble = |times: Times, p: u64| (p - 1) * (times.overlapped + times.backward - 3 * times.weight);
    all_idle(ScheduleKind::DualPipeV, UNIT, |p| bubble(UNIT, p));
    for (schedule, pp, n) in cases_of(ScheduleKind::DualPipeV) {
        let idle = idle(schedule, pp, n, GAINING);
        let expected = bubble(GAINING, pp.into());
        assert_eq!(idle.iter().max(), Some(&expected), "pp {pp} n {n}: {idle:?}");
        assert_eq!(idle[pp as usize - 1], expected, "pp {pp} n {n}: {idle:?}");
    }
}
