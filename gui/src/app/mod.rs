//! The application: who owns the document, what commands do to it, and how it is drawn.

mod logic;
mod photograph;
mod ui;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use eframe::egui;
use orrery::pipeline::Watch;

use crate::document::{Document, Event, Feed, FleetEvent, Wake};
pub(crate) use photograph::Photograph;
use photograph::Photographer;

/// What the window opens on.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// Scenarios, each a file, which need not exist, and its text; the first is in front.
    pub scenarios: Vec<(String, String)>,
    /// Whether the one in front is run as soon as it is checked.
    pub run_at_once: bool,
    /// Collectors that are followed, by their [`collector_url`](crate::collector_url).
    pub collectors: Vec<String>,
    /// Where to put a picture of the window once the first run is over and the fleet has spoken; the window
    /// closes then.
    pub screenshot: Option<PathBuf>,
}

/// What panels and shortcuts may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The scenario's text is now this.
    Edit(Arc<str>),
    /// The scenario at this place comes to the front.
    Front(usize),
    /// Simulate the scenario in front.
    Run,
    /// Stop the run under way.
    Stop,
    /// Follow the collector at this address.
    Follow(String),
    /// Try the collector at this place again, without waiting.
    TryNow(usize),
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
    feeds: Vec<Feed>,
    wake: Wake,
    watch: Option<Watch>,
    run_number: u64,
    run_began: Instant,
    checking: bool,
    run_when_checked: bool,
    photographer: Option<Photographer>,
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
        let mut app = Self {
            document: Arc::new(Document::open(start.scenarios)),
            commands,
            asked,
            events: channel(),
            feed: channel(),
            feeds: Vec::new(),
            wake: Arc::new(move || woken.request_repaint()),
            watch: None,
            run_number: 0,
            run_began: Instant::now(),
            checking: false,
            run_when_checked: start.run_at_once,
            photographer: start.screenshot.map(Photographer::new),
            layout: ui::Layout::default(),
        };
        for url in &start.collectors {
            app.follow(url);
        }
        app
    }

    /// What is shown now.
    #[must_use]
    pub fn document(&self) -> Arc<Document> {
        Arc::clone(&self.document)
    }

    /// The picture that was asked for, to be looked at when the window is closed.
    pub(crate) fn photograph(&self) -> Option<Photograph> {
        self.photographer.as_ref().map(Photographer::photograph)
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
    }
}
