//! The NVLinks of a device, one by one.
//!
//! On the wire they stand by column, a column whose links all say the same as that one word: most of what a device with
//! 18 links tells is counters that stand at zero.

use std::ops::Deref;

use orrery_units::Bytes;
use serde::{Deserialize, Serialize};

use crate::Reading;
use crate::readings::readings;

/// One NVLink of a device. Its readings are refreshed at most once a second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// Its number in the device.
    pub index: u32,
    /// Whether it is up.
    pub is_active: bool,
    /// Data received since the driver was loaded.
    pub receive: Reading<Bytes>,
    /// Data sent since the driver was loaded.
    pub transmit: Reading<Bytes>,
    /// Errors since the driver was loaded.
    #[serde(default)]
    pub errors: LinkErrors,
}

readings! {
    /// Errors of one NVLink by kind, since the driver was loaded.
    pub struct LinkErrors {
        /// Packets that were sent again (field 161).
        replay: u64 = "NVLink replays",
        /// Trainings anew (field 162, on Blackwell 215).
        recovery: u64 = "NVLink recoveries",
        /// Packets with a wrong checksum (field 163).
        crc: u64 = "NVLink CRC errors",
        /// Errors that were left after forward error correction (field 219, on Blackwell).
        effective: u64 = "NVLink errors after correction",
    }
}

/// The links of a device, in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Form", into = "Columns")]
pub struct Links(Vec<Link>);

impl From<Vec<Link>> for Links {
    fn from(links: Vec<Link>) -> Self {
        Self(links)
    }
}

impl Deref for Links {
    type Target = [Link];

    fn deref(&self) -> &[Link] {
        &self.0
    }
}

impl<'a> IntoIterator for &'a Links {
    type Item = &'a Link;
    type IntoIter = std::slice::Iter<'a, Link>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// As links are read: by column, or one object a link, as collectors before wrote them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Form {
    Rows(Vec<Link>),
    Columns(Box<Columns>),
}

/// As links are written.
#[derive(Serialize, Deserialize)]
struct Columns {
    index: Vec<u32>,
    is_active: Column<bool>,
    receive: Column<Reading<Bytes>>,
    transmit: Column<Reading<Bytes>>,
    replay: Column<Reading<u64>>,
    recovery: Column<Reading<u64>>,
    crc: Column<Reading<u64>>,
    effective: Column<Reading<u64>>,
}

/// What every link says, or what each says.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Column<T> {
    Each(Vec<T>),
    Same(T),
}

impl<T: Clone + PartialEq> Column<T> {
    fn of(links: &[Link], field: impl Fn(&Link) -> T) -> Self {
        let each: Vec<T> = links.iter().map(field).collect();
        match each.split_first() {
            Some((first, rest)) if rest.iter().all(|other| other == first) => Self::Same(first.clone()),
            _ => Self::Each(each),
        }
    }

    /// What each of `num` links says.
    fn each(self, num: usize) -> Result<Vec<T>, String> {
        match self {
            Self::Same(word) => Ok(vec![word; num]),
            Self::Each(words) if words.len() == num => Ok(words),
            Self::Each(words) => Err(format!("{} readings for {num} links", words.len())),
        }
    }
}

impl From<Links> for Columns {
    fn from(Links(links): Links) -> Self {
        Self {
            index: links.iter().map(|link| link.index).collect(),
            is_active: Column::of(&links, |link| link.is_active),
            receive: Column::of(&links, |link| link.receive.clone()),
            transmit: Column::of(&links, |link| link.transmit.clone()),
            replay: Column::of(&links, |link| link.errors.replay.clone()),
            recovery: Column::of(&links, |link| link.errors.recovery.clone()),
            crc: Column::of(&links, |link| link.errors.crc.clone()),
            effective: Column::of(&links, |link| link.errors.effective.clone()),
        }
    }
}

impl TryFrom<Form> for Links {
    type Error = String;

    fn try_from(form: Form) -> Result<Self, String> {
        let columns = match form {
            Form::Rows(links) => return Ok(Self(links)),
            Form::Columns(columns) => *columns,
        };
        let num = columns.index.len();
        let mut is_active = columns.is_active.each(num)?.into_iter();
        let mut receive = columns.receive.each(num)?.into_iter();
        let mut transmit = columns.transmit.each(num)?.into_iter();
        let mut replay = columns.replay.each(num)?.into_iter();
        let mut recovery = columns.recovery.each(num)?.into_iter();
        let mut crc = columns.crc.each(num)?.into_iter();
        let mut effective = columns.effective.each(num)?.into_iter();
        let links = columns.index.into_iter().map(|index| {
            Some(Link {
                index,
                is_active: is_active.next()?,
                receive: receive.next()?,
                transmit: transmit.next()?,
                errors: LinkErrors {
                    replay: replay.next()?,
                    recovery: recovery.next()?,
                    crc: crc.next()?,
                    effective: effective.next()?,
                },
            })
        });
        let links: Option<Vec<Link>> = links.collect();
        links.map(Self).ok_or_else(|| "a column ends early".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Absence;

    fn link(index: u32, receive: u64) -> Link {
        Link {
            index,
            is_active: true,
            receive: Reading::Value(Bytes::new(receive)),
            transmit: Reading::absent(Absence::NotYet),
            errors: LinkErrors {
                replay: Reading::Value(u64::from(index)),
                recovery: Reading::Value(0),
                crc: Reading::absent(Absence::Failed("in words".into())),
                effective: Reading::absent(Absence::NotSupported),
            },
        }
    }

    #[test]
    fn links_survive_the_wire_whether_they_agree_or_not() {
        for links in [
            vec![],
            vec![link(0, 7)],
            vec![link(0, 7), link(1, 7)],
            vec![link(0, 1), link(3, u64::MAX), link(17, 3)],
        ] {
            let links = Links::from(links);
            let text = serde_json::to_string(&links).unwrap();
            assert_eq!(serde_json::from_str::<Links>(&text).unwrap(), links, "{text}");
        }
    }

    #[test]
    fn what_all_links_say_is_written_once() {
        let links = Links::from((0..18).map(|index| link(index, 5)).collect::<Vec<_>>());
        let text = serde_json::to_value(&links).unwrap();
        assert_eq!((&text["receive"], &text["recovery"]), (&5.into(), &0.into()));
        assert_eq!(text["effective"]["absent"], "not_supported");
        assert_eq!(text["replay"].as_array().map(Vec::len), Some(18));
    }

    #[test]
    fn links_of_an_earlier_collector_are_read() {
        let links = vec![link(0, 1), link(1, 2)];
        let text = serde_json::to_string(&links).unwrap();
        assert_eq!(*serde_json::from_str::<Links>(&text).unwrap(), links);
    }

    #[test]
    fn columns_of_unequal_length_are_refused() {
        let links = Links::from(vec![link(0, 1), link(1, 2)]);
        let mut text = serde_json::to_value(&links).unwrap();
        text["receive"].as_array_mut().unwrap().pop();
        let fault = serde_json::from_value::<Links>(text).unwrap_err();
        assert!(fault.to_string().contains("1 readings for 2 links"), "{fault}");
    }
}
