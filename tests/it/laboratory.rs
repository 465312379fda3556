//! What a balancing scenario may say: every fault is named with a value that works.

use orrery::pipeline;
use orrery::scenario::plan::{LoadKind, Popularity};
use orrery::scenario::{BalancingPlan, Diagnostic, Loaded, render};

use crate::command::{folder_with, orrery};

/// A scenario that holds; `with` replaces texts of it.
const SCENARIO: &str = r#"schema = "scenario/1"

[scenario]
name  = "laboratory"
title = "Four layers of Mixtral's experts"
kind  = "balancing"

[model]
from = "catalog"
name = "mixtral-8x22b"

[cluster]
nodes = 4

[cluster.node]
gpu  = "H100-SXM5-80GB"
gpus = 8

[placement]
ep     = 8
groups = 1

[load]
tokens_per_step = 8192

[[load.phase]]
name  = "chat"
steps = 10
skew  = { kind = "lognormal", sigma = 0.7 }

[[policy]]
id   = "static"
kind = "contiguous"

[run]
seed = 1
"#;

fn load(text: &str) -> Result<BalancingPlan, Vec<Diagnostic>> {
    match pipeline::load_any("laboratory.scenario.toml", text, &[])? {
        Loaded::Balancing(plan) => Ok(*plan),
        Loaded::Training(_) => panic!("it is of kind balancing"),
    }
}

fn with(replaced: &[(&str, &str)]) -> String {
    let mut text = SCENARIO.to_owned();
    for (old, new) in replaced {
        assert!(text.contains(old), "the scenario has `{old}`");
        text = text.replace(old, new);
    }
    text
}

fn loads(replaced: &[(&str, &str)]) -> BalancingPlan {
    load(&with(replaced)).unwrap_or_else(|faults| panic!("{}", render(&faults)))
}

/// The only fault: its code, and what its message and its help hold.
fn fails(replaced: &[(&str, &str)], code: &str, message: &str, help: &str) {
    let faults = load(&with(replaced)).expect_err("a fault");
    let said = render(&faults);
    assert!(faults.len() == 1 && faults[0].code == code, "{code}: {said}");
    assert!(faults[0].message.contains(message), "{message}: {said}");
    let found = faults[0].help.clone().unwrap_or_default();
    assert!(found.contains(help), "{help}: {said}");
}

const SKEW: &str = "skew  = { kind = \"lognormal\", sigma = 0.7 }";

#[test]
fn every_law_of_popularity_is_one_of_a_load() {
    for skew in [
        "kind = \"balanced\"",
        "kind = \"uniform\"",
        "kind = \"zipf\", exponent = 0.5",
        "kind = \"power-law\", exponent = 1.1, span = 100.0",
        "kind = \"dirichlet\", concentration = 1.0",
        "kind = \"dirichlet-zipf\", exponent = 0.3, concentration = 3.0",
    ] {
        loads(&[(SKEW, &format!("skew = {{ {skew} }}"))]);
    }
    let of_another = "skew = { kind = \"zipf\", exponent = 0.5, sigma = 0.7 }";
    fails(&[(SKEW, of_another)], "S063", "`sigma` belongs", "remove `sigma`");
    let lacking = "skew = { kind = \"power-law\", exponent = 1.1 }";
    fails(&[(SKEW, lacking)], "S063", "needs `span`", "span = 100");
}

/// What `import routing` writes is the load of a scenario.
#[test]
fn an_imported_load_can_be_run() {
    let folder = folder_with("");
    let file = crate::tidy::root().join("tests/truth/routing_counts_olmoe_mixtral.csv.gz");
    let imported = orrery(folder.path(), &["import", "routing", file.to_str().unwrap()]);
    assert_eq!(imported.code, 0, "{}", imported.err);
    let start = SCENARIO.find("[load]").expect("a load");
    let end = SCENARIO.find("[[policy]]").expect("a policy");
    let text = format!("{}{}\n{}", &SCENARIO[..start], imported.out, &SCENARIO[end..]);
    if let Err(faults) = load(&text) {
        panic!("{}\n{}", render(&faults), imported.out);
    }
}

#[test]
fn groups_fill_their_nodes() {
    fails(
        &[("ep     = 8", "ep = 12")],
        "S061",
        "12 devices fill 1",
        "ep = 8 or 16",
    );
    fails(
        &[("ep     = 8", "ep = 28")],
        "S061",
        "28 devices fill 3",
        "ep = 24 or 32",
    );
    // A rack of NVL72 is one network: 16 devices on nodes of four are no part of several.
    let rack = [
        ("gpu  = \"H100-SXM5-80GB\"\ngpus = 8", "gpu = \"GB200-186GB\""),
        ("ep     = 8", "ep = 8\ndispatcher = \"all-to-all\""),
    ];
    let plan = loads(&rack);
    let group = plan.group.expect("a load");
    assert_eq!((group.exchange.devices_per_domain, group.shape.nodes), (16, 1));
}

