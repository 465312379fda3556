//! Exit codes: one table for every command, part of the contract with whoever scripts them.

/// How a command ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exit {
    /// Everything that was to hold holds; warnings are allowed.
    #[default]
    Success,
    /// At least one expectation of level `error` failed.
    ExpectationFailed,
    /// Bad command line, scenario or configuration; nothing was run.
    Invalid,
    /// Data that is needed is missing: a baseline, a profile, a file.
    DataMissing,
    /// No scenario matched.
    NothingMatched,
    /// A limit was hit; partial results were written.
    LimitReached,
    /// A bug in Orrery (`EX_SOFTWARE` of sysexits).
    Bug,
    /// Interrupted from the keyboard; partial results were written.
    Interrupted,
    /// Asked to terminate; partial results were written.
    Terminated,
}

impl Exit {
    /// Every way to end, in the order of the table.
    pub const ALL: [Self; 9] = [
        Self::Success,
        Self::ExpectationFailed,
        Self::Invalid,
        Self::DataMissing,
        Self::NothingMatched,
        Self::LimitReached,
        Self::Bug,
        Self::Interrupted,
        Self::Terminated,
    ];

    /// The number that the shell sees.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::ExpectationFailed => 1,
            Self::Invalid => 2,
            Self::DataMissing => 3,
            Self::NothingMatched => 4,
            Self::LimitReached => 5,
            Self::Bug => 70,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }

    /// What it means, for `--help`.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Success => "all expectations hold",
            Self::ExpectationFailed => "an expectation failed",
            Self::Invalid => "bad command line, scenario or configuration; nothing was run",
            Self::DataMissing => "data missing",
            Self::NothingMatched => "nothing matched",
            Self::LimitReached => "a limit was hit; partial results were written",
            Self::Bug => "a bug in Orrery",
            Self::Interrupted => "interrupted",
            Self::Terminated => "terminated",
        }
    }

    /// The worse of two: a bug before an interruption before a limit before missing data before a failure.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        if other.severity() > self.severity() {
            other
        } else {
            self
        }
    }

    const fn severity(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::ExpectationFailed => 1,
            Self::NothingMatched => 2,
            Self::DataMissing => 3,
            Self::Invalid => 4,
            Self::LimitReached => 5,
            Self::Interrupted => 6,
            Self::Terminated => 7,
            Self::Bug => 8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_the_contract() {
        let codes: Vec<u8> = Exit::ALL.iter().map(|exit| exit.code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 70, 130, 143]);
    }

    #[test]
    fn the_worse_of_two_counts() {
        assert_eq!(
            Exit::Success.and(Exit::ExpectationFailed),
            Exit::ExpectationFailed
        );
        assert_eq!(
            Exit::LimitReached.and(Exit::ExpectationFailed),
            Exit::LimitReached
        );
        assert_eq!(Exit::Bug.and(Exit::Interrupted), Exit::Bug);
    }
}
