//! A dense product of cuBLASLt, described once: launches search for nothing, so that small products are timed and not their
//! descriptions.

use std::ffi::c_void;

use cudarc::cublaslt::{result, sys};
use cudarc::driver::{CudaSlice, DevicePtr as _};
use orrery_operation::Precision;

use super::operands::reserve;
use super::{Device, DeviceError, Libraries};

/// Working memory of the library: 32 MiB, as NVIDIA recommends for Hopper.
const WORKSPACE: usize = 32 << 20;

/// Names what the library refused.
fn refused(doing: &'static str) -> impl FnOnce(result::CublasError) -> DeviceError {
    move |code| DeviceError::Refused {
        library: "libcublasLt.so",
        doing,
        code: format!("{:?}", code.0),
    }
}

/// `result [m, n] = left [m, k] · right [n, k]ᵀ`, rows together, bfloats out of bfloats or of 8-bit numbers.
///
/// Column by column, as the library counts, this is the transpose of the result, `n x m`: the right operand transposed,
/// times the left one. 8-bit numbers have one scale for a whole operand, and it is one.
pub(super) struct Plan {
    handle: sys::cublasLtHandle_t,
    described: Described,
    algorithm: sys::cublasLtMatmulAlgo_t,
    workspace: CudaSlice<u8>,
}

/// What the library was told; each is given back when this ends.
struct Described {
    product: sys::cublasLtMatmulDesc_t,
    /// Of the right operand, the left one, and the result.
    layouts: [sys::cublasLtMatrixLayout_t; 3],
}

impl Drop for Described {
    fn drop(&mut self) {
        // SAFETY: each was made by the library and is used no more; what it says to that changes nothing.
        unsafe {
            let _given_back = result::destroy_matmul_desc(self.product);
            for layout in self.layouts {
                let _given_back = result::destroy_matrix_layout(layout);
            }
        }
    }
}

impl Drop for Plan {
    fn drop(&mut self) {
        // SAFETY: made by the library, and used no more.
        let _given_back = unsafe { result::destroy_handle(self.handle) };
    }
}

impl Described {
    fn new([m, n, k]: [u64; 3], precision: Precision) -> Result<Self, result::CublasError> {
        let operands = match precision {
            Precision::Fp8 => sys::cudaDataType_t::CUDA_R_8F_E4M3,
            _ => sys::cudaDataType_t::CUDA_R_16BF,
        };
        let single = sys::cudaDataType_t::CUDA_R_32F;
        let product = result::create_matmul_desc(sys::cublasComputeType_t::CUBLAS_COMPUTE_32F, single)?;
        let transposed = 1_i32;
        // SAFETY: the description lives, and the value has the size that is said.
        unsafe {
            result::set_matmul_desc_attribute(
                product,
                sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_TRANSA,
                (&raw const transposed).cast(),
                size_of::<i32>(),
            )?;
        }
        let layout = |kind, rows: u64, columns: u64| {
            result::create_matrix_layout(kind, rows, columns, rows.cast_signed())
        };
        let layouts = [
            layout(operands, k, n)?,
            layout(operands, k, m)?,
            layout(sys::cudaDataType_t::CUDA_R_16BF, n, m)?,
        ];
        Ok(Self { product, layouts })
    }

    fn algorithm(
        &self,
        handle: sys::cublasLtHandle_t,
    ) -> Result<sys::cublasLtMatmulAlgo_t, result::CublasError> {
        let preference = result::create_matmul_pref()?;
        let [right, left, output] = self.layouts;
        let most = WORKSPACE;
        // SAFETY: all of it lives; the size of the workspace has the size that is said.
        let found = unsafe {
            let attribute =
                sys::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
            let told = result::set_matmul_pref_attribute(
                preference,
                attribute,
                (&raw const most).cast(),
                size_of::<usize>(),
            );
            let found = told.and_then(|()| {
                result::get_matmul_algo_heuristic(
                    handle,
                    self.product,
                    right,
                    left,
                    output,
                    output,
                    preference,
                )
            });
            result::destroy_matmul_pref(preference)?;
            found?
        };
        Ok(found.algo)
    }
}

impl Plan {
    pub(super) fn new(device: &Device, shape: [u64; 3], precision: Precision) -> Result<Self, DeviceError> {
        if !Libraries::look().cublaslt {
            return Err(DeviceError::Missing {
                library: "libcublasLt.so",
                remedy: "pip install nvidia-cublas-cu12, or the CUDA toolkit, and put its folder on LD_LIBRARY_PATH",
            });
        }
        let handle = result::create_handle().map_err(refused("to start"))?;
        let planned = Described::new(shape, precision)
            .and_then(|described| Ok((described.algorithm(handle)?, described)))
            .map_err(refused("this product"));
        let (algorithm, described) = match planned {
            Ok(planned) => planned,
            Err(fault) => {
                // SAFETY: made by the library, and used no more.
                let _given_back = unsafe { result::destroy_handle(handle) };
                return Err(fault);
            }
        };
        Ok(Self {
            handle,
            described,
            algorithm,
            workspace: reserve(device, WORKSPACE)?,
        })
    }

    /// Enqueues the product of operands at these addresses.
    pub(super) fn launch(
        &self,
        device: &Device,
        left: u64,
        right: u64,
        output: u64,
    ) -> Result<(), DeviceError> {
        let (one, zero) = (1.0_f32, 0.0_f32);
        let [of_right, of_left, of_output] = self.described.layouts;
        let (workspace, _record) = self.workspace.device_ptr(&device.stream);
        // SAFETY: the addresses are those of buffers as long as the layouts say, and all descriptions live.
        let done = unsafe {
            result::matmul(
                self.handle,
                self.described.product,
                (&raw const one).cast(),
                (&raw const zero).cast(),
                right as *const c_void,
                of_right,
                left as *const c_void,
                of_left,
                output as *const c_void,
                of_output,
                output as *mut c_void,
                of_output,
                &raw const self.algorithm,
                workspace as *mut c_void,
                WORKSPACE,
                device.stream.cu_stream().cast(),
            )
        };
        done.map_err(refused("to multiply"))
    }
}
