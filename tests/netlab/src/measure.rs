//! The measurement: every size over every link, real processes, and what the simulator said of the same.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use orrery_units::{Bytes, BytesPerSec, SimDuration};

use crate::bucket::Bucket;
use crate::exit::{Exit, Failure};
use crate::framing::Framing;
use crate::lab::{Lab, Shaper};
use crate::orders::{Order, Reply};
use crate::predict::{Links, predict};
use crate::processes::Processes;
use crate::processor::ProcessorTime;
use crate::ring::Ring;
use crate::signals::Signals;
use crate::tool::{self, Refusal};

/// Frames of plain Ethernet.
pub(crate) const MTU: Bytes = Bytes::new(1500);
/// What a shaper lets pass at once: 5 ms at 50 Mbit/s, many times the lateness of a timer.
pub(crate) const BURST: Bytes = Bytes::new(32 * 1024);
/// Laps of the small message.
const LAPS: usize = 200;
/// All-reduces before those that count: connections open their windows.
const WARM_UP: usize = 1;
/// What a rank may take beyond the time of its data.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is measured.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Number of ranks.
    pub(crate) ranks: usize,
    /// Bytes that every rank reduces.
    pub(crate) sizes: Vec<Bytes>,
    /// Speeds of the links.
    pub(crate) rates: Vec<BytesPerSec>,
    /// All-reduces that count, of each size and speed.
    pub(crate) repeats: usize,
    /// Whether the ranks talk over loopback, without namespaces.
    pub(crate) loopback: bool,
    /// The shaper, where it is not the first that the kernel has.
    pub(crate) shaper: Option<Shaper>,
}

/// How it was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Setting {
    /// Whether the ranks talked over loopback.
    pub(crate) loopback: bool,
    /// What shaped the links.
    pub(crate) shaper: Shaper,
    /// Whether the ranks ran before everything else on the machine.
    pub(crate) real_time: bool,
    /// What headers add on a link.
    pub(crate) framing: Framing,
}

/// One size over one link.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Row {
    /// Bytes that every rank reduced.
    pub(crate) size: Bytes,
    /// Speed of the links.
    pub(crate) rate: BytesPerSec,
    /// Latency measured on these links before.
    pub(crate) latency: SimDuration,
    /// Median over the repeats of the time of the slowest rank.
    pub(crate) measured: SimDuration,
    /// The shortest of them.
    pub(crate) fastest: SimDuration,
    /// The longest of them.
    pub(crate) slowest: SimDuration,
    /// What the simulator says.
    pub(crate) predicted: SimDuration,
    /// Share of the machine's processor time that was in use, by anybody; near 1 the processor is what is
    /// measured, and not the links. None where the kernel does not tell.
    pub(crate) busy: Option<f64>,
}

impl Row {
    /// `predicted / measured − 1`.
    pub(crate) fn error(&self) -> f64 {
        self.predicted.as_secs() / self.measured.as_secs() - 1.0
    }
}

/// The place in which ranks run.
struct Place {
    /// None over loopback.
    lab: Option<Lab>,
    setting: Setting,
    program: PathBuf,
    ranks: usize,
}

/// Measures and predicts all of `plan`; `tell` hears how it is to be done and every row as soon as it is there.
///
/// # Errors
/// When the machine does not offer what it takes, a rank has a fault, a sum is wrong, or a signal came.
pub(crate) fn measure(
    plan: &Plan,
    signals: &Signals,
    tell: &mut dyn FnMut(&Setting, Option<&Row>) -> anyhow::Result<()>,
) -> anyhow::Result<(Setting, Vec<Row>)> {
    let place = Place::prepare(plan)?;
    tell(&place.setting, None)?;
    let mut rows = Vec::new();
    for &rate in &plan.rates {
        signals.check()?;
        let mut processes = place.processes(rate, signals)?;
        let latency = latency(&mut processes, plan.ranks)?;
        for &size in &plan.sizes {
            let ring = Ring {
                ranks: plan.ranks,
                elements: usize::try_from(size.get() / 4).context("a size fits into memory")?,
            };
            let links = Links {
                rate,
                burst: BURST,
                latency,
                framing: place.setting.framing,
            };
            let row = row(&mut processes, ring, links, plan.repeats)?;
            tell(&place.setting, Some(&row))?;
            rows.push(row);
        }
    }
    Ok((place.setting, rows))
}

