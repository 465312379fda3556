//! Recorded routes: counts of experts by layer, out of tables of counts or of routed tokens.
//!
//! A table has a column `layer` (or `logged_layer_index`), and either `expert` and `count` (or `count_topk`), or columns
//! `e0`, `e1`, … with the experts of a token, whose `seq` and `pos` tell tokens apart. A column `task` or `domain` (with
//! `model` before it, where there is one) names the part that a row belongs to. Layers are numbered in the order of their
//! numbers.

use std::collections::BTreeMap;

/// Tokens of a part that are taken.
#[derive(Clone, Copy, PartialEq)]
enum Half {
    All,
    First,
    Second,
}

/// Counts of each expert by layer of the part `select` of a table: `law`, `law/first-half`, `olmoe-1b-7b/arxiv`.
/// Nothing selected means everything.
pub(super) fn counts(text: &str, select: Option<&str>) -> Result<Vec<Vec<u64>>, String> {
    let (part, half) = match select {
        None => (None, Half::All),
        Some(select) => match select.rsplit_once('/') {
            Some((part, "first-half")) => (Some(part), Half::First),
            Some((part, "second-half")) => (Some(part), Half::Second),
            _ => (Some(select), Half::All),
        },
    };
    let rows = Rows::read(text, part)?;
    if half != Half::All && rows.tokens.is_empty() {
        return Err("a table of counts has no halves: they are told apart by token".to_owned());
    }
    rows.counts(half)
}

/// A layer's assignments in the order of the table: the token, the expert and how many.
struct Rows {
    layers: BTreeMap<u64, Vec<(usize, usize, u64)>>,
    /// Tokens in the order of the table, where it tells them apart.
    tokens: BTreeMap<(u64, u64), usize>,
}

impl Rows {
    fn read(text: &str, part: Option<&str>) -> Result<Self, String> {
        let start = text
            .split_inclusive('\n')
            .take_while(|line| line.starts_with('#') || line.starts_with("\"#"))
            .map(str::len)
            .sum();
        let mut reader = csv::Reader::from_reader(&text.as_bytes()[start..]);
        let header = reader.headers().map_err(|fault| fault.to_string())?.clone();
        let column = |names: &[&str]| header.iter().position(|name| names.contains(&name));
        let layer = column(&["layer", "logged_layer_index"]).ok_or("no column `layer`")?;
        let chosen: Vec<usize> = (0..)
            .map_while(|at| column(&[format!("e{at}").as_str()]))
            .collect();
        let counted = (column(&["expert"]), column(&["count", "count_topk"]));
        let token = (column(&["seq"]), column(&["pos"]));
        let (model, task) = (column(&["model"]), column(&["task", "domain"]));
        let mut rows = Self {
            layers: BTreeMap::new(),
            tokens: BTreeMap::new(),
        };
        let mut parts = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|fault| fault.to_string())?;
            let cell = |at: usize| record.get(at).unwrap_or_default();
            let number = |at: usize| {
                let text = cell(at);
                text.parse::<u64>().map_err(|_no| format!("`{text}` is no count"))
            };
            let name = match (model, task) {
                (Some(model), Some(task)) => format!("{}/{}", cell(model), cell(task)),
                (None, Some(task)) => cell(task).to_owned(),
                _ => String::new(),
            };
            if part.is_some_and(|part| part != name) {
                if !parts.contains(&name) {
                    parts.push(name);
                }
                continue;
            }
            let of_layer = rows.layers.entry(number(layer)?).or_default();
            if let (Some(expert), Some(count)) = counted {
                of_layer.push((0, index(number(expert)?)?, number(count)?));
            } else if let (Some(seq), Some(pos)) = token {
                let next = rows.tokens.len();
                let token = *rows.tokens.entry((number(seq)?, number(pos)?)).or_insert(next);
                for &at in &chosen {
                    of_layer.push((token, index(number(at)?)?, 1));
                }
            } else {
                return Err("neither `expert` and `count`, nor `seq`, `pos` and `e0`, `e1`, …".to_owned());
            }
        }
        if rows.layers.is_empty() {
            return Err(format!(
                "nothing is called `{}`; there are {}",
                part.unwrap_or_default(),
                parts.join(", ")
            ));
        }
        Ok(rows)
    }

    /// Counts by layer of the tokens of `half`.
    fn counts(&self, half: Half) -> Result<Vec<Vec<u64>>, String> {
        let middle = self.tokens.len() / 2;
        let taken = |token: usize| match half {
            Half::All => true,
            Half::First => token < middle,
            Half::Second => token >= middle,
        };
        let assignments = self.layers.values().flatten();
        let experts = assignments.map(|&(_, expert, _)| expert + 1).max().unwrap_or(0);
        let layer = |rows: &Vec<(usize, usize, u64)>| {
            let mut counts = vec![0; experts];
            for &(_, expert, count) in rows.iter().filter(|&&(token, ..)| taken(token)) {
                counts[expert] += count;
            }
            counts
        };
        Ok(self.layers.values().map(layer).collect())
    }
}

fn index(number: u64) -> Result<usize, String> {
    usize::try_from(number)
        .ok()
        .filter(|&expert| expert < 1 << 16)
        .ok_or_else(|| format!("`{number}` is no number of an expert"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKENS: &str = "# source\ntask,seq,pos,layer,e0,e1\n\
        law,0,0,1,0,1\nlaw,0,0,2,2,1\nlaw,0,1,1,0,2\nlaw,0,1,2,2,0\nchat,0,0,1,1,2\nchat,0,0,2,1,2\n";

    #[test]
    fn tokens_are_counted_by_layer_and_half() {
        assert_eq!(
            counts(TOKENS, Some("law")),
            Ok(vec![vec![2, 1, 1], vec![1, 1, 2]])
        );
        assert_eq!(
            counts(TOKENS, Some("law/second-half")),
            Ok(vec![vec![1, 0, 1], vec![1, 0, 1]])
        );
        assert_eq!(counts(TOKENS, None), Ok(vec![vec![2, 2, 2], vec![1, 2, 3]]));
        assert_eq!(
            counts(TOKENS, Some("lore")),
            Err("nothing is called `lore`; there are law, chat".to_owned())
        );
    }

    #[test]
    fn counts_are_taken_as_they_are() {
        let table =
            "model,domain,logged_layer_index,expert,count_topk\nm,arxiv,0,0,5\nm,arxiv,0,1,7\nm,code,0,0,9\n";
        assert_eq!(counts(table, Some("m/arxiv")), Ok(vec![vec![5, 7]]));
        assert!(
            counts(table, Some("m/arxiv/first-half")).is_err(),
            "counts have no halves"
        );
    }
}
