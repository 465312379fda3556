//! What is seen: each panel reads a snapshot of the document and sends commands.

pub(crate) mod calibrate;
pub(crate) mod comms;
pub(crate) mod compare;
pub(crate) mod experts;
pub(crate) mod explore;
pub(crate) mod fleet;
pub(crate) mod inspector;
pub(crate) mod kernels;
pub(crate) mod links;
pub(crate) mod plan;
pub(crate) mod report;
pub(crate) mod sources;
pub(crate) mod timeline;
