//! Changes to a small scenario, by hand.

use super::*;

const TEXT: &str = "\
# A job.
schema = \"scenario/1\" # the format

[parallel] # the layout
# Few stages.
pp = 16   # stages
schedule = { kind = \"dualpipe\", chunks = 2 } # both ways

[[load.phase]]
name = \"chat\"
steps = 6000 # an hour
";

fn after(change: impl FnOnce(&mut Draft) -> Result<(), EditError>) -> String {
    let mut draft = Draft::new(TEXT).unwrap();
    change(&mut draft).unwrap();
    draft.to_string()
}

#[test]
fn a_value_is_replaced_and_nothing_else() {
    let text = after(|draft| draft.set("parallel.pp", "8"));
    assert_eq!(text, TEXT.replace("pp = 16 ", "pp = 8 "));
    let text = after(|draft| draft.set("load.phase[0].steps", "10"));
    assert_eq!(text, TEXT.replace("6000", "10"));
}

#[test]
fn a_table_is_set_key_by_key() {
    let text = after(|draft| draft.set("parallel.schedule", "{ kind = \"1f1b\" }"));
    assert!(text.contains("schedule = { kind = \"1f1b\""), "{text}");
    assert!(text.contains("} # both ways"), "{text}");
    assert!(!text.contains("chunks"), "{text}");
}

#[test]
fn what_is_missing_is_made() {
    let text = after(|draft| draft.set("training.recompute", "[\"rmsnorm\"]"));
    assert!(
        text.ends_with("[training]\nrecompute = [\"rmsnorm\"]\n"),
        "{text}"
    );
    let text = after(|draft| draft.set("parallel.ep", "64"));
    assert!(text.contains("# both ways\nep = 64\n"), "{text}");
}

#[test]
fn keys_are_read_as_written() {
    let draft = Draft::new(TEXT).unwrap();
    assert_eq!(draft.get("parallel.pp").as_deref(), Some("16"));
    assert_eq!(draft.get("load.phase[0].name").as_deref(), Some("\"chat\""));
    assert_eq!(draft.get("parallel.tp"), None);
    assert_eq!(draft.get("load.phase[1].name"), None);
}

#[test]
fn a_key_is_renamed_where_it_stands_or_not_at_all() {
    let text = after(|draft| draft.rename("parallel.pp", "pipeline"));
    assert_eq!(text, TEXT.replace("pp = 16", "pipeline = 16"));
    let mut draft = Draft::new(TEXT).unwrap();
    let taken = draft.rename("parallel.pp", "schedule");
    assert_eq!(taken, Err(EditError::Taken("schedule".to_owned())));
    assert_eq!(draft.to_string(), TEXT);
}

#[test]
fn what_cannot_be_done_changes_nothing() {
    let mut draft = Draft::new(TEXT).unwrap();
    assert!(draft.set("parallel.pp", "1 GiB").is_err());
    assert!(draft.set("schema.pp", "1").is_err());
    assert!(draft.set("load.phase[3].steps", "1").is_err());
    assert!(draft.remove("parallel.tp").is_err());
    assert_eq!(draft.to_string(), TEXT);
    assert!(Draft::new("a = ").is_err());
}

#[test]
fn lines_are_made_a_comment_that_says_why() {
    let text = after(|draft| draft.comment_out("parallel", "not here"));
    let out =
        "# not here\n# [parallel] # the layout\n# Few stages.\n# pp = 16   # stages\n# schedule = { kind";
    assert!(text.contains(out), "{text}");
    assert!(
        text.contains("\n\n[[load.phase]]\nname"),
        "the next stays: {text}"
    );
    let text = after(|draft| draft.comment_out("parallel.pp", "not here"));
    let line = "# Few stages.\n# not here\n# pp = 16   # stages\nschedule";
    assert!(text.contains(line), "{text}");
    let text = after(|draft| draft.comment_out("parallel.schedule.chunks", "not here"));
    assert!(
        text.contains("schedule = { kind = \"dualpipe\"} # both ways"),
        "{text}"
    );
    let mut draft = Draft::new(TEXT).unwrap();
    assert!(draft.comment_out("expect.mfu", "not here").is_err());
}

#[test]
fn words_are_quoted() {
    let text = after(|draft| draft.set_text("title", "one \"two\"\nthree"));
    assert_eq!(
        Draft::new(&text).unwrap().0["title"].as_str(),
        Some("one \"two\"\nthree")
    );
}

#[test]
fn a_key_is_removed_with_its_comment() {
    let text = after(|draft| draft.remove("parallel.pp"));
    assert_eq!(text, TEXT.replace("# Few stages.\npp = 16   # stages\n", ""));
}
