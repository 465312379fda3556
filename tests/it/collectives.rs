//! `orrery collective`: every algorithm, the fastest marked, in every format.

use serde_json::Value;

use crate::command::orrery;

const PAIR: [&str; 7] = [
    "collective",
    "--gpu",
    "h100-sxm",
    "--nodes",
    "2",
    "--gpus-per-node",
    "8",
];

#[test]
fn one_collective_lists_every_algorithm() {
    let root = crate::tidy::root();
    let ran = orrery(
        &root,
        &[&PAIR[..], &["--op", "all_reduce", "--format", "json"]].concat(),
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    let answer: Value = serde_json::from_str(&ran.out).expect("the answer is JSON");
    let all = answer["sizes"][0]["algorithms"]
        .as_array()
        .expect("algorithms are listed");
    assert_eq!(all.len(), 7, "{answer}");
    assert_eq!(all[0]["chosen"], true);
    // 2 nodes of H100 were measured to take the NVLS tree, 4.47 ms for 1 GiB (h100_ib_2n16g_all_reduce.csv).
    assert_eq!(all[0]["algorithm"], "nvls_tree/simple");
    let time = all[0]["time_s"].as_f64().unwrap_or(0.0);
    assert!((time / 4.47e-3 - 1.0).abs() < 0.05, "{time}");
}

#[test]
fn one_rank_of_a_node_has_one_nic() {
    let root = crate::tidy::root();
    let asked = [
        "collective",
        "--gpu",
        "h100-sxm",
        "--nodes",
        "16",
        "--gpus-per-node",
        "1",
        "--format",
        "json",
    ];
    let ran = orrery(&root, &asked);
    let answer: Value = serde_json::from_str(&ran.out).expect("the answer is JSON");
    let bus = answer["sizes"][0]["algorithms"][0]["busbw"].as_f64();
    let bus = bus.unwrap_or_else(|| panic!("{answer}"));
    assert!(bus > 1e9 && bus < 50e9, "a NIC carries 50 GB/s: {bus}");
}

#[test]
fn a_sweep_has_the_columns_of_nccl_tests() {
    let root = crate::tidy::root();
    let ran = orrery(&root, &[&PAIR[..], &["--sweep", "8..8GiB"]].concat());
    assert_eq!(ran.code, 0, "{}", ran.err);
    let rows: Vec<&str> = ran.out.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(rows.len(), 31, "{}", ran.out);
    let words: Vec<&str> = rows[0].split_whitespace().collect();
    assert_eq!(words[..5], ["8", "2", "float", "sum", "-1"]);
}

#[test]
fn pictures_are_drawn() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    for (name, head) in [("x.svg", &b"<svg"[..]), ("x.png", &b"\x89PNG"[..])] {
        let ran = orrery(folder.path(), &[&PAIR[..], &["--picture", name]].concat());
        assert_eq!(ran.code, 0, "{}", ran.err);
        let picture = std::fs::read(folder.path().join(name)).expect("it was written");
        assert!(picture.starts_with(head), "{name}");
    }
}

#[test]
fn bad_input_names_the_fix() {
    let root = crate::tidy::root();
    for (arguments, words) in [
        (&["collective", "--gpu", "tpu"][..], "use one of"),
        (&["collective", "--gpu", "h100", "--op", "gossip"], "all_reduce"),
        (&["collective", "--gpu", "h100", "--bytes", "1parsec"], "GiB"),
        (
            &["collective", "--gpu", "h100", "--gpus-per-node", "1"],
            "two ranks",
        ),
        (&["collective", "--gpu", "h100", "--picture", "x.gif"], ".svg"),
    ] {
        let ran = orrery(&root, arguments);
        assert_eq!(ran.code, 2, "{}", ran.err);
        assert!(ran.err.contains(words), "{}", ran.err);
    }
}

/// NCCL's switches, within a factor of two of where logs and curves show them: one node of H200 leaves LL for NVLS at 2 MiB
/// (tests/truth/nccl/h200_1n8g_all_reduce_torch.csv), several nodes of H100 take the NVLS tree.
#[test]
fn algorithms_switch_where_nccl_does() {
    let root = crate::tidy::root();
    let first = |gpu: &str, nodes: &str, size: &str| -> String {
        let asked = [
            "collective",
            "--gpu",
            gpu,
            "--nodes",
            nodes,
            "--gpus-per-node",
            "8",
            "--bytes",
            size,
            "--format",
            "json",
        ];
        let ran = orrery(&root, &asked);
        let answer: Value = serde_json::from_str(&ran.out).expect("the answer is JSON");
        let name = answer["sizes"][0]["algorithms"][0]["algorithm"].as_str();
        name.unwrap_or_default().to_owned()
    };
    assert_eq!(first("h200", "1", "1MiB"), "ring/ll");
    assert_eq!(first("h200", "1", "2MiB"), "nvls/simple");
    for nodes in ["2", "4", "8"] {
        assert_eq!(first("h100", nodes, "64MiB"), "nvls_tree/simple", "{nodes}");
    }
}

/// A device without sweeps is answered by another's law, and that is said.
#[test]
fn a_device_that_was_not_measured_says_so() {
    let root = crate::tidy::root();
    for gpu in ["h100-pcie", "4090", "h800"] {
        let ran = orrery(
            &root,
            &[
                "collective",
                "--gpu",
                gpu,
                "--gpus-per-node",
                "8",
                "--format",
                "json",
            ],
        );
        let answer: Value = serde_json::from_str(&ran.out).expect("the answer is JSON");
        assert_eq!(answer["evidence"], "extrapolated", "{gpu}");
        assert!(ran.err.contains("no sweep of this platform"), "{}", ran.err);
    }
}
