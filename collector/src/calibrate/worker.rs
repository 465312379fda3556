//! The worker: the only process that calls CUDA. It answers orders until there are no more.

use std::io::{self, BufRead as _, Write as _};
use std::path::PathBuf;

use orrery_kernels::compile::{Cache, Compiler, Search};
use orrery_kernels::device::{Device, DeviceError, Identity, Libraries, Seat};
use orrery_units::SimDuration;

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
    let mut worker = Worker {
        places,
        seat: None,
        open: None,
    };
    for line in io::stdin().lock().lines() {
        let answer = match serde_json::from_str(&line?) {
            Ok(order) => worker.obey(order).unwrap_or_else(|fault| match fault {
                DeviceError::Wrong(wrong) => Answer::Wrong(wrong.to_string()),
                fault => Answer::Fault(fault.to_string()),
            }),
            Err(fault) => Answer::Fault(format!("an order is not understood: {fault}")),
        };
        let mut out = io::stdout().lock();
        serde_json::to_writer(&mut out, &answer)?;
        out.write_all(b"\n")?;
        out.flush()?;
    }
    Ok(())
}

/// What a worker has opened so far.
struct Worker<'a> {
    places: &'a Places,
    seat: Option<Seat>,
    open: Option<(usize, Device)>,
}

impl Worker<'_> {
    fn obey(&mut self, order: Order) -> Result<Answer, DeviceError> {
        Ok(match order {
            Order::Libraries => self.libraries(),
            Order::Devices => Answer::Devices(Device::identities()?),
            Order::Look { device } => Answer::Facts(Device::look(device)?),
            Order::Measure {
                device,
                subject,
                mode,
                sampling,
            } => {
                let measured = self.device(device)?.measure(&subject, mode, &sampling)?;
                Answer::Measured(Box::new(measured))
            }
            Order::Identity => Answer::Identity(Identity::new()?),
            Order::Join {
                device,
                rank,
                ranks,
                identity,
            } => {
                self.seat = None;
                self.seat = Some(Seat::take(device, &identity, rank, ranks)?);
                Answer::Joined
            }
            Order::Begin { op, bytes } => Answer::Checked(self.seat()?.begin(op, bytes)?),
            Order::Prepare { launches, replayed } => {
                let (launching, error) = self.seat()?.prepare(launches, replayed)?;
                Answer::Prepared { launching, error }
            }
            Order::Time { batches } => {
                let times = self.seat()?.time(batches)?.into_iter();
                Answer::Times(times.map(SimDuration::as_picos).collect())
            }
        })
    }

    fn libraries(&self) -> Answer {
        Answer::Libraries {
            found: Libraries::look(),
            nvrtc: Compiler::load(&self.places.search)
                .map(|compiler| {
                    let (major, minor) = compiler.version();
                    format!("{major}.{minor} at {}", compiler.path().display())
                })
                .map_err(|fault| fault.to_string()),
        }
    }

    /// The rank that this worker is.
    fn seat(&mut self) -> Result<&mut Seat, DeviceError> {
        self.seat.as_mut().ok_or(DeviceError::NothingBegun)
    }

    /// Device `index`, opened if it is not.
    fn device(&mut self, index: usize) -> Result<&Device, DeviceError> {
        let open = match self.open.take() {
            Some(open) if open.0 == index => open,
            _ => {
                let compiler = Compiler::load(&self.places.search)?;
                let cache = Cache::new(self.places.cache.clone());
                (index, Device::open(index, compiler, cache)?)
            }
        };
        Ok(&self.open.insert(open).1)
    }
}
