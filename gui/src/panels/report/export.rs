//! Where a sheet is written to.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use eframe::egui::{Button, TextEdit, Ui};
use orrery::sheet::Sheet;

use crate::app::{Command, Commands};
use crate::{Document, theme};

/// The forms of a sheet, by the endings of their files.
const FORMS: [(&str, &str); 4] = [
    ("html", "One page that opens anywhere and prints"),
    ("png", "A picture of A4, 200 dots an inch"),
    ("svg", "The same picture, of any size"),
    ("csv", "Every figure as a row, for spreadsheets"),
];

/// Where a sheet goes, without its ending.
#[derive(Debug, Default)]
pub(super) struct Path {
    text: String,
    /// The file that is there already and would be replaced, once that was said.
    replaces: Option<PathBuf>,
}

impl Path {
    /// Beside the `source` of a run called `name`; in the folder of the window where that is no file of the user's.
    pub(super) fn beside(source: &str, name: &str) -> Self {
        let folder = FilePath::new(source).parent().filter(|folder| folder.is_dir());
        let file = format!("{name}-sheet");
        let path = folder.map_or_else(|| PathBuf::from(&file), |folder| folder.join(&file));
        Self {
            text: path.display().to_string(),
            replaces: None,
        }
    }
}

/// Draws the field, the buttons and what became of the last export.
pub(super) fn show(
    ui: &mut Ui,
    document: &Document,
    path: &mut Path,
    sheet: &Arc<Sheet>,
    commands: &Commands,
) {
    let label = ui.strong("Export to");
    let field = ui.add(TextEdit::singleline(&mut path.text).desired_width(f32::INFINITY));
    if field.labelled_by(label.id).changed() {
        path.replaces = None;
    }
    ui.horizontal_wrapped(|ui| {
        for (ending, about) in FORMS {
            let button = ui.add(Button::new(ending.to_uppercase()));
            if button.on_hover_text(about).clicked() {
                let file = PathBuf::from(format!("{}.{ending}", path.text.trim()));
                if file.exists() && path.replaces.as_ref() != Some(&file) {
                    path.replaces = Some(file);
                } else {
                    path.replaces = None;
                    commands.send(Command::WriteSheet(Box::new(Sheet::clone(sheet)), file));
                }
            }
        }
    });
    if let Some(file) = &path.replaces {
        let words = format!("{} is there already; click again to replace it.", file.display());
        ui.colored_label(theme::warn(ui.visuals()), words);
    }
    for export in &document.sheets.written {
        let visuals = ui.visuals();
        let colour = match &export.outcome {
            Ok(_) => theme::good(visuals),
            Err(_) => theme::bad(visuals),
        };
        ui.colored_label(colour, export.words());
    }
}
