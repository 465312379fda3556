//! Tables of expert exchanges: DeepEP, TensorRT-LLM inside an NVL72 rack, collections of both.

mod law;
mod read;

use std::collections::BTreeMap;
use std::path::Path;

use law::{Exchange, Kind, Law};
use orrery_units::HALF_WIDTH_80;
use read::Measured;

use super::table::{parse, text};
use super::{Compared, Row, fitting, stem};

/// Spread where too few rows tell (assumption: that of sweeps of which nothing was measured).
const UNKNOWN: f64 = 0.3;

/// The rows of a table of exchanges, each predicted by the law of its family with its own (family, EP) cell left out.
///
/// # Errors
/// When the table is of another kind; the message says which can be read.
pub(super) fn rows(file: &Path) -> Result<Vec<Row>, String> {
    let table = parse(&text(file)?)?;
    let name = stem(file);
    let all = read::read(&table, &name).ok_or_else(|| read::refusal(&table, file))?;
    Ok(compare(&all))
}

/// What is left out together: a family and its number of ranks.
fn cell(measured: &Measured) -> String {
    let ranks = measured.result.as_ref().map(|(exchange, _)| exchange.ranks);
    match ranks {
        Ok(ranks) => format!("{} EP{ranks}", measured.family),
        Err(_) => measured.family.clone(),
    }
}

/// A law for the rows of one cell, and what it was fitted to.
struct Basis {
    law: Option<Law>,
    from: &'static str,
}

fn compare(all: &[Measured]) -> Vec<Row> {
    let mut cells: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (at, measured) in all.iter().enumerate() {
        cells.entry(cell(measured)).or_default().push(at);
    }
    let bases: BTreeMap<&str, Basis> = cells
        .iter()
        .map(|(name, members)| (name.as_str(), basis(all, &all[members[0]], name)))
        .collect();
    let predicted: Vec<Option<f64>> = all
        .iter()
        .map(|measured| {
            let (exchange, _) = measured.result.as_ref().ok()?;
            Some(bases[cell(measured).as_str()].law.as_ref()?.seconds(exchange))
        })
        .collect();
    let mut rows: Vec<Option<Row>> = vec![None; all.len()];
    for (name, members) in &cells {
        let spread = spread(all, &predicted, &all[members[0]], name);
        for &at in members {
            rows[at] = Some(row(
                &all[at],
                name,
                predicted[at],
                bases[name.as_str()].from,
                spread,
            ));
        }
    }
    rows.into_iter().flatten().collect()
}

/// The law of a cell, fitted to the other cells of its family; where there are none, to other devices of its
/// architecture with the same library, mode and operation; else to any device.
fn basis(all: &[Measured], of: &Measured, left_out: &str) -> Basis {
    let same_family = |other: &Measured| other.family == of.family;
    let same_architecture = |other: &Measured| other.kind == of.kind && other.architecture == of.architecture;
    let same_kind = |other: &Measured| other.kind == of.kind;
    let among = |accepts: &dyn Fn(&Measured) -> bool| -> Option<Law> {
        let found: Vec<(&Exchange, f64)> = all
            .iter()
            .filter(|other| accepts(other) && cell(other) != left_out)
            .filter_map(|other| other.result.as_ref().ok())
            .map(|(exchange, seconds)| (exchange, *seconds))
            .collect();
        Law::fit(&found)
    };
    let another = among(&same_family);
    if another.is_some() {
        return Basis {
            law: another,
            from: "by another EP",
        };
    }
    Basis {
        law: among(&same_architecture).or_else(|| among(&same_kind)),
        from: "by another device",
    }
}

/// Spread of `ln(predicted / measured)` in the other cells of the same library, mode and operation, each of which was left
/// out; of all other cells where those have fewer than five rows. A cell's own errors are no part of its interval.
fn spread(all: &[Measured], predicted: &[Option<f64>], of: &Measured, left_out: &str) -> f64 {
    let errors = |same: bool| -> Vec<f64> {
        all.iter()
            .zip(predicted)
            .filter(|(other, _)| (!same || other.kind == of.kind) && cell(other) != left_out)
            .filter_map(|(other, predicted)| {
                let (_, seconds) = other.result.as_ref().ok()?;
                Some(((*predicted)? / seconds).ln())
            })
            .collect()
    };
    fitting::spread(&errors(true))
        .or_else(|| fitting::spread(&errors(false)))
        .unwrap_or(UNKNOWN)
}

