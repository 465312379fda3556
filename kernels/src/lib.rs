//! MoE kernels in CUDA C++, their CPU reference and what each run must touch.
//!
//! A forward pass of a mixture-of-experts layer: router, top-k gate, permutation by expert, grouped matrix product,
//! SwiGLU, second product, weighted combination; in 16 and 8 bits; and copies, all-reduces and instruments. The
//! [`catalog`] says what each kernel is and what it must touch, [`reference`](mod@reference) computes the same on the CPU,
//! and [`compile`] turns the sources into CUBINs with an NVRTC that is found at run time: no CUDA toolkit is needed to
//! build, and none to do without. [`measure`] says what can be measured, [`verify`] when its result is right, [`statistics`] what
//! samples are worth; [`device`] alone calls CUDA, in a worker process.

mod bf16;
pub mod catalog;
pub mod compile;
pub mod device;
mod fp8;
pub mod measure;
pub mod reference;
pub mod statistics;
pub mod verify;

pub use bf16::Bf16;
pub use fp8::E4m3;
