//! One event of a trace file.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use serde_json::value::RawValue;

/// An event, as far as anything of it is used.
#[derive(Debug, Deserialize)]
pub(super) struct Event<'a> {
    #[serde(borrow, default)]
    pub(super) ph: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) cat: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) name: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) pid: Label<'a>,
    #[serde(borrow, default)]
    pub(super) tid: Label<'a>,
    #[serde(borrow)]
    pub(super) ts: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) dur: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) args: Arguments<'a>,
}

/// What an event says of itself beside its name and times.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Arguments<'a> {
    #[serde(default)]
    pub(super) device: Id,
    #[serde(default)]
    pub(super) stream: Id,
    #[serde(default)]
    pub(super) correlation: Id,
    #[serde(default)]
    pub(super) bytes: Id,
    #[serde(rename = "Ev Idx", default)]
    pub(super) index: Id,
    #[serde(rename = "Collective name", borrow)]
    pub(super) collective: Option<Cow<'a, str>>,
    #[serde(rename = "In msg nelems", default)]
    pub(super) elements_in: Id,
    #[serde(rename = "Out msg nelems", default)]
    pub(super) elements_out: Id,
    #[serde(rename = "Group size", default)]
    pub(super) group_size: Id,
    #[serde(borrow)]
    pub(super) dtype: Option<Cow<'a, str>>,
    #[serde(rename = "Process Group Name", borrow)]
    pub(super) group: Option<Cow<'a, str>>,
    #[serde(rename = "Process Group Description", borrow)]
    pub(super) description: Option<Cow<'a, str>>,
    #[serde(rename = "In split size", borrow)]
    pub(super) split_in: Option<&'a RawValue>,
    #[serde(rename = "Out split size", borrow)]
    pub(super) split_out: Option<&'a RawValue>,
    #[serde(rename = "Process Group Ranks", borrow)]
    pub(super) ranks: Option<&'a RawValue>,
    #[serde(rename = "Src Rank", default)]
    pub(super) source: Id,
    #[serde(rename = "Dst Rank", default)]
    pub(super) destination: Id,
    #[serde(rename = "Seq", default)]
    pub(super) sequence: Id,
    /// What traces of a timeline say beside what the profiler knows; see `write`.
    #[serde(rename = "Op class", borrow)]
    pub(super) class: Option<Cow<'a, str>>,
    #[serde(rename = "Step", default)]
    pub(super) step: Id,
    #[serde(rename = "Layer", default)]
    pub(super) layer: Id,
    #[serde(rename = "Microbatch", default)]
    pub(super) microbatch: Id,
    /// A text of the events that name processes and threads.
    #[serde(borrow)]
    pub(super) name: Option<&'a RawValue>,
}

/// What a process or a thread is called: mostly a number, for a few lanes of the profiler a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Label<'a> {
    #[default]
    None,
    Number(i64),
    Text(Cow<'a, str>),
}

impl Label<'_> {
    pub(super) const fn number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::None | Self::Text(_) => None,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Label<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LabelVisitor)
    }
}

struct LabelVisitor;

impl<'de> Visitor<'de> for LabelVisitor {
    type Value = Label<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a number or a name")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Label<'de>, E> {
        Ok(Label::Number(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Label<'de>, E> {
        Ok(i64::try_from(number).map_or(Label::None, Label::Number))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Label<'de>, E> {
        let Id(number) = IdVisitor.visit_f64::<E>(number)?;
        Ok(number.map_or(Label::None, Label::Number))
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Label<'de>, E> {
        let Id(number) = IdVisitor.visit_str::<E>(text)?;
        Ok(number.map_or(Label::Text(Cow::Borrowed(text)), Label::Number))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Label<'de>, E> {
        let Id(number) = IdVisitor.visit_str::<E>(text)?;
        Ok(number.map_or_else(|| Label::Text(Cow::Owned(text.to_owned())), Label::Number))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Label<'de>, E> {
        Ok(Label::None)
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Label<'de>, E> {
        Ok(Label::None)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, items: A) -> Result<Label<'de>, A::Error> {
        IdVisitor.visit_seq(items).map(|_| Label::None)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, items: A) -> Result<Label<'de>, A::Error> {
        IdVisitor.visit_map(items).map(|_| Label::None)
    }
}

