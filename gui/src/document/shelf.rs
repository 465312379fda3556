//! Which scenarios are open, and which is in front.

use std::sync::Arc;

use super::{Document, Keeping, Running, Scenario, Shelved, same};

impl Document {
    /// A document on `scenarios`, with the first in front.
    #[must_use]
    pub fn open(scenarios: Vec<Scenario>) -> Self {
        let mut document = Self::default();
        for scenario in scenarios {
            document.shelve(scenario);
        }
        document.take_from_shelf(0);
        document
    }

    /// Puts `scenario` on the shelf and returns its place.
    fn shelve(&mut self, scenario: Scenario) -> usize {
        let Scenario { file, text, home } = scenario;
        let text: Arc<str> = text.into();
        self.newest_id += 1;
        let revision = self.next_revision();
        self.shelf.push(Shelved {
            file,
            text: Arc::clone(&text),
            revision,
            keeping: Keeping {
                id: self.newest_id,
                home,
                original: text,
                elsewhere: None,
            },
            ..Shelved::default()
        });
        self.shelf.len() - 1
    }

    /// Opens `scenario` in front; if its file is open already that one comes to the front as it is.
    pub(crate) fn bring_in(&mut self, scenario: Scenario) {
        let open = (0..self.shelf.len()).find(|&place| same(self.file_of(place), &scenario.file));
        let place = open.unwrap_or_else(|| self.shelve(scenario));
        if self.shelf.len() == 1 {
            self.take_from_shelf(0);
        } else {
            self.bring_to_front(place);
        }
    }

    /// Puts the scenario in front back, and the one at `place` in front.
    pub(crate) fn bring_to_front(&mut self, place: usize) {
        if place == self.front || place >= self.shelf.len() {
            return;
        }
        self.shelf[self.front] = Shelved {
            file: std::mem::take(&mut self.file),
            text: Arc::clone(&self.text),
            revision: self.revision,
            finished: self.finished.take(),
            fault: self.fault.take(),
            keeping: std::mem::take(&mut self.shelf[self.front].keeping),
        };
        self.take_from_shelf(place);
    }

    /// Takes the scenario at `place` off the shelf; its neighbour comes to the front if it was there.
    pub(crate) fn close(&mut self, place: usize) {
        if place >= self.shelf.len() {
            return;
        }
        if place == self.front {
            let neighbour = if place + 1 < self.shelf.len() {
                place + 1
            } else {
                place.saturating_sub(1)
            };
            self.bring_to_front(neighbour);
        }
        self.shelf.remove(place);
        if self.front > place {
            self.front -= 1;
        }
        if let Some(running) = self.running.take() {
            // What is left of a run whose scenario is gone is of use to nobody.
            self.running = (running.place != place).then(|| Running {
                place: running.place - usize::from(running.place > place),
                ..running
            });
        }
        if self.shelf.is_empty() {
            *self = Self {
                fleet: std::mem::take(&mut self.fleet),
                runs: std::mem::take(&mut self.runs),
                explore: std::mem::take(&mut self.explore),
                sheets: std::mem::take(&mut self.sheets),
                calibrate: std::mem::take(&mut self.calibrate),
                selection: std::mem::take(&mut self.selection),
                past: self.past.take(),
                measuring: std::mem::take(&mut self.measuring),
                newest_id: self.newest_id,
                opened: self.opened + 1,
                ..Self::default()
            };
        }
    }

    fn take_from_shelf(&mut self, place: usize) {
        let Some(shelved) = self.shelf.get(place).cloned() else {
            return;
        };
        self.front = place;
        self.file = shelved.file;
        self.text = shelved.text;
        self.revision = shelved.revision;
        self.finished = shelved.finished;
        self.fault = shelved.fault;
        self.begin_anew();
    }

    /// What was known of the text in front is not so any more.
    pub(super) fn begin_anew(&mut self) {
        self.opened += 1;
        self.checked = None;
        self.plan = None;
        self.outline = None;
        self.diagnostics = Arc::default();
    }

    /// The text in front is now `text`, typed in the editor.
    pub(crate) fn edit(&mut self, text: Arc<str>) {
        self.revision = self.next_revision();
        self.text = text;
        // So that a revision is never given twice, whichever scenario comes to the front.
        if let Some(shelved) = self.shelf.get_mut(self.front) {
            shelved.revision = self.revision;
        }
    }

    pub(super) fn next_revision(&self) -> u64 {
        let revisions = self.shelf.iter().map(|shelved| shelved.revision);
        revisions.max().unwrap_or_default().max(self.revision) + 1
    }

    /// The place of the scenario with `id`, if it is still open.
    #[must_use]
    pub fn place_of(&self, id: u64) -> Option<usize> {
        self.shelf.iter().position(|shelved| shelved.keeping.id == id)
    }

    /// The file of the scenario at `place`; an empty name if there is none.
    #[must_use]
    pub fn file_of(&self, place: usize) -> &str {
        if place == self.front {
            return &self.file;
        }
        self.shelf.get(place).map_or("", |shelved| &shelved.file)
    }

    /// The text of the scenario at `place`, as edited.
    #[must_use]
    pub fn text_of(&self, place: usize) -> &Arc<str> {
        match self.shelf.get(place) {
            Some(shelved) if place != self.front => &shelved.text,
            _ => &self.text,
        }
    }
}
