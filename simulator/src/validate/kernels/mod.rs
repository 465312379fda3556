//! Tables of the times of kernels of published libraries, predicted with what is asked left out.
//!
//! Rows of one device, library and format are fitted together, with each shape left out in turn in one of five folds: the
//! `n` and `k` of a product, the heads of attention, the widths, number and ranks of experts. Or a device is left out, and
//! its rows are predicted from other devices' rows of the same library and its own data sheet. A row that nothing else
//! can predict is named.

mod hold;
mod load;
mod read;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use orrery_profile::library::{
    LibraryContext, LibraryExperts, LibraryGemm, LibraryGeneration, LibraryKernel,
};

use super::table::Table;
use super::{Compared, Row};

/// What is left out of the fit that predicts a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KernelsBy {
    /// Its shape.
    #[default]
    Shape,
    /// Its device.
    Device,
}

/// Folds that shapes are dealt into, by their order.
const FOLDS: usize = 5;

/// What a kernel computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Gemm,
    AttentionContext,
    AttentionGeneration,
    LatentContext,
    LatentGeneration,
    Experts,
}

impl Class {
    /// The group of the class, and that of its half where it has two.
    const fn names(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Gemm => ("kernels GEMM", None),
            Self::AttentionContext => ("kernels attention", Some("kernels attention context")),
            Self::AttentionGeneration => ("kernels attention", Some("kernels attention generation")),
            Self::LatentContext => ("kernels MLA", Some("kernels MLA context")),
            Self::LatentGeneration => ("kernels MLA", Some("kernels MLA generation")),
            Self::Experts => ("kernels MoE", None),
        }
    }
}

/// A call that a law knows.
#[derive(Clone, Debug)]
enum Call {
    Gemm(Box<LibraryGemm>),
    Context(LibraryContext),
    Generation(LibraryGeneration),
    Experts(Box<LibraryExperts>),
}

/// One kind of call.
trait Kind: LibraryKernel + Sync {
    /// The call, when it is of this kind.
    fn of(call: &Call) -> Option<&Self>;
}

impl Kind for LibraryGemm {
    fn of(call: &Call) -> Option<&Self> {
        match call {
            Call::Gemm(call) => Some(call),
            _ => None,
        }
    }
}

impl Kind for LibraryContext {
    fn of(call: &Call) -> Option<&Self> {
        match call {
            Call::Context(call) => Some(call),
            _ => None,
        }
    }
}

impl Kind for LibraryGeneration {
    fn of(call: &Call) -> Option<&Self> {
        match call {
            Call::Generation(call) => Some(call),
            _ => None,
        }
    }
}

impl Kind for LibraryExperts {
    fn of(call: &Call) -> Option<&Self> {
        match call {
            Call::Experts(call) => Some(call),
            _ => None,
        }
    }
}

/// What a row of a table says.
#[derive(Clone, Debug)]
struct Known {
    class: Class,
    /// Catalogue name.
    device: String,
    /// Library and kernel with its release.
    release: String,
    /// Library and kernel without it.
    library: String,
    /// Formats.
    formats: String,
    /// What is left out together.
    shape: String,
    /// The whole question but for the device and the library.
    question: String,
    call: Call,
    /// Seconds.
    measured: f64,
}

/// A row of a table, or why it is not compared.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    id: String,
    known: Result<Known, String>,
}

/// Whether `table` is one of kernels.
pub(super) fn is_one(table: &Table) -> bool {
    read::is_one(table)
}

/// The rows of a table of kernels; none when it is another.
pub(super) fn entries(table: &Table, name: &str) -> Option<Vec<Entry>> {
    read::entries(table, name)
}

/// Every row, predicted without what `by` leaves out.
pub(super) fn rows(
    entries: Vec<Entry>,
    by: KernelsBy,
    progress: &mut (dyn FnMut(usize, usize) -> bool + Send),
) -> Vec<Row> {
    let known: Vec<&Known> = entries
        .iter()
        .filter_map(|entry| entry.known.as_ref().ok())
        .collect();
    let mut results = match by {
        KernelsBy::Shape => hold::by_shape(&known, progress),
        KernelsBy::Device => hold::by_device(&known, progress),
    }
    .into_iter();
    let row = |entry: Entry| match entry.known {
        Ok(known) => {
            let result = results
                .next()
                .unwrap_or_else(|| Err("it was not asked".to_owned()));
            told(entry.id, &known, result)
        }
        Err(reason) => Row {
            id: entry.id,
            facts: vec![("metric", METRIC.to_owned())],
            groups: Vec::new(),
            result: Err(reason),
        },
    };
    entries.into_iter().map(row).collect()
}

/// What is compared.
const METRIC: &str = "kernel_time_s";

fn told(id: String, known: &Known, result: Result<Compared, String>) -> Row {
    let (class, half) = known.class.names();
    let one = format!("{class}, {} {} {}", known.device, known.release, known.formats);
    Row {
        id,
        facts: vec![
            ("metric", METRIC.to_owned()),
            ("device", known.device.clone()),
            ("kernel", known.release.clone()),
            ("formats", known.formats.clone()),
            ("shape", known.question.clone()),
        ],
        groups: [Some(class.to_owned()), half.map(str::to_owned), Some(one)]
            .into_iter()
            .flatten()
            .collect(),
        result: result.map_err(|reason| format!("{class}: {reason}")),
    }
}

/// Members of each key, in order.
fn grouped(known: &[&Known], key: impl Fn(&Known) -> String) -> BTreeMap<(Class, String), Vec<usize>> {
    let mut groups: BTreeMap<(Class, String), Vec<usize>> = BTreeMap::new();
    for (at, known) in known.iter().enumerate() {
        groups.entry((known.class, key(known))).or_default().push(at);
    }
    groups
}

/// Different shapes of `members`, in order.
fn shapes<'k>(known: &[&'k Known], members: &[usize]) -> Vec<&'k str> {
    let all: BTreeSet<&str> = members.iter().map(|&at| known[at].shape.as_str()).collect();
    all.into_iter().collect()
}
