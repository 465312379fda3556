//! Every scenario and every model that ships.

mod support;

use std::path::{Path, PathBuf};

use orrery_scenario::plan::{MlpShape, Plan, ScheduleKind};
use orrery_scenario::{catalog, import, render, schema_json};
use support::load_with;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

fn shipped(name: &str) -> Plan {
    let path = root().join(format!("scenarios/training/{name}.scenario.toml"));
    let text = std::fs::read_to_string(path).expect("the scenario ships");
    load_with(&text, &[], &[]).unwrap_or_else(|faults| panic!("{name}:\n{}", render(&faults)))
}

/// Layers of each virtual stage.
fn layers(plan: &Plan) -> Vec<usize> {
    plan.layout
        .stages
        .iter()
        .map(|stage| stage.layers.len())
        .collect()
}

#[test]
fn every_scenario_loads_and_checks_something() {
    let mut count = 0;
    for entry in std::fs::read_dir(root().join("scenarios/training")).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let Some(name) = file.strip_suffix(".scenario.toml") else {
            continue;
        };
        let plan = shipped(name);
        assert_eq!(plan.identity.name, name, "a scenario is named as its file");
        assert!(!plan.expectations.is_empty(), "{name} checks nothing");
        assert!(!plan.identity.notes.is_empty(), "{name} names no source");
        count += 1;
    }
    assert!(count >= 4, "{count} scenarios ship");
}

#[test]
fn deepseek_v3_is_laid_out_as_published() {
    let plan = shipped("deepseek-v3-2048-h800");
    assert_eq!(plan.layout.world(), 2048);
    assert_eq!((plan.layout.dp, plan.layout.expert_dp()), (128, 2));
    assert_eq!(plan.training.num_microbatches, 120);
    assert_eq!(layers(&plan), [4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 1]);
    assert!(plan.layout.stages[0].embedding, "the embedding is first");
    let last = &plan.layout.stages[15];
    assert!(
        last.head && last.mtp_layers == 1,
        "head and prediction module are last"
    );
    assert_eq!(plan.expectations.len(), 5);
}

#[test]
fn llama3_has_one_layer_per_chunk() {
    let plan = shipped("llama3-405b-8192-h100");
    assert_eq!(plan.layout.world(), 8192);
    assert_eq!((plan.layout.dp, plan.training.num_microbatches), (64, 32));
    assert_eq!(plan.layout.schedule.kind, ScheduleKind::Interleaved);
    let layers = layers(&plan);
    assert_eq!((layers.len(), layers[0], layers[127]), (128, 0, 0));
    assert!(layers[1..127].iter().all(|&count| count == 1), "{layers:?}");
}

#[test]
fn gpt3_and_mixtral_are_laid_out_as_published() {
    let gpt3 = shipped("gpt3-175b-a100");
    assert_eq!(
        (
            gpt3.layout.world(),
            gpt3.layout.dp,
            gpt3.training.num_microbatches
        ),
        (64, 1, 64)
    );
    assert_eq!(layers(&gpt3), [4; 24]);
    let mixtral = shipped("mixtral-8x22b-h100");
    assert_eq!((mixtral.layout.world(), mixtral.layout.dp), (128, 8));
    assert_eq!(
        (mixtral.layout.expert_dp(), mixtral.training.num_microbatches),
        (2, 32)
    );
    assert_eq!(layers(&mixtral), [1; 56]);
}

#[test]
fn every_catalogue_model_has_its_published_parameters() {
    let table = std::fs::read_to_string(root().join("tests/truth/models.csv")).unwrap();
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    for model in catalog::models() {
        let record = records.iter().find(|record| &record[0] == model.row).unwrap();
        let published: f64 = record[2].parse().unwrap();
        let text = format!(
            "schema = \"scenario/1\"\n[scenario]\nname = \"x\"\nkind = \"training\"\n[model]\nfrom = \"catalog\"\n\
             name = \"{}\"\n[cluster]\nnodes = 1\n[cluster.node]\ngpu = \"H100\"\n[training]\nseq_len = 4096\n\
             global_batch = 8\n",
            model.name
        );
        let plan = load_with(&text, &[], &[]).unwrap_or_else(|faults| panic!("{}", render(&faults)));
        let total = plan.model.parameters().total();
        let counted = f64::from(u32::try_from(total / 1_000_000).unwrap()) / 1e3;
        assert!(
            (counted / published - 1.0).abs() < 1e-3,
            "{}: {counted} B, published {published} B",
            model.name
        );
    }
}

#[test]
fn every_catalogue_config_imports_as_a_valid_scenario() {
    for model in catalog::models() {
        let import = import::hf::hf(model.config, "config.json", None).unwrap();
        let plan = load_with(&import.scenario, &[("config.json", model.config)], &[])
            .unwrap_or_else(|faults| panic!("{}:\n{}\n{}", model.name, render(&faults), import.scenario));
        assert!(!plan.model.layers.is_empty(), "{} has layers", model.name);
        assert!(
            !import.report.read.is_empty() && !import.report.assumed.is_empty(),
            "{}",
            model.name
        );
        assert!(
            import.report.understood() > 0.95,
            "{}: {}",
            model.name,
            import.report
        );
    }
}

#[test]
fn expert_layers_follow_the_schemes_of_their_families() {
    let experts_of = |name: &str| {
        let model = catalog::models().iter().find(|model| model.name == name).unwrap();
        let import = import::hf::hf(model.config, "config.json", None).unwrap();
        let plan = load_with(&import.scenario, &[("config.json", model.config)], &[]).unwrap();
        let moe = |layer: &orrery_scenario::plan::Layer| matches!(layer.mlp, MlpShape::Moe { .. });
        plan.model.layers.iter().filter(|layer| moe(layer)).count()
    };
    assert_eq!(experts_of("deepseek-v3"), 58);
    assert_eq!(experts_of("kimi-k2"), 60);
    assert_eq!(experts_of("qwen3-235b-a22b"), 94);
    assert_eq!(experts_of("llama4-maverick"), 24);
    assert_eq!(experts_of("gpt-oss-120b"), 36);
    assert_eq!(experts_of("llama3-405b"), 0);
}

#[test]
fn the_schema_is_as_checked_in() {
    let path = root().join("scenarios/schema/scenario-1.schema.json");
    let fresh = schema_json();
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &fresh).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        stored == fresh,
        "the schema has changed; UPDATE_SCHEMA=1 rewrites {}",
        path.display()
    );
}

#[test]
fn devices_are_found_by_their_other_names() {
    for name in ["h100-sxm", "H100", "h100_sxm", "H100-SXM5-80GB"] {
        assert_eq!(catalog::hardware(name).unwrap().device.name, "H100-SXM5-80GB");
    }
    let names = catalog::hardware("h1000").unwrap_err();
    assert_eq!(names.len(), 17, "every row of the catalogue is read");
}
