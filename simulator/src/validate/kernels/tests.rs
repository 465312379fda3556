//! Reduced tables, predicted end to end; what may not be known is not.

use std::path::PathBuf;

use super::*;
use crate::validate::{self, Summary, summary, table};

/// The rows of a table of tests/truth that `keep` keeps.
fn reduced(name: &str, keep: impl Fn(&BTreeMap<String, String>) -> bool) -> Vec<Entry> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/truth")
        .join(name);
    let mut table = table::parse(&table::text(&path).unwrap()).unwrap();
    table.rows.retain(keep);
    entries(&table, name).expect("a table of kernels")
}

fn errors(rows: &[Row], group: &str) -> Summary {
    summary(
        rows.iter()
            .filter(|row| row.groups.iter().any(|name| name == group)),
    )
}

/// One library on one device: median within 6 % and nine tenths within 20 %, by shape.
#[test]
fn products_are_predicted_without_their_shape() {
    let entries = reduced("aic_gemm.csv.gz", |row| {
        row["system"] == "h100_sxm" && row["framework"] == "TRTLLM" && row["gemm_dtype"] == "fp8"
    });
    let rows = rows(entries, KernelsBy::Shape, &mut |_, _| true);
    let summary = errors(&rows, "kernels GEMM");
    assert_eq!(summary.n, 622, "every row");
    assert!(summary.median < 0.06 && summary.p90 < 0.20, "{summary:?}");
    assert!((0.6..0.95).contains(&summary.interval_coverage), "{summary:?}");
}

/// The other phases and kernels, on a part of their rows.
#[test]
fn attention_and_experts_are_predicted_without_their_shape() {
    let latent = reduced("aic_mla_h100.csv.gz", |row| {
        row["phase"] == "generation" && row["kv_cache_dtype"] == "bfloat16" && row["batch_size"].len() < 2
    });
    let latent = rows(latent, KernelsBy::Shape, &mut |_, _| true);
    let latent = errors(&latent, "kernels MLA generation");
    assert!(
        latent.n > 300 && latent.median < 0.06 && latent.p90 < 0.20,
        "{latent:?}"
    );
    let experts = reduced("aic_moe_kernels.csv.gz", |row| {
        row["system"] == "h200_sxm"
            && row["kernel_source"] == "moe_torch_flow_cutlass"
            && row["moe_dtype"] == "fp8"
    });
    let experts = rows(experts, KernelsBy::Shape, &mut |_, _| true);
    let experts = errors(&experts, "kernels MoE");
    assert!(
        experts.n == 972 && experts.median < 0.06 && experts.p90 < 0.20,
        "{experts:?}"
    );
}

/// The rows that a rank of 8 was given of 16,384 tokens of 8 of 256 experts: all where the collector kept tokens whole
/// (SGLang 0.5.10), an eighth in its older table of B200 and where TensorRT-LLM is given them.
#[test]
fn a_rank_is_given_what_its_collector_gave_it() {
    let entries = reduced("kernels_aic.csv.gz", |row| {
        row["op"] == "fused_moe_local"
            && row["experts"] == "256"
            && row["ep"] == "8"
            && row["tokens"] == "16384"
            && (row["impl"].contains("0.5.10 sglang_fused_moe_triton") || row["impl"].contains("1.3.0rc10"))
    });
    assert_eq!(entries.len(), 14, "eight devices and six");
    for entry in entries {
        let known = entry.known.expect("a row of the law");
        let Call::Experts(call) = &known.call else {
            panic!("{} has no experts", entry.id);
        };
        let is_whole = known.release.starts_with("sglang") && !known.device.starts_with("B200");
        let expected = if is_whole { 131_072.0 } else { 16_384.0 };
        assert!(
            (call.load.rows - expected).abs() < 1e-6,
            "{} {}: {} rows, not {expected}",
            known.device,
            known.release,
            call.load.rows
        );
    }
}

/// Four shapes alone, of two libraries of which one has two kernels for a new token: each told from the other three.
#[test]
fn attention_of_one_device_is_predicted_without_its_shape() {
    let entries = reduced("aic_attention_h100.csv.gz", |_| true);
    let rows = rows(entries, KernelsBy::Shape, &mut |_, _| true);
    let summary = errors(&rows, "kernels attention");
    assert_eq!(summary.n, 4141, "every row");
    assert!(summary.median < 0.06 && summary.p90 < 0.20, "{summary:?}");
}

