//! Chrome trace JSON, out and in.
