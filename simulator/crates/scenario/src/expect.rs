//! Expectations: `[expect.<id>]` tables parsed into checks on metrics that must exist.

/// One expectation.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    /// Its name, unique in the file.
    pub id: String,
}
