//! A view that agrees with what the document says is looked at: it takes in what other panels chose, and says what was
//! chosen in it.

use std::sync::Arc;

use super::model::TimelineModel;
use super::view::View;
use super::window::Window;
use crate::app::{Command, Commands};
use crate::document::{Item, Look, Of, Seen, Selection};

/// What is looked at, and where to say that something else is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shared<'a> {
    pub(crate) selection: &'a Selection,
    pub(crate) commands: &'a Commands,
}

impl Shared<'_> {
    /// Has `view` of `model` show what was chosen elsewhere since the last time; what it shows then.
    pub(super) fn take_in(self, model: &Arc<TimelineModel>, view: &mut View) -> Seen {
        let told = self.selection.seen(model);
        if told != view.told {
            view.adopt(model, told);
            view.told = told;
        }
        view.seen()
    }

    /// Says what was chosen in `view` of `model` since it showed `before`.
    pub(super) fn say(self, model: &Arc<TimelineModel>, view: &mut View, before: Seen) {
        let now = view.seen();
        if now.span != before.span {
            let item = now.span.map(|span| Item::Span(Of::new(model), span));
            self.commands.send(Command::Select(item));
            view.told.span = now.span;
        }
        let time = |seen: Seen| (seen.window, seen.interval);
        if let (true, Some(window)) = (time(now) != time(before), now.window) {
            self.commands.send(Command::Look(Look {
                of: Of::new(model),
                window,
                interval: now.interval,
            }));
            (view.told.window, view.told.interval) = time(now);
        }
    }
}

impl View {
    /// What of the timeline is looked at in this view.
    fn seen(&self) -> Seen {
        Seen {
            span: self.selected,
            window: self.window.map(|window| (window.from, window.until())),
            interval: self.interval(),
        }
    }

    /// Shows `told` as far as it differs from what was told before.
    fn adopt(&mut self, model: &TimelineModel, told: Seen) {
        if told.span != self.told.span && told.span != self.selected {
            match told.span {
                // The focus stays where the choice was made.
                Some(span) => self.show(model, span),
                None => self.select(model, None),
            }
        }
        if let (true, Some((from, to))) = (told.window != self.told.window, told.window) {
            self.window = Some(Window::of(from, to, self.end(model)));
        }
        if told.interval != self.told.interval {
            self.measured = told.interval;
        }
    }
}
