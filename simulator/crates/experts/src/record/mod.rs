//! Recorded loads: text in, counts of experts out. Whoever has the file gives the text.
//!
//! Read are tables of counts and of routed tokens (see `table`) and the dumps of serving stacks as JSON (see
//! `dump`). Dumps of PyTorch are refused with the line that turns them into JSON.

mod dump;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

/// A recording in its parts: tasks, domains or models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// In the order of the text.
    pub parts: Vec<Part>,
}

/// What was recorded of one task, domain or model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Its name, such as `law` or `olmoe-1b-7b/arxiv`; empty where there is only one.
    pub name: String,
    /// Numbers of the layers, in order, as recorded.
    pub layer_numbers: Vec<u64>,
    /// Counts by step, then layer, then expert; one step where steps are not told apart.
    pub steps: Vec<Vec<Vec<u64>>>,
    /// Routes in the order of tokens, where tokens are told apart.
    pub routes: Vec<TokenRoute>,
    /// Tokens that are told apart.
    pub num_tokens: usize,
}

/// The experts of one token in one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRoute {
    /// The token, counted from zero.
    pub token: u32,
    /// The layer, by its place in [`Part::layer_numbers`].
    pub layer: u32,
    /// Its experts.
    pub experts: Vec<u32>,
}

/// Why a text is no recording.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It is a file of PyTorch.
    #[error(
        "a `.pt` file is read by PyTorch only\n  = help: python3 -c \"import json, sys, torch; d = torch.load(sys.argv[1], map_location='cpu', weights_only=True); json.dump({{'logical_count': d['logical_count'].tolist()}}, open(sys.argv[2], 'w'))\" dump.pt dump.json"
    )]
    PyTorch,
    /// It is a trace of a profiler.
    #[error(
        "a trace is no table of loads\n  = help: `orrery import kineto` writes the split sizes of its all-to-alls as expert-load.csv, which is one"
    )]
    Trace,
    /// It is Parquet, which is no text.
    #[error(
        "Parquet is read where the file is\n  = help: name the file with the extension `.parquet`, or write it as CSV"
    )]
    Parquet,
    /// No column of one of these names.
    #[error(
        "no column {expected}\n  = help: `layer`, `expert` and `count`, or `layer` and the experts of a token in `e0`, `e1`, …"
    )]
    NoColumn {
        /// The names that were looked for.
        expected: &'static str,
    },
    /// A cell is no whole number.
    #[error("line {line}: `{text}` is no whole number of 0 or more")]
    NoNumber {
        /// Which line.
        line: u64,
        /// What stands there.
        text: String,
    },
    /// The text cannot be read.
    #[error("{0}")]
    Malformed(String),
    /// Nothing was recorded.
    #[error("nothing is recorded\n  = help: record some steps, then dump")]
    Empty,
    /// There is no part of this name.
    #[error("nothing is called `{name}`\n  = help: {known}")]
    NoPart {
        /// The name.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// Halves of what tells no tokens apart.
    #[error(
        "a table of counts has no halves\n  = help: they are halves of the tokens, so record routes token by token"
    )]
    NoHalves,
}

/// Reads a recording.
///
/// # Errors
/// When the text is none; see [`RecordError`].
pub fn read(text: &str) -> Result<Recording, RecordError> {
    let start = text.trim_start_matches('\u{feff}').trim_start();
    let recording = if start.starts_with("PK\u{3}\u{4}") || start.starts_with('\u{80}') {
        return Err(RecordError::PyTorch);
    } else if start.starts_with("PAR1") {
        return Err(RecordError::Parquet);
    } else if start.starts_with('{') || start.starts_with('[') {
        dump::read(start)?
    } else {
        table::read(start)?
    };
    if recording.parts.iter().all(|part| part.steps.is_empty()) {
        return Err(RecordError::Empty);
    }
    Ok(recording)
}

/// Whether the text that begins with `head` is a recording, as far as its beginning tells: a dump by its keys, a table
/// by its columns.
#[must_use]
pub fn begins(head: &str) -> bool {
    let start = head.trim_start_matches('\u{feff}').trim_start();
    if start.starts_with('{') || start.starts_with('[') {
        dump::begins(start)
    } else {
        table::begins(start)
    }
}

/// Refuses what is no text by its first bytes, with the reason; `None` for what may be text.
#[must_use]
pub fn refuse(bytes: &[u8]) -> Option<RecordError> {
    match bytes {
        // A zip archive, as `torch.save` writes, or a pickle of protocol 2 to 5.
        [b'P', b'K', 3, 4, ..] | [0x80, 2..=5, ..] => Some(RecordError::PyTorch),
        [b'P', b'A', b'R', b'1', ..] => Some(RecordError::Parquet),
        _ => None,
    }
}

impl Recording {
    /// Counts of each expert by layer of the part that `select` names, or of everything: `law`,
    /// `law/first-half`, `law/second-half`.
    ///
    /// # Errors
    /// When there is no such part, or halves are asked of what tells no tokens apart.
    pub fn counts(&self, select: Option<&str>) -> Result<Vec<Vec<u64>>, RecordError> {
        let Some(select) = select else {
            return Ok(sum(self.parts.iter().map(Part::layers)));
        };
        if let Some(part) = self.part(select) {
            return Ok(part.layers());
        }
        match select.rsplit_once('/') {
            Some((name, half @ ("first-half" | "second-half"))) => {
                let part = self.part(name).ok_or_else(|| self.no_part(name))?;
                part.half(half == "first-half").ok_or(RecordError::NoHalves)
            }
            _ => Err(self.no_part(select)),
        }
    }

