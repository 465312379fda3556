//! What holds of every run, on random static graphs.

use orrery_engine::{Options, RunControl, run};
use orrery_taskgraph::Driver as _;
use orrery_units::{LaneId, SimDuration, SimTime};
use proptest::prelude::*;

use crate::support::{Traits, random_graph, run_all};

const ALL: Traits = Traits {
    launches: true,
    delays: true,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Claim: of each lane, busy and idle time add up to the end of its last task; nothing runs faster than
    /// alone; busy time by evidence adds up to busy time by lane.
    #[test]
    fn time_is_conserved(seed in 0u64..1_000_000) {
        let mut driver = random_graph(seed, 40, ALL);
        let outcome = run_all(&mut driver);
        let step = &outcome.totals.steps[0];
        let mut busy = SimDuration::ZERO;
        for (id, lane) in step.lanes.iter_enumerated() {
            let last = outcome.timeline.spans().filter(|span| span.lane == id).last();
            let end = last.map_or(SimTime::ZERO, |span| span.start + span.duration);
            let idle: SimDuration =
                lane.iter().map(|(_, cell)| cell.idle_waiting + cell.idle_running).sum();
            prop_assert_eq!(lane.busy() + idle + lane.idle_host, end - SimTime::ZERO, "lane {}", id.get());
            for (_, cell) in lane.iter() {
                prop_assert!(cell.busy >= cell.alone, "nothing is faster than alone");
            }
            busy += lane.busy();
        }
        prop_assert_eq!(step.evidence.into_iter().sum::<SimDuration>(), busy);
        let spans: SimDuration = outcome.timeline.spans().map(|span| span.duration).sum();
        prop_assert_eq!(spans, busy);
        // Waits by who waited equal waits by who caused them.
        let waited: SimDuration = step.lanes.iter().flat_map(|l| l.iter()).map(|(_, cell)| cell.waited).sum();
        let caused: SimDuration = step.programs.iter().map(|program| program.caused_wait).sum();
        prop_assert_eq!(waited, caused);
    }

    /// Claim: a span begins no earlier than what released it ended, and lanes run in order.
    #[test]
    fn causes_come_before_effects(seed in 0u64..1_000_000) {
        let mut driver = random_graph(seed, 40, ALL);
        let lanes = driver.resources().lanes.len();
        let outcome = run_all(&mut driver);
        let mut free = vec![SimTime::ZERO; lanes];
        for span in outcome.timeline.spans() {
            let lane: LaneId = span.lane;
            prop_assert!(free[lane.index()] <= span.start, "a lane runs one thing at a time");
            free[lane.index()] = span.start + span.duration;
            if let Some(by) = span.released_by {
                let by = outcome.timeline.span(by);
                prop_assert!(by.start + by.duration <= span.start, "a cause ends before its effect begins");
            }
        }
    }

    /// Claim: what is recorded for eyes has no influence on what is counted.
    #[test]
    fn recording_changes_nothing(seed in 0u64..1_000_000) {
        let recorded = run_all(&mut random_graph(seed, 30, ALL));
        let bare = run(&mut random_graph(seed, 30, ALL), &Options::default(), &RunControl::default());
        prop_assert_eq!(bare.expect("it completes").totals, recorded.totals);
    }
}
