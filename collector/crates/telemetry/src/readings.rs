//! How a group of readings is written: each field once, with the name that an absence is told by.

/// A struct of readings: with none of them, with those that are absent listed, and, as its default, what an older
/// collector sends of it: nothing.
macro_rules! readings {
    (
        $(#[$of:meta])*
        pub struct $name:ident { $($(#[$doc:meta])* $field:ident: $value:ty = $label:literal,)* }
    ) => {
        $(#[$of])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default)]
        pub struct $name {
            $($(#[$doc])* pub $field: $crate::Reading<$value>,)*
        }

        impl $name {
            /// No reading at all, because of `reason`.
            #[must_use]
            pub fn absent(reason: &$crate::Absence) -> Self {
                Self { $($field: $crate::Reading::absent(reason.clone()),)* }
            }

            /// Every reading that has no value, by its name, with the reason.
            pub fn absences(&self) -> impl Iterator<Item = (&'static str, &$crate::Absence)> {
                let readings = [$(($label, self.$field.absence()),)*];
                readings.into_iter().filter_map(|(name, absence)| Some((name, absence?)))
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::absent(&$crate::Absence::not_sent())
            }
        }
    };
}

pub(crate) use readings;
