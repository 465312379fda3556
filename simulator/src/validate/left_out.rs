//! Whether what is to be left out is a part of every table: an option that is passed over would let errors of a fit to the
//! very rows be taken for those of rows that it never saw.

use std::path::{Path, PathBuf};

use super::{KernelsBy, Metric, Mode, Options, kernels, steps, table};
use crate::tuning::LeaveOut;

/// What a table holds, as far as leaving out goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Steps,
    Kernels,
    Other,
}

impl Holds {
    /// Of a file that can be read; what cannot is told where it is read.
    fn of(file: &Path) -> Option<Self> {
        let text = table::text(file).ok()?;
        Some(match table::parse(&text) {
            Ok(table) if steps::is_one(&table) => Self::Steps,
            Ok(table) if kernels::is_one(&table) => Self::Kernels,
            _ => Self::Other,
        })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Steps => "holds training steps",
            Self::Kernels => "holds times of kernels, which are always predicted without their shape",
            Self::Other => "holds neither steps nor kernels",
        }
    }
}

/// The option of the command that leaves something out of the fit of steps.
const fn option(leave_out: LeaveOut) -> &'static str {
    match leave_out {
        LeaveOut::Folds(_) => "--folds",
        LeaveOut::Model => "--leave-out model",
        LeaveOut::Source => "--leave-out source",
        LeaveOut::Generation => "--leave-out generation",
    }
}

/// Nothing, where every one of `files` has what `options` leave out.
///
/// # Errors
/// With the first that has not, and what to ask instead.
pub(super) fn is_in_all(files: &[PathBuf], options: Options) -> Result<(), String> {
    let (option, wanted) = match (options.mode, options.kernels) {
        (Mode::HeldOut(_), KernelsBy::Device) => {
            return Err("steps are not left out by device, nor kernels in folds or by model\n  = help: ask for one in a \
                        call of its own"
                .to_owned());
        }
        (Mode::HeldOut(leave_out), KernelsBy::Shape) => (option(leave_out), Holds::Steps),
        (_, KernelsBy::Device) => ("--leave-out device", Holds::Kernels),
        (Mode::Simulated | Mode::Estimated, KernelsBy::Shape) => return Ok(()),
    };
    if wanted == Holds::Steps && options.metric == Metric::Memory {
        return Err(format!(
            "memory is counted, not fitted: `{option}` has nothing to leave out\n  = help: drop `{option}`, or `--metric \
             memory`"
        ));
    }
    let Some((file, holds)) = files
        .iter()
        .filter_map(|file| Some((file, Holds::of(file)?)))
        .find(|(_, holds)| *holds != wanted)
    else {
        return Ok(());
    };
    let (leaves_out, instead) = match (wanted, holds) {
        (Holds::Kernels, Holds::Steps) => (
            "kernels",
            "`--leave-out generation` leaves devices out of the fit of steps",
        ),
        (_, Holds::Kernels) => (
            "steps",
            "`--leave-out device` predicts kernels without their device",
        ),
        (Holds::Kernels, _) => ("kernels", "ask of this table in a call of its own"),
        _ => ("steps", "ask of this table in a call of its own"),
    };
    Err(format!(
        "`{option}` leaves out {leaves_out}, and this {}\n  = help: {instead}: {}",
        holds.name(),
        file.display()
    ))
}
