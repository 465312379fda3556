//! Files written for a test each, matched.

use super::super::rank::read;
use super::*;

const ALL_REDUCE: &str = "ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevComm*)";

/// A kernel on stream 9 from `start` on for `duration` microseconds, with what it says of its collective.
fn kernel(start: u64, duration: u64, about: &str) -> String {
    format!(
        r#"{{"ph": "X", "cat": "kernel", "name": "{ALL_REDUCE}", "pid": 0, "tid": 9, "ts": {start}, "dur": {duration},
        "args": {{"device": 0, "stream": 9{about}}}}}"#
    )
}

/// What a numbered all-reduce of a group says.
fn of_group(group: &str, ranks: &str, size: u32, number: u32) -> String {
    format!(
        r#", "Collective name": "allreduce", "Process Group Name": "{group}", "Process Group Ranks": "{ranks}",
        "Group size": {size}, "Seq": {number}"#
    )
}

fn rank(number: u32, world: u32, events: &[String]) -> RankTrace {
    let text = format!(
        r#"{{"distributedInfo": {{"rank": {number}, "world_size": {world}}}, "traceEvents": [{}]}}"#,
        events.join(",")
    );
    read(text.as_bytes()).expect("a trace")
}

#[track_caller]
fn refused(matched: &Matched, reason: &str) {
    let lines = matched.refusals.lines();
    assert!(lines.iter().any(|line| line.contains(reason)), "{lines:?}");
}

/// Ranks 0, 1 and 2, 3 are two groups that trainers gave one name.
#[test]
fn groups_of_one_name_are_told_apart_by_their_ranks() {
    let ranks = [0, 1, 2, 3].map(|number| {
        let group = if number < 2 { "[0, 1]" } else { "[2, 3]" };
        rank(number, 4, &[kernel(10, 5, &of_group("tp", group, 2, 1))])
    });
    let found = matched(&ranks);
    assert_eq!(found.meetings, [vec![(0, 0), (1, 0)], vec![(2, 0), (3, 0)]]);
    // Where the ranks are not told, four know a number of a group of two.
    let ranks =
        [0, 1, 2, 3].map(|number| rank(number, 4, &[kernel(10, 5, &of_group("tp", "[0, ...]", 2, 1))]));
    let found = matched(&ranks);
    assert!(found.meetings.is_empty(), "{found:?}");
    refused(&found, "4 kernels of collectives: more ranks than the group has");
}

#[test]
fn a_group_of_which_ranks_are_missing_does_not_meet() {
    let ranks = [0, 1].map(|number| rank(number, 8, &[kernel(10, 5, &of_group("dp", "[0, 1, 2, 3]", 4, 1))]));
    let found = matched(&ranks);
    assert!(found.meetings.is_empty(), "those that it waits for are not here");
    refused(
        &found,
        "2 kernels of collectives: not all ranks of their group are here",
    );
}

#[test]
fn a_number_that_occurs_twice_is_none() {
    let about = of_group("dp", "[0, 1]", 2, 1);
    let ranks = [0, 1].map(|number| rank(number, 2, &[kernel(10, 5, &about), kernel(30, 5, &about)]));
    let found = matched(&ranks);
    assert!(found.meetings.is_empty(), "{found:?}");
    refused(&found, "4 kernels of collectives: a number occurs twice");
}

/// One kernel without a number is matched by its order, the others still by theirs.
#[test]
fn one_kernel_without_a_number_costs_no_other_its_own() {
    let events = |late: u64| {
        [
            kernel(10, 5, &of_group("dp", "[0, 1]", 2, 1)),
            kernel(20 + late, 9 - late, ""),
        ]
    };
    let found = matched(&[rank(0, 2, &events(0)), rank(1, 2, &events(3))]);
    assert_eq!(found.meetings, [vec![(0, 0), (1, 0)], vec![(0, 1), (1, 1)]]);
    let sample = matched(&[rank(0, 4, &events(0)), rank(1, 4, &events(3))]);
    assert_eq!(
        sample.meetings,
        [vec![(0, 0), (1, 0)]],
        "an order needs every rank"
    );
    refused(&sample, "2 kernels of collectives: 2 of 4 ranks are here");
}

#[test]
fn an_order_needs_the_size_of_the_job_and_parties_that_were_there_together() {
    let mut ranks = [
        rank(0, 2, &[kernel(10, 5, "")]),
        rank(1, 2, &[kernel(900, 5, "")]),
    ];
    let mut found = matched(&ranks);
    assert_eq!(found.meetings.len(), 1);
    found.drop_apart(&ranks);
    assert!(found.meetings.is_empty(), "one was over before the other began");
    refused(&found, "2 kernels of collectives: their order pairs them");
    ranks.iter_mut().for_each(|rank| rank.world_size = None);
    refused(&matched(&ranks), "how many ranks the job has is not said");
}

/// Launched as a, b on either rank, but run as b, a on the second.
#[test]
fn the_order_is_that_of_launches() {
    let launch = |start: u64, number: u32| {
        format!(
            r#"{{"ph": "X", "cat": "cuda_runtime", "name": "cudaLaunchKernel", "pid": 1, "tid": 1, "ts": {start}, "dur": 1,
            "args": {{"correlation": {number}}}}}"#
        )
    };
    let run = |start: u64, number: u32| kernel(start, 50, &format!(r#", "correlation": {number}"#));
    let ranks = [
        rank(0, 2, &[launch(1, 1), launch(2, 2), run(10, 1), run(20, 2)]),
        rank(1, 2, &[launch(1, 1), launch(2, 2), run(20, 1), run(10, 2)]),
    ];
    assert_eq!(
        matched(&ranks).meetings,
        [vec![(0, 2), (1, 2)], vec![(0, 3), (1, 3)]]
    );
}

/// Rank 3 of the group [1, 3] sends to rank 1; numbers of messages count for each rank alone.
#[test]
fn messages_meet_by_their_ends() {
    let message = |name: &str, ends: &str, number: u32| {
        format!(
            r#", "Collective name": "{name}", "Process Group Name": "pp", "Process Group Ranks": "[1, 3]",
            "Group size": 2, "Seq": {number}, {ends}"#
        )
    };
    let by_job = [
        rank(
            3,
            4,
            &[kernel(
                10,
                5,
                &message("send", r#""Src Rank": 3, "Dst Rank": 1"#, 4),
            )],
        ),
        rank(
            1,
            4,
            &[kernel(
                10,
                5,
                &message("recv", r#""Src Rank": 3, "Dst Rank": 1"#, 9),
            )],
        ),
    ];
    assert_eq!(matched(&by_job).meetings, [vec![(0, 0), (1, 0)]]);
    let by_group = [
        rank(
            3,
            4,
            &[kernel(
                10,
                5,
                &message("send", r#""Src Rank": 1, "Dst Rank": 0"#, 4),
            )],
        ),
        rank(
            1,
            4,
            &[kernel(
                10,
                5,
                &message("recv", r#""Src Rank": 1, "Dst Rank": 0"#, 9),
            )],
        ),
    ];
    assert_eq!(matched(&by_group).meetings, [vec![(0, 0), (1, 0)]]);
    let unknown = [1, 3].map(|number| rank(number, 4, &[kernel(10, 5, &message("send", r#""a": 0"#, 4))]));
    refused(
        &matched(&unknown),
        "2 kernels of collectives: a message does not say both of its ends",
    );
}
