//! `collective`: what a network does between hosts.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use orrery_operation::CollectiveOp;
use orrery_units::{Dimension, parse_quantity};
use serde_json::Value;

use super::calibrate::WorkerArguments;
use super::{Exit, parse_address};
use crate::collective::{
    CollectiveError, NcclSweep, Operation, Report, Seat, Session, Sweep, Transport, take_part,
    take_part_by_nccl, tell,
};
use crate::server::read_token;

/// What ranks do together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Choice {
    /// One message there and back, for every pair; over TCP alone.
    PingPong,
    /// Everybody ends with the sum.
    AllReduce,
    /// Everybody sends a part of its own to everybody.
    AllToAll,
    /// Everybody ends with everybody's part; by NCCL alone.
    AllGather,
    /// Everybody ends with a part of the sum; by NCCL alone.
    ReduceScatter,
    /// Everybody sends to the next rank; by NCCL alone.
    SendRecv,
}

impl Choice {
    const fn over_tcp(self) -> Option<Operation> {
        match self {
            Self::PingPong => Some(Operation::PingPong),
            Self::AllReduce => Some(Operation::AllReduce),
            Self::AllToAll => Some(Operation::AllToAll),
            Self::AllGather | Self::ReduceScatter | Self::SendRecv => None,
        }
    }

    const fn by_nccl(self) -> Option<CollectiveOp> {
        match self {
            Self::PingPong => None,
            Self::AllReduce => Some(CollectiveOp::AllReduce),
            Self::AllToAll => Some(CollectiveOp::AllToAll),
            Self::AllGather => Some(CollectiveOp::AllGather),
            Self::ReduceScatter => Some(CollectiveOp::ReduceScatter),
            Self::SendRecv => Some(CollectiveOp::SendRecv),
        }
    }
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Tables.
    Human,
    /// One object, `collective/1`.
    Json,
}

#[derive(Debug, Args)]
pub(super) struct CollectiveArguments {
    /// What moves the bytes; results of one are never mixed with those of another.
    #[arg(long, value_enum, default_value = "tcp")]
    transport: Transport,
    /// Where rank 0 listens and the others come, such as `10.0.0.1:29500`.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    coordinator: SocketAddr,
    /// Which rank this is, from 0.
    #[arg(long)]
    rank: usize,
    /// How many ranks there are.
    #[arg(long)]
    ranks: usize,
    /// A word that every rank must know to be let in.
    #[arg(
        long,
        default_value = "",
        env = "ORRERY_COLLECTIVE_TOKEN",
        hide_env_values = true
    )]
    token: String,
    /// A file that holds this word, which nobody but its owner may read; ranks of NCCL are let in by nothing else.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Device of this rank, as the driver counts; of NCCL alone.
    #[arg(long, default_value_t = 0)]
    device: usize,
    /// What rank 0 measures; all that the transport can, without it.
    #[arg(long, value_enum, value_delimiter = ',')]
    op: Vec<Choice>,
    /// Sizes, as nccl-tests counts them.
    #[arg(long, value_delimiter = ',', default_value = "1 KiB,16 KiB,256 KiB,4 MiB,64 MiB", value_parser = parse_size)]
    size: Vec<u64>,
    /// Connections between two ranks that share the bytes; of TCP alone.
    #[arg(long, value_delimiter = ',', default_value = "1,4,8")]
    connections: Vec<usize>,
    /// Longest that nothing may happen, while ranks come and while bytes are on their way.
    #[arg(long, default_value = "10s", value_parser = parse_span)]
    timeout: Duration,
    /// Time for each size; at least 5 and at most 200 repeats are taken.
    #[arg(long, default_value = "1s", value_parser = parse_span)]
    budget: Duration,
    /// How results are printed; other ranks print none.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

fn parse_size(text: &str) -> Result<u64, String> {
    let quantity = parse_quantity(text, Dimension::Data).map_err(|fault| fault.to_string())?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "what is out of range is a multiple of nothing, and refused"
    )]
    let bytes = quantity.value as u64;
    Ok(bytes)
}

fn parse_span(text: &str) -> Result<Duration, String> {
    let quantity = parse_quantity(text, Dimension::Time).map_err(|fault| fault.to_string())?;
    Duration::try_from_secs_f64(quantity.value).map_err(|fault| format!("`{text}`: {fault}"))
}

