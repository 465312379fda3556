//! The published table, and rows by hand.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::summary;
use super::*;

fn table(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/truth")
        .join(name)
}

fn row(cells: &[(&str, &str)]) -> BTreeMap<String, String> {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    cells.iter().map(own).collect()
}

const ARGUMENTS: &str = r#"{"--num-layers":12,"--hidden-size":512,"--num-attention-heads":8,"--micro-batch-size":4,
"--global-batch-size":32,"--seq-length":1024,"--max-position-embeddings":1024,"--bf16":true,
"--use-distributed-optimizer":true,"--deterministic-mode":true}"#;

/// The measured maximum of mcoreci-0058: 2,586.1 MiB.
fn measured(changes: &[(&str, &str)]) -> Result<Compared, String> {
    let mut all = row(&[
        ("id", "x-1"),
        ("test_case", "gpt/a_case"),
        ("gpu", "A100"),
        ("software_env", "dev"),
        ("nodes", "1"),
        ("gpus_per_node", "8"),
        ("mem_max_allocated_bytes", "2711726592"),
        ("args_json", ARGUMENTS),
    ]);
    all.extend(row(changes));
    compare(&all)
}

#[test]
fn a_row_is_predicted_from_its_arguments() {
    let compared = measured(&[]).expect("the row is complete");
    assert!(compared.error().abs() < 0.01, "{}", compared.error());
}

#[test]
fn what_a_row_lacks_is_named() {
    for column in ["nodes", "gpus_per_node", "mem_max_allocated_bytes", "args_json"] {
        assert_eq!(measured(&[(column, "")]), Err(column.to_owned()), "{column}");
    }
    let refused = |changes: &[(&str, &str)]| measured(changes).expect_err("the row is refused");
    assert!(
        refused(&[("test_case", "t5/t5_11b")]).starts_with("T5"),
        "an encoder"
    );
    let sharded = ARGUMENTS.replace("--deterministic-mode", "--use-megatron-fsdp");
    assert!(
        refused(&[("args_json", &sharded)]).contains("FSDP"),
        "sharded parameters"
    );
    let offloaded = refused(&[("test_case", "moe/fine_grained_offloading")]);
    assert!(offloaded.starts_with("offload-modules"), "{offloaded}");
}

/// Bytes that stand in two rows with other arguments were measured in one of them at most.
#[test]
fn copied_rows_are_named() {
    let text = "id,test_case,gpu,software_env,nodes,gpus_per_node,mem_allocated_bytes,mem_max_allocated_bytes,args_json\n\
                a,x,A100,lts,1,8,1,2,\"{\"\"--attention-backend\"\":\"\"unfused\"\"}\"\n\
                b,y,A100,lts,1,8,1,2,{}\n\
                c,y,A100,dev,1,8,1,2,{}\n";
    let table = table::parse(text).expect("the table reads");
    let names: Vec<String> = copied(&table).into_iter().collect();
    assert_eq!(names, ["a", "b"]);
}

/// The table as a whole: what it must show, and what falls short of it, by name.
#[test]
fn the_published_table() {
    let rows = of(&table("megatron_ci_memory.csv.gz"), Metric::Memory)
        .expect("the table is known")
        .expect("the table reads");
    let of_group = |group: &str| {
        let wanted = |row: &&Row| row.groups.iter().any(|name| name == group);
        summary(rows.iter().filter(wanted))
    };
    let all = of_group("memory, decoders that name their devices");
    assert!(all.n >= 404, "rows {}", all.n);
    assert!(all.coverage >= 0.8, "coverage {}", all.coverage);
    assert!(all.median <= 0.01, "median {}", all.median);
    assert!(all.mape <= 0.02, "mean {}", all.mape);
    let large = of_group("memory, hidden from 4096");
    assert!(large.n >= 3 && large.mape <= 0.04, "{large:?}");
    // What nobody tells: in which runs that went on from a checkpoint Python's collector did not come (0309; see below).
    let low: Vec<&str> = rows
        .iter()
        .filter(|row| row.result.as_ref().is_ok_and(|compared| compared.error() < -0.1))
        .map(|row| &row.id[row.id.len() - 4..])
        .collect();
    assert_eq!(low, ["0309"]);
}

#[test]
fn what_the_driver_says_is_used() {
    let rows = of(&table("training.csv.gz"), Metric::Memory)
        .expect("the table is known")
        .expect("the table reads");
    let all = summary(
        rows.iter()
            .filter(|row| row.groups.iter().any(|name| name == "memory, tier A")),
    );
    assert!(all.coverage >= 0.95 && all.mape <= 0.08, "{all:?}");
    assert!(
        of(&table("training.csv.gz"), Metric::StepTime).is_none(),
        "steps are compared by time unless memory is asked for"
    );
}

