//! How long ranks wait in collectives, from how long each of them says that it was in one.
//!
//! A collective ends for all of its ranks at about the same time, when the data of the last one to come have gone
//! around; each counts from its own start (NCCL Inspector, `coll_exec_time_us`). So of the ranks that were heard of, the
//! one with the shortest time came last, and by what another one's is longer it waited. Where the last one is on a node
//! that nobody hears, all that are heard of wait alike, and none is apart.

use std::collections::BTreeMap;

use orrery_units::SimDuration;

use super::hysteresis::elapsed;
use crate::{Collective, UnixTime};

/// How long the other ranks of a collective are waited for: files of the inspector are written once in a while.
const PATIENCE: SimDuration = SimDuration::from_millis(10_000);
/// Collectives that are kept open, so that memory is bounded whatever is written; all are closed when there are more.
const MOST_OPEN: usize = 4_096;
/// Communicators that are remembered; beyond that all are forgotten, for jobs that end leave theirs behind.
const MOST_COMMUNICATORS: usize = 1_024;

/// A process with a rank.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RankProcess {
    /// Its node.
    pub node: String,
    /// Its number there.
    pub pid: u32,
}

/// Collectives in, waits of processes out.
#[derive(Clone, Debug, Default)]
pub struct Arrivals {
    open: BTreeMap<(String, u64), Meeting>,
    communicators: BTreeMap<String, Communicator>,
}

/// One collective.
#[derive(Clone, Debug)]
struct Meeting {
    since: UnixTime,
    num_ranks: u32,
    times: BTreeMap<RankProcess, SimDuration>,
}

/// What was heard of one communicator.
#[derive(Clone, Debug, Default)]
struct Communicator {
    num_ranks: u32,
    ranks: BTreeMap<RankProcess, u32>,
    /// The number of the last collective that was heard of, and of the last one that is accounted for.
    last: u64,
    taken: Option<u64>,
    /// Collectives of which two ranks or more were heard of, and how long each of those waited in them.
    num_met: u64,
    waits: BTreeMap<RankProcess, SimDuration>,
}

impl Arrivals {
    /// Takes in what was heard of until `now`.
    pub fn hear<'a>(&mut self, collectives: impl IntoIterator<Item = &'a Collective>, now: UnixTime) {
        for collective in collectives {
            let process = RankProcess {
                node: collective.node.clone(),
                pid: collective.pid,
            };
            if self.communicators.len() >= MOST_COMMUNICATORS {
                *self = Self::default();
            }
            let communicator = self
                .communicators
                .entry(collective.communicator.clone())
                .or_default();
            communicator.num_ranks = collective.num_ranks;
            communicator.ranks.insert(process.clone(), collective.rank);
            communicator.last = communicator.last.max(collective.sequence);
            let key = (collective.communicator.clone(), collective.sequence);
            let meeting = self.open.entry(key).or_insert_with(|| Meeting {
                since: now,
                num_ranks: collective.num_ranks,
                times: BTreeMap::new(),
            });
            meeting.times.insert(process, collective.duration);
        }
        let is_full = self.open.len() > MOST_OPEN;
        let is_over = |meeting: &Meeting| {
            is_full
                || meeting.times.len() >= usize::try_from(meeting.num_ranks).unwrap_or(usize::MAX)
                || elapsed(meeting.since, now) >= PATIENCE
        };
        for ((communicator, _), meeting) in self.open.extract_if(.., |_, meeting| is_over(meeting)) {
            if let Some(communicator) = self.communicators.get_mut(&communicator) {
                communicator.close(meeting);
            }
        }
    }

    /// The rank of each process in the largest communicator that `of` is true of all processes of: of one job, the one
    /// of all its ranks.
    #[must_use]
    pub fn ranks(&self, of: impl Fn(&RankProcess) -> bool) -> BTreeMap<RankProcess, u32> {
        let own = self
            .communicators
            .values()
            .filter(|communicator| communicator.ranks.keys().all(&of));
        let largest = own.max_by_key(|communicator| communicator.num_ranks);
        largest.map_or_else(BTreeMap::new, |communicator| communicator.ranks.clone())
    }

    /// How long the processes for which `of` holds have waited since this was asked last. What was heard of stands for
    /// the collectives between, which are told by their numbers: the inspector writes only some of them.
    pub fn take(&mut self, of: impl Fn(&RankProcess) -> bool) -> BTreeMap<RankProcess, SimDuration> {
        let mut waits: BTreeMap<RankProcess, SimDuration> = BTreeMap::new();
        for communicator in self.communicators.values_mut() {
            if !communicator.ranks.keys().any(&of) {
                continue;
            }
            for (process, wait) in communicator.take() {
                *waits.entry(process).or_default() += wait;
            }
        }
        waits
    }
}

impl Communicator {
    fn close(&mut self, meeting: Meeting) {
        // One alone says nothing of who waited.
        let Some(&shortest) = meeting.times.values().min().filter(|_| meeting.times.len() > 1) else {
            return;
        };
        self.num_met += 1;
        for (process, time) in meeting.times {
            *self.waits.entry(process).or_default() += time - shortest;
        }
    }

