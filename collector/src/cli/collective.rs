//! `collective`: what a network does between hosts.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use orrery_units::{Dimension, parse_quantity};

use super::{Exit, parse_address};
use crate::collective::{CollectiveError, Operation, Session, Sweep, take_part, tell};

/// What moves the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Transport {
    /// TCP over the hosts' own network.
    Tcp,
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
    /// Operations that rank 0 measures.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "ping-pong,all-reduce,all-to-all"
    )]
    op: Vec<Operation>,
    /// Sizes, as nccl-tests counts them.
    #[arg(long, value_delimiter = ',', default_value = "1 KiB,16 KiB,256 KiB,4 MiB,64 MiB", value_parser = parse_size)]
    size: Vec<u64>,
    /// Connections between two ranks that share the bytes.
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

/// Takes part; rank 0 prints what was measured, as far as it came.
pub(super) fn collective(arguments: CollectiveArguments) -> anyhow::Result<Exit> {
    let Transport::Tcp = arguments.transport;
    let session = Session {
        coordinator: arguments.coordinator,
        rank: arguments.rank,
        ranks: arguments.ranks,
        token: arguments.token,
        timeout: arguments.timeout,
    };
    let sweep = Sweep {
        operations: arguments.op,
        sizes: arguments.size,
        connections: arguments.connections,
        budget: arguments.budget,
    };
    let (report, outcome) = take_part(&session, &sweep, &mut tell);
    let mut exit = Exit::Success;
    if let Some(report) = report {
        let mut out = io::stdout().lock();
        match arguments.format {
            Format::Human => write!(out, "{}", report.text())?,
            Format::Json => writeln!(out, "{}", report.json())?,
        }
        out.flush()?;
        if !report.is_correct() {
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
