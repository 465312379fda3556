//! The thread that reads trainers.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use orrery_telemetry::trainer::{Jobs, Message};

use super::follow::Follower;
use super::socket::Socket;
use super::{JudgingError, Prepared};
use crate::board::wall_clock;
use crate::threads::Stop;

/// How often logs and the socket are looked at.
const EVERY: Duration = Duration::from_millis(200);

/// Reads trainers into [`Jobs`].
#[derive(Debug)]
pub(crate) struct Trainers {
    jobs: Arc<Mutex<Jobs>>,
    logs: Vec<Log>,
    socket: Option<Socket>,
    /// Whether a line that tells nothing was told of: once is enough.
    has_complained: bool,
}

#[derive(Debug)]
struct Log {
    job: String,
    follower: Follower,
    /// What was last wrong with it, so that it is told once.
    fault: Option<io::ErrorKind>,
}

impl Trainers {
    /// Takes up the logs and the socket of `prepared`; steps go to `jobs`.
    ///
    /// # Errors
    /// When the socket cannot be listened on.
    pub(crate) fn new(prepared: &Prepared, jobs: Arc<Mutex<Jobs>>) -> Result<Self, JudgingError> {
        let socket = prepared.trainer_socket.as_deref().map(|path| {
            Socket::listen(path).map_err(|fault| JudgingError::Socket {
                path: path.to_owned(),
                fault,
            })
        });
        let logs = prepared.jobs.iter().filter_map(|job| {
            Some(Log {
                job: job.name.clone(),
                follower: Follower::new(job.log.clone()?, job.from_start),
                fault: None,
            })
        });
        let trainers = Self {
            socket: socket.transpose()?,
            logs: logs.collect(),
            jobs,
            has_complained: false,
        };
        let mut jobs = trainers.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        for job in &prepared.jobs {
            jobs.describe(&job.name, job.description.clone(), wall_clock());
        }
        drop(jobs);
        Ok(trainers)
    }

    /// Whether there is anything to read.
    pub(crate) fn is_idle(&self) -> bool {
        self.logs.is_empty() && self.socket.is_none()
    }

    /// Reads until somebody wishes to stop.
    pub(crate) fn run(mut self, stop: &Stop) {
        loop {
            self.poll();
            if stop.wait(EVERY) {
                break;
            }
        }
    }

    fn poll(&mut self) {
        let at = wall_clock();
        let jobs = &self.jobs;
        // Held for one line at a time, so that a log that hangs stops nobody.
        let with_jobs = |take: &mut dyn FnMut(&mut Jobs)| {
            take(&mut jobs.lock().unwrap_or_else(PoisonError::into_inner));
        };
        for log in &mut self.logs {
            let job = &log.job;
            let read = log.follower.poll(&mut |line| {
                with_jobs(&mut |jobs| {
                    let _told = jobs.print(job, line, at);
                });
            });
            let fault = read.as_ref().err().map(io::Error::kind);
            if let Err(words) = &read
                && log.fault != fault
            {
                tracing::warn!("the log of job `{job}` cannot be read: {words}");
            }
            log.fault = fault;
        }
        if let Some(socket) = &mut self.socket {
            let complained = &mut self.has_complained;
            socket.poll(&mut |line| match Message::parse(line) {
                Ok(message) => with_jobs(&mut |jobs| jobs.tell(message.clone(), at)),
                Err(fault) => {
                    if !std::mem::replace(complained, true) {
                        tracing::warn!("a trainer's line tells nothing, and so may others: {fault}");
                    }
                }
            });
        }
    }
}
