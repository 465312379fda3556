//! A toy of serving: two requests arrive by alarm, and the next batch is decided from what has completed.

use orrery_taskgraph::{Control, Driver, Pulled, Resources, Sequence, Sink};
use orrery_units::{LaneId, ProgramId, SimTime};

use crate::support::{at, cluster, compute, kind, micros, run_all, spans_of};

const PREFILL: u32 = 0;
const DECODE: u32 = 1;

/// A request that arrived: tokens still to decode, or its prefill still to do.
#[derive(Clone, Copy, Debug)]
struct Request {
    prefilled: bool,
    /// Whether it is part of what runs.
    in_batch: bool,
    left: u32,
}

/// One replica; a prefill takes 100 µs, a decode of a batch 10 µs and 2 µs per request in it.
struct Toy {
    resources: Resources,
    arrivals: Vec<SimTime>,
    running: Vec<Request>,
    /// Whether a batch is on the device.
    busy: bool,
    finished: Vec<SimTime>,
}

const REPLICA: ProgramId = ProgramId::new(0);

impl Driver for Toy {
    fn resources(&self) -> &Resources {
        &self.resources
    }

    fn start(&mut self, control: &mut Control) {
        for &arrival in &self.arrivals {
            control.alarm_at(arrival);
        }
    }

    fn alarm(&mut self, _now: SimTime, control: &mut Control) {
        self.running.push(Request {
            prefilled: false,
            in_batch: false,
            left: 3,
        });
        control.wake(REPLICA);
    }

    fn pull(&mut self, program: ProgramId, sink: &mut Sink<'_>) -> Pulled {
        if self.busy || self.running.is_empty() {
            return Pulled::Idle;
        }
        self.busy = true;
        let lane = LaneId::new(program.get());
        let waiting = self.running.iter_mut().find(|request| !request.prefilled);
        let mut task = if let Some(request) = waiting {
            request.in_batch = true;
            compute(lane, PREFILL, micros(100))
        } else {
            let batch = u64::try_from(self.running.len()).expect("two requests");
            self.running
                .iter_mut()
                .for_each(|request| request.in_batch = true);
            compute(lane, DECODE, micros(10 + 2 * batch))
        };
        task.notify = true;
        sink.push(task);
        Pulled::Tasks
    }

    fn completed(&mut self, now: SimTime, program: ProgramId, _sequence: Sequence, control: &mut Control) {
        self.busy = false;
        for request in self.running.iter_mut().filter(|request| request.in_batch) {
            request.in_batch = false;
            if request.prefilled {
                request.left -= 1;
            }
            request.prefilled = true;
        }
        let before = self.running.len();
        self.running.retain(|request| request.left > 0);
        self.finished
            .extend(std::iter::repeat_n(now, before - self.running.len()));
        control.wake(program);
    }
}

/// Arrivals at 50 and 155 µs. Prefill 50–150; decodes alone of 12 µs: 150–162, then the second request's
/// prefill 162–262; decodes of both of 14 µs: 262–276, 276–290, where the first has its three tokens; the
/// second alone: 290–302.
#[test]
fn two_requests_are_served_as_computed_by_hand() {
    let (resources, lanes) = cluster(1, &["compute"]);
    let mut toy = Toy {
        resources,
        arrivals: vec![at(155), at(50)],
        running: Vec::new(),
        busy: false,
        finished: Vec::new(),
    };
    let outcome = run_all(&mut toy);
    let expected = [
        (50, 150),
        (150, 162),
        (162, 262),
        (262, 276),
        (276, 290),
        (290, 302),
    ];
    assert_eq!(
        spans_of(&outcome, lanes[0][0]),
        expected.map(|(start, end)| (at(start), at(end)))
    );
    assert_eq!(toy.finished, [at(290), at(302)]);
    let lane = &outcome.totals.steps[0].lanes[lanes[0][0]];
    assert_eq!(lane.cell(kind(PREFILL)).expect("both were prefilled").count, 2);
    assert_eq!(lane.cell(kind(DECODE)).expect("both were decoded").count, 4);
    assert_eq!(lane.idle_host, micros(50));
}

/// Two alarms at one instant both ring, and waking a program that is busy does no harm.
#[test]
fn arrivals_at_one_instant_are_all_heard() {
    let (resources, _) = cluster(1, &["compute"]);
    let mut toy = Toy {
        resources,
        arrivals: vec![at(5), at(5)],
        running: Vec::new(),
        busy: false,
        finished: Vec::new(),
    };
    let outcome = run_all(&mut toy);
    // 5–105, 105–205 prefill; three decodes of both, 14 µs each.
    assert_eq!(toy.finished, [at(247), at(247)]);
    assert_eq!(outcome.totals.tasks, 5);
}
