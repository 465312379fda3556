//! Tables of layers of experts under imbalance, with and without redundancy: each EP degree of each system predicted from
//! the others of that system.
//!
//! The time of the most loaded rank depends on its own rows and on its active experts
//! ([`LibraryExperts`]); what it was given is drawn as the tables were collected ([`PowerLaw`]).

use std::collections::BTreeMap;

use orrery_balance::cost::{Curing, PowerLaw};
use orrery_operation::Precision;
use orrery_profile::fit::{LibraryFit, LibraryRow};
use orrery_profile::library::{LibraryExperts, LibraryKernel as _, Peaks, Widths};
use orrery_scenario::catalog::hardware;
use orrery_units::{Bytes, SimDuration};

use super::table::{Table, field, number};
use super::{Compared, Row};
use crate::balancing::ExpertLaw;

/// Columns that both tables have; that of redundancy has `num_slots` besides.
const COLUMNS: [&str; 7] = [
    "system",
    "moe_dtype",
    "inter_size",
    "moe_ep_size",
    "distribution",
    "num_tokens",
    "kernel_source",
];
/// What is compared.
const METRIC: &str = "layer_time_s";
/// Rows that a fit takes at most, evenly out of all: its cost grows with their cube.
const MOST_ROWS: usize = 1100;
/// Every family is of one release.
const RELEASE: u32 = 0;
/// EP degrees that are summed up in a group of their own.
const USUAL: std::ops::RangeInclusive<u32> = 8..=64;

/// What a row says.
#[derive(Clone, Debug)]
struct Known {
    /// Stack, device and format: rows of one are fitted together.
    family: [String; 3],
    ep: u32,
    has_redundancy: bool,
    call: LibraryExperts,
    /// Seconds.
    measured: f64,
}

/// The rows of a table of imbalanced layers; none when it is another.
pub(super) fn rows(
    table: &Table,
    name: &str,
    progress: &mut (dyn FnMut(usize, usize) -> bool + Send),
) -> Option<Vec<Row>> {
    if !is_one(table) {
        return None;
    }
    let read: Vec<Result<Known, String>> = known(table);
    let all: Vec<&Known> = read.iter().filter_map(|row| row.as_ref().ok()).collect();
    let mut predicted = held_out(&all, progress).into_iter();
    let row = |(at, known): (usize, &Result<Known, String>)| {
        let id = format!("{name}/{}", at + 1);
        match known {
            Ok(known) => told(
                id,
                known,
                predicted.next().unwrap_or_else(|| Err("not asked".to_owned())),
            ),
            Err(reason) => Row {
                id,
                facts: vec![("metric", METRIC.to_owned())],
                groups: Vec::new(),
                result: Err(reason.clone()),
            },
        }
    };
    Some(read.iter().enumerate().map(row).collect())
}

/// Whether a table is of imbalanced layers.
fn is_one(table: &Table) -> bool {
    table.has(&COLUMNS)
        && (table.has(&["phase"]) || table.has(&["num_slots"]))
        && !table.has(&["moe_tp_size"])
}

/// Laws fitted to every row of `tables`, one per stack, device and format.
///
/// # Errors
/// When a table is of another kind.
pub fn fit_imbalanced(tables: &[String]) -> Result<Vec<ExpertLaw>, String> {
    let mut all = Vec::new();
    for text in tables {
        let table = super::table::parse(text)?;
        if !is_one(&table) {
            return Err("no table of imbalanced layers".to_owned());
        }
        all.extend(known(&table).into_iter().flatten());
    }
    let all: Vec<&Known> = all.iter().collect();
    let law = |([stack, device, format], members): (&[String; 3], Vec<usize>)| {
        let errors = law_errors(&all, &members);
        let fitted: Vec<&LibraryExperts> = fitted(&members).map(|at| &all[at].call).collect();
        let ends = |of: fn(&LibraryExperts) -> u32| {
            let values = || fitted.iter().map(|call| of(call));
            [values().min().unwrap_or(0), values().max().unwrap_or(0)]
        };
        ExpertLaw {
            stack: stack.clone(),
            device: device.clone(),
            format: format.clone(),
            rows: fitted.len(),
            tokens: ends(|call| call.tokens),
            ranks: ends(|call| call.ranks),
            hidden: ends(|call| call.hidden),
            inner: ends(|call| call.inner),
            median_error: errors.get(errors.len() / 2).copied().unwrap_or(f64::NAN),
            parameters: fit(&all, &members)
                .parameters(&all[members[0]].call, RELEASE)
                .to_vec(),
        }
    };
    Ok(families(&all).into_iter().map(law).collect())
}

