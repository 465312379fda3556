//! What every schedule must satisfy, and the bubbles of the literature by a small executor.

use std::collections::BTreeMap;

use super::*;

/// Time units of one chunk's passes.
#[derive(Clone, Copy)]
struct Times {
    forward: u64,
    /// Input and weight gradients.
    backward: u64,
    weight: u64,
    /// A forward and a backward interleaved.
    overlapped: u64,
}

const UNIT: Times = Times {
    forward: 1,
    backward: 2,
    weight: 1,
    overlapped: 3,
};

impl Times {
    fn of(self, action: Action) -> u64 {
        match action {
            Action::Forward(_) => self.forward,
            Action::Backward(_) => self.backward,
            Action::BackwardInput(_) => self.backward - self.weight,
            Action::BackwardWeight(_) => self.weight,
            Action::Overlapped { .. } => self.overlapped,
        }
    }
}

fn schedules() -> Vec<Schedule> {
    let of = |kind, chunks| Schedule { kind, chunks };
    vec![
        of(ScheduleKind::GPipe, 1),
        of(ScheduleKind::OneFOneB, 1),
        of(ScheduleKind::Interleaved, 2),
        of(ScheduleKind::Interleaved, 3),
        of(ScheduleKind::DualPipe, 2),
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

/// Idle time of each rank when every rank runs its list in order and every action waits for its inputs;
/// the list of what is left when nothing can go on.
fn idle(schedule: Schedule, pp: u32, n: u32, times: Times) -> Result<Vec<u64>, Vec<Option<Action>>> {
    let lists: Vec<Vec<Action>> = (0..pp).map(|p| order(schedule, pp, p, n)).collect();
    // When each output was ready: (whether gradient, rank, slot).
    let mut ready: BTreeMap<(bool, u32, Slot), u64> = BTreeMap::new();
    let (mut at, mut clock) = (vec![0; pp as usize], vec![0; pp as usize]);
    loop {
        let before = at.clone();
        for p in 0..pp {
            while let Some(&action) = lists[p as usize].get(at[p as usize]) {
                let here = |slot: Slot, neighbour: Option<(u32, u32)>, gradient| match neighbour {
                    None => Some(0),
                    Some((rank, chunk)) => ready.get(&(gradient, rank, Slot { chunk, ..slot })).copied(),
                };
                let activation = action.forward().map_or(Some(0), |slot| {
                    here(slot, previous_of(schedule, pp, p, slot.chunk), false)
                });
                let gradient = action.input_gradient().map_or(Some(0), |slot| {
                    here(slot, next_of(schedule, pp, p, slot.chunk), true)
                });
                let (Some(activation), Some(gradient)) = (activation, gradient) else {
                    break;
                };
                let end = clock[p as usize].max(activation).max(gradient) + times.of(action);
                clock[p as usize] = end;
                at[p as usize] += 1;
                ready.extend(action.forward().map(|slot| ((false, p, slot), end)));
                ready.extend(action.input_gradient().map(|slot| ((true, p, slot), end)));
            }
        }
        if at == before {
            break;
        }
    }
    if lists.iter().zip(&at).any(|(list, &at)| at < list.len()) {
        return Err(lists
            .iter()
            .zip(&at)
            .map(|(list, &at)| list.get(at).copied())
            .collect());
    }
    let makespan = clock.iter().copied().max().unwrap_or(0);
    let busy = lists
        .iter()
        .map(|list| list.iter().map(|&a| times.of(a)).sum::<u64>());
    Ok(busy.map(|busy| makespan - busy).collect())
}

#[test]
fn every_pass_runs_once_and_in_order() {
    for (schedule, pp, n) in cases() {
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
    for (schedule, pp, n) in cases() {
        let left = idle(schedule, pp, n, UNIT);
        assert!(left.is_ok(), "{schedule:?} pp {pp} n {n} is stuck at {left:?}");
    }
}

#[test]
fn receivers_consume_in_the_order_of_sending() {
    for (schedule, pp, n) in cases() {
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

#[test]
fn a_chunk_visits_every_stage_once() {
    for (schedule, pp, _) in cases() {
        let starts = (0..pp).flat_map(|p| (0..schedule.chunks).map(move |chunk| (p, chunk)));
        for start in starts.filter(|&(p, chunk)| previous_of(schedule, pp, p, chunk).is_none()) {
            let path = std::iter::successors(Some(start), |&(p, chunk)| next_of(schedule, pp, p, chunk));
            let stages = if schedule.kind == ScheduleKind::Interleaved {
                pp * schedule.chunks
            } else {
                pp
            };
            assert_eq!(path.count(), stages as usize, "{schedule:?}");
        }
    }
}

/// Narayanan et al. 2021, section 2.2: `(pp − 1)(F + B)`, and a `v`-th of it when interleaved.
#[test]
fn bubbles_equal_the_literature() {
    for (schedule, pp, n) in cases() {
        let whole = Times {
            forward: 1,
            backward: 2,
            ..UNIT
        };
        if schedule.kind == ScheduleKind::DualPipe {
            continue;
        }
        // Every rank idles as long: a chunk of an interleaved rank is the unit, so F + B of a rank is 3 v.
        let bubble = u64::from(pp - 1) * (whole.forward + whole.backward);
        assert_eq!(
            idle(schedule, pp, n, whole),
            Ok(vec![bubble; pp as usize]),
            "{schedule:?} {pp} {n}"
        );
    }
}

/// DualPipe README: `(pp / 2 − 1)(F&B + B − 3 W)`, exactly when overlapping gains nothing; when it does, of
/// the ranks in the middle, which overlap the most pairs, while ranks nearer the ends idle less.
#[test]
fn the_bubble_of_dual_pipe_equals_its_authors() {
    let schedule = Schedule {
        kind: ScheduleKind::DualPipe,
        chunks: 2,
    };
    let gaining = Times {
        forward: 10,
        backward: 20,
        weight: 10,
        overlapped: 27,
    };
    for (_, pp, n) in cases().filter(|&(case, ..)| case == schedule) {
        let bubble =
            |times: Times| u64::from(pp / 2 - 1) * (times.overlapped + times.backward - 3 * times.weight);
        assert_eq!(
            idle(schedule, pp, n, UNIT),
            Ok(vec![bubble(UNIT); pp as usize]),
            "pp {pp} n {n}"
        );
        let idle = idle(schedule, pp, n, gaining).unwrap();
        assert_eq!(
            idle.iter().max(),
            Some(&bubble(gaining)),
            "pp {pp} n {n}: {idle:?}"
        );
        assert_eq!(idle[pp as usize / 2], bubble(gaining), "pp {pp} n {n}: {idle:?}");
    }
}
