//! Collectives by NCCL between hosts: a rank for each device, each in a worker of its own host, all told by rank 0.
//!
//! What ranks find each other by is made by rank 0's worker, and goes over the connection on which a rank has shown the token,
//! to nobody else and not before every rank has. Results are a type of their own: nothing of TCP is among them.

mod report;
mod seat;

use std::net::TcpListener;
use std::time::Duration;

use orrery_kernels::device::Sampling;
use orrery_kernels::statistics::StopRule;
use orrery_operation::CollectiveOp;
use orrery_units::SimDuration;

pub use report::{NcclReport, NcclRow};
pub(super) use seat::serve;

use super::control::{self, Answer};
use super::coordinator::{GRACE, Ranks, gather, lost};
use super::{CollectiveError, Session};
use crate::calibrate::{Answer as Said, Crew, OTHER, Order, measure_exchange};

/// Longest that a rank takes to do what it is told where all is well, beyond the session's patience: NCCL opens its
/// connections, and operands are made.
const LONGEST: Duration = Duration::from_secs(30);
/// Share of a size's time in which power and clocks settle.
const WARM_UP: f64 = 0.25;

/// The program of a rank's worker, and its device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// How the worker is started.
    pub worker: Vec<String>,
    /// Which device of this host, as the driver counts.
    pub device: usize,
}

/// What rank 0 has measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NcclSweep {
    /// Collectives.
    pub ops: Vec<CollectiveOp>,
    /// Sizes in bytes, as nccl-tests counts them.
    pub sizes: Vec<u64>,
    /// Time for each size.
    pub budget: Duration,
}

/// Measures `sweep` with all ranks of `session`, filling `report` as it goes.
pub(super) fn measure(
    session: &Session,
    sweep: &NcclSweep,
    listener: TcpListener,
    report: &mut NcclReport,
    progress: &mut dyn FnMut(&str),
) -> Result<(), CollectiveError> {
    let (mut ranks, addresses) = gather(session, &listener)?;
    drop(listener);
    report.hosts = addresses.iter().map(std::net::SocketAddr::ip).collect();
    meet(&mut ranks)?;
    progress(&format!("{} ranks have met", session.ranks));
    let budget = sweep.budget.as_secs_f64();
    let sampling = Sampling {
        rule: StopRule {
            cap: SimDuration::from_secs(budget),
            ..StopRule::default()
        },
        warm_up: SimDuration::from_secs(WARM_UP * budget),
    };
    for &op in &sweep.ops {
        for &bytes in &sweep.sizes {
            let what = format!("{} of {}", op.name(), super::report::size(bytes));
            let mut crew = Told {
                ranks: &mut ranks,
                what,
            };
            let measured = measure_exchange(&mut crew, (op, bytes), &sampling, LONGEST + sweep.budget)?;
            let row = NcclRow {
                op,
                bytes,
                ranks: session.ranks,
                measured,
            };
            progress(&row.line());
            report.rows.push(row);
        }
    }
    ranks.tell(&control::Order::Stop)
}

/// Hands the identity of rank 0's worker to all: every one of them has shown the token, or it would not be here.
fn meet(ranks: &mut Ranks<'_>) -> Result<(), CollectiveError> {
    let count = ranks.session.ranks;
    let doing = "meeting the other ranks";
    let patience = ranks.session.timeout + LONGEST + GRACE;
    let order = |order| control::Order::Worker {
        order,
        seconds: LONGEST.as_secs(),
    };
    ranks.tell_one(0, &order(Order::Identity))?;
    let identity = match ranks.collect(0..1, doing, patience)?.pop() {
        Some(Answer::Worker(Said::Identity(identity))) => identity,
        _ => return Err(lost(OTHER.to_owned(), doing)),
    };
    for rank in 0..count {
        let join = Order::Join {
            // The rank knows its own.
            device: 0,
            rank,
            ranks: count,
            identity: identity.clone(),
        };
        ranks.tell_one(rank, &order(join))?;
    }
    let joined = ranks.collect(0..count, doing, patience)?;
    match joined
        .iter()
        .all(|answer| *answer == Answer::Worker(Said::Joined))
    {
        true => Ok(()),
        false => Err(lost(OTHER.to_owned(), doing)),
    }
}

/// Ranks that are told to measure `what`.
struct Told<'a, 'b> {
    ranks: &'a mut Ranks<'b>,
    what: String,
}

impl Crew for Told<'_, '_> {
    type Fault = CollectiveError;

    fn ask_all(
        &mut self,
        order: &dyn Fn(usize) -> Order,
        longest: Duration,
    ) -> Result<Vec<Said>, CollectiveError> {
        let count = self.ranks.session.ranks;
        for rank in 0..count {
            let told = control::Order::Worker {
                order: order(rank),
                seconds: longest.as_secs(),
            };
            self.ranks.tell_one(rank, &told)?;
        }
        let patience = self.ranks.session.timeout + longest + GRACE;
        let answers = self.ranks.collect(0..count, &self.what, patience)?.into_iter();
        let said = answers.map(|answer| match answer {
            Answer::Worker(said) => Some(said),
            _ => None,
        });
        said.collect::<Option<_>>().ok_or_else(|| self.other())
    }

    fn other(&self) -> CollectiveError {
        lost(OTHER.to_owned(), &self.what)
    }
}
