//! What ships with Orrery: hardware, models and profiles, embedded.

mod experts;
mod hardware;
mod models;
mod profiles;
mod tuning;

pub use experts::{ExpertLaw, ExpertLaws, expert_laws};
pub(crate) use hardware::rows as hardware_rows;
pub use hardware::{HardwareEntry, device_names, hardware, hardware_csv, pods_csv};
pub use models::{CatalogModel, models};
pub(crate) use profiles::names as profile_names;
pub use profiles::profile;
pub(crate) use tuning::shared_tuning;
pub use tuning::tuning;
