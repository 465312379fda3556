//! `import routing`: the law of a recorded expert load, layer by layer, and a scenario's load made of it.

use std::path::Path;

use orrery_experts::law::{self, Family, RecordingFit};
use orrery_experts::load::Law;
use orrery_experts::record::{self, Part, RecordError, Recording};

use super::{Console, Failure, RoutingArgs};
use crate::exit::Exit;
use crate::{files, routing};

/// Fits a law to each part of a recording: what fits is said layer by layer on standard error, and the load of a
/// scenario that follows it is the result.
pub(crate) fn routing(args: &RoutingArgs, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    let file = &args.file;
    if args.scenario {
        return whole(args, console);
    }
    let fail = |fault: String| Failure::invalid(format!("cannot import: {fault}: {}", file.display()));
    let text = files::read_recording(file).map_err(Failure::missing)?;
    let recording = record::read(&text).map_err(|fault| fail(fault.to_string()))?;
    let parts = match &args.select {
        Some(select) => vec![Chosen::of(&recording, select).map_err(|fault| fail(fault.to_string()))?],
        None => recording.parts.iter().map(Chosen::whole).collect(),
    };
    let mut fragment = String::new();
    for part in &parts {
        let fitted = law::fit(&part.layers).ok_or_else(|| {
            let name = &part.name;
            fail(format!(
                "`{name}` has no layer of four experts or more with tokens"
            ))
        })?;
        write!(console.err, "{}", part.told(&fitted))?;
        fragment.push_str(&phase(&part.name, &fitted));
    }
    let scenario = format!(
        "# Expert load as recorded in {}: `orrery import routing`.\n\
         [load]\n\
         tokens_per_step = 65536 # yours\n{fragment}",
        file.file_name().unwrap_or_default().display()
    );
    write(&scenario, args.output.as_deref(), console)
}

/// Writes the scenario that compares balancers on a recording.
fn whole(args: &RoutingArgs, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    let recording = routing::read(&args.file).map_err(Failure::missing)?;
    let path = seen_from(&args.file, args.output.as_deref());
    let scenario = routing::scenario(&recording, &path).map_err(Failure::invalid)?;
    write(&scenario, args.output.as_deref(), console)
}

/// `file` as a scenario in `output` names it: relative to it where it lies beside it.
fn seen_from(file: &Path, output: Option<&Path>) -> String {
    let beside = output.is_some_and(|output| output.parent() == file.parent());
    let path = match (beside, file.file_name()) {
        (true, Some(name)) => Path::new(name).to_owned(),
        _ if output.is_some() => file.canonicalize().unwrap_or_else(|_gone| file.to_owned()),
        _ => file.to_owned(),
    };
    path.display().to_string()
}

/// What is fitted: a part of a recording, or half of its tokens.
struct Chosen {
    name: String,
    /// Counts of experts by layer.
    layers: Vec<Vec<u64>>,
    /// Numbers of the layers as recorded.
    numbers: Vec<u64>,
}

impl Chosen {
    fn whole(part: &Part) -> Self {
        Self {
            name: part.name.clone(),
            layers: part.layers(),
            numbers: part.layer_numbers.clone(),
        }
    }

    fn of(recording: &Recording, select: &str) -> Result<Self, RecordError> {
        let layers = recording.counts(Some(select))?;
        let part = recording.parts.iter().find(|part| select.starts_with(&part.name));
        Ok(Self {
            name: select.to_owned(),
            layers,
            numbers: part.map_or(Vec::new(), |part| part.layer_numbers.clone()),
        })
    }

    /// What fits, layer by layer, and how the other laws do.
    fn told(&self, fitted: &RecordingFit) -> String {
        let name = if self.name.is_empty() {
            "recording"
        } else {
            &self.name
        };
        let experts = self.layers.first().map_or(0, Vec::len);
        let medians: Vec<String> = Family::ALL
            .iter()
            .map(|&family| format!("{} {:.3}", family.name(), fitted.r_squared(family)))
            .collect();
        let mut lines = vec![
            format!(
                "{name}: {} layers of {experts} experts follow {}",
                self.layers.len(),
                fitted.family.name()
            ),
            format!("  median R² of sorted shares, linear: {}", medians.join(", ")),
            format!("  layer  {:<34}  R²     R² of logarithms", "parameters"),
        ];
        for (layer, fits) in fitted.layers.iter().enumerate() {
            let fit = fits.of(fitted.family);
            let values = fit.values();
            let parameters = fitted.family.parameters().iter().zip(&values);
            let parameters: Vec<String> = parameters
                .map(|(name, value)| format!("{name} {value:.3}"))
                .collect();
            lines.push(format!(
                "  {:>5}  {:<34}  {:.3}  {:.3}",
                self.numbers.get(layer).copied().unwrap_or(layer as u64),
                parameters.join(", "),
                fit.r_squared,
                fit.log_r_squared
            ));
        }
        lines.push(String::new());
        lines.join("\n")
    }
}

/// A phase of a load by the fitted law, its parameters the medians over layers.
fn phase(name: &str, fitted: &RecordingFit) -> String {
    let name = routing::phase_name(name);
    let skew = match fitted.law {
        Law::Balanced | Law::Uniform => "kind = \"uniform\"".to_owned(),
        Law::LogNormal { sigma } => format!("kind = \"lognormal\", sigma = {sigma:.4}"),
        Law::Zipf { exponent } => format!("kind = \"zipf\", exponent = {exponent:.4}"),
        Law::PowerLaw { alpha, span } => {
            format!("kind = \"power-law\", exponent = {alpha:.4}, span = {span:.1}")
        }
        Law::Dirichlet { concentration } => {
            format!("kind = \"dirichlet\", concentration = {concentration:.4}")
        }
        Law::DirichletZipf {
            exponent,
            concentration,
        } => {
            format!("kind = \"dirichlet-zipf\", exponent = {exponent:.4}, concentration = {concentration:.4}")
        }
    };
    format!(
        "\n[[load.phase]]\nname  = {name:?}\nsteps = 1000\nskew  = {{ {skew} }} # R² {:.3} over {} layers\n",
        fitted.r_squared(fitted.family),
        fitted.layers.len()
    )
}

fn write(scenario: &str, output: Option<&Path>, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    match output {
        Some(path) => {
            files::write(path, scenario.as_bytes()).map_err(Failure::missing)?;
            writeln!(console.out, "wrote {}", path.display())?;
        }
        None => write!(console.out, "{scenario}")?,
    }
    Ok(Exit::Success)
}
