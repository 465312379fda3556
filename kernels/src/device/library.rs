//! Products of experts by cuBLAS, a group for each expert: the baseline of this package's own.

use std::ffi::{c_int, c_void};

use cudarc::cublas::{result, sys};
use cudarc::driver::{CudaSlice, DevicePtr as _};

use super::operands::{draw, fetch, forget, int, reserve, size, upload};
use super::{Device, DeviceError, Libraries};
use crate::measure::Subject;
use crate::{Bf16, verify};

/// The version with which grouped products came.
const FIRST_VERSION: c_int = 120_500;

/// Names what the library refused.
fn refused(doing: &'static str, code: &dyn std::fmt::Debug) -> DeviceError {
    DeviceError::Refused {
        library: "libcublas.so",
        doing,
        code: format!("{code:?}"),
    }
}

/// `result [rows, n] = input [rows, k] · weights [expert of the row, n, k]ᵀ`, over copies of the operands.
///
/// Column by column, as the library counts, each group is the transpose of its rows of the result.
pub(super) struct LibraryGrouped {
    handle: sys::cublasHandle_t,
    groups: Groups,
    copies: Vec<Copied>,
    columns: usize,
    depth: usize,
    /// Of every row.
    experts: Vec<usize>,
}

/// What the library is told of every group, on the host.
struct Groups {
    transposed: Vec<sys::cublasOperation_t>,
    plain: Vec<sys::cublasOperation_t>,
    columns: Vec<c_int>,
    rows: Vec<c_int>,
    depths: Vec<c_int>,
    ones: Vec<f32>,
    zeros: Vec<f32>,
    sizes: Vec<c_int>,
}

/// One copy of the operands, and the addresses of each group's part of them.
struct Copied {
    input: CudaSlice<Bf16>,
    weights: CudaSlice<Bf16>,
    result: CudaSlice<Bf16>,
    of_input: CudaSlice<u64>,
    of_weights: CudaSlice<u64>,
    of_result: CudaSlice<u64>,
}

impl Drop for LibraryGrouped {
    fn drop(&mut self) {
        // SAFETY: made by the library, and used no more; what it says to that changes nothing.
        let _given_back = unsafe { result::destroy_handle(self.handle) };
    }
}

impl Groups {
    /// Groups of so many rows each, none of them empty.
    fn new(rows: &[u64], columns: u64, depth: u64) -> Self {
        let count = rows.len();
        Self {
            transposed: vec![sys::cublasOperation_t::CUBLAS_OP_T; count],
            plain: vec![sys::cublasOperation_t::CUBLAS_OP_N; count],
            columns: vec![int(columns); count],
            rows: rows.iter().map(|&rows| int(rows)).collect(),
            depths: vec![int(depth); count],
            ones: vec![1.0; count],
            zeros: vec![0.0; count],
            sizes: vec![1; count],
        }
    }
}

/// A handle that works on the device's stream, of a library that has grouped products.
fn handle(device: &Device) -> Result<sys::cublasHandle_t, DeviceError> {
    if !Libraries::look().cublas {
        return Err(DeviceError::Missing {
            library: "libcublas.so",
            remedy: "pip install nvidia-cublas-cu12, or the CUDA toolkit, and put its folder on LD_LIBRARY_PATH",
        });
    }
    let handle = result::create_handle().map_err(|fault| refused("to start", &fault.0))?;
    let mut version = 0;
    // SAFETY: the handle lives, and the version is one number.
    let told = unsafe { sys::cublasGetVersion_v2(handle, &raw mut version).result() };
    let set = told.and_then(|()| {
        // SAFETY: handle and stream live.
        unsafe { sys::cublasSetStream_v2(handle, device.stream.cu_stream().cast()).result() }
    });
    let fault = match set {
        Err(fault) => refused("this stream", &fault.0),
        Ok(()) if version < FIRST_VERSION => refused(
            "grouped products",
            &format_args!("version {version}, they came with {FIRST_VERSION}"),
        ),
        Ok(()) => return Ok(handle),
    };
    // SAFETY: made by the library, and used no more.
    let _given_back = unsafe { result::destroy_handle(handle) };
    Err(fault)
}

