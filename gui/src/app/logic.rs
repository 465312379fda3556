//! Drains the channels: commands of panels, events of workers, what the fleet says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use eframe::egui;

use super::{App, Command};
use crate::document::{Event, FleetEvent, Running, check, demo_feed, run};

/// How often progress is read.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// How often the age of the fleet is drawn anew.
const AGE_EVERY: Duration = Duration::from_secs(1);

impl App {
    /// Takes in everything that happened since the last frame.
    pub(super) fn drain(&mut self, context: &egui::Context) {
        while let Ok(command) = self.asked.try_recv() {
            self.apply(command);
        }
        while let Ok(event) = self.events.1.try_recv() {
            self.take_in(event);
        }
        let now = context.input(|input| input.time);
        while let Ok(event) = self.feed.1.try_recv() {
            Arc::make_mut(&mut self.document).fleet.hear(event, now);
        }
        self.check_if_needed();
        if self.run_when_checked && self.document.run_refusal().is_none() {
            self.run_when_checked = false;
            self.start_run();
        }
        self.read_progress(context);
        if self.document.fleet.latest.is_some() {
            context.request_repaint_after(AGE_EVERY);
        }
    }

    fn apply(&mut self, command: Command) {
        match command {
            Command::Edit(text) => {
                let document = Arc::make_mut(&mut self.document);
                document.text = text;
                document.revision += 1;
                self.run_when_checked = false;
            }
            // The shortcut may come before the check of the last key stroke is back.
            Command::Run => self.run_when_checked = self.document.running.is_none(),
            Command::Stop => self.stop_run(),
            Command::Demo(true) => self.start_demo(),
            Command::Demo(false) => self.stop_demo(),
        }
    }

    fn take_in(&mut self, event: Event) {
        let document = Arc::make_mut(&mut self.document);
        match event {
            Event::Checked(revision, outcome) => {
                self.checking = false;
                document.checked = Some(revision);
                let (plan, faults) = match outcome {
                    Ok(plan) => (Some(plan), Vec::new()),
                    Err(faults) => (None, faults),
                };
                document.plan = plan;
                document.diagnostics = Arc::new(faults);
                // A run that was asked for is not started by a later repair.
                self.run_when_checked &= document.plan.is_some() || revision != document.revision;
            }
            Event::Expected(number, tasks) if number == self.run_number => {
                if let Some(running) = &mut document.running {
                    running.tasks_expected = Some(tasks);
                }
            }
            Event::Ended(number, outcome) if number == self.run_number => {
                document.running = None;
                self.watch = None;
                document.fault = outcome.as_ref().err().cloned();
                if let Ok(finished) = outcome {
                    document.finished = Some(finished);
                }
            }
            Event::Expected(..) | Event::Ended(..) => {}
        }
    }

    /// One check at a time; what was typed meanwhile is checked when it is back.
    fn check_if_needed(&mut self) {
        let document = &self.document;
        if self.checking || document.checked == Some(document.revision) {
            return;
        }
        self.checking = true;
        let (file, text) = (document.file.clone(), Arc::clone(&document.text));
        check(
            file,
            text,
            document.revision,
            self.events.0.clone(),
            Arc::clone(&self.wake),
        );
    }

    fn start_run(&mut self) {
        let Some(plan) = self.document.plan.clone() else {
            return;
        };
        self.run_number += 1;
        let document = Arc::make_mut(&mut self.document);
        document.fault = None;
        document.running = Some(Running {
            name: plan.identity.name.clone(),
            tasks_done: 0,
            tasks_expected: None,
            stopping: false,
        });
        let (out, wake) = (self.events.0.clone(), Arc::clone(&self.wake));
        self.watch = Some(run(plan, document.revision, self.run_number, out, wake));
    }

    pub(super) fn stop_run(&mut self) {
        self.run_when_checked = false;
        if let Some(watch) = &self.watch {
            watch.cancel();
        }
        if let Some(running) = &mut Arc::make_mut(&mut self.document).running {
            running.stopping = true;
        }
    }

    fn read_progress(&mut self, context: &egui::Context) {
        let document = Arc::make_mut(&mut self.document);
        if let (Some(watch), Some(running)) = (&self.watch, &mut document.running) {
            running.tasks_done = watch.progress().iter().map(|progress| progress.tasks_done).sum();
            context.request_repaint_after(PROGRESS_EVERY);
        }
    }

    fn start_demo(&mut self) {
        if self.demo_stop.is_some() {
            return;
        }
        let stop = Arc::new(AtomicBool::new(false));
        demo_feed(self.feed.0.clone(), Arc::clone(&stop), Arc::clone(&self.wake));
        self.demo_stop = Some(stop);
        Arc::make_mut(&mut self.document).fleet.demo_runs = true;
    }

    pub(super) fn stop_demo(&mut self) {
        let Some(stop) = self.demo_stop.take() else {
            return;
        };
        stop.store(true, Ordering::Relaxed);
        Arc::make_mut(&mut self.document).fleet.demo_runs = false;
        let lost = FleetEvent::Lost("the demo feed was stopped".to_owned());
        // The other end is this application's own.
        drop(self.feed.0.send(lost));
    }
}