/// Times of the shape or device that is left out are not read: were they all twice as long, the predictions would be
/// the same.
#[test]
fn what_is_left_out_is_not_read() {
    let keep = |row: &BTreeMap<String, String>| {
        row["framework"] == "TRTLLM" && row["gemm_dtype"] == "bfloat16" && row["m"].ends_with("6")
    };
    let twice = |left_out: &dyn Fn(&Known) -> bool| {
        let mut entries = reduced("aic_gemm.csv.gz", keep);
        for entry in &mut entries {
            if let Ok(known) = &mut entry.known
                && left_out(known)
            {
                known.measured *= 2.0;
            }
        }
        entries
    };
    let predicted = |entries: Vec<Entry>, by, left_out: &dyn Fn(&Known) -> bool| -> Vec<f64> {
        let asked: Vec<bool> = entries
            .iter()
            .map(|entry| entry.known.as_ref().is_ok_and(left_out))
            .collect();
        let rows = rows(entries, by, &mut |_, _| true);
        rows.iter()
            .zip(asked)
            .filter(|(_, asked)| *asked)
            .map(|(row, _)| {
                row.result
                    .as_ref()
                    .map_or(f64::NAN, |compared| compared.predicted)
            })
            .collect()
    };
    let shape = |known: &Known| known.shape == "  4096   7168";
    let device = |known: &Known| known.device.starts_with("B200");
    let none = |_: &Known| false;
    for (by, left_out) in [
        (KernelsBy::Shape, &shape as &dyn Fn(&Known) -> bool),
        (KernelsBy::Device, &device),
    ] {
        let plain = predicted(twice(&none), by, left_out);
        assert!(
            !plain.is_empty() && plain.iter().all(|time| *time > 0.0),
            "{by:?}"
        );
        assert_eq!(plain, predicted(twice(left_out), by, left_out), "{by:?}");
    }
}

/// A device whose rows were copied from another's is no witness of it: with two tables of the same times there is
/// nothing to predict either from.
#[test]
fn a_copied_table_is_no_other_device() {
    let entries = reduced("kernels_aic.csv.gz", |row| {
        row["op"] == "gemm" && row["dtype"] == "bfloat16" && ["B300", "GB300"].contains(&row["gpu"].as_str())
    });
    let known: Vec<&Known> = entries
        .iter()
        .filter_map(|entry| entry.known.as_ref().ok())
        .collect();
    let of = |name: &str| -> Vec<&Known> {
        known
            .iter()
            .filter(|known| known.device.starts_with(name))
            .copied()
            .collect()
    };
    let same = of("B300")
        .iter()
        .filter(|a| {
            of("GB300")
                .iter()
                .any(|b| b.question == a.question && b.measured.to_bits() == a.measured.to_bits())
        })
        .count();
    let copied = same * 2 > of("B300").len();
    let rows = rows(entries.clone(), KernelsBy::Device, &mut |_, _| true);
    assert_eq!(
        rows.iter().all(|row| row.result.is_err()),
        copied,
        "{same} times are the same"
    );
}

/// Tables are known by their columns, alone or among others, and a row says what it lacks.
#[test]
fn tables_are_known_by_their_columns() {
    let text = "system,framework,version,kernel_source,gemm_dtype,m,n,k,latency_ms\n\
                h100_sxm,A,1,b,bfloat16,8,4096,4096,0.02\n\
                h100_sxm,A,1,b,int3,8,4096,4096,0.02\n\
                tpu_v9,A,1,b,bfloat16,8,4096,4096,0.02\n\
                h100_sxm,A,1,b,bfloat16,8,4096,4096,\n";
    let found = entries(&table::parse(text).unwrap(), "mine").expect("a table of products");
    let said: Vec<String> = rows(found, KernelsBy::Shape, &mut |_, _| true)
        .into_iter()
        .map(|row| row.result.expect_err("nothing can be predicted"))
        .collect();
    assert_eq!(
        said,
        [
            "kernels GEMM: no other shape of this kernel was measured",
            "`int3` is no format of the law",
            "`tpu_v9` is not in the catalogue",
            "no `latency_ms`",
        ],
        "reasons"
    );
    let steps = table::parse("id,source,step_time_s\n1,a,2\n").unwrap();
    assert!(entries(&steps, "steps").is_none(), "a table of steps");
    // The outcome names what is compared.
    let outcome = validate::Outcome {
        rows: rows(
            entries(&table::parse(text).unwrap(), "mine").unwrap_or_default(),
            KernelsBy::Device,
            &mut |_, _| true,
        ),
        ..validate::Outcome::default()
    };
    let row = &validate::json(&outcome)["rows"][0];
    assert_eq!(row["id"], "mine/1", "{row}");
    assert_eq!(row["metric"], METRIC, "{row}");
}
