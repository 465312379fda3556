//! Megatron-LM arguments: every row of the published memory table.

mod support;

use std::collections::BTreeMap;
use std::io::Read as _;

use orrery_scenario::import::megatron::{MegatronCluster, megatron};
use support::load_with;

/// A row of the table: what ran, where, and with which arguments.
struct Row {
    id: String,
    cluster: MegatronCluster,
    arguments: String,
}

fn rows() -> Vec<Row> {
    let packed = include_bytes!("../../../../tests/truth/megatron_ci_memory.csv.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed.as_slice())
        .read_to_string(&mut text)
        .expect("the table unpacks");
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let headers = reader.headers().expect("the table has a header").clone();
    let column = |name: &str| {
        headers
            .iter()
            .position(|header| header == name)
            .expect("the column is there")
    };
    let (id, gpu, nodes, gpus, arguments) = (
        column("id"),
        column("gpu"),
        column("nodes"),
        column("gpus_per_node"),
        column("args_json"),
    );
    let row = |record: csv::StringRecord| Row {
        id: record[id].to_owned(),
        cluster: MegatronCluster {
            // A second machine of one kind is marked so in the table.
            gpu: Some(record[gpu].trim_end_matches("_2ND").to_owned()),
            nodes: record[nodes].parse().ok(),
            gpus_per_node: record[gpus].parse().ok(),
        },
        arguments: record[arguments].to_owned(),
    };
    reader
        .records()
        .map(|record| row(record.expect("the row reads")))
        .collect()
}

/// Faults that say a run of the table does not fit what is known of where it ran.
const EXPECTED: [&str; 5] = ["S030", "S034", "S035", "S037", "S040"];

#[test]
fn every_row_of_the_memory_table_loads_or_says_why_not() {
    let (mut loaded, mut reasons) = (0, BTreeMap::<String, u32>::new());
    let (mut known, mut all) = (0, 0);
    let rows = rows();
    assert_eq!(rows.len(), 531, "the table has 531 rows");
    for row in &rows {
        let report = match megatron(&row.arguments, &row.cluster) {
            Ok(import) => {
                match load_with(&import.scenario, &[], &[]) {
                    Ok(_) => loaded += 1,
                    Err(faults) => {
                        let expected = faults.iter().all(|fault| EXPECTED.contains(&fault.code));
                        let shown = orrery_scenario::render(&faults);
                        assert!(expected, "{}:\n{shown}\n{}", row.id, import.scenario);
                        let reason = format!("{} {}", faults[0].code, faults[0].message);
                        *reasons.entry(reason).or_default() += 1;
                    }
                }
                let share = import.report.understood();
                assert!(share >= 0.9, "{}: {share:.3} {:?}", row.id, import.report.unknown);
                import.report
            }
            Err(refused) => {
                *reasons.entry(refused.reason.clone()).or_default() += 1;
                refused.report
            }
        };
        known += report.read.len() + report.ignored.len();
        all += report.read.len() + report.ignored.len() + report.unknown.len();
    }
    assert!(
        known * 100 >= all * 98,
        "{known} of {all} arguments are understood"
    );
    assert!(
        loaded >= 452,
        "{loaded} of 531 rows load; the others: {reasons:#?}; {known} of {all}"
    );
}

#[test]
fn a_command_line_reads_as_its_json_does() {
    let line = "--num-layers 12 --hidden-size=512 --num-attention-heads 8 --seq-length 1024 \\\n \
                --micro-batch-size 4 --global-batch-size 32 --bf16 --num-experts 8 --moe-router-topk 2 \
                --made-up-flag";
    let json = r#"{"--num-layers": 12, "--hidden-size": 512, "--num-attention-heads": 8,
        "--seq-length": 1024, "--micro-batch-size": 4, "--global-batch-size": 32, "--bf16": true,
        "--num-experts": 8, "--moe-router-topk": 2, "--made-up-flag": true}"#;
    let cluster = MegatronCluster::default();
    let (line, json) = (
        megatron(line, &cluster).unwrap(),
        megatron(json, &cluster).unwrap(),
    );
    assert_eq!(line.scenario, json.scenario);
    assert_eq!(line.report.unknown.len(), 1);
    assert_eq!(line.report.unknown[0].field, "--made-up-flag");
    let plan = load_with(&line.scenario, &[], &[]).unwrap();
    assert_eq!(plan.model.layers.len(), 12);
    assert!(
        line.report.assumed.iter().any(|line| line.field == "vocab"),
        "the vocabulary is assumed"
    );
}

/// What Megatron-LM does where nothing is said: experts take the tensor degree also when they are not spread over
/// ranks, and gradients beside FP16 parameters are accumulated in FP16.
#[test]
fn defaults_are_those_of_the_framework() {
    let plan = |more: &str| {
        let line = format!(
            "--num-layers 4 --hidden-size 512 --num-attention-heads 8 --seq-length 1024 --micro-batch-size 4 \
             --global-batch-size 32 --tensor-model-parallel-size 2 {more}"
        );
        let cluster = MegatronCluster {
            gpu: Some("H100".to_owned()),
            nodes: Some(1),
            gpus_per_node: Some(8),
        };
        let import = megatron(&line, &cluster).unwrap();
        load_with(&import.scenario, &[], &[]).unwrap()
    };
    assert_eq!(plan("--bf16 --num-experts 8").layout.expert_tp, 2);
    let of_experts = plan("--bf16 --num-experts 8 --expert-tensor-parallel-size 1");
    assert_eq!(of_experts.layout.expert_tp, 1);
    for (arguments, bits) in [
        ("--fp16", 16),
        ("--fp16 --accumulate-allreduce-grads-in-fp32", 32),
        ("--bf16", 32),
    ] {
        let formats = plan(arguments).training.formats;
        assert_eq!(formats.gradients.bits(), bits, "{arguments}");
    }
}

/// Prediction modules come on top of the last stage; no stage has fewer layers for them unless told so.
#[test]
fn prediction_modules_take_no_layers_from_the_last_stage() {
    let line = "--num-layers 16 --hidden-size 512 --num-attention-heads 8 --seq-length 1024 --micro-batch-size 4 \
                --global-batch-size 32 --bf16 --pipeline-model-parallel-size 2 \
                --num-virtual-stages-per-pipeline-rank 4 --mtp-num-layers 1";
    let cluster = MegatronCluster {
        gpu: Some("H100".to_owned()),
        nodes: Some(1),
        gpus_per_node: Some(8),
    };
    let import = megatron(line, &cluster).unwrap();
    let stages = load_with(&import.scenario, &[], &[]).unwrap().layout.stages;
    let layers: Vec<usize> = stages.iter().map(|stage| stage.layers.len()).collect();
    assert_eq!(layers, [2; 8]);
    assert_eq!(stages[7].mtp_layers, 1);
}
