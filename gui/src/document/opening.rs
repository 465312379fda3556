//! Opening files whatever they are, on a thread: scenarios, stored runs, and traces of trainers.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use orrery::files;
use orrery::routing;
use orrery::traces::{self, Opened, TraceFault, TraceKind, Watch};
use orrery_report::render;
use orrery_timeline::{StepExtent, read_chrome_trace};

use super::disk::{self, Disk};
use super::job::{Event, Out, guarded, send};
use super::{Run, Scenario, Wake};
use crate::TimelineModel;

/// Spans of a recording that are kept for eyes.
const SPANS: usize = 2_000_000;
/// Bytes by which files are told apart.
const HEAD: u64 = 4096;

/// What a file is, as far as a look tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Scenario,
    StoredRun,
    Trace,
    /// A recorded load of experts.
    Load,
    /// A file of Orrery that is none of these, and what it is for.
    Other(&'static str),
}

/// What a thread says of what it opens.
#[derive(Debug)]
pub(crate) enum News {
    /// It takes a while, and is called this.
    Began(u64, String),
    /// A scenario on a recorded load of experts, to be run at once.
    Load(Scenario),
    /// One of the runs of what is opened as this number.
    Found(u64, Box<Run>),
    /// Why the steps of the run that was opened from these files took longer than they had to.
    Explained(Vec<String>, String),
    /// It is over; why it was not opened, if that is so.
    Ended(u64, Option<String>),
    /// A step of the run with this id was arranged.
    Arranged(u64, StepExtent, Arc<TimelineModel>),
}

/// Opens `files` as number `id`: each scenario and each stored run by itself, traces together as those of one run.
pub(crate) fn open(files: Vec<String>, id: u64, watch: Watch, out: Out, wake: Wake) {
    thread::spawn(move || {
        let opened = guarded(|| open_all(files, id, &watch, &out, &wake));
        let fault = opened.unwrap_or_else(Some);
        send(&out, &wake, Event::Opening(News::Ended(id, fault)));
    });
}

fn open_all(files: Vec<String>, id: u64, watch: &Watch, out: &Out, wake: &Wake) -> Option<String> {
    let (mut traces, mut faults) = (Vec::new(), Vec::new());
    for file in files {
        match sort_of(Path::new(&file)) {
            Sort::Scenario => send(out, wake, Event::Disk(Disk::Opened(disk::scenario(&file)))),
            Sort::Trace => traces.push(PathBuf::from(file)),
            Sort::Other(what) => faults.push(format!("{what}: {file}")),
            Sort::Load => match load(Path::new(&file)) {
                Ok(scenario) => send(out, wake, Event::Opening(News::Load(scenario))),
                Err(fault) => faults.push(fault),
            },
            Sort::StoredRun => {
                send(
                    out,
                    wake,
                    Event::Opening(News::Began(id, name_of(Path::new(&file)))),
                );
                match stored(&file) {
                    Ok(run) => send(out, wake, Event::Opening(News::Found(id, Box::new(run)))),
                    Err(fault) => faults.push(fault),
                }
            }
        }
    }
    if let [first, ..] = traces.as_slice() {
        let name = match traces.len() {
            1 => name_of(first),
            // Files of one run lie in one folder.
            _ => first.parent().map_or_else(|| name_of(first), name_of),
        };
        send(out, wake, Event::Opening(News::Began(id, name.clone())));
        match recorded(&traces, &name, watch) {
            Ok((run, opened)) => {
                let files = run.files.clone();
                send(out, wake, Event::Opening(News::Found(id, Box::new(run))));
                // Looked at already while that is found out.
                if let Ok(replayed) = traces::replay(&opened.recording, watch) {
                    let words = replayed.attribution.verdict();
                    send(out, wake, Event::Opening(News::Explained(files, words)));
                }
            }
            Err(TraceFault::Cancelled(_)) => {}
            Err(TraceFault::Files(fault)) => faults.push(fault),
        }
    }
    (!faults.is_empty()).then(|| faults.join("\n"))
}

/// The name of a file or folder, without what stands before it and the endings of traces.
fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    let name = name.to_string_lossy();
    let endings = [".gz", ".json", ".jsonl", ".parquet", ".sqlite"];
    let short = endings
        .iter()
        .fold(&*name, |name, end| name.strip_suffix(end).unwrap_or(name));
    if short == "run" {
        return path.parent().map_or_else(|| short.to_owned(), name_of);
    }
    short.to_owned()
}

