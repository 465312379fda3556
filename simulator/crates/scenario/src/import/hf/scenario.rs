//! A config as a complete scenario.

use super::read_config;
use crate::import::{Line, Report};

/// A scenario made from a config, and how.
#[derive(Clone, Debug)]
pub struct HfImport {
    /// The scenario, complete and valid.
    pub scenario: String,
    /// What was read, derived and assumed.
    pub report: Report,
}

/// A training scenario for the model of `config`, which will stand at `path` relative to the scenario.
///
/// What a config does not say (cluster, layout, batch) is assumed by name, to be edited. With
/// `params_b`, the published parameters in 10^9, the count is checked.
///
/// # Errors
/// Why the config cannot be read or modelled.
pub fn hf(config: &str, path: &str, params_b: Option<f64>) -> Result<HfImport, String> {
    let read = read_config(config)?;
    let name = read.family.replace('_', "-");
    let model = read.fields.build(&name).map_err(|faults| {
        let faults: Vec<String> = faults.into_iter().map(|fault| fault.message).collect();
        faults.join("; ")
    })?;
    let mut report = read.report;
    #[expect(clippy::cast_precision_loss, reason = "shown to three digits")]
    let counted = model.parameters().total() as f64 / 1e9;
    report.derived.push(Line::new(
        "parameters",
        format!("{counted:.3} B"),
        "counted, prediction modules left out",
    ));
    let experts = crate::validate::num_experts(&model);
    let ep = experts.map_or(1, |experts| largest_power_of_two_divisor(experts).min(8));
    let heads = model.layers.first().map_or(1, |layer| layer.attention.heads());
    let tp = if experts.is_some() {
        1
    } else {
        largest_power_of_two_divisor(heads).min(8)
    };
    let precision = if read.dtype.as_deref() == Some("fp8") {
        "fp8"
    } else {
        "bf16"
    };
    for (field, value) in [
        ("cluster", "8 nodes of H100-SXM5-80GB".to_owned()),
        ("parallel", format!("tp {tp}, ep {ep}, zero_stage 1")),
        ("training", "seq_len 4096, global_batch 512".to_owned()),
    ] {
        report.assumed.push(Line::new(
            field,
            value,
            "a config says nothing of it: edit the scenario",
        ));
    }
    let params = params_b.map_or_else(String::new, |params| format!("params_b = {params:?}\n"));
    let scenario = format!(
        "schema = \"scenario/1\"\n\n[scenario]\nname = \"{name}\"\ntitle = \"{name}, {counted:.1} B parameters\"\n\
         kind = \"training\"\n\n[model]\nfrom = \"hf-config\"\npath = \"{path}\"\nname = \"{name}\"\n{params}\n\
         # Everything below is assumed: a config describes the model alone.\n\
         [cluster]\nnodes = 8\n\n[cluster.node]\ngpu = \"H100-SXM5-80GB\"\n\n\
         [parallel]\ntp = {tp}\nep = {ep}\ndp = \"auto\"\nzero_stage = 1\n\n\
         [training]\nseq_len = 4096\nglobal_batch = 512\nmicro_batch = 1\nprecision = \"{precision}\"\n\
         recompute = \"none\"\n"
    );
    Ok(HfImport { scenario, report })
}

fn largest_power_of_two_divisor(number: u64) -> u64 {
    if number == 0 {
        1
    } else {
        1 << number.trailing_zeros()
    }
}
