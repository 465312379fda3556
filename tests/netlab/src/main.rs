//! The `orrery-netlab` command: a TCP ring all-reduce between real processes over shaped links, against what the
//! simulator says of the same ring.
//!
//! The prediction knows the speed of the links and the burst of their shapers as they were set, the latency as a
//! message of a few bytes showed it, and what headers add by formula. Nothing of it is fitted to an all-reduce.
//!
//! It refuses to touch the network of the machine: all it shapes lies in namespaces of its own.

mod bucket;
mod cli;
mod exit;
mod framing;
mod lab;
mod measure;
mod orders;
mod predict;
mod processes;
mod processor;
mod rank;
mod report;
mod ring;
mod signals;
mod tool;

use clap::Parser as _;

fn main() -> std::process::ExitCode {
    cli::execute(&cli::Cli::parse()).code().into()
}
