//! A disk that is full: the collector serves what is live, says what it cannot keep, and goes on when there is room.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use orrery_telemetry::{Event, Sample};

use crate::http::{Listener, get, metrics_until};
use crate::process::{Server, command};
use crate::skips::{has_command, skip};

/// `serve` with a history in `folder`, begun by `sh` after `preparation`.
fn serve_after(preparation: &str, shell: &[&str], folder: &Path) -> Command {
    let serve = command(&[]);
    let script = format!(
        "{preparation} && exec {:?} serve --listen 127.0.0.1:0 --source demo --interval 100ms --flush-interval 200ms \
         --data-dir {:?}",
        serve.get_program(),
        folder
    );
    let (program, arguments) = shell.split_first().expect("a shell");
    let mut command = Command::new(program);
    command.args(arguments).arg(script);
    command
}

/// The value of the metric that `name` begins, with its labels and a space.
fn value(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// Waits for a sample that is taken from now on.
fn next_sample(server: &Server) -> Sample {
    let mut stream = Listener::new(server.address);
    let mut first = None;
    stream.find("a new sample", |event| match event {
        Event::Sample(sample) => match first {
            // The stream begins with the one before.
            None => {
                first = Some(sample.sequence);
                None
            }
            Some(first) => (sample.sequence > first).then_some(sample),
        },
        _ => None,
    })
}

fn until_up(server: &Server, after: f64) -> f64 {
    let text = metrics_until(server.address, "a flush", |text| {
        text.contains("orrery_store_up{reason=\"\"} 1\n")
            && value(text, "orrery_store_flushed_timestamp_seconds ").is_some_and(|at| at > after)
    });
    value(&text, "orrery_store_flushed_timestamp_seconds ").expect("it is there")
}

/// Waits for the full disk to be told, while samples go on; then lets `make_room`, and waits for the history.
fn lives_through_a_full_disk(server: &Server, words: &str, make_room: impl FnOnce()) {
    let text = metrics_until(server.address, "a full disk", |text| {
        text.contains(&format!("orrery_store_up{{reason=\"{words}"))
    });
    assert_eq!(value(&text, "orrery_store_up"), Some(0.0), "{text}");
    let (_, health) = get(server.address, "/healthz");
    assert!(health.contains("make room on that disk"), "{health}");
    // What is live goes on.
    let live = next_sample(server);
    assert!(
        text.contains("orrery_source_up{source=\"demo\",reason=\"\"} 1\n"),
        "{text}"
    );
    let full_since = live.taken.as_secs();
    make_room();
    let flushed = until_up(server, full_since);
    let path = "/v1/history?metric=orrery_gpu_power_watts&node=demo-node-0&gpu=0&from=-10min&step=raw";
    let (_, answer) = get(server.address, path);
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("it is JSON");
    let points = answer["series"][0]["points"].as_array().expect("points");
    let last = points.last().and_then(|point| point[0].as_f64()).expect("a time");
    assert!(last >= flushed, "{last} {flushed}");
    // A wait of seconds loses nothing: what was taken meanwhile waited in memory.
    let dropped = value(
        &metrics_until(server.address, "a count", |_| true),
        "orrery_store_dropped_total ",
    );
    assert_eq!(dropped, Some(0.0), "{answer}");
    let times: Vec<f64> = points.iter().filter_map(|point| point[0].as_f64()).collect();
    let longest = times.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
    assert!(longest < 5.0, "the points are {longest} s apart somewhere");
}

#[test]
fn a_small_file_system_that_is_full_stops_the_history_alone_and_only_until_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let mount = format!("mount -t tmpfs -o size=6m tmpfs {:?}", folder.path());
    let may_mount = has_command("unshare", "tmpfs")
        && Command::new("unshare")
            .args(["--mount", "sh", "-c", &mount])
            .output()
            .is_ok_and(|done| done.status.success());
    if !may_mount {
        skip(
            "tmpfs",
            "no right to mount one; the test with a limit on files ran in its place",
        );
        return;
    }
    let server = Server::start(serve_after(
        &mount,
        &["unshare", "--mount", "sh", "-c"],
        folder.path(),
    ));
    until_up(&server, 0.0);
    // The file system is the server's own; through /proc it is reached from here.
    let inside = PathBuf::from(format!("/proc/{}/root", server.id()));
    let filler = inside
        .join(folder.path().strip_prefix("/").unwrap())
        .join("filler");
    let mut file = File::create(&filler).unwrap();
    let block = [0u8; 4096];
    while file.write_all(&block).is_ok() {}
    drop(file);
    lives_through_a_full_disk(&server, "No space left on device", || {
        std::fs::remove_file(&filler).unwrap();
    });
}

#[test]
fn a_limit_on_the_size_of_files_is_a_full_disk_too() {
    if !has_command("prlimit", "prlimit") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(serve_after("trap '' XFSZ", &["sh", "-c"], folder.path()));
    until_up(&server, 0.0);
    let limit = |size: &str| {
        let done = Command::new("prlimit")
            .args([
                "--pid",
                &server.id().to_string(),
                &format!("--fsize={size}:unlimited"),
            ])
            .status();
        assert!(done.is_ok_and(|status| status.success()), "the limit is set");
    };
    limit("4096");
    lives_through_a_full_disk(&server, "File too large", || limit("unlimited"));
}
