//! Laws of expert popularity by their names: those of `[routing]` and of a `skew` are the same.

use crate::plan::Law;

/// A parameter of a law, by its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parameter {
    Sigma,
    Exponent,
    Span,
    Concentration,
}

impl Parameter {
    /// All of them.
    pub(super) const ALL: [Self; 4] = [Self::Sigma, Self::Exponent, Self::Span, Self::Concentration];

    /// Its key in a file.
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::Sigma => "sigma",
            Self::Exponent => "exponent",
            Self::Span => "span",
            Self::Concentration => "concentration",
        }
    }
}

/// The law called `kind`, each of its parameters from `value`; none where no law is called so.
pub(super) fn law(kind: &str, mut value: impl FnMut(Parameter) -> f64) -> Option<Law> {
    Some(match kind {
        "balanced" => Law::Balanced,
        "uniform" => Law::Uniform,
        "lognormal" => Law::LogNormal {
            sigma: value(Parameter::Sigma),
        },
        "zipf" => Law::Zipf {
            exponent: value(Parameter::Exponent),
        },
        "power-law" => Law::PowerLaw {
            alpha: value(Parameter::Exponent),
            span: value(Parameter::Span),
        },
        "dirichlet" => Law::Dirichlet {
            concentration: value(Parameter::Concentration),
        },
        "dirichlet-zipf" => Law::DirichletZipf {
            exponent: value(Parameter::Exponent),
            concentration: value(Parameter::Concentration),
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::{LAWS, SKEWS};

    /// Every name that a file may use is a law's; of a skew's all but the recording.
    #[test]
    fn every_name_has_its_law() {
        assert!(
            LAWS.iter().all(|kind| law(kind, |_| 1.0).is_some()),
            "laws of routing"
        );
        let others: Vec<&&str> = SKEWS.iter().filter(|kind| law(kind, |_| 1.0).is_none()).collect();
        assert_eq!(others, [&"trace"]);
    }
}
