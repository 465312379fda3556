//! `import routing`: the law of a recorded expert load, layer by layer, and a scenario's load made of it.

use std::fmt::Write as _;
use std::path::Path;

use orrery_experts::law::{self, Family, RecordingFit};
use orrery_experts::load::Law;
use orrery_experts::record::{self, Part};

use super::{Console, Failure, RoutingArgs};
use crate::exit::Exit;
use crate::files;

/// Fits a law to each part of a recording: what fits is said layer by layer on standard error, and the load of a
/// scenario that follows it is the result.
pub(crate) fn routing(args: &RoutingArgs, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    let file = &args.file;
    let fail = |fault: String| Failure::invalid(format!("cannot import: {fault}: {}", file.display()));
    let text = files::read_recording(file).map_err(Failure::missing)?;
    let recording = record::read(&text).map_err(|fault| fail(fault.to_string()))?;
    let parts: Vec<(&str, Vec<Vec<u64>>, Vec<u64>)> = match &args.select {
        Some(select) => {
            let counts = recording
                .counts(Some(select))
                .map_err(|fault| fail(fault.to_string()))?;
            let numbers = recording
                .parts
                .iter()
                .find(|part| select.starts_with(part.name.as_str()));
            vec![(
                select,
                counts,
                numbers.map_or(Vec::new(), |part| part.layer_numbers.clone()),
            )]
        }
        None => recording.parts.iter().map(whole).collect(),
    };
    let mut fragment = String::new();
    for (name, layers, numbers) in &parts {
        let fitted = law::fit(layers).ok_or_else(|| {
            fail(format!(
                "`{name}` has no layer of four experts or more with tokens"
            ))
        })?;
        write!(console.err, "{}", told(name, layers, numbers, &fitted))?;
        fragment.push_str(&phase(name, &fitted));
    }
    let scenario = format!(
        "# Expert load as recorded in {}: `orrery import routing`.\n\
         [load]\n\
         tokens_per_step = 65536 # yours\n{fragment}",
        file.file_name().unwrap_or_default().display()
    );
    write(&scenario, args.output.as_deref(), console)
}

/// A part of a recording with its counts and the numbers of its layers.
fn whole(part: &Part) -> (&str, Vec<Vec<u64>>, Vec<u64>) {
    (&part.name, part.layers(), part.layer_numbers.clone())
}

/// What fits, layer by layer, and how the other laws do.
fn told(name: &str, layers: &[Vec<u64>], numbers: &[u64], fitted: &RecordingFit) -> String {
    let mut text = String::new();
    let name = if name.is_empty() { "recording" } else { name };
    let experts = layers.first().map_or(0, Vec::len);
    let tell = |text: &mut String, line: std::fmt::Arguments<'_>| {
        text.write_fmt(line).expect("a string takes everything");
        text.push('\n');
    };
    let others: Vec<String> = Family::ALL
        .iter()
        .map(|&family| format!("{} {:.3}", family.name(), fitted.r_squared(family)))
        .collect();
    tell(
        &mut text,
        format_args!(
            "{name}: {} layers of {experts} experts follow {}",
            layers.len(),
            fitted.family.name()
        ),
    );
    tell(
        &mut text,
        format_args!("  median R² of sorted shares, linear: {}", others.join(", ")),
    );
    tell(
        &mut text,
        format_args!("  layer  {:<34}  R²     R² of logarithms", "parameters"),
    );
    for (layer, fits) in fitted.layers.iter().enumerate() {
        let fit = fits.of(fitted.family);
        let values = fit.values();
        let parameters = fitted.family.parameters().iter().zip(&values);
        let parameters: Vec<String> = parameters
            .map(|(name, value)| format!("{name} {value:.3}"))
            .collect();
        let number = numbers.get(layer).copied().unwrap_or(layer as u64);
        tell(
            &mut text,
            format_args!(
                "  {number:>5}  {:<34}  {:.3}  {:.3}",
                parameters.join(", "),
                fit.r_squared,
                fit.log_r_squared
            ),
        );
    }
    text
}

/// A phase of a load by the fitted law, its parameters the medians over layers.
fn phase(name: &str, fitted: &RecordingFit) -> String {
    let name = if name.is_empty() { "recorded" } else { name };
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
