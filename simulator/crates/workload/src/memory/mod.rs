//! Bytes per rank, by cause.

#[cfg(test)]
pub(crate) mod fixture;
