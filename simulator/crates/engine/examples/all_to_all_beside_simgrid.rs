//! The skewed all-to-all of 1 GiB per host on a fat tree, by this crate and by SimGrid, flow by flow.
//!
//! Usage: `cargo run --release -p orrery-engine --example all_to_all_beside_simgrid [hosts] [tolerance] [alone]`;
//! 64 and 0.001 unless said otherwise. With `alone` only the sharing within the tolerance runs: exact ends
//! take minutes on 512 hosts, and SimGrid more. Otherwise it wants a C++ compiler and SimGrid 3.32 (Debian's
//! `libsimgrid-dev`), builds `benches/simgrid/all_to_all.cpp` beside itself, runs both one after the other and
//! prints processor seconds and by how much the ends of the flows differ.
//!
//! Latency is SimGrid's: a flow joins its links after 500 ns per link, and shares them by one over that
//! latency, so a flow within a leaf (two links) has twice the share of one that crosses a spine (four).
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a measuring program reads the clock and prints; the engine does neither"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use orrery_engine::fluid::{Activity, Batched, Fluid};
use orrery_taskgraph::PathUse;
use orrery_units::{Bytes, Factor, Ratio, SimDuration, SimTime};

#[path = "../tests/fluid/cases.rs"]
#[expect(dead_code, reason = "other programs use the rest")]
mod cases;
use cases::{Sharing, all_to_all, run_out};

const BYTES_PER_HOST: u64 = 1 << 30;
const LATENCY: SimDuration = SimDuration::from_nanos(500);
/// Plain sharing, without TCP windows and acknowledgements that compete.
const SETTINGS: [&str; 4] = [
    "--cfg=network/model:CM02",
    "--cfg=network/TCP-gamma:0",
    "--cfg=network/crosstraffic:0",
    "--log=root.thres:warning",
];

/// Ends of all flows in seconds, in order of sender and receiver, and the processor seconds it took.
struct Ends {
    seconds: Vec<f64>,
    processor: f64,
}

/// Seconds that this process has had a processor; wall time where the system does not say.
fn processor(begin: Instant) -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok());
    nanos.map_or_else(|| begin.elapsed().as_secs_f64(), |nanos| nanos * 1e-9)
}

/// Starts every pair after its latency and runs all to their ends.
fn run(sharing: &mut dyn Sharing, hosts: usize, pairs: &[(Vec<PathUse>, Bytes)]) -> Ends {
    let begin = Instant::now();
    let before = processor(begin);
    for links in [2, 4] {
        let starts = SimTime::ZERO + SimDuration::from_picos(LATENCY.as_picos() * links);
        let share = Factor::new(4.0 / f64::from(u32::try_from(links).expect("a few"))).expect("positive");
        for (owner, (path, bytes)) in (0u32..).zip(pairs) {
            if path.len() as u64 == links {
                let mut activity = Activity::new(owner, *bytes, path);
                activity.share = share;
                sharing.start(&activity, starts);
            }
        }
    }
    let ended = run_out(sharing);
    let processor = processor(begin) - before;
    let mut seconds = vec![0.0; hosts * hosts];
    for (time, owner) in ended {
        let (from, turn) = (owner as usize / (hosts - 1), owner as usize % (hosts - 1) + 1);
        seconds[from * hosts + (from + turn) % hosts] = time.as_secs();
    }
    Ends { seconds, processor }
}

/// Builds the SimGrid program beside this one.
fn build() -> Result<PathBuf, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/simgrid/all_to_all.cpp");
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let program = own.with_file_name("simgrid_all_to_all");
    let mut compiler = Command::new("c++");
    compiler.args(["-O2", "-std=c++17"]).arg(source);
    compiler.args(["-lsimgrid", "-o"]).arg(&program);
    let built = compiler
        .output()
        .map_err(|error| format!("no C++ compiler: {error}"))?;
    if built.status.success() {
        Ok(program)
    } else {
        let why = String::from_utf8_lossy(&built.stderr);
        let first = why
            .lines()
            .find(|line| line.contains("error"))
            .unwrap_or_default();
        Err(format!(
            "SimGrid 3.32 is not installed, or not as expected: {first}"
        ))
    }
}

fn simgrid(program: &Path, hosts: usize) -> Result<Ends, String> {
    let mut command = Command::new(program);
    command
        .args([hosts.to_string(), BYTES_PER_HOST.to_string()])
        .args(SETTINGS);
    let output = command.output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut ends = Ends {
        seconds: vec![0.0; hosts * hosts],
        processor: f64::NAN,
    };
    let strange = || format!("SimGrid ended with {}", output.status);
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<usize>().map_err(|_error| strange());
        let seconds = words
            .last()
            .and_then(|word| word.parse().ok())
            .ok_or_else(strange)?;
        match words.len() {
            3 => ends.seconds[number(0)? * hosts + number(1)?] = seconds,
            _ => ends.processor = seconds,
        }
    }
    if ends.processor.is_nan() {
        Err(strange())
    } else {
        Ok(ends)
    }
}

/// The greatest difference of an end, as a share of it.
fn apart(ends: &Ends, from: &Ends) -> f64 {
    let share = |(one, other): (&f64, &f64)| {
        if *other > 0.0 {
            (one / other - 1.0).abs()
        } else {
            *one
        }
    };
    ends.seconds
        .iter()
        .zip(&from.seconds)
        .map(share)
        .fold(0.0, f64::max)
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let hosts: u32 = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(64);
    let tolerance: f64 = arguments
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1e-3);
    let (hosts, num) = (hosts / 16 * 16, (hosts / 16 * 16) as usize);
    let (capacities, pairs) = all_to_all(hosts, BYTES_PER_HOST / u64::from(hosts), true);
    let ratio = Ratio::new(tolerance).expect("a tolerance is between 0 and 1");
    println!("hosts {hosts}, flows {}", pairs.len());
    if arguments.next().is_some_and(|word| word == "alone") {
        let batched = run(&mut Batched::new(&capacities, ratio), num, &pairs);
        let last = batched.seconds.iter().copied().fold(0.0, f64::max);
        println!(
            "within {tolerance:<10} {:9.3} CPU-s; the last ends at {last:.6} s",
            batched.processor
        );
        return ExitCode::SUCCESS;
    }
    let exact = run(&mut Fluid::new(&capacities), num, &pairs);
    let batched = run(&mut Batched::new(&capacities, ratio), num, &pairs);
    println!("exact             {:9.3} CPU-s", exact.processor);
    let within = apart(&batched, &exact);
    println!(
        "within {tolerance:<10} {:9.3} CPU-s; ends differ from exact by {within:.2e} at most",
        batched.processor
    );
    let theirs = build().and_then(|program| simgrid(&program, num));
    match theirs {
        Ok(theirs) => {
            println!("SimGrid           {:9.3} CPU-s", theirs.processor);
            println!(
                "exact against SimGrid: {:.1} times as fast",
                theirs.processor / exact.processor
            );
            println!(
                "ends differ from SimGrid by {:.2e} at most",
                apart(&exact, &theirs)
            );
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}\nhelp: on Debian, `apt install libsimgrid-dev g++`");
            ExitCode::FAILURE
        }
    }
}
