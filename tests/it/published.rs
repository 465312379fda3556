//! Model FLOPs against published rows: at the measured step time, our count gives the printed rate.

use std::collections::BTreeMap;

use orrery_workload::lower::{ModelFlops, model_flops};

use crate::support::{near, plan, table};

/// How a row counts attention.
#[derive(Clone, Copy)]
enum Attention {
    /// Half of the pairs.
    Causal,
    /// All pairs.
    Full,
}

struct Case {
    /// Row of `tests/truth/training.csv.gz`.
    row: &'static str,
    /// Name in the catalogue of models.
    model: &'static str,
    /// What the row's `flops_def` must begin with.
    definition: &'static str,
    attention: Attention,
    /// Rate in TFLOP/s a device; the row's own column where absent.
    rate: Option<f64>,
}

const CASES: [Case; 8] = [
    // Printed: 385, and 432 with attention in full, both without the trained MTP module.
    Case {
        row: "misc-010",
        model: "deepseek-v3",
        definition: "half-attn",
        attention: Attention::Causal,
        rate: None,
    },
    Case {
        row: "misc-010",
        model: "deepseek-v3",
        definition: "half-attn",
        attention: Attention::Full,
        rate: Some(432.0),
    },
    Case {
        row: "korth-004",
        model: "gpt3-175b",
        definition: "korthikanti (full attention)",
        attention: Attention::Full,
        rate: None,
    },
    Case {
        row: "nemo-011",
        model: "llama3-8b",
        definition: "full-attn",
        attention: Attention::Full,
        rate: None,
    },
    Case {
        row: "nemo-012",
        model: "llama3-70b",
        definition: "full-attn",
        attention: Attention::Full,
        rate: None,
    },
    Case {
        row: "mbridge-007",
        model: "qwen3-30b-a3b",
        definition: "mbridge-half",
        attention: Attention::Causal,
        rate: None,
    },
    Case {
        row: "mbridge-009",
        model: "qwen3-235b-a22b",
        definition: "mbridge-half",
        attention: Attention::Causal,
        rate: None,
    },
    Case {
        row: "mbridge-033",
        model: "llama3-405b",
        definition: "mbridge-half",
        attention: Attention::Causal,
        rate: None,
    },
];

/// FLOPs of one sequence of the row's length; the layout does not matter to a count.
fn per_sequence(model: &str, sequence: &str) -> ModelFlops {
    let text = format!(
        "schema = \"scenario/1\"\n[scenario]\nname = \"count\"\nkind = \"training\"\n\
         [model]\nfrom = \"catalog\"\nname = \"{model}\"\n[model.override]\nmtp_layers = 0\n\
         [cluster]\nnodes = 1\n[cluster.node]\ngpu = \"H100-SXM5-80GB\"\ngpus = 1\n\
         [training]\nseq_len = {sequence}\nglobal_batch = 1\n"
    );
    model_flops(&plan(&text, &[]))
}

#[test]
fn model_flops_at_the_measured_step_are_the_printed_rates() {
    let rows = table("training.csv.gz");
    let mut faults = Vec::new();
    for case in &CASES {
        let row: &BTreeMap<String, String> = rows
            .iter()
            .find(|row| row["id"] == case.row)
            .unwrap_or_else(|| panic!("no row {}", case.row));
        assert!(
            row["flops_def"].starts_with(case.definition),
            "{}: {}",
            case.row,
            row["flops_def"]
        );
        let number = |column: &str| {
            row[column]
                .parse::<f64>()
                .unwrap_or_else(|_| panic!("{}: {column}", case.row))
        };
        let flops = per_sequence(case.model, &row["seq"]);
        let flops = match case.attention {
            Attention::Causal => flops.causal,
            Attention::Full => flops.full_attention,
        };
        let rate = flops.get() * number("gbs") / number("step_time_s") / number("gpus") / 1e12;
        let printed = case.rate.unwrap_or_else(|| number("tflops_per_gpu"));
        if !near(rate, printed, 0.01) {
            let off = (rate / printed - 1.0) * 100.0;
            faults.push(format!(
                "{} {}: {rate:.1}, printed {printed} ({off:+.1} %)",
                case.row, case.model
            ));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
