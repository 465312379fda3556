//! Profiles that ship, embedded by name.

/// Names and texts of the shipped profiles: every `*.profile.json` in scenarios/profiles, sorted by name.
const PROFILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/profiles.rs"));

/// The text of the shipped profile called `name`, with or without `.profile.json`.
#[must_use]
pub fn profile(name: &str) -> Option<&'static str> {
    let wanted = name.trim_end_matches(".profile.json");
    PROFILES
        .iter()
        .find(|(shipped, _)| *shipped == wanted)
        .map(|(_, text)| *text)
}

/// Names of the shipped profiles.
pub(crate) fn names() -> Vec<&'static str> {
    PROFILES.iter().map(|(name, _)| *name).collect()
}
