//! Which kernels of different ranks are one collective.

use std::collections::BTreeMap;

use super::names::{is_communication, short};
use super::rank::{Collective, RankTrace, Role};

/// A kernel of a rank that communicates, in the order in which the rank issued them.
#[derive(Clone, Debug)]
struct Call<'t> {
    event: u32,
    name: &'t str,
    about: Option<&'t Collective>,
}

/// Kernels of several ranks that are one collective: (rank's place, event).
pub(super) type Meeting = Vec<(usize, u32)>;

/// Least share of the host operators below which a file is a sample.
const COMPLETE: f64 = 0.99;

/// What was matched, and what was not and why.
#[derive(Clone, Debug, Default)]
pub(super) struct Matched {
    pub(super) meetings: Vec<Meeting>,
    pub(super) refusals: Vec<String>,
}

/// Matches the collectives of `ranks` by process group and number, or by order where files hold no numbers.
///
/// Numbers find each other even where ranks are missing. An order says something only when every rank of the job is there
/// with all of its events.
pub(super) fn matched(ranks: &[RankTrace]) -> Matched {
    let mut matched = Matched::default();
    let calls: Vec<Vec<Call<'_>>> = ranks.iter().map(calls).collect();
    if ranks.len() < 2 {
        if calls.iter().any(|calls| !calls.is_empty()) {
            let reason = "one rank alone: whom its collectives waited for is unknown";
            matched.refusals.push(reason.to_owned());
        }
        return matched;
    }
    let is_numbered = |call: &Call<'_>| call.about.is_some_and(|about| about.sequence.is_some());
    let numbered = calls.iter().flatten().all(is_numbered);
    if numbered {
        by_number(&calls, &mut matched);
        return matched;
    }
    if let Some(reason) = incomplete(ranks) {
        let reason = format!("{reason}: collectives that carry no number cannot be matched by their order");
        matched.refusals.push(reason);
        return matched;
    }
    by_order(&calls, &mut matched);
    matched
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
            "the files are a sample: down to {:.0} % of the host's operators are there",
            sampled * 100.0
        ));
    }
    if ranks.iter().any(|rank| rank.stopped.is_some()) {
        reasons.push("a file stops before its end".to_owned());
    }
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

fn calls(rank: &RankTrace) -> Vec<Call<'_>> {
    let about: BTreeMap<u32, &Collective> = rank
        .collectives
        .iter()
        .map(|(event, about)| (*event, about))
        .collect();
    let mut calls: Vec<(u64, Call<'_>)> = (0_u32..)
        .zip(&rank.kept)
        .filter(|(_, kept)| kept.role == Role::Kernel)
        .map(|(event, kept)| (event, kept, rank.names[kept.name as usize].as_str()))
        .filter(|(_, _, name)| is_communication(name))
        .map(|(event, kept, name)| {
            let about = about.get(&event).copied();
            (kept.start, Call { event, name, about })
        })
        .collect();
    calls.sort_by_key(|(start, call)| (*start, call.event));
    calls.into_iter().map(|(_, call)| call).collect()
}

fn group<'t>(call: &Call<'t>) -> &'t str {
    call.about.and_then(|about| about.group.as_deref()).unwrap_or("")
}

fn by_number(calls: &[Vec<Call<'_>>], matched: &mut Matched) {
    let mut meetings: BTreeMap<(&str, u64), Meeting> = BTreeMap::new();
    for (rank, calls) in calls.iter().enumerate() {
        for call in calls {
            let number = call.about.and_then(|about| about.sequence).unwrap_or(0);
            meetings
                .entry((group(call), number))
                .or_default()
                .push((rank, call.event));
        }
    }
    // A group of one rank here has its other members elsewhere, or is a group of one.
    let known = meetings.into_values().filter(|meeting| meeting.len() > 1);
    let apart = known.filter(|meeting| {
        let mut ranks: Vec<usize> = meeting.iter().map(|&(rank, _)| rank).collect();
        ranks.dedup();
        ranks.len() == meeting.len()
    });
    matched.meetings.extend(apart);
}

fn by_order(calls: &[Vec<Call<'_>>], matched: &mut Matched) {
    let num_ranks = calls.len();
    let mut groups: BTreeMap<&str, Vec<Vec<&Call<'_>>>> = BTreeMap::new();
    for (rank, calls) in calls.iter().enumerate() {
        for call in calls {
            let lists = groups
                .entry(group(call))
                .or_insert_with(|| vec![Vec::new(); num_ranks]);
            lists[rank].push(call);
        }
    }
    for (name, lists) in groups {
        let members: Vec<(usize, &Vec<&Call<'_>>)> = lists
            .iter()
            .enumerate()
            .filter(|(_, list)| !list.is_empty())
            .collect();
        let shown = if name.is_empty() {
            "of the job".to_owned()
        } else {
            format!("`{name}`")
        };
        let Some((_, first)) = members.first() else {
            continue;
        };
        if members.len() < 2 {
            continue;
        }
        if members.iter().any(|(_, list)| list.len() != first.len()) {
            matched.refusals.push(format!(
                "ranks issued different numbers of collectives in the group {shown}"
            ));
            continue;
        }
        let differs = |at: &usize| {
            members
                .iter()
                .any(|(_, list)| short(list[*at].name) != short(first[*at].name))
        };
        if let Some(at) = (0..first.len()).find(differs) {
            matched.refusals.push(format!(
                "collective {at} of the group {shown} has another name on different ranks"
            ));
            continue;
        }
        for at in 0..first.len() {
            let meeting = members.iter().map(|(rank, list)| (*rank, list[at].event));
            matched.meetings.push(meeting.collect());
        }
    }
}
