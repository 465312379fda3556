//! Tests of the whole house: one binary, one file per way of failing.

mod balance;
mod causality;
mod closed_form;
mod collectives;
mod command;
mod determinism;
mod diagnostics;
mod expectations;
mod fit;
mod folding;
mod imports;
mod in_flight;
mod invariants;
mod layering;
mod levels;
mod links;
mod overlap;
mod published;
mod scenarios;
mod support;
mod sweep;
mod tidy;
mod trace;
mod training_trace;
mod validate;
mod why;
