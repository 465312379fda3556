//! Exports of Nsight Systems to SQLite: a rank for each process that used a device.
//!
//! The tables are those of the published schema (`nsys export --type sqlite`): kernels, copies and sets, calls of the CUDA
//! runtime, ranges of NVTX. Tables are written only where there is something in them, and columns came and went with
//! versions, so that each is asked for. What an export does not hold is whom a collective met: kernels of NCCL stay alone.

use std::collections::{BTreeMap, HashMap, HashSet};

use rusqlite::{Connection, Row};

use crate::kineto::{DeviceWork, RankBuilder, RankTrace};

/// The first bytes of such a file.
pub const MAGIC: &[u8] = b"SQLite format 3\0";
/// Rows between two questions whether to go on.
const LOOK: usize = 1 << 16;

/// Ranges that were pushed and popped, and ranges that were started and ended (`NVTX_EVENTS.eventType`).
const RANGES: &str = "eventType IN (59, 60)";

/// A process on its way.
struct Process {
    builder: RankBuilder,
    /// Its first device, once it used one.
    device: Option<i64>,
}

struct Reader<'c> {
    connection: &'c Connection,
    go_on: &'c mut dyn FnMut() -> bool,
    strings: HashMap<i64, String>,
    /// When times begin, nanoseconds of Unix time.
    base: u64,
    processes: BTreeMap<i64, Process>,
}

/// Reads the ranks of an export, in the order of their devices; `go_on` is asked now and then.
///
/// # Errors
/// When it is no such export, damaged, or reading was stopped.
pub fn read(connection: &Connection, go_on: &mut dyn FnMut() -> bool) -> Result<Vec<RankTrace>, String> {
    let mut reader = Reader {
        connection,
        go_on,
        strings: HashMap::new(),
        base: 0,
        processes: BTreeMap::new(),
    };
    reader.read().map_err(|fault| match fault {
        Fault::Stopped => "it was stopped".to_owned(),
        Fault::Foreign => {
            "it is no export of Nsight Systems: there is no table CUPTI_ACTIVITY_KIND_KERNEL\n  = help: export a report with \
             `nsys export --type sqlite`, of a run that was traced with `--trace=cuda`"
                .to_owned()
        }
        Fault::Damaged(fault) => format!(
            "the database cannot be read: {fault}\n  = help: export the report again with `nsys export --type sqlite`"
        ),
    })?;
    let devices = reader.devices().unwrap_or_default();
    let mut used: Vec<(i64, Process)> = reader
        .processes
        .into_values()
        .filter_map(|process| Some((process.device?, process)))
        .collect();
    used.sort_by_key(|(device, _)| *device);
    let finish = |(_, mut process): (i64, Process)| {
        process.builder.about(devices.clone(), None);
        process.builder.finish()
    };
    Ok(used.into_iter().map(finish).collect())
}

enum Fault {
    Stopped,
    Foreign,
    Damaged(rusqlite::Error),
}

impl From<rusqlite::Error> for Fault {
    fn from(fault: rusqlite::Error) -> Self {
        Self::Damaged(fault)
    }
}

/// The process and the thread of a serialised id: 24 bits each.
const fn process_and_thread(global: i64) -> (i64, i64) {
    ((global >> 24) & 0xff_ffff, global & 0xff_ffff)
}

