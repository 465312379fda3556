//! The application: who owns the document, what commands do to it, and how it is drawn.

mod action;
mod arrangement;
mod calibrate;
mod dialog;
mod explore;
mod keeping;
mod logic;
mod overlay;
mod past;
mod path;
mod photograph;
mod runs;
mod session;
mod sheets;
mod sides;
mod ui;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use eframe::egui;
use orrery::sheet::Sheet;
use orrery::traces;
use orrery_timeline::StepExtent;

use crate::document::{
    Access, Asked, Document, Event, Feed, FleetEvent, Item, JudgeWatch, Look, MeasureWatch, RunWatch,
    Scenario, SearchWatch, Wake, Wanted, calibrator,
};
use crate::theme;
pub use action::{Action, Menu};
pub use arrangement::Arrangement;
use keeping::Desk;
use overlay::Overlay;
pub(crate) use photograph::Photograph;
use photograph::Photographer;
pub(crate) use session::Session;
pub use session::session_path;
use session::{Colours, Memory};

/// How long news of the fleet waits for more.
const TOGETHER: Duration = Duration::from_millis(400);

/// What the window opens on.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// Scenarios; the first is in front. With none, those of the [`session`](Self::session) are opened, or else
    /// the one that ships with the program.
    pub scenarios: Vec<Scenario>,
    /// Stored runs and traces to open beside them, each by its file or folder.
    pub runs: Vec<String>,
    /// Whether the one in front is run as soon as it is checked.
    pub run_at_once: bool,
    /// Whether its layouts are searched as soon as it is checked.
    pub search_at_once: bool,
    /// Collectors that are followed, by their [`collector_url`](crate::collector_url).
    pub collectors: Vec<String>,
    /// How they are spoken to.
    pub access: Access,
    /// The program that calibrates this machine; `orrery-collector` beside this one, or where programs are, if this is
    /// `None`.
    pub calibrator: Option<PathBuf>,
    /// Where to put a picture of the window once the first run is over and the fleet has spoken; the window
    /// closes then.
    pub screenshot: Option<PathBuf>,
    /// Where the panels are; as they were last if this is `None`.
    pub arrangement: Option<Arrangement>,
    /// Whether colours are light; as they were last if this is `None`.
    pub light: Option<bool>,
    /// The file in which the window remembers from one time to the next; it remembers nothing without one.
    pub session: Option<PathBuf>,
}

/// What panels and shortcuts may ask for.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// The scenario's text is now this.
    Edit(Arc<str>),
    /// The scenario at this place comes to the front.
    Front(usize),
    /// What menus, keys and the palette offer.
    Do(Action),
    /// Open this file, be it a scenario, a stored run, a trace or a recorded load of experts.
    OpenFile(String),
    /// Stop opening what has this id.
    StopOpening(u64),
    /// Have this side of the comparison show the run with this id, or none.
    Side(usize, Option<u64>),
    /// Have this side of the comparison show the step of this number.
    SideStep(usize, u16),
    /// Search layouts, or sizes of the cluster, of the scenario in front.
    Search(Wanted),
    /// Stop the search.
    StopSearch,
    /// Look closely at the layout at this place of what was found.
    Weigh(usize),
    /// Open the layout at this place of what was found as a scenario.
    OpenLayout(usize),
    /// Open the best layout on so many nodes as a scenario.
    OpenSize(u32),
    /// Show the decision sheet of the run with this id.
    ShowSheet(u64),
    /// Write this decision sheet to a file, whose ending says how.
    WriteSheet(Box<Sheet>, PathBuf),
    /// Hold predictions against the measurements in this file or folder; steps are simulated if that is said.
    Judge(String, bool),
    /// Stop the comparison with measurements.
    StopJudging,
    /// Close the scenario with this id.
    Close(u64),
    /// Take the text that the file of the scenario with this id holds now.
    Reload(u64),
    /// Stay with the text of the scenario with this id, though its file holds another.
    KeepMine(u64),
    /// Follow the collector at this address.
    Follow(String),
    /// Follow the collector with this id no longer.
    Unfollow(usize),
    /// Look at this, or at nothing in particular.
    Select(Option<Item>),
    /// Have this part of this timeline in view, and this interval of it measured.
    Look(Look),
    /// Look at the run with this id, or at the last one of the scenario in front.
    View(Option<u64>),
    /// Ask what a calibration of this machine would measure.
    PlanMeasuring,
    /// Calibrate this machine, and write the profile to this file.
    Measure(String),
    /// Stop the calibration under way.
    StopMeasuring,
    /// Ask for this history of a device, or show none.
    Past(Option<Asked>),
    /// Let go the run with this id.
    Forget(u64),
    /// Try the collector with this id again, without waiting.
    TryNow(usize),
}

/// Where panels put commands; they are applied before the next frame.
#[derive(Debug)]
pub(crate) struct Commands {
    out: Sender<Command>,
    context: egui::Context,
}

impl Commands {
    /// Commands that are asked for in `context`, and where they arrive.
    pub(crate) fn new(context: &egui::Context) -> (Self, Receiver<Command>) {
        let (out, asked) = channel();
        let context = context.clone();
        (Self { out, context }, asked)
    }

    /// Asks for `command`.
    pub(crate) fn send(&self, command: Command) {
        // The receiver lives in the application that draws the panels.
        self.out
            .send(command)
            .expect("the application outlives its panels");
        self.context.request_repaint();
    }
}

/// Something that is being opened.
struct Opens {
    id: u64,
    watch: traces::Watch,
    shows: Shows,
}

/// Where the panel goes that shows what was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shows {
    /// To the front: a person asked for it.
    InFront,
    /// Nowhere: the window began with it, and with panels where they were asked for.
    Beside,
}

