//! MoE kernels in CUDA C++, their CPU reference and what each run must touch.
//!
//! One forward path of a mixture-of-experts layer: top-k gate, permutation by expert, grouped matrix product,
//! SwiGLU, second product, weighted combination. The [`catalog`] says what each kernel is and what it must
//! touch, [`reference`](mod@reference) computes the same on the CPU, and [`compile`] turns the sources into CUBINs with an NVRTC
//! that is found at run time: no CUDA toolkit is needed to build, and none to do without.
//!
//! Launching kernels is not part of this crate yet.

mod bf16;
pub mod catalog;
pub mod compile;
pub mod device;
mod fp8;
pub mod measure;
pub mod reference;
pub mod statistics;

pub use bf16::Bf16;
pub use fp8::E4m3;