impl LibraryGrouped {
    pub(super) fn new(device: &Device, subject: &Subject, num_copies: u64) -> Result<Self, DeviceError> {
        let shape = subject
            .grouped()
            .expect("the caller gives grouped products alone");
        let per_expert = subject.expert_rows();
        let (rows, columns, depth) = (size(shape.rows), size(shape.n), size(shape.k));
        let mut experts = Vec::with_capacity(rows);
        let mut groups = Vec::new();
        for (expert, &count) in per_expert.iter().enumerate() {
            if count > 0 {
                groups.push((expert, experts.len()));
            }
            experts.extend(std::iter::repeat_n(expert, size(count)));
        }
        let handle = handle(device)?;
        let input = draw("input", rows * depth);
        let weights = draw("weights", per_expert.len() * columns * depth);
        let copy = |_| -> Result<Copied, DeviceError> {
            let (input, weights) = (upload(device, &input)?, upload(device, &weights)?);
            let result: CudaSlice<Bf16> = reserve(device, rows * columns)?;
            let addresses = |buffer: &CudaSlice<Bf16>, numbers: &dyn Fn(usize, usize) -> usize| {
                let (first, _record) = buffer.device_ptr(&device.stream);
                let of_groups = groups.iter().map(|&(expert, row)| numbers(expert, row));
                let of_groups: Vec<u64> = of_groups.map(|numbers| first + 2 * numbers as u64).collect();
                upload(device, &of_groups)
            };
            Ok(Copied {
                of_input: addresses(&input, &|_, row| row * depth)?,
                of_weights: addresses(&weights, &|expert, _| expert * columns * depth)?,
                of_result: addresses(&result, &|_, row| row * columns)?,
                input,
                weights,
                result,
            })
        };
        let of_groups: Vec<u64> = groups.iter().map(|&(expert, _)| per_expert[expert]).collect();
        let mut made = Self {
            handle,
            groups: Groups::new(&of_groups, shape.n, shape.k),
            copies: Vec::new(),
            columns,
            depth,
            experts,
        };
        // From here on the handle is given back whatever happens.
        made.copies = (0..num_copies).map(copy).collect::<Result<_, _>>()?;
        Ok(made)
    }

    pub(super) fn launch(&self, device: &Device, index: usize) -> Result<(), DeviceError> {
        let copy = &self.copies[index % self.copies.len()];
        let address = |buffer: &CudaSlice<u64>| buffer.device_ptr(&device.stream).0;
        let groups = &self.groups;
        let bf16 = sys::cudaDataType_t::CUDA_R_16BF;
        // SAFETY: every list has an entry for each group, addresses are those of buffers as long as the extents say, and
        // all of it lives until the stream has been waited for.
        let done = unsafe {
            sys::cublasGemmGroupedBatchedEx(
                self.handle,
                groups.transposed.as_ptr(),
                groups.plain.as_ptr(),
                groups.columns.as_ptr(),
                groups.rows.as_ptr(),
                groups.depths.as_ptr(),
                groups.ones.as_ptr().cast(),
                address(&copy.of_weights) as *const *const c_void,
                bf16,
                groups.depths.as_ptr(),
                address(&copy.of_input) as *const *const c_void,
                bf16,
                groups.depths.as_ptr(),
                groups.zeros.as_ptr().cast(),
                address(&copy.of_result) as *const *mut c_void,
                bf16,
                groups.columns.as_ptr(),
                int(groups.sizes.len() as u64),
                groups.sizes.as_ptr(),
                sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
            )
        };
        done.result()
            .map_err(|fault| refused("this grouped product", &fault.0))
    }

    /// Forgets the result that is checked.
    pub(super) fn forget(&self, device: &Device) -> Result<(), DeviceError> {
        forget(&device.stream, &self.copies[0].result)
    }

    pub(super) fn check(&self, device: &Device) -> Result<f64, DeviceError> {
        let copy = &self.copies[0];
        let (input, weights) = (fetch(device, &copy.input)?, fetch(device, &copy.weights)?);
        let result = fetch(device, &copy.result)?;
        let (columns, depth) = (self.columns, self.depth);
        let row_of = |numbers: &[Bf16], row: usize| -> Vec<f64> {
            let row = &numbers[row * depth..(row + 1) * depth];
            row.iter().map(|number| f64::from(number.to_f32())).collect()
        };
        let pairs = verify::sampled(self.experts.len()).flat_map(|row| {
            let (left, first) = (row_of(&input, row), self.experts[row] * columns);
            let (weights, result) = (&weights, &result);
            (0..columns).map(move |column| {
                let right = row_of(weights, first + column);
                let truth = left.iter().zip(right).map(|(a, b)| a * b).sum();
                (f64::from(result[row * columns + column].to_f32()), truth)
            })
        });
        Ok(verify::within("grouped product", pairs, verify::ALLOWED.0)?)
    }
}
