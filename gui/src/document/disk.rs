//! Reading and writing scenarios on threads of their own: a folder may be on the other side of a network.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, thread};

use orrery::files;
use orrery_scenario::edit::Draft;

use super::Wake;
use super::job::{Event, Out, send};
use super::keeping::{Elsewhere, Scenario};

/// The longest text that is opened, in bytes. Scenarios are some kilobytes; a trace by mistake is megabytes.
const LONGEST: u64 = 1 << 20;
/// Entries of a folder that are listed at most.
const LISTED: usize = 200;
/// How names of files end that can be opened: scenarios, stored runs, traces and recorded loads.
const ENDINGS: [&str; 8] = [
    ".toml", ".json", ".json.gz", ".jsonl", ".parquet", ".sqlite", ".csv", ".csv.gz",
];

/// What a thread has to say of the disk.
#[derive(Debug)]
pub(crate) enum Disk {
    /// A file was read.
    Opened(Result<Scenario, String>),
    /// The text of the scenario with this id was to be written.
    Saved(Save, Result<(), Refusal>),
    /// Files of these scenarios differ from what they held, or not.
    Looked(Vec<(u64, Arc<str>, Option<Elsewhere>)>),
    /// A folder was listed.
    Listed(String, Vec<Entry>),
}

/// A text to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Save {
    /// The id of the scenario.
    pub(crate) id: u64,
    pub(crate) file: String,
    pub(crate) text: Arc<str>,
    pub(crate) expected: Expected,
}

/// What the file may hold; anything else is not overwritten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// There must be no file.
    Nothing,
    /// This text, or no file.
    Text(Arc<str>),
    /// Anything: it was asked.
    Anything,
}

/// Why a text was not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is a file, with this text.
    Exists(Arc<str>),
    /// It cannot be written, and why.
    Fault(String),
}

/// A folder or a scenario in a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    /// Whether it is no folder: folders come first.
    pub(crate) is_file: bool,
    pub(crate) name: String,
}

/// The scenario in `file`.
///
/// # Errors
/// Why it cannot be read, with the path last.
pub(super) fn scenario(file: &str) -> Result<Scenario, String> {
    sized(file)?;
    let scenario = Scenario::read(file)?;
    // Of a file that is called a scenario every fault is shown in its place.
    if !file.ends_with(".toml") && Draft::new(&scenario.text).is_err() {
        return Err(format!(
            "this is no scenario, stored run, trace or recorded load; a scenario is TOML: {file}"
        ));
    }
    Ok(scenario)
}

/// Whether `file` may be a scenario by its size; what is not there is left to the reader.
fn sized(file: &str) -> Result<(), String> {
    match fs::metadata(file) {
        Ok(facts) if facts.is_file() && facts.len() > LONGEST => {
            let megabytes = facts.len() >> 20;
            Err(format!("this is no scenario: it has {megabytes} MiB: {file}"))
        }
        _ => Ok(()),
    }
}

/// Writes what `save` says.
pub(crate) fn save(save: Save, out: Out, wake: Wake) {
    thread::spawn(move || {
        let outcome = write(&save);
        send(&out, &wake, Event::Disk(Disk::Saved(save, outcome)));
    });
}

fn write(save: &Save) -> Result<(), Refusal> {
    let fault = |words: String| Err(Refusal::Fault(words));
    let file = &save.file;
    // The file behind a link is written, not the link.
    let target = fs::canonicalize(file).unwrap_or_else(|_absent| PathBuf::from(file));
    if let Ok(facts) = fs::metadata(&target) {
        if facts.is_dir() {
            return fault(format!("this is a folder: {file}"));
        }
        if facts.permissions().readonly() {
            return fault(format!("the file may not be written: {file}"));
        }
        let held: Arc<str> = fs::read(&target)
            .map(|bytes| String::from_utf8_lossy(&bytes).into())
            .unwrap_or_default();
        let may = match &save.expected {
            Expected::Nothing => false,
            Expected::Text(text) => *text == held || save.text == held,
            Expected::Anything => true,
        };
        if !may {
            return Err(Refusal::Exists(held));
        }
    } else if !has_folder(&target) {
        return fault(format!("there is no such folder: {file}"));
    }
    files::write(&target, save.text.as_bytes()).map_err(Refusal::Fault)
}

/// Whether the folder of `file` is there. It is not made: most that are missing are misspelt.
fn has_folder(file: &Path) -> bool {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.is_dir(),
        _ => true,
    }
}

/// Looks whether the files of `kept` (id, file, and what it held) hold something else.
pub(crate) fn look(kept: Vec<(u64, String, Arc<str>)>, out: Out, wake: Wake) {
    thread::spawn(move || {
        let looked = kept.into_iter().map(|(id, file, held)| {
            let elsewhere = difference(&file, &held);
            (id, held, elsewhere)
        });
        send(&out, &wake, Event::Disk(Disk::Looked(looked.collect())));
    });
}

fn difference(file: &str, held: &str) -> Option<Elsewhere> {
    match files::read(Path::new(file)) {
        Ok(text) if text == held => None,
        Ok(text) => Some(Elsewhere::Changed(text.into())),
        Err(why) => Some(Elsewhere::Gone(why)),
    }
}

