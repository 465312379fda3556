//! Runs that end early: cancelled, limited, deadlocked.

use orrery_engine::{Error, Options, RunControl, WaitsFor, run};
use orrery_taskgraph::{Control, Driver, Pulled, Resources, Sink, StaticDriver};
use orrery_units::{GroupId, ProgramId, SimTime};

use crate::support::{NO_DEMAND, Traits, cluster, compute, flow, micros, random_graph, recording};

/// Claim: two runs of one graph give equal totals and equal timelines, and progress ends at the end.
#[test]
fn the_same_graph_gives_the_same_outcome() {
    let traits = Traits {
        launches: true,
        delays: true,
    };
    let once = || {
        let mut driver = random_graph(5, 200, traits);
        let options = recording(driver.resources());
        let control = RunControl::default();
        let outcome = run(&mut driver, &options, &control).expect("it completes");
        (outcome, control.progress())
    };
    let ((first, progress), (second, _)) = (once(), once());
    assert_eq!(first, second);
    assert_eq!(format!("{first:?}"), format!("{second:?}"));
    assert_eq!(progress.tasks_done, first.totals.tasks);
    assert_eq!(progress.events, first.totals.events);
}

/// Claim: a cancelled run stops and keeps what it counted.
#[test]
fn a_cancelled_run_says_when() {
    struct Endless {
        resources: Resources,
        control: RunControl,
        pulls: u32,
    }
    impl Driver for Endless {
        fn resources(&self) -> &Resources {
            &self.resources
        }
        fn pull(&mut self, program: ProgramId, sink: &mut Sink<'_>) -> Pulled {
            self.pulls += 1;
            if self.pulls == 10_000 {
                self.control.cancel();
            }
            let lane = orrery_units::LaneId::new(program.get());
            sink.push(compute(lane, 0, micros(1)));
            Pulled::Tasks
        }
    }
    let control = RunControl::default();
    let (resources, _) = cluster(2, &["compute"]);
    let mut driver = Endless {
        resources,
        control: control.clone(),
        pulls: 0,
    };
    let error = run(&mut driver, &Options::default(), &control).expect_err("it was cancelled");
    assert!(
        matches!(error, Error::Cancelled { at, .. } if at > SimTime::ZERO),
        "{error}"
    );
    assert!(error.into_partial().totals.tasks > 4_000);
}

/// Claim: the event limit is exact, and the partial totals count what completed.
#[test]
fn the_event_limit_ends_a_run() {
    let (resources, lanes) = cluster(1, &["compute"]);
    let mut driver = StaticDriver::new(resources);
    for _ in 0..10 {
        driver.push(compute(lanes[0][0], 0, micros(1)));
    }
    let options = Options {
        event_limit: Some(4),
        ..Options::default()
    };
    let error = run(&mut driver, &options, &RunControl::default()).expect_err("the limit is below the need");
    assert_eq!(
        error.to_string(),
        "the limit of 4 events was reached at 4 µs of simulated time"
    );
    let totals = error.into_partial().totals;
    assert_eq!((totals.tasks, totals.events), (4, 4));
}

/// Claim: tasks that wait for each other are reported with what each waits for and who is missing.
///
/// Rank 0 meets as number 0 of group 0 while rank 1 first wants number 0 of group 1; each is behind the other.
#[test]
fn a_deadlock_names_who_waits_for_whom() {
    let (mut resources, lanes) = cluster(2, &["exchange", "compute"]);
    let groups = [resources.add_group(2), resources.add_group(2)];
    let mut driver = StaticDriver::new(resources);
    for (rank, order) in [[0, 1], [1, 0]].into_iter().enumerate() {
        for group in order {
            driver.push(flow(lanes[rank][0], 0, 5, NO_DEMAND).meeting(groups[group], 0));
        }
    }
    driver.push(compute(lanes[0][1], 1, micros(1)).after(1));
    let error = run(&mut driver, &Options::default(), &RunControl::default()).expect_err("it deadlocks");
    let text = error.to_string();
    let Error::Deadlock { blocked, more, .. } = error else {
        panic!("not a deadlock: {text}");
    };
    assert_eq!((blocked.len(), more), (3, 0));
    assert_eq!(blocked[1].waits_for, WaitsFor::Task(1));
    assert_eq!(
        blocked[0].waits_for,
        WaitsFor::Meeting {
            group: GroupId::new(0),
            number: 0,
            arrived: 1,
            parties: 2,
            missing: vec!["rank 1".to_owned()],
        }
    );
    assert!(
        text.contains("task 0 of `rank 0` on `exchange` waits for meeting 0 of group 0: 1 of 2 arrived, not yet `rank 1`"),
        "{text}"
    );
}

/// Claim: at most 20 blocked heads are listed, the others counted; a window that is full is pointed out.
#[test]
fn a_large_deadlock_is_summed_up() {
    let (mut resources, lanes) = cluster(30, &["exchange"]);
    let group = resources.add_group(31);
    let mut driver = StaticDriver::new(resources);
    for own in &lanes {
        for number in 0..3 {
            driver.push(flow(own[0], 0, 5, NO_DEMAND).meeting(group, number));
        }
    }
    let options = Options {
        lookahead: 2,
        ..Options::default()
    };
    let error = run(&mut driver, &options, &RunControl::default()).expect_err("one party is missing");
    let Error::Deadlock {
        blocked,
        more,
        full_windows,
        ..
    } = error
    else {
        panic!("not a deadlock");
    };
    assert_eq!((blocked.len(), more, full_windows), (20, 10, 30));
}

/// Claim: a run without tasks ends at once; alarms of a driver that then does nothing are harmless.
#[test]
fn nothing_to_do_is_no_deadlock() {
    struct Quiet(Resources);
    impl Driver for Quiet {
        fn resources(&self) -> &Resources {
            &self.0
        }
        fn start(&mut self, control: &mut Control) {
            control.alarm_at(crate::support::at(7));
        }
        fn pull(&mut self, _program: ProgramId, _sink: &mut Sink<'_>) -> Pulled {
            Pulled::Idle
        }
    }
    let (resources, _) = cluster(2, &["compute"]);
    let control = RunControl::default();
    let outcome = run(&mut Quiet(resources), &Options::default(), &control).expect("nothing can block");
    assert_eq!(outcome.totals.tasks, 0);
    assert_eq!(control.progress().now, crate::support::at(7));
}
