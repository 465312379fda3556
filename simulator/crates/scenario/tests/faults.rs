//! Text in, faults out: every fault at once, each with its line, its code and a value that works.

mod support;

use orrery_scenario::{Diagnostic, Fix, LoadContext, MemorySource, codes, explain, fixes, render};
use support::load_with;

const GOOD: &str = concat!(
    include_str!("support/head.scenario.toml"),
    r#"nodes = 256

[cluster.node]
gpu = "h800-sxm"
hbm_bw = "3.35 TB/s"

[parallel]
pp = 16
ep = 64
schedule = { kind = "dualpipe" }

[training]
seq_len = 4096
global_batch = 15360

[expect.speed]
check = "train.mfu.mean >= 0.35"
"#
);

/// `GOOD` with `from` replaced by `to`.
fn changed(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from} is not in the text");
    GOOD.replacen(from, to, 1)
}

/// The changes that mend `fault` of `text`, which refers to no other file.
fn fixes_of(text: &str, fault: &Diagnostic) -> Vec<Fix> {
    let context = LoadContext {
        source: &MemorySource::default(),
        metrics: &support::metrics(),
        overrides: &[],
    };
    fixes(text, fault, &context)
}

/// Checks that `text` has the faults `expected`: `line:column code help`, one each.
fn check(text: &str, expected: &[&str]) {
    let faults = load_with(text, &[], &[]).err().unwrap_or_default();
    let found: Vec<String> = faults
        .iter()
        .map(|fault| {
            let help = fault.help.as_deref().unwrap_or("-");
            format!("{}:{} {} {help}", fault.line, fault.column, fault.code)
        })
        .collect();
    assert_eq!(found, expected, "\n{}", render(&faults));
}

#[test]
fn the_good_file_loads() {
    check(GOOD, &[]);
}

#[test]
fn five_mistakes_give_five_messages() {
    let text = GOOD
        .replace("hbm_bw = \"3.35 TB/s\"", "hbm_bw = 3350")
        .replace("ep = 64", "ep = 48\nexpert_parallel = 64")
        .replace("kind = \"dualpipe\"", "kind = \"dualpip\"")
        .replace("train.mfu.mean", "train.mfu_mean");
    check(
        &text,
        &[
            "16:10 S007 hbm_bw = \"3350 GB/s\"",
            "20:6 S031 ep = 32",
            "21:1 S014 use `ep`, or name it `x-expert_parallel` to keep it as a note",
            "22:21 S005 kind = \"dualpipe\"",
            "29:10 E003 train.mfu.mean",
        ],
    );
}

#[test]
fn a_fault_is_shown_as_compilers_show_it() {
    let faults = load_with(&changed("ep = 64", "ep = 48"), &[], &[]).unwrap_err();
    let expected = "\
error[S031]: ep = 48 cannot divide dp = 128
   ┌─ test.scenario.toml:20:6
20 │ ep = 48
   │      ^^ each expert group must be a whole part of the dp group
   = dp = 256 nodes x 8 GPUs / (tp 1 x pp 16 x cp 1) = 128
   = values that work here: 1 2 4 8 16 32 64 128
   = help: ep = 32

1 error, 0 warnings. Nothing was run.
";
    assert_eq!(render(&faults), expected);
    let line = "test.scenario.toml:20:6: error[S031]: ep = 48 cannot divide dp = 128";
    assert_eq!(faults[0].to_string(), line);
}

