//! Chrome trace JSON, out and in: what ui.perfetto.dev and chrome://tracing open.
//!
//! One process per program, one thread per lane, a complete event (`X`) per span, a flow arrow (`s`, `f`)
//! where a span was released by one of another lane, and a counter (`C`) per point. Times are microseconds
//! with six decimals: exact picoseconds. The writer streams; the reader takes what the writer wrote.

mod read;
mod write;

pub use read::{ReadTraceError, read_chrome_trace};
pub use write::write_chrome_trace;

#[cfg(test)]
mod tests;