/// Runs that went on from a checkpoint beside the first run of the same arguments: four of them hold two moments more to
/// the end, 8 bytes a parameter of the rank's part (63 to 174 MiB), all others nothing. All four are of the days when
/// what was loaded waited for Python's collector, and none of those that it cannot be in.
#[test]
fn what_was_loaded_stays_in_few_resumed_runs() {
    let table = completed();
    let key = |row: &BTreeMap<String, String>| {
        let facts = ["test_case", "software_env", "args_json"].map(|column| field(row, column).to_owned());
        (facts, gpu(row).to_owned())
    };
    let is_resumed = |row: &&BTreeMap<String, String>| field(row, "gpu").ends_with("_2ND");
    let held = |row: &BTreeMap<String, String>| number(row, "mem_allocated_bytes");
    let first: BTreeMap<_, f64> = table
        .rows
        .iter()
        .filter(|row| !is_resumed(row))
        .filter_map(|row| Some((key(row), held(row)?)))
        .collect();
    let (mut resumed, mut possible, mut kept) = (0, 0, Vec::new());
    for row in table.rows.iter().filter(is_resumed) {
        let (Some(held), Some(before), Ok(case)) = (held(row), first.get(&key(row)), Case::of(row)) else {
            continue;
        };
        resumed += 1;
        possible += usize::from(may_keep_loaded(row));
        let parts = case.parts();
        let states = parts.iter().find(|part| part.name == "optimizer states");
        // Master parameters and two moments of 4 bytes each.
        let moments = states.expect("every rank has some").bytes.as_f64() * 2.0 / 3.0;
        let more = (held - before) / moments;
        if more > 0.5 {
            assert!(
                (more - 1.0).abs() < 0.05,
                "{}: {more} of two moments",
                field(row, "id")
            );
            assert!(may_keep_loaded(row), "{}: {row:?}", field(row, "id"));
            kept.push(field(row, "id"));
        }
    }
    assert!(resumed > 60 && possible < resumed, "{possible} of {resumed}");
    assert_eq!(
        kept,
        ["mcoreci-0187", "mcoreci-0309", "mcoreci-0317", "mcoreci-0371"]
    );
}

/// The row whose number is `id`.
fn of_id<'t>(table: &'t Table, id: &str) -> &'t BTreeMap<String, String> {
    let mut rows = table.rows.iter();
    rows.find(|row| field(row, "id").ends_with(id))
        .expect("it is there")
}

/// The published table with what is told beside it.
fn completed() -> Table {
    let file = table("megatron_ci_memory.csv.gz");
    let read = |text: Result<String, String>| table::parse(&text?);
    let mut all = read(table::text(&file)).expect("it reads");
    let told = recorded::told(&file).expect("what is beside it reads");
    assert_eq!(told.rows.len(), all.rows.len(), "every row is told of");
    recorded::complete(&mut all, &told).expect("it is told as JSON");
    all
}

/// 12 layers of 12 · 512² + 13 · 512, embeddings of 50,304 and 1,024 positions by 512, and a last norm: 64.2 M parameters
/// on eight ranks that share the optimiser, two moments of 4 bytes each.
#[test]
fn a_resumed_run_may_hold_what_it_loaded() {
    let parameters = f64::from(12 * (12 * 512 * 512 + 13 * 512) + (50_304 + 1024) * 512 + 2 * 512);
    let resumed = ARGUMENTS.replace("\"--bf16\"", "\"--ckpt-format\":\"torch_dist\",\"--bf16\"");
    let then = [
        ("gpu", "A100_2ND"),
        ("recorded", "2026-01-16"),
        ("args_json", resumed.as_str()),
    ];
    let with = |changes: &[(&str, &str)]| measured(changes).expect("the row is complete");
    let changed = |change: (&str, &str)| {
        let is_other = |(name, value): &(&'static str, &str)| {
            (
                *name,
                if *name == change.0 {
                    change.1.to_owned()
                } else {
                    (*value).to_owned()
                },
            )
        };
        let cells: Vec<(&str, String)> = then.iter().map(is_other).collect();
        let cells: Vec<(&str, &str)> = cells
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        with(&cells)
    };
    let plain = changed(("recorded", "2026-02-24"));
    let more = (with(&then).high - plain.high) / parameters;
    assert!((more - 1.0).abs() < 0.01, "{more} bytes a parameter");
    assert_eq!(
        (with(&then).low, with(&then).predicted),
        (plain.low, plain.predicted)
    );
    let parallel = resumed.replace("\"--bf16\"", "\"--ckpt-fully-parallel-load\":true,\"--bf16\"");
    for change in [
        ("gpu", "A100"),
        ("args_json", ARGUMENTS),
        ("args_json", &parallel),
    ] {
        assert_eq!(changed(change), plain, "{change:?}");
    }
}

