//! Public traces of PyTorch's profiler: the facts that are known of them.

use std::fs::File;

use flate2::read::GzDecoder;
use orrery_trace::kineto::{Joined, RankTrace, join, read};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../tests/truth/traces/kineto/");

fn rank(set: &str, rank: u32) -> RankTrace {
    let file = File::open(format!("{ROOT}{set}/rank-{rank}.json.gz")).expect("it is shipped");
    read(GzDecoder::new(file)).expect("a trace")
}

fn joined(set: &str, ranks: u32) -> Joined {
    join((0..ranks).map(|number| rank(set, number)).collect())
}

/// events, kernels, kernel time, copies and sets, NCCL kernels, NCCL time, compute, exposed NCCL; microseconds.
fn facts(set: &str, number: u32) -> [u64; 8] {
    let facts = rank(set, number).facts();
    let micros = |time: orrery_units::SimDuration| (time.as_secs() * 1e6).round();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole microseconds"
    )]
    let micros = |time| micros(time) as u64;
    [
        facts.events,
        facts.kernels,
        micros(facts.kernel_time),
        facts.copies,
        facts.communication_kernels,
        micros(facts.communication_time),
        micros(facts.compute_time),
        micros(facts.exposed_communication),
    ]
}

#[test]
fn the_facts_of_the_complete_set() {
    let known: [[u64; 8]; 8] = [
        [3290, 245, 6832, 16, 8, 5798, 1034, 5537],
        [3424, 310, 12_582, 16, 8, 11_336, 1246, 11_056],
        [3268, 246, 4560, 16, 8, 3492, 1068, 3217],
        [3474, 315, 11_014, 22, 8, 9774, 1240, 9450],
        [3310, 251, 7713, 22, 8, 6587, 1126, 6550],
        [3250, 245, 7292, 16, 8, 6251, 1041, 6211],
        [3272, 246, 4609, 16, 8, 3558, 1051, 3289],
        [3250, 246, 2805, 16, 8, 1746, 1059, 1580],
    ];
    for (number, known) in (0..).zip(known) {
        assert_eq!(facts("param_dlrm_8rank", number), known, "rank {number}");
    }
    let steps = rank("param_dlrm_8rank", 1).facts().steps;
    assert_eq!(steps, [(10, orrery_units::SimDuration::from_micros(19_901))]);
}

#[test]
fn the_facts_of_the_others() {
    assert_eq!(
        facts("hta_2rank_args", 0),
        [40_573, 2700, 162_532, 1074, 21, 46_876, 115_656, 39_559]
    );
    assert_eq!(
        facts("hta_128rank_sampled", 0),
        [4855, 1154, 606_519, 50, 10, 396_199, 210_320, 336_983]
    );
    assert_eq!(
        facts("hta_128rank_sampled", 1),
        [4720, 1104, 651_026, 50, 10, 379_053, 271_973, 303_523]
    );
    let steps: Vec<(u64, f64)> = rank("hta_2rank_args", 0)
        .facts()
        .steps
        .iter()
        .map(|(number, time)| (*number, time.as_secs() * 1e6))
        .collect();
    assert_eq!(steps.len(), 3, "{steps:?}");
    for ((number, time), known) in steps.iter().zip([(4, 222_442.2), (5, 219_726.9), (6, 224_936.2)]) {
        assert!(
            *number == known.0 && (time - known.1).abs() < 0.06,
            "{number}: {time}"
        );
    }
}

/// Every collective of the complete set is matched: ends agree within 7 us, and seven of eight wait for the last.
#[test]
fn collectives_meet() {
    let Joined {
        recording, report, ..
    } = joined("param_dlrm_8rank", 8);
    assert_eq!((report.collectives, report.refusals.len()), (8, 0), "{report:?}");
    assert_eq!(report.incomplete, None);
    assert_eq!(report.residual_skew, orrery_units::SimDuration::from_micros(7));
    assert_eq!(recording.parties(), [8; 8]);
    let mut last = Vec::new();
    for meeting in 0..8 {
        let parties = recording
            .operations
            .iter()
            .filter(|operation| operation.meeting == Some(meeting));
        let late = parties
            .max_by_key(|operation| operation.start)
            .expect("there are parties");
        last.push(recording.program_of(late).get());
    }
    last.sort_unstable();
    assert_eq!(last, [4, 5, 5, 7, 7, 7, 7, 7], "those that arrive last");
}

#[test]
fn a_sample_says_that_it_is_one() {
    let Joined {
        recording, report, ..
    } = joined("hta_128rank_sampled", 2);
    let why = report.incomplete.expect("two ranks of 128");
    assert!(why.contains("2 of 128 ranks") && why.contains("sample"), "{why}");
    assert!(
        recording
            .operations
            .iter()
            .all(|operation| operation.meeting.is_none()),
        "no match is invented"
    );
    assert!(
        report.refusals[0].contains("cannot be matched"),
        "{:?}",
        report.refusals
    );
}

#[test]
fn one_rank_of_two_has_no_meetings() {
    let Joined {
        recording, report, ..
    } = joined("hta_2rank_args", 1);
    assert_eq!(report.collectives, 0);
    assert!(
        report
            .incomplete
            .expect("a rank is missing")
            .contains("1 of 2 ranks")
    );
    // Elements of the largest all-reduce, four bytes each; a step has its own.
    let bytes = recording.operations.iter().map(|operation| operation.bytes.get());
    assert_eq!(bytes.filter(|&bytes| bytes == 7_875_584 * 4).count(), 3);
    assert_eq!(
        recording.steps.iter().map(|step| step.number).collect::<Vec<_>>(),
        [4, 5, 6]
    );
}
