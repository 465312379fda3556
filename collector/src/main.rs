//! The `orrery-collector` command.

use std::io::{self, Write as _};

use clap::Parser as _;
use orrery_collector::StartError;
use orrery_collector::cli::{self, Cli, Exit};

/// A bug in Orrery (`EX_SOFTWARE` of sysexits).
const BUG: u8 = 70;

fn main() -> std::process::ExitCode {
    let code = match cli::execute(Cli::parse()) {
        Ok(exit) => exit.code(),
        Err(fault) => end(&fault),
    };
    code.into()
}

/// Says what went wrong and chooses the code.
fn end(fault: &anyhow::Error) -> u8 {
    let io_fault = fault.downcast_ref::<io::Error>();
    // Whoever closed the pipe has read enough.
    if io_fault.is_some_and(|fault| fault.kind() == io::ErrorKind::BrokenPipe) {
        return Exit::Success.code();
    }
    // There is nobody left to tell when this fails.
    let _told = writeln!(io::stderr(), "orrery-collector: {fault:#}");
    if io_fault.is_some() || fault.is::<StartError>() {
        Exit::DataMissing.code()
    } else {
        BUG
    }
}