/// Lists the folders of `folder`, and the files in it that can be opened.
pub(crate) fn list(folder: String, out: Out, wake: Wake) {
    thread::spawn(move || {
        let entries = entries(&folder);
        send(&out, &wake, Event::Disk(Disk::Listed(folder, entries)));
    });
}

fn entries(folder: &str) -> Vec<Entry> {
    let folder = if folder.is_empty() { "." } else { folder };
    let read = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut entries: Vec<Entry> = read
        .filter_map(|entry| {
            let name = entry.file_name().to_str()?.to_owned();
            let is_file = !entry.path().is_dir();
            let opens = ENDINGS.iter().any(|ending| name.ends_with(ending));
            let shown = !name.starts_with('.') && (!is_file || opens);
            shown.then_some(Entry { is_file, name })
        })
        .collect();
    entries.sort();
    entries.truncate(LISTED);
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_save(file: &Path, text: &str, expected: Expected) -> Save {
        Save {
            id: 1,
            file: file.display().to_string(),
            text: text.into(),
            expected,
        }
    }

    #[test]
    fn nothing_is_overwritten_that_was_not_expected() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.toml");
        let held = || fs::read_to_string(&file).unwrap();
        assert_eq!(write(&a_save(&file, "one", Expected::Nothing)), Ok(()));
        let refused = write(&a_save(&file, "two", Expected::Nothing));
        assert_eq!(refused, Err(Refusal::Exists("one".into())));
        assert_eq!(write(&a_save(&file, "two", Expected::Text("one".into()))), Ok(()));
        let refused = write(&a_save(&file, "three", Expected::Text("one".into())));
        assert_eq!(refused, Err(Refusal::Exists("two".into())));
        assert_eq!(held(), "two");
        assert_eq!(write(&a_save(&file, "three", Expected::Anything)), Ok(()));
        assert_eq!(held(), "three");
        let again = write(&a_save(&file, "three", Expected::Text("one".into())));
        assert_eq!(again, Ok(()), "it holds that already");
    }

    #[test]
    fn prose_is_no_scenario_and_a_broken_one_is() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let file = folder.path().join(name);
            fs::write(&file, text).unwrap();
            scenario(&file.display().to_string())
        };
        let why = put("README.md", "# Orrery\n\nOrrery is a window.\n").unwrap_err();
        assert!(
            why.starts_with("this is no scenario") && why.ends_with("README.md"),
            "{why}"
        );
        assert!(
            put("broken.toml", "[scenario\n").is_ok(),
            "its fault is shown in its place"
        );
        assert!(put("named.otherwise", "[scenario]\nname = \"a\"\n").is_ok());
    }

    #[test]
    fn folders_that_are_missing_or_in_the_way_and_locked_files_are_said() {
        let folder = tempfile::tempdir().unwrap();
        let why = |file: &Path| match write(&a_save(file, "x", Expected::Anything)) {
            Err(Refusal::Fault(why)) => why,
            other => panic!("{other:?}"),
        };
        assert!(why(&folder.path().join("no/a.toml")).starts_with("there is no such folder: "));
        assert!(why(folder.path()).starts_with("this is a folder: "));
        let locked = folder.path().join("locked.toml");
        fs::write(&locked, "one").unwrap();
        let mut permissions = fs::metadata(&locked).unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&locked, permissions).unwrap();
        assert!(why(&locked).starts_with("the file may not be written: "));
        assert_eq!(fs::read_to_string(&locked).unwrap(), "one");
    }

    #[test]
    fn a_file_that_changed_or_is_gone_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.toml");
        fs::write(&file, "one").unwrap();
        let file = file.display().to_string();
        assert_eq!(difference(&file, "one"), None);
        assert_eq!(difference(&file, "two"), Some(Elsewhere::Changed("one".into())));
        fs::remove_file(&file).unwrap();
        assert!(
            matches!(difference(&file, "one"), Some(Elsewhere::Gone(_))),
            "gone"
        );
    }

    #[test]
    fn folders_come_first_and_only_what_can_be_opened_is_listed() {
        let folder = tempfile::tempdir().unwrap();
        for file in [
            "b.toml",
            "a.scenario.toml",
            "c.txt",
            "rank-0.json.gz",
            ".hidden.toml",
        ] {
            fs::write(folder.path().join(file), "").unwrap();
        }
        fs::create_dir(folder.path().join("z")).unwrap();
        let listed = entries(&folder.path().display().to_string());
        let names: Vec<&str> = listed.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["z", "a.scenario.toml", "b.toml", "rank-0.json.gz"]);
        assert_eq!(entries("no/such/folder"), []);
    }

    #[test]
    fn a_trace_by_mistake_is_no_scenario() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("trace.json");
        fs::write(&file, vec![b' '; 3 << 20]).unwrap();
        let why = sized(&file.display().to_string()).unwrap_err();
        assert!(why.starts_with("this is no scenario: it has 3 MiB: "), "{why}");
    }
}
