//! Which kernels of different ranks are one collective.
//!
//! A collective that carries a number is found by its process group, its name and that number; a message by its ends and
//! how many went before; what carries neither by its order, where every rank is there with all of its events. Whatever
//! cannot be matched beyond doubt is counted and left unmatched: a false meeting would make one rank wait for another
//! that it never met.

use std::collections::{BTreeMap, HashMap};

use super::clocks::{CLOCKS_AGREE, end};
use super::collective::{Collective, Group};
use super::names::{exchange, is_communication, short};
use super::rank::{RankTrace, Role};

/// Kernels of several ranks that are one collective: (rank's place, event).
pub(super) type Meeting = Vec<(usize, u32)>;

/// Least share of what was recorded of the host below which a file is a sample.
const COMPLETE: f64 = 0.99;

/// What was matched, and what was not and why.
#[derive(Clone, Debug, Default)]
pub(super) struct Matched {
    pub(super) meetings: Vec<Meeting>,
    /// How many of them, at the end, were matched by their order.
    ordered: usize,
    pub(super) refusals: Refusals,
}

/// Why collectives were not matched, and how many.
#[derive(Clone, Debug, Default)]
pub(super) struct Refusals(BTreeMap<String, usize>);

impl Refusals {
    fn add(&mut self, reason: impl Into<String>, count: usize) {
        if count > 0 {
            *self.0.entry(reason.into()).or_default() += count;
        }
    }

    /// `12 kernels of collectives: …`, a line for each reason.
    pub(super) fn lines(&self) -> Vec<String> {
        let line = |(reason, count): (&String, &usize)| format!("{count} kernels of collectives: {reason}");
        self.0.iter().map(line).collect()
    }
}

/// A kernel of a rank that communicates.
#[derive(Clone, Copy, Debug)]
struct Call<'t> {
    event: u32,
    name: &'t str,
    about: Option<&'t Collective>,
    /// Its process group over all ranks.
    group: usize,
}

/// A process group over all ranks: its name, and its ranks where they are known.
type Identity<'t> = (Option<&'t str>, Option<&'t [u32]>);

/// Groups over all ranks.
#[derive(Debug, Default)]
struct Groups<'t> {
    places: BTreeMap<Identity<'t>, usize>,
    all: Vec<Option<&'t Group>>,
}

impl<'t> Groups<'t> {
    /// Place 0 is no group at all.
    fn place(&mut self, group: Option<&'t Group>) -> usize {
        let identity = group.map_or((None, None), |group| {
            (group.name.as_deref(), group.ranks.as_deref())
        });
        let next = self.all.len();
        let place = *self.places.entry(identity).or_insert(next);
        if place == next {
            self.all.push(group);
        }
        place
    }

    fn size(&self, place: usize) -> Option<u64> {
        self.all[place].and_then(Group::num_ranks)
    }
}

/// Matches the collectives of `ranks`.
pub(super) fn matched(ranks: &[RankTrace]) -> Matched {
    let mut matched = Matched::default();
    let mut groups = Groups::default();
    groups.place(None);
    let calls: Vec<Vec<Call<'_>>> = ranks.iter().map(|rank| calls(rank, &mut groups)).collect();
    let (mut numbered, mut messages, mut plain) = (Vec::new(), Vec::new(), Vec::new());
    for (rank, calls) in calls.iter().enumerate() {
        for call in calls {
            match call.about {
                Some(about) if is_message(ranks, rank, about) => messages.push((rank, call)),
                Some(about) if about.sequence.is_some() => numbered.push((rank, call)),
                _ => plain.push((rank, call)),
            }
        }
    }
    if ranks.len() < 2 {
        let all = numbered.len() + messages.len() + plain.len();
        matched
            .refusals
            .add("one rank alone: whom they waited for is unknown", all);
        return matched;
    }
    by_number(ranks, &numbered, &groups, &mut matched);
    by_ends(ranks, &messages, &mut matched);
    let before = matched.meetings.len();
    in_order(ranks, &plain, &groups, &mut matched);
    matched.ordered = matched.meetings.len() - before;
    matched
}

