//! `[calibration]` into a profile.

use std::sync::Arc;

use orrery_profile::Profile;

use super::Assumptions;
use super::balancing::Context;
use crate::catalog;
use crate::diagnostics::{Fault, Faults};
use crate::plan::Dispatcher;
use crate::raw::Given;
use crate::source::Source;

/// Names no measurement at all: every time is analytic.
pub(crate) const NONE: &str = "none";

/// The profile that `given` names: a shipped one, or a file. When it names none, the shipped one of this device
/// and stack, if there is one.
pub(crate) fn profile(
    given: Option<&Given<String>>,
    described: (&str, &str),
    file: &str,
    source: &dyn Source,
    assumed: &mut Assumptions,
    faults: &mut Faults,
) -> Option<Arc<Profile>> {
    let Some(given) = given else {
        return Some(Arc::new(shipped_for(described, assumed)));
    };
    if given.value == NONE {
        return Some(Arc::new(Profile::default()));
    }
    let text = match catalog::profile(&given.value) {
        Some(text) => text.to_owned(),
        None => match source.read(file, &given.value) {
            Ok(text) => text,
            Err(why) => {
                let shipped = catalog::profile_names().join(", ");
                let message = format!("no profile `{}`: {why}", given.value);
                let fault = Fault::new("S050", &given.place, message);
                faults.push(fault.note(format!("shipped profiles: {shipped}")).help(
                    "name a shipped profile, or a path relative to this file; \"none\" for analytic times",
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

/// The shipped profile of a device and a stack, in the order of names; none of it when there is none.
fn shipped_for((device, stack): (&str, &str), assumed: &mut Assumptions) -> Profile {
    let profiles = catalog::profile_names().into_iter().filter_map(catalog::profile);
    let mut profiles = profiles.filter_map(|text| from_json(text).ok());
    let fits =
        |profile: &Profile| profile.device == device && profile.stacks.iter().any(|name| name == stack);
    let (profile, reason) = match profiles.find(fits) {
        Some(profile) => (profile, "the shipped profile of this device and stack"),
        None => (
            Profile::default(),
            "no shipped profile is of this device and stack: times are analytic",
        ),
    };
    let name = if profile.name.is_empty() {
        NONE
    } else {
        &profile.name
    };
    assumed.note("calibration.profile", name, reason);
    profile
}

/// The profile that the exchanges of a balancing scenario go by: the one that it names, else the first shipped one of its
/// device that measured what sends the tokens; none of it when there is none.
pub(super) fn of_wires(
    given: Option<&Given<String>>,
    device: &str,
    dispatcher: Dispatcher,
    context: &mut Context<'_, '_>,
) -> Option<Arc<Profile>> {
    if given.is_some() {
        let (source, file) = context.files;
        return profile(given, (device, ""), file, source, context.assumed, context.faults);
    }
    let library = match dispatcher {
        Dispatcher::DeepEp => "deepep",
        Dispatcher::HybridEp => "hybrid-ep",
        Dispatcher::AllToAll | Dispatcher::AllGather => "nccl",
    };
    let profiles = catalog::profile_names().into_iter().filter_map(catalog::profile);
    let mut profiles = profiles.filter_map(|text| from_json(text).ok());
    let found = profiles.find(|profile| profile.device == device && profile.exchange(library).is_some());
    let (name, reason) = match &found {
        Some(profile) => (
            profile.name.as_str(),
            format!("the first shipped profile of {device} with {library}"),
        ),
        None => (
            NONE,
            format!("no shipped profile of {device} has {library}: shares of the data sheet's rates"),
        ),
    };
    context.assumed.note("calibration.profile", name, &reason);
    Some(Arc::new(found.unwrap_or_default()))
}

fn from_json(text: &str) -> Result<Profile, String> {
    Profile::from_json(text).map_err(|error| error.to_string())
}
