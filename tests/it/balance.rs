//! The balancer's command gives the answers of its reference, and refuses what has none.

use serde_json::Value;

use crate::command::{folder_with, orrery};
use crate::support::unpacked;

/// The keys of an answer.
const ANSWER: [&str; 3] = ["phy2log", "log2phy", "logcnt"];

fn table() -> (String, Value) {
    let text = unpacked("eplb.json.gz");
    let root = serde_json::from_str(&text).expect("the table is JSON");
    (text, root)
}

/// The README example of deepseek-ai/EPLB: the first case of the table, and its question alone.
#[test]
fn the_example_of_the_eplb_readme() {
    let (text, root) = table();
    let first = &root["cases"][0];
    assert_eq!(first["name"], "readme_example");
    let folder = folder_with("");
    std::fs::write(folder.path().join("eplb.json"), &text).unwrap();
    let mut question = first.clone();
    for answer in ["phy2log", "log2phy", "logcnt", "gpu_load_max"] {
        question.as_object_mut().unwrap().remove(answer);
    }
    std::fs::write(folder.path().join("case.json"), question.to_string()).unwrap();
    for file in ["eplb.json", "case.json"] {
        let ran = orrery(folder.path(), &["balance", file]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let placement: Value = serde_json::from_str(&ran.out).expect("the answer is JSON");
        for key in ANSWER {
            assert_eq!(placement[key], first[key], "{key}");
        }
    }
}

/// All 30 answers to the letter, through the command.
#[test]
fn every_answer_of_the_reference() {
    let (text, root) = table();
    let folder = folder_with("");
    std::fs::write(folder.path().join("eplb.json"), &text).unwrap();
    let cases = root["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 30);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let ran = orrery(folder.path(), &["balance", "eplb.json", "--name", name]);
        assert_eq!(ran.code, 0, "{name}: {}", ran.err);
        let placement: Value = serde_json::from_str(&ran.out).expect("the answer is JSON");
        for key in ANSWER {
            assert_eq!(placement[key], case[key], "{name}: {key}");
        }
    }
}

/// The four questions without an answer: exit 2 and a reason with its remedy. They carry no weights of their own.
#[test]
fn questions_without_an_answer_are_refused() {
    let (_, root) = table();
    let cases = root["error_cases"].as_array().unwrap();
    assert_eq!(cases.len(), 4);
    for case in cases {
        let count = |key: &str| usize::try_from(case[key].as_u64().unwrap()).unwrap();
        let mut question = case.clone();
        question["weights"] = vec![vec![1.0; count("experts")]; count("layers")].into();
        let folder = folder_with("");
        std::fs::write(folder.path().join("case.json"), question.to_string()).unwrap();
        let ran = orrery(folder.path(), &["balance", "case.json"]);
        assert_eq!(ran.code, 2, "{case}");
        assert!(ran.out.is_empty() && ran.err.contains("= help:"), "{}", ran.err);
    }
}

/// The balancers of a scenario go by the same names here.
#[test]
fn names_of_scenarios_are_names_of_the_command() {
    let folder = folder_with("");
    let case =
        r#"{"weights": [[4, 3, 2, 1]], "num_replicas": 6, "num_groups": 1, "num_nodes": 1, "num_gpus": 2}"#;
    std::fs::write(folder.path().join("case.json"), case).unwrap();
    let answer = |policy: &str| {
        let ran = orrery(folder.path(), &["balance", "case.json", "--policy", policy]);
        assert_eq!(ran.code, 0, "{policy}: {}", ran.err);
        ran.out
    };
    for (short, long) in [
        ("hierarchical", "eplb-hierarchical"),
        ("global", "eplb-global"),
        ("vllm", "eplb-vllm"),
        ("swap", "eplb-swap"),
    ] {
        assert_eq!(answer(short), answer(long), "{long}");
    }
}