/// What is replaced in the good file, by what, and the one fault that this makes.
const FAULTS: &[(&str, &str, &str)] = &[
    (
        "schema = \"scenario/1\"",
        "schema = \"scenario/9\"",
        "1:10 S002 schema = \"scenario/1\"",
    ),
    (
        "kind = \"training\"",
        "kind = \"serving\"",
        "5:8 S009 kind = \"training\"",
    ),
    ("name = \"small\"", "name = 3", "4:8 S003 name = \"text\""),
    ("name = \"small\"\n", "", "3:2 S004 name = \"text\""),
    ("nodes = 256", "nodes = 0", "12:9 S006 nodes = 1"),
    ("nodes = 256", "nodes = 255", "19:6 S030 pp = one of 1 2 4 8"),
    (
        "gpu = \"h800-sxm\"",
        "gpu = \"H80-SXM5-80GB\"",
        "15:7 S013 gpu = \"H800-SXM5-80GB\"",
    ),
    (
        "name = \"deepseek-v3\"",
        "name = \"deepseek-v4\"",
        "9:8 S013 name = \"deepseek-v3\"",
    ),
    (
        "\"3.35 TB/s\"",
        "\"3.35 TB\"",
        "16:10 S008 hbm_bw = \"400 Gbit/s\"",
    ),
    (
        "pp = 16",
        "pp = 16\ndp = 64",
        "20:6 S030 dp = 128, or dp = \"auto\"",
    ),
    (
        "global_batch = 15360",
        "global_batch = 15361",
        "25:16 S034 global_batch = 15360 or 15488",
    ),
    (
        "global_batch = 15360",
        "global_batch = 3968",
        "25:16 S036 global_batch = 4096",
    ),
    (
        "seq_len = 4096",
        "seq_len = 4096\nsteps = 1",
        "25:9 S044 steps = 2",
    ),
    (
        "[training]",
        "[routing]\nkind = \"zipf\"\nsigma = 1.0\n[training]",
        "25:1 S042 kind = \"lognormal\", or remove `sigma`",
    ),
    (
        "mfu.mean >= 0.35",
        "mfu.mean >= 35 s",
        "28:28 E002 write a plain number, such as 0.5",
    ),
    ("mfu.mean", "mfu.p50th", "28:10 E003 train.mfu.mean"),
    ("mfu.mean", "mfu{op='x'}.mean", "28:10 E004 train.mfu.mean"),
    (
        "mfu.mean",
        "exposed_comm_ratio{op='pipe'}.mean",
        "28:10 E004 train.exposed_comm_ratio{op='pipeline'}.mean",
    ),
    (
        "mfu.mean >=",
        "mfu.mean",
        "28:25 E001 train.mfu.mean >= 0.35, or train.step_time.mean in 18 s .. 22 s",
    ),
    (
        "0.35\"",
        "0.35\"\nonly_if = \"spead\"",
        "29:11 E005 name one of them, or write a check",
    ),
    (
        "\"train.mfu.mean >= 0.35\"",
        "\"baseline < train.mfu.mean\"",
        "28:10 E006 train.step_time.p50 <= baseline * 1.005",
    ),
    (
        "[cluster.node]",
        "[calibration]\nprofile = \"nowhere\"\n[cluster.node]",
        "15:11 S050 name a shipped profile, or a path relative to this file; \"none\" for analytic times",
    ),
    (
        "[cluster.node]",
        "[calibration]\ntuning = \"nowhere.json\"\n[cluster.node]",
        "15:10 S052 name a file that `orrery fit -o` wrote, relative to this one",
    ),
    (
        "{ kind = \"dualpipe\" }",
        "{ kind = \"1f1b\", chunks = 2 }",
        "21:38 S035 kind = \"interleaved\"",
    ),
    (
        "nodes = 256",
        "nodes = 9_000_000",
        "12:9 S006 nodes = 131072 or fewer",
    ),
];

#[test]
fn one_fault_each() {
    for (from, to, expected) in FAULTS {
        check(&changed(from, to), &[expected]);
    }
}

/// What a fault proposes is carried out, and the fault is gone; sentences are told apart by having no change.
#[test]
fn what_a_message_proposes_is_carried_out() {
    let mut without = Vec::new();
    for (from, to, fault) in FAULTS {
        let text = changed(from, to);
        let faults = load_with(&text, &[], &[]).unwrap_err();
        let fixes = fixes_of(&text, &faults[0]);
        if fixes.is_empty() {
            without.push(*fault);
        }
        for fix in fixes {
            let left = load_with(&fix.text, &[], &[]).err().unwrap_or_default();
            let stays = left
                .iter()
                .any(|left| left.code == faults[0].code && left.message == faults[0].message);
            assert!(
                !stays,
                "{fault}, `{}`:\n{}\n{}",
                fix.title,
                fix.text,
                render(&left)
            );
            let comments = |text: &str| text.matches('#').count();
            assert!(
                comments(&fix.text) + 1 >= comments(&text),
                "comments stay: {}",
                fix.text
            );
        }
    }
    let sentences = [
        "28:28 E002 write a plain number, such as 0.5",
        "28:25 E001 train.mfu.mean >= 0.35, or train.step_time.mean in 18 s .. 22 s",
        "29:11 E005 name one of them, or write a check",
        "28:10 E006 train.step_time.p50 <= baseline * 1.005",
        "15:11 S050 name a shipped profile, or a path relative to this file; \"none\" for analytic times",
        "15:10 S052 name a file that `orrery fit -o` wrote, relative to this one",
    ];
    assert_eq!(without, sentences);
}

#[test]
fn text_that_is_no_toml_is_only_that() {
    let faults = load_with("schema = \n[scenario", &[], &[]).unwrap_err();
    assert!(faults.iter().all(|fault| fault.code == "S001"), "{faults:?}");
}

#[test]
fn dense_models_have_no_expert_degree() {
    let text = GOOD
        .replace("deepseek-v3", "llama3-8b")
        .replace("pp = 16", "pp = 1")
        .replace("schedule = { kind = \"dualpipe\" }\n", "")
        .replace("15360", "16384");
    check(&text, &["20:6 S032 ep = 1"]);
}

#[test]
fn interleaving_needs_a_multiple_of_the_stages() {
    let text = GOOD
        .replace(
            "{ kind = \"dualpipe\" }",
            "{ kind = \"interleaved\", chunks = 2 }",
        )
        .replace("15360", "2176");
    check(&text, &["25:16 S037 global_batch = 4096"]);
}