#[test]
fn laws_of_experts_are_those_that_were_fitted() {
    let experts = |line: &str| format!("[experts]\n{line}\n\n[load]");
    let stack = |plan: BalancingPlan| plan.group.and_then(|group| group.law).map(|law| law.stack);
    assert_eq!(stack(loads(&[])).as_deref(), Some("deepepmoe-context"));
    assert_eq!(stack(loads(&[("[load]", &experts("law = \"none\""))])), None);
    let unknown = experts("law = \"megablocks\"");
    fails(
        &[("[load]", &unknown)],
        "S068",
        "deepepmoe-context on H100",
        "deepepmoe-context",
    );
    let format = experts("law = \"deepepmoe-context\"\nprecision = \"bf16\"");
    fails(&[("[load]", &format)], "S068", "in bfloat16", "law = \"none\"");
    let format = experts("precision = \"nvfp4\"");
    fails(
        &[("[load]", &format)],
        "S060",
        "does not multiply in nvfp4",
        "fp8",
    );
}

#[test]
fn names_are_told_apart() {
    let twice = "[[policy]]\nid = \"static\"\nkind = \"random\"\n\n[run]";
    fails(
        &[("[run]", twice)],
        "S067",
        "another policy is called `static`",
        "static-2",
    );
    fails(
        &[("\"static\"", "\"a/b\"")],
        "S067",
        "no name of a policy",
        "\"a-b\"",
    );
    let again = format!("{SKEW}\n\n[[load.phase]]\nname = \"chat\"\nsteps = 5\n{SKEW}");
    fails(&[(SKEW, &again)], "S067", "another phase", "`domain`");
}

#[test]
fn keys_belong_to_what_they_stand_beside() {
    let policy = |lines: &str| format!("kind = \"eplb-global\"\ninterval = 5\n{lines}");
    let kind = "kind = \"contiguous\"";
    let interval = [(kind, "kind = \"contiguous\"\ninterval = 5")];
    fails(
        &interval,
        "S065",
        "`interval` belongs to policies that follow loads",
        "remove",
    );
    let share = policy("window = 5\nmigration = { mode = \"blocking\", bandwidth_share = 0.2 }");
    fails(&[(kind, &share)], "S065", "`overlapped`", "remove");
    let window = policy("window = 5\nestimator = { kind = \"oracle\" }");
    fails(&[(kind, &window)], "S065", "the estimator `mean`", "remove");
    let steps = [("tokens_per_step = 8192", "tokens_per_step = 8192\nsteps = 7")];
    fails(&steps, "S062", "phases have their own", "remove `steps`");
    // A plan that is never made is told.
    let plan = loads(&[(kind, "kind = \"eplb-global\"\ninterval = 50")]);
    assert!(
        plan.assumptions
            .iter()
            .any(|said| said.key == "policy.static.plans"),
        "{:?}",
        plan.assumptions
    );
}

const PHASE: &str =
    "[[load.phase]]\nname  = \"chat\"\nsteps = 10\nskew  = { kind = \"lognormal\", sigma = 0.7 }\n";

/// Texts that look valid and once ended in a panic.
#[test]
fn what_cannot_be_drawn_is_a_fault() {
    let tokens = "tokens_per_step = 8192";
    let workload = "tokens_per_step = 8192\ntop_k = 5\nworkload = \"W5\"";
    fails(
        &[(PHASE, ""), (tokens, workload)],
        "S062",
        "out of half of 8",
        "top_k = 4",
    );
    let gate = |lines: &str| format!("[load.gate]\n{lines}\n");
    let all = [
        (PHASE, &*gate("kind = \"sigmoid\"\nbalance = { quantile = true }")),
        (tokens, "tokens_per_step = 8192\ntop_k = 8"),
    ];
    fails(&all, "S066", "picks all 8 experts", "quantile = false");
    let faded = [("steps = 10", "steps = 10\nramp = 4")];
    fails(&faded, "S062", "no phase before it", "remove `ramp`");
    let many = [(tokens, "tokens_per_step = 2000000000")];
    fails(&many, "S062", "too many to count", "tokens_per_step = ");
    // DeepSeek-V3's gate picks four of eight groups, which do not share out six experts.
    let limited = [
        ("mixtral-8x22b", "deepseek-v3"),
        (PHASE, &*gate("kind = \"sigmoid\"")),
        (tokens, "tokens_per_step = 8192\ntop_k = 6"),
    ];
    fails(&limited, "S066", "4 of 8 groups", "top_k = 4");
}

