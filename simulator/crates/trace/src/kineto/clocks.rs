//! Clocks of ranks: events far from all others left out, and hosts laid over each other by the collectives that they share.

use std::collections::BTreeMap;

use super::meetings::Meeting;
use super::rank::RankTrace;

/// Clocks that agree this closely are left alone, nanoseconds: they are those of one host, or well kept.
pub(super) const CLOCKS_AGREE: u64 = 100_000;

/// The longest that a recording is, nanoseconds: a day. What lies further from the middle of a rank has a broken time.
const LONGEST_RUN: u64 = 86_400_000_000_000;

/// What was found of the clocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Clocks {
    /// How far the clock of each rank is ahead of that of the first one that it is tied to, nanoseconds.
    pub(super) ahead: Vec<i64>,
    /// Ranks that could not be laid over the others by what they share, and were laid there by the middle of their events.
    pub(super) untied: Vec<u32>,
}

/// Counts all times from one instant, and leaves out events more than a day from the middle of their rank; gives their
/// number.
pub(super) fn to_one_base(ranks: &mut [RankTrace]) -> u64 {
    let first = ranks.iter().map(|rank| rank.base).min().unwrap_or(0);
    let mut dropped = 0;
    for rank in ranks {
        let by = i128::from(rank.base - first);
        rank.base = first;
        dropped += drop_far(rank);
        turn(rank, by);
    }
    dropped
}

/// The middle of the starts of a rank's events and steps.
fn middle(rank: &RankTrace) -> Option<u64> {
    let kept = rank.kept.iter().map(|kept| kept.start);
    let mut starts: Vec<u64> = kept.chain(rank.steps.iter().map(|step| step.1)).collect();
    let at = starts.len() / 2;
    (!starts.is_empty()).then(|| *starts.select_nth_unstable(at).1)
}

fn drop_far(rank: &mut RankTrace) -> u64 {
    let Some(middle) = middle(rank) else { return 0 };
    let is_near = |start: u64| start.abs_diff(middle) <= LONGEST_RUN;
    if rank.kept.iter().all(|kept| is_near(kept.start)) && rank.steps.iter().all(|step| is_near(step.1)) {
        return 0;
    }
    let before = rank.kept.len() + rank.steps.len();
    let mut place = 0;
    let mut places = Vec::with_capacity(rank.kept.len());
    for kept in &rank.kept {
        places.push(is_near(kept.start).then_some(place));
        place += u32::from(is_near(kept.start));
    }
    rank.kept.retain(|kept| is_near(kept.start));
    rank.steps.retain(|step| is_near(step.1));
    let moved = |event: &mut u32| match places.get(*event as usize) {
        Some(&Some(place)) => {
            *event = place;
            true
        }
        _ => false,
    };
    rank.collectives.retain_mut(|(event, _)| moved(event));
    rank.said.retain_mut(|(event, _)| moved(event));
    rank.splits.retain_mut(|(event, _)| moved(event));
    (before - rank.kept.len() - rank.steps.len()) as u64
}

fn turn(rank: &mut RankTrace, by: i128) {
    if by == 0 {
        return;
    }
    let turned = |start: u64| {
        let start = (i128::from(start) + by).clamp(0, i128::from(u64::MAX / 2));
        u64::try_from(start).expect("it was clamped")
    };
    for kept in &mut rank.kept {
        kept.start = turned(kept.start);
    }
    for (_, start, _) in &mut rank.steps {
        *start = turned(*start);
    }
}

pub(super) fn end(ranks: &[RankTrace], (rank, event): (usize, u32)) -> u64 {
    let kept = &ranks[rank].kept[event as usize];
    kept.start + kept.duration
}

