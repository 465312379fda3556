//! Tables: a column `layer` (or `layer_id`, `logged_layer_index`), and either `expert` and `count` (or `expert_id`;
//! `count_topk`, `tokens`), or columns `e0`, `e1`, … with the experts of a token, whose `seq` and `pos` tell tokens
//! apart (without them, a row that comes back to the first layer is the next token). A column `step` tells steps apart,
//! and `task` or `domain`, with `model` before it where there is one, the part that a row belongs to. Lines that begin
//! with `#` are read over.

use std::collections::BTreeMap;

use csv::StringRecord;

use super::{Gathered, RecordError, Recording};

/// Columns by what they hold.
struct Columns {
    layer: usize,
    step: Option<usize>,
    counted: Option<(usize, usize)>,
    chosen: Vec<usize>,
    token: Option<(usize, usize)>,
    part: Vec<usize>,
}

impl Columns {
    fn of(header: &StringRecord) -> Result<Self, RecordError> {
        let column = |names: &[&str]| header.iter().position(|name| names.contains(&name.trim()));
        let no = |expected| RecordError::NoColumn { expected };
        let chosen: Vec<usize> = (0..)
            .map_while(|at| column(&[format!("e{at}").as_str()]))
            .collect();
        let expert = column(&["expert", "expert_id"]);
        let count = column(&["count", "count_topk", "tokens_per_expert"]).or_else(|| column(&["tokens"]));
        if expert.zip(count).is_none() && chosen.is_empty() {
            return Err(no("`expert` and `count`, or `e0`"));
        }
        let part = [column(&["model"]), column(&["task", "domain"])];
        Ok(Self {
            layer: column(&["layer", "layer_id", "logged_layer_index"]).ok_or_else(|| no("`layer`"))?,
            step: column(&["step", "forward_pass_id"]),
            counted: expert.zip(count).filter(|_| chosen.is_empty()),
            chosen,
            token: column(&["seq"]).zip(column(&["pos"])),
            part: part.into_iter().flatten().collect(),
        })
    }
}

/// Tokens of a part, by what the table calls them.
#[derive(Default)]
struct Tokens {
    known: BTreeMap<(u64, u64), usize>,
    first_layer: Option<u64>,
}

impl Tokens {
    /// The number of the token of a row.
    fn of(&mut self, name: Option<(u64, u64)>, layer: u64) -> usize {
        let next = self.known.len();
        if let Some(name) = name {
            return *self.known.entry(name).or_insert(next);
        }
        if *self.first_layer.get_or_insert(layer) == layer {
            self.known.insert((0, next as u64), next);
        }
        self.known.len().saturating_sub(1)
    }
}

/// Bytes of the lines of remarks that a table begins with.
fn remarks(text: &str) -> usize {
    text.split_inclusive('\n')
        .take_while(|line| line.starts_with('#') || line.starts_with("\"#"))
        .map(str::len)
        .sum()
}

/// Whether the text that begins with `start` is such a table, by its columns.
pub(super) fn begins(start: &str) -> bool {
    let header = start[remarks(start)..].lines().next().unwrap_or_default();
    let header: StringRecord = header.split(',').collect();
    Columns::of(&header).is_ok()
}

pub(super) fn read(text: &str) -> Result<Recording, RecordError> {
    let skipped = remarks(text);
    let lines_before = text[..skipped].lines().count() as u64;
    let mut reader = csv::ReaderBuilder::new()
        .comment(Some(b'#'))
        .from_reader(&text.as_bytes()[skipped..]);
    let malformed = |fault: csv::Error| RecordError::Malformed(fault.to_string());
    let columns = Columns::of(reader.headers().map_err(malformed)?)?;
    let mut parts: Vec<(String, Gathered, Tokens)> = Vec::new();
    let mut at = 0;
    for record in reader.records() {
        let record = record.map_err(malformed)?;
        let line = lines_before + record.position().map_or(0, csv::Position::line);
        let cell = |at: usize| record.get(at).unwrap_or_default().trim();
        let name: Vec<&str> = columns.part.iter().map(|&at| cell(at)).collect();
        let name = name.join("/");
        // Rows of one part mostly stand together.
        if parts.get(at).is_none_or(|part| part.0 != name) {
            at = parts.iter().position(|part| part.0 == name).unwrap_or_else(|| {
                parts.push((name, Gathered::default(), Tokens::default()));
                parts.len() - 1
            });
        }
        let (_, gathered, tokens) = &mut parts[at];
        row(&columns, &cell, line, gathered, tokens)?;
    }
    let experts = parts
        .iter()
        .map(|(_, gathered, _)| gathered.num_experts())
        .max()
        .unwrap_or(0);
    let of_one_model = columns.part.len() < 2;
    let parts = parts.into_iter().map(|(name, gathered, _)| {
        let own = gathered.num_experts();
        gathered.part(name, if of_one_model { experts } else { own })
    });
    Ok(Recording {
        parts: parts.collect(),
    })
}

/// One row of a part.
fn row<'a>(
    columns: &Columns,
    cell: &impl Fn(usize) -> &'a str,
    line: u64,
    gathered: &mut Gathered,
    tokens: &mut Tokens,
) -> Result<(), RecordError> {
    let number = |at: usize| {
        let text = cell(at);
        text.parse::<u64>().map_err(|_no| RecordError::NoNumber {
            line,
            text: text.to_owned(),
        })
    };
    let expert = |at: usize| {
        let number = number(at)?;
        let small = u32::try_from(number).ok().filter(|&expert| expert < 1 << 16);
        small.ok_or_else(|| RecordError::NoNumber {
            line,
            text: cell(at).to_owned(),
        })
    };
    let layer = number(columns.layer)?;
    if let Some((of_expert, of_count)) = columns.counted {
        let step = columns.step.map(number).transpose()?.unwrap_or(0);
        gathered.count(layer, step, expert(of_expert)?, number(of_count)?);
        return Ok(());
    }
    let name = columns
        .token
        .map(|(seq, pos)| Ok::<_, RecordError>((number(seq)?, number(pos)?)));
    let token = tokens.of(name.transpose()?, layer);
    let experts = columns
        .chosen
        .iter()
        .map(|&at| expert(at))
        .collect::<Result<_, _>>()?;
    gathered.route(layer, token, experts);
    Ok(())
}
