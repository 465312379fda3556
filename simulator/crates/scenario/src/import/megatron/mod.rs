//! Megatron-LM arguments into a scenario.
//!
//! Every argument ends up read, known to have no effect (with the reason), or reported as not understood.
//! What cannot be simulated (encoder-decoder, state-space, multimodal, reinforcement learning) is refused by
//! name.

mod arguments;
mod irrelevant;
mod layout;
mod model;
mod pattern;

use arguments::Arguments;

use super::Report;

/// What arguments do not say: where they ran.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MegatronCluster {
    /// Device, by any name that the hardware catalogue knows.
    pub gpu: Option<String>,
    /// Nodes.
    pub nodes: Option<u32>,
    /// Devices in a node.
    pub gpus_per_node: Option<u32>,
}

/// A scenario made from arguments, and how.
#[derive(Clone, Debug)]
pub struct MegatronImport {
    /// The scenario.
    pub scenario: String,
    /// What was read, assumed and left out.
    pub report: Report,
}

/// Arguments that describe something else than a step that can be simulated.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Why.
    pub reason: String,
    /// What was read, assumed and left out.
    pub report: Report,
}

/// Arguments that mean something other than training a decoder.
const REFUSED: &[(&str, &str)] = &[
    ("encoder-num-layers", "an encoder-decoder model (T5)"),
    ("hybrid-layer-pattern", "state-space layers beside attention"),
    ("hybrid-override-pattern", "state-space layers beside attention"),
    ("is-hybrid-model", "state-space layers beside attention"),
    ("mamba-num-heads", "state-space layers beside attention"),
    ("img-h", "a vision encoder beside the language model"),
    ("model-provider", "a model defined by a program of its own"),
    (
        "perform-rl-step",
        "a step of reinforcement learning, which generates as well as trains",
    ),
    ("export-kd-cfg", "distillation, with a second model"),
    ("flextron", "an elastic model"),
    ("moe-latent-size", "experts behind a latent projection"),
    (
        "use-checkpoint-args",
        "dimensions that stand in a checkpoint, not in the arguments",
    ),
];

/// The scenario of `text`, which is a command line (`--num-layers 61 …`) or a JSON object of arguments.
///
/// # Errors
/// Why the arguments cannot be read, or describe nothing that can be simulated; with the report so far.
pub fn megatron(text: &str, cluster: &MegatronCluster) -> Result<MegatronImport, Box<Refused>> {
    let mut arguments = Arguments::parse(text).map_err(|reason| {
        Box::new(Refused {
            reason,
            report: Report::default(),
        })
    })?;
    let refused = REFUSED.iter().find(|(name, _)| arguments.has(name));
    // Everything is read even when refused, so that the report is complete.
    let model = model::model(&mut arguments);
    let layout = layout::layout(
        &mut arguments,
        cluster,
        model.as_ref().map_or(0, |model| model.num_layers),
    );
    let training = layout::training(&mut arguments);
    if let Some((name, what)) = refused {
        arguments.flag(name);
        return Err(Box::new(Refused {
            reason: format!("`--{name}` means {what}, which cannot be simulated yet"),
            report: arguments.close(),
        }));
    }
    match (model, training) {
        (Ok(model), Ok(training)) => Ok(MegatronImport {
            scenario: format!(
                "schema = \"scenario/1\"\n\n[scenario]\nname = \"megatron-import\"\ntitle = \"Imported from \
                 Megatron-LM arguments\"\nkind = \"training\"\n\n{}\n{layout}\n{training}",
                model.text
            ),
            report: arguments.close(),
        }),
        (Err(reason), _) | (_, Err(reason)) => Err(Box::new(Refused {
            reason,
            report: arguments.close(),
        })),
    }
}
