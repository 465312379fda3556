//! The parameters of each law that fit a layer best, and the law that fits a recording best.

use super::quantile::sorted_shares;
use crate::load::Law;

/// A kind of law, without its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// [`Law::LogNormal`].
    LogNormal,
    /// [`Law::Dirichlet`].
    Dirichlet,
    /// [`Law::DirichletZipf`].
    DirichletZipf,
    /// [`Law::Zipf`].
    Zipf,
    /// [`Law::PowerLaw`] as aiconfigurator draws it: from 1 to four fifths of the assignments. A span of its own would
    /// be another law: cut off at both ends, it can be bent to most histograms.
    PowerLaw,
}

/// A law with its parameters, and how well it fits one layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// Which kind of law.
    pub family: Family,
    /// The law.
    pub law: Law,
    /// R² of the sorted shares.
    pub r_squared: f64,
    /// The same less what its parameters would explain of anything: `1 − (1 − R²) (n − 1) / (n − p − 1)`.
    pub adjusted: f64,
    /// R² of the logarithms of the sorted shares, experts without tokens left out: how well the tail fits.
    pub log_r_squared: f64,
}

/// Every law fitted to one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerFits {
    /// In the order of [`Family::ALL`].
    pub fits: Vec<Fit>,
}

/// The law that fits a recording best, by layer.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordingFit {
    /// Which kind: the one whose median adjusted R² over the layers is largest.
    pub family: Family,
    /// The law of that kind whose parameters are the medians over layers.
    pub law: Law,
    /// Every law at every layer.
    pub layers: Vec<LayerFits>,
}

impl Family {
    /// All kinds.
    pub const ALL: [Self; 5] = [
        Self::LogNormal,
        Self::Dirichlet,
        Self::DirichletZipf,
        Self::Zipf,
        Self::PowerLaw,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LogNormal => "log-normal",
            Self::Dirichlet => "Dirichlet",
            Self::DirichletZipf => "Dirichlet over Zipf",
            Self::Zipf => "Zipf",
            Self::PowerLaw => "power law",
        }
    }

    /// Names of its parameters.
    #[must_use]
    pub const fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::LogNormal => &["sigma"],
            Self::Dirichlet => &["concentration"],
            Self::DirichletZipf => &["exponent", "concentration"],
            Self::Zipf => &["exponent"],
            Self::PowerLaw => &["alpha"],
        }
    }

    /// The law of this kind with `values` for its parameters.
    ///
    /// `assignments` are those of the layer, which the power law takes its span from.
    fn with(self, values: &[f64], assignments: f64) -> Law {
        let value = |at: usize| values.get(at).copied().unwrap_or_default();
        match self {
            Self::LogNormal => Law::LogNormal { sigma: value(0) },
            Self::Dirichlet => Law::Dirichlet {
                concentration: value(0),
            },
            Self::DirichletZipf => Law::DirichletZipf {
                exponent: value(0),
                concentration: value(1),
            },
            Self::Zipf => Law::Zipf { exponent: value(0) },
            Self::PowerLaw => Law::PowerLaw {
                alpha: value(0),
                span: (0.8 * assignments).max(1.0),
            },
        }
    }

    /// Where each parameter is sought, and whether in its logarithm.
    const fn ranges(self) -> &'static [Range] {
        const EXPONENT: Range = Range::linear(0.0, 4.0);
        const CONCENTRATION: Range = Range::logarithmic(0.02, 2000.0);
        const SIGMA: Range = Range::linear(0.0, 4.0);
        match self {
            Self::LogNormal => &[SIGMA],
            Self::Dirichlet => &[CONCENTRATION],
            Self::DirichletZipf => &[EXPONENT, CONCENTRATION],
            Self::Zipf | Self::PowerLaw => &[EXPONENT],
        }
    }
}

/// Where a parameter is sought.
#[derive(Clone, Copy, Debug)]
struct Range {
    low: f64,
    high: f64,
    is_logarithmic: bool,
}

impl Range {
    const fn linear(low: f64, high: f64) -> Self {
        Self {
            low,
            high,
            is_logarithmic: false,
        }
    }

    const fn logarithmic(low: f64, high: f64) -> Self {
        Self {
            low,
            high,
            is_logarithmic: true,
        }
    }

    /// The value at `part` of the range.
    fn at(self, part: f64) -> f64 {
        if self.is_logarithmic {
            self.low * (self.high / self.low).powf(part)
        } else {
            self.low + (self.high - self.low) * part
        }
    }
}

impl Fit {
    /// Its parameters, in the order of [`Family::parameters`].
    #[must_use]
    pub fn values(&self) -> Vec<f64> {
        match self.law {
            Law::Balanced | Law::Uniform => Vec::new(),
            Law::LogNormal { sigma } => vec![sigma],
            Law::Dirichlet { concentration } => vec![concentration],
            Law::DirichletZipf {
                exponent,
                concentration,
            } => vec![exponent, concentration],
            Law::Zipf { exponent } => vec![exponent],
            Law::PowerLaw { alpha, span: _ } => vec![alpha],
        }
    }
}

impl LayerFits {
    /// The fit of `family`.
    #[must_use]
    pub fn of(&self, family: Family) -> &Fit {
        let at = Family::ALL.iter().position(|&other| other == family);
        &self.fits[at.expect("all families are listed")]
    }
}

