//! The command line: arguments in, an exit code out.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::panic;

use clap::{Args, Parser, Subcommand};
use orrery_units::{Bytes, BytesPerSec, Dimension, parse_quantity};

use crate::exit::{Exit, Failure};
use crate::lab::{MOST_RANKS, Shaper};
use crate::measure::{Plan, measure};
use crate::rank::{self, Meter};
use crate::report;
use crate::signals::Signals;

const AFTER: &str = "Needs root, a kernel with network namespaces, veth and bridge, and iproute2 (`ip`, `tc`); \
`chrt` of util-linux makes it steadier. Without them: --loopback. It takes its namespaces down when it ends, by \
Ctrl-C too.\n\nExit codes: 0 the mean error is at most 15 %; 1 it is not; 2 bad command line or no root, nothing was \
run; 3 a tool or the kernel's part is missing; 70 a rank was lost, or a bug in Orrery; 130/143 interrupted.";

/// A TCP ring all-reduce between processes over shaped links, measured against the simulator.
#[derive(Debug, Parser)]
#[command(name = "orrery-netlab", version, about, after_help = AFTER, max_term_width = 100)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    lab: LabArguments,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// One rank; the command starts these itself.
    #[command(hide = true)]
    Rank(RankArguments),
}

#[derive(Debug, Args)]
struct RankArguments {
    /// Where to listen.
    #[arg(long)]
    bind: SocketAddr,
    /// This network is the rank's alone, its settings may be changed.
    #[arg(long)]
    in_namespace: bool,
    /// Bytes per second that the sender keeps to.
    #[arg(long, requires = "meter_burst")]
    meter_rate: Option<f64>,
    /// Bytes that it may send at once.
    #[arg(long)]
    meter_burst: Option<u64>,
}

#[derive(Debug, Args)]
struct LabArguments {
    /// Ranks of the ring, a process each.
    #[arg(long, default_value_t = 4, value_parser = parse_ranks)]
    ranks: usize,
    /// Bytes that every rank reduces; a list.
    #[arg(long, value_name = "SIZES", value_delimiter = ',', value_parser = parse_size,
          default_value = "256 KiB,1 MiB,4 MiB")]
    size: Vec<Bytes>,
    /// Speeds of the links; a list.
    #[arg(long, value_name = "RATES", value_delimiter = ',', value_parser = parse_rate,
          default_value = "50 Mbit/s,100 Mbit/s,250 Mbit/s")]
    rate: Vec<BytesPerSec>,
    /// All-reduces of each size over each link, of which the median counts.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    repeats: u16,
    /// Talk over loopback, shaped by a token bucket in the sender; needs no root.
    #[arg(long)]
    loopback: bool,
    /// What shapes the links [default: the first that the kernel has].
    #[arg(long, value_enum, conflicts_with = "loopback")]
    shaper: Option<Shaper>,
    /// Print one JSON object and no table.
    #[arg(long)]
    json: bool,
}

fn parse_ranks(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(ranks) if (2..=MOST_RANKS).contains(&ranks) => Ok(ranks),
        _ => Err(format!("write a number from 2 to {MOST_RANKS}")),
    }
}

fn parse_size(text: &str) -> Result<Bytes, String> {
    let value = quantity(text, Dimension::Data, "1 MiB", 4.0..=1_073_741_824.0)?;
    Ok(Bytes::from_f64(value))
}

fn parse_rate(text: &str) -> Result<BytesPerSec, String> {
    let value = quantity(text, Dimension::DataRate, "100 Mbit/s", 1e4..=1.25e9)?;
    Ok(BytesPerSec::new(value))
}

/// A quantity within the bounds that make sense here.
fn quantity(
    text: &str,
    dimension: Dimension,
    example: &str,
    bounds: std::ops::RangeInclusive<f64>,
) -> Result<f64, String> {
    let value = parse_quantity(text, dimension)
        .map_err(|fault| format!("{fault}\n  = help: write `{example}`"))?
        .value;
    if bounds.contains(&value) {
        Ok(value)
    } else {
        Err(format!("`{text}` is out of range\n  = help: write `{example}`"))
    }
}

/// Carries the command out; says on standard error what went wrong, if anything did.
pub(crate) fn execute(cli: &Cli) -> Exit {
    let carried_out = || match &cli.role {
        Some(Role::Rank(arguments)) => run_rank(arguments),
        None => run_lab(&cli.lab),
    };
    let Ok(result) = panic::catch_unwind(panic::AssertUnwindSafe(carried_out)) else {
        return Exit::Bug;
    };
    result.unwrap_or_else(|fault| {
        let text = format!("{fault:#}");
        if !text.is_empty() {
            // There is nobody left to tell when this fails.
            let _told = writeln!(io::stderr(), "orrery-netlab: {text}");
        }
        fault
            .downcast_ref::<Failure>()
            .map_or(Exit::Bug, |failure| failure.exit)
    })
}

