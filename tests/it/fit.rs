//! `orrery fit`: measured steps in, parameters out, and back into a scenario.

use crate::command::orrery;

const HEADER: &str = "model,gpu,gpus,tp,pp,cp,ep,mbs,gbs,seq,precision,stack,step_time_s\n";
const STEP: &str = "llama3-8b,H100,8,1,1,1,1,1,128,8192,BF16,nemo,";
const SCENARIO: &str = "schema = \"scenario/1\"\n[scenario]\nname = \"own\"\ntitle = \"own\"\nkind = \"training\"\n\
    [model]\nfrom = \"catalog\"\nname = \"llama3-8b\"\n[cluster]\nnodes = 1\n[cluster.node]\ngpu = \"H100\"\n\
    [training]\nseq_len = 8192\nglobal_batch = 128\nmicro_batch = 1\nsteps = 2\nwarmup_steps = 1\nprecision = \"bf16\"\n\
    [stack]\nname = \"nemo\"\n";

fn write(folder: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).expect("a temporary file can be written");
    path.to_string_lossy().into_owned()
}

/// A step that took a fifth longer than predicted moves the platform's parameters, and a scenario that names the written
/// set then takes longer too: for one step a good part of the way, for one step may be off by itself.
#[test]
fn one_measured_step_moves_its_platform_and_a_scenario_follows() {
    let root = crate::tidy::root();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let set = folder.path().join("own.json").to_string_lossy().into_owned();
    let step = |tuning: &str| -> f64 {
        let text = format!("{SCENARIO}{tuning}");
        let path = write(&folder, "own.scenario.toml", &text);
        let out = folder.path().join("run").to_string_lossy().into_owned();
        let ran = orrery(&root, &["run", &path, "--out", &out, "--format", "json"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let run: serde_json::Value = serde_json::from_str(&ran.out).expect("it is JSON");
        run["metrics"]["train.step_time.mean"]
            .as_f64()
            .expect("a step was simulated")
    };
    let before = step("");
    let measured = before * 1.2;
    let table = write(&folder, "own.csv", &format!("{HEADER}{STEP}{measured}\n"));
    let fitted = orrery(&root, &["fit", "--anchor", &table, "-o", &set]);
    assert_eq!(fitted.code, 0, "{}", fitted.err);
    assert!(fitted.err.contains("measured"), "{}", fitted.err);
    assert!(
        fitted.out.contains("products"),
        "parameters are printed: {}",
        fitted.out
    );
    let after = step("[calibration]\ntuning = \"own.json\"\n");
    let way = (after - before) / (measured - before);
    assert!(
        (0.4..1.05).contains(&way),
        "{before} s, {after} s, measured {measured} s"
    );

    // A stored run is a measurement as well.
    let run = folder.path().join("run").to_string_lossy().into_owned();
    let stored = orrery(&root, &["fit", "--anchor", &run]);
    assert_eq!(stored.code, 0, "{}", stored.err);
    assert!(
        stored.out.contains("tuning/1"),
        "the set is the result: {}",
        stored.out
    );
}

#[test]
fn what_cannot_be_fitted_names_the_fix() {
    let root = crate::tidy::root();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let bare = orrery(&root, &["fit"]);
    assert_eq!(bare.code, 2, "{}", bare.err);
    assert!(bare.err.contains("--anchor run.json"), "{}", bare.err);
    let mistyped = [
        "fit",
        "--data",
        "tests/truth/training.csv.gz",
        "--without",
        "misc-010,korth-04",
    ];
    let mistyped = orrery(&root, &mistyped);
    assert_eq!(mistyped.code, 2, "{}", mistyped.err);
    assert!(
        mistyped.err.contains("`--without korth-04`") && mistyped.err.contains("korth-004"),
        "{}",
        mistyped.err
    );
    let short = write(&folder, "short.csv", "model,gpu\nllama3-8b,H100\n");
    let short = orrery(&root, &["fit", "--anchor", &short]);
    assert_eq!(short.code, 3, "{}", short.err);
    assert!(
        short.err.contains("no column `gpus") && short.err.contains("help"),
        "{}",
        short.err
    );
    let sweep = "tests/truth/nccl/h100_dgx_1n8g_all_reduce.csv";
    let alone = orrery(&root, &["fit", "--anchor", sweep]);
    assert_eq!(alone.code, 3, "{}", alone.err);
    assert!(alone.err.contains("no measured step"), "{}", alone.err);
    let step = write(&folder, "own.csv", &format!("{HEADER}{STEP}10\n"));
    let both = orrery(&root, &["fit", "--anchor", &step, sweep]);
    assert_eq!(both.code, 0, "{}", both.err);
    assert!(both.err.contains("collectives alone: Tensor"), "{}", both.err);
    let empty = write(
        &folder,
        "empty.csv",
        &format!("{HEADER}llama3-8b,H100,8,1,1,1,1,,128,8192,BF16,nemo,10\n"),
    );
    let empty = orrery(&root, &["fit", "--anchor", &empty]);
    assert!(empty.err.contains("line 2 does not say `mbs`"), "{}", empty.err);
}
