//! A rank of collectives by NCCL: one process, one device. Ranks find each other by an identity that one of them makes, and
//! every order here is carried out by all of them at once.

use std::sync::Arc;

use cudarc::driver::CudaStream;
use cudarc::nccl::{result, sys};
use orrery_operation::CollectiveOp;
use orrery_units::SimDuration;
use serde::{Deserialize, Serialize};

use super::batch::{Batch, Launching};
use super::exchange::Exchange;
use super::{Device, DeviceError, Libraries, driver};

/// Names what the library refused.
pub(super) fn refused(doing: &'static str) -> impl FnOnce(result::NcclError) -> DeviceError {
    move |code| DeviceError::Refused {
        library: "libnccl.so",
        doing,
        code: format!("{:?}", code.0),
    }
}

/// What ranks find each other by: 128 bytes, in hexadecimal digits. Whoever has it can take a rank's place, so that it is
/// handed to nobody but ranks.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Identity(sys::ncclUniqueId);

impl std::fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Identity(..)")
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut bytes = self.0.internal.iter();
        bytes.try_for_each(|byte| write!(formatter, "{:02x}", byte.cast_unsigned()))
    }
}

impl std::str::FromStr for Identity {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let digits = text.as_bytes();
        let mut internal = [0; 128];
        let is_whole = text.is_ascii() && digits.len() == 2 * internal.len();
        let bytes = internal.iter_mut().enumerate();
        let is_read = is_whole
            && bytes
                .map(|(at, byte)| {
                    u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map(|read| *byte = read.cast_signed())
                })
                .all(|read| read.is_ok());
        if is_read {
            Ok(Self(sys::ncclUniqueId { internal }))
        } else {
            Err(DeviceError::NoIdentity)
        }
    }
}

impl From<Identity> for String {
    fn from(identity: Identity) -> Self {
        identity.to_string()
    }
}

impl TryFrom<String> for Identity {
    type Error = DeviceError;

    fn try_from(text: String) -> Result<Self, DeviceError> {
        text.parse()
    }
}

impl Identity {
    /// A new one, at the process that makes it: that one is to join, and to live as long as the others. No device is opened.
    ///
    /// # Errors
    /// Without the library, or where it refuses.
    pub fn new() -> Result<Self, DeviceError> {
        present()?;
        result::get_uniqueid().map(Self).map_err(refused("an identity"))
    }
}

fn present() -> Result<(), DeviceError> {
    if Libraries::look().nccl {
        return Ok(());
    }
    Err(DeviceError::Missing {
        library: "libnccl.so",
        remedy: "pip install nvidia-nccl-cu12, link its `libnccl.so.2` as `libnccl.so`, and put that folder on LD_LIBRARY_PATH",
    })
}

/// What a rank is told apart by: its number, and of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) rank: usize,
    pub(super) ranks: usize,
}

/// A rank's place among others.
#[derive(Debug)]
pub struct Seat {
    stream: Arc<CudaStream>,
    place: Place,
    current: Option<Current>,
    /// After what uses it: fields are dropped in order.
    communicator: Communicator,
}

/// What is measured now, and in which batches.
struct Current {
    batch: Batch,
    exchange: Exchange,
}

impl std::fmt::Debug for Current {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Current(..)")
    }
}

#[derive(Debug)]
struct Communicator(sys::ncclComm_t);

impl Drop for Communicator {
    fn drop(&mut self) {
        // SAFETY: made by the library, and used no more; what it says to that changes nothing.
        let _given_back = unsafe { result::comm_destroy(self.0) };
    }
}

