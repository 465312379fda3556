//! Joining trees: `extends` and `--set`.

use super::{Item, Node, Place, Table};

/// `over` laid over `base`: tables deeply, everything else replaced.
pub(crate) fn merge(base: &mut Table, over: Table) {
    for (key, item) in over.0 {
        match (base.get_mut(&key), item) {
            (
                Some(Item {
                    node: Node::Table(below),
                    key: key_place,
                    place,
                }),
                Item {
                    node: Node::Table(above),
                    key: above_key,
                    place: above_place,
                },
            ) => {
                *key_place = above_key;
                *place = above_place;
                merge(below, above);
            }
            (Some(below), above) => *below = above,
            (None, above) => base.0.push((key, above)),
        }
    }
}

/// Puts `item` at `path`, making tables on the way. False where a value on the way is no table.
pub(crate) fn set(table: &mut Table, path: &[&str], item: Item) -> bool {
    let Some((first, rest)) = path.split_first() else {
        return false;
    };
    if rest.is_empty() {
        match table.get_mut(first) {
            Some(old) => *old = item,
            None => table.0.push(((*first).to_owned(), item)),
        }
        return true;
    }
    if table.get(first).is_none() {
        let made = Item {
            key: Place::clone(&item.place),
            place: Place::clone(&item.place),
            node: Node::Table(Table::default()),
        };
        table.0.push(((*first).to_owned(), made));
    }
    match table.get_mut(first) {
        Some(Item {
            node: Node::Table(below),
            ..
        }) => set(below, rest, item),
        _ => false,
    }
}
