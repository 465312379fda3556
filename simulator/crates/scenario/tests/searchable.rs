//! Jobs whose layout is open: what is written need not be legal.

mod support;

use orrery_scenario::{LoadContext, MemorySource, Searchable, load_searchable, render};
use support::{load_with, metrics};

/// 33 nodes of eight GPUs: 264 do not divide by 16, and 256 sequences not among 33 ranks.
const ILLEGAL: &str = r#"schema = "scenario/1"
[scenario]
name = "mixtral"
kind = "training"
[model]
from = "catalog"
name = "mixtral-8x7b"
[cluster]
nodes = 33
[cluster.node]
gpu = "H100"
[parallel]
tp = 2
pp = 8
ep = 8
schedule = { kind = "interleaved", chunks = 2 }
[training]
seq_len = 4096
global_batch = 264
"#;

fn searchable(text: &str) -> Result<Searchable, String> {
    let context = LoadContext {
        source: &MemorySource::default(),
        metrics: &metrics(),
        overrides: &[],
    };
    load_searchable("test.scenario.toml", text, &context).map_err(|faults| render(&faults))
}

#[test]
fn a_job_of_an_illegal_layout_gets_a_legal_one_and_keeps_what_is_written() {
    assert!(
        load_with(ILLEGAL, &[], &[]).is_err(),
        "as it is written it cannot be run"
    );
    let job = searchable(ILLEGAL).unwrap();
    assert_eq!(job.plan.layout.world(), 264);
    assert!(job.plan.training.num_microbatches > 0, "its batch divides");
    let written = &job.written;
    assert_eq!((written.tp, written.pp, written.ep), (2, 8, 8));
    assert_eq!((written.schedule, written.chunks), ("interleaved", Some(2)));
}

#[test]
fn a_job_of_a_legal_layout_is_as_it_is_written() {
    let text = ILLEGAL
        .replace("nodes = 33", "nodes = 32")
        .replace("= 264", "= 256");
    let job = searchable(&text).unwrap();
    assert_eq!(job.written, orrery_scenario::LayoutChoice::of(&job.plan));
    assert_eq!(job.plan.layout.pp, 8);
}

#[test]
fn what_no_layout_mends_is_said() {
    let why = searchable(&ILLEGAL.replace("seq_len", "seq_length")).unwrap_err();
    assert!(
        why.contains("seq_length") && !why.contains("does not divide"),
        "{why}"
    );
    let why = searchable(&ILLEGAL.replace("global_batch = 264", "global_batch = 7")).unwrap_err();
    assert!(
        why.contains("does not divide 264 GPUs"),
        "no layout is legal: {why}"
    );
}
