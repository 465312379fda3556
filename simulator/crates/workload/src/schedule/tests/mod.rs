//! What every schedule must satisfy: each pass once, in order, without deadlock. What the literature says of bubbles
//! is in [`bubbles`], of memory in [`in_flight`]; [`twin`] runs programs the slow and obvious way.

mod bubbles;
mod in_flight;
mod twin;

use std::collections::BTreeMap;

use orrery_scenario::plan::{Law, Layout};

use super::*;
use twin::{UNIT, run};

fn schedules() -> Vec<Schedule> {
    let of = |kind, chunks| Schedule { kind, chunks };
    vec![
        of(ScheduleKind::GPipe, 1),
        of(ScheduleKind::OneFOneB, 1),
        of(ScheduleKind::Interleaved, 2),
        of(ScheduleKind::Interleaved, 3),
        of(ScheduleKind::ZeroBubbleH1, 1),
        of(ScheduleKind::ZeroBubbleV, 2),
        of(ScheduleKind::DualPipe, 2),
        of(ScheduleKind::DualPipeV, 2),
    ]
}

fn cases() -> impl Iterator<Item = (Schedule, u32, u32)> {
    let sizes = [
        (2, 4),
        (2, 10),
        (4, 8),
        (4, 20),
        (8, 16),
        (8, 40),
        (16, 32),
        (16, 64),
        (16, 96),
    ];
    schedules()
        .into_iter()
        .flat_map(move |schedule| sizes.into_iter().map(move |(pp, n)| (schedule, pp, n)))
}

/// Whether a schedule exists for `pp` ranks and `n` microbatches.
fn exists(schedule: Schedule, pp: u32, n: u32) -> bool {
    match schedule.kind {
        ScheduleKind::GPipe | ScheduleKind::OneFOneB | ScheduleKind::ZeroBubbleH1 => true,
        ScheduleKind::Interleaved => n.is_multiple_of(pp) && pp > 1,
        ScheduleKind::ZeroBubbleV => n + 1 >= 2 * pp,
        ScheduleKind::DualPipe => pp.is_multiple_of(2) && n.is_multiple_of(2) && n >= 2 * pp,
        ScheduleKind::DualPipeV => n >= 2 * pp,
    }
}

/// Every schedule for every small number of ranks and microbatches that it exists for.
fn every_small_case() -> impl Iterator<Item = (Schedule, u32, u32)> {
    let sizes = (1..=10).flat_map(|pp| (1..=44).map(move |n| (pp, n)));
    sizes.flat_map(|(pp, n)| {
        let schedules = schedules()
            .into_iter()
            .filter(move |&schedule| exists(schedule, pp, n));
        schedules.map(move |schedule| (schedule, pp, n))
    })
}

#[test]
fn every_pass_runs_once_and_in_order() {
    for (schedule, pp, n) in cases().chain(every_small_case()) {
        for p in 0..pp {
            let actions = order(schedule, pp, p, n);
            let expected: Vec<Slot> = (0..schedule.chunks)
                .flat_map(|chunk| {
                    microbatches_of(schedule, chunk, n).map(move |microbatch| Slot { chunk, microbatch })
                })
                .collect();
            let places = |pass: fn(Action) -> Option<Slot>| -> BTreeMap<Slot, usize> {
                let places: Vec<(Slot, usize)> = actions
                    .iter()
                    .enumerate()
                    .filter_map(|(at, &action)| pass(action).map(|slot| (slot, at)))
                    .collect();
                let mut slots: Vec<Slot> = places.iter().map(|&(slot, _)| slot).collect();
                slots.sort_unstable();
                assert_eq!(slots, expected, "{schedule:?} pp {pp} rank {p} n {n}");
                places.into_iter().collect()
            };
            let forward = places(Action::forward);
            let input = places(Action::input_gradient);
            let weight = places(Action::weight_gradient);
            for slot in expected {
                assert!(
                    forward[&slot] < input[&slot] && input[&slot] <= weight[&slot],
                    "{slot:?}"
                );
            }
        }
    }
}

#[test]
fn no_schedule_deadlocks() {
    for (schedule, pp, n) in cases().chain(every_small_case()) {
        let ran = run(schedule, pp, n, UNIT);
        assert!(ran.is_ok(), "{schedule:?} pp {pp} n {n} is stuck at {ran:?}");
    }
}

