//! A process that writes under load is killed at random moments, again and again, on the same file.
//!
//! The process is this test's own program, started anew for the one test that writes; it says on standard output
//! which sample it has handed over and which the store says is on the disk.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use super::*;
use crate::store::{Store, StoreSettings};
use crate::threads::Stop;

/// Where the process that writes finds its folder; without it, the test that writes does nothing.
const FOLDER: &str = "ORRERY_TEST_STORE";
/// Where it finds the first sample that it is to write.
const FIRST: &str = "ORRERY_TEST_FIRST";
const FLUSH: Duration = Duration::from_secs(1);
const AGES: Duration = Duration::from_secs(100 * 366 * 86_400);
/// Files that are written and killed at one time, and how often each.
const NUM_FILES: u64 = 4;
const NUM_KILLS: u64 = 25;
/// Time between two samples of the process that writes; their clock goes a second each.
const PACE: Duration = Duration::from_millis(2);
/// The longest that the test waits for the process to write.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn the_process_that_writes() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let first: u64 = std::env::var(FIRST).unwrap().parse().unwrap();
    let settings = StoreSettings {
        flush_interval: FLUSH,
        // The samples are of years ago, and nothing of them is too old.
        retention: Retention {
            raw: AGES,
            ten_seconds: AGES,
            five_minutes: AGES,
            ..Retention::default()
        },
        ..StoreSettings::new(folder.into())
    };
    let (store, feed, queue) = Store::new(&settings);
    let stop = Stop::default();
    std::thread::scope(|scope| {
        let (store, stop) = (&store, &stop);
        scope.spawn(move || store.run(queue, stop));
        let mut out = std::io::stdout().lock();
        for sequence in first.. {
            feed.send(&Arc::new(sample(sequence, BEGIN + sequence * 1_000, 4)));
            let status = store.status();
            assert_eq!(status.dropped, 0);
            let flushed = status.flushed.map_or(0, orrery_telemetry::UnixTime::as_millis);
            writeln!(out, "\nSENT {sequence} {flushed}").unwrap();
            out.flush().unwrap();
            std::thread::sleep(PACE);
        }
    });
}

/// Lets the process write from `first` on, kills it after `life`; what it handed over last and how many of that
/// had to be on the disk.
fn write_and_kill(folder: &Path, first: u64, life: Duration) -> (u64, u64) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "store::tests::kill::the_process_that_writes",
            "--exact",
            "--nocapture",
        ])
        .env(FOLDER, folder)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (out, said) = channel();
    let reader = std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let mut words = line.split(' ');
            if words.next() == Some("SENT") {
                let numbers: Vec<u64> = words.filter_map(|word| word.parse().ok()).collect();
                // A line that was cut off by the end says nothing.
                if let [sequence, flushed] = numbers[..] {
                    out.send((Instant::now(), sequence, flushed)).unwrap();
                }
            }
        }
    });
    let (begun, ..) = said.recv_timeout(PATIENCE).unwrap();
    std::thread::sleep(life.saturating_sub(begun.elapsed()));
    let killed = Instant::now();
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap();
    let (mut last, mut due) = (first, first);
    for (at, sequence, flushed) in said.iter() {
        last = last.max(sequence);
        if at + FLUSH <= killed {
            due = due.max(sequence + 1);
        }
        // What the store said is on the disk is there, however young.
        if flushed > 0 && at <= killed {
            due = due.max((flushed - BEGIN) / 1_000 + 1);
        }
    }
    (last, due)
}

/// Kills the process that writes one file, again and again.
fn kill_again_and_again(file_number: u64) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let mut written: Vec<(u64, u64)> = Vec::new();
    let mut first = 0;
    for kill in 0..NUM_KILLS {
        let draw = Seed::new(11).at("kill", &[file_number, kill]).uniform();
        let life = Duration::from_secs_f64(0.05 + 2.0 * draw);
        let (last, due) = write_and_kill(folder.path(), first, life);
        written.push((first, due));
        let database = open(folder.path());
        let found = stored(&database, POWER, ALL, 0);
        let mut found = found
            .iter()
            .map(|value| ((value.start - BEGIN) / 1_000, value.mean));
        for &(first, due) in &written {
            for sequence in first..due {
                // What was written beyond what was due may be there as well.
                let next = found.by_ref().find(|&(at, _)| at >= sequence);
                assert_eq!(
                    next,
                    Some((sequence, power_at(sequence))),
                    "kill {kill} of file {file_number}: of {first}..{due}"
                );
            }
        }
        // The next process begins where none wrote.
        first = last + 1_000;
    }
    let num_due = written.iter().map(|&(first, due)| due - first).sum();
    let tiers = stored(&open(folder.path()), POWER, ALL, 10_000);
    assert!(!tiers.is_empty());
    num_due
}

#[test]
fn nothing_older_than_the_flush_interval_is_lost_in_100_kills() {
    let threads: Vec<_> = (0..NUM_FILES)
        .map(|file| std::thread::spawn(move || kill_again_and_again(file)))
        .collect();
    let num_due: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    let num_kills = NUM_FILES * NUM_KILLS;
    writeln!(
        std::io::stdout(),
        "{num_kills} kills; {num_due} samples had to be there and were"
    )
    .unwrap();
    assert!(num_due > 1_000, "{num_due}");
}
