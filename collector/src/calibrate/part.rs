//! What a run has measured so far, a line for each: an interrupted run goes on from it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use orrery_kernels::device::{DeviceFacts, Measurement};
use serde::{Deserialize, Serialize};

use super::Calibration;

/// Version of the file.
const SCHEMA: &str = "calibration-part/1";

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    schema: String,
    device: String,
    plan: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    id: String,
    measured: Measurement,
}

/// What an earlier run left cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PartFault {
    /// It is of another device, plan or version.
    #[error(
        "{path} holds an interrupted run of another {what}\n  = help: `--fresh` begins anew, or name another file with `--out`"
    )]
    Another {
        /// The file.
        path: String,
        /// What differs.
        what: &'static str,
    },
    /// It cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

/// The file and what it holds.
#[derive(Debug)]
pub(super) struct Part {
    path: PathBuf,
    file: File,
    records: BTreeMap<String, Measurement>,
}

impl Part {
    /// The part beside the profile, begun or gone on with.
    pub(super) fn open(calibration: &Calibration, facts: &DeviceFacts) -> Result<Self, PartFault> {
        let mut path = calibration.out.clone().into_os_string();
        path.push(".part.jsonl");
        let path = PathBuf::from(path);
        let fault = |source| PartFault::File {
            path: path.display().to_string(),
            source,
        };
        let head = Head {
            schema: SCHEMA.to_owned(),
            device: facts.uuid.clone(),
            plan: calibration.plan.key(),
        };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) if !calibration.fresh => text,
            Err(found) if found.kind() != io::ErrorKind::NotFound => return Err(fault(found)),
            _ => String::new(),
        };
        let mut records = BTreeMap::new();
        let mut lines = text.lines();
        let is_new = match lines.next() {
            None => true,
            Some(first) => {
                let another = |what| PartFault::Another {
                    path: path.display().to_string(),
                    what,
                };
                let found: Head = serde_json::from_str(first).map_err(|_fault| another("version"))?;
                if found.schema != head.schema {
                    return Err(another("version"));
                }
                if found.device != head.device {
                    return Err(another("device"));
                }
                if found.plan != head.plan {
                    return Err(another("plan"));
                }
                false
            }
        };
        // The last line may be the half of one: that measurement is taken again.
        records.extend(
            lines
                .filter_map(|line| serde_json::from_str(line).ok())
                .map(|line: Line| (line.id, line.measured)),
        );
        let mut options = OpenOptions::new();
        options.create(true).write(true);
        let mut file = if is_new {
            options.truncate(true)
        } else {
            options.append(true)
        }
        .open(&path)
        .map_err(fault)?;
        if is_new {
            write(&mut file, &head).map_err(fault)?;
        } else if !text.ends_with('\n') {
            file.write_all(b"\n").map_err(fault)?;
        }
        Ok(Self { path, file, records })
    }

    pub(super) fn has(&self, id: &str) -> bool {
        self.records.contains_key(id)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(super) const fn records(&self) -> &BTreeMap<String, Measurement> {
        &self.records
    }

    pub(super) fn keep(&mut self, id: &str, measured: &Measurement) -> Result<(), PartFault> {
        let line = Line {
            id: id.to_owned(),
            measured: measured.clone(),
        };
        write(&mut self.file, &line).map_err(|source| PartFault::File {
            path: self.path.display().to_string(),
            source,
        })?;
        self.records.insert(line.id, line.measured);
        Ok(())
    }

    /// Everything is measured: the lines stay beside the profile as what it was made of.
    pub(super) fn finish(self, out: &Path) -> Result<(), PartFault> {
        let mut to = out.to_owned().into_os_string();
        to.push(".measured.jsonl");
        std::fs::rename(&self.path, &to).map_err(|source| PartFault::File {
            path: self.path.display().to_string(),
            source,
        })
    }
}

fn write<T: Serialize>(file: &mut File, value: &T) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    file.write_all(&line)?;
    file.sync_data()
}