/// Errors of the law alone, each EP degree left out of its fit, sorted.
fn law_errors(all: &[&Known], members: &[usize]) -> Vec<f64> {
    let mut errors = Vec::new();
    for (_, test, train) in cells(all, members) {
        let fit = fit(all, &train);
        errors.extend(test.iter().map(|&at| {
            let seconds = all[at].call.seconds(fit.parameters(&all[at].call, RELEASE));
            (seconds / all[at].measured - 1.0).abs()
        }));
    }
    errors.sort_by(f64::total_cmp);
    errors
}

fn families<'k>(all: &[&'k Known]) -> BTreeMap<&'k [String; 3], Vec<usize>> {
    let mut families: BTreeMap<&[String; 3], Vec<usize>> = BTreeMap::new();
    for (at, known) in all.iter().enumerate() {
        families.entry(&known.family).or_default().push(at);
    }
    families
}

/// Each EP degree of a family: its rows, and those of the other degrees.
fn cells(all: &[&Known], members: &[usize]) -> Vec<(u32, Vec<usize>, Vec<usize>)> {
    let mut degrees: Vec<u32> = members.iter().map(|&at| all[at].ep).collect();
    degrees.sort_unstable();
    degrees.dedup();
    degrees
        .into_iter()
        .map(|ep| {
            let (test, train) = members.iter().partition(|&&at| all[at].ep == ep);
            (ep, test, train)
        })
        .collect()
}

/// Those of `members` that a fit takes.
fn fitted(members: &[usize]) -> impl Iterator<Item = usize> {
    let each = members.len().div_ceil(MOST_ROWS).max(1);
    members.iter().copied().step_by(each)
}

fn fit(all: &[&Known], members: &[usize]) -> LibraryFit {
    let rows: Vec<LibraryRow<'_, LibraryExperts>> = fitted(members)
        .map(|at| LibraryRow {
            call: &all[at].call,
            release: RELEASE,
            time: SimDuration::from_secs(all[at].measured),
        })
        .collect();
    LibraryFit::new(&rows)
}

/// Every row predicted without the rows of its system and EP degree; intervals from the other degrees' errors.
fn held_out(
    all: &[&Known],
    progress: &mut (dyn FnMut(usize, usize) -> bool + Send),
) -> Vec<Result<Compared, String>> {
    let reason = "no other EP degree of this system was measured";
    let mut results = vec![Err(reason.to_owned()); all.len()];
    let families = families(all);
    for (done, members) in families.values().enumerate() {
        if !progress(done, families.len()) {
            break;
        }
        let cells = cells(all, members);
        if cells.len() < 2 {
            continue;
        }
        let predicted: Vec<Vec<f64>> = cells
            .iter()
            .map(|(_, test, train)| {
                let fit = fit(all, train);
                test.iter()
                    .map(|&at| fit.time(&all[at].call, RELEASE).as_secs())
                    .collect()
            })
            .collect();
        for (number, (_, test, _)) in cells.iter().enumerate() {
            let mut errors: Vec<f64> = cells
                .iter()
                .zip(&predicted)
                .enumerate()
                .filter(|(other, _)| *other != number)
                .flat_map(|(_, ((_, rows, _), seconds))| {
                    rows.iter()
                        .zip(seconds)
                        .map(|(&at, seconds)| (all[at].measured / seconds).ln())
                })
                .collect();
            errors.sort_by(f64::total_cmp);
            let tenth = |tenths: usize| errors.get(errors.len() * tenths / 10).copied().unwrap_or(0.0);
            for (&at, &seconds) in test.iter().zip(&predicted[number]) {
                results[at] = Ok(Compared {
                    measured: all[at].measured,
                    predicted: seconds,
                    low: seconds * tenth(1).min(0.0).exp(),
                    high: seconds * tenth(9).max(0.0).exp(),
                    evidence: "interpolated",
                });
            }
        }
    }
    results
}

