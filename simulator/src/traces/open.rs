//! Files into one recording, whatever they are.

use std::fs::File;
use std::io::{BufReader, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use orrery_trace::kineto::{self, JoinReport, RankTrace, Stop};
use orrery_trace::{Recording, pipeline};

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
    /// How ranks were joined, of traces of a profiler.
    pub report: Option<JoinReport>,
    /// Names of the devices of a node, where the files say them.
    pub devices: Vec<String>,
}

/// What a file holds.
enum Content {
    Rank(Box<RankTrace>),
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
    let mut tables = Vec::new();
    for Candidate { path, is_found } in files {
        match content(&path, kind, watch) {
            Ok(Content::Rank(rank)) => ranks.push((path, *rank)),
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
        "no trace is there{first}\n  = help: name files that end in .json, .json.gz or .parquet, or a folder of them"
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
    number(&mut ranks)?;
    ranks.sort_by_key(|(_, rank)| rank.rank);
    let devices = ranks
        .first()
        .map(|(_, rank)| rank.devices.clone())
        .unwrap_or_default();
    let (files, traces) = ranks
        .into_iter()
        .map(|(path, rank)| {
            let file = TraceFile {
                path,
                stopped: rank.stopped.clone(),
                unreadable: rank.unreadable.clone(),
            };
            (file, rank)
        })
        .unzip();
    let joined = kineto::join(traces);
    Ok(Opened {
        recording: joined.recording,
        files,
        report: Some(joined.report),
        devices,
        ..Opened::default()
    })
}

/// Gives ranks to files that do not say theirs: by their names, where these tell all files apart, else in their order.
fn number(ranks: &mut [(PathBuf, RankTrace)]) -> Result<(), String> {
    if ranks.iter().all(|(_, rank)| rank.rank.is_none()) {
        let by_name: Option<Vec<u32>> = ranks.iter().map(|(path, _)| rank_of(path)).collect();
        let by_name = by_name.filter(|numbers| {
            let mut apart = numbers.clone();
            apart.sort_unstable();
            apart.dedup();
            apart.len() == numbers.len()
        });
        let in_order = || (0..).take(ranks.len()).collect();
        let numbers: Vec<u32> = by_name.unwrap_or_else(in_order);
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
    let entries = std::fs::read_dir(path).map_err(|fault| format!("{fault}: {}", path.display()))?;
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
const ENDINGS: [&str; 3] = [".json", ".json.gz", ".parquet"];

fn content(path: &Path, kind: TraceKind, watch: &Watch) -> Result<Content, String> {
    let mut file = File::open(path).map_err(|fault| fault.to_string())?;
    let mut magic = [0; 4];
    let length = file.read(&mut magic).map_err(|fault| fault.to_string())?;
    file.seek(SeekFrom::Start(0)).map_err(|fault| fault.to_string())?;
    let mut counted = watch.reading(file);
    match (&magic[..length], kind) {
        (b"PAR1", TraceKind::Any | TraceKind::StragglerParquet) => {
            let mut bytes = Vec::new();
            counted
                .read_to_end(&mut bytes)
                .map_err(|fault| fault.to_string())?;
            pipeline::read(bytes.into()).map(Content::Pipeline)
        }
        (b"PAR1", _) => {
            Err("it is a table (Parquet), no JSON\n  = help: `orrery import straggler-parquet`".to_owned())
        }
        (_, TraceKind::StragglerParquet) => {
            Err("it is no Parquet file\n  = help: `orrery import trace`".to_owned())
        }
        ([0x1f, 0x8b, ..], kind) => profiled(MultiGzDecoder::new(BufReader::new(counted)), kind),
        (_, kind) => profiled(counted, kind),
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
    if rank.num_operations() == 0 {
        return Err(format!(
            "{} events, none a kernel or a CUDA call\n  = help: record the activities of CUDA as well \
             (`ProfilerActivity.CUDA`); of other programs, events of the categories `kernel`, `gpu_memcpy`, `gpu_memset` and \
             `cuda_runtime` are read",
            rank.events
        ));
    }
    Ok(Content::Rank(Box::new(rank)))
}

#[cfg(test)]
mod tests;
