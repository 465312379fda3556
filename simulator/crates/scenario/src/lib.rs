//! Scenario files: text in; a frozen plan out, or every fault at once.
//!
//! This crate reads no files: [`load`] takes text and a [`Source`] for what the text refers to. It looks
//! names up in an embedded catalogue, fills in defaults and names each of them as an assumption, and
//! refuses what cannot be run, with values that can.

pub mod catalog;
pub mod cluster;
mod diagnostics;
mod document;
pub mod edit;
pub mod expect;
mod explain;
mod fixes;
pub mod import;
mod load;
mod model_fields;
mod money;
pub mod plan;
mod raw;
mod relayout;
mod render;
mod resolve;
mod schema;
mod source;
mod validate;

pub use diagnostics::{Diagnostic, Severity};
pub use explain::{codes, explain};
pub use fixes::{Fix, fixes};
pub use load::{Loaded, Searchable, load, load_any, load_searchable};
pub use money::Money;
pub use plan::{BalancingPlan, Plan};
pub use raw::SCHEMA;
pub use relayout::{LayoutChoice, Refusal, Relayout, Written, recompute_text};
pub use render::{render, render_one};
pub use resolve::tuning::tuning_scopes;
pub use schema::schema_json;
pub use source::{LoadContext, MemorySource, MetricEntry, MetricTable, Source};
