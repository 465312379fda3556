//! Collectives of the jobs of this node, from the files that NCCL's inspector plugin writes into a folder.
//!
//! Only what is written after the source was opened is read, each line once, and never more at a time than a bound;
//! what is above it is counted as dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use orrery_telemetry::{Collective, DeviceSample, Origin};

use super::{Source, SourceError, Taken};
use crate::import::parse_inspector_line;

/// Collectives of one reading; those before the last so many are dropped.
const MOST_COLLECTIVES: usize = 1_000;
/// The most that is read of one file at one time; the beginning of what is more is left out.
const MOST_BYTES: u64 = 2 * 1024 * 1024;
/// Files that are followed: one a process.
const MOST_FILES: usize = 1_024;

/// A folder of the inspector.
pub(crate) struct NcclSource {
    folder: PathBuf,
    /// How far each file was read.
    read_to: BTreeMap<PathBuf, u64>,
    /// Files of which a fault was told.
    told: BTreeSet<PathBuf>,
}

impl NcclSource {
    /// The files in `folder`, as they grow from now on.
    pub(crate) fn open(folder: &Path) -> Result<Self, SourceError> {
        let mut source = Self {
            folder: folder.to_owned(),
            read_to: BTreeMap::new(),
            told: BTreeSet::new(),
        };
        for (path, length) in source.files()? {
            source.read_to.insert(path, length);
        }
        Ok(source)
    }

    /// The files of the folder and of those in it (the inspector makes one for each job), with their lengths.
    fn files(&self) -> Result<Vec<(PathBuf, u64)>, SourceError> {
        let fault = |fault: io::Error| {
            SourceError::new(
                format!("`{}` cannot be read: {}", self.folder.display(), fault.kind()),
                "run jobs with `NCCL_PROFILER_PLUGIN`, `NCCL_INSPECTOR_ENABLE=1` and `NCCL_INSPECTOR_DUMP_DIR` set to \
                 a folder that the collector may read, and name it with `--nccl-inspector DIR`",
            )
        };
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(fault)?.flatten() {
            let path = entry.path();
            if path.is_dir() {
                // A folder that vanished meanwhile, or is not ours to read, has nothing to say.
                let inner = fs::read_dir(&path).into_iter().flatten().flatten();
                files.extend(inner.filter_map(|entry| length_of(&entry)));
            } else {
                files.extend(length_of(&entry));
            }
        }
        files.sort();
        files.truncate(MOST_FILES);
        Ok(files)
    }

    /// The collectives that were written into `path` since it was read last; `dropped` counts what was left out.
    fn news(&mut self, path: &Path, length: u64, dropped: &mut u64) -> Vec<Collective> {
        let read_to = self.read_to.get(path).copied().unwrap_or(0);
        // A file that shrank was begun anew.
        let from = if length < read_to { 0 } else { read_to };
        let start = from.max(length.saturating_sub(MOST_BYTES));
        let Ok(text) = piece(path, start, length - start) else {
            return Vec::new();
        };
        // The last line may not be whole yet.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let read = start + whole as u64;
        self.read_to.insert(path.to_owned(), read);
        let mut lines = text[..whole].lines();
        if start > from {
            *dropped += 1;
            lines.next();
        }
        let mut collectives = Vec::new();
        for line in lines.filter(|line| !line.trim().is_empty()) {
            match parse_inspector_line(line) {
                Ok(collective) => collectives.extend(collective),
                Err(fault) => {
                    *dropped += 1;
                    if self.told.insert(path.to_owned()) {
                        tracing::warn!(
                            "nccl: a line of {} is none of the inspector: {fault}",
                            path.display()
                        );
                    }
                }
            }
        }
        collectives
    }
}

fn length_of(entry: &fs::DirEntry) -> Option<(PathBuf, u64)> {
    let path = entry.path();
    let is_log = path
        .extension()
        .is_some_and(|ending| ["log", "json", "jsonl"].iter().any(|known| ending == *known));
    let length = entry.metadata().ok().filter(fs::Metadata::is_file)?.len();
    is_log.then_some((path, length))
}

