//! Laws fitted to recorded loads: histograms in, a law with its parameters and how well it fits out.
//!
//! A law is held against a layer by its order: the shares of the experts, largest first, beside those that the law
//! expects of as many experts. Which expert is popular is not the law's to say. `R²` is that of the sorted shares,
//! linear unless it says otherwise; parameters are those that make it largest.

mod fit;
mod quantile;
#[cfg(test)]
mod tests;

pub use fit::{Family, Fit, LayerFits, RecordingFit, fit, fit_layer};
pub use quantile::sorted_shares;
