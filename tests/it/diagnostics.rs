//! A file with five different mistakes: five messages, exit 2, nothing run.

use crate::command::{folder_with, orrery};

const FIVE_MISTAKES: &str = r#"schema = "scenario/1"

[scenario]
name = "mistaken"
kind = "training"

[model]
from = "catalog"
name = "deepseek-v3"

[cluster]
nodes = 256

[cluster.node]
gpu = "h800-sxm"
hbm_bw = 3350

[parallel]
pp = 16
ep = 48
expert_parallel = 64
schedule = { kind = "dualpip" }

[training]
seq_len = 4096
global_batch = 15360

[expect.speed]
check = "train.mfu_mean >= 0.35"
"#;

/// Line, code, and the value that works.
const EXPECTED: [(u32, &str, &str); 5] = [
    (16, "S007", "hbm_bw = \"3350 GB/s\""),
    (20, "S031", "ep = 32"),
    (21, "S014", "use `ep`"),
    (22, "S005", "kind = \"dualpipe\""),
    (29, "E003", "train.mfu.mean"),
];

#[test]
fn five_mistakes_give_five_messages_and_nothing_runs() {
    let folder = folder_with(FIVE_MISTAKES);
    for command in ["run", "check"] {
        let ran = orrery(folder.path(), &[command, "s.toml"]);
        assert_eq!(ran.code, 2, "{}", ran.err);
        let messages: Vec<&str> = ran.err.split("error[").skip(1).collect();
        assert_eq!(messages.len(), 5, "{}", ran.err);
        for (message, (line, code, help)) in messages.iter().zip(EXPECTED) {
            assert!(
                message.starts_with(code),
                "{code} comes in the order of lines:\n{message}"
            );
            assert!(
                message.contains(&format!("s.toml:{line}:")),
                "line {line}:\n{message}"
            );
            let remedy = message.split("= help:").nth(1).unwrap_or_default();
            assert!(remedy.contains(help), "`{help}` is offered:\n{message}");
        }
        assert!(ran.err.contains("Nothing was run"), "{}", ran.err);
        assert!(!folder.path().join("orrery-runs").exists(), "nothing was run");
    }
}

/// What the messages offer works.
#[test]
fn the_values_that_are_offered_work() {
    let text = FIVE_MISTAKES
        .replace("hbm_bw = 3350", "hbm_bw = \"3350 GB/s\"")
        .replace("ep = 48\nexpert_parallel = 64", "ep = 32")
        .replace("dualpip\"", "dualpipe\"")
        .replace("train.mfu_mean", "train.mfu.mean");
    let ran = orrery(folder_with(&text).path(), &["check", "s.toml"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
}

#[test]
fn one_bad_file_of_two_runs_neither() {
    let folder = folder_with(crate::support::DENSE);
    std::fs::write(folder.path().join("bad.toml"), FIVE_MISTAKES).unwrap();
    let ran = orrery(folder.path(), &["run", "s.toml", "bad.toml"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(!folder.path().join("orrery-runs").exists(), "nothing was run");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let folder = folder_with("");
    let ran = orrery(folder.path(), &["run", "absent.toml"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(ran.err.contains("absent.toml"), "{}", ran.err);
}
