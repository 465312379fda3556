//! The `orrery-collector` command.

use std::io::{self, Write as _};

use clap::Parser as _;
use orrery_collector::cli::{self, Cli};

/// A bug in Orrery (`EX_SOFTWARE` of sysexits).
const BUG: u8 = 70;

fn main() -> std::process::ExitCode {
    let code = match cli::execute(Cli::parse()) {
        Ok(exit) => exit.code(),
        Err(fault) => {
            // There is nobody left to tell when this fails.
            let _told = writeln!(io::stderr(), "orrery-collector: {fault:#}");
            BUG
        }
    };
    code.into()
}
