//! Large runs predicted from small ones.

use std::collections::BTreeMap;

use super::{Step, fit};

/// Devices of the largest runs that are fitted to.
pub const SMALL: f64 = 256.0;

/// The largest run of a family: one model on one kind of device under one stack.
#[derive(Clone, Debug, PartialEq)]
pub struct LargestRun {
    /// Model, device and stack.
    pub family: String,
    /// Devices of the run.
    pub devices: f64,
    /// Rows of that size: releases and number formats.
    pub rows: usize,
    /// Mean of `predicted / measured − 1` over them.
    pub bias: f64,
    /// Mean of the absolute errors.
    pub mape: f64,
}

/// The largest run of every family that has runs on both sides of [`SMALL`], predicted by the closed form with parameters
/// fitted on the small runs of all families.
#[must_use]
pub fn scale_up(steps: &[Step]) -> Vec<LargestRun> {
    let is_small = |step: &&Step| devices(step) <= SMALL;
    let small: Vec<&Step> = steps.iter().filter(is_small).collect();
    let largest = largest(steps);
    if small.is_empty() || largest.is_empty() {
        return Vec::new();
    }
    let set = fit(&small);
    let run = |(family, runs): (String, Vec<&Step>)| {
        let errors: Vec<f64> = runs
            .iter()
            .map(|step| step.residual(&step.tuning(&set)).exp_m1())
            .collect();
        let count = f64::from(u32::try_from(errors.len()).unwrap_or(u32::MAX));
        LargestRun {
            family,
            devices: devices(runs[0]),
            rows: errors.len(),
            bias: errors.iter().sum::<f64>() / count,
            mape: errors.iter().map(|error| error.abs()).sum::<f64>() / count,
        }
    };
    largest.into_iter().map(run).collect()
}

/// The runs of the largest size of each family that has some on both sides.
fn largest(steps: &[Step]) -> BTreeMap<String, Vec<&Step>> {
    let mut families: BTreeMap<String, Vec<&Step>> = BTreeMap::new();
    for step in steps {
        let family = ["model", "gpu", "stack"].map(|fact| step.fact(fact)).join(" | ");
        families.entry(family).or_default().push(step);
    }
    families.retain(|_, runs| {
        let is_small = runs.iter().any(|step| devices(step) <= SMALL);
        let most = runs.iter().map(|step| devices(step)).fold(0.0, f64::max);
        runs.retain(|step| devices(step) >= most);
        is_small && most > SMALL
    });
    families
}

fn devices(step: &Step) -> f64 {
    step.fact("gpus").parse().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::training_steps_of;

    /// Three sizes of two families: one has no small run, and of the other the largest is kept alone.
    #[test]
    fn families_need_runs_on_both_sides() {
        let table = "id,model,arch,layers,hidden,ffn,heads,kv_heads,vocab,seq,gpu,gpus,tp,pp,vpp,cp,zero_stage,mbs,gbs,\
                     precision,recompute,step_time_s,tier,stack\n";
        let row = |id: &str, gpus: u32, stack: &str| {
            format!(
                "{id},llama3-8b,dense,32,4096,14336,32,8,128256,8192,H100,{gpus},1,1,1,1,1,1,{},BF16,none,4.0,A,{stack}\n",
                gpus * 8
            )
        };
        let rows = [
            row("a", 8, "nemo"),
            row("b", 512, "nemo"),
            row("c", 1024, "nemo"),
            row("d", 1024, "megatron-bridge"),
        ];
        let steps = training_steps_of(&(table.to_owned() + &rows.concat())).expect("it is a table");
        assert_eq!(steps.len(), 4, "every row says enough");
        let largest = largest(&steps);
        assert_eq!(largest.len(), 1, "{:?}", largest.keys());
        let runs = &largest["llama3-8b | H100 | nemo"];
        assert_eq!(runs.iter().map(|step| step.fact("id")).collect::<Vec<_>>(), ["c"]);
        let predicted = &scale_up(&steps)[0];
        assert_eq!(
            (predicted.rows, predicted.family.as_str()),
            (1, "llama3-8b | H100 | nemo")
        );
        assert!(
            (predicted.bias.abs() - predicted.mape).abs() < 1e-12,
            "one row: its error is the mean"
        );
    }
}
