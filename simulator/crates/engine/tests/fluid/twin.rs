//! Random arrivals, departures, capacities and bounds: the fast sharing does what its twin does.
//!
//! Stated tolerance: rates within 1e-9 of each other; ends within 2 ps and 1e-12 of the elapsed time (each
//! end is rounded up to a picosecond, and sums of floats in another order may cross that edge).

use crate::cases::{all_to_all, run_out, start_all};
use orrery_engine::fluid::{Activity, FlowId, Fluid, Rated, Twin, check_fair};
use orrery_taskgraph::PathUse;
use orrery_units::{Bytes, BytesPerSec, Factor, LinkId, Ratio, Seed, SimDuration, SimTime};
use proptest::prelude::*;

/// An activity that owns its crossings.
struct Wanted {
    work: u64,
    bound: Option<f64>,
    share: f64,
    multiplicity: u32,
    crossings: Vec<PathUse>,
}

impl Wanted {
    fn activity(&self, owner: u32) -> Activity<'_> {
        Activity {
            owner,
            work: Bytes::new(self.work),
            bound: self.bound.map(BytesPerSec::new),
            share: Factor::new(self.share).expect("shares are positive"),
            multiplicity: self.multiplicity,
            crossings: &self.crossings,
        }
    }
}

enum Change {
    Start(Wanted),
    Cancel(u64),
    Capacity(u32, f64),
}

/// What links and activities are like.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// All different.
    Mixed,
    /// Equal links, few sizes, weights of one: ties abound.
    Plain,
    /// Most links cannot be full, most of the time.
    Roomy,
}

/// Changes and how long after the one before they come, all drawn from `seed`.
struct Script {
    capacities: Vec<BytesPerSec>,
    changes: Vec<(SimDuration, Change)>,
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small whole numbers"
)]
fn script(seed: u64, num_links: u32, num_changes: u64, kind: Kind) -> Script {
    let plain = kind == Kind::Plain;
    let draw = move |what: &str, at: &[u64]| Seed::new(seed).at(what, at).uniform();
    let whole = |what: &str, at: &[u64], below: u32| (draw(what, at) * f64::from(below)) as u32;
    let capacity = |at: u64| match kind {
        Kind::Plain => 8e9,
        Kind::Mixed => 1e9 + 49e9 * draw("capacity", &[at]),
        Kind::Roomy => room(at) * (1e9 + 19e9 * draw("capacity", &[at])),
    };
    let changes = (0..num_changes).map(|turn| {
        let what = draw("what", &[turn]);
        let change = if what < 0.85 || turn < 3 {
            let most = num_links.min(if turn % 7 == 0 { num_links } else { 4 });
            let len = 1 + whole("len", &[turn], most);
            let mut links: Vec<u32> = (0..len)
                .map(|at| whole("link", &[turn, u64::from(at)], num_links))
                .collect();
            links.sort_unstable();
            links.dedup();
            let weight = |link: u32| {
                if plain {
                    1.0
                } else {
                    0.05 + 2.0 * draw("weight", &[turn, u64::from(link)])
                }
            };
            let crossings = links.iter().map(|&link| PathUse {
                link: LinkId::new(link),
                weight: weight(link),
            });
            Change::Start(Wanted {
                work: 1 + u64::from(whole("work", &[turn], if plain { 4 } else { 1 << 20 })) * 40,
                bound: (draw("bounded", &[turn]) < if kind == Kind::Roomy { 0.8 } else { 0.3 })
                    .then(|| 1e8 + 2e10 * draw("bound", &[turn])),
                share: if plain {
                    1.0
                } else {
                    f64::from(1 + whole("share", &[turn], 3))
                },
                multiplicity: if plain {
                    1
                } else {
                    1 + whole("multiplicity", &[turn], 3)
                },
                crossings: crossings.collect(),
            })
        } else if what < 0.92 {
            Change::Cancel(u64::from(whole("cancel", &[turn], 1 << 20)))
        } else {
            let down = draw("down", &[turn]) < 0.2;
            Change::Capacity(
                whole("which", &[turn], num_links),
                if down { 0.0 } else { capacity(1000 + turn) },
            )
        };
        let together = draw("together", &[turn]) < 0.3;
        let wait = if together {
            0
        } else {
            u64::from(whole("wait", &[turn], 3_000_000))
        };
        (SimDuration::from_picos(wait), change)
    });
    Script {
        capacities: (0..u64::from(num_links))
            .map(|link| BytesPerSec::new(capacity(link)))
            .collect(),
        changes: changes.collect(),
    }
}

