//! Scenarios on the shelf: opened, edited, saved, closed.

use super::*;

fn shelf(files: &[&str]) -> Document {
    let scenario = |file: &&str| Scenario {
        home: Home::File,
        ..Scenario::new(file, file)
    };
    Document::open(files.iter().map(scenario).collect())
}

fn files(document: &Document) -> Vec<&str> {
    (0..document.shelf.len())
        .map(|place| document.file_of(place))
        .collect()
}

#[test]
fn a_text_is_edited_until_it_is_written_or_as_it_was() {
    let mut document = shelf(&["a", "b"]);
    assert!(!document.is_edited(0));
    document.edit("new".into());
    assert!(document.is_edited(0) && !document.is_edited(1));
    document.edit("a".into());
    assert!(!document.is_edited(0), "as it was");
    document.edit("new".into());
    document.bring_to_front(1);
    assert!(document.is_edited(0), "be it in front or not");
    let id = document.shelf[0].keeping.id;
    document.written(id, Some("c"), &"new".into());
    assert!(!document.is_edited(0));
    assert_eq!(files(&document), ["c", "b"]);
    document.bring_to_front(0);
    assert_eq!((document.file.as_str(), &*document.text), ("c", "new"));
}

#[test]
fn what_was_made_here_is_at_stake_until_it_is_in_a_file() {
    let mut document = shelf(&["a"]);
    assert!(!document.is_at_stake(0));
    document.bring_in(Scenario::new("made", "made"));
    assert!(document.is_at_stake(1) && !document.is_edited(1));
    let id = document.shelf[1].keeping.id;
    document.written(id, None, &"made".into());
    assert!(!document.is_at_stake(1));
}

#[test]
fn closing_brings_the_neighbour_to_the_front_and_the_last_leaves_none() {
    let mut document = shelf(&["a", "b", "c"]);
    document.bring_to_front(1);
    document.edit("mine".into());
    document.close(0);
    assert_eq!((files(&document), document.front), (vec!["b", "c"], 0));
    assert_eq!(&*document.text, "mine", "the front keeps what was typed");
    document.close(0);
    assert_eq!((files(&document), &*document.text), (vec!["c"], "c"));
    let opened = document.opened;
    document.close(0);
    assert!(document.shelf.is_empty() && document.opened > opened);
    assert_eq!(document.run_refusal(), Some("no scenario is open"));
    document.bring_in(Scenario::new("d", "d"));
    assert_eq!((files(&document), &*document.text), (vec!["d"], "d"));
}

#[test]
fn a_file_that_is_open_comes_to_the_front_as_it_is() {
    let mut document = shelf(&["a", "b"]);
    document.edit("mine".into());
    document.bring_in(Scenario::new("b", "newer"));
    assert_eq!((document.front, &*document.text), (1, "b"));
    document.bring_in(Scenario::new("./a", "newer"));
    assert_eq!((document.front, &*document.text), (0, "mine"));
    document.bring_in(Scenario::new("c", "c"));
    assert_eq!((document.front, files(&document)), (2, vec!["a", "b", "c"]));
}

#[test]
fn a_run_follows_its_scenario_and_ends_with_it() {
    let mut document = shelf(&["a", "b"]);
    let running = |place| {
        Some(Running {
            place,
            name: String::new(),
            elapsed: Duration::ZERO,
            tasks_done: 0,
            tasks_expected: None,
            unit: "tasks",
            stopping: false,
        })
    };
    document.running = running(1);
    document.close(0);
    assert_eq!(document.running, running(0));
    document.close(0);
    assert_eq!(document.running, None);
}

#[test]
fn what_was_found_on_disk_counts_for_the_text_it_was_compared_with() {
    let mut document = shelf(&["a"]);
    let id = document.shelf[0].keeping.id;
    let changed = Some(Elsewhere::Changed("theirs".into()));
    document.looked(id, &"older".into(), changed.clone());
    assert_eq!(document.keeping().and_then(|kept| kept.elsewhere.clone()), None);
    document.looked(id, &"a".into(), changed.clone());
    assert_eq!(
        document.keeping().and_then(|kept| kept.elsewhere.clone()),
        changed
    );
    let (opened, revision) = (document.opened, document.revision);
    document.reload(id, &"theirs".into());
    assert_eq!((&*document.text, document.is_edited(0)), ("theirs", false));
    assert!(
        document.opened > opened && document.revision > revision,
        "the editor takes it"
    );
    assert_eq!(document.keeping().and_then(|kept| kept.elsewhere.clone()), None);
}
