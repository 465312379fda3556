//! A value, or the reason why there is none.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a reading has no value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Absence {
    /// The device does not have this reading.
    NotSupported,
    /// The driver is too old to know this reading.
    DriverTooOld,
    /// This user may not read it.
    NoPermission,
    /// The device fell off the bus.
    DeviceLost,
    /// It takes two samples, and there was one.
    NotYet,
    /// The driver gave a number that is none (NaN), or one outside its range.
    NotANumber,
    /// Anything else, in the words of the driver.
    Failed(Cow<'static, str>),
}

/// A value, or the reason why there is none; on the wire the bare value, or `{"absent": reason}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Reading<T> {
    /// It was read.
    Value(T),
    /// It could not be read.
    Absent {
        /// The reason.
        absent: Absence,
    },
}

impl Absence {
    /// A collector of an earlier release, or another kind of source, does not send this reading.
    #[must_use]
    pub const fn not_sent() -> Self {
        Self::Failed(Cow::Borrowed("this source does not give it"))
    }

    /// Whether the source gives no such reading at all: nothing is amiss then.
    #[must_use]
    pub fn is_not_sent(&self) -> bool {
        *self == Self::not_sent()
    }

    /// The driver did not answer in time.
    #[must_use]
    pub const fn no_answer() -> Self {
        Self::Failed(Cow::Borrowed("the driver does not answer"))
    }
}

impl<T> Reading<T> {
    /// A reading that is absent because of `reason`.
    #[must_use]
    pub const fn absent(reason: Absence) -> Self {
        Self::Absent { absent: reason }
    }

    /// The value, if there is one.
    #[must_use]
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent { .. } => None,
        }
    }

    /// The reason, if there is no value.
    #[must_use]
    pub const fn absence(&self) -> Option<&Absence> {
        match self {
            Self::Value(_) => None,
            Self::Absent { absent } => Some(absent),
        }
    }

    /// The reading with its value, if any, turned by `turn`.
    pub fn map<U>(self, turn: impl FnOnce(T) -> U) -> Reading<U> {
        match self {
            Self::Value(value) => Reading::Value(turn(value)),
            Self::Absent { absent } => Reading::Absent { absent },
        }
    }

    /// The reading that `turn` makes of the value, if there is one.
    pub fn and_then<U>(self, turn: impl FnOnce(T) -> Reading<U>) -> Reading<U> {
        match self {
            Self::Value(value) => turn(value),
            Self::Absent { absent } => Reading::Absent { absent },
        }
    }
}

impl<T> From<Result<T, Absence>> for Reading<T> {
    fn from(result: Result<T, Absence>) -> Self {
        match result {
            Ok(value) => Self::Value(value),
            Err(absent) => Self::Absent { absent },
        }
    }
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotSupported => "not supported by this device",
            Self::DriverTooOld => "the driver does not know this reading",
            Self::NoPermission => "no permission",
            Self::DeviceLost => "the device is lost",
            Self::NotYet => "waits for a second sample",
            Self::NotANumber => "the driver gave no usable number",
            Self::Failed(words) => words,
        })
    }
}
