//! Predictions held against measurements, and measurements of this machine: begun, watched, taken in.

use std::sync::Arc;

use eframe::egui;

use super::App;
use super::logic::PROGRESS_EVERY;
use crate::document::{Judged, Judging, MeasureNews, UnderWay, judge, measure, plan_measuring};

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
        calibrate.judging = Some(Judging {
            path,
            done: (0, 0),
            stopping: false,
        });
    }

    /// Asks the comparison under way to stop, if one is.
    pub(super) fn stop_judging(&mut self) {
        if let Some(watch) = &self.judging {
            watch.cancel();
        }
        if let Some(judging) = &mut Arc::make_mut(&mut self.document).calibrate.judging {
            judging.stopping = true;
        }
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

    /// Asks what a calibration of this machine would measure.
    pub(super) fn plan_measuring(&mut self) {
        Arc::make_mut(&mut self.document).measuring.plan = None;
        let (out, wake) = (self.events.0.clone(), Arc::clone(&self.wake));
        plan_measuring(self.calibrator.clone(), out, wake);
    }

    /// Calibrates this machine, unless that is under way.
    pub(super) fn start_measuring(&mut self, profile: String) {
        if self.measuring.is_some() {
            return;
        }
        // A scenario that names it may lie in another folder.
        let profile = std::path::absolute(&profile).map_or(profile, |path| path.display().to_string());
        let (out, wake) = (self.events.0.clone(), Arc::clone(&self.wake));
        self.measuring = Some(measure(self.calibrator.clone(), profile.clone(), out, wake));
        let measuring = &mut Arc::make_mut(&mut self.document).measuring;
        measuring.ended = None;
        measuring.under_way = Some(UnderWay {
            profile,
            ..UnderWay::default()
        });
    }

    /// Stops the calibration under way, if one is.
    pub(super) fn stop_measuring(&mut self) {
        if let Some(watch) = &self.measuring {
            watch.cancel();
        }
        if let Some(under_way) = &mut Arc::make_mut(&mut self.document).measuring.under_way {
            under_way.stopping = true;
        }
    }

    /// Takes in what is said of a calibration.
    pub(super) fn take_in_measuring(&mut self, news: MeasureNews) {
        let measuring = &mut Arc::make_mut(&mut self.document).measuring;
        match news {
            MeasureNews::Planned(plan) => measuring.plan = Some(plan),
            MeasureNews::Said(line) => {
                if let Some(under_way) = &mut measuring.under_way {
                    under_way.hear(&line);
                }
            }
            MeasureNews::Ended(ended) => {
                self.measuring = None;
                measuring.under_way = None;
                measuring.ended = Some(ended);
            }
        }
    }
}
