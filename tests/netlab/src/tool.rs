//! Other programs: `ip`, `tc` and `chrt`.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use crate::exit::{Exit, Failure};

/// Why a tool did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It is not installed.
    Absent,
    /// It, or the kernel below it, said no; what it said.
    Refused(String),
}

/// A command of its own process group: Ctrl-C reaches this program alone, which then ends the others in order.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.process_group(0);
    command
}

/// Runs `program` with `arguments` to its end.
///
/// # Errors
/// When it is not there or ends with a fault.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<(), Refusal> {
    let output = command(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|fault| match fault.kind() {
            io::ErrorKind::NotFound => Refusal::Absent,
            _ => Refusal::Refused(fault.to_string()),
        })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    Err(Refusal::Refused(format!(
        "`{program} {}`: {said}",
        arguments.join(" ")
    )))
}

/// Runs `ip`, which this program cannot do without.
///
/// # Errors
/// With what to do about it.
pub(crate) fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    run("ip", arguments).map_err(|refusal| match refusal {
        Refusal::Absent => Failure::with(
            Exit::Missing,
            "the tool `ip` is missing\n  = help: install iproute2, or measure over loopback: --loopback",
        ),
        Refusal::Refused(said) => Failure::with(
            Exit::Missing,
            format!(
                "the kernel gives no network namespace: {said}\n  = help: it takes root with CAP_SYS_ADMIN and \
                 CAP_NET_ADMIN, veth and bridge; without them measure over loopback: --loopback"
            ),
        ),
    })
}