/// What `path` is: by its content, and by its name where there is none. What is not there is left to the reader of
/// scenarios, of which some ship with the program.
fn sort_of(path: &Path) -> Sort {
    if path.is_dir() {
        return match path.join("run.json").is_file() {
            true => Sort::StoredRun,
            false => Sort::Trace,
        };
    }
    let mut head = Vec::new();
    if let Ok(file) = File::open(path) {
        // What cannot be read is said by whoever reads it next.
        let _length = file.take(HEAD).read_to_end(&mut head);
    }
    let text = String::from_utf8_lossy(&head);
    let text = text.trim_start();
    let named = |ending: &str| path.to_string_lossy().ends_with(ending);
    let packed = named(".gz") || named(".parquet");
    if packed && routing::is_recorded(path) {
        return Sort::Load;
    }
    let compressed =
        head.starts_with(&[0x1f, 0x8b]) || head.starts_with(b"PAR1") || head.starts_with(b"SQLite format 3");
    if compressed {
        return Sort::Trace;
    }
    if let Some(what) = other(text) {
        return Sort::Other(what);
    }
    if !named(".toml") && routing::is_recorded(path) {
        return Sort::Load;
    }
    match text.starts_with('{') || text.starts_with('[') {
        // A table of TOML begins with a bracket as well.
        true if named(".toml") => Sort::Scenario,
        true if named("run.json") || is_result(text) => Sort::StoredRun,
        true if text.starts_with('{') || named(".json") => Sort::Trace,
        _ => Sort::Scenario,
    }
}

/// Whether what is in `file` is a scenario, rather than a stored run or a trace.
#[must_use]
pub fn is_scenario(file: &str) -> bool {
    sort_of(Path::new(file)) == Sort::Scenario
}

/// What the JSON that begins with `head` is, where it is one of Orrery's own files that the window opens nowhere.
fn other(head: &str) -> Option<&'static str> {
    let schema = head.split_once("\"schema\"")?.1.trim_start().strip_prefix(':')?;
    let name = schema.trim_start().strip_prefix('"')?.split(['/', '"']).next()?;
    let known = [
        (
            "experts",
            "fitted laws of kernels of experts, no load: a scenario names one by `law` under [experts]",
        ),
        (
            "profile",
            "a profile: a scenario names it by `profile` under [calibration]",
        ),
        (
            "tuning",
            "fitted parameters of steps: a scenario names them by `tuning` under [calibration]",
        ),
        (
            "platforms",
            "fitted parameters of collectives: `orrery collective` and `orrery validate` read them",
        ),
        (
            "replay",
            "what `orrery replay` said: open the traces that it was asked about",
        ),
    ];
    known
        .iter()
        .find(|(other, _)| *other == name)
        .map(|(_, what)| *what)
}

