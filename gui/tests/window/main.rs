//! The window driven by accessible labels, without a renderer; its collectors are real daemons on loopback.

mod fleet;
mod plan;
mod support;
mod without;
