//! The history of a device: asked for, and taken in.

use std::sync::Arc;

use super::App;
use super::arrangement::Pane;
use crate::document::{Asked, Past, Told, ask};

impl App {
    /// Asks for the history that is `asked` for; puts away the one that is shown, if none is.
    pub(super) fn ask_past(&mut self, asked: Option<Asked>) {
        let document = Arc::make_mut(&mut self.document);
        let before = document.past.take();
        let Some(asked) = asked else { return };
        self.layout.bring_up(Pane::Fleet);
        // What the same device has is known already, and its picker stays.
        let same = before.as_ref().filter(|past| past.asked.device == asked.device);
        let metrics = same.map(|past| Arc::clone(&past.metrics)).unwrap_or_default();
        let number = self.past_number + 1;
        self.past_number = number;
        let url = document.fleet.url_of(asked.device.collector).map(str::to_owned);
        let answer = match &url {
            Some(_) => None,
            None => Some(Err("its collector is not followed any more".to_owned())),
        };
        document.past = Some(Past {
            asked: asked.clone(),
            number,
            metrics,
            answer,
        });
        if let Some(url) = url {
            let back = (self.events.0.clone(), Arc::clone(&self.wake));
            ask(url, asked, number, self.access.clone(), back);
        }
    }

    /// Takes in what a collector said, unless something else was asked since.
    pub(super) fn take_in_past(&mut self, told: Told) {
        let past = &mut Arc::make_mut(&mut self.document).past;
        let Some(past) = past.as_mut().filter(|past| past.number == told.number) else {
            return;
        };
        if !told.metrics.is_empty() {
            past.metrics = Arc::new(told.metrics);
        }
        past.answer = Some(told.answer);
    }
}
