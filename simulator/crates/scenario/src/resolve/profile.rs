//! `[calibration]` into a profile.

use std::sync::Arc;

use orrery_profile::Profile;

use super::Assumptions;
use crate::catalog;
use crate::diagnostics::{Fault, Faults};
use crate::raw::Given;
use crate::source::Source;

/// The profile that `given` names: a shipped one, or a file.
pub(crate) fn profile(
    given: Option<&Given<String>>,
    file: &str,
    source: &dyn Source,
    assumed: &mut Assumptions,
    faults: &mut Faults,
) -> Option<Arc<Profile>> {
    let Some(given) = given else {
        assumed.note(
            "calibration.profile",
            "none",
            "no measurement is named: times are analytic",
        );
        return Some(Arc::new(Profile::default()));
    };
    let text =
        match catalog::profile(&given.value) {
            Some(text) => text.to_owned(),
            None => match source.read(file, &given.value) {
                Ok(text) => text,
                Err(why) => {
                    let shipped = catalog::profile_names().join(", ");
                    let message = format!("no profile `{}`: {why}", given.value);
                    let fault = Fault::new("S050", &given.place, message);
                    faults.push(fault.note(format!("shipped profiles: {shipped}")).help(
                        "name a shipped profile, or a path relative to this file; or leave the key out",
                    ));
                    return None;
                }
            },
        };
    match from_json(&text) {
        Ok(profile) => Some(Arc::new(profile)),
        Err(why) => {
            let message = format!("profile `{}`: {why}", given.value);
            faults.push(Fault::new("S051", &given.place, message));
            None
        }
    }
}

fn from_json(text: &str) -> Result<Profile, String> {
    Profile::from_json(text).map_err(|error| error.to_string())
}
