//! Drains the channels: commands of panels, events of workers, what the fleet says.

use std::sync::Arc;
use std::time::{Duration, Instant};

use eframe::egui;
use orrery_scenario::Loaded;

use super::action::Action;
use super::arrangement::Pane;
use super::keeping::Then;
use super::overlay::{Overlay, Palette};
use super::session::Colours;
use super::{App, Command, Shows};
use crate::document::{Elsewhere, Event, Feed, Item, Running, Text, Wanted, check, run};

/// How often progress is read.
pub(super) const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// How often it is asked whether a run that was stopped is over.
const STOPPING_EVERY: Duration = Duration::from_millis(10);
/// How often the ages in the fleet are drawn anew.
const AGE_EVERY: Duration = Duration::from_secs(1);

impl App {
    /// Takes in everything that happened since the last frame.
    pub(super) fn drain(&mut self, context: &egui::Context) {
        while let Ok(command) = self.asked.try_recv() {
            self.apply(command);
        }
        // In every frame: whoever made the context may have set others since.
        context.set_theme(self.colours.preference());
        while let Ok(event) = self.events.1.try_recv() {
            self.take_in(event);
        }
        let now = context.input(|input| input.time);
        while let Ok(event) = self.feed.1.try_recv() {
            Arc::make_mut(&mut self.document).fleet.hear(event, now);
        }
        // Once for all that came, however many collectors spoke.
        Arc::make_mut(&mut self.document).fleet.settle(now);
        self.attend_to_files(context);
        self.check_if_needed();
        if self.run_when_checked && self.document.run_refusal().is_none() {
            self.run_when_checked = false;
            self.start_run();
        }
        if self.search_when_checked && self.document.search_refusal().is_none() {
            self.search_when_checked = false;
            self.start_search(&Wanted::default());
        }
        self.read_progress(context);
        self.attend_to_runs(context);
        self.attend_to_search(context);
        self.attend_to_sheets();
        self.attend_to_judging(context);
        self.remember(context);
        self.attend_to_selection();
        if !self.document.fleet.collectors.is_empty() {
            context.request_repaint_after(AGE_EVERY);
        }
        if let Some(photographer) = &mut self.photographer {
            photographer.look(&self.document, context);
        }
    }

    fn apply(&mut self, command: Command) {
        match command {
            Command::Edit(text) => {
                Arc::make_mut(&mut self.document).edit(text);
                self.run_when_checked = false;
            }
            Command::Front(place) => {
                let document = Arc::make_mut(&mut self.document);
                document.bring_to_front(place);
                document.runs.view(None);
                self.run_when_checked = false;
            }
            Command::Do(action) => self.act(action),
            Command::OpenFile(file) => self.open_files(vec![file], Shows::InFront),
            Command::StopOpening(id) => self.stop_opening(id),
            Command::Side(side, run) => {
                self.layout.bring_up(Pane::Compare);
                let document = Arc::make_mut(&mut self.document);
                document.runs.pick(side, run);
                // What is chosen here is what timeline and inspector speak of.
                if let Some(run) = run {
                    document.runs.view(Some(run));
                    document.selection.item = Some(Item::Run(run));
                }
            }
            Command::SideStep(side, step) => Arc::make_mut(&mut self.document).runs.show_step(side, step),
            Command::Search(wanted) => self.start_search(&wanted),
            Command::StopSearch => self.stop_search(),
            Command::Weigh(at) => self.weigh(at),
            Command::OpenLayout(at) => self.open_layout(at),
            Command::OpenSize(nodes) => self.open_size(nodes),
            Command::Judge(path, simulated) => self.start_judging(path, simulated),
            Command::StopJudging => self.stop_judging(),
            Command::PlanMeasuring => self.plan_measuring(),
            Command::Measure(profile) => self.start_measuring(profile),
            Command::StopMeasuring => self.stop_measuring(),
            Command::ShowSheet(run) => {
                self.layout.bring_up(Pane::Report);
                self.show_sheet(run);
                // The timeline is of the same run.
                Arc::make_mut(&mut self.document).runs.view(Some(run));
            }
            Command::WriteSheet(sheet, path) => self.write_sheet(*sheet, path),
            Command::Close(id) => self.close(id),
            Command::Reload(id) => {
                let document = &self.document;
                let kept = document.place_of(id).map(|place| &document.shelf[place].keeping);
                if let Some(Elsewhere::Changed(theirs)) = kept.and_then(|kept| kept.elsewhere.clone()) {
                    self.reload(id, &theirs);
                }
            }
            Command::KeepMine(id) => Arc::make_mut(&mut self.document).keep_mine(id),
            Command::Follow(url) => self.follow(&url),
            Command::TryNow(collector) => {
                let feeds = self.feeds.iter().filter(|(id, _)| *id == collector);
                for (_, feed) in feeds {
                    feed.try_now();
                }
            }
            Command::Unfollow(collector) => {
                // Its thread ends soon after.
                self.feeds.retain(|(id, _)| *id != collector);
                Arc::make_mut(&mut self.document).fleet.forget(collector);
            }
            Command::Select(item) => Arc::make_mut(&mut self.document).selection.item = item,
            Command::Look(look) => Arc::make_mut(&mut self.document).selection.look = Some(look),
            Command::View(run) => self.view_run(run),
            Command::Past(asked) => self.ask_past(asked),
            Command::Forget(run) => Arc::make_mut(&mut self.document).runs.forget(run),
        }
    }