/// Two of three links hold whatever comes, most of the time.
fn room(link: u64) -> f64 {
    if link.is_multiple_of(3) { 1.0 } else { 9.0 }
}

fn rate_of(capacity: f64) -> BytesPerSec {
    if capacity > 0.0 {
        BytesPerSec::new(capacity)
    } else {
        BytesPerSec::default()
    }
}

/// Both sharings side by side, compared after every event.
struct Pair<'a> {
    script: &'a Script,
    capacities: Vec<BytesPerSec>,
    fast: Fluid,
    slow: Twin,
    /// Owners under way in both, with their handles.
    live: Vec<(u32, FlowId, FlowId)>,
    /// Ended in one only, so far: at an instant at most 2 ps away it must end in the other.
    fast_only: Vec<(u32, SimTime)>,
    slow_only: Vec<(u32, SimTime)>,
}

fn apart(first: SimTime, second: SimTime) -> bool {
    let gap = first
        .saturating_since(second)
        .max(second.saturating_since(first))
        .as_picos();
    gap > 2 + first.as_picos() / 1_000_000_000_000
}

impl Pair<'_> {
    fn run(&mut self) {
        let mut now = SimTime::ZERO;
        for (owner, (wait, change)) in (0u32..).zip(&self.script.changes) {
            now += *wait;
            self.pass_until(now);
            self.apply(owner, change, now);
            self.compare();
        }
        // Links that are down would keep some for ever.
        for link in 0..u32::try_from(self.capacities.len()).expect("few links") {
            self.apply(0, &Change::Capacity(link, 5e9), now);
        }
        self.pass_until(SimTime::from_picos(1 << 62));
        let left = self.live.len() + self.fast_only.len() + self.slow_only.len();
        assert_eq!(left, 0, "everybody ends in both");
    }

    /// Takes all completions before `now`, in either.
    fn pass_until(&mut self, now: SimTime) {
        let mut ended = Vec::new();
        loop {
            let fast = self.fast.next_completion().filter(|time| *time <= now);
            let slow = self.slow.next_completion().filter(|time| *time <= now);
            let (fast_first, slow_first) = match (fast, slow) {
                (None, None) => break,
                (Some(fast), Some(slow)) => (fast <= slow, slow <= fast),
                (fast, slow) => (fast.is_some(), slow.is_some()),
            };
            if let Some(time) = fast.filter(|_| fast_first) {
                self.fast.advance(time, &mut ended);
                self.fast_only.extend(ended.drain(..).map(|owner| (owner, time)));
            }
            if let Some(time) = slow.filter(|_| slow_first) {
                self.slow.advance(time, &mut ended);
                self.slow_only.extend(ended.drain(..).map(|owner| (owner, time)));
            }
            self.pair_up();
            self.compare();
        }
    }

    fn pair_up(&mut self) {
        let slow_only = &mut self.slow_only;
        let live = &mut self.live;
        self.fast_only.retain(|&(owner, fast)| {
            let Some(at) = slow_only.iter().position(|(other, _)| *other == owner) else {
                return true;
            };
            let (_, slow) = slow_only.remove(at);
            assert!(
                !apart(fast, slow),
                "{owner} ends at {fast:?}, in the twin at {slow:?}"
            );
            live.retain(|entry| entry.0 != owner);
            false
        });
    }

    fn apply(&mut self, owner: u32, change: &Change, now: SimTime) {
        match change {
            Change::Start(wanted) => {
                let activity = wanted.activity(owner);
                self.live.push((
                    owner,
                    self.fast.start(&activity, now),
                    self.slow.start(&activity, now),
                ));
            }
            Change::Cancel(which) => {
                if self.live.is_empty() || !self.fast_only.is_empty() || !self.slow_only.is_empty() {
                    return;
                }
                let at = usize::try_from(*which).expect("below 2^20") % self.live.len();
                let (_, fast, slow) = self.live.remove(at);
                self.fast.cancel(fast, now);
                self.slow.cancel(slow, now);
            }
            Change::Capacity(link, capacity) => {
                let (link, capacity) = (LinkId::new(*link), rate_of(*capacity));
                self.capacities[link.index()] = capacity;
                self.fast.set_capacity(link, capacity, now);
                self.slow.set_capacity(link, capacity, now);
            }
        }
    }

    fn compare(&mut self) {
        if !self.fast_only.is_empty() || !self.slow_only.is_empty() {
            return;
        }
        // Rates are found when it is asked what ends next.
        self.fast.next_completion();
        let mut rated = Vec::new();
        for &(owner, fast, slow) in &self.live {
            let (fast, slow) = (self.fast.rate(fast), self.slow.rate(slow));
            let gap = (fast.get() - slow.get()).abs();
            assert!(
                gap <= 1e-9 * slow.get() + 1e-3,
                "{owner}: {fast:?}, in the twin {slow:?}"
            );
            let Change::Start(wanted) = &self.script.changes[owner as usize].1 else {
                panic!("an owner is the number of a start");
            };
            rated.push(Rated {
                activity: wanted.activity(owner),
                rate: fast,
            });
        }
        let tolerance = Ratio::new(1e-9).expect("a ratio");
        check_fair(&self.capacities, &rated, tolerance).expect("rates are fair");
    }
}

