//! `import`: scenarios from what other programs know about a job.

use std::path::Path;

use crate::exit::Exit;
use crate::files;
use orrery_scenario::import::megatron::MegatronCluster;
use orrery_scenario::import::{self, Report};

use super::{Console, Failure, MegatronArgs};

/// A scenario for the model of a Hugging Face config.
pub(crate) fn hugging_face(
    file: &Path,
    output: Option<&Path>,
    console: &mut Console<'_>,
) -> anyhow::Result<Exit> {
    let text = files::read(file).map_err(Failure::missing)?;
    let path = relative(file, output);
    let imported = import::hf::hf(&text, &path, None)
        .map_err(|fault| Failure::invalid(format!("cannot import: {fault}: {}", file.display())))?;
    write(&imported.scenario, &imported.report, output, console)
}

/// A scenario for a Megatron argument list: a file, or the arguments themselves.
pub(crate) fn megatron(args: &MegatronArgs, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    let file = Path::new(&args.input);
    let text = if file.is_file() {
        files::read(file).map_err(Failure::missing)?
    } else {
        args.input.clone()
    };
    let cluster = MegatronCluster {
        gpu: args.gpu.clone(),
        nodes: args.nodes,
        gpus_per_node: args.gpus_per_node,
    };
    match import::megatron::megatron(&text, &cluster) {
        Ok(imported) => write(
            &imported.scenario,
            &imported.report,
            args.output.as_deref(),
            console,
        ),
        Err(refused) => {
            writeln!(console.err, "{}", refused.report)?;
            Err(Failure::invalid(format!("cannot import: {}", refused.reason)))
        }
    }
}

/// How the scenario at `output` names `file`: relative where they share a folder, else absolute.
fn relative(file: &Path, output: Option<&Path>) -> String {
    let folder = output.and_then(Path::parent).unwrap_or(Path::new(""));
    match file.strip_prefix(folder) {
        Ok(inside) if file.is_relative() || folder.is_absolute() => inside.display().to_string(),
        _ => std::path::absolute(file)
            .map_or_else(|_| file.display().to_string(), |path| path.display().to_string()),
    }
}

/// The scenario is the result; what was read, derived and assumed is said beside it.
fn write(
    scenario: &str,
    report: &Report,
    output: Option<&Path>,
    console: &mut Console<'_>,
) -> anyhow::Result<Exit> {
    match output {
        Some(path) => {
            files::write(path, scenario.as_bytes()).map_err(Failure::missing)?;
            writeln!(console.out, "wrote {}", path.display())?;
        }
        None => write!(console.out, "{scenario}")?,
    }
    writeln!(console.err, "{report}")?;
    Ok(Exit::Success)
}
