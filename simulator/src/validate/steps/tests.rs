//! Rows by hand: each trap of a table of training steps.

use std::collections::BTreeMap;

use super::scenario::scenario;
use super::*;

/// Llama 3 8B on one node of H100, as a table would have it.
fn row(changes: &[(&str, &str)]) -> BTreeMap<String, String> {
    let cells = [
        ("id", "x-1"),
        ("source", "a table"),
        ("model", "llama3-8b"),
        ("arch", "dense"),
        ("layers", "32"),
        ("hidden", "4096"),
        ("ffn", "14336"),
        ("heads", "32"),
        ("kv_heads", "8"),
        ("vocab", "128256"),
        ("seq", "8192"),
        ("gpu", "H100"),
        ("gpus", "8"),
        ("tp", "1"),
        ("pp", "1"),
        ("vpp", "1"),
        ("cp", "1"),
        ("zero_stage", "1"),
        ("seq_parallel", "0"),
        ("mbs", "1"),
        ("gbs", "128"),
        ("precision", "BF16"),
        ("recompute", "none"),
        ("step_time_s", "10"),
        ("tier", "A"),
        ("stack", "nemo"),
    ];
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let mut row: BTreeMap<String, String> = cells.iter().map(own).collect();
    row.extend(changes.iter().map(own));
    row
}

fn compared(changes: &[(&str, &str)]) -> Result<Compared, String> {
    compare(StepRow(&row(changes)))
}

#[test]
fn what_a_row_lacks_is_named() {
    for column in [
        "mbs",
        "gbs",
        "seq",
        "tp",
        "pp",
        "gpus",
        "precision",
        "recompute",
        "model",
    ] {
        assert_eq!(compared(&[(column, "")]), Err(column.to_owned()));
    }
    assert_eq!(
        compared(&[("vocab", ""), ("model", "mpt-7b")]),
        Err("vocab".to_owned())
    );
    assert_eq!(compared(&[("step_time_s", "")]), Err("step_time_s".to_owned()));
    let why = |changes: &[(&str, &str)]| compared(changes).expect_err("it cannot be predicted");
    assert_eq!(why(&[("precision", "NVFP4")]), "precision NVFP4");
    assert_eq!(why(&[("recompute", "selective(router)")]), "recompute of router");
    assert!(why(&[("tier", "C")]).starts_with("tier C"));
    assert!(why(&[("gpu", "TPU")]).contains("TPU"));
}

/// A rate of tokens or of FLOPs is the same measurement: 128 x 8,192 tokens in 10 s on 8 devices.
#[test]
fn every_figure_of_a_row_gives_the_same_seconds() {
    let printed = compared(&[]).expect("it names all");
    assert!((printed.measured - 10.0).abs() < 1e-12);
    let tokens = compared(&[("step_time_s", ""), ("tokens_per_s_per_gpu", "13107.2")]).expect("it names all");
    assert!((tokens.measured - 10.0).abs() < 1e-9, "{}", tokens.measured);
    let rate = |convention| {
        let changes = [
            ("step_time_s", ""),
            ("tflops_per_gpu", "500"),
            ("flops_def", convention),
        ];
        compared(&changes)
    };
    let (causal, full) = (rate("mbridge-half"), rate("full-attn"));
    let (causal, full) = (causal.expect("it is counted"), full.expect("it is counted"));
    assert!(
        full.measured > causal.measured,
        "more FLOPs at the same rate take longer"
    );
    assert!(
        rate("hw-megatron(incl recompute)").is_err(),
        "not every convention is counted"
    );
}

#[test]
fn traps_of_the_columns() {
    let of = |changes: &[(&str, &str)]| scenario(StepRow(&row(changes))).expect("it names all");
    let moe = [
        ("arch", "moe"),
        ("model", "qwen3-30b"),
        ("layers", "48"),
        ("ep", "8"),
        ("etp", "1"),
    ];
    assert!(
        of(&moe).contains("kind = \"balanced\""),
        "benchmarks force an even load"
    );
    let natural = of(&[&moe[..], &[("routing", "natural")]].concat());
    assert!(!natural.contains("balanced"), "unless the row says otherwise");
    assert!(
        !of(&[("ep", "8")]).contains("\nep ="),
        "a dense model has no experts"
    );
    assert!(
        of(&[("vpp", "5")]).contains("1f1b"),
        "chunks of one stage are none"
    );
    assert!(
        of(&[("gpu", "GB200"), ("gpus", "64")]).contains("nodes = 16"),
        "four devices of a rack to a node"
    );
    let selective = of(&[("recompute", "selective(layernorm,moe_act)")]);
    assert!(
        selective.contains("recompute = [\"norm\", \"activation\"]"),
        "{selective}"
    );
    let off = of(&[
        ("model", "dsv3"),
        ("arch", "moe"),
        ("layers", "61"),
        ("notes", "MTP off"),
    ]);
    assert!(off.contains("mtp_layers = 0"), "{off}");
}

#[test]
fn rows_count_in_their_cells() {
    let row = row(&[("gpus", "1024")]);
    let groups = groups(StepRow(&row), Some(By::Gpu));
    assert_eq!(
        groups,
        [
            "tier A",
            "tier A dense",
            "steps of dense, 513-2,048 GPUs, forced routing",
            "gpu H100"
        ]
    );
}
