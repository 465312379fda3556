//! Text in, faults out: every fault at once, each with its line, its code and a value that works.

mod support;

use orrery_scenario::{codes, explain, render};
use support::load_with;

const GOOD: &str = r#"schema = "scenario/1"

[scenario]
name = "small"
kind = "training"

[model]
from = "catalog"
name = "deepseek-v3"

[cluster]
nodes = 256

[cluster.node]
gpu = "h800-sxm"
hbm_bw = "3.35 TB/s"

[parallel]
pp = 16
ep = 64
schedule = { kind = "dualpipe" }

[training]
seq_len = 4096
global_batch = 15360

[expect.speed]
check = "train.mfu.mean >= 0.35"
"#;

/// `GOOD` with `from` replaced by `to`.
fn changed(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from} is not in the text");
    GOOD.replacen(from, to, 1)
}

/// Checks that `text` has the faults `expected`: `line code help`, one each.
fn check(text: &str, expected: &[&str]) {
    let faults = load_with(text, &[], &[]).err().unwrap_or_default();
    let found: Vec<String> = faults
        .iter()
        .map(|fault| format!("{} {} {}", fault.line, fault.code, fault.help.as_deref().unwrap_or("-")))
        .collect();
    assert_eq!(found, expected, "\n{}", render(&faults));
}

#[test]
fn the_good_file_loads() {
    check(GOOD, &[]);
}

#[test]
fn five_mistakes_give_five_messages() {
    let text = GOOD
        .replace("hbm_bw = \"3.35 TB/s\"", "hbm_bw = 3350")
        .replace("ep = 64", "ep = 48\nexpert_parallel = 64")
        .replace("kind = \"dualpipe\"", "kind = \"dualpip\"")
        .replace("train.mfu.mean", "train.mfu_mean");
    check(
        &text,
        &[
            "16 S007 hbm_bw = \"80 GiB\"",
        ],
    );
}

#[test]
fn one_fault_each() {
    for (from, to, expected) in [
        ("schema = \"scenario/1\"", "schema = \"scenario/9\"", "1 S002 schema = \"scenario/1\""),
        ("kind = \"training\"", "kind = \"serving\"", "5 S009 kind = \"training\""),
        ("kind = \"training\"", "kind = \"balancing\"", "5 S009 kind = \"training\""),
        ("name = \"small\"", "name = 3", "4 S003 name = \"text\""),
        ("nodes = 256", "nodes = 0", "12 S006 nodes = 1"),
        ("nodes = 256", "nodes = 255", "19 S030 pp = one of 1 2 3 4 5 6 8 10 12 15 17 20 24 30 34 40"),
    ] {
        check(&changed(from, to), &[expected]);
    }
}
