//! Profiles as files: plain JSON, one object.

use crate::{Link, Profile};

/// A profile that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Not JSON, or not this structure.
    #[error("{line}:{column}: {message}")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What the parser says.
        message: String,
    },
    /// Another version of the format.
    #[error("profile has schema `{found}`\n  = help: this program reads `profile/1`")]
    Schema {
        /// What the file says.
        found: String,
    },
    /// A parameter that no device can have.
    #[error("profile entry `{entry}` holds `{parameter}` = {value}, which is not a positive number")]
    Parameter {
        /// Entry.
        entry: String,
        /// Parameter.
        parameter: &'static str,
        /// Its value.
        value: f64,
    },
}

impl Profile {
    /// Reads a profile.
    ///
    /// # Errors
    /// When the text is no profile of version 1, or holds a parameter that cannot be.
    pub fn from_json(text: &str) -> Result<Self, ProfileError> {
        let profile: Self = serde_json::from_str(text).map_err(|fault| ProfileError::Syntax {
            line: fault.line(),
            column: fault.column(),
            message: fault.to_string(),
        })?;
        if profile.schema != Self::SCHEMA {
            return Err(ProfileError::Schema {
                found: profile.schema,
            });
        }
        profile.validate()?;
        Ok(profile)
    }

    /// Writes a profile, in the order of its fields, with a newline at the end.
    ///
    /// # Panics
    /// Never: a profile holds nothing that JSON cannot.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a profile is plain data");
        text.push('\n');
        text
    }

    fn validate(&self) -> Result<(), ProfileError> {
        let kernels = self.kernels.iter().map(|curve| {
            let entry = format!("{} {}", curve.op.name(), curve.kernel_source);
            (entry, curve.law.parameters())
        });
        let collectives = self.collectives.iter().map(|curve| {
            let entry = format!("{} {}x{}", curve.op.name(), curve.nodes, curve.ranks_per_node);
            (entry, vec![("bandwidth", curve.law.bandwidth.get())])
        });
        let exchanges = self.exchanges.iter().map(|curve| {
            let etas = vec![
                ("network_efficiency", curve.network_efficiency),
                ("node_efficiency", curve.node_efficiency),
            ];
            (curve.library.clone(), etas)
        });
        let links = self.links.iter().map(|reference| {
            let entry = match &reference.link {
                Link::Peer => "link to a peer".to_owned(),
                Link::Port(line) => format!("port of {line}"),
            };
            (entry, vec![("bandwidth", reference.bandwidth.get())])
        });
        for (entry, parameters) in kernels.chain(collectives).chain(exchanges).chain(links) {
            for (parameter, value) in parameters {
                if !(value > 0.0 && value.is_finite()) {
                    return Err(ProfileError::Parameter {
                        entry,
                        parameter,
                        value,
                    });
                }
            }
        }
        let weight = self.contention.as_ref().map_or(0.0, |curve| curve.law.weight);
        if !(weight >= 0.0 && weight.is_finite()) {
            return Err(ProfileError::Parameter {
                entry: "contention".to_owned(),
                parameter: "weight",
                value: weight,
            });
        }
        Ok(())
    }
}
