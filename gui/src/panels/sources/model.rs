//! What is open, as a tree: what each thing is called, how it does, and what a click asks for. No widget is known here.

use orrery_units::significant;

use crate::Document;
use crate::app::Command;
use crate::document::{Collector, Item, Link, Node, Run, Standing, short_name};

/// How something does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    /// There is nothing to say.
    Quiet,
    /// As it should.
    Good,
    /// It wants a look.
    Warn,
    /// It failed.
    Bad,
    /// It is under way.
    Busy,
}

/// A line of the tree.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// What it is called.
    pub(super) name: String,
    /// How it does, in a few words.
    pub(super) state: String,
    pub(super) mood: Mood,
    /// More of it, for who asks.
    pub(super) more: String,
    /// Whether it is what is looked at, or in front.
    pub(super) is_chosen: bool,
    /// What a click asks for.
    pub(super) click: Option<Command>,
    /// What the cross beside it does, and asks for.
    pub(super) close: Option<(String, Command)>,
    /// What it consists of.
    pub(super) inside: Vec<Self>,
}

/// Entries of a kind.
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub(super) title: &'static str,
    /// What is said where there are none.
    pub(super) empty: &'static str,
    pub(super) entries: Vec<Entry>,
}

impl Entry {
    fn new(name: impl Into<String>, state: impl Into<String>, mood: Mood) -> Self {
        Self {
            name: name.into(),
            state: state.into(),
            mood,
            more: String::new(),
            is_chosen: false,
            click: None,
            close: None,
            inside: Vec::new(),
        }
    }
}

/// Everything that is open in `document`, as of `now`.
pub(super) fn sections(document: &Document, now: f64) -> Vec<Section> {
    vec![
        Section {
            title: "Scenarios",
            empty: "none: open one, or drop its file here",
            entries: scenarios(document),
        },
        Section {
            title: "Runs and traces",
            empty: "none yet: run the scenario, or open a stored run or a trace",
            entries: runs(document),
        },
        Section {
            title: "Machines",
            empty: "none: add a collector in Fleet",
            entries: machines(document, now),
        },
        Section {
            title: "Profiles and tables",
            empty: "none",
            entries: measurements(document),
        },
    ]
}

fn scenarios(document: &Document) -> Vec<Entry> {
    let places = 0..document.shelf.len();
    places
        .map(|place| {
            let file = document.file_of(place);
            let (state, mood) = state_of_scenario(document, place);
            let mut entry = Entry::new(short_name(file), state, mood);
            entry.more = file.to_owned();
            entry.is_chosen = place == document.front && document.runs.viewed().is_none();
            entry.click = Some(Command::Front(place));
            let id = document.shelf[place].keeping.id;
            entry.close = Some((format!("Close scenario {}", short_name(file)), Command::Close(id)));
            entry
        })
        .collect()
}

fn state_of_scenario(document: &Document, place: usize) -> (String, Mood) {
    if let Some(running) = document.running.as_ref().filter(|running| running.place == place) {
        return match running.share() {
            Some(share) => (format!("running, {:.0} %", share * 100.0), Mood::Busy),
            None => ("running".to_owned(), Mood::Busy),
        };
    }
    let shelved = &document.shelf[place];
    let is_front = place == document.front;
    let (fault, finished) = if is_front {
        (&document.fault, &document.finished)
    } else {
        (&shelved.fault, &shelved.finished)
    };
    let problems = document.diagnostics.len();
    let state = match (fault, finished) {
        _ if is_front && document.checked.is_none() => ("checking", Mood::Busy),
        _ if is_front && problems > 0 && document.plan.is_none() => ("has errors", Mood::Bad),
        (Some(_), _) => ("its run failed", Mood::Bad),
        (None, Some(run)) if run.failed => ("an expectation fails", Mood::Warn),
        (None, Some(run)) if document.is_edited_since(place, run.revision) => {
            ("edited since its run", Mood::Quiet)
        }
        (None, Some(_)) => ("has run", Mood::Good),
        (None, None) => ("not run yet", Mood::Quiet),
    };
    let edited = if document.is_edited(place) {
        ", not saved"
    } else {
        ""
    };
    (format!("{}{edited}", state.0), state.1)
}

