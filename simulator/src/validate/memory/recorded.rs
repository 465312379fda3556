//! When rows of a table of allocated memory were recorded, and with which software: a table beside it.
//!
//! `NAME_recorded.csv` beside `NAME_memory.csv` says for each `id` the day (`recorded`), the base image of NVIDIA's
//! registry (`image`, such as 25.03), and what the recipe and the arguments said then. A row of which nothing is said ran
//! with today's software and the arguments that stand in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::table::{self, Table, field};
use super::arguments::Arguments;

/// Day from which on Megatron-Core's planner no longer flattens what it loads (its commit a8efd34). Before, PyTorch's
/// functions that flatten refer to themselves and to every tensor that was loaded (`torch.distributed.checkpoint`,
/// `traverse_state_dict`), so that these wait for Python's collector of cycles.
const NOT_FLATTENED: &str = "2026-02-24";

/// First image known to give Blackwell the workspaces of Hopper; 26.02 does not (PyTorch's pull request 175344, of
/// February 2026).
const LARGE_ON_BLACKWELL: Image = (26, 4);

/// First image known to have fused attention whose backward pass repeats; in 24.01 FlashAttention is older than 2.4.1,
/// which brought it, and Transformer Engine then falls back to separate kernels where results must repeat.
const REPEATABLE_CORES: Image = (24, 10);

/// First images known to hold three and two FP32 copies of the logits in the compiled loss: 24.01 holds four, 24.10
/// three, 25.03 two. That an image between two that are known is like the older one is an assumption.
const COPIES: [(Image, u64); 2] = [((25, 3), 2), ((24, 10), 3)];

/// Year and month of a base image.
type Image = (u32, u32);

/// The software that a row ran with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Software {
    image: Option<Image>,
    recorded: Option<String>,
}

impl Software {
    /// What `row` says of it.
    pub(super) fn of(row: &BTreeMap<String, String>) -> Self {
        let image = || {
            let (year, month) = field(row, "image").split_once('.')?;
            Some((year.parse().ok()?, month.parse().ok()?))
        };
        let recorded = field(row, "recorded");
        Self {
            image: image(),
            recorded: (!recorded.is_empty()).then(|| recorded.to_owned()),
        }
    }

    /// FP32 copies of the logits that the compiled loss holds.
    pub(super) fn fused_copies(&self) -> u64 {
        let Some(image) = self.image else { return 2 };
        let known = COPIES.into_iter().find(|(first, _)| image >= *first);
        known.map_or(4, |(_, copies)| copies)
    }

    /// Whether PyTorch gives Blackwell the workspaces of Hopper.
    pub(super) fn large_on_blackwell(&self) -> bool {
        self.image.is_none_or(|image| image >= LARGE_ON_BLACKWELL)
    }

    /// Whether fused attention can repeat its results.
    pub(super) fn repeatable_cores(&self) -> bool {
        self.image.is_none_or(|image| image >= REPEATABLE_CORES)
    }

    /// Whether what a checkpoint was loaded into waits for Python's collector.
    pub(super) fn loaded_waits(&self) -> bool {
        self.recorded.as_deref().is_some_and(|day| day < NOT_FLATTENED)
    }
}

/// The file that tells of `file`, where its name can have one.
fn beside(file: &Path) -> Option<PathBuf> {
    let name = super::super::stem(file);
    let name = name.strip_suffix("_memory")?;
    Some(file.with_file_name(format!("{name}_recorded.csv")))
}

/// What is told beside `file`: no rows where nothing is.
pub(super) fn told(file: &Path) -> Result<Table, String> {
    match beside(file) {
        Some(path) if path.exists() => table::text(&path).and_then(|text| table::parse(&text)),
        _ => Ok(Table::default()),
    }
}