impl Place {
    fn prepare(plan: &Plan) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find this program to start it again")?;
        let lab = if plan.loopback {
            None
        } else {
            Some(Lab::build(plan.ranks, MTU)?)
        };
        let shaper = match (&lab, plan.shaper) {
            (None, _) => Shaper::Sender,
            (Some(_), Some(shaper)) => shaper,
            (Some(lab), None) => lab.offered().map_err(not_shaped)?,
        };
        let framing = match shaper {
            Shaper::Sender => Framing::NONE,
            Shaper::Tbf | Shaper::Htb => Framing::tcp(MTU),
        };
        let setting = Setting {
            loopback: plan.loopback,
            shaper,
            // Whoever may not, or has no `chrt`, measures with the noise of the machine.
            real_time: tool::run("chrt", &["-f", "50", "true"]).is_ok(),
            framing,
        };
        Ok(Self {
            lab,
            setting,
            program,
            ranks: plan.ranks,
        })
    }

    /// Shapes the links to `rate` and starts the ranks.
    fn processes(&self, rate: BytesPerSec, signals: &Signals) -> anyhow::Result<Processes> {
        if let Some(lab) = &self.lab {
            lab.shape(self.setting.shaper, rate, BURST).map_err(not_shaped)?;
        }
        let commands = (0..self.ranks).map(|rank| self.command(rank, rate)).collect();
        Processes::start(commands, signals, PATIENCE)
    }

    fn command(&self, rank: usize, rate: BytesPerSec) -> Command {
        let real_time: &[&str] = if self.setting.real_time {
            &["chrt", "-f", "50"]
        } else {
            &[]
        };
        let mut command = match &self.lab {
            Some(lab) => {
                let mut command = lab.enter(rank);
                command.args(real_time).arg(&self.program);
                command
            }
            None => match real_time.split_first() {
                Some((first, rest)) => {
                    let mut command = tool::command(first);
                    command.args(rest).arg(&self.program);
                    command
                }
                None => {
                    let mut command = tool::command("env");
                    command.arg(&self.program);
                    command
                }
            },
        };
        let bind = match &self.lab {
            Some(_) => Lab::address(rank),
            None => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
        };
        command.args(["rank", "--bind", &bind.to_string()]);
        if self.lab.is_some() {
            command.arg("--in-namespace");
        }
        if self.setting.shaper == Shaper::Sender {
            let (rate, burst) = (rate.get().to_string(), BURST.get().to_string());
            command.args(["--meter-rate", &rate, "--meter-burst", &burst]);
        }
        command
    }
}

fn not_shaped(refusal: Refusal) -> anyhow::Error {
    let (said, help) = match refusal {
        Refusal::Absent => (
            "the tool `tc` is missing".to_owned(),
            "install iproute2, or shape",
        ),
        Refusal::Refused(said) => (said, "shape"),
    };
    let help = format!("{help} in the sender: --shaper sender");
    Failure::with(Exit::Missing, format!("{said}\n  = help: {help}"))
}

/// One way from a rank to the next: the median lap of a small message, by the number of ranks.
fn latency(processes: &mut Processes, ranks: usize) -> anyhow::Result<SimDuration> {
    let replies = processes.ask(&Order::Circulate { laps: LAPS }, PATIENCE)?;
    let Some(Reply::Laps(nanos)) = replies.into_iter().next() else {
        anyhow::bail!("the first rank did not say how long its laps took");
    };
    let lap = median(nanos).context("the first rank made no lap")?;
    Ok(SimDuration::from_nanos(lap.div_ceil(ranks as u64)))
}

