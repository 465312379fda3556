//! Decision sheets: made when a run is there to be shown, written when asked for.

use std::path::PathBuf;
use std::sync::Arc;

use orrery::sheet::Sheet;

use super::App;
use super::arrangement::Pane;
use crate::document::{SheetNews, prepare, write};

impl App {
    /// Has the sheet made that is to be shown, if it is not.
    pub(super) fn attend_to_sheets(&mut self) {
        if !self.layout.is_shown(Pane::Report) {
            return;
        }
        let Some(run) = self.document.sheet_run().cloned() else {
            return;
        };
        let sheets = &self.document.sheets;
        let known = sheets.prepared.as_ref().map(|prepared| prepared.run);
        if known == Some(run.id) || sheets.preparing == Some(run.id) {
            return;
        }
        let (out, wake) = (self.events.0.clone(), Arc::clone(&self.wake));
        prepare(&self.document, &run, out, wake);
        Arc::make_mut(&mut self.document).sheets.preparing = Some(run.id);
    }

    /// Takes in what threads say of sheets.
    pub(super) fn take_in_sheet(&mut self, news: SheetNews) {
        let sheets = &mut Arc::make_mut(&mut self.document).sheets;
        match news {
            SheetNews::Prepared(prepared) => {
                sheets.preparing = None;
                sheets.prepared = Some(prepared);
            }
            SheetNews::Written(export) => {
                sheets.written.retain(|other| other.path != export.path);
                sheets.written.insert(0, export);
            }
        }
    }

    /// Shows the sheet of `run`.
    pub(super) fn show_sheet(&mut self, run: u64) {
        let sheets = &mut Arc::make_mut(&mut self.document).sheets;
        sheets.picked = Some(run);
        sheets.written.clear();
    }

    /// Writes `sheet` to `path`.
    pub(super) fn write_sheet(&mut self, sheet: Sheet, path: PathBuf) {
        let (out, wake) = (self.events.0.clone(), Arc::clone(&self.wake));
        write(Arc::new(sheet), path, out, wake);
    }
}
