//! How the command ends; the codes are those of `orrery`.

use std::fmt;

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The simulator is as near to the packets as it is to be.
    Success,
    /// It is not.
    TooFar,
    /// Bad command line or too few rights; nothing was run.
    Invalid,
    /// A tool, or something of the kernel, is missing.
    Missing,
    /// A rank was lost, or a bug in Orrery (`EX_SOFTWARE` of sysexits).
    Bug,
    /// Interrupted from the keyboard.
    Interrupted,
    /// Asked to terminate.
    Terminated,
}

impl Exit {
    /// The number that the shell sees.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::TooFar => 1,
            Self::Invalid => 2,
            Self::Missing => 3,
            Self::Bug => 70,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

/// An end that the user should hear of, and its exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The code.
    pub(crate) exit: Exit,
    message: String,
}

impl Failure {
    /// An error that ends the command with `exit`.
    pub(crate) fn with(exit: Exit, message: impl Into<String>) -> anyhow::Error {
        let message = message.into();
        anyhow::Error::new(Self { exit, message })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
