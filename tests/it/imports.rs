//! Imports: what other programs know of a job becomes a scenario that loads, or a reason by name.

use std::collections::BTreeMap;

use orrery_scenario::import::megatron::{MegatronCluster, megatron};

use crate::command::{folder_with, orrery};
use crate::support::{near, table};

/// Families, and the published parameters of each in 10^9 (tests/truth/models.csv).
const FAMILIES: [(&str, &str); 5] = [
    ("deepseek-v3", "dsv3"),
    ("llama3-405b", "llama3-405b"),
    ("mixtral-8x22b", "mixtral-8x22b"),
    ("qwen3-235b-a22b", "qwen3-235b"),
    ("gpt-oss-120b", "gpt-oss-120b"),
];

#[test]
fn configs_of_five_families_become_scenarios_that_check() {
    let folder = folder_with("");
    let path = folder.path();
    for (family, _) in FAMILIES {
        let config = crate::tidy::root()
            .join("scenarios/models")
            .join(family)
            .join("config.json");
        let (config, output) = (config.to_str().unwrap(), format!("{family}.toml"));
        let imported = orrery(path, &["import", "hf", config, "--output", &output]);
        assert_eq!(imported.code, 0, "{family}: {}", imported.err);
        for part in ["read:", "assumed:", "understood:"] {
            assert!(imported.err.contains(part), "{family}: {part}\n{}", imported.err);
        }
        let checked = orrery(path, &["check", &output]);
        assert_eq!(checked.code, 0, "{family}: {}", checked.err);
    }
}

#[test]
fn imported_models_have_their_published_parameters() {
    let published = std::fs::read_to_string(crate::tidy::root().join("tests/truth/models.csv")).unwrap();
    let mut reader = csv::Reader::from_reader(published.as_bytes());
    let rows: Vec<BTreeMap<String, String>> = reader.deserialize().map(Result::unwrap).collect();
    for (family, id) in FAMILIES {
        let config = crate::tidy::root()
            .join("scenarios/models")
            .join(family)
            .join("config.json");
        let text = std::fs::read_to_string(&config).unwrap();
        let imported = orrery_scenario::import::hf::hf(&text, config.to_str().unwrap(), None)
            .unwrap_or_else(|fault| panic!("{family}: {fault}"));
        let plan = crate::support::plan(&imported.scenario, &[]);
        let row = rows
            .iter()
            .find(|row| row.values().any(|value| value == id))
            .expect("the model is in the table");
        let billions: f64 = row["params_b"].parse().expect("the table has parameters");
        let counted: f64 = plan
            .model
            .parameters()
            .total()
            .to_string()
            .parse()
            .expect("a count is a number");
        assert!(
            near(counted / 1e9, billions, 0.01),
            "{family}: {} and {billions} 10^9",
            counted / 1e9
        );
    }
}

fn cluster(row: &BTreeMap<String, String>) -> MegatronCluster {
    MegatronCluster {
        // A second machine of one kind is marked so in the table.
        gpu: Some(row["gpu"].trim_end_matches("_2ND").to_owned()),
        nodes: row["nodes"].parse().ok(),
        gpus_per_node: row["gpus_per_node"].parse().ok(),
    }
}