    fn take(&mut self) -> BTreeMap<RankProcess, SimDuration> {
        let (num_met, waits) = (std::mem::take(&mut self.num_met), std::mem::take(&mut self.waits));
        let since = self.taken.replace(self.last);
        // The first time nobody knows how many there were.
        let num = since
            .map_or(0, |since| self.last.saturating_sub(since))
            .max(num_met);
        #[expect(
            clippy::cast_precision_loss,
            reason = "collectives of a few steps are far below 2^53"
        )]
        let each = num as f64 / num_met.max(1) as f64;
        let scaled = waits
            .into_iter()
            .map(|(process, wait)| (process, wait.scaled(each)));
        scaled.collect()
    }
}

#[cfg(test)]
mod tests {
    use orrery_units::{Bytes, BytesPerSec};

    use super::*;

    fn collective(communicator: &str, sequence: u64, rank: u32, micros: u64) -> Collective {
        Collective {
            communicator: communicator.to_owned(),
            rank,
            num_ranks: 4,
            num_nodes: 1,
            node: "node-0".to_owned(),
            pid: 100 + rank,
            sequence,
            operation: "AllReduce".to_owned(),
            bytes: Bytes::new(1 << 20),
            duration: SimDuration::from_micros(micros),
            algorithm_bandwidth: BytesPerSec::default(),
            bus_bandwidth: BytesPerSec::default(),
            at: UnixTime::from_millis(0),
        }
    }

    fn at(secs: u64) -> UnixTime {
        UnixTime::from_millis(1_000 * secs)
    }

    /// Microseconds of wait by rank.
    fn waits(arrivals: &mut Arrivals) -> Vec<(u32, u64)> {
        let waits = arrivals.take(|_| true).into_iter();
        waits
            .map(|(process, wait)| (process.pid - 100, wait.as_picos() / 1_000_000))
            .collect()
    }

    #[test]
    fn who_comes_last_waits_for_nobody_and_the_others_for_him() {
        let mut arrivals = Arrivals::default();
        let all: Vec<Collective> = [900, 850, 100, 600]
            .iter()
            .zip(0..)
            .map(|(&micros, rank)| collective("a", 7, rank, micros))
            .collect();
        arrivals.hear(&all[..2], at(0));
        assert_eq!(waits(&mut arrivals), [], "two are missing yet");
        arrivals.hear(&all[2..], at(1));
        assert_eq!(waits(&mut arrivals), [(0, 800), (1, 750), (2, 0), (3, 500)]);
        assert_eq!(waits(&mut arrivals), [], "each is told once");
    }

    #[test]
    fn some_stand_for_all_and_those_on_other_nodes_are_not_waited_for_for_ever() {
        let mut arrivals = Arrivals::default();
        arrivals.hear(&[collective("a", 10, 0, 500), collective("a", 10, 1, 400)], at(0));
        arrivals.hear(&[], at(10));
        assert_eq!(waits(&mut arrivals), [(0, 100), (1, 0)]);
        // Six collectives later, two of which were written by both.
        for sequence in [13, 16] {
            arrivals.hear(
                &[
                    collective("a", sequence, 0, 500),
                    collective("a", sequence, 1, 400),
                ],
                at(20),
            );
        }
        arrivals.hear(&[], at(30));
        assert_eq!(waits(&mut arrivals), [(0, 600), (1, 0)]);
    }

    #[test]
    fn one_alone_says_nothing_and_a_flood_is_bounded() {
        let mut arrivals = Arrivals::default();
        for sequence in 0..10 * MOST_OPEN as u64 {
            arrivals.hear(&[collective("a", sequence, 0, 500)], at(0));
            assert!(arrivals.open.len() <= MOST_OPEN);
        }
        assert_eq!(waits(&mut arrivals), []);
        for number in 0..2 * MOST_COMMUNICATORS {
            arrivals.hear(&[collective(&number.to_string(), 0, 0, 500)], at(0));
            assert!(arrivals.communicators.len() <= MOST_COMMUNICATORS);
        }
    }

    #[test]
    fn ranks_are_those_of_the_largest_communicator_of_a_job() {
        let mut arrivals = Arrivals::default();
        let mut small = collective("tp", 1, 1, 5);
        (small.num_ranks, small.pid) = (2, 103);
        let mut foreign = collective("other job", 1, 0, 5);
        (foreign.num_ranks, foreign.pid) = (64, 900);
        let mut own: Vec<Collective> = (0..4).map(|rank| collective("world", 1, rank, 5)).collect();
        own.extend([small, foreign]);
        arrivals.hear(&own, at(0));
        let ranks = arrivals.ranks(|process| process.pid < 200);
        let ranks: Vec<(u32, u32)> = ranks
            .into_iter()
            .map(|(process, rank)| (process.pid, rank))
            .collect();
        assert_eq!(ranks, [(100, 0), (101, 1), (102, 2), (103, 3)]);
    }
}
