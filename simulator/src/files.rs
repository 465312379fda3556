//! The one place that reads and writes files.

use std::fs;
use std::io::{BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use orrery_scenario::Source;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;

/// Reads what scenarios refer to from disk, relative to the file that names it.
///
/// What is not found there and ships with the program is read from it, so that the shipped scenarios work
/// from anywhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskSource;

impl Source for DiskSource {
    fn read(&self, from: &str, path: &str) -> Result<String, String> {
        let folder = Path::new(from).parent().unwrap_or(Path::new(""));
        let wanted = folder.join(path);
        text_of(&wanted).or_else(|fault| shipped(&wanted).map(str::to_owned).ok_or_else(|| phrase(&fault)))
    }
}

/// The text of a file, unpacked where its name ends in `.gz`.
fn text_of(path: &Path) -> std::io::Result<String> {
    if path.extension().is_none_or(|end| end != "gz") {
        return fs::read_to_string(path);
    }
    let mut text = String::new();
    flate2::read::GzDecoder::new(fs::File::open(path)?).read_to_string(&mut text)?;
    Ok(text)
}

/// The scenario that runs when none is named.
pub const DEFAULT_SCENARIO: &str = "scenarios/training/deepseek-v3-2048-h800.scenario.toml";

/// The text of a file that ships inside the program, by its path from the root of the source tree.
fn shipped(path: &Path) -> Option<&'static str> {
    let path = path.to_string_lossy();
    SHIPPED
        .iter()
        .find(|(name, _)| path == *name || path.ends_with(&format!("/{name}")))
        .map(|(_, text)| *text)
}

const SHIPPED: [(&str, &str); 1] = [(
    DEFAULT_SCENARIO,
    include_str!("../../scenarios/training/deepseek-v3-2048-h800.scenario.toml"),
)];

/// The text of the scenario at `path`: from disk, else the shipped one of that path.
///
/// # Errors
/// Why it cannot be read, with the path last.
pub fn read_scenario(path: &str) -> Result<String, String> {
    fs::read_to_string(path).or_else(|fault| {
        shipped(Path::new(path))
            .map(str::to_owned)
            .ok_or_else(|| format!("cannot read the scenario: {}: {path}", phrase(&fault)))
    })
}

/// The text of a recording of expert loads: unpacked where its name ends in `.gz`, a table of Parquet as CSV.
///
/// # Errors
/// Why it cannot be read, with the path last, or what turns it into something that can.
pub fn read_recording(path: &Path) -> Result<String, String> {
    let fail = |why: &str| format!("cannot read: {why}: {}", path.display());
    if path.extension().is_some_and(|end| end == "parquet") {
        let file = fs::File::open(path).map_err(|fault| fail(&phrase(&fault)))?;
        return table_of_parquet(file).map_err(|why| fail(&why));
    }
    let mut bytes = fs::read(path).map_err(|fault| fail(&phrase(&fault)))?;
    if path.extension().is_some_and(|end| end == "gz") {
        let mut unpacked = Vec::new();
        let mut reader = flate2::read::GzDecoder::new(&bytes[..]);
        reader
            .read_to_end(&mut unpacked)
            .map_err(|fault| fail(&phrase(&fault)))?;
        bytes = unpacked;
    }
    if let Some(refused) = orrery_experts::record::refuse(&bytes) {
        return Err(fail(&refused.to_string()));
    }
    String::from_utf8(bytes).map_err(|_binary| fail("it is no text"))
}

