//! Models of the catalogue by their experts: whose a recording may be.

use orrery_scenario::Loaded;
use orrery_scenario::catalog::models;
use orrery_scenario::plan::ExpertShape;

use crate::pipeline;

/// A model with experts.
pub(super) struct Known {
    /// Its name in the catalogue.
    pub(super) name: &'static str,
    pub(super) experts: ExpertShape,
}

/// Every model of the catalogue that has experts.
fn known() -> Vec<Known> {
    let of = |name: &'static str| {
        let text = format!(
            "schema = \"scenario/1\"\n[scenario]\nname = \"x\"\nkind = \"balancing\"\n[model]\nfrom = \"catalog\"\n\
             name = \"{name}\"\n[cluster]\nnodes = 1\n[cluster.node]\ngpu = \"{}\"\n[placement]\nep = 1\n\
             groups = 1\n[load]\ntokens_per_step = 1\n[[load.phase]]\nname = \"x\"\nsteps = 1\n\
             skew = {{ kind = \"uniform\" }}\n[[policy]]\nid = \"x\"\nkind = \"contiguous\"\n",
            super::scenario::DEVICE
        );
        match pipeline::load_any(name, &text, &[]).ok()? {
            Loaded::Balancing(plan) => Some(Known {
                name,
                experts: plan.group?.experts,
            }),
            Loaded::Training(_) => None,
        }
    };
    models().iter().filter_map(|model| of(model.name)).collect()
}

/// The model with so many `layers` of so many `experts`, of which a token takes `top_k` if that is known.
pub(super) fn exactly(layers: usize, experts: usize, top_k: Option<usize>) -> Option<Known> {
    known().into_iter().find(|Known { experts: own, .. }| {
        own.layers as usize == layers
            && own.experts as usize == experts
            && top_k.is_none_or(|top_k| own.top_k as usize == top_k)
    })
}

/// The model whose experts are most like `experts` of which a token takes `top_k`, if that is known: by their numbers as
/// ratios, and of equals the one with the smallest experts.
pub(super) fn most_like(experts: usize, top_k: Option<usize>) -> Known {
    #[expect(clippy::cast_precision_loss, reason = "a model has few experts")]
    let apart = |one: u32, other: usize| (f64::from(one) / other.max(1) as f64).ln().abs();
    let far =
        |own: &ExpertShape| apart(own.experts, experts) + top_k.map_or(0.0, |top_k| apart(own.top_k, top_k));
    let size = |own: &ExpertShape| u64::from(own.hidden) * u64::from(own.inner);
    let order = |one: &Known, other: &Known| {
        let nearer = far(&one.experts).total_cmp(&far(&other.experts));
        nearer.then(size(&one.experts).cmp(&size(&other.experts)))
    };
    known()
        .into_iter()
        .min_by(order)
        .expect("the catalogue has models with experts")
}
