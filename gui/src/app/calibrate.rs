//! Predictions held against measurements: begun, watched, taken in.

use std::sync::Arc;

use eframe::egui;

use super::App;
use super::logic::PROGRESS_EVERY;
use crate::document::{Judged, Judging, judge};

impl App {
    /// Compares the table at `path`, unless another is compared.
    pub(super) fn start_judging(&mut self, path: String, simulated: bool) {
        if self.judging.is_some() {
            return;
        }
        let (out, wake) = (self.events.0.clone(), Arc::clone(&self.wake));
        self.judging = Some(judge(path.clone(), simulated, out, wake));
        let calibrate = &mut Arc::make_mut(&mut self.document).calibrate;
        calibrate.fault = None;
        calibrate.judging = Some(Judging { path, done: (0, 0) });
    }

    /// Takes in what came of a table.
    pub(super) fn take_in_judged(&mut self, judged: Judged) {
        self.judging = None;
        let calibrate = &mut Arc::make_mut(&mut self.document).calibrate;
        calibrate.judging = None;
        match judged.outcome {
            Ok(outcome) => calibrate.judged = Some((judged.path, outcome)),
            Err(why) => calibrate.fault = Some(why),
        }
    }

    /// Reads how far the comparison is.
    pub(super) fn attend_to_judging(&mut self, context: &egui::Context) {
        if let Some(watch) = &self.judging
            && let Some(judging) = &mut Arc::make_mut(&mut self.document).calibrate.judging
        {
            judging.done = watch.read();
            context.request_repaint_after(PROGRESS_EVERY);
        }
    }
}
