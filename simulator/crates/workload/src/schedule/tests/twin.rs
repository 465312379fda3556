//! The slow and obvious executor: every rank runs its list in order, and every action waits for its inputs.

use std::collections::BTreeMap;

use super::super::*;

/// Time units of one chunk's passes.
#[derive(Clone, Copy)]
pub(super) struct Times {
    pub(super) forward: u64,
    /// Input and weight gradients.
    pub(super) backward: u64,
    pub(super) weight: u64,
    /// A forward and a backward interleaved.
    pub(super) overlapped: u64,
}

pub(super) const UNIT: Times = Times {
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

/// What one rank did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ran {
    /// When its first action started.
    pub(super) start: u64,
    /// When its last action ended.
    pub(super) end: u64,
    pub(super) busy: u64,
}

/// What every rank did, or what each is left with when none can go on.
pub(super) fn run(
    schedule: Schedule,
    pp: u32,
    n: u32,
    times: Times,
) -> Result<Vec<Ran>, Vec<Option<Action>>> {
    let lists: Vec<Vec<Action>> = (0..pp).map(|p| order(schedule, pp, p, n)).collect();
    // When each output was ready: (whether gradient, rank, slot).
    let mut ready: BTreeMap<(bool, u32, Slot), u64> = BTreeMap::new();
    let mut at = vec![0; pp as usize];
    let mut ran = vec![Ran::default(); pp as usize];
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
                let rank = &mut ran[p as usize];
                let start = rank.end.max(activation).max(gradient);
                let end = start + times.of(action);
                if at[p as usize] == 0 {
                    rank.start = start;
                }
                rank.end = end;
                rank.busy += times.of(action);
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
    Ok(ran)
}

/// Idle time of each rank from the beginning of the step to its end.
pub(super) fn idle(schedule: Schedule, pp: u32, n: u32, times: Times) -> Vec<u64> {
    let ran = run(schedule, pp, n, times).expect("no schedule deadlocks");
    let makespan = ran.iter().map(|rank| rank.end).max().unwrap_or(0);
    ran.iter().map(|rank| makespan - rank.busy).collect()
}
