//! Whatever is written, loading ends in a plan or in faults, never in a panic.

mod support;

use std::path::Path;

use support::load_with;

/// Values that nobody should write, for any key.
const WILD: [&str; 9] = [
    "0",
    "1",
    "3",
    "-1",
    "9223372036854775807",
    "1e300",
    "\"x\"",
    "[]",
    "{ }",
];

/// The paths of all values of `table`.
fn leaves(prefix: &str, table: &toml::Table, found: &mut Vec<String>) {
    for (key, value) in table {
        let path = if prefix.is_empty() {
            key.clone()
        } else {
            format!("{prefix}.{key}")
        };
        if let toml::Value::Table(inner) = value {
            leaves(&path, inner, found);
        }
        found.push(path);
    }
}

#[test]
fn no_single_value_makes_a_panic() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../scenarios/training");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let mut paths = Vec::new();
        leaves("", &text.parse::<toml::Table>().unwrap(), &mut paths);
        paths.extend(["training.micro_batch", "parallel.cp", "parallel.expert_tp"].map(str::to_owned));
        for path in &paths {
            for value in WILD {
                if let Err(faults) = load_with(&text, &[], &[(path, value)]) {
                    assert!(!faults.is_empty(), "{path} = {value} is refused without a word");
                    assert!(!orrery_scenario::render(&faults).is_empty(), "{path} = {value}");
                }
                count += 1;
            }
        }
    }
    assert!(count > 1000, "{count} values were tried");
}