/// The scenario that compares balancers on the recorded load in `path`: the one that was saved beside it, or else a new
/// one.
fn load(path: &Path) -> Result<Scenario, String> {
    let recording = routing::read(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.split('.').next().unwrap_or_default();
    let file = path.with_file_name(format!("{stem}-eplb.scenario.toml"));
    let file = file.display().to_string();
    if Path::new(&file).is_file() {
        return disk::scenario(&file);
    }
    Ok(Scenario::new(&file, &routing::scenario(&recording, &name)?))
}

/// Whether `head` begins a stored run.
fn is_result(head: &str) -> bool {
    head.contains("\"schema\": \"result/1\"") || head.contains("\"schema\":\"result/1\"")
}

/// The stored run at `path`, with the timeline beside it if there is one.
fn stored(path: &str) -> Result<Run, String> {
    let (file, result) = files::read_run(Path::new(path))?;
    let trace = file.with_file_name("trace.json");
    let mut notes = Vec::new();
    let timeline = match trace.is_file() {
        false => {
            notes.push("It holds no timeline: store one with `orrery run --write trace`.".to_owned());
            None
        }
        true => {
            let read = files::read(&trace).and_then(|text| {
                read_chrome_trace(&text).map_err(|fault| format!("{fault}: {}", trace.display()))
            });
            read.map_err(|fault| notes.push(fault)).ok()
        }
    };
    let measured = orrery::compare::is_recorded(&result);
    let model = timeline.map(|timeline| match measured {
        true => TimelineModel::measured(timeline),
        false => TimelineModel::new(timeline),
    });
    let run = Run::new(path, Arc::new(result), model.map(Arc::new), notes);
    Ok(run.opened_from(vec![path.to_owned()]))
}

/// What was recorded in the files or folders at `paths`.
fn recorded(paths: &[PathBuf], name: &str, watch: &Watch) -> Result<(Run, Opened), TraceFault> {
    let opened = traces::open(paths, TraceKind::Any, watch)?;
    let report = traces::measured(&opened, name)?;
    let mut notes = opened.notes.clone();
    for file in &opened.files {
        if let Some(stop) = &file.stopped {
            let name = file.path.display();
            notes.push(format!("{name}: read up to byte {}: {}", stop.byte, stop.reason));
        }
        if let (count @ 1.., Some(first)) = &file.unreadable {
            let name = file.path.display();
            notes.push(format!(
                "{name}: {count} events could not be read: {}",
                first.reason
            ));
        }
    }
    let skipped = opened.skipped.iter();
    notes.extend(skipped.map(|(path, why)| {
        let why = why.lines().next().unwrap_or_default();
        format!("{}: skipped: {why}", path.display())
    }));
    if let Some(joined) = &opened.report {
        notes.extend(
            joined
                .refusals
                .iter()
                .map(|refusal| format!("not matched: {refusal}")),
        );
        notes.extend(joined.notes.iter().cloned());
    }
    if !opened.loads.is_empty() {
        let how = "`orrery import kineto` writes them to expert-load.csv, which opens here";
        notes.push(format!(
            "The split sizes of its all-to-alls are loads of ranks: {how}."
        ));
    }
    let timeline = opened.recording.timeline(SPANS);
    let source = paths
        .first()
        .map_or_else(String::new, |path| path.display().to_string());
    let model = Arc::new(TimelineModel::measured(timeline));
    let files = paths.iter().map(|path| path.display().to_string());
    let run = Run::new(&source, Arc::new(render::json(&report)), Some(model), notes);
    Ok((run.opened_from(files.collect()), opened))
}

/// Arranges `step` of `run`.
pub(crate) fn arrange(run: Arc<Run>, step: StepExtent, out: Out, wake: Wake) {
    thread::spawn(move || {
        if let Some(model) = run.model_of(step) {
            send(&out, &wake, Event::Opening(News::Arranged(run.id, step, model)));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart_by_what_they_hold() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &[u8]| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            path
        };
        let cases = [
            (put("a.toml", b"[scenario]\nname = \"a\""), Sort::Scenario),
            (put("b.toml", b"# a remark\n[scenario]"), Sort::Scenario),
            (put("rank-0.json", b" {\"traceEvents\": []}"), Sort::Trace),
            (put("list.json", b"[{\"ph\": \"X\"}]"), Sort::Trace),
            (put("rank-1.json.gz", &[0x1f, 0x8b, 8]), Sort::Trace),
            (put("t.parquet", b"PAR1...."), Sort::Trace),
            (put("report", b"{\n  \"schema\": \"result/1\"}"), Sort::StoredRun),
            (put("run.json", b"{}"), Sort::StoredRun),
            (
                put("stored/run.json", b"{}").parent().unwrap().to_owned(),
                Sort::StoredRun,
            ),
            (
                put("traces/x.json", b"{}").parent().unwrap().to_owned(),
                Sort::Trace,
            ),
            (put("loads.csv", b"layer,expert,count\n0,0,1\n"), Sort::Load),
            (put("dump.json", b"{\"logical_count\": [[1, 2]]}"), Sort::Load),
            (PathBuf::from("scenarios/no-such.scenario.toml"), Sort::Scenario),
        ];
        for (path, sort) in cases {
            assert_eq!(sort_of(&path), sort, "{}", path.display());
        }
    }

    #[test]
    fn laws_of_experts_are_neither_loads_nor_traces_and_say_what_they_are() {
        let laws = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/experts/imbalanced.experts.json");
        match sort_of(&laws) {
            Sort::Other(what) => assert!(what.contains("[experts]"), "{what}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn runs_are_called_by_their_folder_and_traces_by_their_file() {
        let named = |path: &str| name_of(Path::new(path));
        assert_eq!(named("a/b/run.json"), "b");
        assert_eq!(named("a/rank-3.json.gz"), "rank-3");
        assert_eq!(named("a/traces"), "traces");
    }
}