fn run_rank(arguments: &RankArguments) -> anyhow::Result<Exit> {
    let meter = arguments
        .meter_rate
        .zip(arguments.meter_burst)
        .map(|(rate, burst)| Meter {
            rate: BytesPerSec::new(rate),
            burst: Bytes::new(burst),
        });
    rank::serve(arguments.bind, meter, arguments.in_namespace)?;
    Ok(Exit::Success)
}

fn run_lab(arguments: &LabArguments) -> anyhow::Result<Exit> {
    if !arguments.loopback {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        require_root(&status)?;
    }
    let plan = Plan {
        ranks: arguments.ranks,
        sizes: arguments.size.clone(),
        rates: arguments.rate.clone(),
        repeats: usize::from(arguments.repeats),
        loopback: arguments.loopback,
        shaper: arguments.shaper,
    };
    if let Some(size) = plan.sizes.iter().find(|size| size.get() % 4 != 0) {
        let help = "an f32 has 4 bytes";
        return Err(Failure::with(
            Exit::Invalid,
            format!("{size:?} are no whole numbers\n  = help: {help}"),
        ));
    }
    let mut out = io::stdout();
    let mut tell = |setting: &_, row: Option<&_>| match row {
        _ if arguments.json => Ok(()),
        None => print(&mut out, &report::head(&plan, setting)),
        Some(row) => print(&mut out, &report::line(row)),
    };
    let (setting, rows) = measure(&plan, &Signals::listen()?, &mut tell)?;
    if arguments.json {
        let report = report::json(&plan, &setting, &rows);
        print(&mut out, &format!("{report:#}\n"))?;
    } else {
        print(&mut out, &report::foot(&rows))?;
    }
    let near = report::mean_error(&rows) <= report::MAX_MEAN_ERROR;
    Ok(if near { Exit::Success } else { Exit::TooFar })
}

/// Prints at once: a row is to be seen when it is there. Whoever closed the pipe has read enough, which ends the
/// command without a word.
fn print(out: &mut impl io::Write, text: &str) -> anyhow::Result<()> {
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(fault) if fault.kind() == io::ErrorKind::BrokenPipe => Err(Failure::with(Exit::Success, "")),
        written => Ok(written?),
    }
}

/// Whether `status`, as `/proc/self/status` has it, is that of root: the second number of `Uid:` is the effective
/// one.
fn require_root(status: &str) -> anyhow::Result<()> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    if line.and_then(|line| line.split_whitespace().nth(1)) == Some("0") {
        return Ok(());
    }
    let message = "network namespaces and shaped links take root\n  = help: run it with sudo, or measure over \
                   loopback: --loopback";
    Err(Failure::with(Exit::Invalid, message))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::measure::BURST;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
        let cli = Cli::try_parse_from(["orrery-netlab"]).unwrap();
        assert_eq!(
            (cli.lab.size.len(), cli.lab.rate.len()),
            (3, 3),
            "3 sizes, 3 speeds"
        );
        assert_eq!(cli.lab.size[1], Bytes::new(1 << 20));
        assert_eq!(cli.lab.rate[1], BytesPerSec::new(12.5e6));
        assert!(
            BURST < cli.lab.size[0] / 4,
            "the least chunk is more than the burst"
        );
    }

    #[test]
    fn only_root_passes() {
        assert!(
            require_root("Name:\tx\nUid:\t1000\t0\t0\t0\n").is_ok(),
            "setuid root"
        );
        for status in ["Uid:\t0\t1000\t0\t0\n", "Uid:\t1000\t1000\t1000\t1000\n", ""] {
            let fault = require_root(status).unwrap_err();
            let failure = fault.downcast_ref::<Failure>().unwrap();
            assert_eq!(failure.exit, Exit::Invalid, "{status}");
            assert!(
                fault.to_string().contains("--loopback"),
                "{fault} names a way out"
            );
        }
    }

    #[test]
    fn quantities_out_of_range_are_refused() {
        assert!(parse_size("0 B").is_err(), "no data");
        assert!(parse_rate("100").is_err(), "no unit");
        assert!(parse_rate("1 bit/s").is_err(), "nobody waits so long");
        assert!(parse_ranks("1").is_err(), "no ring");
    }
}
