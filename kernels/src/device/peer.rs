//! Copies into the memory of another device, by the driver: what the link between two devices carries.

use std::sync::Arc;

use cudarc::driver::sys::{self, CUresult};
use cudarc::driver::{CudaContext, CudaSlice, CudaStream, DevicePtr as _};

use super::operands::{draw_words, fetch, forget, size, upload};
use super::{Device, DeviceError, driver};
use crate::verify;

/// Copies of so many bytes to a peer.
pub(super) struct Peer {
    there: Arc<CudaContext>,
    stream_there: Arc<CudaStream>,
    /// What is read here, and what is written there.
    copies: Vec<(CudaSlice<u32>, CudaSlice<u32>)>,
    bytes: usize,
}

impl Peer {
    pub(super) fn new(
        device: &Device,
        bytes: u64,
        peer: usize,
        num_copies: u64,
    ) -> Result<Self, DeviceError> {
        let there = Device::context(peer)?;
        enable(&device.context, &there, peer)?;
        // SAFETY: one thread owns both devices, and every buffer lives until the streams have been waited for.
        unsafe { there.disable_event_tracking() };
        let stream_there = there.new_stream().map_err(driver("making a stream"))?;
        let num_words = size(bytes / 4);
        let data = draw_words("peer", num_words);
        let copies = (0..num_copies).map(|_| {
            let to = stream_there.alloc_zeros(num_words.max(1));
            Ok((
                upload(device, &data)?,
                to.map_err(driver("reserving memory of the other device"))?,
            ))
        });
        let copies = copies.collect::<Result<_, DeviceError>>()?;
        stream_there
            .synchronize()
            .map_err(driver("waiting for the other device"))?;
        Ok(Self {
            there,
            stream_there,
            copies,
            bytes: 4 * num_words,
        })
    }

    pub(super) fn launch(&self, device: &Device, index: usize) -> Result<(), DeviceError> {
        let (from, to) = &self.copies[index % self.copies.len()];
        device
            .context
            .bind_to_thread()
            .map_err(driver("taking the device"))?;
        let (source, _read) = from.device_ptr(&device.stream);
        let (target, _written) = to.device_ptr(&self.stream_there);
        // SAFETY: both buffers hold so many bytes, each in the context that is named with it.
        let outcome = unsafe {
            sys::cuMemcpyPeerAsync(
                target,
                self.there.cu_ctx(),
                source,
                device.context.cu_ctx(),
                self.bytes,
                device.stream.cu_stream(),
            )
        };
        outcome.result().map_err(driver("copying to the other device"))
    }

    /// Forgets the result that is checked.
    pub(super) fn forget(&self) -> Result<(), DeviceError> {
        let forgetting = forget(&self.stream_there, &self.copies[0].1);
        forgetting.and_then(|()| {
            let waited = self.stream_there.synchronize();
            waited.map_err(driver("waiting for the other device"))
        })
    }

    pub(super) fn check(&self, device: &Device) -> Result<f64, DeviceError> {
        let (from, to) = &self.copies[0];
        let there = self.stream_there.clone_dtoh(to);
        let there = there.map_err(driver("reading the other device"))?;
        self.stream_there
            .synchronize()
            .map_err(driver("waiting for the other device"))?;
        Ok(verify::same("copy to a peer", &there, &fetch(device, from)?)?)
    }
}

/// Lets one device use the memory of `peer`; without that the driver copies through the host, which is no link of theirs.
pub(super) fn enable(here: &CudaContext, there: &CudaContext, peer: usize) -> Result<(), DeviceError> {
    let mut can = 0;
    // SAFETY: the answer is one number.
    let asked = unsafe { sys::cuDeviceCanAccessPeer(&raw mut can, here.cu_device(), there.cu_device()) };
    asked.result().map_err(driver("asking for a peer"))?;
    if can == 0 {
        return Err(DeviceError::NoPeer { peer });
    }
    here.bind_to_thread().map_err(driver("taking the device"))?;
    // SAFETY: both contexts live.
    let outcome = unsafe { sys::cuCtxEnablePeerAccess(there.cu_ctx(), 0) };
    if outcome == CUresult::CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED {
        return Ok(());
    }
    outcome.result().map_err(driver("opening the memory of a peer"))
}