/// Lays clocks over each other: parties of a collective end together.
///
/// The difference of two clocks is the median difference of the ends of the collectives that both ranks are in. Ranks are
/// tied to each other by pairs, those with most in common first, until all that hang together are tied (a spanning tree).
/// Nothing is turned back below the first instant: the clock that is furthest ahead stays.
pub(super) fn align(ranks: &mut [RankTrace], meetings: &[Meeting]) -> Clocks {
    let mut tree = Tree::new(ranks.len());
    for (a, b, ahead) in pairs(ranks, meetings) {
        tree.tie(a, b, ahead);
    }
    let mut clocks = Clocks {
        ahead: tree.ahead(),
        untied: Vec::new(),
    };
    if clocks
        .ahead
        .iter()
        .all(|ahead| ahead.unsigned_abs() <= CLOCKS_AGREE)
    {
        clocks.ahead.fill(0);
    } else {
        let most = clocks.ahead.iter().copied().max().unwrap_or(0);
        for (rank, &ahead) in ranks.iter_mut().zip(&clocks.ahead) {
            turn(rank, i128::from(most) - i128::from(ahead));
        }
    }
    clocks.untied = lay_by_middle(ranks, &tree);
    clocks
}

/// Lays what lies more than a day from the first rank, and is not tied to it, over it by the middle of its events.
fn lay_by_middle(ranks: &mut [RankTrace], tree: &Tree) -> Vec<u32> {
    let middles: Vec<Option<u64>> = ranks.iter().map(middle).collect();
    let Some(reference) = middles.first().copied().flatten() else {
        return Vec::new();
    };
    let mut untied = Vec::new();
    for at in 0..ranks.len() {
        // All that hang together are turned alike.
        let lead = middles[tree.root(at)].unwrap_or(reference);
        if lead.abs_diff(reference) > LONGEST_RUN {
            turn(&mut ranks[at], i128::from(reference) - i128::from(lead));
            untied.push(ranks[at].rank.unwrap_or(0));
        }
    }
    untied
}

/// Pairs of ranks that meet, with how far the clock of the second is ahead of that of the first; those that meet most
/// often first.
fn pairs(ranks: &[RankTrace], meetings: &[Meeting]) -> Vec<(usize, usize, i64)> {
    let mut differences: BTreeMap<(usize, usize), Vec<i64>> = BTreeMap::new();
    for meeting in meetings {
        // Against one party, which ties all of them; every pair would be quadratic in the size of a group.
        let Some((&first, others)) = meeting.split_first() else {
            continue;
        };
        for &other in others {
            let by = i128::from(end(ranks, other)) - i128::from(end(ranks, first));
            let by = i64::try_from(by).unwrap_or(0);
            differences.entry((first.0, other.0)).or_default().push(by);
        }
    }
    let mut pairs: Vec<(usize, (usize, usize, i64))> = differences
        .into_iter()
        .map(|((a, b), mut all)| {
            let at = all.len() / 2;
            (all.len(), (a, b, *all.select_nth_unstable(at).1))
        })
        .collect();
    pairs.sort_by_key(|&(count, _)| std::cmp::Reverse(count));
    pairs.into_iter().map(|(_, pair)| pair).collect()
}

/// Ranks that are tied to each other: each knows another one of its tree and how far it is ahead of that.
struct Tree(Vec<(usize, i64)>);

impl Tree {
    fn new(count: usize) -> Self {
        Self((0..count).map(|rank| (rank, 0)).collect())
    }

    /// The root of the tree of `rank`, and how far `rank` is ahead of it.
    fn find(&self, mut rank: usize) -> (usize, i64) {
        let mut ahead = 0_i64;
        while self.0[rank].0 != rank {
            ahead = ahead.saturating_add(self.0[rank].1);
            rank = self.0[rank].0;
        }
        (rank, ahead)
    }

    fn root(&self, rank: usize) -> usize {
        self.find(rank).0
    }

    /// Ties `b`, which is `ahead` of `a`, unless both hang together already. The lower root stays one.
    fn tie(&mut self, a: usize, b: usize, ahead: i64) {
        let (root_a, of_a) = self.find(a);
        let (root_b, of_b) = self.find(b);
        // How far the root of b is ahead of that of a.
        let apart = of_a.saturating_add(ahead).saturating_sub(of_b);
        match root_a.cmp(&root_b) {
            std::cmp::Ordering::Less => self.0[root_b] = (root_a, apart),
            std::cmp::Ordering::Greater => self.0[root_a] = (root_b, apart.saturating_neg()),
            std::cmp::Ordering::Equal => {}
        }
    }

