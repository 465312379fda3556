//! The application: who owns the document, what commands do to it, and how it is drawn.

mod logic;
#[cfg(test)]
mod tests;
mod ui;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, Sender, channel};

use eframe::egui;
use orrery::pipeline::Watch;

use crate::document::{Document, Event, FleetEvent, Wake};

/// What the window opens on.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// The scenario's file; need not exist.
    pub file: String,
    /// The scenario's text.
    pub text: String,
    /// Whether it is run as soon as it is checked.
    pub run_at_once: bool,
    /// Whether the demo feed is started.
    pub demo_fleet: bool,
}

/// What panels and shortcuts may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The scenario's text is now this.
    Edit(Arc<str>),
    /// Simulate the scenario.
    Run,
    /// Stop the run under way.
    Stop,
    /// Start (true) or stop the demo feed of the fleet.
    Demo(bool),
}

/// Where panels put commands; they are applied before the next frame.
#[derive(Debug)]
pub(crate) struct Commands {
    out: Sender<Command>,
    context: egui::Context,
}

impl Commands {
    /// Asks for `command`.
    pub(crate) fn send(&self, command: Command) {
        // The receiver lives in the application that draws the panels.
        self.out
            .send(command)
            .expect("the application outlives its panels");
        self.context.request_repaint();
    }
}

/// The application.
#[expect(missing_debug_implementations, reason = "a wake-up call is a closure")]
pub struct App {
    document: Arc<Document>,
    commands: Commands,
    asked: Receiver<Command>,
    events: (Sender<Event>, Receiver<Event>),
    feed: (Sender<FleetEvent>, Receiver<FleetEvent>),
    wake: Wake,
    watch: Option<Watch>,
    run_number: u64,
    checking: bool,
    run_when_checked: bool,
    demo_stop: Option<Arc<AtomicBool>>,
    layout: ui::Layout,
}

impl App {
    /// The application on `start`, drawn in `context`.
    #[must_use]
    pub fn new(context: &egui::Context, start: Start) -> Self {
        context.set_theme(egui::Theme::Dark);
        let (out, asked) = channel();
        let woken = context.clone();
        let commands = Commands {
            out,
            context: context.clone(),
        };
        if start.demo_fleet {
            commands.send(Command::Demo(true));
        }
        let document = Document {
            file: start.file,
            text: start.text.into(),
            ..Document::default()
        };
        Self {
            document: Arc::new(document),
            commands,
            asked,
            events: channel(),
            feed: channel(),
            wake: Arc::new(move || woken.request_repaint()),
            watch: None,
            run_number: 0,
            checking: false,
            run_when_checked: start.run_at_once,
            demo_stop: None,
            layout: ui::Layout::default(),
        }
    }

    /// What is shown now.
    #[must_use]
    pub fn document(&self) -> Arc<Document> {
        Arc::clone(&self.document)
    }

    /// Where a feed from elsewhere, such as a collector, puts what it hears; wake the window by
    /// [`wake`](Self::wake) after.
    #[must_use]
    pub fn fleet_feed(&self) -> Sender<FleetEvent> {
        self.feed.0.clone()
    }

    /// Draws the window again soon; may be called from any thread.
    #[must_use]
    pub fn wake(&self) -> Wake {
        Arc::clone(&self.wake)
    }

    pub(crate) fn boxed(self) -> Box<dyn eframe::App> {
        Box::new(self)
    }
}

impl eframe::App for App {
    fn logic(&mut self, context: &egui::Context, _frame: &mut eframe::Frame) {
        self.drain(context);
    }

    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        self.draw(ui);
    }
}

impl Drop for App {
    /// Nothing is left running behind a closed window.
    fn drop(&mut self) {
        self.stop_run();
        self.stop_demo();
    }
}