impl Reader<'_> {
    fn read(&mut self) -> Result<(), Fault> {
        if self.columns("CUPTI_ACTIVITY_KIND_KERNEL")?.is_empty() {
            return Err(Fault::Foreign);
        }
        self.base = self.began()?;
        if !self.columns("StringIds")?.is_empty() {
            let mut strings = HashMap::new();
            self.each("SELECT id, value FROM StringIds", |_, row| {
                strings.insert(row.get(0)?, row.get(1)?);
                Ok(())
            })?;
            self.strings = strings;
        }
        self.kernels()?;
        self.copies("CUPTI_ACTIVITY_KIND_MEMCPY", "Memcpy")?;
        self.copies("CUPTI_ACTIVITY_KIND_MEMSET", "Memset")?;
        self.calls()?;
        self.ranges()
    }

    /// The columns of a table; none where there is no such table.
    fn columns(&self, table: &str) -> Result<HashSet<String>, Fault> {
        let mut statement = self
            .connection
            .prepare("SELECT name FROM pragma_table_info(?1)")?;
        let names = statement.query_map([table], |row| row.get(0))?;
        Ok(names.collect::<Result<_, _>>()?)
    }

    /// When times begin, where the export says it.
    fn began(&self) -> Result<u64, Fault> {
        if !self
            .columns("TARGET_INFO_SESSION_START_TIME")?
            .contains("utcEpochNs")
        {
            return Ok(0);
        }
        let query = "SELECT utcEpochNs FROM TARGET_INFO_SESSION_START_TIME LIMIT 1";
        let began: Option<i64> = self
            .connection
            .query_row(query, [], |row| row.get(0))
            .unwrap_or_default();
        Ok(began.and_then(|nanos| u64::try_from(nanos).ok()).unwrap_or(0))
    }

    fn devices(&self) -> Result<Vec<String>, Fault> {
        if !self.columns("TARGET_INFO_GPU")?.contains("name") {
            return Ok(Vec::new());
        }
        let mut statement = self.connection.prepare("SELECT name FROM TARGET_INFO_GPU")?;
        let names = statement.query_map([], |row| row.get(0))?;
        Ok(names.collect::<Result<_, _>>()?)
    }

    /// Hands each row of `query` to `take`.
    fn each(
        &mut self,
        query: &str,
        mut take: impl FnMut(&mut Self, &Row<'_>) -> Result<(), rusqlite::Error>,
    ) -> Result<(), Fault> {
        let connection = self.connection;
        let mut statement = connection.prepare(query)?;
        let mut rows = statement.query([])?;
        let mut count = 0_usize;
        while let Some(row) = rows.next()? {
            if count.is_multiple_of(LOOK) && !(self.go_on)() {
                return Err(Fault::Stopped);
            }
            count += 1;
            take(self, row)?;
        }
        Ok(())
    }

    fn process(&mut self, process: i64) -> &mut Process {
        let base = self.base;
        self.processes.entry(process).or_insert_with(|| Process {
            builder: RankBuilder::new(None, base),
            device: None,
        })
    }

    fn text(&self, id: Option<i64>) -> String {
        let known = id.and_then(|id| self.strings.get(&id));
        known.map_or_else(|| "unknown".to_owned(), String::clone)
    }

    fn kernels(&mut self) -> Result<(), Fault> {
        let table = "CUPTI_ACTIVITY_KIND_KERNEL";
        let columns = self.columns(table)?;
        let name = ["demangledName", "shortName", "mangledName"];
        let name = name
            .into_iter()
            .find(|&name| columns.contains(name))
            .unwrap_or("NULL");
        let query = query(table, &columns, name, "0");
        self.each(&query, |reader, row| {
            let name = reader.text(row.get(6)?);
            reader.device((DeviceWork::Kernel, &name), row)
        })
    }

    fn copies(&mut self, table: &str, name: &str) -> Result<(), Fault> {
        let columns = self.columns(table)?;
        if columns.is_empty() {
            return Ok(());
        }
        let kind = if columns.contains("copyKind") {
            "copyKind"
        } else {
            "NULL"
        };
        let query = query(table, &columns, kind, "bytes");
        self.each(&query, |reader, row| {
            let direction = row.get::<_, Option<i64>>(6)?.and_then(direction);
            let name = direction.map_or_else(|| name.to_owned(), |direction| format!("{name} {direction}"));
            reader.device((DeviceWork::Copy, &name), row)
        })
    }

    /// Adds a row of a query of [`query`].
    fn device(&mut self, what: (DeviceWork, &str), row: &Row<'_>) -> Result<(), rusqlite::Error> {
        let (process, _) = process_and_thread(row.get(5)?);
        let (device, stream) = (row.get(2)?, row.get(3)?);
        let times = (nanos(row, 0)?, nanos(row, 1)?);
        let about = (correlation(row.get(4)?), nanos(row, 7)?);
        let process = self.process(process);
        process.device = Some(process.device.map_or(device, |known: i64| known.min(device)));
        process.builder.device(what, (device, stream), times, about);
        Ok(())
    }

    fn calls(&mut self) -> Result<(), Fault> {
        let table = "CUPTI_ACTIVITY_KIND_RUNTIME";
        if self.columns(table)?.is_empty() {
            return Ok(());
        }
        let query = format!("SELECT start, end, globalTid, correlationId, nameId FROM {table}");
        self.each(&query, |reader, row| {
            let place = process_and_thread(row.get::<_, Option<i64>>(2)?.unwrap_or(0));
            let name = reader.text(row.get(4)?);
            let times = (nanos(row, 0)?, nanos(row, 1)?);
            let correlation = correlation(row.get(3)?);
            let process = reader.process(place.0);
            process
                .builder
                .call(unversioned(&name), place, times, correlation);
            Ok(())
        })
    }

    /// Ranges that are named for a step.
    fn ranges(&mut self) -> Result<(), Fault> {
        let table = "NVTX_EVENTS";
        let columns = self.columns(table)?;
        if columns.is_empty() {
            return Ok(());
        }
        let id = if columns.contains("textId") {
            "textId"
        } else {
            "NULL"
        };
        let query = format!(
            "SELECT start, end, globalTid, text, {id} FROM {table} WHERE {RANGES} AND end IS NOT NULL"
        );
        self.each(&query, |reader, row| {
            let (process, _) = process_and_thread(row.get::<_, Option<i64>>(2)?.unwrap_or(0));
            let text: Option<String> = row.get(3)?;
            let text = text.unwrap_or(reader.text(row.get(4)?));
            if let Some(number) = step_number(&text) {
                let times = (nanos(row, 0)?, nanos(row, 1)?);
                reader.process(process).builder.step(number, times);
            }
            Ok(())
        })
    }
}

