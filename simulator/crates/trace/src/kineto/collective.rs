//! What kernels say of the collectives that they are part of.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::event::Arguments;
use super::loads::Splits;

/// A collective, as one kernel of one rank tells it; a few words, for every such kernel has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Collective {
    /// Its name in the framework, such as `allreduce`, a place in the names of its rank.
    pub(super) name: u32,
    /// Its process group, a place in the groups of its rank.
    pub(super) group: u32,
    /// Its number in the group.
    pub(super) sequence: Option<u64>,
    /// Bytes that the rank gave to it or got of it, whichever is more.
    pub(super) bytes: Option<u64>,
    /// Whom a message goes from and to, as far as its end says.
    pub(super) source: Option<u32>,
    pub(super) destination: Option<u32>,
}

/// A process group, as a rank tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Group {
    pub(super) name: Option<String>,
    /// What the trainer calls it.
    pub(super) description: Option<String>,
    /// Its ranks in the job, where all are listed.
    pub(super) ranks: Option<Vec<u32>>,
    /// How many they are.
    pub(super) size: Option<u64>,
}

impl Group {
    /// How many ranks it has, if that is known.
    pub(super) fn num_ranks(&self) -> Option<u64> {
        let listed = self.ranks.as_ref().map(|ranks| ranks.len() as u64);
        self.size.or(listed)
    }
}

/// Groups of one rank, each once.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    pub(super) all: Vec<Group>,
    /// By the text of everything that events say of them.
    places: HashMap<String, u32>,
}

impl Groups {
    /// The group of which `arguments` speak.
    pub(super) fn of(&mut self, arguments: &Arguments<'_>) -> u32 {
        let text = |value: &Option<std::borrow::Cow<'_, str>>| value.as_ref().map(ToString::to_string);
        let listed = arguments.ranks.map_or("", RawValue::get);
        let size = arguments.group_size.count();
        let (name, description) = (text(&arguments.group), text(&arguments.description));
        let key = format!("{name:?} {description:?} {size:?} {listed}");
        let next = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        let place = *self.places.entry(key).or_insert(next);
        if place == next {
            let ranks = numbers(listed);
            self.all.push(Group {
                name,
                description,
                ranks,
                size,
            });
        }
        place
    }

    /// The group of that name and size.
    pub(super) fn named(&mut self, name: &str, size: u64) -> u32 {
        let next = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        let place = *self.places.entry(format!("{name} {size}")).or_insert(next);
        if place == next {
            self.all.push(Group {
                name: Some(name.to_owned()),
                size: Some(size),
                ..Group::default()
            });
        }
        place
    }

    /// Fills in what the head of the file says of its groups; the places are no longer needed.
    pub(super) fn close(&mut self, heads: &[GroupHead]) {
        self.places = HashMap::new();
        for group in &mut self.all {
            let head = heads.iter().find(|head| Some(&head.name) == group.name.as_ref());
            let Some(head) = head else { continue };
            let listed = (!head.ranks.is_empty()).then(|| head.ranks.clone());
            group.ranks = group.ranks.take().or(listed);
            group.size = group.size.or(head.size);
            if group.description.is_none() {
                group.description.clone_from(&head.description);
            }
        }
    }
}

/// A process group in the head of a file (`distributedInfo.pg_config`).
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct GroupHead {
    #[serde(rename = "pg_name", default)]
    name: String,
    #[serde(rename = "pg_desc", default)]
    description: Option<String>,
    #[serde(rename = "pg_size", default)]
    size: Option<u64>,
    #[serde(default)]
    ranks: Vec<u32>,
}

/// Sizes of an exchange with uneven splits; none of other collectives.
pub(super) fn splits(arguments: &Arguments<'_>) -> Option<Splits> {
    Some(Splits {
        sent: numbers(arguments.split_in?.get())?,
        received: numbers(arguments.split_out?.get())?,
    })
}

/// `[1, 2, 3]`, also within quotes; none where the list is shortened (`[0, 1, ..., 511]`) or empty.
fn numbers(text: &str) -> Option<Vec<u32>> {
    let text = text.trim_matches('"').trim();
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    inner
        .split(',')
        .map(|number| number.trim().parse().ok())
        .collect()
}

/// Bytes that a rank gave to a collective or got of it, whichever is more.
pub(super) fn moved(arguments: &Arguments<'_>) -> Option<u64> {
    let element = bytes_of_element(arguments.dtype.as_deref()?)?;
    let elements = arguments
        .elements_in
        .count()
        .max(arguments.elements_out.count())?;
    elements.checked_mul(element)
}

/// Bytes of an element of a collective, by the name of its format.
fn bytes_of_element(dtype: &str) -> Option<u64> {
    Some(match dtype {
        "Double" | "Long" | "ComplexFloat" => 8,
        "Float" | "Int" => 4,
        "Half" | "BFloat16" | "Short" => 2,
        "Byte" | "Char" | "Bool" => 1,
        other if other.starts_with("Float8") => 1,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_ranks() {
        assert_eq!(numbers("\"[0, 8]\""), Some(vec![0, 8]));
        assert_eq!(numbers("[3]"), Some(vec![3]));
        assert_eq!(numbers("\"[0, 1, ..., 511]\""), None, "shortened");
        assert_eq!(numbers("[]"), None);
        assert_eq!(numbers(""), None);
    }

    #[test]
    fn the_head_completes_what_events_say() {
        let arguments: Arguments<'_> = serde_json::from_str(
            r#"{"Process Group Name": "7", "Group size": 3, "Process Group Ranks": "[0, ..., 2]"}"#,
        )
        .expect("arguments");
        let mut groups = Groups::default();
        assert_eq!(
            (groups.of(&arguments), groups.of(&arguments)),
            (0, 0),
            "one group"
        );
        let head = r#"[{"pg_name": "7", "pg_desc": "EXPERT_MODEL_PARALLEL_GROUP", "pg_size": 3, "ranks": [0, 1, 2]}]"#;
        groups.close(&serde_json::from_str::<Vec<GroupHead>>(head).expect("heads"));
        let group = &groups.all[0];
        assert_eq!(group.ranks.as_deref(), Some([0, 1, 2].as_slice()));
        assert_eq!(group.description.as_deref(), Some("EXPERT_MODEL_PARALLEL_GROUP"));
    }
}