impl Matched {
    /// Drops meetings that were matched by their order and whose parties were never there together; clocks are aligned.
    pub(super) fn drop_apart(&mut self, ranks: &[RankTrace]) {
        let certain = self.meetings.len() - self.ordered;
        let ordered = self.meetings.split_off(certain);
        let together = |meeting: &Meeting| {
            let starts = meeting
                .iter()
                .map(|&(rank, event)| ranks[rank].kept[event as usize].start);
            let ends = meeting.iter().map(|&party| end(ranks, party));
            starts.max() <= ends.min().map(|end| end + CLOCKS_AGREE)
        };
        let (met, apart): (Vec<Meeting>, Vec<Meeting>) = ordered.into_iter().partition(together);
        let lost = apart.iter().map(Vec::len).sum();
        self.refusals
            .add("their order pairs them with others that ran at other times", lost);
        self.ordered = met.len();
        self.meetings.extend(met);
    }
}

/// Why the files are not all that the job's ranks did, if they are not.
pub(super) fn incomplete(ranks: &[RankTrace]) -> Option<String> {
    let sampled = ranks.iter().map(RankTrace::completeness).fold(1.0, f64::min);
    let world = ranks.iter().filter_map(|rank| rank.world_size).max();
    let present = u32::try_from(ranks.len()).unwrap_or(u32::MAX);
    let mut reasons = Vec::new();
    if let Some(world) = world.filter(|&world| world > present) {
        reasons.push(format!("{present} of {world} ranks are here"));
    }
    if sampled < COMPLETE {
        reasons.push(format!(
            "the files are a sample: down to {:.0} % of what was recorded of the host are there",
            sampled * 100.0
        ));
    }
    if ranks.iter().any(|rank| rank.stopped.is_some()) {
        reasons.push("a file stops before its end".to_owned());
    }
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

/// Calls of a rank in the order in which it launched them.
fn calls<'t>(rank: &'t RankTrace, groups: &mut Groups<'t>) -> Vec<Call<'t>> {
    let places: Vec<usize> = rank
        .groups
        .all
        .iter()
        .map(|group| groups.place(Some(group)))
        .collect();
    let mut launches: HashMap<u32, u64> = HashMap::new();
    for kept in rank.kept.iter().filter(|kept| kept.role == Role::Runtime) {
        launches.entry(kept.correlation).or_insert(kept.start);
    }
    let communicates: Vec<bool> = rank.names.iter().map(|name| is_communication(name)).collect();
    let mut calls: Vec<(u64, Call<'_>)> = (0_u32..)
        .zip(&rank.kept)
        .filter(|(_, kept)| kept.role == Role::Kernel && communicates[kept.name as usize])
        // A span of a timeline does not say whom it met.
        .filter(|&(event, _)| rank.said(event).is_none())
        .map(|(event, kept)| {
            let about = rank.collective(event);
            let group = about.map_or(0, |about| places[about.group as usize]);
            let launched = launches.get(&kept.correlation).copied().unwrap_or(kept.start);
            let name = rank.names[kept.name as usize].as_str();
            let call = Call {
                event,
                name,
                about,
                group,
            };
            (launched, call)
        })
        .collect();
    calls.sort_by_key(|(launched, call)| (*launched, call.event));
    calls.into_iter().map(|(_, call)| call).collect()
}

fn is_message(ranks: &[RankTrace], rank: usize, about: &Collective) -> bool {
    matches!(ranks[rank].names[about.name as usize].as_str(), "send" | "recv")
}

/// By process group, name and number; all ranks of the group have to be here.
fn by_number(ranks: &[RankTrace], calls: &[(usize, &Call<'_>)], groups: &Groups<'_>, matched: &mut Matched) {
    let mut meetings: BTreeMap<(usize, u64, &str), Meeting> = BTreeMap::new();
    for &(rank, call) in calls {
        let Some(about) = call.about else { continue };
        let name = ranks[rank].names[about.name as usize].as_str();
        let key = (call.group, about.sequence.unwrap_or(0), name);
        meetings.entry(key).or_default().push((rank, call.event));
    }
    for ((group, ..), meeting) in meetings {
        let twice = meeting.windows(2).any(|pair| pair[0].0 == pair[1].0);
        let count = meeting.len();
        match groups.size(group) {
            _ if twice => matched.refusals.add("a number occurs twice on a rank", count),
            Some(1) => {}
            Some(size) if size == count as u64 => matched.meetings.push(meeting),
            Some(size) if size < count as u64 => {
                let reason = "more ranks than the group has know their number: groups of one name are mixed";
                matched.refusals.add(reason, count);
            }
            Some(_) => matched
                .refusals
                .add("not all ranks of their group are here", count),
            None => matched
                .refusals
                .add("how many ranks their group has is not said", count),
        }
    }
}

/// Messages by (source, destination, how many went before): the n-th that one sends is the n-th that the other gets.
fn by_ends(ranks: &[RankTrace], calls: &[(usize, &Call<'_>)], matched: &mut Matched) {
    type Messages = [Vec<(usize, u32)>; 2];
    let mut pairs: BTreeMap<(usize, u32, u32), Messages> = BTreeMap::new();
    for &(rank, call) in calls {
        let ends = call.about.and_then(|about| ends(&ranks[rank], about));
        match ends {
            Some((source, destination, side)) => {
                let messages = pairs.entry((call.group, source, destination)).or_default();
                messages[side].push((rank, call.event));
            }
            None => matched.refusals.add("a message does not say both of its ends", 1),
        }
    }
    for [sent, received] in pairs.into_values() {
        if sent.len() == received.len() {
            let both = sent.into_iter().zip(received);
            matched
                .meetings
                .extend(both.map(|(sent, received)| vec![sent, received]));
        } else {
            let reason = "one end of a message knows another number of them than the other";
            matched.refusals.add(reason, sent.len() + received.len());
        }
    }
}

/// Source and destination in the job, and on which side `rank` is: 0 for the sender.
///
/// Some versions write ranks of the group instead: then the rank's own end says so.
fn ends(rank: &RankTrace, about: &Collective) -> Option<(u32, u32, usize)> {
    let mine = rank.rank?;
    let sends = rank.names[about.name as usize] == "send";
    let (own, other) = match sends {
        true => (about.source, about.destination?),
        false => (about.destination, about.source?),
    };
    let listed = rank.groups.all[about.group as usize].ranks.as_deref();
    let in_job = |number: u32| listed.and_then(|ranks| ranks.get(number as usize).copied());
    let other = match own {
        Some(own) if own != mine => in_job(other).filter(|_| in_job(own) == Some(mine))?,
        _ => other,
    };
    Some(if sends { (mine, other, 0) } else { (other, mine, 1) })
}

/// By order, where every rank of the job is there with all of its events.
fn in_order(ranks: &[RankTrace], calls: &[(usize, &Call<'_>)], groups: &Groups<'_>, matched: &mut Matched) {
    let (exchanges, calls): (Vec<(usize, &Call<'_>)>, Vec<_>) =
        calls.iter().partition(|(_, call)| exchange(call.name).is_some());
    matched.refusals.add(
        "kernels of expert exchanges do not say whom they meet",
        exchanges.len(),
    );
    let cannot = "collectives that carry no number cannot be matched by their order";
    if let Some(reason) = incomplete(ranks) {
        matched.refusals.add(format!("{reason}: {cannot}"), calls.len());
        return;
    }
    if ranks.iter().all(|rank| rank.world_size.is_none()) {
        let reason = format!("how many ranks the job has is not said: {cannot}");
        matched.refusals.add(reason, calls.len());
        return;
    }
    let mut lists: BTreeMap<usize, BTreeMap<usize, Vec<&Call<'_>>>> = BTreeMap::new();
    for (rank, call) in calls {
        let of_group = lists.entry(call.group).or_default();
        of_group.entry(rank).or_default().push(call);
    }
    for (group, members) in lists {
        let all = groups.size(group).unwrap_or(ranks.len() as u64);
        of_group(&members, all, matched);
    }
}

/// The collectives of a group of `all` ranks, in the order in which each of its members launched them.
fn of_group(members: &BTreeMap<usize, Vec<&Call<'_>>>, all: u64, matched: &mut Matched) {
    let count = members.values().map(Vec::len).sum();
    let Some(first) = members.values().next() else {
        return;
    };
    let differs = |at: &usize| {
        members
            .values()
            .any(|list| short(list[*at].name) != short(first[*at].name))
    };
    if all == 1 {
    } else if members.len() as u64 != all {
        matched
            .refusals
            .add("not all ranks of their group are here", count);
    } else if members.values().any(|list| list.len() != first.len()) {
        matched
            .refusals
            .add("ranks of a group launched different numbers of them", count);
    } else if let Some(at) = (0..first.len()).find(differs) {
        let reason = format!("number {at} in the order of a group has another name on different ranks");
        matched.refusals.add(reason, count);
    } else {
        for at in 0..first.len() {
            let meeting = members.iter().map(|(rank, list)| (*rank, list[at].event));
            matched.meetings.push(meeting.collect());
        }
    }
}

#[cfg(test)]
mod tests;
