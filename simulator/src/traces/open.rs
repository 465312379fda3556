//! Files into one recording, whatever they are.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use orrery_trace::kineto::{self, ExchangeLoad, JoinReport, RankTrace, Stop};
use orrery_trace::{Recording, inspector, nsys, pipeline};
use rusqlite::{Connection, OpenFlags};

use crate::files::phrase;

use super::names::{natural, rank_of};
use super::watch::{Cancelled, Phase, Watch};

/// What files are said to be; each is held against what stands in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TraceKind {
    /// Any of the others.
    #[default]
    Any,
    /// Traces of PyTorch's profiler.
    Kineto,
    /// Traces of the same shape, whoever wrote them.
    Chrome,
    /// Traces by operation.
    StragglerParquet,
    /// Exports of Nsight Systems.
    NsysSqlite,
    /// Logs of NCCL's inspector.
    NcclInspector,
}

/// Why files could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TraceFault {
    /// Somebody asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// What is wrong with them, and what to do about it.
    #[error("{0}")]
    Files(String),
}

impl From<String> for TraceFault {
    fn from(reason: String) -> Self {
        Self::Files(reason)
    }
}

/// What was read of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceFile {
    /// The file.
    pub path: PathBuf,
    /// Where reading stopped before its end.
    pub stopped: Option<Stop>,
    /// Events that could not be read, and the first of them.
    pub unreadable: (u64, Option<Stop>),
}

/// A recording, and what its files are.
#[derive(Clone, Debug, Default)]
pub struct Opened {
    /// What was recorded.
    pub recording: Recording,
    /// The files, in the order of their ranks.
    pub files: Vec<TraceFile>,
    /// Files of folders that are no traces, and why.
    pub skipped: Vec<(PathBuf, String)>,
    /// What is to be known of the files beside that.
    pub notes: Vec<String>,
    /// How ranks were joined, of traces of a profiler.
    pub report: Option<JoinReport>,
    /// Names of the devices of a node, where the files say them.
    pub devices: Vec<String>,
    /// Loads of experts, where exchanges say their sizes.
    pub loads: Vec<ExchangeLoad>,
}

/// What a file holds.
enum Content {
    Ranks(Vec<RankTrace>),
    Log(inspector::Log),
    Pipeline(Vec<pipeline::PipelineOperation>),
}

/// A file that is to be read, and whether it was found in a folder rather than named.
struct Candidate {
    path: PathBuf,
    is_found: bool,
}

