//! A thread for each device, and a watchdog: a call that hangs holds its own thread and nobody else.
//!
//! Every round asks all devices that are not in a call and waits for them, but never longer than it has patience.
//! What comes later is dropped: the next round asks anew. Nothing queues up, and a device has one thread at a time,
//! whatever happens to it.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long the threads are waited for when a crew is let go: those that are in no call that hangs end at once.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a thread does with an order; made anew for each thread.
pub(super) trait Work<Order, Answer>: FnMut(Order) -> Answer + Send + 'static {}
impl<Order, Answer, Any: FnMut(Order) -> Answer + Send + 'static> Work<Order, Answer> for Any {}

/// The threads of the devices, by their numbers.
pub(super) struct Crew<Order, Answer> {
    table: Arc<Table<Order, Answer>>,
    round: u64,
}

struct Table<Order, Answer> {
    seats: Mutex<Seats<Order, Answer>>,
    /// There are orders, or there will be none any more. One call wakes all threads, whatever their number.
    called: Condvar,
    /// All have answered a round, or a thread ended.
    changed: Condvar,
}

struct Seats<Order, Answer> {
    of: BTreeMap<u32, Seat<Order, Answer>>,
    /// Whether the crew is let go.
    is_closed: bool,
}

/// Where one thread finds its order and puts its answer; the number before each is its round.
struct Seat<Order, Answer> {
    order: Option<(u64, Order)>,
    /// The round whose order was given and is not answered.
    open: Option<u64>,
    answer: Option<(u64, Answer)>,
}

impl<Order: Copy + Send + 'static, Answer: Send + 'static> Crew<Order, Answer> {
    pub(super) fn new() -> Self {
        let seats = Seats {
            of: BTreeMap::new(),
            is_closed: false,
        };
        Self {
            table: Arc::new(Table {
                seats: Mutex::new(seats),
                called: Condvar::new(),
                changed: Condvar::new(),
            }),
            round: 0,
        }
    }

    /// Starts the thread of device `index`; `at_end` is dropped when it ends, in whatever way.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn hire(
        &mut self,
        index: u32,
        work: impl Work<Order, Answer>,
        at_end: impl Send + 'static,
    ) -> std::io::Result<()> {
        let seat = Seat {
            order: None,
            open: None,
            answer: None,
        };
        self.table.lock().of.insert(index, seat);
        let leaver = Leaver {
            table: self.table.clone(),
            index,
        };
        let name = format!("device-{index}");
        // A thread that could not be started drops what it was given.
        thread::Builder::new().name(name).spawn(move || {
            run(&leaver, work);
            drop(at_end);
            drop(leaver);
        })?;
        Ok(())
    }

    /// Whether device `index` has a thread.
    pub(super) fn has(&self, index: u32) -> bool {
        self.table.lock().of.contains_key(&index)
    }

    /// Whether a thread is in a call of an earlier round.
    pub(super) fn has_stuck(&self) -> bool {
        self.table.lock().of.values().any(|seat| seat.open.is_some())
    }

    /// Gives `order` to every device that is in no call, and waits until all have answered, or for `patience`; what
    /// was answered in time.
    pub(super) fn ask(&mut self, order: Order, patience: Duration) -> BTreeMap<u32, Answer> {
        self.round += 1;
        let deadline = Instant::now() + patience;
        let round = self.round;
        let mut seats = self.table.lock();
        for seat in seats.of.values_mut().filter(|seat| seat.open.is_none()) {
            *seat = Seat {
                order: Some((round, order)),
                open: Some(round),
                answer: None,
            };
        }
        drop(seats);
        self.table.called.notify_all();
        let mut seats = self.table.lock();
        while seats.are_open(round) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.table.changed.wait_timeout(seats, left);
            seats = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let taken = seats.of.iter_mut().filter_map(|(&index, seat)| {
            let answer = seat.answer.take().filter(|(of, _)| *of == round);
            Some((index, answer?.1))
        });
        taken.collect()
    }
}

impl<Order, Answer> Drop for Crew<Order, Answer> {
    fn drop(&mut self) {
        let mut seats = self.table.lock();
        seats.is_closed = true;
        self.table.called.notify_all();
        let waited = self
            .table
            .changed
            .wait_timeout_while(seats, FAREWELL, |seats| !seats.of.is_empty());
        // Whoever is in a call that hangs is left behind, with what it holds.
        drop(waited);
    }
}

