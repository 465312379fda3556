//! Batches of launches: replayed from a CUDA graph, so that the device waits for nobody between two of them, or else made one
//! after the other by the host. Where a graph is refused the batch says why and goes on without.

use std::sync::Arc;

use cudarc::driver::sys::CUevent_flags_enum::CU_EVENT_DEFAULT;
use cudarc::driver::sys::CUgraphInstantiate_flags;
use cudarc::driver::sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
use cudarc::driver::{CudaEvent, CudaGraph, CudaStream};
use orrery_units::SimDuration;
use serde::{Deserialize, Serialize};

use super::{DeviceError, driver};

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

/// Enqueues the launch of a number.
pub(super) type Launch<'a> = &'a dyn Fn(usize) -> Result<(), DeviceError>;

/// So many launches back to back. Whoever has it says what a launch is, every time alike.
pub(super) struct Batch {
    launches: usize,
    graph: Result<CudaGraph, String>,
}

impl Batch {
    /// A batch of one call each.
    pub(super) fn on_stream(launches: usize, why: &str) -> Self {
        Self {
            launches,
            graph: Err(why.to_owned()),
        }
    }

    /// A batch that is replayed on `stream`, or one of one call each where there is none, or where a graph of it is refused.
    pub(super) fn captured(
        launches: usize,
        stream: Result<Arc<CudaStream>, &str>,
        launch: Launch<'_>,
    ) -> Self {
        let graph = stream
            .map_err(str::to_owned)
            .and_then(|stream| captured(launches, &stream, launch).map_err(|fault| reason(&fault)));
        Self { launches, graph }
    }

    /// How its launches get to the device.
    pub(super) fn launching(&self) -> Launching {
        self.graph
            .as_ref()
            .map_or_else(|why| Launching::Stream(why.clone()), |_| Launching::Graph)
    }

    /// Runs it on `streams`; the time of one launch, on several devices that of the last to end.
    pub(super) fn time(
        &self,
        streams: &[Arc<CudaStream>],
        launch: Launch<'_>,
    ) -> Result<SimDuration, DeviceError> {
        let begun = all_recorded(streams)?;
        match &self.graph {
            Ok(graph) => graph.launch().map_err(driver("launching a graph"))?,
            Err(_) => (0..self.launches).try_for_each(launch)?,
        }
        let ended = all_recorded(streams)?;
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

/// A graph of so many launches on `stream`, ready on the device.
fn captured(launches: usize, stream: &Arc<CudaStream>, launch: Launch<'_>) -> Result<CudaGraph, DeviceError> {
    // Of this thread alone: a kernel that moves memory beside may be on its way on another stream.
    stream
        .begin_capture(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)
        .map_err(driver("beginning a capture"))?;
    let enqueued = (0..launches).try_for_each(launch);
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
