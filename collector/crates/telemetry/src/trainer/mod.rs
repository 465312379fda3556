//! What trainers tell: lines of logs and of a socket in, steps of jobs out.
//!
//! Three dialects are understood. Megatron-LM and torchtitan write a line every so many steps ([`Line::parse`]); a
//! trainer that wants to say more writes one JSON object a line to the collector's Unix socket ([`Message`]). With a
//! [`Description`] of the model, steps have an MFU. All of this is text in and values out: who reads the files is not
//! known here.

mod description;
mod follow;
mod line;
mod message;

pub use description::{Description, Experts, Latent, Model, Place};
pub use follow::{Job, Jobs};
pub use line::Line;
pub use message::{Message, MessageError, TimedCollective, ToldStep};