    fn ahead(&self) -> Vec<i64> {
        (0..self.0.len()).map(|rank| self.find(rank).1).collect()
    }
}

/// The largest difference between the ends of one collective.
pub(super) fn skew(ranks: &[RankTrace], meetings: &[Meeting]) -> u64 {
    let spread = |meeting: &Meeting| {
        let ends = || meeting.iter().map(|&party| end(ranks, party));
        ends().max().unwrap_or(0) - ends().min().unwrap_or(0)
    };
    meetings.iter().map(spread).max().unwrap_or(0).min(LONGEST_RUN)
}

#[cfg(test)]
mod tests {
    use super::super::rank::{Kept, NO_CORRELATION, Role};
    use super::*;

    /// A rank whose collectives end at `ends`, nanoseconds.
    fn rank(number: u32, ends: &[u64]) -> RankTrace {
        let kept = |&end: &u64| Kept {
            track: 0,
            name: 0,
            start: end - 10,
            duration: 10,
            bytes: 0,
            correlation: NO_CORRELATION,
            role: Role::Kernel,
        };
        RankTrace::of_parts(number, ends.iter().map(kept).collect(), Vec::new())
    }

    /// Two hosts of two ranks: within a host ranks meet twice, across hosts once. The second host is an hour ahead, and a
    /// median over all meetings would turn half of each away from the other.
    #[test]
    fn hosts_are_tied_by_pairs() {
        const HOUR: u64 = 3_600_000_000_000;
        let mut ranks = [
            rank(0, &[1_000, 2_000, 9_000]),
            rank(1, &[1_000, 2_000, 8_000]),
            rank(2, &[HOUR + 1_500, HOUR + 2_500, HOUR + 9_000]),
            rank(3, &[HOUR + 1_500, HOUR + 2_500, HOUR + 8_000]),
        ];
        let meetings: Vec<Meeting> = vec![
            vec![(0, 0), (1, 0)],
            vec![(0, 1), (1, 1)],
            vec![(2, 0), (3, 0)],
            vec![(2, 1), (3, 1)],
            vec![(0, 2), (2, 2)],
            vec![(1, 2), (3, 2)],
        ];
        let clocks = align(&mut ranks, &meetings);
        let hour = i64::try_from(HOUR).expect("it fits");
        assert_eq!(clocks.ahead, [0, 0, hour, hour]);
        assert_eq!(skew(&ranks, &meetings), 0);
        assert_eq!(ranks[0].kept[0].start, HOUR + 990, "nothing moves below zero");
    }

    #[test]
    fn files_with_bases_of_their_own_are_laid_on_one() {
        let mut ranks = [rank(0, &[5_000]), rank(1, &[1_000])];
        (ranks[0].base, ranks[1].base) = (1_000_000, 1_004_000);
        assert_eq!(to_one_base(&mut ranks), 0);
        assert_eq!((ranks[0].kept[0].start, ranks[1].kept[0].start), (4_990, 4_990));
    }

    /// One event at zero among those of a day in 2023 would stretch the run over decades, and flatten all others.
    #[test]
    fn an_event_far_from_all_others_is_left_out() {
        let today = 1_694_128_201_000_000_000;
        let mut ranks = [rank(0, &[10, today, today + 50])];
        assert_eq!(to_one_base(&mut ranks), 1);
        assert_eq!(ranks[0].kept.len(), 2);
    }

    #[test]
    fn a_rank_of_another_day_that_meets_nobody_is_laid_over_the_others() {
        let mut ranks = [rank(0, &[LONGEST_RUN * 9]), rank(1, &[20])];
        assert_eq!(align(&mut ranks, &[]).untied, [1]);
        assert_eq!(ranks[0].kept[0].start, ranks[1].kept[0].start);
    }
}