fn runs(document: &Document) -> Vec<Entry> {
    let opening = document.runs.opening.iter().map(|opening| {
        let mut entry = Entry::new(&opening.name, "opening", Mood::Busy);
        entry.more = opening.words();
        entry.close = Some((
            format!("Stop opening {}", opening.name),
            Command::StopOpening(opening.id),
        ));
        entry
    });
    let kept = document
        .runs
        .kept
        .iter()
        .rev()
        .map(|run| entry_of_run(document, run));
    opening.chain(kept).collect()
}

fn entry_of_run(document: &Document, run: &Run) -> Entry {
    let mut state = if run.recorded { "measured" } else { "simulated" }.to_owned();
    let mut mood = if run.recorded { Mood::Good } else { Mood::Quiet };
    if run.result["partial"].is_string() {
        state.push_str(", incomplete");
        mood = Mood::Warn;
    }
    let sides = document.runs.sides.iter().zip(["A", "B", "C"]);
    for (_, name) in sides.filter(|(side, _)| side.shows(run.id)) {
        state.push_str(", ");
        state.push_str(name);
    }
    let mut entry = Entry::new(format!("#{} {}", run.id, run.name), state, mood);
    entry.more.clone_from(&run.source);
    let is_viewed = document.runs.viewed().is_some_and(|viewed| viewed.id == run.id);
    entry.is_chosen = is_viewed || document.selection.item == Some(Item::Run(run.id));
    entry.click = Some(Command::View(Some(run.id)));
    entry.close = Some((format!("Let go of run #{}", run.id), Command::Forget(run.id)));
    entry
}

fn machines(document: &Document, now: f64) -> Vec<Entry> {
    let fleet = &document.fleet;
    let collectors = fleet.collectors.iter().enumerate();
    collectors
        .map(|(place, collector)| {
            let nodes: Vec<&Node> = fleet
                .nodes
                .iter()
                .filter(|node| node.collector == place)
                .collect();
            let (state, mood) = state_of_collector(collector, &nodes, now);
            let address = collector.url.trim_start_matches("http://");
            let mut entry = Entry::new(address, state, mood);
            entry.more = match &collector.link {
                Link::Lost { why, .. } => format!("{}: {why}", collector.url),
                Link::Connecting | Link::Connected => collector.url.clone(),
            };
            entry.close = Some((
                format!("Stop following {}", collector.url),
                Command::Unfollow(collector.id),
            ));
            entry.inside = nodes
                .into_iter()
                .map(|node| entry_of_node(document, node, now))
                .collect();
            entry
        })
        .collect()
}

fn state_of_collector(collector: &Collector, nodes: &[&Node], now: f64) -> (String, Mood) {
    let demo = if nodes.iter().any(|node| node.is_demo()) {
        "demo"
    } else {
        "live"
    };
    match &collector.link {
        Link::Connecting => ("connecting".to_owned(), Mood::Busy),
        Link::Connected if collector.is_stale(now) => ("silent".to_owned(), Mood::Warn),
        Link::Connected => (demo.to_owned(), Mood::Good),
        Link::Lost { .. } if collector.was_reached() => ("lost".to_owned(), Mood::Bad),
        Link::Lost { .. } => ("not reached".to_owned(), Mood::Bad),
    }
}

