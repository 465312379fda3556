//! What a device and a link were measured to do, by whom, when and how.

/// A profile.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// Name.
    pub name: String,
}
