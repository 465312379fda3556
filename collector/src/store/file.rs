//! The file: what lies where in it, opened, read and changed in whole transactions.
//!
//! What was read since the last row was closed lies in the journal, sample by sample; a row then takes its place
//! in the same transaction. A commit is on the disk before it returns, so whatever kills the process leaves the
//! last one.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{
    Builder, Database, DatabaseError, ReadableDatabase as _, ReadableTable, StorageError, TableDefinition,
};
use thiserror::Error;

use super::catalog::{Catalog, SeriesKey};
use super::column::Damaged;

/// The layout of the tables.
pub(super) const SCHEMA: &str = "history/1";
/// Memory for pages of the file: the tables are small, and what is asked for is read once.
const CACHE: usize = 4 << 20;

/// Facts about the file, by name.
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// Series by number, as JSON.
pub(super) const SERIES: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("series");
/// Names of sources by number.
pub(super) const SOURCES: TableDefinition<'_, u32, &str> = TableDefinition::new("sources");
/// Samples that no row holds yet, by source and order.
pub(super) const JOURNAL: TableDefinition<'_, (u32, u64), &[u8]> = TableDefinition::new("journal");
/// Instants of the samples of a row, by source and start.
pub(super) const TIMES: TableDefinition<'_, (u32, u64), &[u8]> = TableDefinition::new("times");
/// Values, by tier, series and start.
pub(super) const COLUMNS: TableDefinition<'_, (u8, u32, u64), &[u8]> = TableDefinition::new("columns");
/// Windows whose tiers are older than their rows, by source and start.
pub(super) const DIRTY: TableDefinition<'_, (u32, u64), ()> = TableDefinition::new("dirty");

/// Where [`META`] has the schema.
const SCHEMA_NAME: &str = "schema";

/// Why the file cannot be used.
#[derive(Debug, Error)]
pub(crate) enum FileError {
    /// The system said no.
    #[error("{0}")]
    System(io::Error),
    /// Another process has it.
    #[error("another process has `{}` open", .0.display())]
    Taken(PathBuf),
    /// It was written by another version of this program.
    #[error("`{}` is `{found}`, and this program writes `{SCHEMA}`", .path.display())]
    OtherSchema {
        /// The file.
        path: PathBuf,
        /// What it says it is.
        found: String,
    },
    /// It is not as it was written.
    #[error("the file is damaged: {0}")]
    Damaged(String),
}

impl FileError {
    /// What to do about it.
    pub(crate) fn remedy(&self) -> &'static str {
        match self {
            Self::System(fault) => match fault.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                    "make room on that disk, or choose another with `--data-dir`; the history goes on by itself"
                }
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    "let the user that the collector runs as write there, or choose another `--data-dir`"
                }
                _ => "see whether that disk is well, or choose another with `--data-dir`",
            },
            Self::Taken(_) => "give every collector a `--data-dir` of its own",
            Self::OtherSchema { .. } => "use that release, or choose another `--data-dir`",
            Self::Damaged(_) => "nothing: the file is moved aside and a new one begun",
        }
    }
}

impl From<StorageError> for FileError {
    fn from(fault: StorageError) -> Self {
        match fault {
            // `InvalidData` is how redb says that a file is none of its own.
            StorageError::Io(fault)
                if matches!(
                    fault.kind(),
                    io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
                ) =>
            {
                Self::Damaged(fault.to_string())
            }
            StorageError::Io(fault) => Self::System(fault),
            StorageError::Corrupted(words) => Self::Damaged(words),
            other => Self::System(io::Error::other(other.to_string())),
        }
    }
}

impl From<redb::Error> for FileError {
    fn from(fault: redb::Error) -> Self {
        match fault {
            redb::Error::Io(fault) => StorageError::Io(fault).into(),
            redb::Error::Corrupted(words) => Self::Damaged(words),
            redb::Error::TableTypeMismatch { .. }
            | redb::Error::TypeDefinitionChanged { .. }
            | redb::Error::TableIsMultimap(_)
            | redb::Error::TableDoesNotExist(_) => Self::Damaged(fault.to_string()),
            other => Self::System(io::Error::other(other.to_string())),
        }
    }
}

