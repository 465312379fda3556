//! The driver's library, shared by the threads that call into it and closed by the last of them.

use std::ptr::NonNull;

use nvml_wrapper::Nvml;

/// The driver's library, shut down and closed when this is dropped.
///
/// It has to be closed really: NVML counts its starts, so that only the last shutdown makes it look for devices
/// again, and after an update of the driver only a library loaded anew fits the kernel module. Each thread that
/// calls into it holds it, so that it stays open for a call that hangs.
pub(super) struct Library(NonNull<Nvml>);

// SAFETY: the library is `Send` and `Sync` (nvml.h: calls may come from several threads at once), the pointer is
// read only, and it is given up by the last owner alone.
unsafe impl Send for Library {}
// SAFETY: as above.
unsafe impl Sync for Library {}

impl Library {
    pub(super) fn new(nvml: Nvml) -> Self {
        Self(NonNull::from(Box::leak(Box::new(nvml))))
    }

    /// The library, under a lifetime that is too long.
    ///
    /// # Safety
    /// The reference, and all that borrows from it (devices, activity samples, sets of events), must be gone before
    /// `self` is dropped: that closes the library, and with it the code that they call.
    pub(super) unsafe fn get(&self) -> &'static Nvml {
        // SAFETY: the box lives until `self` is dropped, which the caller does not outlive, and is never borrowed
        // mutably before.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // SAFETY: the pointer comes from a leaked box and is given up here. Nobody else calls into this library
        // object: whoever does holds it.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}