fn told(id: String, known: &Known, result: Result<Compared, String>) -> Row {
    let [stack, device, format] = &known.family;
    let mut groups = vec!["imbalanced experts".to_owned()];
    if USUAL.contains(&known.ep) {
        groups.push("imbalanced experts, EP 8-64".to_owned());
        let redundancy = if known.has_redundancy { "with" } else { "without" };
        groups.push(format!("imbalanced experts, EP 8-64, {redundancy} redundancy"));
        groups.push(format!("imbalanced experts, {stack} {device}, EP{}", known.ep));
    }
    let call = &known.call;
    Row {
        id,
        facts: vec![
            ("metric", METRIC.to_owned()),
            ("device", device.clone()),
            ("kernel", stack.clone()),
            ("formats", format.clone()),
            (
                "shape",
                format!(
                    "tokens {} hidden {} inner {} slots {} EP{} skew {}",
                    call.tokens, call.hidden, call.inner, call.experts, call.ranks, call.skew
                ),
            ),
        ],
        groups,
        result,
    }
}

fn known(table: &Table) -> Vec<Result<Known, String>> {
    let mut devices = BTreeMap::new();
    table.rows.iter().map(|cells| read(cells, &mut devices)).collect()
}

type Cells = BTreeMap<String, String>;

fn read(cells: &Cells, devices: &mut BTreeMap<(String, String), (String, Peaks)>) -> Result<Known, String> {
    let whole = |column: &str| {
        number(cells, column)
            .filter(|value| *value >= 0.0 && *value < 4e9)
            .map(|value| {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range")]
                let whole = value as u32;
                whole
            })
            .ok_or_else(|| format!("no `{column}`"))
    };
    let distribution = field(cells, "distribution");
    let (law, is_cured) = match distribution.strip_suffix("_eplb") {
        Some(law) => (law, true),
        None => (distribution, false),
    };
    let skew = match law {
        "uniform" | "balanced" => 0.0,
        other => other
            .strip_prefix("power_law_")
            .and_then(|exponent| exponent.parse().ok())
            .ok_or_else(|| format!("`{other}` is no distribution of the law"))?,
    };
    let (experts, ranks) = (whole("num_experts")?, whole("moe_ep_size")?);
    let slots = whole("num_slots").unwrap_or(experts);
    let drawn = PowerLaw {
        tokens: whole("num_tokens")?,
        chosen: whole("topk")?,
        experts,
        ranks,
        skew,
        curing: if is_cured {
            Curing::Eplb { slots }
        } else {
            Curing::None
        },
        reaching: whole("rank0_num_tokens").ok().filter(|tokens| *tokens > 0),
    };
    let load = drawn.fullest().ok_or("ranks do not divide the slots")?;
    let format = field(cells, "moe_dtype");
    let (device, peaks) = device(field(cells, "system"), format, devices)?;
    let phase = field(cells, "phase");
    let stack = [field(cells, "kernel_source"), phase]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("-");
    Ok(Known {
        family: [stack, device, format.to_owned()],
        ep: ranks,
        has_redundancy: slots > experts,
        call: LibraryExperts {
            peaks,
            widths: Widths::named(format).ok_or_else(|| format!("`{format}` is no format of the law"))?,
            load,
            tokens: drawn.tokens,
            chosen: drawn.chosen,
            hidden: whole("hidden_size")?,
            inner: whole("inter_size")?,
            experts: slots,
            ranks,
            skew: if is_cured { CURED } else { skew },
        },
        measured: number(cells, "latency_ms")
            .filter(|time| *time > 0.0)
            .map(|time| time * 1e-3)
            .ok_or("no `latency_ms`")?,
    })
}

/// Where balanced loads lie on the axis of exponents: nearer to equal loads than to the law that they were drawn from.
const CURED: f64 = 0.3;

/// Catalogue name and data sheet of a system for a format.
fn device(
    name: &str,
    format: &str,
    devices: &mut BTreeMap<(String, String), (String, Peaks)>,
) -> Result<(String, Peaks), String> {
    let key = (name.to_owned(), format.to_owned());
    if let Some(found) = devices.get(&key) {
        return Ok(found.clone());
    }
    let precision = match format {
        "bfloat16" => Precision::Bf16,
        "fp8" | "fp8_block" => Precision::Fp8,
        "nvfp4" => Precision::Fp4,
        _ => return Err(format!("`{format}` is no format of the law")),
    };
    let device = hardware(name)
        .map_err(|_names| format!("`{name}` is not in the catalogue"))?
        .device;
    let rate = device
        .peak(precision)
        .ok_or_else(|| format!("{} has no peak for {format}", device.name))?;
    let peaks = Peaks {
        rate,
        bandwidth: device.memory_bandwidth,
        num_units: device.num_units,
        cache: Bytes::ZERO,
    };
    let found = (device.name, peaks);
    devices.insert(key, found.clone());
    Ok(found)
}