/// The beginning of the text that [`read_recording`] gives, without reading all of it; empty of what is no text.
#[must_use]
pub fn head_of_recording(path: &Path) -> String {
    const HEAD: u64 = 4096;
    let ends = |end: &str| path.extension().is_some_and(|other| other == end);
    let Ok(file) = fs::File::open(path) else {
        return String::new();
    };
    if ends("parquet") {
        let reader = SerializedFileReader::new(file);
        let names = |reader: SerializedFileReader<fs::File>| {
            let fields = reader.metadata().file_metadata().schema().get_fields().iter();
            fields
                .map(|field| field.name().to_owned())
                .collect::<Vec<_>>()
                .join(",")
        };
        return reader.map(names).unwrap_or_default();
    }
    let mut bytes = Vec::new();
    let read = match ends("gz") {
        true => flate2::read::GzDecoder::new(file)
            .take(HEAD)
            .read_to_end(&mut bytes),
        false => file.take(HEAD).read_to_end(&mut bytes),
    };
    // The last letter may be cut.
    read.map(|_length| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}

/// The rows of a Parquet file as CSV, a column of the same name for each of its own.
fn table_of_parquet(file: fs::File) -> Result<String, String> {
    let reader = SerializedFileReader::new(file).map_err(|fault| format!("no Parquet file: {fault}"))?;
    let schema = reader.metadata().file_metadata().schema();
    let header: Vec<&str> = schema.get_fields().iter().map(|field| field.name()).collect();
    let mut table = csv::Writer::from_writer(Vec::new());
    let wrong = |fault: &dyn std::fmt::Display| fault.to_string();
    table.write_record(&header).map_err(|fault| wrong(&fault))?;
    for row in reader.get_row_iter(None).map_err(|fault| wrong(&fault))? {
        let row = row.map_err(|fault| wrong(&fault))?;
        let cells = row.get_column_iter().map(|(_, field)| match field {
            Field::Str(text) => text.clone(),
            other => other.to_string(),
        });
        table.write_record(cells).map_err(|fault| wrong(&fault))?;
    }
    let bytes = table.into_inner().map_err(|fault| wrong(&fault))?;
    String::from_utf8(bytes).map_err(|fault| wrong(&fault))
}

/// The text of `path`.
///
/// # Errors
/// Why it cannot be read, with the path last.
pub fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|fault| format!("cannot read: {}: {}", phrase(&fault), path.display()))
}

/// Writes `bytes` to `path`, folders made as needed; the file appears whole or not at all.
///
/// # Errors
/// Why it cannot be written, with the path last.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    write_with(path, |file| file.write_all(bytes))
}

/// Writes what `put` writes to `path`, without holding all of it; folders and the file as of [`write()`].
///
/// # Errors
/// Why it cannot be written, with the path last.
pub fn write_with(
    path: &Path,
    put: impl FnOnce(&mut BufWriter<fs::File>) -> std::io::Result<()>,
) -> Result<(), String> {
    let fail = |fault: std::io::Error| format!("cannot write: {}: {}", phrase(&fault), path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(fail)?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    let part = PathBuf::from(name);
    let mut file = BufWriter::new(fs::File::create(&part).map_err(fail)?);
    put(&mut file).and_then(|()| file.flush()).map_err(fail)?;
    drop(file);
    fs::rename(&part, path).map_err(fail)
}

/// Makes the folder of `path`, where it is not there yet.
///
/// # Errors
/// Why it cannot be made, without the path.
pub(crate) fn folder_of(path: &Path) -> Result<(), String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.map_or(Ok(()), |folder| {
        fs::create_dir_all(folder).map_err(|fault| phrase(&fault))
    })
}

/// The `run.json` of a run named by its folder or by that file.
///
/// # Errors
/// When there is no such file or it is no stored run.
pub fn read_run(run: &Path) -> Result<(PathBuf, serde_json::Value), String> {
    let file = if run.is_dir() {
        run.join("run.json")
    } else {
        run.to_owned()
    };
    let text = read(&file)?;
    let value: serde_json::Value = serde_json::from_str(&text)
        .map_err(|fault| format!("not a stored run: {fault}: {}", file.display()))?;
    let is_run = value.get("schema").is_some_and(|schema| schema == "result/1");
    if !is_run {
        return Err(format!(
            "not a stored run: its `schema` is not `result/1`: {}",
            file.display()
        ));
    }
    Ok((file, value))
}

/// Where the baseline of scenario `name` in `file` lies: in a folder `baselines` beside the scenario or
/// beside its folder, else in `scenarios/baselines`.
#[must_use]
pub fn baseline_path(file: &str, name: &str) -> PathBuf {
    let folder = Path::new(file).parent().unwrap_or(Path::new(""));
    let beside = [folder.join("baselines"), folder.join("../baselines")];
    let folder = beside
        .into_iter()
        .find(|candidate| candidate.is_dir())
        .unwrap_or_else(|| PathBuf::from("scenarios/baselines"));
    folder.join(format!("{name}.json"))
}

/// What went wrong, without the operating system's number.
pub(crate) fn phrase(fault: &std::io::Error) -> String {
    match fault.kind() {
        std::io::ErrorKind::NotFound => "no such file or folder".to_owned(),
        std::io::ErrorKind::PermissionDenied => "no permission".to_owned(),
        std::io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => fault.to_string(),
    }
}
