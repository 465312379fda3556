//! The text of `nvidia-smi topo -m`: a square of cells, what each row says of its socket, and legends.

use super::{ImportFault, ImportFaults};

/// How far two things are from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Relation {
    /// The same.
    Same,
    /// `NV#`: so many scale-up links.
    Links(u32),
    /// `PIX`: at most one PCIe bridge between.
    OneSwitch,
    /// `PXB`: several PCIe bridges, no host bridge.
    Switches,
    /// `PHB`: a host bridge.
    HostBridge,
    /// `NODE`: host bridges of one NUMA node.
    NumaNode,
    /// `SYS`: between NUMA nodes.
    System,
}

/// A row: a device or a NIC.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) is_device: bool,
    pub(super) line: usize,
    pub(super) cells: Vec<Relation>,
    pub(super) numa: Option<u32>,
    /// What the NIC legend calls it.
    pub(super) alias: Option<String>,
}

/// Rows of `text`, every one with a cell for every other.
pub(super) fn rows(text: &str) -> Result<Vec<Row>, ImportFaults> {
    let plain = without_escapes(text);
    let lines: Vec<(usize, Vec<&str>)> = plain
        .lines()
        .enumerate()
        .map(|(position, line)| (position + 1, line.split_whitespace().collect()))
        .collect();
    let header = lines
        .iter()
        .find(|(_, words)| words.first().is_some_and(|word| is_device(word)) && !words.contains(&"X"));
    let Some((header_line, header)) = header else {
        return Err(ImportFault::new(
            0,
            "no header line such as `GPU0 GPU1 … CPU Affinity`",
            "paste all that `nvidia-smi topo -m` prints",
        )
        .into());
    };
    let columns: Vec<&str> = header
        .iter()
        .copied()
        .take_while(|&word| word != "CPU" && word != "GPU")
        .collect();
    let mut faults = Vec::new();
    let mut rows: Vec<Row> = Vec::new();
    for (line, words) in lines.iter().filter(|(line, _)| line > header_line) {
        let Some(name) = words.first().filter(|name| columns.contains(name)) else {
            legend(words, &mut rows);
            continue;
        };
        match row(name, *line, &words[1..], columns.len()) {
            Ok(row) => rows.push(row),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() {
        check(&columns, &rows, *header_line, &mut faults);
    }
    if faults.is_empty() {
        Ok(rows)
    } else {
        Err(ImportFaults(faults))
    }
}

/// Text without the escape sequences that underline the header.
fn without_escapes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        plain.push_str(before);
        let end = after.find(|character: char| character.is_ascii_alphabetic());
        rest = end.map_or("", |end| &after[end + 1..]);
    }
    plain.push_str(rest);
    plain
}

fn is_device(word: &str) -> bool {
    word.strip_prefix("GPU")
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
}

fn row(name: &str, line: usize, words: &[&str], num_columns: usize) -> Result<Row, ImportFault> {
    if words.len() < num_columns {
        return Err(ImportFault::new(
            line,
            format!(
                "row `{name}` has {} cells, the header {num_columns} columns",
                words.len()
            ),
            "paste the lines whole: a terminal may have cut them off",
        ));
    }
    let cells: Result<Vec<Relation>, ImportFault> = words[..num_columns]
        .iter()
        .map(|word| {
            relation(word).ok_or_else(|| {
                ImportFault::new(
                    line,
                    format!("`{word}` is no relation"),
                    "a cell is X, NV1 to NV18 and so on, PIX, PXB, PHB, NODE or SYS",
                )
            })
        })
        .collect();
    Ok(Row {
        name: name.to_owned(),
        is_device: is_device(name),
        line,
        cells: cells?,
        // CPU affinity comes first, then the NUMA node; a NIC has neither.
        numa: words
            .get(num_columns + 1)
            .and_then(|word| word.split(['-', ',']).next()?.parse().ok()),
        alias: None,
    })
}

fn relation(word: &str) -> Option<Relation> {
    match word {
        "X" => Some(Relation::Same),
        "PIX" => Some(Relation::OneSwitch),
        "PXB" => Some(Relation::Switches),
        "PHB" => Some(Relation::HostBridge),
        "NODE" => Some(Relation::NumaNode),
        "SYS" | "SOC" => Some(Relation::System),
        _ => word
            .strip_prefix("NV")?
            .parse()
            .ok()
            .filter(|links| (1..=1024).contains(links))
            .map(Relation::Links),
    }
}

/// `NIC0: mlx5_0`
fn legend(words: &[&str], rows: &mut [Row]) {
    if let [name, alias] = words
        && let Some(name) = name.strip_suffix(':')
        && let Some(row) = rows.iter_mut().find(|row| row.name == name)
    {
        row.alias = Some((*alias).to_owned());
    }
}

fn check(columns: &[&str], rows: &[Row], header_line: usize, faults: &mut Vec<ImportFault>) {
    if !rows
        .iter()
        .map(|row| row.name.as_str())
        .eq(columns.iter().copied())
    {
        faults.push(ImportFault::new(
            header_line,
            format!(
                "{} rows do not match {} columns in name and order",
                rows.len(),
                columns.len()
            ),
            "paste all rows of the matrix, in order",
        ));
        return;
    }
    for (position, row) in rows.iter().enumerate() {
        for (other, &cell) in row.cells.iter().enumerate() {
            let is_mirrored =
                rows[other].cells[position] == cell && (cell == Relation::Same) == (other == position);
            if !is_mirrored && other <= position {
                faults.push(ImportFault::new(
                    row.line,
                    format!(
                        "`{}` to `{}` is not the same both ways",
                        row.name, rows[other].name
                    ),
                    "a matrix is its own mirror, with X on the diagonal: paste it again",
                ));
            }
        }
    }
}