/// A number that files write as a number or as a text; anything else is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Id(pub(super) Option<i64>);

impl Id {
    /// The number where it is none below zero.
    pub(super) fn count(self) -> Option<u64> {
        self.0.and_then(|number| u64::try_from(number).ok())
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IdVisitor)
    }
}

struct IdVisitor;

impl<'de> Visitor<'de> for IdVisitor {
    type Value = Id;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a number")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Id, E> {
        Ok(Id(Some(number)))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Id, E> {
        Ok(Id(i64::try_from(number).ok()))
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "an id that was written as a float"
    )]
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Id, E> {
        Ok(Id(number.is_finite().then_some(number as i64)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Id, E> {
        let digits = text.trim().trim_start_matches("stream").trim();
        Ok(Id(digits.parse().ok()))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Id, E> {
        Ok(Id(None))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Id, E> {
        Ok(Id(None))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Id, A::Error> {
        while items.next_element::<de::IgnoredAny>()?.is_some() {}
        Ok(Id(None))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut items: A) -> Result<Id, A::Error> {
        while items.next_entry::<de::IgnoredAny, de::IgnoredAny>()?.is_some() {}
        Ok(Id(None))
    }
}

/// Nanoseconds of a decimal number of microseconds, to the last digit: a float of 64 bits is 250 ns off for the time of
/// day in microseconds.
///
/// Worked: `1694128201426674.123` is 1,694,128,201,426,674,123 ns.
pub(super) fn nanos(value: &RawValue) -> Option<u64> {
    let text = value.get().trim_matches('"');
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.contains(['e', 'E']) || whole.contains(['e', 'E']) {
        let micros: f64 = text.parse().ok()?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to be within u64"
        )]
        return (0.0..1e16)
            .contains(&micros)
            .then_some((micros * 1e3).round() as u64);
    }
    let micros: u64 = whole.parse().ok()?;
    let mut nanos = 0;
    for place in 0..3 {
        let digit = fraction.as_bytes().get(place).map_or(Some(0), |byte| {
            byte.is_ascii_digit().then(|| u64::from(byte - b'0'))
        })?;
        nanos = nanos * 10 + digit;
    }
    micros.checked_mul(1000)?.checked_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<u64> {
        let value: Box<RawValue> = serde_json::from_str(text).ok()?;
        nanos(&value)
    }

    #[test]
    fn times_keep_every_digit() {
        assert_eq!(of("1694128201426674.123"), Some(1_694_128_201_426_674_123));
        assert_eq!(of("5"), Some(5000));
        assert_eq!(of("4.96"), Some(4960));
        assert_eq!(of("0.0005"), Some(0), "below a nanosecond");
        assert_eq!(of("1.5e3"), Some(1_500_000));
        assert_eq!(of("-3"), None);
        assert_eq!(of("true"), None);
        assert_eq!(
            of("99999999999999999999"),
            None,
            "more than there are nanoseconds"
        );
    }

    #[test]
    fn ids_are_numbers_however_they_are_written() {
        let of = |text: &str| serde_json::from_str::<Id>(text).ok().and_then(|id| id.0);
        assert_eq!(of("7"), Some(7));
        assert_eq!(of("-549452224"), Some(-549_452_224));
        assert_eq!(of("\"stream 7\""), Some(7));
        assert_eq!(of("\"Spans\""), None);
        assert_eq!(of("[1, {\"a\": 2}]"), None);
        assert_eq!(of("null"), None);
    }

    #[test]
    fn labels_keep_their_text() {
        let of = |text: &str| {
            let label: Label<'_> = serde_json::from_str(text).expect("a value");
            (label.number(), matches!(label, Label::Text(_)))
        };
        assert_eq!(of("59818"), (Some(59_818), false));
        assert_eq!(of("\"stream 7\""), (Some(7), false));
        assert_eq!(of("\"PyTorch Profiler\""), (None, true));
        assert_eq!(of("{\"a\": [1]}"), (None, false));
    }
}
