//! Which job has which devices, and what it does there.

use std::ops::Range;

use orrery_units::Seed;

/// What a job does at one instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Phase {
    /// It loads its data and its weights.
    Loads,
    /// It makes steps.
    Steps,
    /// It writes a checkpoint; its devices idle.
    Writes,
    /// It evaluates; its devices work, and no step is told.
    Evaluates,
    /// It serves requests, at this load.
    Serves(f64),
}

/// A set of devices, and the job that has them now.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    /// The devices, by their places in the cluster.
    pub(super) places: Range<usize>,
    /// The job's name and number.
    pub(super) name: String,
    pub(super) number: u64,
    /// When it began, in seconds.
    pub(super) began: f64,
    ends: f64,
    /// What it does; nothing between two jobs.
    pub(super) phase: Option<Phase>,
}

impl Slot {
    pub(super) fn holds(&self, place: usize) -> bool {
        self.places.contains(&place)
    }
}

/// The slots of the cluster.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    seed: Seed,
    slots: [Slot; 3],
}

/// Hours and minutes in seconds.
const HOUR: f64 = 3600.0;
const MINUTE: f64 = 60.0;

impl Schedule {
    pub(super) fn new(seed: Seed) -> Self {
        let slot = |places: Range<usize>, name: &str| Slot {
            places,
            name: format!("{name}-0"),
            number: 0,
            began: 0.0,
            ends: 0.0,
            phase: None,
        };
        let mut slots = [
            slot(0..24, "pretrain"),
            slot(24..28, "serve"),
            slot(28..32, "tune"),
        ];
        slots[0].ends = length(seed, 0, 0).max(14.0 * HOUR);
        slots[1].ends = f64::INFINITY;
        slots[2].ends = length(seed, 2, 0);
        Self { seed, slots }
    }

    /// The slots `now` seconds after the start; time only goes on.
    pub(super) fn at(&mut self, now: f64) -> Vec<Slot> {
        for (slot, index) in self.slots.iter_mut().zip(0u64..) {
            while now >= slot.ends {
                slot.number += 1;
                let key = self.seed.at("gap", &[index, slot.number]);
                slot.began = slot.ends + MINUTE * (4.0 + 40.0 * key.uniform());
                slot.ends = slot.began + length(self.seed, index, slot.number);
                let name = slot.name.split('-').next().unwrap_or_default();
                slot.name = format!("{name}-{}", slot.number);
            }
            slot.phase = (now >= slot.began).then(|| {
                if index == 1 {
                    Phase::Serves(load(now))
                } else {
                    phase(self.seed, slot, now - slot.began)
                }
            });
        }
        self.slots.to_vec()
    }
}

/// How long job `number` of a slot lasts.
fn length(seed: Seed, slot: u64, number: u64) -> f64 {
    let draw = seed.at("length", &[slot, number]).uniform();
    if slot == 0 {
        HOUR * (9.0 + 30.0 * draw)
    } else {
        HOUR * (1.0 + 5.0 * draw)
    }
}

/// What a training job does `age` seconds after it began.
fn phase(seed: Seed, slot: &Slot, age: f64) -> Phase {
    let draw = |name: &str, number: f64| seed.at(name, &[slot.number, super::as_u64(number)]).uniform();
    if age < MINUTE * (3.0 + 5.0 * draw("load", 0.0)) {
        return Phase::Loads;
    }
    // A checkpoint every two hours, an evaluation every four.
    let since = age % (2.0 * HOUR);
    if age > HOUR && since < MINUTE * (1.0 + 3.0 * draw("checkpoint", age / (2.0 * HOUR))) {
        return Phase::Writes;
    }
    if age > HOUR && (age + 2.5 * HOUR) % (4.0 * HOUR) < 6.0 * MINUTE {
        return Phase::Evaluates;
    }
    Phase::Steps
}

/// Load of what serves: most at 15 h, least at 3 h.
fn load(now: f64) -> f64 {
    let angle = std::f64::consts::TAU * (now / HOUR - 9.0) / 24.0;
    0.55 + 0.35 * angle.sin()
}
