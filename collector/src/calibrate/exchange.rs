//! One collective by NCCL, among ranks that carry out orders together: on devices of a node, or on hosts.

use std::time::{Duration, Instant};

use orrery_kernels::device::{Launching, Measurement, Sampling, launches_for};
use orrery_kernels::statistics::Stopper;
use orrery_operation::CollectiveOp;
use orrery_units::SimDuration;

use super::protocol::{Answer, Order};

/// Batches of one question take about this long, and are at most so many: the stop rule looks at each.
const QUESTION: (f64, usize) = (0.1, 16);
/// Launches of the first batch, from which others follow.
const FIRST: usize = 3;

/// Ranks that have met, and carry out every order at once.
pub(crate) trait Crew {
    /// Why they cannot go on.
    type Fault;

    /// One answer of every rank, in order; whoever takes longer than `longest` beyond its patience is not waited for.
    fn ask_all(
        &mut self,
        order: &dyn Fn(usize) -> Order,
        longest: Duration,
    ) -> Result<Vec<Answer>, Self::Fault>;

    /// A rank answered what it was not asked.
    fn other(&self) -> Self::Fault;
}

/// A collective of so many bytes, as nccl-tests counts them.
pub(crate) type Exchange = (CollectiveOp, u64);

/// Checks `exchange` at every rank, then times it: a time is that of the last rank to end, batch by batch.
pub(crate) fn measure<C: Crew>(
    crew: &mut C,
    (op, bytes): Exchange,
    sampling: &Sampling,
    longest: Duration,
) -> Result<Measurement, C::Fault> {
    let mut error = 0.0_f64;
    for answer in crew.ask_all(&|_| Order::Begin { op, bytes }, longest)? {
        let Answer::Checked(of_rank) = answer else {
            return Err(crew.other());
        };
        error = error.max(of_rank);
    }
    let begin = Instant::now();
    prepare(crew, FIRST, false, longest)?;
    let once = latest(&times(crew, 1, longest)?);
    prepare(crew, launches_for(once), false, longest)?;
    let once = latest(&times(crew, 1, longest)?);
    let launches = launches_for(once);
    let (launching, of_graph) = replayed(crew, launches, longest)?;
    let batches = batches_for(once, launches);
    while begin.elapsed().as_secs_f64() < sampling.warm_up.as_secs() {
        times(crew, batches, longest)?;
    }
    let mut stopper = Stopper::new(sampling.rule);
    let begin = Instant::now();
    loop {
        for time in times(crew, batches, longest)? {
            let spent = SimDuration::from_secs(begin.elapsed().as_secs_f64());
            let Some(reason) = stopper.take(time, spent) else {
                continue;
            };
            let summary = stopper.summary().expect("a sample was taken");
            let mut measured = Measurement::new(&summary, launches, reason);
            measured.launching = launching;
            measured.error = Some(error.max(of_graph));
            return Ok(measured);
        }
    }
}

fn latest(times: &[SimDuration]) -> SimDuration {
    times.iter().copied().max().unwrap_or_default()
}

/// Batches of so many launches, replayed where every rank may; and the relative error that graphs left.
fn replayed<C: Crew>(crew: &mut C, launches: usize, longest: Duration) -> Result<(Launching, f64), C::Fault> {
    let prepared = prepare(crew, launches, true, longest)?;
    let refused = prepared
        .iter()
        .enumerate()
        .find_map(|(rank, (launching, _))| match launching {
            Launching::Graph => None,
            Launching::Stream(why) => Some(format!("rank {rank}: {why}")),
        });
    if let Some(why) = refused {
        prepare(crew, launches, false, longest)?;
        return Ok((Launching::Stream(why), 0.0));
    }
    let errors = prepared.iter().filter_map(|(_, error)| *error);
    Ok((Launching::Graph, errors.fold(0.0, f64::max)))
}

type Prepared = Vec<(Launching, Option<f64>)>;

fn prepare<C: Crew>(
    crew: &mut C,
    launches: usize,
    is_replayed: bool,
    longest: Duration,
) -> Result<Prepared, C::Fault> {
    let order = |_| Order::Prepare {
        launches,
        replayed: is_replayed,
    };
    let answers = crew.ask_all(&order, longest)?.into_iter();
    let prepared = answers.map(|answer| match answer {
        Answer::Prepared { launching, error } => Some((launching, error)),
        _ => None,
    });
    prepared.collect::<Option<_>>().ok_or_else(|| crew.other())
}

/// Times of one launch in each of so many batches: of each the last rank's.
fn times<C: Crew>(crew: &mut C, batches: usize, longest: Duration) -> Result<Vec<SimDuration>, C::Fault> {
    let mut latest = vec![SimDuration::ZERO; batches];
    for answer in crew.ask_all(&|_| Order::Time { batches }, longest)? {
        let times = match answer {
            Answer::Times(times) if times.len() == batches => times,
            _ => return Err(crew.other()),
        };
        for (latest, picos) in latest.iter_mut().zip(times) {
            *latest = (*latest).max(SimDuration::from_picos(picos));
        }
    }
    Ok(latest)
}

/// Batches of one question, where one launch takes `once` and a batch has so many.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a positive number, which the conversion saturates"
)]
fn batches_for(once: SimDuration, launches: usize) -> usize {
    let fitting = QUESTION.0 / (once.as_secs() * launches as f64).max(1e-9);
    (fitting as usize).clamp(1, QUESTION.1)
}
