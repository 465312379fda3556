//! The text of the scenario: numbered lines, faults marked, and a way to go to a line.

use std::ops::Range;

use eframe::egui::text::{CCursor, CCursorRange};
use eframe::egui::text_edit::{TextEditOutput, TextEditState};
use eframe::egui::{
    self, Align, Align2, FontId, Id, Margin, Rect, Role, TextEdit, TextStyle, Ui, WidgetInfo, pos2,
};
use orrery_scenario::Diagnostic;

use super::{Jump, View, colours};
use crate::app::{Command, Commands};
use crate::{Document, theme};

/// Width of the line numbers.
const GUTTER: i8 = 34;

/// Draws the editor and sends what is typed.
pub(super) fn show(ui: &mut Ui, document: &Document, view: &mut View, commands: &Commands) {
    if view.opened != Some(document.opened) {
        view.draft = document.text.to_string();
        view.opened = Some(document.opened);
    }
    // Undo and cursor belong to one scenario: going back must not bring in the text of another.
    let id = Id::unique(("scenario text", document.keeping().map(|kept| kept.id)));
    let here = |jump: &mut Jump| jump.file == document.file;
    let jump = view
        .jump
        .take_if(here)
        .map(|jump| offset(&view.draft, jump.place));
    if let Some(letter) = jump {
        let mut state = TextEditState::load(ui.ctx(), id).unwrap_or_default();
        let cursor = CCursorRange::one(CCursor::new(letter));
        state.cursor.set_char_range(Some(cursor));
        state.store(ui.ctx(), id);
        ui.ctx().memory_mut(|memory| memory.request_focus(id));
    }
    let is_current = document.checked == Some(document.revision);
    // Places of faults belong to the text that was checked, and some lie in a file that this one extends.
    let diagnostics = document.diagnostics.iter();
    let ours: Vec<&Diagnostic> = diagnostics
        .filter(|fault| is_current && fault.file == document.file)
        .collect();
    let faults: Vec<Range<usize>> = ours.iter().map(|fault| fault.span.clone()).collect();
    let font = TextStyle::Monospace.resolve(ui.style());
    let visuals = ui.visuals().clone();
    let mut layout = |ui: &Ui, text: &dyn egui::TextBuffer, _width: f32| {
        let job = colours::coloured(text.as_str(), &faults, &font, &visuals);
        ui.fonts_mut(|fonts| fonts.layout_job(job))
    };
    let output = TextEdit::multiline(&mut view.draft)
        .id(id)
        .code_editor()
        .desired_width(f32::INFINITY)
        .margin(Margin {
            left: GUTTER + 4,
            ..Margin::same(4)
        })
        .layouter(&mut layout)
        .show(ui);
    let response = &output.response.response;
    response.widget_info(|| WidgetInfo::labeled(Role::MultilineTextInput, true, "Scenario text"));
    if response.changed() {
        commands.send(Command::Edit(view.draft.as_str().into()));
    }
    if let Some(letter) = jump {
        let place = output.galley.pos_from_cursor(CCursor::new(letter));
        ui.scroll_to_rect(place.translate(output.galley_pos.to_vec2()), Some(Align::Center));
    }
    gutter(ui, &output, &ours);
}

/// Numbers beside the lines, those at fault marked.
fn gutter(ui: &Ui, output: &TextEditOutput, faults: &[&Diagnostic]) {
    let left = output.response.response.rect.left();
    let right = left + f32::from(GUTTER);
    let visible = ui.clip_rect().y_range();
    for (row, number) in output.galley.rows.iter().zip(1_usize..) {
        let from = output.galley_pos.y + row.min_y();
        let to = output.galley_pos.y + row.max_y();
        if to < visible.min || from > visible.max {
            continue;
        }
        let is_faulty = faults.iter().any(|fault| fault.line == number);
        if is_faulty {
            let line = Rect::from_min_max(pos2(left, from), pos2(right, to));
            ui.painter()
                .rect_filled(line, 0.0, theme::bad(ui.visuals()).gamma_multiply(0.5));
        }
        let color = if is_faulty {
            ui.visuals().strong_text_color()
        } else {
            ui.visuals().weak_text_color()
        };
        let place = pos2(right - 4.0, from);
        let font = FontId::monospace(11.0);
        ui.painter().text(place, Align2::RIGHT_TOP, number, font, color);
    }
}

/// The number of characters before `column` of `line`, both from 1; the end of the text beyond its end.
fn offset(text: &str, (line, column): (usize, usize)) -> usize {
    let lines = text.split_inclusive('\n').take(line.saturating_sub(1));
    let before: usize = lines.map(|line| line.chars().count()).sum();
    (before + column.saturating_sub(1)).min(text.chars().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_counted_in_characters() {
        let text = "á = 1\nbc = 2\n";
        assert_eq!(offset(text, (1, 1)), 0);
        assert_eq!(offset(text, (1, 3)), 2);
        assert_eq!(offset(text, (2, 2)), 7);
        assert_eq!(offset(text, (9, 9)), 13);
    }
}
