//! `collective`: one collective on one machine, every algorithm.

use std::fmt::Write as _;
use std::path::Path;

use orrery_operation::CollectiveOp;
use orrery_units::Bytes;
use serde_json::{Value, json};

use super::{CollectiveArgs, Console, Failure, Format};
use crate::collective::{Answer, Asked, CollectiveError, Question};
use crate::exit::Exit;

mod picture;

/// Prints the times of every algorithm, or of the one that NCCL takes over a range of sizes; draws them where that is asked.
pub(crate) fn collective(args: &CollectiveArgs, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    let question = question(args)?;
    let sizes = match &args.sweep {
        Some(range) => range.0.clone(),
        None => vec![args.bytes],
    };
    let answers: Vec<(Bytes, Vec<Answer>)> =
        sizes.iter().map(|&size| (size, question.answers(size))).collect();
    if let Some(path) = &args.picture {
        draw(
            &question,
            args.sweep.as_ref().map(|range| range.0.as_slice()),
            path,
        )?;
        writeln!(console.err, "wrote {}", path.display())?;
    }
    if !question.is_exact() {
        writeln!(
            console.err,
            "orrery: no sweep of this platform was fitted; the law of `{}` stands for it",
            question.platform()
        )?;
    }
    let text = match args.format.format {
        Format::Json => format!("{:#}\n", document(&question, &answers)),
        Format::Jsonl => answers
            .iter()
            .map(|(size, all)| format!("{}\n", entry(*size, all)))
            .collect(),
        Format::Csv => csv(&answers),
        Format::Human | Format::Github if args.sweep.is_some() => sweep_table(&question, &answers),
        Format::Human | Format::Github => table(&question, &answers),
    };
    write!(console.out, "{text}")?;
    Ok(Exit::Success)
}

fn question(args: &CollectiveArgs) -> anyhow::Result<Question> {
    let asked = Asked {
        op: &args.op,
        gpu: &args.gpu,
        nodes: args.nodes,
        per_node: args.gpus_per_node,
        nic: &args.nic,
        launcher: &args.launcher,
        sharp: args.sharp,
    };
    Question::new(&asked).map_err(|fault| match fault {
        CollectiveError::NoPlatform { .. } => Failure::missing(fault.to_string()),
        _ => Failure::invalid(fault.to_string()),
    })
}

fn table(question: &Question, answers: &[(Bytes, Vec<Answer>)]) -> String {
    let mut text = format!("{}\n", question.title());
    for (size, all) in answers {
        // Writing to memory cannot fail.
        let _head = writeln!(
            text,
            "{size}\n  {:<20} {:>12} {:>12} {:>12}",
            "algorithm", "time us", "algbw GB/s", "busbw GB/s"
        );
        for (at, answer) in all.iter().enumerate() {
            let mark = if at == 0 { '*' } else { ' ' };
            let _row = writeln!(
                text,
                "{mark} {:<20} {:>12.2} {:>12.2} {:>12.2}",
                answer.name,
                answer.time.as_secs() * 1e6,
                answer.algorithm_bandwidth,
                answer.bus_bandwidth
            );
        }
    }
    text.push_str("* what NCCL takes, which need not be the fastest\n");
    text
}

/// The columns of nccl-tests, one buffer.
fn sweep_table(question: &Question, answers: &[(Bytes, Vec<Answer>)]) -> String {
    let mut text = format!(
        "# {}\n# {:>12} {:>13} {:>8} {:>7} {:>5} {:>9} {:>7} {:>7}  algorithm\n# {:>12} {:>13} {:>8} {:>7} {:>5} {:>9} {:>7} {:>7}\n",
        question.title(),
        "size",
        "count",
        "type",
        "redop",
        "root",
        "time",
        "algbw",
        "busbw",
        "(B)",
        "(elements)",
        "",
        "",
        "",
        "(us)",
        "(GB/s)",
        "(GB/s)"
    );
    let reduces = matches!(
        question.op(),
        CollectiveOp::AllReduce | CollectiveOp::ReduceScatter | CollectiveOp::Reduce
    );
    for (size, all) in answers {
        let Some(taken) = all.first() else { continue };
        // Writing to memory cannot fail.
        let _row = writeln!(
            text,
            "{:>14} {:>13} {:>8} {:>7} {:>5} {:>9.2} {:>7.2} {:>7.2}  {}",
            size.get(),
            size.get() / 4,
            "float",
            if reduces { "sum" } else { "none" },
            -1,
            taken.time.as_secs() * 1e6,
            taken.algorithm_bandwidth,
            taken.bus_bandwidth,
            taken.name
        );
    }
    text
}