impl RecordingFit {
    /// The median over layers of the R² of `family`.
    #[must_use]
    pub fn r_squared(&self, family: Family) -> f64 {
        median(
            self.layers
                .iter()
                .map(|layer| layer.of(family).r_squared)
                .collect(),
        )
    }
}

/// Fits every law to the counts of one layer; none when it has fewer than four experts or no token.
#[must_use]
pub fn fit_layer(counts: &[u64]) -> Option<LayerFits> {
    let sum: u64 = counts.iter().sum();
    if counts.len() < 4 || sum == 0 {
        return None;
    }
    let mut sorted: Vec<f64> = counts.iter().map(|&count| count as f64 / sum as f64).collect();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let fits = Family::ALL.map(|family| fit_family(family, &sorted, sum as f64));
    Some(LayerFits { fits: fits.to_vec() })
}

/// The law that fits the layers of a recording best; none when no layer can be fitted.
#[must_use]
pub fn fit(layers: &[Vec<u64>]) -> Option<RecordingFit> {
    let assignments = median(
        layers
            .iter()
            .map(|counts| counts.iter().sum::<u64>() as f64)
            .collect(),
    );
    let layers: Vec<LayerFits> = layers.iter().filter_map(|counts| fit_layer(counts)).collect();
    if layers.is_empty() {
        return None;
    }
    let adjusted = |family: Family| median(layers.iter().map(|layer| layer.of(family).adjusted).collect());
    // Of equal ones the first: the list begins with the simplest that real routers follow.
    let family = Family::ALL
        .into_iter()
        .rev()
        .max_by(|&a, &b| adjusted(a).total_cmp(&adjusted(b)))?;
    let value = |at: usize| median(layers.iter().map(|layer| layer.of(family).values()[at]).collect());
    let values: Vec<f64> = (0..family.parameters().len()).map(value).collect();
    Some(RecordingFit {
        family,
        law: family.with(&values, assignments),
        layers,
    })
}

/// The law of `family` whose sorted shares are nearest to `sorted`.
fn fit_family(family: Family, sorted: &[f64], assignments: f64) -> Fit {
    let with = |values: &[f64]| family.with(values, assignments);
    let error = |values: &[f64]| squares(sorted, &sorted_shares(with(values), sorted.len()));
    let values = match *family.ranges() {
        [first] => vec![first.at(least(|part| error(&[first.at(part)])))],
        [first, second] => {
            let inner = |x: f64| least(|part| error(&[x, second.at(part)]));
            let outer = |part: f64| {
                let x = first.at(part);
                error(&[x, second.at(inner(x))])
            };
            let x = first.at(least(outer));
            vec![x, second.at(inner(x))]
        }
        _ => Vec::new(),
    };
    let law = with(&values);
    let expected = sorted_shares(law, sorted.len());
    let r_squared = r_squared(sorted, &expected);
    let (num, parameters) = (sorted.len() as f64, values.len() as f64);
    let (logs, theirs): (Vec<f64>, Vec<f64>) = sorted
        .iter()
        .zip(&expected)
        .filter(|(share, expected)| **share > 0.0 && **expected > 0.0)
        .map(|(share, expected)| (share.ln(), expected.ln()))
        .unzip();
    Fit {
        family,
        law,
        r_squared,
        adjusted: 1.0 - (1.0 - r_squared) * (num - 1.0) / (num - parameters - 1.0),
        log_r_squared: self::r_squared(&logs, &theirs),
    }
}

fn squares(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

/// `1 − Σ (y − ŷ)² / Σ (y − mean y)²`; 1 where nothing varies and nothing is missed.
///
/// Worked: 1, 2 and 3 predicted as 1, 2 and 2: 0.5.
pub(super) fn r_squared(measured: &[f64], expected: &[f64]) -> f64 {
    let mean = measured.iter().sum::<f64>() / measured.len().max(1) as f64;
    let total: f64 = measured.iter().map(|y| (y - mean).powi(2)).sum();
    let missed = squares(measured, expected);
    if total > 0.0 {
        1.0 - missed / total
    } else if missed > 0.0 {
        f64::NEG_INFINITY
    } else {
        1.0
    }
}

/// Where in `0..=1` `error` is least: the best of a grid, then golden section about it (Kiefer 1953).
fn least(error: impl Fn(f64) -> f64) -> f64 {
    const GRID: usize = 7;
    const SECTIONS: usize = 11;
    let ratio = (5.0_f64.sqrt() - 1.0) / 2.0;
    let at = |place: usize| place as f64 / GRID as f64;
    let best = (0..=GRID)
        .map(|place| (place, error(at(place))))
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .map_or(0, |(place, _)| place);
    let (mut low, mut high) = (at(best.saturating_sub(1)), at((best + 1).min(GRID)));
    let mut left = high - ratio * (high - low);
    let mut right = low + ratio * (high - low);
    let (mut of_left, mut of_right) = (error(left), error(right));
    for _ in 0..SECTIONS {
        if of_left <= of_right {
            high = right;
            (right, of_right) = (left, of_left);
            left = high - ratio * (high - low);
            of_left = error(left);
        } else {
            low = left;
            (left, of_left) = (right, of_right);
            right = low + ratio * (high - low);
            of_right = error(right);
        }
    }
    if of_left <= of_right { left } else { right }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        even if even % 2 == 0 => (values[middle - 1] + values[middle]) / 2.0,
        _ => values[middle],
    }
}
