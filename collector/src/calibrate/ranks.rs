//! Collectives by NCCL among devices of this node: a worker for each device, all of them at once, each with its own launches.
//!
//! Rank 0's worker makes the identity by which the others find it, and this process hands it on. A time is that of the last
//! rank to end, batch by batch. Ranks wait for each other inside a library, so that one that is gone takes the others along:
//! all are ended, and named, and the next measurement begins with new ones.

use std::time::{Duration, Instant};

use orrery_kernels::device::{DeviceError, Identity, Measurement, Sampling};

use super::OTHER;
use super::exchange::{Crew, Exchange, measure};
use super::protocol::{Answer, Order};
use super::supervisor::{Supervisor, WorkerFault};

/// Longest that a rank that complains is believed to be the first to know.
const HEARSAY: Duration = Duration::from_millis(500);
/// Between two looks at workers that have not answered; no time that is measured holds it.
const LOOK: Duration = Duration::from_millis(2);

/// The workers of a node's devices.
#[derive(Debug)]
pub(super) struct Ranks {
    command: Vec<String>,
    patience: Duration,
    /// The device of rank 0, as the driver counts; the others' follow, round the last one.
    first: usize,
    /// A worker for each rank, with its device; none before they have met.
    met: Vec<(Supervisor, usize)>,
}

impl Ranks {
    /// Workers that `command` starts, from device `first` on; none runs yet.
    pub(super) const fn new(command: Vec<String>, patience: Duration, first: usize) -> Self {
        Self {
            command,
            patience,
            first,
            met: Vec::new(),
        }
    }

    /// Ends all workers; the next measurement starts others.
    pub(super) fn let_go(&mut self) {
        self.met.clear();
    }

    /// Measures `exchange` among so many ranks; or why not, with the names of those that were ended for it.
    pub(super) fn measure(
        &mut self,
        exchange: Exchange,
        ranks: usize,
        sampling: &Sampling,
        longest: Duration,
    ) -> Result<Measurement, String> {
        let outcome = self.run(exchange, ranks, sampling, longest);
        if outcome.is_err() {
            // Whatever it was: nobody knows what the others wait for.
            self.let_go();
        }
        outcome
    }

    fn run(
        &mut self,
        exchange: Exchange,
        ranks: usize,
        sampling: &Sampling,
        longest: Duration,
    ) -> Result<Measurement, String> {
        if self.met.len() != ranks {
            self.meet(ranks, longest)?;
        }
        measure(self, exchange, sampling, longest)
    }

    /// Starts a worker for each rank, and has them find each other.
    fn meet(&mut self, ranks: usize, longest: Duration) -> Result<(), String> {
        self.met.clear();
        let mut first = self.worker();
        let of_first = |answer: Result<Answer, WorkerFault>| match answer {
            Ok(Answer::Fault(reason)) => Err(format!("rank 0: {reason}")),
            Ok(answer) => Ok(answer),
            Err(fault) => Err(format!("rank 0: {fault}")),
        };
        let Answer::Devices(devices) = of_first(first.ask(&Order::Devices, longest))? else {
            return Err(OTHER.to_owned());
        };
        let count = devices.len();
        if !(2..=count).contains(&ranks) {
            return Err(DeviceError::TooFew { ranks, count }.to_string());
        }
        let Answer::Identity(identity) = of_first(first.ask(&Order::Identity, longest))? else {
            return Err(OTHER.to_owned());
        };
        self.met.push((first, self.first));
        for rank in 1..ranks {
            self.met.push((self.worker(), (self.first + rank) % count));
        }
        self.join(&identity, longest)
    }

    fn join(&mut self, identity: &Identity, longest: Duration) -> Result<(), String> {
        let devices: Vec<usize> = self.met.iter().map(|(_, device)| *device).collect();
        let order = |rank: usize| Order::Join {
            device: devices[rank],
            rank,
            ranks: devices.len(),
            identity: identity.clone(),
        };
        let joined = self.ask_all(order, longest)?;
        match joined.iter().all(|answer| *answer == Answer::Joined) {
            true => Ok(()),
            false => Err(OTHER.to_owned()),
        }
    }

    fn worker(&self) -> Supervisor {
        Supervisor::new(self.command.clone(), self.patience)
    }

    /// One answer of every rank. A rank that has ended is the reason; ranks that complain of it are not.
    fn ask_all(&mut self, order: impl Fn(usize) -> Order, longest: Duration) -> Result<Vec<Answer>, String> {
        for rank in 0..self.met.len() {
            let told = self.met[rank].0.tell(&order(rank));
            told.map_err(|fault| self.ended(&[rank], &fault.to_string()))?;
        }
        let longest = self.patience + longest;
        let mut answers: Vec<Option<Answer>> = vec![None; self.met.len()];
        let mut complaint = None;
        let mut deadline = Instant::now() + longest;
        loop {
            let waiting = answers.iter().enumerate().filter(|(_, answer)| answer.is_none());
            let waiting: Vec<usize> = waiting.map(|(rank, _)| rank).collect();
            if waiting.is_empty() || Instant::now() >= deadline {
                break;
            }
            for rank in waiting {
                match self.met[rank].0.hear(LOOK) {
                    None => {}
                    Some(Ok(Answer::Fault(reason) | Answer::Wrong(reason))) => {
                        complaint.get_or_insert((rank, reason));
                        deadline = deadline.min(Instant::now() + HEARSAY);
                        answers[rank] = Some(Answer::Joined);
                    }
                    Some(Ok(answer)) => answers[rank] = Some(answer),
                    Some(Err(fault)) => return Err(self.ended(&[rank], &fault.to_string())),
                }
            }
        }
        if let Some((rank, reason)) = complaint {
            return Err(self.ended(&[rank], &reason));
        }
        let silent: Vec<usize> = (0..answers.len())
            .filter(|&rank| answers[rank].is_none())
            .collect();
        if silent.is_empty() {
            return Ok(answers.into_iter().flatten().collect());
        }
        Err(self.ended(&silent, &WorkerFault::Silent(longest).to_string()))
    }

    /// What happened to `those`, and who was ended with them: nobody of them can go on.
    fn ended(&self, those: &[usize], what: &str) -> String {
        let names = |ranks: &mut dyn Iterator<Item = usize>| -> String {
            let names = ranks.map(|rank| format!("rank {rank} (device {})", self.met[rank].1));
            names.collect::<Vec<_>>().join(", ")
        };
        let (mut lines, remedies): (Vec<&str>, Vec<&str>) =
            what.lines().partition(|line| !line.starts_with("  = "));
        let mut others = (0..self.met.len()).filter(|rank| !those.contains(rank));
        let others = names(&mut others);
        let stopped = format!("; stopped with it: {others}");
        if !others.is_empty() {
            lines.push(&stopped);
        }
        let words = lines.concat();
        let remedies: String = remedies.iter().map(|line| format!("\n{line}")).collect();
        format!("{}: {words}{remedies}", names(&mut those.iter().copied()))
    }
}

impl Crew for Ranks {
    type Fault = String;

    fn ask_all(&mut self, order: &dyn Fn(usize) -> Order, longest: Duration) -> Result<Vec<Answer>, String> {
        Self::ask_all(self, order, longest)
    }

    fn other(&self) -> String {
        OTHER.to_owned()
    }
}

#[cfg(test)]
mod tests;
