//! The `orrery` command.

mod cli;

use std::io::{self, IsTerminal as _, Write as _};
use std::panic;

use clap::Parser as _;
use orrery::exit::Exit;

use cli::{Cli, Console, Failure};

fn main() {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Clap prints help and faults itself; its codes are 0 and 2, as ours.
        Err(message) => message.exit(),
    };
    let exit = panic::catch_unwind(|| execute(cli)).unwrap_or(Exit::Bug);
    // The one place where the process ends.
    std::process::exit(i32::from(exit.code()));
}

fn execute(cli: Cli) -> Exit {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut err = io::stderr();
    let mut console = Console {
        out: &mut out,
        err: &mut err,
        terminal: io::stderr().is_terminal(),
    };
    let result = cli::execute(cli, &mut console);
    let result = result.and_then(|exit| out.flush().map(|()| exit).map_err(Into::into));
    match result {
        Ok(exit) => exit,
        Err(fault) => end(&fault),
    }
}

/// Says what went wrong and chooses the code.
fn end(fault: &anyhow::Error) -> Exit {
    let io_fault = fault.downcast_ref::<io::Error>();
    // Whoever closed the pipe has read enough.
    if io_fault.is_some_and(|fault| fault.kind() == io::ErrorKind::BrokenPipe) {
        return Exit::Success;
    }
    let exit = match fault.downcast_ref::<Failure>() {
        Some(failure) => failure.exit,
        None if io_fault.is_some() => Exit::DataMissing,
        None => Exit::Bug,
    };
    let text = format!("{fault:#}");
    // Faults of scenarios were said in full where they were found.
    if !text.is_empty() {
        // There is nobody left to tell when this fails.
        let _told = writeln!(io::stderr(), "orrery: {text}");
    }
    exit
}
