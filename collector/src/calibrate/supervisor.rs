//! Holds a worker: asks it, waits so long and no longer, and starts another when it is gone.

use std::collections::VecDeque;
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::protocol::{Answer, Order};

/// Last lines of a worker's standard error that are kept.
const LINES: usize = 6;

/// What became of a worker.
#[derive(Debug, thiserror::Error)]
pub enum WorkerFault {
    /// It does not start.
    #[error("the worker `{command}` does not start: {source}")]
    Start {
        /// How it was started.
        command: String,
        /// What the system said.
        source: io::Error,
    },
    /// It ended instead of answering.
    #[error("the worker ended ({status}){said}")]
    Ended {
        /// Exit code or signal.
        status: String,
        /// Its last words, after a colon, or nothing.
        said: String,
    },
    /// It did not answer in time, and was killed.
    #[error(
        "the worker was silent for {0:?} and was killed; the driver may hang: see `dmesg` for `NVRM` and `Xid` lines"
    )]
    Silent(Duration),
    /// It answered what nobody understands.
    #[error("the worker answered `{0}`")]
    Nonsense(String),
}

/// A worker, started when it is needed.
#[derive(Debug)]
pub struct Supervisor {
    command: Vec<String>,
    patience: Duration,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    orders: ChildStdin,
    answers: Receiver<String>,
    words: Arc<Mutex<VecDeque<String>>>,
}

impl Supervisor {
    /// A supervisor of `command`, whose answers may take `patience` longer than the asker says.
    #[must_use]
    pub const fn new(command: Vec<String>, patience: Duration) -> Self {
        Self {
            command,
            patience,
            running: None,
        }
    }

    /// Asks, and waits for the answer; a worker that fails is gone, and the next question starts another.
    ///
    /// # Errors
    /// When it does not start, ends, is silent or answers nonsense.
    pub fn ask(&mut self, order: &Order, longest: Duration) -> Result<Answer, WorkerFault> {
        self.tell(order)?;
        let longest = self.patience + longest;
        self.hear(longest).unwrap_or_else(|| {
            self.let_go();
            Err(WorkerFault::Silent(longest))
        })
    }

    /// Gives an order, whose answer is heard later.
    ///
    /// # Errors
    /// When it does not start, or has ended.
    pub fn tell(&mut self, order: &Order) -> Result<(), WorkerFault> {
        let mut running = match self.running.take() {
            Some(running) => running,
            None => self.start()?,
        };
        running.tell(order)?;
        self.running = Some(running);
        Ok(())
    }

    /// The answer to an order that was given, if it comes within so long; one that failed is gone.
    pub fn hear(&mut self, within: Duration) -> Option<Result<Answer, WorkerFault>> {
        let answer = self.running.as_mut()?.hear(within);
        if matches!(answer, Some(Err(_))) {
            self.let_go();
        }
        answer
    }

    /// Ends the worker, if one runs; the next question starts another.
    pub fn let_go(&mut self) {
        self.running = None;
    }

    fn start(&self) -> Result<Running, WorkerFault> {
        let fault = |source| WorkerFault::Start {
            command: self.command.join(" "),
            source,
        };
        let (program, arguments) = self
            .command
            .split_first()
            .ok_or_else(|| fault(io::ErrorKind::NotFound.into()))?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(fault)?;
        let (orders, out, err) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(orders), Some(out), Some(err)) = (orders, out, err) else {
            unreachable!("all three are piped");
        };
        let (queue, answers) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if queue.send(line).is_err() {
                    return;
                }
            }
        });
        let words = Arc::new(Mutex::new(VecDeque::new()));
        let kept = Arc::clone(&words);
        thread::spawn(move || keep_last(err, &kept));
        Ok(Running {
            child,
            orders,
            answers,
            words,
        })
    }
}

fn keep_last(stream: impl Read, kept: &Mutex<VecDeque<String>>) {
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == LINES {
            kept.pop_front();
        }
        kept.push_back(line);
    }
}

impl Running {
    fn tell(&mut self, order: &Order) -> Result<(), WorkerFault> {
        let mut line = serde_json::to_vec(order).expect("an order is plain data");
        line.push(b'\n');
        match self.orders.write_all(&line) {
            Ok(()) => Ok(()),
            Err(_) => Err(self.ended()),
        }
    }

    fn hear(&mut self, within: Duration) -> Option<Result<Answer, WorkerFault>> {
        match self.answers.recv_timeout(within) {
            Ok(answer) => Some(serde_json::from_str(&answer).map_err(|_fault| WorkerFault::Nonsense(answer))),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Err(self.ended())),
        }
    }

    fn ended(&mut self) -> WorkerFault {
        let status = self.status();
        // Its last words may still be on their way.
        thread::sleep(Duration::from_millis(50));
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        let words: Vec<&str> = words
            .iter()
            .map(String::as_str)
            .filter(|line| !line.contains("RUST_BACKTRACE"))
            .collect();
        let said = if words.is_empty() {
            String::new()
        } else {
            format!(": {}", words.join(" ").trim())
        };
        WorkerFault::Ended { status, said }
    }
}

impl Running {
    /// How it ended. One that let go of its output may still be on its way out of a driver: nobody waits for it.
    fn status(&mut self) -> String {
        for _ in 0..100 {
            match self.child.try_wait() {
                Ok(Some(status)) => return told(&status),
                Ok(None) => thread::sleep(Duration::from_millis(10)),
                Err(fault) => return fault.to_string(),
            }
        }
        "it let go of its output and does not go away".to_owned()
    }
}

fn told(status: &ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that waits for a wedged driver cannot even be killed; waiting for it would hang this process too.
        let _ended = self.child.kill();
        for _ in 0..20 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}
