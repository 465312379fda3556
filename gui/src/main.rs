//! `orrery-gui`: the window on scenarios and a live fleet; without a display, what `orrery` does.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use orrery::cli;
use orrery::exit::Exit;
use orrery_collector::{Daemon, Settings, SourceKind, StoreSettings};
use orrery_gui::{
    Access, Arrangement, OpenError, Scenario, Start, collector_url, is_scenario, no_display, open,
    session_path,
};

/// Opens the window on scenarios, or on the one that ships with the program, simulates the first and shows the
/// fleet live. Without a display it does what `orrery` does: it runs them and writes their reports.
#[derive(Debug, Parser)]
#[command(name = "orrery-gui", version, max_term_width = 100)]
struct Arguments {
    /// Scenarios; stored runs and recorded traces, each a file or a folder, are opened beside them to be compared
    /// [default: the scenarios of the last time; the first time DeepSeek-V3 on 2,048 H800].
    #[arg(value_name = "FILES")]
    files: Vec<String>,
    /// Show a made-up cluster, marked DEMO, even if this machine has devices.
    #[arg(long, conflicts_with = "collector")]
    demo: bool,
    /// Follow the collector at this address instead of this machine, such as `http://node:9477`; may be
    /// repeated.
    #[arg(long, value_name = "URL", value_parser = collector_url)]
    collector: Vec<String>,
    /// The token that collectors gave out, alone in a file.
    #[arg(long, value_name = "FILE", requires = "collector")]
    collector_token: Option<PathBuf>,
    /// Certificates (PEM) that vouch for collectors that speak TLS; else those that Mozilla trusts.
    #[arg(long, value_name = "FILE", requires = "collector")]
    collector_ca: Option<PathBuf>,
    /// Save a picture of the window once the first run is over and the fleet has spoken, and close it.
    #[arg(long, value_name = "PNG")]
    screenshot: Option<PathBuf>,
    /// The arrangement of the panels: overview, observe, plan, timeline, compare, experts, explore, report or calibrate [default: as they were last].
    #[arg(long, value_name = "ARRANGEMENT")]
    layout: Option<Arrangement>,
    /// Light or dark [default: as it was last].
    #[arg(long, value_name = "COLOURS", value_parser = ["light", "dark"])]
    colours: Option<String>,
    /// Begin as the first time, whatever the window remembers, and remember nothing.
    #[arg(long)]
    afresh: bool,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        // Clap prints help and faults itself; its codes are 0 and 2, as ours.
        Err(message) => message.exit(),
    };
    ExitCode::from(show(&arguments).code())
}

fn show(arguments: &Arguments) -> Exit {
    // Before anything is started or read: without a window all of it is the command's.
    if let Some(why) = no_display() {
        return without_window(arguments, &why);
    }
    // A picture is the same whoever takes it.
    let forgets = arguments.afresh || arguments.screenshot.is_some();
    // A picture of layouts wants them searched, and needs no run.
    let explores = arguments.screenshot.is_some() && arguments.layout == Some(Arrangement::Explore);
    let mut scenarios = Vec::new();
    let (files, runs): (Vec<&String>, Vec<&String>) =
        arguments.files.iter().partition(|file| is_scenario(file));
    for file in files {
        match Scenario::read(file) {
            Ok(scenario) => scenarios.push(scenario),
            Err(why) => return say(&why, Exit::Invalid),
        }
    }
    let only_runs = scenarios.is_empty() && !runs.is_empty();
    let access = Access::read(
        arguments.collector_token.as_deref(),
        arguments.collector_ca.as_deref(),
    );
    let access = match access {
        Ok(access) => access,
        Err(why) => return say(&why, Exit::Invalid),
    };
    let daemon = own_collector(arguments, !forgets);
    let own = daemon.iter().map(|daemon| format!("http://{}", daemon.address()));
    let start = Start {
        scenarios,
        runs: runs.into_iter().cloned().collect(),
        // What was stored or recorded is looked at, and nothing else is simulated for it.
        run_at_once: !explores && !only_runs,
        search_at_once: explores,
        collectors: own.chain(arguments.collector.iter().cloned()).collect(),
        access,
        calibrator: None,
        screenshot: arguments.screenshot.clone(),
        arrangement: arguments.layout,
        light: arguments.colours.as_ref().map(|colours| colours == "light"),
        session: if forgets { None } else { session_path() },
    };
    match open(start) {
        Ok(()) => Exit::Success,
        Err(OpenError::NoPicture(why)) => say(&why, Exit::DataMissing),
        Err(OpenError::NoWindow(why)) => {
            drop(daemon);
            without_window(arguments, &why)
        }
    }
}

/// The collector of this machine, in this process, unless others are named. It listens on loopback; without
/// devices it plays the demonstration. It `keeps` a history where the window remembers, if it may.
fn own_collector(arguments: &Arguments, keeps: bool) -> Option<Daemon> {
    if !arguments.collector.is_empty() {
        return None;
    }
    let mut settings = Settings::for_window();
    if arguments.demo {
        settings.sources = vec![SourceKind::Demo];
    }
    let folder = session_path().filter(|_| keeps);
    let folder = folder.and_then(|file| Some(file.parent()?.join("history")));
    settings.store = folder.map(StoreSettings::new);
    let started = Daemon::start(&settings).or_else(|why| {
        // Another window may have the file.
        if settings.store.take().is_none() {
            return Err(why);
        }
        say(&format!("the live fleet keeps no history: {why}"), Exit::Success);
        Daemon::start(&settings)
    });
    match started {
        Ok(daemon) => Some(daemon),
        Err(why) => {
            // The window is of use without it, and says that there is none.
            say(&format!("no live fleet: {why}"), Exit::Success);
            None
        }
    }
}

/// Says why there is no window, and does what `orrery` does; a picture cannot be had then.
fn without_window(arguments: &Arguments, why: &str) -> Exit {
    if arguments.screenshot.is_some() {
        return say(&format!("no picture without a window: {why}"), Exit::DataMissing);
    }
    say(&format!("no window: {why}; running without one"), Exit::Success);
    let mut command = vec!["orrery".to_owned()];
    let scenarios: Vec<&String> = arguments.files.iter().filter(|file| is_scenario(file)).collect();
    if scenarios.len() < arguments.files.len() {
        let words = "stored runs, traces and recorded loads are not opened; see `orrery report`, `orrery replay` and `orrery import routing`";
        say(words, Exit::Success);
    }
    if !scenarios.is_empty() {
        command.extend(["run".to_owned(), "--".to_owned()]);
        command.extend(scenarios.into_iter().cloned());
    }
    cli::run(command)
}

fn say(words: &str, exit: Exit) -> Exit {
    // There is nobody left to tell when this fails.
    let _told = writeln!(std::io::stderr(), "orrery-gui: {words}");
    exit
}