#[test]
fn arguments_of_every_row_are_read_and_load_or_say_why_not() {
    let (mut known, mut all, mut loaded) = (0, 0, 0);
    let mut reasons = BTreeMap::<String, u32>::new();
    let rows = table("megatron_ci_memory.csv.gz");
    for row in &rows {
        let report = match megatron(&row["args_json"], &cluster(row)) {
            Ok(import) => {
                match orrery::pipeline::load("imported.scenario.toml", &import.scenario, &[]) {
                    Ok(_) => loaded += 1,
                    Err(faults) => {
                        assert!(
                            !faults[0].message.is_empty(),
                            "{}: a fault says what is wrong",
                            row["id"]
                        );
                        *reasons.entry(faults[0].code.to_owned()).or_default() += 1;
                    }
                }
                import.report
            }
            Err(refused) => {
                assert!(
                    !refused.reason.is_empty(),
                    "{}: a refusal has its reason",
                    row["id"]
                );
                *reasons.entry(refused.reason).or_default() += 1;
                refused.report
            }
        };
        assert!(
            report.assumed.iter().all(|line| !line.field.is_empty()),
            "assumptions are named"
        );
        known += report.read.len() + report.ignored.len();
        all += report.read.len() + report.ignored.len() + report.unknown.len();
    }
    assert_eq!(rows.len(), 531, "the table has 531 rows");
    assert!(known * 10 >= all * 9, "{known} of {all} arguments are understood");
    assert!(
        loaded * 5 >= rows.len() * 4,
        "{loaded} of {} rows load; the others: {reasons:#?}",
        rows.len()
    );
}

#[test]
fn the_command_imports_arguments_of_three_rows() {
    let rows = table("megatron_ci_memory.csv.gz");
    let loads = |row: &&BTreeMap<String, String>| {
        let import = megatron(&row["args_json"], &cluster(row));
        import.is_ok_and(|import| orrery::pipeline::load("s.toml", &import.scenario, &[]).is_ok())
    };
    let folder = folder_with("");
    let path = folder.path();
    let mut seen = 0;
    for row in rows.iter().filter(loads).step_by(150).take(3) {
        std::fs::write(path.join("arguments.json"), &row["args_json"]).unwrap();
        let place = cluster(row);
        let (gpu, nodes) = (place.gpu.unwrap(), place.nodes.unwrap().to_string());
        let gpus = place.gpus_per_node.unwrap().to_string();
        let where_it_ran = ["--gpu", &gpu, "--nodes", &nodes, "--gpus-per-node", &gpus];
        let mut arguments = vec!["import", "megatron", "arguments.json", "--output", "s.toml"];
        arguments.extend(where_it_ran);
        let imported = orrery(path, &arguments);
        assert_eq!(imported.code, 0, "{}: {}", row["id"], imported.err);
        assert!(
            imported.err.contains("assumed:"),
            "assumptions are named: {}",
            imported.err
        );
        let checked = orrery(path, &["check", "s.toml"]);
        assert_eq!(checked.code, 0, "{}: {}", row["id"], checked.err);
        seen += 1;
    }
    assert_eq!(seen, 3);
}

/// Recorded loads of OLMoE and Mixtral: the law, its parameters and R² by layer beside it, and a load that follows it.
#[test]
fn a_recorded_load_becomes_a_law_and_a_load() {
    let folder = folder_with("");
    let file = crate::tidy::root().join("tests/truth/routing_counts_olmoe_mixtral.csv.gz");
    let file = file.to_str().unwrap();
    let select = ["import", "routing", file, "--select", "olmoe/arxiv"];
    let imported = orrery(folder.path(), &select);
    assert_eq!(imported.code, 0, "{}", imported.err);
    for part in [
        "3 layers of 64 experts follow",
        "log-normal 0.",
        "R² of logarithms",
        "    2  ",
    ] {
        assert!(imported.err.contains(part), "{part}\n{}", imported.err);
    }
    for part in ["[[load.phase]]", "name  = \"olmoe-arxiv\"", "skew  = { kind = \""] {
        assert!(imported.out.contains(part), "{part}\n{}", imported.out);
    }
    let missing = orrery(folder.path(), &["import", "routing", file, "--select", "olmo"]);
    assert_eq!(missing.code, 2);
    assert!(missing.err.contains("olmoe/arxiv"), "{}", missing.err);
    std::fs::write(folder.path().join("dump.pt"), b"PK\x03\x04").unwrap();
    let torch = orrery(folder.path(), &["import", "routing", "dump.pt"]);
    assert_eq!(torch.code, 3);
    assert!(torch.err.contains("torch.load"), "{}", torch.err);
}