/// The application.
#[expect(missing_debug_implementations, reason = "a wake-up call is a closure")]
pub struct App {
    document: Arc<Document>,
    commands: Commands,
    asked: Receiver<Command>,
    events: (Sender<Event>, Receiver<Event>),
    feed: (Sender<FleetEvent>, Receiver<FleetEvent>),
    /// What follows each collector, by its id.
    feeds: Vec<(usize, Feed)>,
    access: Access,
    wake: Wake,
    /// A wake-up call that can wait a little: many collectors speak every second, and are drawn together.
    soon: Wake,
    watch: Option<RunWatch>,
    searching: Option<SearchWatch>,
    judging: Option<JudgeWatch>,
    measuring: Option<MeasureWatch>,
    /// The program that measures.
    calibrator: PathBuf,
    /// What is being opened.
    openings: Vec<Opens>,
    /// What is opened when the next of these is over, and where it shows.
    to_open: VecDeque<(Vec<String>, Shows)>,
    /// Steps of runs that threads arrange.
    arranging: Vec<(u64, StepExtent)>,
    run_number: u64,
    /// Questions about the history of devices so far.
    past_number: u64,
    run_began: Instant,
    /// Searches that were begun.
    searches: u64,
    /// The scenario that was run last, by its id.
    run_of: u64,
    checking: bool,
    run_when_checked: bool,
    /// Whether the next window begins with a run.
    runs_at_start: bool,
    search_when_checked: bool,
    photographer: Option<Photographer>,
    layout: ui::Layout,
    desk: Desk,
    overlay: Option<Overlay>,
    colours: Colours,
    memory: Option<Memory>,
    /// The size of the window and of what is in it, as last seen.
    seen: (Option<[f32; 2]>, f32),
    /// What had the focus when nothing lay over the panels.
    focus: Option<egui::Id>,
    /// Whether it has the focus again as soon as nothing does.
    returns: bool,
    /// Whether, in the frame before, something was open or had the focus that Escape leaves.
    occupied: bool,
}

impl App {
    /// The application on `start`, drawn in `context`.
    #[must_use]
    pub fn new(context: &egui::Context, start: Start) -> Self {
        let session = start.session.as_deref().map(Session::read).unwrap_or_default();
        let colours = match start.light {
            Some(true) => Colours::Light,
            Some(false) => Colours::Dark,
            None => session.colours,
        };
        theme::dress(context);
        context.set_zoom_factor(session.scale);
        let (commands, asked) = Commands::new(context);
        let (woken, later) = (context.clone(), context.clone());
        let panels = match start.arrangement {
            Some(arrangement) => arrangement.tree(),
            None => session.panels.clone(),
        };
        let is_named = !start.scenarios.is_empty() || !start.runs.is_empty();
        let (document, notice) = match start.scenarios.is_empty() && is_named {
            // A run or a load alone is looked at, and no scenario beside it.
            true => (Document::default(), None),
            false => opened(start.scenarios, &session),
        };
        let mut app = Self {
            document: Arc::new(document),
            commands,
            asked,
            events: channel(),
            feed: channel(),
            feeds: Vec::new(),
            access: start.access,
            wake: Arc::new(move || woken.request_repaint()),
            soon: Arc::new(move || later.request_repaint_after(TOGETHER)),
            watch: None,
            searching: None,
            judging: None,
            measuring: None,
            calibrator: start.calibrator.unwrap_or_else(calibrator),
            openings: Vec::new(),
            to_open: VecDeque::new(),
            arranging: Vec::new(),
            run_number: 0,
            past_number: 0,
            run_began: Instant::now(),
            searches: 0,
            run_of: 0,
            checking: false,
            // What is named is asked for, whatever was stopped before.
            run_when_checked: start.run_at_once && (is_named || session.runs_at_start),
            runs_at_start: session.runs_at_start,
            search_when_checked: start.search_at_once,
            photographer: start.screenshot.map(Photographer::new),
            layout: ui::Layout::new(panels, session.sides),
            desk: Desk::new(notice),
            overlay: None,
            colours,
            seen: (session.size, session.scale),
            memory: start.session.map(Memory::new),
            focus: None,
            returns: false,
            occupied: false,
        };
        for url in &start.collectors {
            app.follow(url);
        }
        // What is named is opened instead of what is remembered.
        let runs = match is_named {
            true => start.runs.into_iter().map(|run| vec![run]).collect(),
            false => session.runs,
        };
        let is_asked_for = is_named && start.arrangement.is_none();
        app.begin_with(runs, is_asked_for);
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
        self.stop_search();
        self.stop_judging();
        self.stop_measuring();
        self.stop_openings();
        self.remember_now();
    }
}

/// The document to begin with, and what could not be opened.
fn opened(scenarios: Vec<Scenario>, session: &Session) -> (Document, Option<String>) {
    if !scenarios.is_empty() {
        return (Document::open(scenarios), None);
    }
    let mut faults = Vec::new();
    let remembered = session.scenarios.iter().map(|(file, is_own)| {
        // What ships with the program may have moved since.
        if *is_own {
            Scenario::read(file)
        } else {
            Scenario::shipped()
        }
    });
    let mut scenarios: Vec<Scenario> = remembered
        .filter_map(|read| read.map_err(|why| faults.push(why)).ok())
        .collect();
    if scenarios.is_empty() {
        scenarios.extend(Scenario::shipped().map_err(|why| faults.push(why)));
    }
    let mut document = Document::open(scenarios);
    document.bring_to_front(session.front);
    let notice = (!faults.is_empty()).then(|| faults.join("\n"));
    (document, notice)
}
