//! `[model]` into a model: from the catalogue, from a config.json, or inline.

use super::Assumptions;
use crate::catalog::models;
use crate::diagnostics::{Fault, Faults};
use crate::document::Place;
use crate::import::hf::{HfModel, read_config};
use crate::model_fields::ModelFields;
use crate::plan::Model;
use crate::raw::{RawModel, nearest};
use crate::source::Source;

/// The model and what of it matters elsewhere.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) model: Model,
    /// Family, for defaults of routing.
    pub(crate) family: String,
    /// Groups of experts per token, of how many.
    pub(crate) routing_groups: Option<(u64, u64)>,
    /// Text outside the scenario that it depends on, for the hash.
    pub(crate) config: String,
}

/// The model, unless it cannot be read or built.
pub(crate) fn model(
    raw: &RawModel<'_>,
    file: &str,
    source: &dyn Source,
    assumed: &mut Assumptions,
    faults: &mut Faults,
) -> Option<Resolved> {
    let from = raw.from.as_ref()?;
    let (config, name, place) = match from.value.as_str() {
        "catalog" => catalog_config(raw, from.place.clone(), faults)?,
        "hf-config" => file_config(raw, from.place.clone(), file, source, faults)?,
        _ => {
            let name = raw
                .name
                .as_ref()
                .map_or_else(|| "inline".to_owned(), |name| name.value.clone());
            (String::new(), name, from.place.clone())
        }
    };
    let (mut fields, mut family) = (ModelFields::read(raw.fields), "unknown".to_owned());
    if !config.is_empty() {
        let read = read_config(&config)
            .map_err(|why| faults.push(Fault::new("S020", &place, format!("the model's config: {why}"))))
            .ok()?;
        note_assumed(&read, assumed);
        family = read.family;
        fields = read.fields;
    }
    let fields = fields.overridden(ModelFields::read(raw.overrides));
    if let Some(given) = &raw.family {
        family = given.value.clone();
    }
    let model = match fields.build(&name) {
        Ok(model) => model,
        Err(found) => {
            for fault in found {
                let message = format!("[model]: {}", fault.message);
                faults.push(Fault::new("S022", &place, message).help(fault.help));
            }
            return None;
        }
    };
    crate::validate::parameter_count_is_as_published(&model, raw, faults);
    Some(Resolved {
        model,
        family,
        routing_groups: fields.routing_groups,
        config,
    })
}

fn note_assumed(read: &HfModel, assumed: &mut Assumptions) {
    for line in &read.report.assumed {
        assumed.note(&format!("model.{}", line.field), &line.value, &line.from);
    }
    for line in &read.report.unknown {
        assumed.note(
            &format!("model.config.{}", line.field),
            &line.value,
            "not understood; without effect",
        );
    }
}

fn catalog_config(raw: &RawModel<'_>, place: Place, faults: &mut Faults) -> Option<(String, String, Place)> {
    let names: Vec<&str> = models().iter().map(|model| model.name).collect();
    let Some(name) = &raw.name else {
        let fault = Fault::new("S004", &place, "`from = \"catalog\"` needs `name`");
        faults.push(
            fault
                .note(format!("models: {}", names.join(", ")))
                .help(format!("name = \"{}\"", names[0])),
        );
        return None;
    };
    if let Some(model) = models().iter().find(|model| model.name == name.value) {
        return Some((model.config.to_owned(), model.name.to_owned(), name.place.clone()));
    }
    let near = nearest(&name.value, &names);
    let fault = Fault::new(
        "S013",
        &name.place,
        format!("no model `{}` in the catalogue", name.value),
    );
    faults.push(
        fault
            .note(format!("models: {}", names.join(", ")))
            .help(format!("name = \"{}\"", near.unwrap_or(names[0]))),
    );
    None
}

fn file_config(
    raw: &RawModel<'_>,
    place: Place,
    file: &str,
    source: &dyn Source,
    faults: &mut Faults,
) -> Option<(String, String, Place)> {
    let Some(path) = &raw.path else {
        let fault = Fault::new("S004", &place, "`from = \"hf-config\"` needs `path`");
        faults.push(fault.help("path = \"config.json\", relative to this file"));
        return None;
    };
    match source.read(file, &path.value) {
        Ok(text) => {
            let folder = path.value.rsplit('/').nth(1).unwrap_or("model").to_owned();
            let name = raw.name.as_ref().map_or(folder, |name| name.value.clone());
            Some((text, name, path.place.clone()))
        }
        Err(why) => {
            let fault = Fault::new(
                "S012",
                &path.place,
                format!("cannot read `{}`: {why}", path.value),
            );
            faults.push(fault.help("paths are relative to the scenario file"));
            None
        }
    }
}
