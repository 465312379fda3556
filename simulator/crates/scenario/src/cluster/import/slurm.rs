//! Slurm's `topology.conf`: a tree of switches, or blocks of nodes.

use orrery_units::SimDuration;

use super::hostlist::hostlist;
use super::{ImportFault, ImportFaults, Usual, counted};
use crate::cluster::fabric::{SwitchTree, TreeSwitch};
use crate::cluster::link::{at, number};
use crate::import::{Line, Report};

/// A topology that was read.
#[derive(Clone, Debug)]
pub struct SlurmTopology {
    /// Switches and nodes; the nodes in the order in which the leaves name them.
    pub tree: SwitchTree,
    /// Sizes of aggregated blocks, of a file of blocks.
    pub block_sizes: Vec<u32>,
    /// What was read, derived and assumed.
    pub report: Report,
}

/// A line that names a switch or a block.
#[derive(Debug)]
struct Entry {
    line: usize,
    name: String,
    children: Vec<String>,
    nodes: Vec<String>,
}

/// What the lines say.
#[derive(Debug, Default)]
struct Read {
    switches: Vec<Entry>,
    blocks: Vec<Entry>,
    block_sizes: Vec<u32>,
    report: Report,
    faults: Vec<ImportFault>,
}

/// The switches of `text`, the content of a `topology.conf` for the tree or the block plugin.
///
/// The file has no rates: a switch gets as much capacity up as comes in from below, over
/// [`Usual::oversubscription`]. A block becomes a leaf below one spine.
///
/// # Errors
/// Every line that is wrong, and how to mend it.
pub fn slurm_topology(text: &str, usual: &Usual) -> Result<SlurmTopology, ImportFaults> {
    let mut read = Read::default();
    for (line, content) in logical_lines(text) {
        read.line(line, &content);
    }
    if !read.switches.is_empty() && !read.blocks.is_empty() {
        read.faults.push(ImportFault::new(
            read.blocks[0].line,
            "blocks and switches in one file",
            "keep the lines of the plugin that `TopologyPlugin` in slurm.conf names",
        ));
    }
    if read.switches.is_empty() && read.blocks.is_empty() {
        read.faults.push(ImportFault::new(
            0,
            "no `SwitchName=` and no `BlockName=` line",
            "a line such as `SwitchName=leaf1 Nodes=node[01-32]`",
        ));
    }
    let is_blocks = !read.blocks.is_empty();
    let mut entries = std::mem::take(if is_blocks {
        &mut read.blocks
    } else {
        &mut read.switches
    });
    if is_blocks && entries.len() > 1 {
        let children = entries.iter().map(|entry| entry.name.clone()).collect();
        read.report.assumed.push(Line::new(
            "switch above the blocks",
            "one",
            "the block plugin names none",
        ));
        entries.push(Entry {
            line: 0,
            name: "above the blocks".to_owned(),
            children,
            nodes: Vec::new(),
        });
    }
    let tree = tree(&entries, usual, &mut read.faults);
    if !read.faults.is_empty() {
        read.faults.sort_by_key(|fault| fault.line);
        return Err(ImportFaults(read.faults));
    }
    describe(&mut read.report, &tree, is_blocks, usual);
    Ok(SlurmTopology {
        tree,
        block_sizes: read.block_sizes,
        report: read.report,
    })
}

/// Lines without comments, those that end in a backslash joined with the next.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut is_open = false;
    for (position, line) in text.lines().enumerate() {
        let content = line.split('#').next().unwrap_or_default().trim();
        let (content, goes_on) = match content.strip_suffix('\\') {
            Some(content) => (content, true),
            None => (content, false),
        };
        match lines.last_mut().filter(|_| is_open) {
            Some((_, last)) => {
                last.push(' ');
                last.push_str(content);
            }
            None if !content.is_empty() => lines.push((position + 1, content.to_owned())),
            None => {}
        }
        is_open = goes_on;
    }
    lines
}

impl Read {
    fn fault(&mut self, line: usize, message: String, help: &str) {
        self.faults.push(ImportFault::new(line, message, help));
    }

    fn line(&mut self, line: usize, content: &str) {
        let mut entry = Entry {
            line,
            name: String::new(),
            children: Vec::new(),
            nodes: Vec::new(),
        };
        let (mut is_switch, mut is_block) = (false, false);
        for word in content.split_whitespace() {
            let Some((key, value)) = word.split_once('=') else {
                self.fault(
                    line,
                    format!("`{word}` is no `key=value`"),
                    "write names and lists without spaces",
                );
                continue;
            };
            match key.to_ascii_lowercase().as_str() {
                "switchname" => (is_switch, entry.name) = (true, value.to_owned()),
                "blockname" => (is_block, entry.name) = (true, value.to_owned()),
                "switches" => entry.children = self.hosts(line, value),
                "nodes" => entry.nodes = self.hosts(line, value),
                "blocksizes" => self.sizes(line, value),
                "linkspeed" => self.report.ignored.push(Line::new(
                    "LinkSpeed",
                    value,
                    "informational to Slurm, in no unit; rates come from NICs and oversubscription",
                )),
                _ => {
                    let from = format!("line {line}");
                    self.report.unknown.push(Line::new(key, value, from));
                }
            }
        }
        match (is_switch, is_block) {
            (true, false) => self.keep_switch(entry),
            (false, true) => self.keep_block(entry),
            (true, true) => self.fault(
                line,
                "a line names a switch and a block".to_owned(),
                "one line for each",
            ),
            (false, false) if !entry.nodes.is_empty() || !entry.children.is_empty() => self.fault(
                line,
                "a list without a `SwitchName=` or `BlockName=`".to_owned(),
                "begin the line with the name of the switch that the list hangs below",
            ),
            (false, false) => {}
        }
    }

