//! `orrery-gui [FILE]`: the desktop app on a scenario, or on the one that ships with it.

use std::io::Write as _;

use anyhow::bail;
use orrery::files;
use orrery_gui::Start;

const USAGE: &str = "\
Usage: orrery-gui [FILE]

Opens the scenario FILE, or the one that ships with the program, and simulates it.

  -h, --help     say this
  -V, --version  say the version
";

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let file = match arguments.as_slice() {
        ["-h" | "--help"] => {
            write!(std::io::stdout(), "{USAGE}")?;
            return Ok(());
        }
        ["-V" | "--version"] => {
            writeln!(std::io::stdout(), "orrery-gui {}", env!("CARGO_PKG_VERSION"))?;
            return Ok(());
        }
        [option, ..] if option.starts_with('-') => bail!("unknown option `{option}`\n{USAGE}"),
        [] => files::DEFAULT_SCENARIO,
        [file] => file,
        [..] => bail!("one scenario is opened at a time\n{USAGE}"),
    };
    let text = files::read_scenario(file).map_err(anyhow::Error::msg)?;
    orrery_gui::open(Start {
        file: file.to_owned(),
        text,
        run_at_once: true,
        demo_fleet: true,
    })
}
