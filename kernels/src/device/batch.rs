//! Batches of launches: replayed from a CUDA graph, so that the device waits for nobody between two of them, or else made one
//! after the other by the host. Where a graph is refused the batch says why and goes on without.

use std::sync::Arc;

use cudarc::driver::sys::CUevent_flags_enum::CU_EVENT_DEFAULT;
use cudarc::driver::sys::CUgraphInstantiate_flags;
use cudarc::driver::sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
use cudarc::driver::{CudaEvent, CudaGraph, CudaStream};
use orrery_units::SimDuration;
use serde::{Deserialize, Serialize};

use super::operands::Operands;
use super::{Device, DeviceError, driver};

/// How the launches of a batch got to the device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Launching {
    /// All of them with one call, replayed from a graph: the host's time is not in it.
    Graph,
    /// One call each, for this reason: kernels that are shorter than a call of the host, some 5 µs, hold its time.
    Stream(String),
}

impl Default for Launching {
    /// As all batches were before there were graphs.
    fn default() -> Self {
        Self::Stream("measured before batches were graphs".to_owned())
    }
}

/// So many launches over changing copies of their operands.
pub(super) struct Batch<'a> {
    device: &'a Device,
    operands: &'a Operands,
    launches: usize,
    graph: Result<CudaGraph, String>,
}

impl<'a> Batch<'a> {
    /// A batch of one call each.
    pub(super) fn on_stream(device: &'a Device, operands: &'a Operands, launches: usize, why: &str) -> Self {
        Self {
            device,
            operands,
            launches,
            graph: Err(why.to_owned()),
        }
    }

    /// A batch that is replayed, or one of one call each where a graph of it is refused.
    pub(super) fn new(device: &'a Device, operands: &'a Operands, launches: usize) -> Self {
        let graph = operands
            .replayed(device)
            .map_err(str::to_owned)
            .and_then(|stream| captured(device, operands, launches, &stream).map_err(|fault| reason(&fault)));
        Self {
            device,
            operands,
            launches,
            graph,
        }
    }

    /// How its launches get to the device.
    pub(super) fn launching(&self) -> Launching {
        self.graph
            .as_ref()
            .map_or_else(|why| Launching::Stream(why.clone()), |_| Launching::Graph)
    }

    pub(super) const fn launches(&self) -> usize {
        self.launches
    }

    /// Runs it; the time of one launch, on several devices that of the last to end.
    pub(super) fn time(&self) -> Result<SimDuration, DeviceError> {
        let streams = self.operands.streams(self.device);
        let begun = all_recorded(&streams)?;
        match &self.graph {
            Ok(graph) => graph.launch().map_err(driver("launching a graph"))?,
            Err(_) => enqueue(self.device, self.operands, self.launches)?,
        }
        let ended = all_recorded(&streams)?;
        let mut longest = 0.0_f32;
        for (begin, end) in begun.iter().zip(&ended) {
            longest = longest.max(begin.elapsed_ms(end).map_err(driver("reading an event"))?);
        }
        #[expect(clippy::cast_precision_loss, reason = "a batch has few launches")]
        let each = f64::from(longest) / 1e3 / self.launches as f64;
        Ok(SimDuration::from_secs(each))
    }
}

/// The first line of a fault: its remedies are for those who lost something by it.
fn reason(fault: &DeviceError) -> String {
    fault.to_string().lines().next().unwrap_or_default().to_owned()
}

fn enqueue(device: &Device, operands: &Operands, launches: usize) -> Result<(), DeviceError> {
    (0..launches).try_for_each(|launch| operands.launch(device, launch))
}

/// A graph of so many launches on `stream`, ready on the device.
fn captured(
    device: &Device,
    operands: &Operands,
    launches: usize,
    stream: &Arc<CudaStream>,
) -> Result<CudaGraph, DeviceError> {
    // Of this thread alone: a kernel that moves memory beside may be on its way on another stream.
    stream
        .begin_capture(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)
        .map_err(driver("beginning a capture"))?;
    let enqueued = enqueue(device, operands, launches);
    // Even where a launch was refused: the stream takes no work before the capture has ended.
    let graph = stream.end_capture(CUgraphInstantiate_flags(0));
    enqueued?;
    let graph = graph.map_err(driver("ending a capture"))?;
    let graph = graph.expect("a capture that ends well has a graph");
    graph.upload().map_err(driver("uploading a graph"))?;
    Ok(graph)
}

fn all_recorded(streams: &[Arc<CudaStream>]) -> Result<Vec<CudaEvent>, DeviceError> {
    streams.iter().map(|stream| recorded(stream)).collect()
}

/// An event of `stream`, recorded now.
pub(super) fn recorded(stream: &CudaStream) -> Result<CudaEvent, DeviceError> {
    // Without this flag events have no time.
    let event = stream.context().new_event(Some(CU_EVENT_DEFAULT));
    let event = event.map_err(driver("making an event"))?;
    event.record(stream).map_err(driver("recording an event"))?;
    Ok(event)
}