fn row(measured: &Measured, cell: &str, predicted: Option<f64>, from: &str, spread: f64) -> Row {
    let mut facts = vec![("op", measured.family.clone())];
    let mut groups = Vec::new();
    if let Ok((exchange, _)) = &measured.result {
        facts.push(("ranks", exchange.ranks.to_string()));
        facts.push(("tokens", exchange.tokens.to_string()));
        let mode = if exchange.kind == Kind::LowLatency {
            "low latency"
        } else {
            "normal"
        };
        groups = vec![
            format!("cell {cell}"),
            format!("all exchanges {mode}"),
            format!("all exchanges {from}"),
        ];
    }
    let result = match (&measured.result, predicted) {
        (Err(field), _) => Err(field.clone()),
        (Ok(_), None) => Err("a second EP of this kernel, to fit its law without this cell".to_owned()),
        (Ok((_, seconds)), Some(predicted)) => {
            let width = (HALF_WIDTH_80 * spread).exp();
            Ok(Compared {
                measured: *seconds,
                predicted,
                low: predicted / width,
                high: predicted * width,
                evidence: "extrapolated",
            })
        }
    };
    Row {
        id: measured.id.clone(),
        facts,
        groups,
        result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "library,mode,op,gpu,ep,gpus_per_node,tokens_per_gpu,hidden,topk,experts,dtype,time_us\n";

    /// Dispatches of one kernel over 8 and 16 ranks, those over 8 in `scale` times their time, and one of another device.
    fn compared(scale: f64) -> Vec<Row> {
        let mut text = HEAD.to_owned();
        for (gpu, ep, floor, rate) in [
            ("H100", 8, 20.0, 0.1),
            ("H100", 16, 30.0, 0.2),
            ("H200", 8, 20.0, 0.1),
        ] {
            for tokens in [16, 256, 1024, 2048, 4096, 8192] {
                let own = if (gpu, ep) == ("H100", 8) { scale } else { 1.0 };
                let time = own * (floor + rate * f64::from(tokens));
                text.push_str(&format!(
                    "DeepEP,normal,dispatch,{gpu},{ep},8,{tokens},7168,8,256,fp8,{time}\n"
                ));
            }
        }
        let table = parse(&text).expect("it is a table");
        compare(&read::read(&table, "x").expect("it is a table of exchanges"))
    }

    /// What a cell measured changes no prediction of it.
    #[test]
    fn a_cell_is_no_part_of_its_own_law() {
        let (before, after) = (compared(1.0), compared(1.5));
        for (before, after) in before.iter().zip(&after).take(6) {
            let (before, after) = (before.result.clone(), after.result.clone());
            let (before, after) = (before.expect("it is compared"), after.expect("it is compared"));
            assert!((after.measured / before.measured - 1.5).abs() < 1e-9, "{after:?}");
            assert!(
                (after.predicted / before.predicted - 1.0).abs() < 1e-12,
                "{after:?}"
            );
        }
        let changed = |rows: &[Row]| rows[6].result.clone().map(|compared| compared.predicted);
        assert_ne!(
            changed(&before),
            changed(&after),
            "the law of 16 ranks saw those of 8"
        );
    }

    /// A device with one EP is foreseen by another device, and that is said.
    #[test]
    fn what_a_law_was_fitted_to_is_named() {
        let rows = compared(1.0);
        let has = |at: usize, group: &str| rows[at].groups.iter().any(|name| name == group);
        assert!(has(0, "all exchanges by another EP"), "{:?}", rows[0].groups);
        assert!(
            has(12, "all exchanges by another device"),
            "{:?}",
            rows[12].groups
        );
        assert_eq!(rows.len(), 18);
    }
}
