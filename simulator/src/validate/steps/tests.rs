//! Rows by hand: each trap of a table of training steps.

use std::collections::BTreeMap;

use super::super::Outcome;
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
    let step = measured_step(&row(changes))?;
    Ok(simulate(&step)?.beside(step.measured))
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
    assert_eq!(why(&[("precision", "FP6")]), "precision FP6");
    let no_such_unit = why(&[("precision", "NVFP4")]);
    assert!(no_such_unit.contains("fp4"), "an H100 has no FP4: {no_such_unit}");
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

/// Rows that are not complete may leave a few fields to an assumption, and then count apart.
#[test]
fn what_is_assumed_counts_apart() {
    let open = [("tier", "B"), ("mbs", ""), ("recompute", "")];
    let compared = compared(&open).expect("it is assumed");
    let known = self::compared(&[]).expect("it names all");
    assert_eq!(
        compared.predicted.to_bits(),
        known.predicted.to_bits(),
        "one sequence, nothing computed again"
    );
    let row = row(&open);
    assert_eq!(
        groups(StepRow(&row), None),
        ["tier B, with fields assumed", "assumed: mbs, recompute"]
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

/// Rows that differ in their release alone are one configuration: one simulation answers both, and each keeps its own
/// measurement.
#[test]
fn one_configuration_is_simulated_once() {
    let releases = [
        row(&[("release", "25.02")]),
        row(&[("release", "25.04"), ("step_time_s", "11")]),
    ];
    let prepared: Vec<_> = releases.iter().map(measured_step).collect();
    let told = std::sync::Mutex::new(Vec::new());
    let answers = simulated(&prepared, &|done| {
        told.lock().unwrap().push(done);
        true
    });
    let seconds = |at: usize| {
        answers[at]
            .clone()
            .expect("it is predicted")
            .expect("it runs")
            .seconds
    };
    assert_eq!(seconds(0).to_bits(), seconds(1).to_bits());
    assert_eq!(told.into_inner().unwrap().len(), 1, "one simulation for two rows");
    let measured = prepared.iter().flatten().map(|step| step.measured);
    assert_eq!(measured.collect::<Vec<_>>(), [10.0, 11.0]);
}

/// The closed form on what shapes a step: pipelines with and without chunks, sharded parameters, experts, recomputation,
/// traffic after backward. Within 4 % of the event simulation on each, which is what the fit of parameters needs.
#[test]
fn the_closed_form_follows_the_event_simulation() {
    let gpt = [
        ("model", "gpt3-175b"),
        ("layers", "96"),
        ("hidden", "12288"),
        ("heads", "96"),
        ("kv_heads", "96"),
        ("vocab", "51200"),
        ("seq", "2048"),
        ("gpus", "128"),
        ("tp", "4"),
        ("pp", "8"),
        ("seq_parallel", "1"),
    ];
    let experts = [
        ("arch", "moe"),
        ("model", "qwen3-30b"),
        ("layers", "48"),
        ("ep", "8"),
        ("etp", "1"),
        ("seq", "4096"),
        ("stack", "megatron-bridge"),
    ];
    let cases: [Vec<(&str, &str)>; 6] = [
        vec![],
        gpt.to_vec(),
        [&gpt[..], &[("vpp", "6")]].concat(),
        [
            &gpt[..],
            &[
                ("gpu", "A100-80GB"),
                ("stack", "megatron-lm"),
                ("recompute", "full"),
            ],
        ]
        .concat(),
        vec![
            ("stack", "llm-foundry"),
            ("zero_stage", "3"),
            ("gpus", "64"),
            ("recompute", "full"),
        ],
        experts.to_vec(),
    ];
    for changes in cases {
        let step = measured_step(&row(&changes)).expect("it names all");
        let simulated = simulate(&step).expect("it runs").seconds;
        let closed = estimated(&step).expect("it is one").seconds;
        let apart = closed / simulated - 1.0;
        assert!(
            apart.abs() < 0.04,
            "{changes:?}: {closed} s, {simulated} s simulated"
        );
    }
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

/// What a program assumes by default is believed of runs of several nodes, which would not fit otherwise, and not of those
/// of one.
#[test]
fn a_default_is_believed_of_runs_of_several_nodes() {
    let assumed = [("recompute", "full"), ("recompute_src", "a default (assumed)")];
    let text = |gpus| {
        let cells = row(&[&assumed[..], &[("gpus", gpus)]].concat());
        scenario(StepRow(&cells)).expect("it is complete")
    };
    assert!(text("8").contains("recompute = \"none\""));
    assert!(text("64").contains("recompute = \"full\""));
}

/// Of a table without a row of tier A nothing is said of tier A: "0.0 % of tier A" would be a fault where there is none.
#[test]
fn tiers_that_are_not_there_are_not_judged() {
    let judged = |tier: &str| {
        let row = Row {
            id: "x-1".to_owned(),
            facts: vec![("tier", tier.to_owned())],
            groups: Vec::new(),
            result: Err("not asked".to_owned()),
        };
        let outcome = Outcome {
            rows: vec![row],
            ..Outcome::default()
        };
        Judgement::of(&outcome, false).expect("it holds steps").human()
    };
    assert!(
        judged("A").starts_with("predicted: 0.0 % of tier A, 0.0 % of all rows\n"),
        "{}",
        judged("A")
    );
    assert!(
        judged("B").starts_with("predicted: 0.0 % of all rows\n"),
        "{}",
        judged("B")
    );
}
