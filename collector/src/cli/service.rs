//! `service`: the unit of systemd, printed or put in place.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::{Args, Parser as _};

use super::{Cli, Exit};

/// The unit as it is shipped.
const UNIT: &str = include_str!("../../deploy/orrery-collector.service");
/// What starts it there.
const START: &str = "ExecStart=/usr/local/bin/orrery-collector serve";
const NAME: &str = "orrery-collector.service";

/// What `service` is told.
#[derive(Debug, Args)]
pub(super) struct ServiceArguments {
    /// Put the unit in place instead of printing it; changes of your own belong into `systemctl edit`.
    #[arg(long)]
    install: bool,
    /// Where units lie.
    #[arg(long, value_name = "DIR", default_value = "/etc/systemd/system")]
    unit_dir: PathBuf,
    /// Arguments of `serve`, such as `-- --interval 500ms`.
    #[arg(last = true, value_name = "SERVE ARGUMENTS")]
    serve: Vec<String>,
}

/// Prints the unit or puts it in place.
pub(super) fn service(arguments: &ServiceArguments) -> anyhow::Result<Exit> {
    // What `serve` would not take is told now, not by a service that does not start.
    let given = arguments.serve.iter().map(String::as_str);
    if let Err(fault) = Cli::try_parse_from(["orrery-collector", "serve"].into_iter().chain(given)) {
        write!(io::stderr(), "{fault}")?;
        return Ok(Exit::Invalid);
    }
    let command = std::env::current_exe()?;
    let unit = unit(&command.to_string_lossy(), &arguments.serve);
    if !arguments.install {
        write!(io::stdout(), "{unit}")?;
        return Ok(Exit::Success);
    }
    let path = arguments.unit_dir.join(NAME);
    if fs::read_to_string(&path).is_ok_and(|there| !there.contains("orrery-collector")) {
        writeln!(
            io::stderr(),
            "orrery-collector: there is a unit of somebody else: `{}`\nname another folder with `--unit-dir DIR`",
            path.display()
        )?;
        return Ok(Exit::Invalid);
    }
    if let Err(fault) = fs::write(&path, unit) {
        writeln!(
            io::stderr(),
            "orrery-collector: the unit cannot be written: {fault}: `{}`\nask as root, or name a folder of yours \
             with `--unit-dir DIR`",
            path.display()
        )?;
        return Ok(Exit::Invalid);
    }
    writeln!(
        io::stderr(),
        "orrery-collector: `{}` is in place\nstart it with `systemctl daemon-reload && systemctl enable --now \
         orrery-collector`",
        path.display()
    )?;
    Ok(Exit::Success)
}

/// The unit that calls `command` with `arguments` of `serve`.
fn unit(command: &str, arguments: &[String]) -> String {
    let words = [command, "serve"]
        .into_iter()
        .chain(arguments.iter().map(String::as_str));
    let words: Vec<String> = words.map(quoted).collect();
    UNIT.replace(START, &format!("ExecStart={}", words.join(" ")))
}

/// `word` as systemd reads it back; variables such as `${CREDENTIALS_DIRECTORY}` are left to it.
fn quoted(word: &str) -> String {
    let word = word.replace('%', "%%");
    let is_plain = |character: char| !character.is_whitespace() && !"\"'\\;".contains(character);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word;
    }
    format!("\"{}\"", word.replace('\\', r"\\").replace('"', "\\\""))
}

#[test]
fn the_unit_calls_the_command_with_its_arguments() {
    let arguments = [
        "--token-file",
        "${CREDENTIALS_DIRECTORY}/token",
        "--data-dir",
        "/a b\"c\\100%",
    ];
    let unit = unit("/opt/orrery/orrery-collector", &arguments.map(str::to_owned));
    let start = r#"ExecStart=/opt/orrery/orrery-collector serve --token-file ${CREDENTIALS_DIRECTORY}/token --data-dir "/a b\"c\\100%%""#;
    assert!(unit.lines().any(|line| line == start), "{unit}");
    assert!(UNIT.contains(START), "the unit that is shipped starts the daemon");
}