/// Opens the files of one run; of a folder all traces in it.
///
/// # Errors
/// When somebody asked to stop, a file that was named cannot be read or is no trace, two are of one rank, or files of
/// different kinds are mixed.
pub fn open(paths: &[PathBuf], kind: TraceKind, watch: &Watch) -> Result<Opened, TraceFault> {
    let mut files = Vec::new();
    for path in paths {
        files.extend(candidates(path)?);
    }
    let size = |file: &Candidate| std::fs::metadata(&file.path).map_or(0, |about| about.len());
    watch.begin(Phase::Read, files.iter().map(size).sum())?;
    let (mut ranks, mut rows, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
    let (mut tables, mut untimed) = (Vec::new(), 0);
    for Candidate { path, is_found } in files {
        match content(&path, kind, watch) {
            Ok(Content::Ranks(more)) => ranks.extend(more.into_iter().map(|rank| (path.clone(), rank))),
            Ok(Content::Log(log)) => {
                untimed += log.untimed;
                ranks.extend(log.ranks.into_iter().map(|rank| (path.clone(), rank)));
            }
            Ok(Content::Pipeline(more)) => {
                rows.extend(more);
                tables.push(path);
            }
            Err(_) if watch.is_cancelled() => return Err(Cancelled.into()),
            Err(reason) if is_found => skipped.push((path, reason)),
            Err(reason) => return Err(TraceFault::Files(named(&reason, &path))),
        }
    }
    watch.begin(Phase::Join, 0)?;
    let mut opened = match (ranks.is_empty(), rows.is_empty()) {
        (false, false) => Err(
            "traces of a profiler and traces by operation are of different runs\n  = help: open those of one kind"
                .to_owned(),
        ),
        (true, true) => Err(nothing(&skipped)),
        (true, false) => by_operation(&rows, tables),
        (false, true) => joined(ranks),
    }?;
    opened.skipped = skipped;
    if untimed > 0 {
        opened.notes.push(format!(
            "{untimed} collectives have no times of their own: they lie before the instant at which they were written, and \
             nobody knows whom they waited for\n  = help: record with NCCL_INSPECTOR_DUMP_VERBOSE=1"
        ));
    }
    Ok(opened)
}

/// `reason` with the path behind its first line, before any remedy.
fn named(reason: &str, path: &Path) -> String {
    match reason.split_once('\n') {
        Some((first, remedy)) => format!("{first}: {}\n{remedy}", path.display()),
        None => format!("{reason}: {}", path.display()),
    }
}

fn nothing(skipped: &[(PathBuf, String)]) -> String {
    let first = skipped.first().map_or_else(String::new, |(path, reason)| {
        let reason = reason.lines().next().unwrap_or_default();
        format!(
            "; the first of {} is none: {reason}: {}",
            skipped.len(),
            path.display()
        )
    });
    format!(
        "no trace is there{first}\n  = help: name files that end in .json, .json.gz, .jsonl, .log, .parquet or .sqlite, or a folder of \
         them"
    )
}

fn by_operation(rows: &[pipeline::PipelineOperation], tables: Vec<PathBuf>) -> Result<Opened, String> {
    let file = |path| TraceFile {
        path,
        stopped: None,
        unreadable: (0, None),
    };
    Ok(Opened {
        recording: pipeline::recording(rows)?,
        files: tables.into_iter().map(file).collect(),
        ..Opened::default()
    })
}

fn joined(mut ranks: Vec<(PathBuf, RankTrace)>) -> Result<Opened, String> {
    of_one_job(&ranks)?;
    number(&mut ranks)?;
    ranks.sort_by_key(|(_, rank)| rank.rank);
    let devices = ranks
        .first()
        .map(|(_, rank)| rank.devices.clone())
        .unwrap_or_default();
    let mut files: Vec<TraceFile> = Vec::new();
    let mut traces = Vec::new();
    for (path, rank) in ranks {
        match files.iter_mut().find(|file| file.path == path) {
            // Of several processes in one file.
            Some(file) => {
                file.unreadable.0 += rank.unreadable.0;
                file.stopped = file.stopped.take().or_else(|| rank.stopped.clone());
            }
            None => files.push(TraceFile {
                path,
                stopped: rank.stopped.clone(),
                unreadable: rank.unreadable.clone(),
            }),
        }
        traces.push(rank);
    }
    let joined = kineto::join(traces);
    Ok(Opened {
        recording: joined.recording,
        files,
        report: Some(joined.report),
        devices,
        loads: joined.loads,
        ..Opened::default()
    })
}

/// Files that say how many ranks their job has say the same. What a log says of its largest communicator is a guess.
fn of_one_job(ranks: &[(PathBuf, RankTrace)]) -> Result<(), String> {
    let known = ranks.iter().filter(|(_, rank)| rank.guess.is_none());
    let mut known = known.filter_map(|(path, rank)| Some((path, rank.world_size?)));
    let Some((first, size)) = known.next() else {
        return Ok(());
    };
    match known.find(|&(_, other)| other != size) {
        Some((path, other)) => Err(format!(
            "the job has {size} ranks by {}, and {other} by {}\n  = help: open the files of one run",
            first.display(),
            path.display()
        )),
        None => Ok(()),
    }
}

/// Gives ranks to files that do not say theirs: what they guess or their names say, where that tells all of them apart,
/// else in their order.
fn number(ranks: &mut [(PathBuf, RankTrace)]) -> Result<(), String> {
    if ranks.iter().all(|(_, rank)| rank.rank.is_none()) {
        let apart = |numbers: &Vec<u32>| {
            let mut apart = numbers.clone();
            apart.sort_unstable();
            apart.dedup();
            apart.len() == numbers.len()
        };
        let guesses: Option<Vec<u32>> = ranks.iter().map(|(_, rank)| rank.guess).collect();
        let numbers = match guesses {
            // Names of such files tell the number of a process.
            Some(guesses) => Some(guesses),
            None => ranks.iter().map(|(path, _)| rank_of(path)).collect(),
        };
        let in_order = || (0..).take(ranks.len()).collect();
        let numbers: Vec<u32> = numbers.filter(apart).unwrap_or_else(in_order);
        for ((_, rank), number) in ranks.iter_mut().zip(numbers) {
            rank.rank = Some(number);
        }
    }
    let mut seen: Vec<(u32, &Path)> = Vec::new();
    for (path, rank) in ranks.iter_mut() {
        let number = match rank.rank.or_else(|| rank_of(path)) {
            Some(number) => number,
            None => {
                return Err(named(
                    "other files say their rank, this one does not\n  = help: put its rank into its name, such as \
                     rank-3.json",
                    path,
                ));
            }
        };
        rank.rank = Some(number);
        if let Some((_, other)) = seen.iter().find(|(known, _)| *known == number) {
            return Err(format!(
                "two files are of rank {number}: {} and {}\n  = help: open the files of one recording, one for each rank",
                other.display(),
                path.display()
            ));
        }
        seen.push((number, path));
    }
    Ok(())
}

/// The files that `path` names: itself, or those in the folder that may be traces, in order of their names.
fn candidates(path: &Path) -> Result<Vec<Candidate>, String> {
    if !path.is_dir() {
        let path = path.to_owned();
        return Ok(vec![Candidate {
            path,
            is_found: false,
        }]);
    }
    let entries =
        std::fs::read_dir(path).map_err(|fault| format!("{}: {}", phrase(&fault), path.display()))?;
    let mut files: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    files.retain(|file| {
        let name = file.to_string_lossy();
        ENDINGS.iter().any(|end| name.ends_with(end))
    });
    files.sort_by(|a, b| natural(&a.to_string_lossy(), &b.to_string_lossy()));
    let found = |path| Candidate { path, is_found: true };
    Ok(files.into_iter().map(found).collect())
}

/// How names of files end that may be traces.
const ENDINGS: [&str; 6] = [".json", ".json.gz", ".jsonl", ".log", ".parquet", ".sqlite"];

fn content(path: &Path, kind: TraceKind, watch: &Watch) -> Result<Content, String> {
    let mut file = File::open(path).map_err(|fault| phrase(&fault))?;
    let mut head = [0; 16];
    let length = file.read(&mut head).map_err(|fault| phrase(&fault))?;
    file.seek(SeekFrom::Start(0)).map_err(|fault| phrase(&fault))?;
    let mut counted = watch.reading(file);
    let head = &head[..length];
    let is = |magic: &[u8]| head.starts_with(magic);
    let other = |what: &str, command: &str| Err(format!("it is {what}\n  = help: `orrery import {command}`"));
    if is(b"PAR1") {
        if !matches!(kind, TraceKind::Any | TraceKind::StragglerParquet) {
            return other("a table (Parquet)", "straggler-parquet");
        }
        let mut bytes = Vec::new();
        counted.read_to_end(&mut bytes).map_err(|fault| phrase(&fault))?;
        return pipeline::read(bytes.into()).map(Content::Pipeline);
    }
    if is(nsys::MAGIC) {
        if !matches!(kind, TraceKind::Any | TraceKind::NsysSqlite) {
            return other("a database (SQLite)", "nsys-sqlite");
        }
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY);
        let connection = connection.map_err(|fault| fault.to_string())?;
        let ranks = nsys::read(&connection, &mut || !watch.is_cancelled())?;
        return used(ranks, 0).map(Content::Ranks);
    }
    match kind {
        TraceKind::StragglerParquet => other("no Parquet file", "trace"),
        TraceKind::NsysSqlite => other("no database (SQLite)", "trace"),
        _ if is(&[0x1f, 0x8b]) => text(MultiGzDecoder::new(BufReader::new(counted)), kind),
        _ => text(counted, kind),
    }
}

