//! What is known of a platform before it is measured: scenarios/platforms/priors.csv.

use std::collections::BTreeMap;

use orrery_profile::Parameter;
use orrery_profile::fit::Prior;
use orrery_workload::collective::law::Machine;
use orrery_workload::collective::nccl::Architecture;

use super::table::{field, number, parse};

const PRIORS: &str = include_str!("../../../scenarios/platforms/priors.csv");

/// Who launches the collective.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Launcher {
    /// One process or thread per device: launches overlap.
    PerDevice,
    /// One process drives every device of a node, or a framework stands between: launches add up.
    OneProcess,
}

/// Value and uncertainty of each parameter, as logarithms.
///
/// # Panics
/// Never: a test reads the embedded table for every machine.
pub(super) fn priors(machine: &Machine, launcher: Launcher) -> Vec<Prior> {
    let table = parse(PRIORS).expect("the embedded priors are a table; a test reads them");
    Parameter::ALL
        .into_iter()
        .map(|parameter| {
            let name = name(parameter);
            let row = table
                .rows
                .iter()
                .find(|row| field(row, "parameter") == name && holds(row, machine, launcher));
            row.and_then(prior)
                .expect("every parameter has a prior; a test reads them")
        })
        .collect()
}

fn prior(row: &BTreeMap<String, String>) -> Option<Prior> {
    Some(Prior {
        centre: number(row, "value")?.ln(),
        spread: number(row, "spread")?,
    })
}

/// The name of a parameter in files.
fn name(parameter: Parameter) -> String {
    let value = serde_json::to_value(parameter).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

fn holds(row: &BTreeMap<String, String>, machine: &Machine, launcher: Launcher) -> bool {
    match field(row, "when") {
        "" => true,
        "volta" => machine.architecture == Architecture::Volta,
        "ampere" => machine.architecture == Architecture::Ampere,
        "hopper" => machine.architecture == Architecture::Hopper,
        "blackwell" => machine.architecture == Architecture::Blackwell,
        "pcie" => !machine.nvlink,
        "shared" => launcher == Launcher::OneProcess,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_has_a_prior_on_every_machine() {
        for architecture in [
            Architecture::Volta,
            Architecture::Ampere,
            Architecture::Hopper,
            Architecture::Blackwell,
        ] {
            let machine = Machine {
                architecture,
                scale_up: 450.0,
                nvlink: true,
                num_nics: 8,
                network: 400.0,
            };
            for launcher in [Launcher::PerDevice, Launcher::OneProcess] {
                let all = priors(&machine, launcher);
                assert_eq!(all.len(), Parameter::ALL.len());
            }
        }
    }

    #[test]
    fn no_row_is_for_a_parameter_or_a_case_that_is_unknown() {
        let table = parse(PRIORS).expect("it is a table");
        let names: Vec<String> = Parameter::ALL.into_iter().map(name).collect();
        let cases = ["", "volta", "ampere", "hopper", "blackwell", "pcie", "shared"];
        for row in &table.rows {
            assert!(
                names.iter().any(|name| name == field(row, "parameter")),
                "{row:?}"
            );
            assert!(cases.contains(&field(row, "when")), "{row:?}");
            assert!(!field(row, "source").is_empty(), "{row:?}");
        }
    }
}
