//! Looks of a report, one file each; none of them computes.

mod csv;
mod github;
mod headline;
mod html;
mod json;
mod junit;
mod text;
mod why;

pub use self::csv::{csv, links_csv, traffic_csv};
pub use github::github;
pub use headline::{Headline, headlines, percent};
pub use html::html;
pub use json::{benchmark, json, json_text};
pub use junit::junit;
pub use text::{check_line, text};
pub use why::{waterfall_json, why_json};
