//! Kernels as they stand in `cuda/`, run on the CPU against the reference: a compiler gives them the words of CUDA, and
//! every instruction that C++ has no word for does what the PTX manual says of it.

#![expect(
    unsafe_code,
    reason = "kernels are C++ and take pointers; every block states why it is sound"
)]

mod driver;
mod exchange;
#[path = "../../../collector/crates/fake-cuda/for_tests.rs"]
mod fake_cuda;
mod graphs;
mod layer;
mod machine;
mod products;
mod quantized;
mod ranks;
mod walk;