    /// The part called `name`.
    #[must_use]
    pub fn part(&self, name: &str) -> Option<&Part> {
        self.parts.iter().find(|part| part.name == name)
    }

    fn no_part(&self, name: &str) -> RecordError {
        let known: Vec<&str> = self.parts.iter().map(|part| part.name.as_str()).collect();
        RecordError::NoPart {
            name: name.to_owned(),
            known: format!("there are {}", known.join(", ")),
        }
    }
}

impl Part {
    /// Experts of a layer.
    #[must_use]
    pub fn num_experts(&self) -> usize {
        self.steps
            .first()
            .and_then(|layers| layers.first())
            .map_or(0, Vec::len)
    }

    /// Counts of each expert by layer, over all steps.
    #[must_use]
    pub fn layers(&self) -> Vec<Vec<u64>> {
        sum(self.steps.iter().cloned())
    }

    /// Counts of the first or the second half of the tokens; none where they are not told apart.
    #[must_use]
    pub fn half(&self, first: bool) -> Option<Vec<Vec<u64>>> {
        let middle = self.num_tokens / 2;
        self.counted(|token| (token < middle) == first)
    }

    /// Counts of runs of `tokens` tokens in the order of recording, a frame each; what is left over is left out.
    /// None where tokens are not told apart, or fewer.
    #[must_use]
    pub fn frames(&self, tokens: usize) -> Option<Vec<Vec<Vec<u64>>>> {
        let frames = self.num_tokens.checked_div(tokens).filter(|&frames| frames > 0)?;
        let empty = vec![vec![0; self.num_experts()]; self.layer_numbers.len()];
        let mut counts = vec![empty; frames];
        for route in &self.routes {
            if let Some(frame) = counts.get_mut(route.token as usize / tokens) {
                for &expert in &route.experts {
                    frame[route.layer as usize][expert as usize] += 1;
                }
            }
        }
        Some(counts)
    }

    fn counted(&self, taken: impl Fn(usize) -> bool) -> Option<Vec<Vec<u64>>> {
        if self.routes.is_empty() {
            return None;
        }
        let mut counts = vec![vec![0; self.num_experts()]; self.layer_numbers.len()];
        for route in self.routes.iter().filter(|route| taken(route.token as usize)) {
            for &expert in &route.experts {
                counts[route.layer as usize][expert as usize] += 1;
            }
        }
        Some(counts)
    }
}

/// The sum of counts by layer and expert; layers and experts that some lack count as none there.
fn sum(all: impl Iterator<Item = Vec<Vec<u64>>>) -> Vec<Vec<u64>> {
    let mut total: Vec<Vec<u64>> = Vec::new();
    for layers in all {
        total.resize(total.len().max(layers.len()), Vec::new());
        for (total, layer) in total.iter_mut().zip(layers) {
            total.resize(total.len().max(layer.len()), 0);
            for (sum, count) in total.iter_mut().zip(layer) {
                *sum += count;
            }
        }
    }
    total
}

/// Gathers entries into a part: steps, layers and experts in the order of their numbers.
#[derive(Debug, Default)]
struct Gathered {
    /// By layer, then step, then expert.
    counts: BTreeMap<u64, BTreeMap<u64, BTreeMap<u32, u64>>>,
    /// By layer.
    routes: BTreeMap<u64, Vec<(u32, Vec<u32>)>>,
    num_tokens: usize,
}

impl Gathered {
    fn count(&mut self, layer: u64, step: u64, expert: u32, count: u64) {
        let steps = self.counts.entry(layer).or_default();
        *steps.entry(step).or_default().entry(expert).or_default() += count;
    }

    fn route(&mut self, layer: u64, token: usize, experts: Vec<u32>) {
        for &expert in &experts {
            self.count(layer, 0, expert, 1);
        }
        self.num_tokens = self.num_tokens.max(token + 1);
        let token = u32::try_from(token).unwrap_or(u32::MAX);
        self.routes.entry(layer).or_default().push((token, experts));
    }

    /// The largest number of an expert, and one.
    fn num_experts(&self) -> usize {
        let experts = self
            .counts
            .values()
            .flat_map(BTreeMap::values)
            .flat_map(BTreeMap::keys);
        experts.max().map_or(0, |&expert| expert as usize + 1)
    }

    /// The part, every layer with `experts` experts.
    fn part(self, name: String, experts: usize) -> Part {
        let mut numbers: Vec<u64> = self.counts.values().flat_map(BTreeMap::keys).copied().collect();
        numbers.sort_unstable();
        numbers.dedup();
        let step = |number: &u64| {
            let layer = |steps: &BTreeMap<u64, BTreeMap<u32, u64>>| {
                let mut counts = vec![0; experts];
                for (&expert, &count) in steps.get(number).into_iter().flatten() {
                    counts[expert as usize] = count;
                }
                counts
            };
            self.counts.values().map(layer).collect()
        };
        let steps = numbers.iter().map(step).collect();
        let mut routes: Vec<TokenRoute> = Vec::new();
        for (layer, of_layer) in (0..).zip(self.counts.keys()) {
            let of_layer = self.routes.get(of_layer).into_iter().flatten();
            routes.extend(of_layer.map(|(token, experts)| TokenRoute {
                token: *token,
                layer,
                experts: experts.clone(),
            }));
        }
        routes.sort_by_key(|route| (route.token, route.layer));
        Part {
            name,
            layer_numbers: self.counts.keys().copied().collect(),
            steps,
            routes,
            num_tokens: self.num_tokens,
        }
    }
}