/// Bytes by which logs and traces are told apart.
const HEAD: usize = 64 << 10;

/// A trace of a profiler or a log of the inspector, both of which are JSON.
fn text(source: impl Read, kind: TraceKind) -> Result<Content, String> {
    let mut source = BufReader::with_capacity(HEAD, source);
    let head = source.fill_buf().map_err(|fault| phrase(&fault))?;
    let mark = inspector::MARK.as_bytes();
    let is_log = head.windows(mark.len()).any(|part| part == mark);
    match (is_log, kind) {
        (true, TraceKind::Any | TraceKind::NcclInspector) => inspector::read(source).map(Content::Log),
        (true, _) => {
            Err("it is a log of NCCL's inspector\n  = help: `orrery import nccl-inspector`".to_owned())
        }
        (false, TraceKind::NcclInspector) => {
            Err("it is no log of NCCL's inspector\n  = help: `orrery import trace`".to_owned())
        }
        (false, kind) => profiled(source, kind),
    }
}

fn profiled(source: impl Read, kind: TraceKind) -> Result<Content, String> {
    let rank = kineto::read(source)?;
    if kind == TraceKind::Kineto && !rank.is_profilers {
        return Err(
            "its head is not that of PyTorch's profiler\n  = help: `orrery import chrome` reads traces of other writers"
                .to_owned(),
        );
    }
    let events = rank.events;
    used(vec![rank], events).map(Content::Ranks)
}

/// `ranks`, if anything of them is used.
fn used(ranks: Vec<RankTrace>, events: u64) -> Result<Vec<RankTrace>, String> {
    if ranks.iter().all(|rank| rank.num_operations() == 0) {
        return Err(format!(
            "{events} events, none a kernel or a CUDA call\n  = help: record the activities of CUDA as well \
             (`ProfilerActivity.CUDA`, `nsys profile --trace=cuda`); of other programs, events of the categories `kernel`, \
             `gpu_memcpy`, `gpu_memset` and `cuda_runtime` are read"
        ));
    }
    Ok(ranks)
}

#[cfg(test)]
mod tests;
