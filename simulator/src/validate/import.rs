//! What nccl-tests itself prints, text or JSON (`-J`), as a table like the published ones.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::table::Table;

/// The table in the output of nccl-tests; none when `text` is not that. `name` says the operation where the output
/// does not.
pub(super) fn nccl_tests(text: &str, name: &str) -> Option<Table> {
    json(text).or_else(|| plain(text)).map(|mut table| {
        if table.fact("collective").is_empty() {
            let words = [
                "all_reduce",
                "all_gather",
                "reduce_scatter",
                "alltoall",
                "sendrecv",
                "broadcast",
                "reduce",
            ];
            let found = words.iter().find(|word| name.contains(**word));
            if let Some(word) = found {
                table.facts.push(("collective".to_owned(), (*word).to_owned()));
            }
        }
        table
    })
}

fn columns() -> Vec<String> {
    ["size_bytes", "oop_time_us", "ip_time_us"]
        .map(str::to_owned)
        .to_vec()
}

fn row(cells: [(&str, String); 3]) -> BTreeMap<String, String> {
    cells
        .into_iter()
        .map(|(column, value)| (column.to_owned(), value))
        .collect()
}

/// Facts of a run: ranks, nodes and the device.
fn facts(operation: &str, hosts: &[String], device: &str) -> Vec<(String, String)> {
    let nodes: BTreeSet<&String> = hosts.iter().collect();
    [
        ("collective", operation.trim_end_matches("_perf").to_owned()),
        ("ranks", hosts.len().to_string()),
        ("nodes", nodes.len().to_string()),
        ("gpu", device.to_owned()),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

/// The report of `-J` (`src/util.cu` of nccl-tests, version 1 and 2): `results` of `size`, `out_of_place.time` and
/// `in_place.time`; devices wherever they are listed with `hostname` and `device_info`.
fn json(text: &str) -> Option<Table> {
    let value: Value = serde_json::from_str(text).ok()?;
    let results = value.get("results")?.as_array()?;
    let program = value["args"][0].as_str().unwrap_or_default();
    let operation = program.rsplit('/').next().unwrap_or_default();
    let mut hosts = Vec::new();
    let mut device = String::new();
    devices(&value, &mut hosts, &mut device);
    let time = |result: &Value, place: &str| {
        result[place]["time"]
            .as_f64()
            .map_or_else(String::new, |t| t.to_string())
    };
    let rows = results
        .iter()
        .filter_map(|result| {
            Some(row([
                ("size_bytes", result["size"].as_u64()?.to_string()),
                ("oop_time_us", time(result, "out_of_place")),
                ("ip_time_us", time(result, "in_place")),
            ]))
        })
        .collect();
    Some(Table {
        facts: facts(operation, &hosts, &device),
        columns: columns(),
        rows,
    })
}

fn devices(value: &Value, hosts: &mut Vec<String>, device: &mut String) {
    match value {
        Value::Array(parts) => parts.iter().for_each(|part| devices(part, hosts, device)),
        Value::Object(parts) => {
            if let (Some(host), Some(info)) = (parts.get("hostname"), parts.get("device_info")) {
                hosts.push(host.as_str().unwrap_or_default().to_owned());
                info.as_str().unwrap_or_default().clone_into(device);
            }
            parts.values().for_each(|part| devices(part, hosts, device));
        }
        _ => {}
    }
}

/// The text: `#  Rank 0 Group 0 Pid 1 on host device 0 [0x1b] NVIDIA H100`, then lines of size, count, type, redop,
/// root, and time, algbw, busbw, wrong, twice.
fn plain(text: &str) -> Option<Table> {
    let mut hosts = Vec::new();
    let mut device = String::new();
    let mut operation = String::new();
    let mut rows = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let Some(at) = words.iter().position(|word| word.ends_with("_perf")) {
            operation = words[at].rsplit('/').next().unwrap_or_default().to_owned();
        }
        if line.starts_with('#') {
            let on = words.iter().position(|&word| word == "on");
            if let (true, Some(on)) = (line.contains(" Rank "), on) {
                hosts.push(words.get(on + 1).copied().unwrap_or_default().to_owned());
                device = line.rsplit(']').next().unwrap_or_default().trim().to_owned();
            }
            continue;
        }
        let numbers = words.len() >= 12 && words[0].parse::<u64>().is_ok() && words[5].parse::<f64>().is_ok();
        if numbers {
            rows.push(row([
                ("size_bytes", words[0].to_owned()),
                ("oop_time_us", words[5].to_owned()),
                ("ip_time_us", words[9].to_owned()),
            ]));
        }
    }
    let found = !rows.is_empty() && text.contains('#') && !hosts.is_empty();
    found.then(|| Table {
        facts: facts(&operation, &hosts, &device),
        columns: columns(),
        rows,
    })
}