/// Maxima of the fused loss that stood in the repository, of the same arguments on A100: 4,096 tokens by half of 50,304 in
/// FP32 is a copy of 393 MiB.
#[test]
fn a_fused_loss_follows_its_compiler() {
    let arguments = ARGUMENTS
        .replace("\"--use-distributed-optimizer\":true,\"--deterministic-mode\":true", "\"--cross-entropy-loss-fusion\":true,\"--tensor-model-parallel-size\":2,\"--pipeline-model-parallel-size\":2");
    for (image, bytes) in [
        ("24.01", "2658189824"),
        ("24.10", "2245028864"),
        ("25.09", "1772628480"),
    ] {
        let cells = [
            ("image", image),
            ("mem_max_allocated_bytes", bytes),
            ("args_json", arguments.as_str()),
        ];
        let error = measured(&cells).expect("the row is complete").error();
        assert!((-0.03..0.0).contains(&error), "{image}: {error}");
    }
}

/// What an image cannot repeat in one kernel it computes in many: of 4 sequences and 8 heads by 1,024² scores 160 MiB a
/// layer stay, less the fused core's 4 + 0.125 MiB.
#[test]
fn an_old_core_keeps_its_scores_where_results_must_repeat() {
    let of = |image| {
        measured(&[("image", image)])
            .expect("the row is complete")
            .predicted
    };
    let more = (of("24.01") - of("24.10")) / f64::from(1 << 20);
    assert!((more - 12.0 * (160.0 - 4.125)).abs() < 0.01, "{more}");
}

/// States of Muon on the last rank, by hand, and all that is held between steps beside what was measured then.
///
/// 12 layers of 512 with 8 experts of 1,024: vectors of 512 (50), routers of 4,096, projections of 512² and 3 · 512²,
/// positions of 1,024 · 512, and an embedding of 50,304 · 512: 88 tensors that are not experts, of which eight ranks deal
/// the last one six vectors, two routers, two projections and, as the 88th, the embedding; four ranks deal it four of each
/// but the embedding, and eight of the experts' matrices lie on one rank.
#[test]
fn muon_has_one_momentum_for_a_matrix() {
    let (out, qkv, embedding) = (512 * 512, 3 * 512 * 512, 50_304 * 512);
    let expert = 12 * 2 * 512 * 1024;
    let all = 12 * (out + qkv + 4096) * 8 + (embedding + 1024 * 512 + 50 * 512) * 12;
    let by_hand = [
        (
            "0575",
            (2 * 4096 + 2 * out + expert) * 8 + (6 * 512 + embedding) * 12,
        ),
        (
            "0577",
            (4 * 4096 + 2 * out + 4 * qkv + 2 * expert) * 8 + 12 * 512 * 12,
        ),
        ("0587", all + expert * 8),
    ];
    let table = completed();
    for (id, states) in by_hand {
        let row = of_id(&table, id);
        let parts = Case::of(row).expect("it is complete").parts();
        let of = |name| {
            parts
                .iter()
                .find(|part| part.name == name)
                .map(|part| part.bytes.as_f64())
        };
        assert_eq!(of("optimizer states"), Some(f64::from(states)), "{id}");
        let still = ["parameters and gradients", "optimizer states", "workspaces"]
            .map(|name| of(name).unwrap_or(0.0));
        let held = number(row, "mem_allocated_bytes").expect("it was measured");
        let share = still.iter().sum::<f64>() / held;
        assert!((0.95..1.0).contains(&share), "{id}: {share}");
    }
}

/// Of a run that went on from a checkpoint in parts: 12 layers with four experts of two matrices of 512 by 2,048 on a rank,
/// halved, whose fellows have four others: 50.3 M parameters in BF16 and FP32 with two moments, and the states of half of the
/// rest, 19.8 M. Its first run has none, nor one whose optimiser is one group: the parameters alone.
#[test]
fn shards_that_others_need_pass_through_a_resumed_run() {
    let table = completed();
    let of = |id: &str| {
        let row = of_id(&table, id);
        let parts = Case::of(row).expect("it is complete").parts();
        let found = parts
            .iter()
            .find(|part| part.name == "shards exchanged while loading");
        found.expect("every run has the part").bytes.as_f64()
    };
    let experts = f64::from(12 * 4 * 2 * 512 * 2048 / 2);
    let all = experts * 14.0 + 19.8e6 * 6.0;
    for resumed in ["0519", "0521"] {
        assert!(
            (of(resumed) / all - 1.0).abs() < 0.01,
            "{resumed}: {} {all}",
            of(resumed)
        );
    }
    // On the second of two stages: 6 layers of four whole experts.
    assert!(
        (of("0499") / (experts * 2.0) - 1.0).abs() < 1e-9,
        "{}",
        of("0499")
    );
    assert!(of("0520") + of("0498") < 1.0, "first runs load nothing");
    for id in ["0497", "0499", "0519", "0521"] {
        let row = of_id(&table, id);
        let compared = compare(row).expect("it is complete");
        assert!(
            compared.low < compared.measured && compared.measured < compared.high,
            "{id}: {compared:?}"
        );
    }
}