impl<Order, Answer> Table<Order, Answer> {
    fn lock(&self) -> MutexGuard<'_, Seats<Order, Answer>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next order of device `index`; none once the crew is let go.
    fn next_order(&self, index: u32) -> Option<(u64, Order)> {
        let mut seats = self.lock();
        loop {
            if seats.is_closed {
                return None;
            }
            if let Some(order) = seats.of.get_mut(&index)?.order.take() {
                return Some(order);
            }
            seats = self.called.wait(seats).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<Order, Answer> Seats<Order, Answer> {
    /// Whether somebody has not answered `round`.
    fn are_open(&self, round: u64) -> bool {
        self.of.values().any(|seat| seat.open == Some(round))
    }
}

fn run<Order, Answer>(leaver: &Leaver<Order, Answer>, mut work: impl Work<Order, Answer>) {
    let Leaver { table, index } = leaver;
    while let Some((round, order)) = table.next_order(*index) {
        let answer = work(order);
        let mut seats = table.lock();
        if let Some(seat) = seats.of.get_mut(index) {
            seat.open = None;
            seat.answer = Some((round, answer));
        }
        // The last one of its round wakes whoever waits, once for all of them.
        let is_last = !seats.are_open(round);
        drop(seats);
        if is_last {
            table.changed.notify_all();
        }
    }
}

/// Frees the seat of its thread.
struct Leaver<Order, Answer> {
    table: Arc<Table<Order, Answer>>,
    index: u32,
}

impl<Order, Answer> Drop for Leaver<Order, Answer> {
    fn drop(&mut self) {
        self.table.lock().of.remove(&self.index);
        self.table.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    /// A crew whose devices answer with their number times the order; those from `num_good` on hang until told.
    fn crew(num_good: u32, num: u32) -> (Crew<u32, u32>, Vec<Sender<()>>) {
        let mut crew = Crew::new();
        let mut gates = Vec::new();
        for index in 0..num {
            let (gate, gated) = channel::<()>();
            gates.push(gate);
            let work = move |order: u32| {
                if index >= num_good {
                    let _let_go = gated.recv();
                }
                index * order
            };
            crew.hire(index, work, ()).unwrap();
        }
        (crew, gates)
    }

    #[test]
    fn one_that_hangs_holds_nobody_up_and_what_it_says_late_is_dropped() {
        let (mut crew, gates) = crew(2, 3);
        let first = crew.ask(10, Duration::from_millis(50));
        assert_eq!(first.into_iter().collect::<Vec<_>>(), [(0, 0), (1, 10)]);
        assert!(crew.has_stuck());
        // It is known to hang: the second round does not wait for it at all.
        let begin = Instant::now();
        let second = crew.ask(20, Duration::from_secs(20));
        assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
        assert_eq!(second.get(&1), Some(&20));
        gates[2].send(()).unwrap();
        while crew.has_stuck() {
            thread::yield_now();
        }
        gates[2].send(()).unwrap();
        let third = crew.ask(30, Duration::from_secs(20));
        assert_eq!(
            third.get(&2),
            Some(&60),
            "the answer of this round, not of the first"
        );
    }

    #[test]
    fn a_crew_that_is_let_go_waits_for_those_who_can_end() {
        let (ended, end) = channel::<()>();
        let mut crew: Crew<u32, u32> = Crew::new();
        crew.hire(0, |order| order, ended).unwrap();
        assert!(crew.has(0) && crew.ask(1, Duration::from_secs(20)).contains_key(&0));
        drop(crew);
        assert!(end.recv().is_err(), "its thread dropped what it held");
    }

    #[test]
    fn a_thread_that_panics_leaves_its_seat_and_the_others_go_on() {
        let mut crew: Crew<u32, u32> = Crew::new();
        crew.hire(0, |order| order, ()).unwrap();
        crew.hire(1, |order| 1 / (order - order), ()).unwrap();
        let answers = crew.ask(1, Duration::from_secs(20));
        assert_eq!(answers.into_iter().collect::<Vec<_>>(), [(0, 1)]);
        assert!(!crew.has(1) && crew.has(0));
    }
}
