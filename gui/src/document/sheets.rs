//! Decision sheets: made of a run on a thread of their own, and written to files.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use orrery::pipeline;
use orrery::sheet::Sheet;
use orrery::why::sensitivity::estimated;

use super::job::{Event, Out, guarded, send};
use super::{Document, Run, Wake};

/// The sheet of a run, or why there is none.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The run.
    pub run: u64,
    /// Its sheet.
    pub sheet: Result<Arc<Sheet>, String>,
}

/// Sheets of the window.
#[derive(Clone, Debug, Default)]
pub struct Sheets {
    /// The run whose sheet is shown, until another ends; the newest if none was picked.
    pub picked: Option<u64>,
    /// The run whose sheet is being made.
    pub(crate) preparing: Option<u64>,
    /// The sheet that was made last.
    pub prepared: Option<Prepared>,
    /// What became of exports, the newest first, one for each file.
    pub written: Vec<Export>,
}

/// What became of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// The file, whole.
    pub path: PathBuf,
    /// Whether an older file of that name gave way to it; or why nothing was written.
    pub outcome: Result<bool, String>,
}

impl Export {
    /// What became of it, in a sentence.
    #[must_use]
    pub fn words(&self) -> String {
        let path = self.path.display();
        match &self.outcome {
            Ok(false) => format!("wrote {path}"),
            Ok(true) => format!("wrote {path}, in place of an older file"),
            Err(why) => why.clone(),
        }
    }
}

/// What threads say of sheets.
#[derive(Debug)]
pub(crate) enum News {
    /// A sheet was made.
    Prepared(Prepared),
    /// A sheet was written, or not.
    Written(Export),
}

impl Document {
    /// The run whose sheet is shown.
    #[must_use]
    pub fn sheet_run(&self) -> Option<&Arc<Run>> {
        let picked = self.sheets.picked;
        let found = picked.and_then(|id| self.runs.kept.iter().find(|run| run.id == id));
        found.or_else(|| self.runs.kept.last())
    }

    /// The text that `run` was simulated from, if it is still open as it was.
    fn text_of_run(&self, run: &Run) -> Option<(String, Arc<str>)> {
        let hash = run.result["hash"].as_str()?;
        let place = (0..self.shelf.len()).find(|&place| self.file_of(place) == run.source)?;
        let text = Arc::clone(self.text_of(place));
        let plan = pipeline::load(&run.source, &text, &[]).ok()?;
        (plan.identity.hash == hash).then(|| (run.source.clone(), text))
    }
}

/// Makes the sheet of `run`; where its scenario is open as it was, with what decides the step.
pub(crate) fn prepare(document: &Arc<Document>, run: &Arc<Run>, out: Out, wake: Wake) {
    let (document, run) = (Arc::clone(document), Arc::clone(run));
    thread::spawn(move || {
        let sheet = guarded(|| {
            let sheet = Sheet::of(&run.result)?;
            let plan = document
                .text_of_run(&run)
                .and_then(|(file, text)| pipeline::load(&file, &text, &[]).ok());
            Ok(Arc::new(match plan {
                Some(plan) => sheet.with_tornado(&estimated(&plan), true),
                None => sheet,
            }))
        });
        let prepared = Prepared {
            run: run.id,
            sheet: sheet.unwrap_or_else(Err),
        };
        send(&out, &wake, Event::Sheet(News::Prepared(prepared)));
    });
}

/// Writes `sheet` to `path`.
pub(crate) fn write(sheet: Arc<Sheet>, path: PathBuf, out: Out, wake: Wake) {
    thread::spawn(move || {
        let path = std::path::absolute(&path).unwrap_or(path);
        let outcome = guarded(|| {
            let replaces = path.exists();
            sheet.write(&path).map(|()| replaces)
        });
        let written = Export {
            path,
            outcome: outcome.unwrap_or_else(Err),
        };
        send(&out, &wake, Event::Sheet(News::Written(written)));
    });
}
