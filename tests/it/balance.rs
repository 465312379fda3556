//! The balancer's command gives the worked example of its reference.

use serde_json::Value;

use crate::command::{folder_with, orrery};
use crate::support::unpacked;

/// The README example of deepseek-ai/EPLB: the first case of the table.
#[test]
fn the_example_of_the_eplb_readme() {
    let text = unpacked("eplb.json.gz");
    let root: Value = serde_json::from_str(&text).expect("the table is JSON");
    let first = &root["cases"][0];
    assert_eq!(first["name"], "readme_example");
    let folder = folder_with("");
    std::fs::write(folder.path().join("eplb.json"), &text).unwrap();
    // The question alone, and the table with its first case by default.
    let mut question = first.clone();
    for answer in ["phy2log", "log2phy", "logcnt", "gpu_load_max"] {
        question.as_object_mut().unwrap().remove(answer);
    }
    std::fs::write(folder.path().join("case.json"), question.to_string()).unwrap();
    for file in ["eplb.json", "case.json"] {
        let ran = orrery(folder.path(), &["balance", file]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let placement: Value = serde_json::from_str(&ran.out).expect("the answer is JSON");
        for key in ["phy2log", "log2phy", "logcnt"] {
            assert_eq!(placement[key], first[key], "{key}");
        }
    }
}
