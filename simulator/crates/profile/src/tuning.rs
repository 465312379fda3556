//! What a stack makes of a device over whole steps, beside kernels and collectives that were measured alone.
//!
//! A [`TuningSet`] holds parameters, each with the scope that shares it: a device, an architecture with a format, a
//! family of stacks. A [`Tuning`] is what they come to for one plan: for each [`Term`] the product of its parameters.

use serde::{Deserialize, Serialize};

/// What a parameter is of. Each is something that a person could measure by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Term {
    /// Share of the short-run rate of matrix products that lasts through steps (power, clocks, cold caches).
    Products,
    /// The same for products whose rows are no whole vectors of 16 bytes, over that of all products.
    Unaligned,
    /// The same for products grouped by expert, over that of plain ones.
    Experts,
    /// The same for attention cores.
    Attention,
    /// Time of passes over memory, over that of one fused kernel per pass.
    Passes,
    /// Time between kernels of a busy stream, seconds.
    Gap,
    /// Host time to issue one kernel, seconds.
    Launch,
    /// Kernels that a layer issues forward, beside those of its blocks; half as many more backward.
    LayerKernels,
    /// Kernels that a layer with experts issues beside those; half as many more backward.
    SmallKernels,
    /// Kernels issued for one product of one expert where experts are computed one by one.
    ExpertLaunches,
    /// Share of launches that stay with the host where part of a layer is replayed from graphs.
    Ungraphed,
    /// Of host and device, the share of the shorter one's time that the longer one does not hide: they wait for each other.
    Waits,
    /// Time of a microbatch around its loss, in which no kernel of the model runs, seconds.
    Microbatch,
    /// Time of tensor-parallel collectives, over that alone.
    Tensor,
    /// Time of expert exchanges, over that alone.
    Exchange,
    /// Share of an expert exchange that shows where it overlaps with another microbatch.
    ExposedExchange,
    /// Time to gather and scatter sharded parameters, over that alone.
    Shards,
    /// Share of the device that sharded parameters take while they travel, beside the units of their channels.
    ShardUnits,
    /// Time to reduce gradients and gather parameters once a step, over that alone.
    Data,
    /// Time of optimiser and gradient norm, over that of its passes.
    Update,
    /// Time of a step that belongs to none of its microbatches, seconds.
    Step,
    /// Share of a forward pass that full recomputation repeats.
    Recompute,
}

impl Term {
    /// Every term.
    pub const ALL: [Self; 22] = [
        Self::Products,
        Self::Unaligned,
        Self::Experts,
        Self::Attention,
        Self::Passes,
        Self::Gap,
        Self::Launch,
        Self::LayerKernels,
        Self::SmallKernels,
        Self::ExpertLaunches,
        Self::Ungraphed,
        Self::Waits,
        Self::Microbatch,
        Self::Tensor,
        Self::Exchange,
        Self::ExposedExchange,
        Self::Shards,
        Self::ShardUnits,
        Self::Data,
        Self::Update,
        Self::Step,
        Self::Recompute,
    ];

    /// What is expected before any step is read, and by how much its logarithm may be off.
    ///
    /// Shares and ratios are expected at one. Assumptions otherwise: a gap of 1 us, launches of 8 us and some tens of kernels
    /// per layer beside those of its blocks are usual for eager frameworks.
    #[must_use]
    pub const fn expected(self) -> (f64, f64) {
        match self {
            Self::Products => (1.0, 0.15),
            Self::Experts | Self::Update => (1.0, 0.25),
            Self::Attention | Self::Passes | Self::Data => (1.0, 0.3),
            Self::Gap => (1e-6, 0.5),
            Self::Launch => (8e-6, 0.5),
            Self::Unaligned => (0.5, 0.4),
            Self::LayerKernels | Self::SmallKernels => (60.0, 0.7),
            Self::Waits | Self::ShardUnits => (0.15, 0.7),
            Self::Microbatch => (1e-3, 1.0),
            Self::ExpertLaunches => (2.0, 0.5),
            Self::Ungraphed => (0.5, 0.4),
            Self::Tensor => (0.9, 0.5),
            Self::Exchange => (1.0, 0.5),
            Self::ExposedExchange => (0.4, 0.5),
            Self::Shards => (1.0, 0.4),
            Self::Step => (0.02, 1.0),
            Self::Recompute => (0.7, 0.2),
        }
    }
}