#[test]
fn sweeps_move_what_a_policy_has() {
    let sweep = |lines: &str| format!("[[sweep]]\n{lines}\n\n[run]");
    let plan = loads(&[(
        "[run]",
        &sweep("policy = \"static\"\nkey = \"redundant\"\nvalues = [0, 8]"),
    )]);
    assert_eq!(
        plan.sweeps[0].names(),
        ["static-redundant-0", "static-redundant-8"]
    );
    let slots: Vec<usize> = plan.sweeps[0]
        .points
        .iter()
        .map(|point| point.group.contenders[1].shape.slots)
        .collect();
    assert_eq!(slots, [8, 16]);
    let unknown = sweep("policy = \"eplb\"\nkey = \"ep\"\nvalues = [8]");
    fails(
        &[("[run]", &unknown)],
        "S069",
        "no policy is called `eplb`",
        "one of static",
    );
    let never = sweep("policy = \"static\"\nkey = \"interval\"\nvalues = [8]");
    fails(&[("[run]", &never)], "S069", "follows no loads", "plans again");
    let slots = sweep("policy = \"static\"\nkey = \"redundant\"\nvalues = [3]");
    fails(&[("[run]", &slots)], "S061", "no multiple", "8 or 16");
    let parts = sweep("policy = \"static\"\nkey = \"ep\"\nvalues = [8, 12]");
    fails(&[("[run]", &parts)], "S061", "12 devices fill 1", "8 or 16");
}

/// The folder of a run has what was asked for, what it has not is said, and baselines count.
#[test]
fn a_run_writes_what_was_asked_for() {
    let expectation =
        "[expect.as-before]\ncheck = \"moe.imbalance{policy='static'}.mean <= baseline * 1.01\"\n";
    let folder = folder_with("");
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("one.scenario.toml"), format!("{SCENARIO}\n{expectation}")).unwrap();
    let run = |rest: &[&str]| {
        let args = ["run", "one.scenario.toml", "--out", "out"];
        orrery(folder.path(), &[&args, rest].concat())
    };
    let first = run(&["--write", "junit,csv,trace"]);
    assert_eq!(first.code, 3, "no baseline yet: {}", first.err);
    assert!(
        first.err.contains("no spans") && first.err.contains("baseline save"),
        "{}",
        first.err
    );
    for file in [
        "out/run.json",
        "out/meta.json",
        "out/junit.xml",
        "out/metrics.csv",
        "out/placement-static.json",
    ] {
        assert!(path(file).exists(), "{file}");
    }
    let stored = std::fs::read_to_string(path("out/run.json")).unwrap();
    let stored: serde_json::Value = serde_json::from_str(&stored).unwrap();
    assert_eq!(stored["settings"]["placement.ep"], "8");
    assert_eq!(stored["profile"], "h100-llama3-2024-07");
    let saved = orrery(
        folder.path(),
        &["baseline", "save", "out", "--baseline", "stored.json"],
    );
    assert_eq!(saved.code, 0, "{}", saved.err);
    let again = run(&["--baseline", "stored.json"]);
    assert_eq!(again.code, 0, "{}", again.err);
    let named = run(&["--baseline", "nowhere.json"]);
    assert_eq!(named.code, 3, "{}", named.err);
}

/// Loads of ranks, as `import kineto` writes them of split sizes: two ranks of four experts each, which share alike what
/// came for their rank.
#[test]
fn loads_of_ranks_are_shared_by_their_experts() {
    let folder = folder_with("");
    let layer = |layer: usize| format!("ep,7,{layer},0,{}\nep,7,{layer},1,100\n", 200 + layer);
    let table: String = (0..56).map(layer).collect();
    let path = folder.path().join("expert-load.csv");
    std::fs::write(&path, format!("task,step,layer,expert,count\n{table}")).unwrap();
    let skew = format!(
        "skew = {{ kind = \"trace\", path = {:?} }}",
        path.to_str().unwrap()
    );
    let plan = loads(&[(SKEW, &skew)]);
    assert!(
        plan.assumptions
            .iter()
            .any(|said| said.key == "load.experts_of_a_rank"),
        "{:?}",
        plan.assumptions
    );
    let LoadKind::Phases(phases) = plan.group.expect("a load").load.kind else {
        panic!("a load of phases")
    };
    let Popularity::Recorded(counts) = &phases[0].skew.popularity else {
        panic!("a recording")
    };
    assert_eq!(counts[1], [201, 201, 201, 201, 100, 100, 100, 100]);
}
