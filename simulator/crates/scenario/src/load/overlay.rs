//! What is laid over what: a scenario over those that it extends, and `--set` over the scenario.

use crate::diagnostics::{Fault, Faults};
use crate::document::{Files, Item, Node, Place, Table, merge, parse, set};
use crate::source::LoadContext;

/// How deep `extends` may go; deeper ones are taken for a ring.
const MOST_EXTENDS: usize = 8;

/// `root` laid over what it extends.
pub(super) fn extended(
    file_name: &str,
    root: Table,
    context: &LoadContext<'_>,
    files: &mut Files,
    faults: &mut Faults,
    depth: usize,
) -> Table {
    let Some(Item {
        node: Node::Text(path),
        place,
        ..
    }) = root.get("extends")
    else {
        return root;
    };
    let (path, place) = (path.clone(), place.clone());
    if depth >= MOST_EXTENDS {
        let fault = Fault::new("S010", &place, "scenarios extend each other in a ring");
        faults.push(fault.help("remove one `extends`"));
        return root;
    }
    match context.source.read(file_name, &path) {
        Ok(text) => {
            let file = files.add(&path, &text);
            let base = parse(file, &text, faults);
            let mut base = extended(&path, base, context, files, faults, depth + 1);
            merge(&mut base, root);
            base
        }
        Err(why) => {
            let fault = Fault::new("S010", &place, format!("cannot extend `{path}`: {why}"));
            faults.push(fault.help("paths are relative to the scenario file"));
            root
        }
    }
}

/// Puts the value of `--set path=value` in; a value that is no TOML is taken as text.
pub(super) fn override_key(
    path: &str,
    value: &str,
    root: &mut Table,
    files: &mut Files,
    faults: &mut Faults,
) {
    let name = format!("--set {path}");
    let file = files.add(&name, value);
    let mut quiet = Faults::default();
    let document = format!("value = {value}");
    let parsed = parse(file, &document, &mut quiet);
    let place = Place {
        file,
        span: 0..value.len(),
    };
    let node = match parsed.0.into_iter().next() {
        Some((_, item)) if quiet.is_empty() => item.node,
        _ => Node::Text(value.to_owned()),
    };
    let item = Item {
        key: place.clone(),
        place: place.clone(),
        node: moved(node, &place),
    };
    let keys: Vec<&str> = path.split('.').collect();
    if keys.iter().any(|key| key.is_empty()) || !set(root, &keys, item) {
        let fault = Fault::new("S011", &place, format!("`{path}` is no path to a key"));
        faults.push(fault.help("--set training.micro_batch=2"));
    }
}

/// `node` with everything in it placed at `place`: positions in a wrapped text would mislead.
fn moved(node: Node, place: &Place) -> Node {
    let item = |item: Item| Item {
        key: place.clone(),
        place: place.clone(),
        node: moved(item.node, place),
    };
    match node {
        Node::List(items) => Node::List(items.into_iter().map(item).collect()),
        Node::Table(table) => Node::Table(Table(
            table
                .0
                .into_iter()
                .map(|(key, value)| (key, item(value)))
                .collect(),
        )),
        other => other,
    }
}