impl From<Damaged> for FileError {
    fn from(fault: Damaged) -> Self {
        Self::Damaged(fault.to_string())
    }
}

macro_rules! from_redb {
    ($($fault:ty),*) => {
        $(impl From<$fault> for FileError {
            fn from(fault: $fault) -> Self {
                redb::Error::from(fault).into()
            }
        })*
    };
}
from_redb!(redb::TableError, redb::TransactionError, redb::CommitError);

/// Runs `work`; a panic in it is damage that nothing else found.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, FileError>) -> Result<T, FileError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let words = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|&words| words.to_owned()));
        Err(FileError::Damaged(
            words.unwrap_or_else(|| "it cannot be read".to_owned()),
        ))
    })
}

/// Opens the file at `path`, or begins it; every page of it is checked.
pub(super) fn open(path: &Path) -> Result<Database, FileError> {
    guarded(|| {
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
        let database = builder.create(path).map_err(|fault| match fault {
            DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
                FileError::Taken(path.to_owned())
            }
            DatabaseError::UpgradeRequired(version) => FileError::OtherSchema {
                path: path.to_owned(),
                found: format!("redb file format {version}"),
            },
            DatabaseError::Storage(fault) => fault.into(),
            other => FileError::System(io::Error::other(other.to_string())),
        })?;
        check_schema(&database, path)?;
        Ok(database)
    })
}

/// Makes the tables of a new file; refuses one of another schema.
fn check_schema(database: &Database, path: &Path) -> Result<(), FileError> {
    let change = database.begin_write()?;
    {
        let mut meta = change.open_table(META)?;
        let found = meta.get(SCHEMA_NAME)?.map(|schema| schema.value().to_vec());
        match found {
            Some(found) if found == SCHEMA.as_bytes() => {}
            Some(found) => {
                return Err(FileError::OtherSchema {
                    path: path.to_owned(),
                    found: String::from_utf8_lossy(&found).into_owned(),
                });
            }
            None => {
                meta.insert(SCHEMA_NAME, SCHEMA.as_bytes())?;
            }
        }
        change.open_table(SERIES)?;
        change.open_table(SOURCES)?;
        change.open_table(JOURNAL)?;
        change.open_table(TIMES)?;
        change.open_table(COLUMNS)?;
        change.open_table(DIRTY)?;
    }
    change.commit()?;
    Ok(())
}

/// Moves the file at `path` aside, to a name that no file has, which is given back.
pub(super) fn move_aside(path: &Path, now_millis: u64) -> io::Result<PathBuf> {
    let free = (0..).map(|try_again| {
        let again = if try_again == 0 {
            String::new()
        } else {
            format!("-{try_again}")
        };
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".damaged-{}{again}", now_millis / 1000));
        PathBuf::from(name)
    });
    let aside = free
        .into_iter()
        .find(|name| !name.exists())
        .expect("names do not end");
    fs::rename(path, &aside)?;
    Ok(aside)
}

/// The series and sources of the file.
pub(super) fn read_catalog(database: &Database) -> Result<Catalog, FileError> {
    let view = database.begin_read()?;
    let numbers = series(&view.open_table(SERIES)?)?;
    let mut sources = BTreeMap::new();
    for row in view.open_table(SOURCES)?.iter()? {
        let (number, name) = row?;
        sources.insert(name.value().to_owned(), number.value());
    }
    Ok(Catalog::new(
        numbers.into_iter().map(|(number, key)| (key, number)).collect(),
        sources,
    ))
}

/// The series of a table, by number.
pub(super) fn series(
    table: &impl ReadableTable<u32, &'static [u8]>,
) -> Result<BTreeMap<u32, SeriesKey>, FileError> {
    let mut keys = BTreeMap::new();
    for row in table.iter()? {
        let (number, key) = row?;
        let key = serde_json::from_slice(super::column::opened(key.value())?);
        keys.insert(number.value(), key.map_err(|_fault| Damaged)?);
    }
    Ok(keys)
}