#[test]
fn receivers_consume_in_the_order_of_sending() {
    for (schedule, pp, n) in cases().chain(every_small_case()) {
        let lists: Vec<Vec<Action>> = (0..pp).map(|p| order(schedule, pp, p, n)).collect();
        let passes = |rank: u32, chunk: u32, pass: fn(Action) -> Option<Slot>| -> Vec<u32> {
            lists[rank as usize]
                .iter()
                .filter_map(|&action| pass(action))
                .filter(|slot| slot.chunk == chunk)
                .map(|slot| slot.microbatch)
                .collect()
        };
        for p in 0..pp {
            for chunk in 0..schedule.chunks {
                if let Some((to, there)) = next_of(schedule, pp, p, chunk) {
                    assert_eq!(previous_of(schedule, pp, to, there), Some((p, chunk)));
                    let sent = passes(p, chunk, Action::forward);
                    assert_eq!(
                        sent,
                        passes(to, there, Action::forward),
                        "{schedule:?} {pp} {p} {chunk}"
                    );
                    let back = passes(to, there, Action::input_gradient);
                    assert_eq!(
                        back,
                        passes(p, chunk, Action::input_gradient),
                        "{schedule:?} {pp} {p}"
                    );
                }
            }
        }
    }
}

/// DualPipe holds the model twice; cut in half it holds it once, like all others.
#[test]
fn a_chunk_visits_every_stage_once() {
    for (schedule, pp, _) in cases() {
        let starts = (0..pp).flat_map(|p| (0..schedule.chunks).map(move |chunk| (p, chunk)));
        let starts = starts.filter(|&(p, chunk)| previous_of(schedule, pp, p, chunk).is_none());
        let mut copies = 0;
        for start in starts {
            copies += 1;
            let path = std::iter::successors(Some(start), |&(p, chunk)| next_of(schedule, pp, p, chunk));
            let stages = if schedule.kind == ScheduleKind::DualPipe {
                pp
            } else {
                pp * schedule.chunks
            };
            assert_eq!(path.count(), stages as usize, "{schedule:?}");
        }
        let expected = if schedule.kind == ScheduleKind::DualPipe {
            2
        } else {
            1
        };
        assert_eq!(copies, expected, "{schedule:?}");
    }
}

/// The layout numbers stages in the order in which activations visit them, and finds the rank of each.
#[test]
fn stages_are_numbered_along_the_way() {
    let layout = crate::memory::fixture::deep_seek_v3(Law::Balanced).layout;
    for (schedule, pp, _) in cases() {
        let layout = Layout {
            schedule,
            pp,
            ..layout.clone()
        };
        for p in 0..pp {
            for chunk in 0..schedule.chunks {
                let stage = layout.stage_index(p, chunk);
                if let Some((next, there)) = next_of(schedule, pp, p, chunk) {
                    assert_eq!(
                        layout.stage_index(next, there),
                        stage + 1,
                        "{schedule:?} {p} {chunk}"
                    );
                }
                if chunk == 0 || schedule.kind != ScheduleKind::DualPipe {
                    assert_eq!(layout.pipeline_of_stage(stage), p, "{schedule:?} {p} {chunk}");
                }
            }
        }
    }
}

#[test]
fn worked_orders() {
    let order_of = |kind, chunks, rank, n| -> Vec<String> {
        let short = |action: &Action| match *action {
            Action::Forward(slot) => format!("F{}", slot.microbatch),
            Action::Backward(slot) | Action::BackwardInput(slot) => format!("B{}", slot.microbatch),
            Action::BackwardWeight(slot) => format!("W{}", slot.microbatch),
            Action::Overlapped { forward, backward } => {
                format!("F{}B{}", forward.microbatch, backward.microbatch)
            }
        };
        order(Schedule { kind, chunks }, 2, rank, n)
            .iter()
            .map(short)
            .collect()
    };
    assert_eq!(
        order_of(ScheduleKind::OneFOneB, 1, 0, 3).join(" "),
        "F0 F1 B0 F2 B1 B2"
    );
    assert_eq!(
        order_of(ScheduleKind::ZeroBubbleH1, 1, 1, 3).join(" "),
        "F0 B0 F1 B1 W0 F2 B2 W1 W2"
    );
    assert_eq!(
        order_of(ScheduleKind::ZeroBubbleV, 2, 0, 3).join(" "),
        "F0 F1 F2 F0 B0 W0 F1 B1 W1 B0 W0 F2 B2 W2 B1 W1 B2 W2"
    );
}
