//! Whom the ranks of a run wait for, and the way there.

use eframe::egui::{Button, Ui};
use orrery_report::WaitedFor;

use crate::Document;
use crate::app::{Action, Command, Commands};

/// Draws what is said of `waited`; with a button that leads to the rank, where it is one of the timeline in front.
pub(crate) fn waiting(ui: &mut Ui, document: &Document, waited: Option<&WaitedFor>, commands: &Commands) {
    let Some(waited) = waited else { return };
    ui.horizontal_wrapped(|ui| {
        if document.waited_for() == Some(waited) {
            let action = Action::GoToWaitedFor;
            let refusal = action.refusal(document);
            let led_to = document.span_to_look_at().map(|(_, _, rank)| rank);
            let words = format!("Go to {}", led_to.unwrap_or_else(|| waited.to_look_at()).name);
            let button = ui.add_enabled(refusal.is_none(), Button::new(words).small());
            let keys = action.keys(ui.ctx());
            let button = button
                .on_hover_text(format!("{} {keys}", action.meaning()))
                .on_disabled_hover_text(refusal.unwrap_or_default());
            if button.clicked() {
                commands.send(Command::Do(action));
            }
        }
        ui.label(waited.sentence());
    });
}