/// pp = 16 and dp = 128: 32 microbatches are 4,096 sequences, 31 are 3,968.
#[test]
fn schedules_along_a_v_need_two_chunks_and_microbatches_for_both_arms() {
    let text = |schedule: &str, batch: &str| {
        GOOD.replace("{ kind = \"dualpipe\" }", schedule)
            .replace("15360", batch)
    };
    for (schedule, batch, expected) in [
        ("{ kind = \"zb-v\" }", "3968", None),
        (
            "{ kind = \"zb-v\" }",
            "3840",
            Some("25:16 S036 global_batch = 3968"),
        ),
        (
            "{ kind = \"zb-v\", chunks = 3 }",
            "3968",
            Some("21:38 S035 chunks = 2"),
        ),
        ("{ kind = \"dualpipe-v\" }", "4224", None),
        (
            "{ kind = \"dualpipe-v\" }",
            "3968",
            Some("25:16 S036 global_batch = 4096"),
        ),
        (
            "{ kind = \"dualpipe-v\", chunks = 1 }",
            "4096",
            Some("21:44 S035 chunks = 2"),
        ),
        ("{ kind = \"zb-h1\" }", "128", None),
        (
            "{ kind = \"zb-h1\", chunks = 2 }",
            "128",
            Some("21:39 S035 kind = \"zb-v\", which has two"),
        ),
    ] {
        let expected: Vec<&str> = expected.into_iter().collect();
        check(&text(schedule, batch), &expected);
    }
}

/// 61 layers and a prediction module over 16 ranks, each holding two stages of the V; both ends on rank 0.
#[test]
fn stages_along_a_v_turn_at_the_last_rank() {
    for kind in ["zb-v", "dualpipe-v"] {
        let text = changed("kind = \"dualpipe\"", &format!("kind = \"{kind}\""));
        let layout = load_with(&text, &[], &[]).unwrap().layout;
        assert_eq!(layout.stages.len(), 32, "{kind}");
        assert_eq!(
            (layout.stage_index(0, 0), layout.stage_index(0, 1)),
            (0, 31),
            "{kind}"
        );
        assert_eq!(
            (layout.stage_index(15, 0), layout.stage_index(15, 1)),
            (15, 16),
            "{kind}"
        );
        assert!(layout.stages[0].embedding && layout.stages[31].head, "{kind}");
    }
}

#[test]
fn notes_of_the_user_are_free() {
    check(
        &changed(
            "[scenario]",
            "[x-mine]\nanything = [1, \"two\"]\n\n[scenario]\nx-owner = \"me\"",
        ),
        &[],
    );
}

#[test]
fn every_code_is_explained() {
    assert!(codes().len() >= 35, "{} codes", codes().len());
    for code in codes() {
        assert!(explain(code).is_some_and(|text| text.len() > 30), "{code}");
    }
    assert_eq!(explain("S999"), None);
}

/// Nodes that no layout of the file divides: what is offered makes a plan, not the next fault.
#[test]
fn a_fix_is_followed_to_where_it_leads() {
    let text = changed("nodes = 256", "nodes = 33");
    let faults = load_with(&text, &[], &[]).unwrap_err();
    let fixes = fixes_of(&text, &faults[0]);
    assert!(!fixes.is_empty(), "{}", render(&faults));
    for fix in &fixes {
        let left = load_with(&fix.text, &[], &[]);
        assert!(left.is_ok(), "`{}`:\n{}", fix.title, render(&left.unwrap_err()));
    }
    assert!(
        fixes.iter().any(|fix| fix.title.contains(", ")),
        "one key is not enough: {fixes:?}"
    );
}

/// A fault beside it is not the fix's to mend, and does not count against it.
#[test]
fn a_fix_leaves_other_faults() {
    let text = changed("nodes = 256", "nodes = 256\nnods = 3").replace("ep = 64", "ep = 48");
    let faults = load_with(&text, &[], &[]).unwrap_err();
    let fault = faults.iter().find(|fault| fault.message.contains("48")).unwrap();
    let fixes = fixes_of(&text, fault);
    assert!(fixes.iter().any(|fix| fix.leads_to.is_none()), "{fixes:?}");
}

#[test]
fn a_price_is_in_the_currency_that_it_is_written_in() {
    let priced = |cost: &str| {
        let cost = format!("[cost]\n{cost}\npriced_on = 2026-09-01\n\n[scenario]");
        changed("[scenario]", &cost)
    };
    let plan = load_with(&priced("gpu_hour = \"2.50 EUR\""), &[], &[]).unwrap();
    assert_eq!(plan.price.unwrap().currency, "EUR");
    let faults = load_with(&priced("gpu_hour = \"2.50 EUR\"\ncurrency = \"USD\""), &[], &[]);
    let faults = faults.unwrap_err();
    assert_eq!(faults[0].code, "S070", "{}", render(&faults));
    assert!(
        faults[0]
            .message
            .contains("the price is in EUR and `currency` says USD")
    );
}