    fn keep_switch(&mut self, entry: Entry) {
        if entry.nodes.is_empty() == entry.children.is_empty() {
            let message = format!(
                "switch `{}` has {} below it",
                entry.name,
                if entry.nodes.is_empty() {
                    "nothing"
                } else {
                    "nodes and switches"
                }
            );
            self.fault(
                entry.line,
                message,
                "give it `Nodes=` or `Switches=`, one of them",
            );
            return;
        }
        self.switches.push(entry);
    }

    fn keep_block(&mut self, entry: Entry) {
        if entry.nodes.is_empty() {
            let message = format!("block `{}` has no nodes", entry.name);
            self.fault(
                entry.line,
                message,
                "give it `Nodes=`, such as `Nodes=node[01-18]`",
            );
            return;
        }
        self.blocks.push(entry);
    }

    fn hosts(&mut self, line: usize, value: &str) -> Vec<String> {
        if value.eq_ignore_ascii_case("all") {
            self.fault(
                line,
                "`ALL` does not say which nodes".to_owned(),
                "write the list out, as `sinfo -h -o %N` does",
            );
            return Vec::new();
        }
        hostlist(value).unwrap_or_else(|message| {
            self.fault(
                line,
                message,
                "a list reads `node[01-18,20]` or `a,b`, without spaces",
            );
            Vec::new()
        })
    }

    fn sizes(&mut self, line: usize, value: &str) {
        let sizes: Option<Vec<u32>> = value.split(',').map(|size| size.parse().ok()).collect();
        match sizes {
            Some(sizes) => {
                self.report
                    .read
                    .push(Line::new("BlockSizes", value, format!("line {line}")));
                self.block_sizes = sizes;
            }
            None => self.fault(
                line,
                format!("`{value}` are no block sizes"),
                "write them as `BlockSizes=18,36`",
            ),
        }
    }
}

/// The tree of the entries, and what is wrong with it.
fn tree(entries: &[Entry], usual: &Usual, faults: &mut Vec<ImportFault>) -> SwitchTree {
    let mut parents: Vec<Option<u32>> = vec![None; entries.len()];
    for (position, entry) in entries.iter().enumerate() {
        let earlier = entries[..position]
            .iter()
            .find(|earlier| earlier.name == entry.name);
        if let Some(earlier) = earlier {
            let message = format!("switch `{}` stands on line {} already", entry.name, earlier.line);
            faults.push(ImportFault::new(
                entry.line,
                message,
                "join the two lines, or rename one",
            ));
        }
        for child in &entry.children {
            let Some(below) = entries.iter().position(|other| other.name == *child) else {
                let message = format!("no switch `{child}`, which `{}` names", entry.name);
                let help = format!("add a line `SwitchName={child} Nodes=…`");
                faults.push(ImportFault::new(entry.line, message, help));
                continue;
            };
            if let Some(parent) = parents[below] {
                let message = format!(
                    "switch `{child}` is below `{}` and `{}`",
                    entries[at(parent)].name,
                    entry.name
                );
                let help = "a tree has one switch above each: write the spines of a fabric as one switch";
                faults.push(ImportFault::new(entry.line, message, help));
            }
            parents[below] = Some(number(position));
        }
    }
    let (nodes, switch_of_node) = leaves(entries, faults);
    let tree = SwitchTree {
        switches: entries
            .iter()
            .zip(&parents)
            .map(|(entry, &parent)| TreeSwitch {
                name: entry.name.clone(),
                parent,
            })
            .collect(),
        nodes,
        switch_of_node,
        oversubscription: usual.oversubscription,
        switch_latency: usual.switch_latency,
    };
    if tree.depths().is_none() {
        let line = entries.first().map_or(0, |entry| entry.line);
        faults.push(ImportFault::new(
            line,
            "the switches run in a circle",
            "let the topmost be below no other",
        ));
    }
    tree
}

/// The nodes with their switches, each once.
fn leaves(entries: &[Entry], faults: &mut Vec<ImportFault>) -> (Vec<String>, Vec<u32>) {
    let mut seen: std::collections::BTreeMap<&str, &Entry> = std::collections::BTreeMap::new();
    let (mut nodes, mut switch_of_node) = (Vec::new(), Vec::new());
    for (position, entry) in (0u32..).zip(entries) {
        for node in &entry.nodes {
            if let Some(earlier) = seen.insert(node, entry) {
                let message = format!("node `{node}` is on `{}` and on `{}`", earlier.name, entry.name);
                faults.push(ImportFault::new(entry.line, message, "leave it on one of them"));
                continue;
            }
            nodes.push(node.clone());
            switch_of_node.push(position);
        }
    }
    (nodes, switch_of_node)
}

fn describe(report: &mut Report, tree: &SwitchTree, is_blocks: bool, usual: &Usual) {
    let lines = if is_blocks {
        "BlockName lines"
    } else {
        "SwitchName lines"
    };
    report
        .read
        .push(Line::new("switches", tree.switches.len(), lines));
    report
        .read
        .push(Line::new("cluster.nodes", tree.nodes.len(), "Nodes lists"));
    let roots = tree
        .switches
        .iter()
        .filter(|switch| switch.parent.is_none())
        .count();
    report.derived.push(Line::new(
        "trees",
        counted(roots, "tree"),
        "switches that are below no other",
    ));
    let micros = |time: SimDuration| format!("{} us", time.as_secs() * 1e6);
    report.assumed.push(Line::new(
        "cluster.fabric.oversubscription",
        usual.oversubscription,
        "topology.conf has no rates",
    ));
    report.assumed.push(Line::new(
        "cluster.fabric.switch_latency",
        micros(usual.switch_latency),
        "topology.conf has no latencies",
    ));
}