/// What is asked for, or all that the transport can; or what it cannot.
fn chosen<T>(arguments: &CollectiveArguments, of: fn(Choice) -> Option<T>) -> Result<Vec<T>, String> {
    if arguments.op.is_empty() {
        return Ok(Choice::value_variants()
            .iter()
            .filter_map(|&choice| of(choice))
            .collect());
    }
    let each = arguments.op.iter().map(|&choice| {
        let name = choice.to_possible_value();
        let name = name.map_or(String::new(), |value| value.get_name().to_owned());
        of(choice).ok_or_else(|| {
            format!(
                "--op {name} is not one of --transport {}",
                arguments.transport.name()
            )
        })
    });
    each.collect()
}

/// Takes part; rank 0 prints what was measured, as far as it came.
pub(super) fn collective(arguments: CollectiveArguments) -> anyhow::Result<Exit> {
    // The word of the command line is that of TCP: other users of the machine see it.
    let token = match (&arguments.token_file, arguments.transport) {
        (Some(path), _) => match read_token(path) {
            Ok(token) => token,
            Err(fault) => {
                tell(&fault.to_string());
                return Ok(Exit::Invalid);
            }
        },
        (None, Transport::Tcp) => arguments.token.clone(),
        (None, Transport::Nccl) => String::new(),
    };
    let session = Session {
        coordinator: arguments.coordinator,
        rank: arguments.rank,
        ranks: arguments.ranks,
        transport: arguments.transport,
        token,
        timeout: arguments.timeout,
    };
    let done = match session.transport {
        Transport::Tcp => over_tcp(&session, &arguments),
        Transport::Nccl => by_nccl(&session, &arguments),
    };
    let (texts, is_correct, outcome) = match done? {
        Ok(done) => done,
        Err(fault) => {
            tell(&fault);
            return Ok(Exit::Invalid);
        }
    };
    let mut exit = Exit::Success;
    if let Some((text, json)) = texts {
        let mut out = io::stdout().lock();
        match arguments.format {
            Format::Human => write!(out, "{text}")?,
            Format::Json => writeln!(out, "{json}")?,
        }
        out.flush()?;
        if !is_correct {
            tell("results are not what they should be; see the column `wrong`");
            exit = Exit::Failed;
        }
    }
    if let Err(fault) = outcome {
        tell(&fault.to_string());
        exit = match fault {
            CollectiveError::Session(_) => Exit::Invalid,
            _ => Exit::DataMissing,
        };
    }
    Ok(exit)
}

/// Table and JSON of rank 0's report, whether all of it is right, and how it ended; or what cannot be asked for.
type Done = Result<(Option<(String, Value)>, bool, Result<(), CollectiveError>), String>;

fn over_tcp(session: &Session, arguments: &CollectiveArguments) -> anyhow::Result<Done> {
    let operations = match chosen(arguments, Choice::over_tcp) {
        Ok(operations) => operations,
        Err(fault) => return Ok(Err(fault)),
    };
    let sweep = Sweep {
        operations,
        sizes: arguments.size.clone(),
        connections: arguments.connections.clone(),
        budget: arguments.budget,
    };
    let (report, outcome) = take_part(session, &sweep, &mut tell);
    let is_correct = report.as_ref().is_none_or(Report::is_correct);
    let texts = report.map(|report| (report.text(), report.json()));
    Ok(Ok((texts, is_correct, outcome)))
}

/// What is wrong by NCCL is an error, and has no row.
fn by_nccl(session: &Session, arguments: &CollectiveArguments) -> anyhow::Result<Done> {
    let ops = match chosen(arguments, Choice::by_nccl) {
        Ok(ops) => ops,
        Err(fault) => return Ok(Err(fault)),
    };
    let sweep = NcclSweep {
        ops,
        sizes: arguments.size.clone(),
        budget: arguments.budget,
    };
    let seat = Seat {
        worker: WorkerArguments::from_environment().command()?,
        device: arguments.device,
    };
    let (report, outcome) = take_part_by_nccl(session, &seat, &sweep, &mut tell);
    let texts = report.map(|report| (report.text(), report.json()));
    Ok(Ok((texts, true, outcome)))
}
