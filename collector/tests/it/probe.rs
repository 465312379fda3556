//! The probe that runs in a container: its plan, what it says where it cannot run, and the profile that it writes.

use std::path::PathBuf;
use std::process::{Command, Output};

use orrery_profile::{OpClass, Profile};

use crate::process::ended;
use crate::skips::skip;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// None, and noted, without Python.
fn python(arguments: &[&str]) -> Option<Output> {
    let output = Command::new("python3")
        .args(arguments)
        .current_dir(root())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output();
    match output {
        Ok(output) => Some(output),
        Err(fault) => {
            skip("python3", &fault.to_string());
            None
        }
    }
}

const PROBE: &str = "kernels/probe/orrery_probe.py";

#[test]
fn the_plan_needs_no_torch_and_names_every_library() {
    let Some(output) = python(&["-W", "error", PROBE, "--plan"]) else {
        return;
    };
    let (code, out, words) = ended(&output);
    assert_eq!((code, words.as_str()), (Some(0), ""), "{out}");
    for part in [
        "cublaslt-gemm-bf16-dgrad-8192x8192x8192",
        "te-gemm-fp8-backward",
        "flash-attn-attention_forward",
        "deepgemm-grouped_gemm-fp8-forward",
        "torch-grouped-mm-grouped_gemm-bf16-wgrad",
        " measurements, about ",
    ] {
        assert!(out.contains(part), "`{part}` is missing:\n{out}");
    }
}

#[test]
fn without_torch_it_says_what_to_do() {
    // `-S` hides what pip has installed, on machines that have a torch.
    let Some(output) = python(&["-S", "-E", PROBE]) else {
        return;
    };
    let (code, _, words) = ended(&output);
    assert_eq!(code, Some(3), "{words}");
    assert!(
        words.contains("torch cannot be imported") && words.contains("= help:"),
        "{words}"
    );
}

/// Times made from a law go through the probe's own fit and come out as a profile that this house reads.
#[test]
fn its_curves_are_a_profile() {
    let script = r#"
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location("probe", "kernels/probe/orrery_probe.py")
probe = importlib.util.module_from_spec(spec)
spec.loader.exec_module(probe)
sheet = probe.sheet_of("NVIDIA H100 80GB HBM3")
rows = [(case, 2e-6 + 1.3 * max(probe.flops(case) / 989e12, probe.moved(case) / 3.35e12)) for case in probe.cases()]
place = lambda group: {"measured_by": "node-7", "source": "x", "rows": "", "date": "2026-11-30", "version": "1", "note": ""}
curves = probe.curves(rows, sheet, 132, place)
print(json.dumps({"schema": probe.SCHEMA, "name": "x", "device": sheet[0], "stacks": [], "date": "2026-11-30", "notes": [],
    "kernels": curves, "collectives": [], "ratios": [], "exchanges": []}))
"#;
    let Some(output) = python(&["-c", script]) else {
        return;
    };
    let (code, out, words) = ended(&output);
    assert_eq!(code, Some(0), "{words}");
    let profile = Profile::from_json(&out).unwrap_or_else(|fault| panic!("{fault}"));
    assert_eq!(profile.check_device("H100-SXM5-80GB"), Ok(()));
    for (op, source) in [
        (OpClass::Gemm, "cublaslt"),
        (OpClass::GroupedGemm, "torch-grouped-mm"),
        (OpClass::GemmWeight, "cublaslt"),
        (OpClass::AttentionForward, "flash-attn"),
        (OpClass::AttentionBackward, "flash-attn"),
        (OpClass::MemoryPass, "torch"),
    ] {
        let curve = profile.kernels_of(op).next().unwrap_or_else(|| panic!("{op:?}"));
        assert_eq!(
            (
                curve.kernel_source.as_str(),
                curve.provenance.measured_by.as_str()
            ),
            (source, "node-7")
        );
        assert!(curve.fitted.mape < 0.25, "{op:?}: {:?}", curve.fitted);
    }
    assert!(
        profile
            .kernels
            .iter()
            .any(|curve| curve.kernel_source == "deepgemm"),
        "every source has its own curve"
    );
}

/// The bounds of a run on a device, on results that are made up here: what holds, what fails, what was not measured.
#[test]
fn bounds_tell_what_holds_from_what_was_not_measured() {
    let folder = tempfile::tempdir().unwrap();
    let record = |id: &str, picos: u64| {
        format!(
            "{{\"id\":\"{id}\",\"measured\":{{\"p50_picos\":{picos},\"error\":0.002,\"clock_hertz\":1.7e9}}}}\n"
        )
    };
    // 8192 cubed at 700 TFLOP/s, in 8 bits at 1400; a grouped product of 240 GFLOP at 630 TFLOP/s, in 8 bits at 900, which is
    // less than its share of the product of 8 bits; copies of 1 GiB at 3 TB/s.
    let lines = [
        "{}\n".to_owned(),
        record("dense-bf16-8192x8192x8192-sustained", 1_570_730_000),
        record("dense-fp8-8192x8192x8192-sustained", 785_365_000),
        record("grouped-bf16-8x512x4096x7168-sustained", 381_770_000),
        record("grouped-fp8-8x512x4096x7168-sustained", 267_240_000),
        record("library-grouped-bf16-8x512x4096x7168-sustained", 900_000_000),
        record("copy-1073741824-sustained", 715_827_883),
        record("swiglu-32768x2048-sustained", 300_000_000),
    ];
    for run in ["run-1", "run-2"] {
        let path = folder.path().join(format!("{run}.profile.json.measured.jsonl"));
        std::fs::write(path, lines.concat()).unwrap();
    }
    let text = folder.path().to_string_lossy().into_owned();
    let Some(output) = python(&["tests/gpu/bounds.py", &text]) else {
        return;
    };
    let (code, out, words) = ended(&output);
    let line = |part: &str| {
        out.lines()
            .find(|line| line.contains(part))
            .unwrap_or_else(|| panic!("{part}: {out}{words}"))
    };
    assert!(line("grouped-bf16-8x512x4096x7168").ends_with("holds"), "{out}");
    assert!(line("grouped-fp8-8x512x4096x7168").ends_with("FAILS"), "{out}");
    assert!(
        !out.contains("library-grouped"),
        "the baseline has no bound: {out}"
    );
    assert!(line("swiglu over copy").ends_with("FAILS"), "{out}");
    assert!(line("gather over copy").ends_with("not measured"), "{out}");
    assert!(line("run-to-run band").ends_with("holds"), "{out}");
    assert!(line("MFU by clock").ends_with("not measured"), "{out}");
    assert_eq!(code, Some(1), "{out}{words}");
}