/// Lays over each row of `table` what is told of it: what it lacks, and arguments that were others.
///
/// # Errors
/// When these are no JSON object: which row, and what stands there.
pub(super) fn complete(table: &mut Table, told: &Table) -> Result<(), String> {
    let by_id: BTreeMap<&str, _> = told.rows.iter().map(|row| (field(row, "id"), row)).collect();
    for row in &mut table.rows {
        let Some(then) = by_id.get(field(row, "id")) else {
            continue;
        };
        for column in ["recorded", "image", "nodes", "gpus_per_node"] {
            if field(row, column).trim().is_empty() {
                row.insert(column.to_owned(), field(then, column).to_owned());
            }
        }
        let changes = field(then, "arguments");
        if !changes.is_empty()
            && let Some(arguments) = Arguments::parse(field(row, "args_json"))
        {
            let changed = arguments.changed(changes).ok_or_else(|| {
                format!(
                    "`arguments` of {} is no JSON object: {changes}\n  = help: write what was another as in \
                     {{\"--swiglu\": null, \"--hidden-size\": 64}}, or leave the cell empty",
                    field(row, "id")
                )
            })?;
            row.insert("args_json".to_owned(), changed.text_of_all());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn software(image: &str, recorded: &str) -> Software {
        let cells = [("image", image), ("recorded", recorded)];
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Software::of(&cells.into_iter().map(own).collect())
    }

    #[test]
    fn software_is_that_of_the_day() {
        let copies =
            ["24.01", "24.07", "24.10", "25.03", "26.06", ""].map(|image| software(image, "").fused_copies());
        assert_eq!(copies, [4, 4, 3, 2, 2, 2]);
        let large = ["25.09", "26.02", "26.04", ""].map(|image| software(image, "").large_on_blackwell());
        assert_eq!(large, [false, false, true, true]);
        let repeat = ["24.01", "24.10", ""].map(|image| software(image, "").repeatable_cores());
        assert_eq!(repeat, [false, true, true]);
        let waits =
            ["2026-01-15", "2026-02-23", "2026-02-24", ""].map(|day| software("", day).loaded_waits());
        assert_eq!(waits, [true, true, false, false]);
    }

    #[test]
    fn a_row_keeps_what_it_says_and_is_told_the_rest() {
        let parse = |text| table::parse(text).expect("the table reads");
        let mut all = parse("id,nodes,gpus_per_node,args_json\na,,8,{\"--swiglu\":true}\nb,1,8,{}\n");
        all.rows[0].insert(
            "args_json".to_owned(),
            r#"{"--swiglu":true,"--bf16":true}"#.to_owned(),
        );
        let told = parse(
            "# source: x\nid,recorded,image,nodes,gpus_per_node,arguments\n\
             a,2026-01-15,25.11,2,4,\"{\"\"--swiglu\"\":null,\"\"--hidden-size\"\":64}\"\n",
        );
        complete(&mut all, &told).expect("what is told is JSON");
        let says = |column| field(&all.rows[0], column);
        assert_eq!(
            ["nodes", "gpus_per_node", "recorded", "image"].map(says),
            ["2", "8", "2026-01-15", "25.11"]
        );
        assert_eq!(says("args_json"), r#"{"--bf16":true,"--hidden-size":64}"#);
        assert_eq!(field(&all.rows[1], "recorded"), "", "nothing is told of it");
    }

    #[test]
    fn changes_that_are_no_object_are_refused() {
        let parse = |text| table::parse(text).expect("the table reads");
        let mut all = parse("id,args_json\na,{}\n");
        let told = parse("id,arguments\na,swiglu\n");
        let refused = complete(&mut all, &told).expect_err("`swiglu` is no JSON object");
        assert!(refused.contains("of a is no JSON object: swiglu"), "{refused}");
    }

    #[test]
    fn the_file_beside_has_the_name_of_the_table() {
        let name = |file| beside(Path::new(file)).map(|path| path.display().to_string());
        assert_eq!(name("x/ci_memory.csv.gz").as_deref(), Some("x/ci_recorded.csv"));
        assert_eq!(name("x/memory_of_ci.csv"), None);
    }
}
