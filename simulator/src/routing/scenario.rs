//! The text of a scenario on a recording.

use std::fmt::Write as _;

use orrery_experts::record::Part;

use super::known::{Known, exactly, most_like};
use super::phase_name;

/// The device that is assumed: the expert kernels and the exchanges of its like were measured.
pub(super) const DEVICE: &str = "H800-SXM5-80GB";
/// Devices of a node of it.
const OF_A_NODE: usize = 8;
/// Devices that experts are spread over, at most.
const MOST_DEVICES: usize = 32;
/// Tokens of a device in a step that are assumed: a prefill batch.
const TOKENS_OF_A_DEVICE: usize = 4096;
/// Steps in all, and of a phase at least.
const STEPS: usize = 600;
const LEAST_STEPS: usize = 100;
/// Phases at most.
const MOST_PHASES: usize = 8;

/// What the scenario says, beside what was recorded.
struct Asked {
    layers: usize,
    experts: usize,
    /// Experts of a token, where tokens are told apart.
    top_k: Option<usize>,
    devices: usize,
}

impl Asked {
    fn of(part: &Part) -> Self {
        let experts = part.num_experts();
        Self {
            layers: part.layer_numbers.len(),
            experts,
            top_k: part.routes.first().map(|route| route.experts.len()),
            devices: devices(experts),
        }
    }
}

/// As many devices as share `experts` evenly: a power of two.
pub(super) fn devices(experts: usize) -> usize {
    let wanted = match experts {
        0..=64 => OF_A_NODE,
        65..=128 => 2 * OF_A_NODE,
        _ => MOST_DEVICES,
    };
    let powers =
        std::iter::successors(Some(wanted), |devices| Some(devices / 2)).take_while(|devices| *devices > 1);
    powers
        .filter(|devices| experts.is_multiple_of(*devices))
        .max()
        .unwrap_or(1)
}

/// The scenario on `parts` of a recording in `path`, of which `left_out` parts are of other models.
pub(super) fn written(parts: &[&Part], left_out: usize, path: &str) -> String {
    let asked = Asked::of(parts[0]);
    let model = Model::of(&asked);
    let file = path.rsplit(['/', '\\']).next().unwrap_or(path);
    let stem = file.split('.').next().unwrap_or(file);
    let name = phase_name(stem);
    let phases = phases(parts);
    let mut notes = vec![model.note(&asked)];
    notes.push(format!(
        "Tokens of a step, devices and policies are assumed: {} tokens a device on {} {DEVICE}.",
        TOKENS_OF_A_DEVICE, asked.devices
    ));
    if parts.iter().any(|part| part.steps.len() > 1) {
        notes.push(
            "The recorded steps count together: hot experts that move from step to step are not seen."
                .to_owned(),
        );
    }
    let parts_left = left_out + parts.len().saturating_sub(MOST_PHASES);
    if parts_left > 0 {
        notes.push(format!("{parts_left} other parts of the recording are left out."));
    }
    let mut text = format!(
        "schema = \"scenario/1\"\n\n# Written for a recorded load of experts; what the recording does not say is marked \
         \"yours\".\n[scenario]\nname  = \"{name}-eplb\"\ntitle = \"Does EPLB pay for the loads in {}?\"\n\
         kind  = \"balancing\"\nnotes = \"{}\"\n\n",
        escaped(file),
        escaped(&notes.join(" "))
    );
    put(&mut text, &model.written(&asked));
    cluster(&mut text, &asked);
    let steps = (STEPS / phases.len()).max(LEAST_STEPS);
    for (name, select) in &phases {
        let select = select.as_ref().map_or_else(String::new, |select| {
            format!(", select = \"{}\"", escaped(select))
        });
        put(
            &mut text,
            &format!(
                "[[load.phase]]\nname  = \"{name}\"\nsteps = {steps} # yours\nskew  = {{ kind = \"trace\", path = \
                 \"{}\"{select} }}\n\n",
                escaped(path)
            ),
        );
    }
    text + POLICIES
}

/// Balancers that are compared: experts as they lie, EPLB once and again and again, and the same that nobody waits for.
const POLICIES: &str = r#"# Experts in order, one slot each: no balancing. The others are compared with it.
[[policy]]
id        = "static"
kind      = "contiguous"
redundant = 0

# EPLB plans from the last 100 steps, every 100 steps; everybody waits while replicas travel.
[[policy]]
id        = "eplb"
kind      = "eplb-global"
window    = 100
interval  = 100 # yours
migration = { mode = "blocking" }