impl Seat {
    /// Takes the place of `rank` of `ranks` with device `index`; returns when all have. No kernel of this package is needed.
    ///
    /// # Errors
    /// Without the driver, the device or the library, and where one of them refuses.
    pub fn take(index: usize, identity: &Identity, rank: usize, ranks: usize) -> Result<Self, DeviceError> {
        present()?;
        if ranks < 2 || rank >= ranks {
            return Err(DeviceError::NoPlace { rank, ranks });
        }
        let context = Device::context(index)?;
        // SAFETY: one thread owns the device, and every buffer lives until the stream has been waited for.
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream().map_err(driver("making a stream"))?;
        context.bind_to_thread().map_err(driver("taking the device"))?;
        let number = |value: usize| i32::try_from(value).expect("there are few ranks");
        let mut communicator = std::ptr::null_mut();
        // SAFETY: the place of the communicator is valid for a write.
        unsafe { result::comm_init_rank(&raw mut communicator, number(ranks), identity.0, number(rank)) }
            .map_err(refused("to join the other ranks"))?;
        Ok(Self {
            stream,
            place: Place { rank, ranks },
            current: None,
            communicator: Communicator(communicator),
        })
    }

    /// Makes operands of `op` of `bytes` as nccl-tests counts them, runs it once, and checks what this rank ended with; the
    /// relative error.
    ///
    /// # Errors
    /// Where the driver or the library refuses, or the result is wrong.
    pub fn begin(&mut self, op: CollectiveOp, bytes: u64) -> Result<f64, DeviceError> {
        self.current = None;
        let exchange = Exchange::new(&self.stream, self.communicator.0, op, bytes, self.place)?;
        exchange.launch()?;
        let error = exchange.check()?;
        self.current = Some(Current {
            batch: Batch::on_stream(1, "nobody asked for a graph"),
            exchange,
        });
        Ok(error)
    }

    /// Batches of so many launches from now on, replayed from a graph if that is wished and permitted. A graph runs once, and
    /// what it leaves is checked: the relative error.
    ///
    /// # Errors
    /// Before [`begin`](Self::begin), where a graph does not run, and where its result is wrong.
    pub fn prepare(
        &mut self,
        launches: usize,
        is_replayed: bool,
    ) -> Result<(Launching, Option<f64>), DeviceError> {
        let stream = if is_replayed {
            Ok(Arc::clone(&self.stream))
        } else {
            Err("not every rank may replay a graph, and all do alike")
        };
        let current = self.current.as_mut().ok_or(DeviceError::NothingBegun)?;
        let exchange = &current.exchange;
        current.batch = Batch::captured(launches, stream, &|_| exchange.launch());
        let launching = current.batch.launching();
        let mut error = None;
        if launching == Launching::Graph {
            exchange.forget()?;
            current
                .batch
                .time(std::slice::from_ref(&self.stream), &|_| exchange.launch())?;
            error = Some(exchange.check()?);
        }
        Ok((launching, error))
    }

    /// Times of one launch in each of so many batches, as this rank saw them. Before every batch a launch that is not timed
    /// has the ranks begin together, however late the host of one was.
    ///
    /// # Errors
    /// Before [`begin`](Self::begin), and where the driver or the library refuses.
    pub fn time(&self, batches: usize) -> Result<Vec<SimDuration>, DeviceError> {
        let Current { batch, exchange } = self.current.as_ref().ok_or(DeviceError::NothingBegun)?;
        let times = (0..batches).map(|_| {
            exchange.launch()?;
            batch.time(std::slice::from_ref(&self.stream), &|_| exchange.launch())
        });
        times.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_comes_back_and_is_not_shown() {
        let mut internal = [0; 128];
        internal[0] = -1;
        internal[127] = 0x1c;
        let identity = Identity(sys::ncclUniqueId { internal });
        let text = identity.to_string();
        assert!(text.starts_with("ff00") && text.ends_with("1c"), "{text}");
        assert_eq!(text.parse::<Identity>().unwrap(), identity);
        assert_eq!(format!("{identity:?}"), "Identity(..)");
        for wrong in ["", "ff", &text[1..], &text.replace("ff", "fg"), &"é".repeat(128)] {
            assert!(wrong.parse::<Identity>().is_err(), "{wrong}");
        }
    }
}