/// Start, end, device, stream, correlation, process, and two more columns of a table of device work.
fn query(table: &str, columns: &HashSet<String>, name: &str, bytes: &str) -> String {
    // Older exports are of one process.
    let process = if columns.contains("globalPid") {
        "globalPid"
    } else {
        "0"
    };
    format!("SELECT start, end, deviceId, streamId, correlationId, {process}, {name}, {bytes} FROM {table}")
}

fn nanos(row: &Row<'_>, at: usize) -> Result<u64, rusqlite::Error> {
    let number: Option<i64> = row.get(at)?;
    Ok(number.and_then(|number| u64::try_from(number).ok()).unwrap_or(0))
}

fn correlation(id: Option<i64>) -> Option<u32> {
    id.and_then(|id| u32::try_from(id).ok())
}

/// Which way a copy goes, of the kinds of CUPTI (`CUpti_ActivityMemcpyKind`).
const fn direction(kind: i64) -> Option<&'static str> {
    match kind {
        1 => Some("HtoD"),
        2 => Some("DtoH"),
        8 => Some("DtoD"),
        10 => Some("PtoP"),
        _ => None,
    }
}

/// `cudaLaunchKernel` of `cudaLaunchKernel_v7000`.
fn unversioned(name: &str) -> &str {
    match name.rsplit_once("_v") {
        Some((plain, version)) if version.bytes().all(|byte| byte.is_ascii_digit()) => plain,
        _ => name,
    }
}

/// The number of a range that is named for a step: `ProfilerStep#12`, `iteration 12`, `step: 12`, `iter_12`.
fn step_number(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let names = ["profilerstep", "iteration", "step", "iter"];
    let rest = names.into_iter().find_map(|name| text.strip_prefix(name))?;
    rest.trim_start_matches(['#', ':', '=', '_', '-', ' '])
        .parse()
        .ok()
}

#[cfg(test)]
mod tests;
