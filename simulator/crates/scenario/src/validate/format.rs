//! Formats, recompute and parameter counts.

use super::num_experts;
use crate::diagnostics::{Fault, Faults};
use crate::plan::{AttentionShape, Cluster, Model, Training};
use crate::raw::{Raw, RawModel};

/// S040: the device has units for the format of the GEMMs.
pub(crate) fn device_has_the_format(
    raw: &Raw<'_>,
    cluster: &Cluster,
    training: &Training,
    faults: &mut Faults,
) {
    let gemm = training.formats.gemm;
    if cluster.device.peak(gemm).is_some() {
        return;
    }
    let written = raw.training.formats.text("gemm");
    let Some(given) = written.as_ref().or(raw.training.precision.as_ref()) else {
        return;
    };
    let names: Vec<&str> = cluster
        .device
        .peaks
        .iter()
        .map(|(precision, _)| precision.name())
        .collect();
    let message = format!("{} cannot multiply in {gemm}", cluster.device.name);
    let fault = Fault::new("S040", &given.place, message)
        .note(format!("it multiplies in {}", names.join(", ")))
        .help(if names.contains(&"bf16") {
            "precision = \"bf16\""
        } else {
            "another device"
        });
    faults.push(fault);
}

/// S041: what is recomputed exists in the model.
pub(crate) fn recompute_names_apply(raw: &Raw<'_>, model: &Model, faults: &mut Faults) {
    let Some(modules) = &raw.training.recompute_modules else {
        return;
    };
    let latent = model
        .layers
        .iter()
        .any(|layer| matches!(layer.attention, AttentionShape::Latent { .. }));
    for module in modules
        .value
        .iter()
        .filter(|module| module.value == "mla_up_proj" && !latent)
    {
        let message = "`mla_up_proj` is recomputed, but the model has no latent attention";
        faults.push(Fault::new("S041", &module.place, message).help("remove \"mla_up_proj\""));
    }
}

/// S021: the parameters that are counted are those that were published, within half a percent.
pub(crate) fn parameter_count_is_as_published(model: &Model, raw: &RawModel<'_>, faults: &mut Faults) {
    let Some(given) = &raw.params_b else { return };
    #[expect(clippy::cast_precision_loss, reason = "shown and compared to three digits")]
    let counted = model.parameters().total() as f64 / 1e9;
    if (counted / given.value - 1.0).abs() <= 0.005 {
        return;
    }
    let message = format!("the model has {counted:.3} B parameters, not {} B", given.value);
    let experts = num_experts(model).map_or_else(|| "none".to_owned(), |experts| experts.to_string());
    let fault = Fault::new("S021", &given.place, message).note(format!(
        "{} layers, hidden {}, vocabulary {}, experts {experts}",
        model.layers.len(),
        model.hidden,
        model.vocab
    ));
    faults.push(fault.help(format!(
        "params_b = {counted:.3}, or correct the dimensions in [model.override]"
    )));
}
