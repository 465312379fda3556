//! What the window remembers from one time to the next: files, panels, colours and size, never a text.

use std::env;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use eframe::egui::{Context, Theme, ThemePreference};
use egui_tiles::Tree;
use orrery::files;
use serde::{Deserialize, Serialize};

use super::App;
use super::arrangement::{Arrangement, Pane, is_whole};
use super::sides::Sides;
use crate::document::Home;

/// The version of the file; another one is put aside.
const SCHEMA: &str = "window/1";

/// How often what changed is written down, in case the window does not come to close in peace.
const WRITE_EVERY: Duration = Duration::from_secs(2);

/// What is remembered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(super) schema: String,
    /// Scenarios that were open, each by its file and whether that is the user's.
    pub(crate) scenarios: Vec<(String, bool)>,
    /// The place of the one in front.
    pub(crate) front: usize,
    /// Runs and traces that were opened, each by its files.
    #[serde(default)]
    pub(crate) runs: Vec<Vec<String>>,
    pub(crate) colours: Colours,
    /// Width and height of the window, in points.
    pub(crate) size: Option<[f32; 2]>,
    /// How large everything is; 1 is the size that the system asks for.
    pub(crate) scale: f32,
    pub(super) panels: Tree<Pane>,
    /// What stands around them.
    #[serde(default)]
    pub(super) sides: Sides,
    /// Whether a window that nothing is named for begins with a run: not after one was stopped.
    #[serde(default = "yes")]
    pub(crate) runs_at_start: bool,
}

const fn yes() -> bool {
    true
}

/// Which colours were chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Colours {
    /// Light on dark.
    #[default]
    Dark,
    /// Dark on light.
    Light,
    /// As the system has them.
    System,
}

impl Colours {
    pub(super) const fn preference(self) -> ThemePreference {
        match self {
            Self::Dark => ThemePreference::Dark,
            Self::Light => ThemePreference::Light,
            Self::System => ThemePreference::System,
        }
    }

    /// The other ones than those that are `shown`.
    pub(super) const fn switched(shown: Theme) -> Self {
        match shown {
            Theme::Dark => Self::Light,
            Theme::Light => Self::Dark,
        }
    }
}

impl Default for Session {
    fn default() -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            scenarios: Vec::new(),
            front: 0,
            runs: Vec::new(),
            colours: Colours::default(),
            size: None,
            scale: 1.0,
            panels: Arrangement::default().tree(),
            sides: Sides::default(),
            runs_at_start: true,
        }
    }
}

impl Session {
    /// What `path` remembers; nothing if there is no such file. A file that cannot be understood is put aside
    /// under another name, and is no reason not to open.
    pub(crate) fn read(path: &Path) -> Self {
        let Ok(text) = files::read(path) else {
            return Self::default();
        };
        let session: Option<Self> = serde_json::from_str(&text).ok();
        let usable = session.filter(Self::is_usable);
        usable.unwrap_or_else(|| {
            let mut aside = path.as_os_str().to_owned();
            aside.push(".unreadable");
            // Where it cannot be put aside it is overwritten when the window is closed.
            let _moved = std::fs::rename(path, aside);
            Self::default()
        })
    }

    fn is_usable(&self) -> bool {
        let within = |value: f32, low: f32, high: f32| (low..=high).contains(&value);
        self.schema == SCHEMA
            && is_whole(&self.panels)
            && within(self.scale, 0.2, 5.0)
            && self
                .size
                .is_none_or(|size| size.iter().all(|&side| within(side, 100.0, 1e5)))
    }

    /// Remembers this in `path`.
    ///
    /// # Errors
    /// Why it cannot be written.
    pub(super) fn write(&self, path: &Path) -> Result<(), String> {
        let text = serde_json::to_string_pretty(self).map_err(|fault| fault.to_string())?;
        files::write(path, text.as_bytes())
    }
}

/// Where and what the window remembers.
#[derive(Debug)]
pub(super) struct Memory {
    path: PathBuf,
    /// What was written last.
    written: Option<Session>,
    began: Instant,
    writing: Option<JoinHandle<()>>,
}