# The same, while replicas travel beside the exchanges on a quarter of the links.
[[policy]]
id        = "eplb-beside"
kind      = "eplb-global"
window    = 100
interval  = 100
migration = { mode = "overlapped", bandwidth_share = 0.25 }

# A plan from the loads to come, as a dump of them gives one, made before the first step and never again.
[[policy]]
id        = "eplb-once"
kind      = "eplb-global"
interval  = 0
estimator = { kind = "oracle" }

[run]
seed         = 1
replications = 2
"#;

/// Whose experts they are.
enum Model {
    /// Those of a model of the catalogue.
    Known(Known),
    /// Those of nobody that is known; this one's are most like them.
    Like(Known),
}

impl Model {
    fn of(asked: &Asked) -> Self {
        match exactly(asked.layers, asked.experts, asked.top_k) {
            Some(known) => Self::Known(known),
            None => Self::Like(most_like(asked.experts, asked.top_k)),
        }
    }

    /// Whose widths are taken, in a sentence.
    fn note(&self, asked: &Asked) -> String {
        let Asked { layers, experts, .. } = asked;
        match self {
            Self::Known(known) => format!(
                "{layers} layers of {experts} experts are those of {}.",
                known.name
            ),
            Self::Like(Known { name, experts: own }) => {
                let takes = match asked.top_k {
                    Some(_) => String::new(),
                    None => format!(", and that a token takes {} of them", own.top_k),
                };
                format!(
                    "The recording has {layers} layers of {experts} experts and does not say how wide they are: {} and {}, \
                     as in {name}, are assumed{takes}. Imbalance does not depend on widths, times do.",
                    own.hidden, own.inner
                )
            }
        }
    }

    /// The table `[model]`.
    fn written(&self, asked: &Asked) -> String {
        match self {
            Self::Known(known) => format!("[model]\nfrom = \"catalog\"\nname = \"{}\"\n\n", known.name),
            Self::Like(Known { experts: own, .. }) => {
                let top_k = asked.top_k.unwrap_or(own.top_k as usize).min(asked.experts);
                let known = if asked.top_k.is_some() { "" } else { " # yours" };
                // Split sizes of all-to-alls are loads of ranks, which a table of counts does not tell.
                let ranks = match asked.top_k {
                    Some(_) => "",
                    None => {
                        " # ranks, as in expert-load.csv of `orrery import kineto`? Then write the model's"
                    }
                };
                format!(
                    "[model]\nfrom = \"inline\"\nname = \"recorded\"\n\n[model.fields]\nlayers     = {}\n\
                     experts    = {}{ranks}\ntop_k      = {top_k}{known}\nhidden     = {} # yours\nexpert_ffn = {} # yours\n\
                     # Without effect on experts.\nheads      = 1\nvocab      = 1\n\n",
                    asked.layers, asked.experts, own.hidden, own.inner
                )
            }
        }
    }
}

fn cluster(text: &mut String, asked: &Asked) {
    put(
        text,
        &format!(
            "[cluster]\nnodes = {} # yours\n\n[cluster.node]\ngpu = \"{DEVICE}\" # yours\n\n[placement]\n\
             ep        = {ep} # yours\nredundant = {ep}\n\n[experts]\nstep = \"inference\"\n\n[load]\n\
             tokens_per_step = {} # yours\n\n",
            asked.devices.div_ceil(OF_A_NODE),
            asked.devices * TOKENS_OF_A_DEVICE,
            ep = asked.devices
        ),
    );
}

/// Phases of a load with the part of the recording that each plays: every part in turn, or both halves of the tokens of
/// the only one.
fn phases(parts: &[&Part]) -> Vec<(String, Option<String>)> {
    let halves = |part: &Part| {
        let half = |half: &str| (phase_name(half), Some(format!("{}/{half}", part.name)));
        vec![half("first-half"), half("second-half")]
    };
    match parts {
        [part] if !part.routes.is_empty() => halves(part),
        [part] if part.name.is_empty() => vec![(phase_name(""), None)],
        parts => parts
            .iter()
            .take(MOST_PHASES)
            .map(|part| (phase_name(&part.name), Some(part.name.clone())))
            .collect(),
    }
}

/// `words` within quotation marks of TOML.
fn escaped(words: &str) -> String {
    words.replace('\\', "\\\\").replace('"', "\\\"")
}

fn put(text: &mut String, words: &str) {
    text.write_str(words).expect("writing to a string cannot fail");
}