    fn act(&mut self, action: Action) {
        let front = self.document.keeping().map(|kept| kept.id);
        match (action, front) {
            (Action::Open, _) => self.ask_for_file(),
            (Action::OpenExample, _) => self.open_example(),
            (Action::Save, Some(id)) => self.save(id, Then::Stay),
            (Action::SaveAs, Some(id)) => self.save_as(id, Then::Stay),
            (Action::Close, Some(id)) => self.close(id),
            (Action::Save | Action::SaveAs | Action::Close, None) => {}
            (Action::Quit, _) => self.quit(),
            // The shortcut may come before the check of the last key stroke is back.
            (Action::Run, _) => {
                self.run_when_checked = self.document.running.is_none();
                self.runs_at_start = true;
            }
            // One at a time: a run first.
            (Action::Stop, _) if self.document.running.is_some() => {
                // Whoever stops a run does not want the next window to begin with it.
                self.runs_at_start = false;
                self.stop_run();
            }
            (Action::Stop, _) => self.stop_search(),
            (Action::Search, _) => {
                self.layout.bring_up(Pane::Explore);
                self.start_search(&Wanted::default());
            }
            (Action::GoToWaitedFor, _) => self.go_to_waited_for(),
            (Action::SwapSides, _) => Arc::make_mut(&mut self.document).runs.swap(),
            (Action::Arrange(arrangement), _) => self.layout.tree = arrangement.tree(),
            (Action::SwitchColours, _) => self.colours = Colours::switched(self.commands.context.theme()),
            (Action::SystemColours, _) => self.colours = Colours::System,
            (Action::ShowSources, _) => self.layout.sides.sources ^= true,
            (Action::ShowInspector, _) => self.layout.sides.inspector ^= true,
            (Action::ShowStrip, _) => self.layout.sides.strip ^= true,
            (Action::Palette, _) => self.overlay = Some(Overlay::Palette(Palette::default())),
            (Action::Keys, _) => self.overlay = Some(Overlay::Keys),
        }
    }

    /// Follows the collector at `url` from now on, unless it is followed already.
    pub(super) fn follow(&mut self, url: &str) {
        let fleet = &mut Arc::make_mut(&mut self.document).fleet;
        if fleet.collectors.iter().any(|collector| collector.url == url) {
            return;
        }
        let out = self.feed.0.clone();
        let id = fleet.follow(url);
        let feed = Feed::follow(id, url, &self.access, (out, Arc::clone(&self.soon)));
        self.feeds.push((id, feed));
    }

    fn take_in(&mut self, event: Event) {
        let document = Arc::make_mut(&mut self.document);
        match event {
            Event::Checked(Text { opened, .. }, _) if opened != document.opened => self.checking = false,
            Event::Checked(Text { revision, .. }, outcome) => {
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
            Event::Remedied(Text { opened, revision }, remedies) => {
                if opened == document.opened {
                    document.remedies = Some((revision, remedies));
                }
            }
            Event::Outlined(Text { opened, revision }, outline) => {
                if opened == document.opened {
                    document.outline = Some((revision, outline));
                }
            }
            Event::Expected(number, tasks) if number == self.run_number => {
                if let Some(running) = &mut document.running {
                    running.tasks_expected = Some(tasks);
                }
            }
            Event::Ended(number, outcome) if number == self.run_number => {
                self.watch = None;
                match document.place_of(self.run_of) {
                    Some(place) => document.end_run(place, outcome),
                    None => document.running = None,
                }
            }
            Event::Expected(..) | Event::Ended(..) => {}
            Event::Disk(disk) => self.take_in_disk(disk),
            Event::Opening(news) => self.take_in_opening(news),
            Event::Explored(news) => self.take_in_explored(news),
            Event::Sheet(news) => self.take_in_sheet(news),
            Event::Judged(judged) => self.take_in_judged(judged),
            Event::Past(told) => self.take_in_past(told),
            Event::Measuring(news) => self.take_in_measuring(news),
        }
    }

    /// One check at a time; what was typed meanwhile is checked when it is back.
    fn check_if_needed(&mut self) {
        let document = &self.document;
        if self.checking || document.shelf.is_empty() || document.checked == Some(document.revision) {
            return;
        }
        self.checking = true;
        check(document, self.events.0.clone(), Arc::clone(&self.wake));
    }

    fn start_run(&mut self) {
        let Some(plan) = self.document.plan.clone() else {
            return;
        };
        self.run_number += 1;
        let document = Arc::make_mut(&mut self.document);
        self.run_of = document.keeping().map_or(0, |kept| kept.id);
        document.fault = None;
        document.running = Some(Running {
            place: document.front,
            name: name_of(&plan).to_owned(),
            elapsed: Duration::ZERO,
            tasks_done: 0,
            tasks_expected: None,
            stopping: false,
            unit: "",
        });
        let ran = (document.revision, Arc::clone(&document.text));
        document.ran.retain(|(revision, _)| *revision != ran.0);
        document.ran.push(ran);
        let (out, wake) = (self.events.0.clone(), Arc::clone(&self.wake));
        let watch = run(plan, document.revision, self.run_number, out, wake);
        if let Some(running) = &mut document.running {
            running.unit = watch.unit();
        }
        self.watch = Some(watch);
        self.run_began = Instant::now();
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
            running.elapsed = self.run_began.elapsed();
            running.tasks_done = watch.done();
            context.request_repaint_after(if running.stopping {
                STOPPING_EVERY
            } else {
                PROGRESS_EVERY
            });
            // Whoever stopped it need not wait until what it gave is counted.
            if running.stopping && watch.is_over() {
                document.running = None;
            }
        }
    }
}

/// The name of the scenario.
fn name_of(loaded: &Loaded) -> &str {
    match loaded {
        Loaded::Training(plan) => &plan.identity.name,
        Loaded::Balancing(plan) => &plan.identity.name,
    }
}