fn csv(answers: &[(Bytes, Vec<Answer>)]) -> String {
    let mut text = "size_bytes,algorithm,chosen,time_us,algbw_GBps,busbw_GBps\n".to_owned();
    for (size, all) in answers {
        for (at, answer) in all.iter().enumerate() {
            // Writing to memory cannot fail.
            let _row = writeln!(
                text,
                "{},{},{},{:.3},{:.3},{:.3}",
                size.get(),
                answer.name,
                at == 0,
                answer.time.as_secs() * 1e6,
                answer.algorithm_bandwidth,
                answer.bus_bandwidth
            );
        }
    }
    text
}

fn entry(size: Bytes, all: &[Answer]) -> Value {
    let list: Vec<Value> = all
        .iter()
        .enumerate()
        .map(|(at, answer)| {
            json!({
                "algorithm": answer.name, "chosen": at == 0, "time_s": answer.time.as_secs(),
                "algbw": answer.algorithm_bandwidth * 1e9, "busbw": answer.bus_bandwidth * 1e9,
            })
        })
        .collect();
    json!({"bytes": size.get(), "algorithms": list})
}

fn document(question: &Question, answers: &[(Bytes, Vec<Answer>)]) -> Value {
    let sizes: Vec<Value> = answers.iter().map(|(size, all)| entry(*size, all)).collect();
    json!({
        "op": question.op().name(), "ranks": question.ranks(), "nodes": question.nodes(),
        "platform": question.platform(),
        "evidence": if question.is_exact() { "interpolated" } else { "extrapolated" },
        "sizes": sizes,
    })
}

/// Sizes of a sweep.
#[derive(Clone, Debug)]
pub(crate) struct Sizes(Vec<Bytes>);

/// Sizes from `first` to `last`, doubling: `8..8GiB`.
pub(crate) fn parse_sweep(text: &str) -> Result<Sizes, String> {
    let help = "write FROM..TO, such as `8..8GiB`";
    let (first, last) = text.split_once("..").ok_or(help)?;
    let (first, last) = (parse_size(first)?, parse_size(last)?);
    if first == Bytes::ZERO || first > last {
        return Err(help.to_owned());
    }
    let sizes = std::iter::successors(Some(first.get()), |size| size.checked_mul(2));
    let within = sizes.take_while(|&size| size <= last.get());
    Ok(Sizes(within.map(Bytes::new).collect()))
}

/// The largest size that is asked about: 1 PiB.
const MOST_BYTES: f64 = 1_125_899_906_842_624.0;

/// A size: `1GiB`, `64 MiB`, or a bare number of bytes as nccl-tests takes it.
pub(crate) fn parse_size(text: &str) -> Result<Bytes, String> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let value: f64 = number.parse().map_err(|_not_a_number| {
        format!("`{text}` is no size\n  = help: write `1GiB`, `64MiB` or a number of bytes")
    })?;
    let scale = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kib" => 1024.0,
        "m" | "mib" => 1_048_576.0,
        "g" | "gib" => 1_073_741_824.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        other => {
            return Err(format!(
                "unknown unit `{other}`\n  = help: use B, KiB, MiB, GiB, kB, MB or GB"
            ));
        }
    };
    let bytes = value * scale;
    // Beyond a pebibyte no time is meant, and times would not fit their type.
    if !(1.0..=MOST_BYTES).contains(&bytes) {
        return Err(format!(
            "`{text}` is outside 1 B to 1 PiB\n  = help: write `1GiB`, `64MiB` or a number of bytes"
        ));
    }
    Ok(Bytes::from_f64(bytes))
}

/// Bus bandwidth of every algorithm over size.
fn draw(question: &Question, sizes: Option<&[Bytes]>, path: &Path) -> anyhow::Result<()> {
    let usual: Vec<Bytes> = (10..=33).map(|power| Bytes::new(1 << power)).collect();
    let sizes = sizes.filter(|sizes| sizes.len() > 1).unwrap_or(&usual);
    let mut lines: Vec<picture::Line> = Vec::new();
    for &size in sizes {
        for answer in question.answers(size) {
            let point = (size.as_f64(), answer.bus_bandwidth);
            match lines.iter_mut().find(|line| line.name == answer.name) {
                Some(line) => line.points.push(point),
                None => lines.push(picture::Line {
                    name: answer.name,
                    points: vec![point],
                }),
            }
        }
    }
    lines.sort_by_key(|line| line.name);
    let drawing = picture::Lines {
        title: &question.title(),
        lines: &lines,
    };
    crate::picture::draw(&drawing, path).map_err(Failure::invalid)
}
