//! Looks of a report, one file each; none of them computes.

pub(crate) mod balancing;
mod csv;
mod github;
mod headline;
mod html;
mod json;
mod junit;
mod text;
mod why;

pub use self::csv::{csv, links_csv, traffic_csv};
pub use balancing::{balancing_json, balancing_text, sweep_title};
pub use github::github;
pub use headline::{Headline, figure, headlines, percent};
pub use html::{balancing_html, escape as escape_html, html};
pub use json::{benchmark, json, json_text};
pub use junit::junit;
pub(crate) use text::rests_on;
pub use text::{check_line, text};
pub use why::{waterfall_json, why_json};

/// What balancing bought, in a sentence.
#[must_use]
pub fn balancing_verdict(report: &crate::BalancingReport) -> String {
    balancing::verdict(report)
}
