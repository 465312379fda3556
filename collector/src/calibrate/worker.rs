//! The worker: the only process that calls CUDA. It answers orders until there are no more.

use std::io::{self, BufRead as _, Write as _};
use std::path::PathBuf;

use orrery_kernels::compile::{Cache, Compiler, Search};
use orrery_kernels::device::{Device, DeviceError, Libraries};

use super::protocol::{Answer, Order};

/// Where a worker finds its compiler and keeps what it made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Where NVRTC may be.
    pub search: Search,
    /// Compiled kernels.
    pub cache: PathBuf,
}

/// Answers every line of standard input with one of standard output.
///
/// # Errors
/// When whoever gives orders is gone.
pub fn serve(places: &Places) -> io::Result<()> {
    let mut open: Option<(usize, Device)> = None;
    for line in io::stdin().lock().lines() {
        let answer = match serde_json::from_str(&line?) {
            Ok(order) => obey(places, &mut open, order),
            Err(fault) => Answer::Fault(format!("an order is not understood: {fault}")),
        };
        let mut out = io::stdout().lock();
        serde_json::to_writer(&mut out, &answer)?;
        out.write_all(b"\n")?;
        out.flush()?;
    }
    Ok(())
}

fn obey(places: &Places, open: &mut Option<(usize, Device)>, order: Order) -> Answer {
    let fault = |fault: &dyn std::error::Error| Answer::Fault(fault.to_string());
    match order {
        Order::Libraries => Answer::Libraries {
            found: Libraries::look(),
            nvrtc: Compiler::load(&places.search)
                .map(|compiler| {
                    let (major, minor) = compiler.version();
                    format!("{major}.{minor} at {}", compiler.path().display())
                })
                .map_err(|fault| fault.to_string()),
        },
        Order::Devices => match Device::identities() {
            Ok(identities) => Answer::Devices(identities),
            Err(found) => fault(&found),
        },
        Order::Look { device } => match Device::look(device) {
            Ok(facts) => Answer::Facts(facts),
            Err(found) => fault(&found),
        },
        Order::Measure {
            device,
            subject,
            mode,
            sampling,
        } => {
            if open.as_ref().is_none_or(|(index, _)| *index != device) {
                let compiler = match Compiler::load(&places.search) {
                    Ok(compiler) => compiler,
                    Err(found) => return fault(&found),
                };
                match Device::open(device, compiler, Cache::new(places.cache.clone())) {
                    Ok(opened) => *open = Some((device, opened)),
                    Err(found) => return fault(&found),
                }
            }
            let Some((_, device)) = open else {
                return Answer::Fault("no device is open".to_owned());
            };
            match device.measure(&subject, mode, &sampling) {
                Ok(measured) => Answer::Measured(Box::new(measured)),
                Err(DeviceError::Wrong(wrong)) => Answer::Wrong(wrong.to_string()),
                Err(found) => fault(&found),
            }
        }
    }
}
