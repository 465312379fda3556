//! Expectations and baselines: what fails, fails the run, and every look points at the line.

use std::path::Path;

use crate::command::{Ran, folder_with, orrery};
use crate::support::DENSE;

/// The small scenario on 8 devices with `checks` at its end.
fn scenario(checks: &str) -> String {
    format!("{DENSE}{checks}")
}

/// The line of `text` in the scenario, from 1.
fn line_of(scenario: &str, text: &str) -> usize {
    scenario
        .lines()
        .position(|line| line.contains(text))
        .expect("the text is there")
        + 1
}

fn run(folder: &Path, more: &[&str]) -> Ran {
    let mut arguments = vec!["run", "s.toml", "--out", "out"];
    arguments.extend(more);
    orrery(folder, &arguments)
}

const IMPOSSIBLE: &str = r#"
[expect.instant]
check = "train.step_time.mean <= 1 us"
why   = "nobody is that fast"

[expect.some-time]
check = "train.step_time.mean >= 1 us"
"#;

#[test]
fn a_failed_expectation_exits_1_and_is_named_with_its_line() {
    let text = scenario(IMPOSSIBLE);
    let line = line_of(&text, "<= 1 us");
    let folder = folder_with(&text);
    let ran = run(folder.path(), &[]);
    assert_eq!(ran.code, 1, "{}\n{}", ran.out, ran.err);
    assert!(ran.out.contains("instant"), "{}", ran.out);
    assert!(ran.out.contains(&format!("s.toml:{line}")), "{}", ran.out);
    let forgiven = run(folder.path(), &["--no-fail"]);
    assert_eq!(forgiven.code, 0, "{}", forgiven.err);
    assert!(forgiven.out.contains("instant"), "it is still reported");
}

#[test]
fn junit_and_github_point_at_the_line() {
    let text = scenario(IMPOSSIBLE);
    let line = line_of(&text, "<= 1 us");
    let folder = folder_with(&text);
    let ran = run(folder.path(), &["--write", "junit", "--format", "github"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    let annotations: Vec<&str> = ran.out.lines().filter(|line| line.starts_with("::")).collect();
    assert_eq!(annotations.len(), 1, "{}", ran.out);
    let start = format!("::error file=s.toml,line={line},title=");
    assert!(annotations[0].starts_with(&start), "{}", annotations[0]);
    assert!(annotations[0].contains("instant"), "{}", annotations[0]);

    let junit = std::fs::read_to_string(folder.path().join("out/junit.xml")).unwrap();
    let case = |name: &str| {
        let start = junit
            .find(&format!("<testcase name=\"{name}\""))
            .expect("there is a case for each check");
        junit[start..]
            .split("</testcase>")
            .next()
            .expect("a split has a first part")
            .to_owned()
    };
    let failed = case("instant");
    assert!(
        failed.contains("<failure") && failed.contains(&format!("line=\"{line}\"")),
        "{failed}"
    );
    assert!(
        failed.contains("file=\"s.toml\"") && failed.contains(&format!("s.toml:{line}")),
        "{failed}"
    );
    assert!(!case("some-time").contains("<failure"), "the other check holds");
    assert!(
        junit.contains("tests=\"2\"") && junit.contains("failures=\"1\""),
        "{junit}"
    );
}

/// GitHub shows ten annotations of a kind per step: no more are written, and the rest is counted.
#[test]
fn github_gets_ten_annotations_and_a_count() {
    let checks: String = (0..13)
        .map(|number| {
            format!(
                "\n[expect.check-{number}]\ncheck = \"train.step_time.mean <= {} us\"\n",
                number + 1
            )
        })
        .collect();
    let folder = folder_with(&scenario(&checks));
    let ran = run(folder.path(), &["--format", "github"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    let annotations: Vec<&str> = ran
        .out
        .lines()
        .filter(|line| line.starts_with("::error "))
        .collect();
    assert_eq!(annotations.len(), 10, "{}", ran.out);
    assert!(annotations[9].contains("(and 3 more)"), "{}", annotations[9]);
}

const NO_REGRESSION: &str = r#"
[expect.no-regression]
check = "train.step_time.mean <= baseline * 1.005"
"#;

#[test]
fn a_slower_step_fails_against_the_baseline() {
    let text = scenario(NO_REGRESSION);
    let line = line_of(&text, "baseline * 1.005");
    let folder = folder_with(&text);
    let path = folder.path();
    let without = run(path, &[]);
    assert_eq!(without.code, 3, "no baseline is missing data: {}", without.err);
    let saved = orrery(path, &["baseline", "save", "out", "--baseline", "base.json"]);
    assert_eq!(saved.code, 0, "{}", saved.err);
    let same = run(path, &["--baseline", "base.json"]);
    assert_eq!(same.code, 0, "{}\n{}", same.out, same.err);
    let slower = ["--baseline", "base.json", "--set", "training.recompute=\"full\""];
    let slower = run(path, &slower);
    assert_eq!(slower.code, 1, "{}\n{}", slower.out, slower.err);
    assert!(slower.out.contains("no-regression"), "{}", slower.out);
    assert!(slower.out.contains(&format!("s.toml:{line}")), "{}", slower.out);
    let updated = orrery(path, &["baseline", "update", "out", "--baseline", "base.json"]);
    assert_eq!(updated.code, 0, "{}", updated.err);
    assert!(
        updated.out.contains("train.step_time.mean"),
        "old and new are said: {}",
        updated.out
    );
}
