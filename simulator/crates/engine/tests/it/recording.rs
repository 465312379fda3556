//! What is kept for eyes: chosen programs and steps, the slowest one, and who released whom.

use orrery_engine::{Options, RecordPolicy, RunControl, run};
use orrery_taskgraph::{Driver as _, StaticDriver};
use orrery_timeline::KindTable;
use orrery_units::ProgramId;

use crate::support::{NO_DEMAND, at, cluster, compute, flow, micros, recording, run_all};

fn late_rank_two() -> StaticDriver {
    let (mut resources, lanes) = cluster(4, &["compute", "exchange"]);
    let group = resources.add_group(4);
    let mut driver = StaticDriver::new(resources);
    for step in 0..2 {
        for (rank, own) in lanes.iter().enumerate() {
            let mut work = compute(own[0], 0, micros(if rank == 2 { 30 } else { 10 }));
            work.step = step;
            if step > 0 {
                work = work.after(1);
            }
            let before = driver.push(work);
            let mut met = flow(own[1], 1, 5, NO_DEMAND)
                .meeting(group, u32::from(step))
                .after(before);
            met.step = step;
            driver.push(met);
        }
    }
    driver
}

/// Claim: of two steps only the second is recorded, of rank 0 and of the rank that made others wait.
#[test]
fn the_slowest_program_is_added() {
    let mut driver = late_rank_two();
    let options = Options {
        record: RecordPolicy {
            programs: vec![ProgramId::new(0)],
            add_slowest: true,
            steps: 1..2,
            span_budget: 100,
            kinds: KindTable::new(),
        },
        ..Options::default()
    };
    let timeline = run(&mut driver, &options, &RunControl::default())
        .expect("it completes")
        .timeline;
    let programs: Vec<&str> = timeline.lanes.iter().map(|lane| lane.program.as_str()).collect();
    assert_eq!(programs, ["rank 0", "rank 0", "rank 2", "rank 2"]);
    assert_eq!(timeline.len(), 4);
    assert!(timeline.spans().all(|span| span.step == 1));
}

/// Claim: the exchange of rank 0 was released by the compute of rank 2, which came last; its next compute
/// follows on its own lane.
#[test]
fn spans_know_what_released_them() {
    let outcome = run_all(&mut late_rank_two());
    let timeline = outcome.timeline;
    let spans: Vec<_> = timeline.spans().collect();
    let exchange = spans
        .iter()
        .find(|span| span.lane.get() == 1)
        .expect("rank 0 met");
    let released = timeline.span(exchange.released_by.expect("somebody released it"));
    assert_eq!(
        (
            released.lane.get(),
            released.start,
            released.start + released.duration
        ),
        (4, at(0), at(30))
    );
    for span in &spans {
        if let Some(by) = span.released_by {
            let by = timeline.span(by);
            assert!(by.start + by.duration <= span.start, "causes come before effects");
        }
    }
}

/// Claim: beyond the budget spans are dropped and counted; totals do not change.
#[test]
fn the_budget_bounds_spans_only() {
    let full = run_all(&mut late_rank_two());
    let mut driver = late_rank_two();
    let mut options = recording(driver.resources());
    options.record.span_budget = 5;
    let some = run(&mut driver, &options, &RunControl::default()).expect("it completes");
    assert_eq!((some.timeline.len(), some.timeline.dropped), (5, 11));
    assert_eq!(some.totals, full.totals);
}