/// Reduces over `links` and predicts the same.
fn row(processes: &mut Processes, ring: Ring, links: Links, repeats: usize) -> anyhow::Result<Row> {
    let predicted = predict(ring, links).context("the simulator found a deadlock in a ring")?;
    let filling = Bucket::filling(links.rate, links.burst);
    // Twice the time in which a bucket fills, for timers that are late.
    let pause_micros = 2 * filling.as_picos().div_ceil(1_000_000);
    let order = Order::AllReduce {
        elements: ring.elements,
        repeats: WARM_UP + repeats,
        pause_micros,
    };
    let expected = predicted.as_secs() + filling.as_secs() * 2.0;
    // A link that gives a fifth of what it should is still waited for.
    let patience = PATIENCE + Duration::from_secs_f64(5.0 * expected * (WARM_UP + repeats) as f64);
    let before = ProcessorTime::now();
    let replies = processes.ask(&order, patience)?;
    let busy = before
        .zip(ProcessorTime::now())
        .and_then(|(before, after)| after.busy_since(before));
    let slowest = slowest_ranks(replies, WARM_UP + repeats)?;
    let counted = slowest[WARM_UP..].to_vec();
    let bounds = (counted.iter().min().copied(), counted.iter().max().copied());
    let (Some(measured), (Some(fastest), Some(slowest))) = (median(counted), bounds) else {
        anyhow::bail!("nothing was measured");
    };
    Ok(Row {
        size: Bytes::new(4 * ring.elements as u64),
        rate: links.rate,
        latency: links.latency,
        measured: SimDuration::from_nanos(measured),
        fastest: SimDuration::from_nanos(fastest),
        slowest: SimDuration::from_nanos(slowest),
        predicted,
        busy,
    })
}

/// Of each repeat, the time of the slowest rank, in nanoseconds.
fn slowest_ranks(replies: Vec<Reply>, repeats: usize) -> anyhow::Result<Vec<u64>> {
    let mut slowest = vec![0; repeats];
    for (rank, reply) in replies.into_iter().enumerate() {
        let Reply::Reduced { nanos, wrong } = reply else {
            anyhow::bail!("rank {rank} answered with {reply:?}");
        };
        anyhow::ensure!(wrong == 0, "rank {rank} ended with {wrong} wrong sums");
        anyhow::ensure!(
            nanos.len() == repeats,
            "rank {rank} timed {} repeats",
            nanos.len()
        );
        for (longest, time) in slowest.iter_mut().zip(nanos) {
            *longest = time.max(*longest);
        }
    }
    Ok(slowest)
}

/// The middle one; the lower of two.
fn median(mut values: Vec<u64>) -> Option<u64> {
    values.sort_unstable();
    values.get(values.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reduced(nanos: &[u64], wrong: usize) -> Reply {
        Reply::Reduced {
            nanos: nanos.to_vec(),
            wrong,
        }
    }

    #[test]
    fn the_slowest_rank_of_each_repeat_counts() {
        let replies = vec![reduced(&[5, 9], 0), reduced(&[7, 1], 0)];
        assert_eq!(slowest_ranks(replies, 2).unwrap(), [7, 9]);
    }

    #[test]
    fn a_wrong_sum_is_a_fault() {
        let replies = vec![reduced(&[5], 0), reduced(&[7], 3)];
        let fault = slowest_ranks(replies, 1).unwrap_err();
        assert_eq!(fault.to_string(), "rank 1 ended with 3 wrong sums");
    }

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!(median(vec![9, 1, 5]), Some(5));
        assert_eq!(median(vec![9, 1, 5, 7]), Some(5));
        assert_eq!(median(Vec::new()), None);
    }
}
