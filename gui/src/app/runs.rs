//! Opening runs and traces beside scenarios, and what the comparison needs in every frame.

use std::sync::Arc;

use eframe::egui;
use orrery::traces;

use super::arrangement::Pane;
use super::logic::PROGRESS_EVERY;
use super::{App, Opens, Shows};
use crate::document::{Item, Of, Opening, OpeningNews, arrange, open};

impl App {
    /// Opens `runs`, with which the window begins. Where a person asked for them and for no scenario, they come to the
    /// front: one by itself, more against each other.
    pub(super) fn begin_with(&mut self, runs: Vec<Vec<String>>, is_asked_for: bool) {
        let shows = match is_asked_for && self.document.shelf.is_empty() {
            true => Shows::InFront,
            false => Shows::Beside,
        };
        if shows == Shows::InFront && runs.len() > 1 {
            self.layout.bring_up(Pane::Compare);
        }
        self.to_open = runs.into_iter().map(|files| (files, shows)).collect();
        self.open_next();
    }

    /// Opens the next of what the window begins with, one after another; what is asked for meanwhile does not wait.
    fn open_next(&mut self) {
        let next = self.to_open.pop_front();
        Arc::make_mut(&mut self.document).runs.to_come = self.to_open.len();
        if let Some((files, shows)) = next {
            self.open_files(files, shows);
        }
    }

    /// Opens `files` on a thread; those that are traces are of one run.
    pub(super) fn open_files(&mut self, files: Vec<String>, shows: Shows) {
        let watch = traces::Watch::default();
        let id = Arc::make_mut(&mut self.document).runs.next_opening();
        let (out, wake) = (self.events.0.clone(), Arc::clone(&self.wake));
        open(files, id, watch.clone(), out, wake);
        self.openings.push(Opens { id, watch, shows });
    }

    /// Asks whatever opens as `id` to stop.
    pub(super) fn stop_opening(&mut self, id: u64) {
        for opens in self.openings.iter().filter(|opens| opens.id == id) {
            opens.watch.cancel();
        }
        let opening = &mut Arc::make_mut(&mut self.document).runs.opening;
        for opening in opening.iter_mut().filter(|opening| opening.id == id) {
            opening.stopping = true;
        }
    }

    /// Asks all that opens to stop.
    pub(super) fn stop_openings(&self) {
        for opens in &self.openings {
            opens.watch.cancel();
        }
    }

    /// Takes in what a thread says of what it opens.
    pub(super) fn take_in_opening(&mut self, news: OpeningNews) {
        match news {
            OpeningNews::Began(id, name) => {
                self.opens();
                let opening = Opening {
                    id,
                    name,
                    phase: traces::Phase::Read,
                    done: (0, 0),
                    stopping: false,
                };
                Arc::make_mut(&mut self.document).runs.opening.push(opening);
            }
            OpeningNews::Load(scenario) => {
                self.opens();
                self.bring_in(scenario);
                self.layout.bring_up(Pane::Experts);
                self.run_when_checked = true;
            }
            OpeningNews::Found(opening, run) => {
                let id = Arc::make_mut(&mut self.document).runs.keep(*run);
                self.show_opened(id, opening);
            }
            OpeningNews::Explained(files, words) => {
                Arc::make_mut(&mut self.document).runs.explain(&files, &words);
            }
            OpeningNews::Ended(id, fault) => {
                self.openings.retain(|opens| opens.id != id);
                let runs = &mut Arc::make_mut(&mut self.document).runs;
                runs.opening.retain(|opening| opening.id != id);
                if let Some(why) = fault {
                    self.not_opened(why);
                }
                self.open_next();
            }
            OpeningNews::Arranged(id, step, model) => {
                self.arranging.retain(|other| *other != (id, step));
                Arc::make_mut(&mut self.document).runs.arranged(id, step, &model);
            }
        }
    }

    /// Looks at the run with `id`, which was opened as `opening`; where a person asked for it, a panel comes to the front
    /// that shows it: the timeline, or the sheet of a run that has none.
    fn show_opened(&mut self, id: u64, opening: u64) {
        let document = Arc::make_mut(&mut self.document);
        document.runs.view(Some(id));
        let asked = self.openings.iter().find(|opens| opens.id == opening);
        if asked.is_none_or(|opens| opens.shows == Shows::Beside) {
            return;
        }
        document.selection.item = Some(Item::Run(id));
        let has_spans = document.runs.viewed().is_some_and(|run| run.whole.is_some());
        if self.layout.is_shown(Pane::Compare) {
            return;
        }
        if self.layout.is_shown(Pane::Report) || !has_spans {
            self.layout.bring_up(Pane::Report);
            self.show_sheet(id);
        } else {
            self.layout.bring_up(Pane::Timeline);
        }
    }

    /// Looks at the run with `id`, or at the last one of the scenario in front.
    pub(super) fn view_run(&mut self, id: Option<u64>) {
        let document = Arc::make_mut(&mut self.document);
        document.runs.view(id);
        document.selection.item = id.map(Item::Run);
        if let Some(id) = id.filter(|_| self.layout.is_shown(Pane::Report)) {
            self.show_sheet(id);
        } else if !self.layout.is_shown(Pane::Compare) {
            self.layout.bring_up(Pane::Timeline);
        }
    }

    /// Selects a span of the rank that the others wait for, and brings the timeline up, which goes there.
    pub(super) fn go_to_waited_for(&mut self) {
        let found = self.document.span_to_look_at();
        let Some((model, span)) = found.map(|(model, span, _)| (Arc::clone(model), span)) else {
            return;
        };
        let selection = &mut Arc::make_mut(&mut self.document).selection;
        selection.item = Some(Item::Span(Of::new(&model), span));
        self.layout.bring_up(Pane::Timeline);
    }

    /// Tells panels whether the inspector says what there is to say of what is looked at.
    pub(super) fn attend_to_selection(&mut self) {
        let is_inspected = self.layout.sides.inspector;
        if self.document.selection.is_inspected != is_inspected {
            Arc::make_mut(&mut self.document).selection.is_inspected = is_inspected;
        }
    }

    /// Reads how far what opens is, and has steps arranged that a side of the comparison waits for.
    pub(super) fn attend_to_runs(&mut self, context: &egui::Context) {
        if !self.document.runs.opening.is_empty() {
            let runs = &mut Arc::make_mut(&mut self.document).runs;
            for opening in &mut runs.opening {
                let opens = self.openings.iter().find(|opens| opens.id == opening.id);
                if let Some(opens) = opens {
                    let (phase, done, all) = opens.watch.progress();
                    (opening.phase, opening.done) = (phase, (done, all));
                }
            }
            context.request_repaint_after(PROGRESS_EVERY);
        }
        for side in 0..self.document.runs.sides.len() {
            let side = &self.document.runs.sides[side];
            let (Some(run), Some(step), None) = (&side.run, side.step, &side.model) else {
                continue;
            };
            let wanted = (run.id, step);
            if self.arranging.contains(&wanted) {
                continue;
            }
            arrange(
                Arc::clone(run),
                step,
                self.events.0.clone(),
                Arc::clone(&self.wake),
            );
            self.arranging.push(wanted);
        }
    }
}