fn both(script: &Script) {
    Pair {
        capacities: script.capacities.clone(),
        fast: Fluid::new(&script.capacities),
        slow: Twin::new(&script.capacities),
        live: Vec::new(),
        fast_only: Vec::new(),
        slow_only: Vec::new(),
        script,
    }
    .run();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    /// Claim: after every event all rates are the twin's and are fair, and all ends are the twin's.
    #[test]
    fn same_rates_and_ends(seed in 0u64..1 << 40, num_links in 1u32..24, num_changes in 1u64..120) {
        both(&script(seed, num_links, num_changes, Kind::Mixed));
    }

    /// Claim: the same where ties abound (equal links, few sizes, weights of one).
    #[test]
    fn same_rates_and_ends_with_ties(seed in 0u64..1 << 40, num_links in 1u32..24, num_changes in 1u64..120) {
        both(&script(seed, num_links, num_changes, Kind::Plain));
    }

    /// Claim: the same where most links cannot be full, and become so and cease to be as flows come and go.
    #[test]
    fn same_rates_and_ends_with_room(seed in 0u64..1 << 40, num_links in 1u32..24, num_changes in 1u64..120) {
        both(&script(seed, num_links, num_changes, Kind::Roomy));
    }
}

#[test]
fn many_flows_over_few_links() {
    for seed in 0..4 {
        for kind in [Kind::Mixed, Kind::Plain, Kind::Roomy] {
            both(&script(seed, 40, 600, kind));
        }
    }
}

#[test]
fn every_flow_of_a_skewed_all_to_all_ends_as_in_the_twin() {
    let (capacities, pairs) = all_to_all(32, (1 << 30) / 32, true);
    let (mut fast, mut slow) = (Fluid::new(&capacities), Twin::new(&capacities));
    start_all(&mut fast, &pairs);
    start_all(&mut slow, &pairs);
    let (fast, slow) = (run_out(&mut fast), run_out(&mut slow));
    let by_owner = |mut ends: Vec<(SimTime, u32)>| {
        ends.sort_unstable_by_key(|end| end.1);
        ends
    };
    let (fast, slow) = (by_owner(fast), by_owner(slow));
    assert_eq!(fast.len(), pairs.len());
    for (fast, slow) in fast.iter().zip(&slow) {
        let gap = (fast.0.as_secs() - slow.0.as_secs()).abs();
        assert!(
            fast.1 == slow.1 && gap <= 1e-9 * slow.0.as_secs(),
            "{fast:?} and {slow:?}"
        );
    }
}