/// `length` bytes of a file from `start` on; a byte that is no text becomes a sign that is no JSON.
fn piece(path: &Path, start: u64, length: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    // Lossless in length: a wrong byte must not move where the next reading begins.
    Ok(bytes
        .iter()
        .map(|&byte| if byte.is_ascii() { char::from(byte) } else { '?' })
        .collect())
}

impl Source for NcclSource {
    fn origin(&self) -> Origin {
        Origin::Live
    }

    fn read(&mut self, _sequence: u64) -> Result<Vec<DeviceSample>, SourceError> {
        Ok(Vec::new())
    }

    fn take(&mut self, _sequence: u64) -> Result<Taken, SourceError> {
        let files = self.files()?;
        self.read_to
            .retain(|path, _| files.iter().any(|(known, _)| known == path));
        let mut dropped = 0;
        let mut collectives = Vec::new();
        for (path, length) in &files {
            collectives.extend(self.news(path, *length, &mut dropped));
        }
        collectives.sort_by_key(|collective| collective.at);
        let above = collectives.len().saturating_sub(MOST_COLLECTIVES);
        collectives.drain(..above);
        Ok(Taken {
            collectives,
            dropped: dropped + above as u64,
            ..Taken::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const TEXT: &str = include_str!("../../tests/imports/nccl-inspector.jsonl");

    /// A folder with a job's folder in it, and its one file.
    fn job() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let job = folder.path().join("nccl-inspector-4711");
        fs::create_dir(&job).unwrap();
        (folder, job.join("host-pid1.log"))
    }

    fn append(path: &Path, text: &str) {
        let mut file = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn news(source: &mut NcclSource) -> (Vec<u64>, u64) {
        let taken = source.take(0).unwrap();
        (
            taken
                .collectives
                .iter()
                .map(|collective| collective.sequence)
                .collect(),
            taken.dropped,
        )
    }

    #[test]
    fn lines_are_read_once_as_they_are_written_and_not_before_they_are_whole() {
        let (folder, path) = job();
        append(&path, TEXT);
        let mut source = NcclSource::open(folder.path()).unwrap();
        assert_eq!(news(&mut source), (vec![], 0), "what was there before is no news");
        let (half, rest) = TEXT.split_at(150);
        append(&path, half);
        assert_eq!(news(&mut source), (vec![], 0));
        append(&path, rest);
        assert_eq!(news(&mut source), (vec![1407, 1231], 0));
        assert_eq!(news(&mut source), (vec![], 0));
        append(&path, "nonsense \u{e9}\n");
        append(&path, TEXT.lines().next().unwrap());
        append(&path, "\n");
        assert_eq!(news(&mut source), (vec![1407], 1));
    }

    #[test]
    fn a_file_that_is_begun_anew_and_one_that_is_new_are_read_from_their_start() {
        let (folder, path) = job();
        append(&path, TEXT);
        append(&path, TEXT);
        let mut source = NcclSource::open(folder.path()).unwrap();
        fs::write(&path, TEXT).unwrap();
        assert_eq!(news(&mut source).0.len(), 2);
        append(&path.with_file_name("host-pid2.log"), TEXT);
        assert_eq!(news(&mut source).0.len(), 2);
        fs::remove_file(&path).unwrap();
        assert_eq!(news(&mut source).0.len(), 0);
        assert_eq!(source.read_to.len(), 1, "what is gone is forgotten");
    }

    #[test]
    fn a_flood_is_bounded_and_what_is_left_out_is_counted() {
        let (folder, path) = job();
        let mut source = NcclSource::open(folder.path()).unwrap();
        let line = TEXT.lines().next().unwrap();
        let flood: String = (0..20_000)
            .map(|number| format!("{}\n", line.replace("1407", &number.to_string())))
            .collect();
        append(&path, &flood);
        let (sequences, dropped) = news(&mut source);
        assert_eq!(
            (sequences.len(), sequences.last()),
            (MOST_COLLECTIVES, Some(&19_999))
        );
        assert!(dropped > 0, "{dropped}");
        assert_eq!(news(&mut source), (vec![], 0));
    }

    #[test]
    fn a_folder_that_is_not_there_is_told_with_what_to_do() {
        let fault = NcclSource::open(Path::new("/nonexistent/inspector"))
            .err()
            .expect("there is none");
        assert!(fault.remedy.contains("NCCL_INSPECTOR_DUMP_DIR"), "{fault:?}");
    }
}
