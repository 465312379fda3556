//! Searches over layouts: begun, watched, stopped, and what was found opened as a scenario.

use std::path::Path;
use std::sync::Arc;

use eframe::egui;
use orrery_scenario::{LayoutChoice, Written};

use super::App;
use super::logic::PROGRESS_EVERY;
use crate::document::{ExploreNews, Job, Scenario, Searching, Wanted, search, weigh};

impl App {
    /// Searches what is `wanted` of the scenario in front.
    pub(super) fn start_search(&mut self, wanted: &Wanted) {
        if self.document.search_refusal().is_some() {
            return;
        }
        let (out, wake) = (self.events.0.clone(), Arc::clone(&self.wake));
        self.searches += 1;
        let Some(watch) = search(&self.document, wanted, self.searches, (out, wake)) else {
            return;
        };
        let document = Arc::make_mut(&mut self.document);
        let mut searching = Searching {
            name: document.file.clone(),
            estimated: 0,
            of: 0,
            simulated: 0,
            stopping: false,
        };
        watch.read(&mut searching);
        document.explore.searching = Some(searching);
        document.explore.fault = None;
        self.searching = Some(watch);
    }

    /// Asks the search to stop.
    pub(super) fn stop_search(&mut self) {
        if let Some(watch) = &self.searching {
            watch.cancel();
        }
        if let Some(searching) = &mut Arc::make_mut(&mut self.document).explore.searching {
            searching.stopping = true;
        }
    }

    /// Looks closely at layout `at` of what was found.
    pub(super) fn weigh(&self, at: usize) {
        if let Some((job, model)) = &self.document.explore.found {
            weigh(job, model, at, self.events.0.clone(), Arc::clone(&self.wake));
        }
    }

    /// Takes in what a search says.
    pub(super) fn take_in_explored(&mut self, news: ExploreNews) {
        let document = Arc::make_mut(&mut self.document);
        let explore = &mut document.explore;
        match news {
            ExploreNews::Found(job, model) => {
                // What the inspector shows is of layouts that are no more; the panel says which it is among the new ones.
                document.selection.leave_layouts();
                explore.found = Some((job, model));
                explore.weighed = None;
            }
            ExploreNews::Sized(job, sizes) => explore.sizes = Some((job, sizes)),
            ExploreNews::Weighed(weighed) => explore.weighed = Some(weighed),
            ExploreNews::Ended(fault) => {
                explore.searching = None;
                explore.fault = fault;
                self.searching = None;
            }
        }
    }

    /// Reads how far the search is.
    pub(super) fn attend_to_search(&mut self, context: &egui::Context) {
        if let Some(watch) = &self.searching
            && let Some(searching) = &mut Arc::make_mut(&mut self.document).explore.searching
        {
            watch.read(searching);
            context.request_repaint_after(PROGRESS_EVERY);
        }
    }

    /// Opens layout `at` of what was found as a scenario.
    pub(super) fn open_layout(&mut self, at: usize) {
        let found = self.document.explore.found.as_ref();
        let chosen =
            found.and_then(|(job, model)| Some((job.clone(), model.layouts.get(at)?.choice.clone())));
        if let Some((job, choice)) = chosen {
            self.open_choice(&job, &choice, job.job.plan.cluster.num_nodes);
        }
    }

    /// Opens the best layout on `nodes` nodes as a scenario.
    pub(super) fn open_size(&mut self, nodes: u32) {
        let sizes = self.document.explore.sizes.as_ref();
        let chosen = sizes.and_then(|(job, sizes)| {
            let sizing = sizes.iter().find(|sizing| sizing.nodes == nodes)?;
            Some((job.clone(), sizing.best.as_ref().ok()?.choice.clone()))
        });
        if let Some((job, choice)) = chosen {
            self.open_choice(&job, &choice, nodes);
        }
    }

    fn open_choice(&mut self, job: &Job, choice: &LayoutChoice, nodes: u32) {
        match choice.written(&job.text, &job.job, nodes) {
            Ok(Written { name, text }) => {
                let file = Path::new(&job.file).with_file_name(format!("{name}.scenario.toml"));
                let scenario = Scenario::new(&file.to_string_lossy(), &text);
                Arc::make_mut(&mut self.document).bring_in(scenario);
            }
            Err(why) => self.not_opened(why.to_string()),
        }
        self.run_when_checked = false;
    }
}