/// A parameter: its value, and what shares it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TuningParameter {
    /// What it is of.
    pub term: Term,
    /// What shares it: empty for everything, else a device, an architecture, a stack, or several of these joined by
    /// spaces.
    pub scope: String,
    /// Its value: the base of its term, or a factor on it.
    pub value: f64,
    /// Measured steps that it bears on.
    pub rows: u32,
    /// Models among them.
    pub models: u32,
}

/// Parameters of every device and stack that steps were measured of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TuningSet {
    /// Version of this format: `tuning/1`.
    pub schema: String,
    /// Where it comes from.
    pub notes: Vec<String>,
    /// Stacks that it describes.
    pub stacks: Vec<String>,
    /// Spread of the logarithm of measured over predicted steps: by stack, with ` experts` behind it for models that have
    /// any; and as [`UNSEEN`](Self::UNSEEN), of configurations that nothing was fitted to.
    pub spreads: Vec<(String, f64)>,
    /// The parameters.
    pub parameters: Vec<TuningParameter>,
}

/// What the parameters come to for one plan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuning {
    values: [f64; Term::ALL.len()],
    /// Spread of the logarithm of measured over predicted steps; none where no step was measured of this stack.
    pub spread: Option<f64>,
}

impl Default for Tuning {
    /// Nothing beside kernels and collectives.
    fn default() -> Self {
        Self {
            values: Term::ALL.map(|term| match term {
                Term::Gap
                | Term::Launch
                | Term::LayerKernels
                | Term::SmallKernels
                | Term::Waits
                | Term::Microbatch
                | Term::ShardUnits
                | Term::Step => 0.0,
                _ => 1.0,
            }),
            spread: None,
        }
    }
}

impl Tuning {
    /// The value of `term`.
    #[must_use]
    pub const fn get(&self, term: Term) -> f64 {
        self.values[term as usize]
    }

    /// The same with another value of `term`.
    #[must_use]
    pub const fn with(mut self, term: Term, value: f64) -> Self {
        self.values[term as usize] = value;
        self
    }
}

impl TuningSet {
    /// The version that this program reads and writes.
    pub const SCHEMA: &'static str = "tuning/1";
    /// The name of the spread of what was held out of the fit.
    pub const UNSEEN: &'static str = "unseen";

    /// The name of the spread of `group` for models with or without experts.
    #[must_use]
    pub fn spread_name(group: &str, has_experts: bool) -> String {
        if has_experts {
            format!("{group} experts")
        } else {
            group.to_owned()
        }
    }

    /// The spread of `group` for models with or without experts, if it is known.
    #[must_use]
    pub fn spread(&self, group: &str, has_experts: bool) -> Option<f64> {
        let name = Self::spread_name(group, has_experts);
        self.spreads
            .iter()
            .find(|(known, _)| *known == name)
            .map(|&(_, spread)| spread)
    }

