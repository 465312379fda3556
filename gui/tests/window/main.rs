//! The window driven by accessible labels, without a renderer; its collectors are real daemons on loopback.

mod base;
mod calibrate;
mod commands;
mod compare;
mod escape;
mod experts;
mod explore;
mod fleet;
mod links;
mod loads;
mod plan;
mod report;
mod save;
mod selection;
mod support;
mod without;
