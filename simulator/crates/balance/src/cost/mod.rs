//! What a layer of experts costs on its most loaded device.

mod power_law;

pub use power_law::{Curing, PowerLaw};