    /// Reads a set.
    ///
    /// # Errors
    /// When the text is no set of version 1, or holds a value that cannot be.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let set: Self = serde_json::from_str(text).map_err(|fault| fault.to_string())?;
        if set.schema != Self::SCHEMA {
            return Err(format!("schema `{}`; this program reads `tuning/1`", set.schema));
        }
        match set
            .parameters
            .iter()
            .find(|parameter| !(parameter.value > 0.0 && parameter.value.is_finite()))
        {
            Some(wrong) => Err(format!(
                "{:?} of `{}` is {}, which is no positive number",
                wrong.term, wrong.scope, wrong.value
            )),
            None => Ok(set),
        }
    }

    /// Writes a set, with a newline at the end.
    ///
    /// # Panics
    /// Never: a set holds nothing that JSON cannot.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a set is plain data");
        text.push('\n');
        text
    }

    /// What the parameters come to for `stack`, where each term has the scopes that `scopes` gives it.
    ///
    /// A term is the product of its parameters; one that has none keeps the value of [`Tuning::default`], and attention that
    /// of products. A stack that the set does not describe gets the default for all of them.
    #[must_use]
    pub fn resolve(&self, stack: &str, has_experts: bool, scopes: impl Fn(Term) -> Vec<String>) -> Tuning {
        let mut tuning = Tuning::default();
        if !self.stacks.iter().any(|known| known == stack) {
            return tuning;
        }
        for term in Term::ALL {
            let of = |scope: &String| {
                self.parameters
                    .iter()
                    .find(|known| known.term == term && known.scope == *scope)
            };
            let factors: Vec<f64> = scopes(term)
                .iter()
                .filter_map(of)
                .map(|known| known.value)
                .collect();
            if !factors.is_empty() {
                tuning.values[term as usize] = factors.iter().product();
            }
        }
        // An attention core that no step tells of keeps what products keep: both run at the clock of the device.
        let base = scopes(Term::Attention).into_iter().next();
        let is_told =
            |known: &TuningParameter| known.term == Term::Attention && Some(&known.scope) == base.as_ref();
        if !self.parameters.iter().any(is_told) {
            tuning.values[Term::Attention as usize] *= tuning.get(Term::Products);
        }
        tuning.spread = self.spread(stack, has_experts);
        tuning
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> TuningSet {
        let parameter = |term, scope: &str, value| TuningParameter {
            term,
            scope: scope.to_owned(),
            value,
            rows: 10,
            models: 2,
        };
        TuningSet {
            schema: TuningSet::SCHEMA.to_owned(),
            stacks: vec!["nemo".to_owned()],
            spreads: vec![("nemo".to_owned(), 0.04), ("nemo experts".to_owned(), 0.1)],
            parameters: vec![
                parameter(Term::Products, "Hopper bf16", 0.8),
                parameter(Term::Products, "nemo", 1.1),
                parameter(Term::Gap, "Hopper", 2e-6),
            ],
            ..TuningSet::default()
        }
    }

    fn scopes(term: Term) -> Vec<String> {
        let names: &[&str] = match term {
            Term::Products => &["Hopper bf16", "H100", "nemo"],
            Term::Gap => &["Hopper"],
            _ => &[],
        };
        names.iter().map(|&name| name.to_owned()).collect()
    }

    /// Worked: 0.8 for the architecture and 1.1 for the stack are 0.88; nothing is known of the device.
    #[test]
    fn a_term_is_the_product_of_its_parameters() {
        let tuning = set().resolve("nemo", true, scopes);
        assert!((tuning.get(Term::Products) - 0.88).abs() < 1e-12);
        assert!((tuning.get(Term::Gap) - 2e-6).abs() < 1e-18);
        assert_eq!(tuning.get(Term::Tensor).to_bits(), 1.0f64.to_bits());
        assert_eq!(tuning.spread, Some(0.1), "that of models with experts");
    }

    #[test]
    fn a_stack_that_nobody_measured_keeps_kernels_as_they_are() {
        assert_eq!(set().resolve("deepseek", false, scopes), Tuning::default());
    }

    #[test]
    fn a_set_is_read_as_it_was_written_and_refused_when_it_cannot_be() {
        let text = set().to_json();
        assert_eq!(TuningSet::from_json(&text), Ok(set()));
        let wrong = text.replace("0.8", "0.0");
        assert!(
            TuningSet::from_json(&wrong)
                .unwrap_err()
                .contains("no positive number")
        );
        let other = text.replace("tuning/1", "tuning/2");
        assert!(TuningSet::from_json(&other).unwrap_err().contains("tuning/2"));
    }
}
