//! Files into one recording, whatever they are.

use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use orrery_trace::kineto::{self, JoinReport, RankFacts, RankTrace, Stop};
use orrery_trace::{Recording, pipeline};

/// What was read of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceFile {
    /// The file.
    pub path: PathBuf,
    /// Figures of its rank, of a trace of a profiler.
    pub facts: Option<RankFacts>,
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

/// Opens the files of one run; of a folder all traces in it.
///
/// `progress` hears how many files are read, and of how many.
///
/// # Errors
/// When a file cannot be read, is no trace, or files of different kinds are mixed.
pub fn open(paths: &[PathBuf], progress: &mut dyn FnMut(usize, usize)) -> Result<Opened, String> {
    let mut files = Vec::new();
    for path in paths {
        files.extend(traces_in(path)?);
    }
    if files.is_empty() {
        return Err("no trace is there: name files that end in .json, .json.gz or .parquet".to_owned());
    }
    let (mut ranks, mut rows) = (Vec::new(), Vec::new());
    for (at, path) in files.iter().enumerate() {
        progress(at, files.len());
        match content(path).map_err(|reason| format!("{reason}: {}", path.display()))? {
            Content::Rank(rank) => ranks.push((path.clone(), *rank)),
            Content::Pipeline(more) => rows.extend(more),
        }
    }
    progress(files.len(), files.len());
    match (ranks.is_empty(), rows.is_empty()) {
        (false, false) => Err(
            "traces of a profiler and traces by operation are of different runs: open one kind".to_owned(),
        ),
        (true, _) => Ok(Opened {
            recording: pipeline::recording(&rows)?,
            files: files.into_iter().map(plain).collect(),
            report: None,
            devices: Vec::new(),
        }),
        (false, true) => Ok(joined(ranks)),
    }
}

fn plain(path: PathBuf) -> TraceFile {
    TraceFile {
        path,
        facts: None,
        stopped: None,
        unreadable: (0, None),
    }
}

fn joined(mut ranks: Vec<(PathBuf, RankTrace)>) -> Opened {
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
                facts: Some(rank.facts()),
                stopped: rank.stopped.clone(),
                unreadable: rank.unreadable.clone(),
            };
            (file, rank)
        })
        .unzip();
    let joined = kineto::join(traces);
    Opened {
        recording: joined.recording,
        files,
        report: Some(joined.report),
        devices,
    }
}

/// The traces that `path` names: itself, or those in the folder, in order of their names.
fn traces_in(path: &Path) -> Result<Vec<PathBuf>, String> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).map_err(|fault| format!("{fault}: {}", path.display()))?;
    let mut files: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    files.retain(|file| {
        let name = file.to_string_lossy();
        [".json", ".json.gz", ".parquet"]
            .iter()
            .any(|end| name.ends_with(end))
    });
    files.sort();
    Ok(files)
}

fn content(path: &Path) -> Result<Content, String> {
    let mut file = File::open(path).map_err(|fault| fault.to_string())?;
    let mut magic = [0; 4];
    let length = file.read(&mut magic).map_err(|fault| fault.to_string())?;
    file.seek(SeekFrom::Start(0)).map_err(|fault| fault.to_string())?;
    match &magic[..length] {
        b"PAR1" => {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map_err(|fault| fault.to_string())?;
            pipeline::read(bytes.into()).map(Content::Pipeline)
        }
        [0x1f, 0x8b, ..] => profiled(kineto::read(MultiGzDecoder::new(BufReader::new(file)))),
        _ => profiled(kineto::read(file)),
    }
}

fn profiled(read: Result<RankTrace, String>) -> Result<Content, String> {
    read.map(|rank| Content::Rank(Box::new(rank)))
}