fn entry_of_node(document: &Document, node: &Node, now: f64) -> Entry {
    let fleet = &document.fleet;
    let standing = fleet.standing(node, now);
    let (word, mood) = match &standing {
        Standing::Live => ("", Mood::Good),
        Standing::Stale => (", late", Mood::Warn),
        Standing::Gone(_) => (", gone", Mood::Bad),
    };
    let many = match node.devices.len() {
        1 => "1 device".to_owned(),
        devices => format!("{devices} devices"),
    };
    let mut entry = Entry::new(&node.name, format!("{many}{word}"), mood);
    entry.inside = node
        .devices
        .iter()
        .map(|device| {
            let item = Item::Device(fleet.id_of(node, device));
            let identity = &device.sample.identity;
            let name = format!("device {} of {}", identity.index, node.name);
            let mut entry = Entry::new(name, &identity.model, mood);
            entry.is_chosen = document.selection.item.as_ref() == Some(&item);
            entry.click = Some(Command::Select(Some(item)));
            entry
        })
        .collect();
    entry
}

/// The profile of the scenario in front, and the table that predictions were held against.
fn measurements(document: &Document) -> Vec<Entry> {
    let mut entries = Vec::new();
    if let Some(plan) = document.training_plan() {
        let profile = &plan.profile;
        let mut entry = Entry::new(&profile.name, "profile of the plan", Mood::Quiet);
        entry.more = format!("measured on {} until {}", profile.device, profile.date);
        entry.is_chosen = document.selection.item == Some(Item::Profile);
        entry.click = Some(Command::Select(Some(Item::Profile)));
        entries.push(entry);
    }
    let calibrate = &document.calibrate;
    if let Some(judging) = &calibrate.judging {
        let (done, all) = judging.done;
        let share = significant(done as f64 / all.max(1) as f64 * 100.0, 2);
        let mut entry = Entry::new(
            short_name(&judging.path),
            format!("compared, {share} %"),
            Mood::Busy,
        );
        entry.more.clone_from(&judging.path);
        entry.close = Some(("Stop the comparison".to_owned(), Command::StopJudging));
        entries.push(entry);
    }
    if let Some((path, outcome)) = &calibrate.judged {
        let rows = outcome.rows.iter().filter(|row| row.result.is_ok()).count();
        let mut entry = Entry::new(short_name(path), format!("{rows} rows compared"), Mood::Good);
        entry.more.clone_from(path);
        entries.push(entry);
    }
    entries
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::document::Scenario;

    fn names(section: &Section) -> Vec<(&str, &str)> {
        let entries = section.entries.iter();
        entries
            .map(|entry| (entry.name.as_str(), entry.state.as_str()))
            .collect()
    }

    #[test]
    fn what_is_open_is_listed_with_how_it_does() {
        let mut document = Document::open(vec![
            Scenario::new("a/one.scenario.toml", "one"),
            Scenario::new("two.scenario.toml", "two"),
        ]);
        let result = json!({"scenario": "measured", "origin": "recorded", "partial": "two of eight ranks"});
        let id = document
            .runs
            .keep(Run::new("traces", Arc::new(result), None, Vec::new()));
        document.fleet.follow("http://node:9477");
        let [scenarios, runs, machines, measurements] = sections(&document, 0.0).try_into().unwrap();
        assert_eq!(names(&scenarios), [("one", "checking"), ("two", "not run yet")]);
        assert!(scenarios.entries[0].is_chosen, "it is in front");
        assert_eq!(names(&runs), [("#1 measured", "measured, incomplete, A")]);
        assert_eq!(runs.entries[0].mood, Mood::Warn);
        assert_eq!(names(&machines), [("node:9477", "connecting")]);
        assert_eq!(names(&measurements), []);
        document.runs.view(Some(id));
        let again = sections(&document, 0.0);
        assert!(
            !again[0].entries[0].is_chosen && again[1].entries[0].is_chosen,
            "a run is looked at"
        );
        document.runs.forget(id);
        document.fleet.forget(1);
        let after = sections(&document, 0.0);
        assert!(after[1].entries.is_empty() && after[2].entries.is_empty());
        assert!(document.runs.sides[0].run.is_none(), "it is on no side any more");
    }
}