impl Memory {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            written: None,
            began: Instant::now(),
            writing: None,
        }
    }

    /// Writes `session` down on a thread, unless it is written or another is on its way.
    fn keep(&mut self, session: Session, context: &Context) {
        let is_writing = self
            .writing
            .as_ref()
            .is_some_and(|writing| !writing.is_finished());
        if self.written.as_ref() == Some(&session) {
            return;
        }
        let since = self.began.elapsed();
        if is_writing || since < WRITE_EVERY {
            context.request_repaint_after(WRITE_EVERY.saturating_sub(since));
            return;
        }
        self.began = Instant::now();
        self.written = Some(session.clone());
        let path = self.path.clone();
        // It is written again when the window is closed, and nothing of the user's is lost.
        self.writing = Some(thread::spawn(move || drop(session.write(&path))));
    }

    /// Writes `session` down here and now.
    fn keep_last(&mut self, session: &Session) {
        if let Some(writing) = self.writing.take() {
            // Two at once would be in each other's way. What it had to say is said again.
            drop(writing.join());
        }
        // The window is closed: there is nobody left to tell.
        drop(session.write(&self.path));
    }
}

impl App {
    /// Writes down now and then what the next window begins with.
    pub(super) fn remember(&mut self, context: &Context) {
        if self.memory.is_none() {
            return;
        }
        let session = self.session();
        if let Some(memory) = &mut self.memory {
            memory.keep(session, context);
        }
    }

    /// Writes down what the next window begins with, for the last time.
    pub(super) fn remember_now(&mut self) {
        let session = self.session();
        if let Some(memory) = &mut self.memory {
            memory.keep_last(&session);
        }
    }

    /// What the next window begins with.
    fn session(&self) -> Session {
        let document = &self.document;
        let in_a_file = |place: &usize| document.shelf[*place].keeping.home != Home::New;
        // A text that is in no file cannot come back.
        let places: Vec<usize> = (0..document.shelf.len()).filter(in_a_file).collect();
        let entry = |&place: &usize| {
            let file = document.file_of(place);
            match document.shelf[place].keeping.home {
                // The next window may be opened in another folder.
                Home::File => (absolute(file), true),
                Home::New | Home::Shipped => (file.to_owned(), false),
            }
        };
        let front = places.iter().position(|&place| place == document.front);
        let opened = document.runs.kept.iter().filter(|run| !run.files.is_empty());
        let opened = opened.map(|run| run.files.iter().map(|file| absolute(file)).collect());
        let (size, scale) = self.seen;
        Session {
            scenarios: places.iter().map(entry).collect(),
            front: front.unwrap_or(0),
            runs: opened.collect(),
            colours: self.colours,
            size,
            scale,
            panels: self.layout.tree.clone(),
            sides: self.layout.sides,
            runs_at_start: self.runs_at_start,
            ..Session::default()
        }
    }
}

fn absolute(file: &str) -> String {
    let path = std::path::absolute(file);
    path.map_or_else(|_empty| file.to_owned(), |path| path.display().to_string())
}

/// Where the window remembers: `orrery/window.json` where the system keeps the state of programs; `None` when it
/// says no such place.
#[must_use]
pub fn session_path() -> Option<PathBuf> {
    let folder = |name: &str| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let state = folder("XDG_STATE_HOME")
        .or_else(|| folder("LOCALAPPDATA"))
        .or_else(|| folder("HOME").map(|home| home.join(".local/state")));
    state.map(|state| state.join("orrery/window.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/folder/window.json");
        assert_eq!(Session::read(&path), Session::default(), "nothing yet");
        let session = Session {
            scenarios: vec![("a.toml".to_owned(), true), ("b.toml".to_owned(), false)],
            front: 1,
            runs: vec![
                vec!["run".to_owned()],
                vec!["rank-0.json".to_owned(), "rank-1.json".to_owned()],
            ],
            colours: Colours::Light,
            size: Some([800.0, 600.0]),
            scale: 1.5,
            panels: Arrangement::Observe.tree(),
            sides: Sides {
                inspector: false,
                ..Sides::default()
            },
            ..Session::default()
        };
        session.write(&path).unwrap();
        assert_eq!(Session::read(&path), session);
    }

    #[test]
    fn what_cannot_be_understood_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("window.json");
        let mut newer = serde_json::to_value(Session::default()).unwrap();
        newer["schema"] = "window/2".into();
        let mut huge = serde_json::to_value(Session::default()).unwrap();
        huge["scale"] = 1e9.into();
        for text in ["{", "[]", &newer.to_string(), &huge.to_string()] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(Session::read(&path), Session::default(), "{text}");
            assert!(!path.exists(), "it is put aside");
            let aside = folder.path().join("window.json.unreadable");
            assert_eq!(std::fs::read_to_string(aside).unwrap(), text);
        }
    }
}
