//! The processes of all ranks, as the command holds them: orders out, answers in, none left behind.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::orders::{Order, Reply};
use crate::signals::Signals;

/// How often a wait looks for signals.
const LOOK: Duration = Duration::from_millis(50);

/// Processes that live as long as this value.
#[derive(Debug)]
pub(crate) struct Processes {
    children: Vec<Child>,
    orders: Vec<ChildStdin>,
    /// Answers with the rank that gave them; none for a rank that has ended.
    answers: Receiver<(usize, Option<Reply>)>,
    signals: Signals,
}

impl Processes {
    /// Starts one process for each of `commands` and closes the ring.
    ///
    /// # Errors
    /// When a process cannot be started or does not find its neighbours within `patience`.
    pub(crate) fn start(
        commands: Vec<Command>,
        signals: &Signals,
        patience: Duration,
    ) -> anyhow::Result<Self> {
        let (inbox, answers) = mpsc::channel();
        let mut processes = Self {
            children: Vec::new(),
            orders: Vec::new(),
            answers,
            signals: signals.clone(),
        };
        for (rank, mut command) in commands.into_iter().enumerate() {
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.spawn().context("cannot start the process of a rank")?;
            let (orders, answers) = (child.stdin.take(), child.stdout.take());
            processes.children.push(child);
            processes.orders.extend(orders);
            let inbox = inbox.clone();
            let answers = answers.context("a process has an output")?;
            thread::spawn(move || listen(rank, answers, &inbox));
        }
        processes.close_the_ring(patience)?;
        Ok(processes)
    }

    fn close_the_ring(&mut self, patience: Duration) -> anyhow::Result<()> {
        let mut addresses = Vec::new();
        for reply in self.collect(patience)? {
            match reply {
                Reply::Listening(address) => addresses.push(address),
                other => anyhow::bail!("a rank began with {other:?}"),
            }
        }
        let ranks = addresses.len();
        let connect = |rank: usize| Order::Connect {
            rank,
            ranks,
            next: addresses[(rank + 1) % ranks],
        };
        for rank in 0..ranks {
            self.order(rank, &connect(rank))?;
        }
        self.collect(patience).map(|_connected| ())
    }

    fn order(&mut self, rank: usize, order: &Order) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        self.orders[rank]
            .write_all(&line)
            .with_context(|| format!("rank {rank} takes no orders"))
    }

    /// Gives `order` to every rank and waits for all answers, in the order of ranks.
    ///
    /// # Errors
    /// When a rank has a fault, ends or says nothing within `patience`, or when a signal came.
    pub(crate) fn ask(&mut self, order: &Order, patience: Duration) -> anyhow::Result<Vec<Reply>> {
        for rank in 0..self.children.len() {
            self.order(rank, order)?;
        }
        self.collect(patience)
    }

    fn collect(&mut self, patience: Duration) -> anyhow::Result<Vec<Reply>> {
        let mut replies: Vec<Option<Reply>> = vec![None; self.children.len()];
        let deadline = Instant::now() + patience;
        while replies.iter().any(Option::is_none) {
            self.signals.check()?;
            match self.answers.recv_timeout(LOOK) {
                Ok((rank, Some(Reply::Fault(fault)))) => anyhow::bail!("rank {rank}: {fault}"),
                Ok((rank, Some(reply))) => replies[rank] = Some(reply),
                Ok((rank, None)) => anyhow::bail!("the process of rank {rank} has ended"),
                Err(RecvTimeoutError::Timeout) => {
                    anyhow::ensure!(
                        Instant::now() < deadline,
                        "the ranks are silent after {patience:?}"
                    );
                }
                Err(RecvTimeoutError::Disconnected) => anyhow::bail!("all ranks have ended"),
            }
        }
        Ok(replies.into_iter().flatten().collect())
    }
}

/// Hands on what a rank says, and that it has ended.
fn listen(rank: usize, answers: ChildStdout, inbox: &mpsc::Sender<(usize, Option<Reply>)>) {
    for line in BufReader::new(answers).lines().map_while(Result::ok) {
        let reply = serde_json::from_str(&line).unwrap_or(Reply::Fault(line));
        if inbox.send((rank, Some(reply))).is_err() {
            return;
        }
    }
    // Nobody may be waiting any more.
    let _gone = inbox.send((rank, None));
}

impl Drop for Processes {
    fn drop(&mut self) {
        for child in &mut self.children {
            // One that has ended already cannot be killed; waiting takes it off the process table either way.
            let _ended = child.kill();
            let _status = child.wait();
        }
    }
}
